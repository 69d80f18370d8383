//! The index client against indexes on loopback.

#![allow(clippy::unwrap_used)]

use std::{
    io::{Cursor, Write as _},
    sync::Arc,
};

use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::{
    error::UserError as _,
    home::Home,
    net::loopback::{Answer, Loopback, Seen, client},
    settings::{Overrides, Settings},
};

/// A home and the settings that use one index.
struct World {
    folder: tempfile::TempDir,
    overrides: Overrides,
}

impl World {
    fn new(index: String) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            overrides: Overrides {
                index_url: Some(index),
                ..Overrides::default()
            },
        }
    }

    fn settings(&self) -> Settings {
        Settings::isolated(&self.home(), &self.overrides).unwrap()
    }

    fn home(&self) -> Home {
        Home::at(self.folder.path())
    }

    /// A new client, as a new run of the program has it.
    fn client(&self, server: &Loopback) -> IndexClient {
        self.client_with(server, &self.settings())
    }

    fn client_with(&self, server: &Loopback, settings: &Settings) -> IndexClient {
        IndexClient::new(client(settings), settings, &self.home(), server.handle())
    }
}

fn demo() -> PackageName {
    "demo".parse().unwrap()
}

fn ask(client: &IndexClient) -> Result<Arc<Releases>, IndexError> {
    client.releases(&IndexId::Default, &demo())
}

fn page() -> Answer {
    Answer::ok("<h1>Links for demo</h1><a href='demo-1.0-py3-none-any.whl'>x</a>")
        .with("content-type", "text/html")
}

#[test]
fn an_unchanged_page_is_not_sent_again() {
    let server = Loopback::start(|seen| match seen.header("if-none-match") {
        Some("\"1\"") => Answer::status(304),
        _ => page()
            .with("etag", "\"1\"")
            .with("cache-control", "max-age=0"),
    });
    let world = World::new(server.url("/simple"));
    let first = ask(&world.client(&server)).unwrap();
    let second = ask(&world.client(&server)).unwrap();
    assert_eq!(first.versions, second.versions);
    let third = ask(&world.client(&server)).unwrap();
    assert_eq!(first.versions, third.versions);
    let seen = server.seen();
    let conditions: Vec<_> = seen.iter().map(|s| s.header("if-none-match")).collect();
    assert_eq!(conditions, [None, Some("\"1\""), Some("\"1\"")]);
    assert_eq!(seen[0].path, "/simple/demo/");
    assert!(seen[0].header("accept").unwrap().contains("q=0.01"));
}

#[test]
fn without_caching_headers_a_page_lives_for_a_while() {
    let server = Loopback::start(|_| page());
    let mut world = World::new(server.url("/simple/"));
    ask(&world.client(&server)).unwrap();
    assert_eq!(ask(&world.client(&server)).unwrap().versions.len(), 1);
    assert_eq!(server.seen().len(), 1);
    world.overrides.refresh = true;
    ask(&world.client(&server)).unwrap();
    assert_eq!(server.seen()[0].header("cache-control"), Some("no-cache"));
    world.overrides.refresh = false;
    world.overrides.offline = true;
    assert_eq!(ask(&world.client(&server)).unwrap().versions.len(), 1);
    let other = world
        .client(&server)
        .releases(&IndexId::Default, &"other".parse().unwrap());
    assert_eq!(other.unwrap_err().code(), "net.offline");
    assert!(server.seen().is_empty());
}

#[test]
fn no_store_is_not_stored_and_absence_is() {
    let server = Loopback::start(|seen| match seen.path.as_str() {
        "/simple/demo/" => page().with("cache-control", "no-store"),
        _ => Answer::status(404),
    });
    let world = World::new(server.url("/simple/"));
    for _ in 0..2 {
        let client = world.client(&server);
        ask(&client).unwrap();
        let none = client
            .releases(&IndexId::Default, &"none".parse().unwrap())
            .unwrap_err();
        assert!(matches!(none, IndexError::NotFound { .. }), "{none:?}");
    }
    let paths: Vec<_> = server.seen().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/simple/demo/", "/simple/none/", "/simple/demo/"]);
}

