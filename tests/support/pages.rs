//! The pages of the simple API, in HTML and JSON, as a [`Dialect`] spells them.

use std::fmt::Write as _;

use aienv::types::Sha256;

use super::{dist::Dist, index::Dialect};

/// The page of a project as HTML (PEP 503, 592, 658).
pub fn html(dialect: &Dialect, index: &str, project: &str, files: &[Dist]) -> String {
    let mut page = format!("<!DOCTYPE html>\n<html><body><h1>Links for {project}</h1>\n");
    for dist in files {
        let (digest, name) = (dist.sha256(), &dist.file_name);
        // Relative, with the local version's plus sign encoded, as real pages have it.
        let up = if index == "simple" {
            "../.."
        } else {
            "../../.."
        };
        let mut href = format!("{up}/files/{digest}/{}", name.replace('+', "%2B"));
        if dialect.hashes {
            let _ = write!(href, "#sha256={digest}");
        }
        let _ = write!(page, "<a href=\"{href}\"");
        if dialect.attributes {
            if let Some(python) = &dist.requires_python {
                let _ = write!(page, " data-requires-python=\"{}\"", escape(python));
            }
            if let Some(reason) = &dist.yanked {
                let _ = write!(page, " data-yanked=\"{}\"", escape(reason));
            }
        }
        if let Some(digest) = metadata_digest(dialect, dist) {
            let _ = write!(page, " data-core-metadata=\"sha256={digest}\"");
            let _ = write!(page, " data-dist-info-metadata=\"sha256={digest}\"");
        }
        let _ = writeln!(page, ">{name}</a><br/>");
    }
    page + "</body></html>\n"
}

/// The page of a project as JSON (PEP 691, 700).
pub fn json(dialect: &Dialect, project: &str, files: &[Dist]) -> String {
    let file = |dist: &Dist| {
        let digest = dist.sha256().to_string();
        let name = &dist.file_name;
        let mut file = serde_json::json!({
            "filename": name,
            "url": format!("/files/{digest}/{}", name.replace('+', "%2B")),
            "hashes": if dialect.hashes {
                serde_json::json!({ "sha256": digest })
            } else {
                serde_json::json!({})
            },
            "yanked": dist.yanked.as_ref().map_or(serde_json::json!(false), |reason| {
                if reason.is_empty() { true.into() } else { reason.clone().into() }
            }),
        });
        if let Some(python) = &dist.requires_python {
            file["requires-python"] = python.clone().into();
        }
        if let Some(digest) = metadata_digest(dialect, dist) {
            file["core-metadata"] = serde_json::json!({ "sha256": digest.to_string() });
        }
        if dialect.sizes {
            file["size"] = dist.size().into();
            file["upload-time"] = "2026-01-02T03:04:05.678901Z".into();
        }
        file
    };
    let versions: Vec<&str> = files.iter().map(|dist| dist.version.as_str()).collect();
    serde_json::json!({
        "meta": { "api-version": "1.1" },
        "name": project,
        "versions": versions,
        "files": files.iter().map(file).collect::<Vec<_>>(),
    })
    .to_string()
}

fn metadata_digest(dialect: &Dialect, dist: &Dist) -> Option<Sha256> {
    let text = dist.metadata.as_ref().filter(|_| dialect.metadata)?;
    Some(Sha256::of(text))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
