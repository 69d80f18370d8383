//! The recorded indexes over HTTP on the loopback, and the machines as host files: so that a person
//! can try the program by hand on what the fleet is planned with.

use std::{path::Path, sync::Arc};

use aienv::{
    host::Host,
    index::{DistFile, DistKind, IndexId, PackageIndex},
};
use axum::{
    Router,
    extract::{Path as Matched, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};

use super::{hosts::Machine, record::RecordedIndex};

/// Writes the host files, tells how to use them and serves until the process is ended.
pub fn serve(index: RecordedIndex, machines: &[Machine], folder: &Path) {
    for machine in machines {
        write_host(folder, &machine.name, &machine.host);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        println!("export AIENV_INDEX_URL=http://{at}/default/");
        println!("export AIENV_TORCH_MIRROR=http://{at}/");
        println!("hosts={}", folder.display());
        let router = Router::new()
            .route("/{index}/{package}/", get(page))
            .route("/{index}/{package}/{file}", get(metadata))
            .with_state(Arc::new(index));
        axum::serve(listener, router).await.unwrap();
    });
}

fn write_host(folder: &Path, name: &str, host: &Host) {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let file = folder.join(format!("{}.json", words.join("-").to_lowercase()));
    std::fs::write(file, serde_json::to_vec_pretty(host).unwrap()).unwrap();
}

fn id(index: &str) -> Option<IndexId> {
    match index {
        "default" => Some(IndexId::Default),
        build => build.parse().ok().map(IndexId::Torch),
    }
}

/// A package's page in the JSON form of the simple API (PEP 691).
async fn page(
    State(record): State<Arc<RecordedIndex>>,
    Matched((index, package)): Matched<(String, String)>,
) -> Response {
    let (Some(index), Ok(name)) = (id(&index), package.parse()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Ok(releases) = record.releases(&index, &name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let files: Vec<_> = releases
        .versions
        .values()
        .flatten()
        .map(|file| entry(&record, file))
        .collect();
    let page = json!({ "meta": { "api-version": "1.1" }, "name": package, "files": files });
    let json = [(header::CONTENT_TYPE, "application/vnd.pypi.simple.v1+json")];
    (json, page.to_string()).into_response()
}

fn entry(record: &RecordedIndex, file: &DistFile) -> Value {
    let known = matches!(file.kind, DistKind::Wheel(_)) && record.metadata(file).is_ok();
    json!({
        "filename": file.file_name,
        "url": file.file_name,
        "hashes": { "sha256": file.sha256.map(|digest| digest.to_string()) },
        "requires-python": file.requires_python.as_ref().map(ToString::to_string),
        "yanked": file.yanked.as_ref().map_or(json!(false), |reason| json!(reason)),
        "core-metadata": known,
    })
}

/// The metadata file beside a wheel (PEP 658).
async fn metadata(
    State(record): State<Arc<RecordedIndex>>,
    Matched((index, package, name)): Matched<(String, String, String)>,
) -> Response {
    let found = || {
        let releases = record.releases(&id(&index)?, &package.parse().ok()?).ok()?;
        let name = name.strip_suffix(".metadata")?;
        let file = releases
            .versions
            .values()
            .flatten()
            .find(|file| file.file_name == name)?;
        record.metadata(file).ok()
    };
    let Some(core) = found() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut text = format!(
        "Metadata-Version: 2.1\nName: {}\nVersion: {}\n",
        core.name, core.version
    );
    if let Some(python) = &core.requires_python {
        text += &format!("Requires-Python: {python}\n");
    }
    for extra in &core.provides_extra {
        text += &format!("Provides-Extra: {extra}\n");
    }
    for requirement in &core.requires_dist {
        text += &format!("Requires-Dist: {requirement}\n");
    }
    text.into_response()
}