#[test]
fn callers_share_one_request() {
    let server = Loopback::start(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        page()
    });
    let world = World::new(server.url("/simple/"));
    let client = world.client(&server);
    client.prefetch_releases(&IndexId::Default, &demo());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(ask(&client).unwrap().versions.len(), 1));
        }
    });
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn the_first_index_that_has_a_package_is_the_only_one() {
    let server = Loopback::start(|seen| {
        let link = |version: &str| Answer::ok(format!("<a href='demo-{version}.tar.gz'>x</a>"));
        match seen.path.as_str() {
            "/second/demo/" => link("1.0"),
            "/main/demo/" | "/main/public/" => link("9.0"),
            "/down/demo/" => Answer::status(500),
            _ => Answer::status(404),
        }
    });
    let mut world = World::new(server.url("/main"));
    world.overrides.extra_index_urls = vec![server.url("/first"), server.url("/second")];
    let releases = ask(&world.client(&server)).unwrap();
    assert_eq!(releases.versions.keys().next().unwrap().to_string(), "1.0");
    let missing = world
        .client(&server)
        .releases(&IndexId::Default, &"none".parse().unwrap());
    let text = missing.unwrap_err().to_string();
    assert!(
        text.contains("/first/") && text.contains("/main/"),
        "{text}"
    );
    // An index that fails is not passed over: the package may be its own.
    world.overrides.extra_index_urls = vec![server.url("/down")];
    let error = ask(&world.client(&server)).unwrap_err();
    assert!(
        error.is_unreachable() && !error.concerns_one_file(),
        "{error:?}"
    );
}

#[test]
fn bad_answers_are_told_apart_and_leak_nothing() {
    let server = Loopback::start(|seen| {
        let name = seen.path.trim_end_matches('/').rsplit('/').next().unwrap();
        match name {
            "login" => Answer::ok("<form action='/login'><input type='password'></form>"),
            "garbage" => Answer::ok("\u{1}\u{2}garbage"),
            "shape" => Answer::ok("{\"error\": 1}").with("content-type", "application/json"),
            "portal" => Answer::ok("<a href='/'>home</a>").with("content-type", "text/html"),
            status => Answer::status(status[1..].parse().unwrap()),
        }
    });
    let world = World::new(server.url_with_login("me:secret", "/simple"));
    let client = world.client(&server);
    for (package, code, says) in [
        ("login", "index.not-an-index", "not a package index"),
        ("garbage", "index.not-an-index", "neither HTML nor JSON"),
        ("shape", "index.not-an-index", "another shape"),
        ("portal", "index.not-an-index", "links"),
        ("s401", "net.status", "401"),
        ("s403", "net.status", "403"),
        ("s407", "net.status", "proxy"),
        ("s429", "net.status", "too many requests"),
        ("s500", "net.status", "500"),
        ("s404", "index.not-found", "not on"),
    ] {
        let error = client
            .releases(&IndexId::Default, &package.parse().unwrap())
            .unwrap_err();
        use std::error::Error as _;
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        let text = format!("{error} {source} {:?}", error.hint());
        assert_eq!(error.code(), code, "{text}");
        assert!(text.contains(says), "{text}");
        assert!(error.hint().is_some());
        assert!(!text.contains("secret") && !format!("{error:?}").contains("secret"));
    }
    // Nor does the cache hold it.
    for entry in walkdir::WalkDir::new(world.folder.path())
        .into_iter()
        .flatten()
    {
        if entry.file_type().is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
        }
    }
}

#[test]
fn torch_indexes() {
    let server = Loopback::start(|seen| match seen.path.as_str() {
        "/whl/cu128/torch/" => {
            Answer::ok("<a href='/whl/cu128/torch-2.8.0%2Bcu128-py3-none-any.whl'>x</a>")
        }
        _ => Answer::status(403),
    });
    let mut world = World::new(server.url("/nothing"));
    world.overrides.torch_mirror = Some(server.url("/whl"));
    let client = world.client(&server);
    let index = IndexId::Torch("cu128".parse().unwrap());
    let releases = client.releases(&index, &"torch".parse().unwrap()).unwrap();
    assert_eq!(
        releases.versions.keys().next().unwrap().to_string(),
        "2.8.0+cu128"
    );
    let error = client
        .releases(&index, &"numpy".parse().unwrap())
        .unwrap_err();
    assert!(matches!(error, IndexError::NotFound { .. }), "{error:?}");
}

const METADATA: &str = "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: numpy>=1\n";

fn wheel(metadata: &str, metadata_first: bool) -> Vec<u8> {
    let noise: Vec<u8> = {
        let mut random = fastrand::Rng::with_seed(3);
        std::iter::repeat_with(|| random.u8(..))
            .take(100_000)
            .collect()
    };
    let mut members = [
        ("demo/data.bin", noise.as_slice()),
        ("demo-1.0.dist-info/METADATA", metadata.as_bytes()),
    ];
    if metadata_first {
        members.reverse();
    }
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        writer
            .start_file(name, SimpleFileOptions::default())
            .unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn file(server: &Loopback, name: &str, digest: Option<Sha256>) -> DistFile {
    let (_, mut file) = DistFile::from_url(&server.url(&format!("/files/{name}"))).unwrap();
    file.sha256 = digest;
    file
}

const WHEEL: &str = "demo-1.0-py3-none-any.whl";

/// Metadata of `bytes` from a server that answers with `answer`; and the requests it took.
fn metadata_of(
    bytes: &[u8],
    name: &str,
    beside: Option<MetadataFile>,
    answer: impl Fn(&Seen, &[u8]) -> Answer + Send + Sync + 'static,
) -> (Result<Arc<CoreMetadata>, IndexError>, Vec<Seen>, World) {
    let body = bytes.to_vec();
    let server = Loopback::start(move |seen| answer(seen, &body));
    let world = World::new(server.url("/simple"));
    let mut wanted = file(&server, name, Some(Sha256::of(bytes)));
    wanted.metadata_file = beside;
    let result = world.client(&server).metadata(&wanted);
    let seen = server.seen();
    if let Ok(metadata) = &result {
        let again = world.client(&server).metadata(&wanted).unwrap();
        assert_eq!(again, *metadata);
        assert!(server.seen().is_empty(), "it is kept for ever");
    }
    (result, seen, world)
}

fn needs(result: Result<Arc<CoreMetadata>, IndexError>) -> String {
    result.unwrap().requires_dist[0].to_string()
}

#[test]
fn metadata_by_ranges() {
    let (result, seen, _) = metadata_of(&wheel(METADATA, false), WHEEL, None, Answer::ranged);
    assert_eq!((needs(result).as_str(), seen.len()), ("numpy>=1", 1));
    let (result, seen, _) = metadata_of(&wheel(METADATA, true), WHEEL, None, Answer::ranged);
    assert_eq!((needs(result).as_str(), seen.len()), ("numpy>=1", 2));
    assert!(seen.iter().all(|seen| seen.header("range").is_some()));
}

#[test]
fn metadata_without_ranges() {
    let bytes = wheel(METADATA, false);
    let (result, seen, world) = metadata_of(&bytes, WHEEL, None, |_, body| Answer::ok(body));
    assert_eq!((needs(result).as_str(), seen.len()), ("numpy>=1", 2));
    let kept = world
        .home()
        .cache()
        .join("downloads")
        .join(Sha256::of(&bytes).to_string());
    assert_eq!(std::fs::read(kept).unwrap(), bytes);
    let (result, _, _) = metadata_of(&bytes, WHEEL, None, |seen, body| {
        match seen.header("range") {
            Some(_) => Answer::status(501),
            None => Answer::ok(body),
        }
    });
    assert_eq!(needs(result), "numpy>=1");
}

#[test]
fn a_server_without_ranges_is_remembered() {
    let bytes = wheel(METADATA, false);
    let served = bytes.clone();
    let server = Loopback::start(move |_| Answer::ok(served.clone()));
    let world = World::new(server.url("/simple"));
    let client = world.client(&server);
    for name in [WHEEL, "demo-1.0-1-py3-none-any.whl"] {
        client.metadata(&file(&server, name, None)).unwrap();
    }
    let ranges: Vec<_> = server
        .seen()
        .iter()
        .map(|s| s.header("range").is_some())
        .collect();
    assert_eq!(ranges, [true, false, false]);
    // Guesses are for free there or not at all.
    let source = file(&server, "demo-1.0.tar.gz", None);
    for guess in [file(&server, "demo-1.0-2-py3-none-any.whl", None), source] {
        client.prefetch_metadata(&guess);
    }
    client
        .metadata(&file(&server, "demo-1.0-3-py3-none-any.whl", None))
        .unwrap();
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn metadata_beside_the_wheel() {
    let with = |content: &str| {
        Some(MetadataFile {
            sha256: Some(Sha256::of(content)),
        })
    };
    for promised in [Some(MetadataFile::default()), with(METADATA)] {
        let bytes = wheel(METADATA, false);
        let (result, seen, _) = metadata_of(&bytes, WHEEL, promised, |seen, _| {
            assert!(seen.path.ends_with(".whl.metadata"));
            Answer::ok(METADATA)
        });
        assert_eq!((needs(result).as_str(), seen.len()), ("numpy>=1", 1));
    }
    // Promised, but not there, or another one: the wheel tells.
    let other = METADATA.replace("numpy>=1", "evil");
    for (promised, answer) in [
        (Some(MetadataFile::default()), Answer::status(404)),
        (with(METADATA), Answer::ok(other)),
    ] {
        let bytes = wheel(METADATA, false);
        let (result, seen, _) = metadata_of(&bytes, WHEEL, promised, move |seen, body| match seen
            .path
            .ends_with(".metadata")
        {
            true => answer.clone(),
            false => Answer::ranged(seen, body),
        });
        assert_eq!((needs(result).as_str(), seen.len()), ("numpy>=1", 2));
    }
}

#[test]
fn unusable_files_concern_only_themselves() {
    let other = METADATA.replace("Name: demo", "Name: other");
    for (bytes, name) in [
        (wheel(&other, false), WHEEL),
        (
            wheel(&METADATA.replace("numpy>=1", "numpy>>1"), false),
            WHEEL,
        ),
        (wheel(METADATA, false), "demo-2.0-py3-none-any.whl"),
        (b"<html>no wheel</html>".to_vec(), WHEEL),
        (b"no archive".to_vec(), "demo-1.0.tar.gz"),
    ] {
        let (result, _, _) = metadata_of(&bytes, name, None, Answer::ranged);
        let error = result.unwrap_err();
        assert_eq!(error.code(), "index.bad-metadata", "{error}");
        assert!(error.concerns_one_file());
        assert!(error.to_string().contains(name), "{error}");
    }
    let (result, _, world) = metadata_of(&sdist("2.2"), "demo-1.0.tar.gz", None, |_, _| {
        Answer::ok("changed")
    });
    assert_eq!(result.unwrap_err().code(), "index.wrong-digest");
    let downloads = world.home().cache().join("downloads");
    assert_eq!(std::fs::read_dir(downloads).unwrap().count(), 0);
    let (result, _, _) = metadata_of(b"", WHEEL, None, |_, _| Answer::status(404));
    assert!(result.unwrap_err().concerns_one_file());
}

fn sdist(metadata_version: &str) -> Vec<u8> {
    let text = METADATA.replace("2.1", metadata_version);
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut builder = tar::Builder::new(gzip);
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder
        .append_data(&mut header, "demo-1.0/PKG-INFO", text.as_bytes())
        .unwrap();
    builder.into_inner().unwrap().finish().unwrap()
}

#[test]
fn source_distributions() {
    let bytes = sdist("2.2");
    let (result, seen, world) = metadata_of(&bytes, "demo-1.0.tar.gz", None, Answer::ranged);
    assert_eq!((needs(result).as_str(), seen.len()), ("numpy>=1", 1));
    let kept = world
        .home()
        .cache()
        .join("downloads")
        .join(Sha256::of(&bytes).to_string());
    assert_eq!(std::fs::read(kept).unwrap(), bytes);
    let (result, _, _) = metadata_of(&sdist("2.1"), "demo-1.0.tar.gz", None, Answer::ranged);
    let error = result.unwrap_err();
    assert_eq!(error.code(), "index.needs-build");
    assert!(error.concerns_one_file());
}
