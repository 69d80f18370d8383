//! Tests of the test kit: the wheels are real, the server behaves as it is told.

#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeSet, io::Read as _, time::Duration};

use support::{Dialect, Failure, IndexServer, Sdist, Tree, Wheel, World, hostile, world};

/// A plain client; `None` when the body did not arrive whole.
fn get(url: &str, headers: &[(&str, &str)]) -> (u16, reqwest::header::HeaderMap, Option<Vec<u8>>) {
    // The client wants a TLS implementation even where none is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        (status, headers, response.bytes().await.ok().map(Into::into))
    })
}

fn text(url: &str, headers: &[(&str, &str)]) -> String {
    String::from_utf8(get(url, headers).2.unwrap()).unwrap()
}

fn member(zip: &[u8], name: &str) -> String {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
    let mut text = String::new();
    archive
        .by_name(name)
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn member_names(zip: &[u8]) -> Vec<String> {
    let archive = zip::ZipArchive::new(std::io::Cursor::new(zip)).unwrap();
    let names = archive.file_names().map(|name| name.unwrap().into_owned());
    names.collect()
}

/// The first link of a page, made absolute, without its fragment.
fn first_link(page: &str, base: &str) -> String {
    let href = page.split("href=\"").nth(1).unwrap();
    let href = href.split('"').next().unwrap();
    let mut url = url::Url::parse(base).unwrap().join(href).unwrap();
    url.set_fragment(None);
    url.to_string()
}

#[test]
fn a_wheel_holds_what_was_asked_for_and_records_it() {
    let wheel = Wheel::command("Tiny.Tool", "1.0")
        .requires("other>=1")
        .extra("x", &["more", "mac; sys_platform == 'darwin'"])
        .requires_python(">=3.9")
        .script("tiny-script", "#!python\n")
        .scheme("data", "share/tiny/file.txt", "data")
        .build_number("2")
        .build();
    assert_eq!(wheel.file_name, "tiny_tool-1.0-2-py3-none-any.whl");
    assert_eq!(wheel.project, "tiny-tool");
    let metadata = member(&wheel.bytes, "tiny_tool-1.0.dist-info/METADATA");
    for line in [
        "Requires-Dist: other>=1",
        "Requires-Dist: more ; extra == 'x'",
        "Requires-Dist: mac ; (sys_platform == 'darwin') and extra == 'x'",
        "Provides-Extra: x",
        "Requires-Python: >=3.9",
    ] {
        assert!(metadata.lines().any(|l| l == line), "{line}\n{metadata}");
    }
    let record = member(&wheel.bytes, "tiny_tool-1.0.dist-info/RECORD");
    let recorded: BTreeSet<&str> = record
        .lines()
        .map(|l| l.split(',').next().unwrap())
        .collect();
    let names = member_names(&wheel.bytes);
    assert_eq!(recorded, names.iter().map(String::as_str).collect());
    assert!(recorded.contains("tiny_tool-1.0.data/scripts/tiny-script"));
}

#[test]
fn python_imports_straight_from_a_built_wheel() {
    let world = World::with_awkward_paths();
    let path = world.write("tiny.zip", Wheel::command("tiny", "1.5").build().bytes);
    let code = "import sys; sys.path.insert(0, sys.argv[1]); sys.argv[1:] = ['a b']; \
                import tiny; tiny.main()";
    let python = &world::test_python().path;
    let run = world.program(python, &["-c", code, &path.to_string_lossy()]);
    world.finish(run).ok().prints("tiny 1.5 [\"a b\"]");
}

#[test]
fn the_backend_of_a_source_distribution_builds_a_wheel() {
    let world = World::new();
    let sdist = Sdist::command("built", "2.0")
        .requires("other")
        .dynamic()
        .build();
    assert_eq!(sdist.file_name, "built-2.0.tar.gz");
    let decoder = flate2::read::GzDecoder::new(sdist.bytes.as_slice());
    tar::Archive::new(decoder).unpack(world.work()).unwrap();
    let source = world.work().join("built-2.0");
    let info = std::fs::read_to_string(source.join("PKG-INFO")).unwrap();
    assert!(info.contains("Dynamic: Requires-Dist") && !info.contains("other"));

    let code = "import sys; sys.path.insert(0, '.'); import backend; \
                print(backend.build_wheel('..'))";
    let mut run = world.program(&world::test_python().path, &["-c", code]);
    run.current_dir(&source);
    world.finish(run).ok().prints("built-2.0-py3-none-any.whl");
    let wheel = std::fs::read(world.work().join("built-2.0-py3-none-any.whl")).unwrap();
    assert!(member(&wheel, "built-2.0.dist-info/METADATA").contains("Requires-Dist: other"));
    assert!(member(&wheel, "built-2.0.dist-info/entry_points.txt").contains("built = built:main"));
}

#[test]
fn each_dialect_tells_what_it_is_meant_to() {
    let server = IndexServer::start();
    server
        .add(Wheel::library("tiny", "1.0").requires_python(">=3.9,<4"))
        .add(
            Wheel::library("tiny", "2.0")
                .build()
                .yanked("broken \"build\""),
        );
    let url = server.url("/simple/tiny/");
    let json = (
        "Accept",
        "application/vnd.pypi.simple.v1+json, text/html;q=0.1",
    );

    server.speak(Dialect::LISTING);
    let page = text(&url, &[json]);
    assert!(
        !page.contains("#sha256=") && !page.contains("data-"),
        "{page}"
    );

    server.speak(Dialect::MIRROR);
    let page = text(&url, &[json]);
    assert!(
        page.contains("data-requires-python=\"&gt;=3.9,&lt;4\""),
        "{page}"
    );
    assert!(
        page.contains("data-yanked=\"broken &quot;build&quot;\""),
        "{page}"
    );
    assert!(
        page.contains("#sha256=") && !page.contains("metadata"),
        "{page}"
    );
    let link = first_link(&page, &url);
    assert_eq!(get(&format!("{link}.metadata"), &[]).0, 404);

    server.speak(Dialect::FULL);
    assert!(text(&url, &[]).contains("data-core-metadata=\"sha256="));
    assert!(text(&format!("{link}.metadata"), &[]).contains("Version: 1.0"));
    let page: serde_json::Value = serde_json::from_str(&text(&url, &[json])).unwrap();
    assert_eq!(page["files"][1]["yanked"], "broken \"build\"");
    assert_eq!(page["files"][0]["requires-python"], ">=3.9,<4");
    assert!(page["files"][0]["size"].as_u64().unwrap() > 100);

    let etag = get(&url, &[json]).1["etag"].to_str().unwrap().to_owned();
    assert_eq!(get(&url, &[json, ("If-None-Match", &etag)]).0, 304);
    assert_eq!(
        get(&url, &[("If-None-Match", &etag)]).0,
        200,
        "HTML is another thing"
    );
}

#[test]
fn ranges_are_answered_as_the_standard_says_or_not_at_all() {
    let server = IndexServer::start();
    server.put("/file", b"0123456789".to_vec());
    let url = server.url("/file");
    for (range, status, body) in [
        ("bytes=2-4", 206, "234"),
        ("bytes=7-", 206, "789"),
        ("bytes=-3", 206, "789"),
        ("bytes=-30", 206, "0123456789"),
        ("bytes=8-99", 206, "89"),
        ("bytes=10-", 416, ""),
        ("bytes=1-2,4-5", 200, "0123456789"),
    ] {
        let (got, headers, bytes) = get(&url, &[("Range", range)]);
        assert_eq!(
            (got, bytes.unwrap().as_slice()),
            (status, body.as_bytes()),
            "{range}"
        );
        assert_eq!(
            headers.contains_key("content-range"),
            status != 200,
            "{range}"
        );
    }
    server.speak(Dialect::LISTING);
    assert_eq!(get(&url, &[("Range", "bytes=-3")]).0, 200);
    let log = server.requests();
    assert_eq!(log[0].range.as_deref(), Some("bytes=2-4"));
    assert_eq!((log[0].status, log[0].bytes), (206, 3));
}

#[test]
fn failures_come_as_ordered_and_end() {
    let server = IndexServer::start();
    server.put("/file", b"0123456789".to_vec());
    let url = server.url("/file");
    let later = Failure::RetryAfter {
        status: 429,
        seconds: 7,
    };
    server.fail_times("/file", later, 1);
    server.fail_times("/file", Failure::Status(503), 2);
    server.fail_times("/file", Failure::BreakAfter(4), 1);
    server.fail_times("/file", Failure::WrongBytes, 1);
    server.fail_times("/file", Failure::Truncated(5), 1);
    server.fail_times("/file", Failure::LoginPage, 1);
    let pause = Duration::from_millis(1);
    server.fail_times("/file", Failure::Slow { chunk: 3, pause }, 1);

    let (status, headers, _) = get(&url, &[]);
    assert_eq!(
        (status, headers["retry-after"].to_str().unwrap()),
        (429, "7")
    );
    assert_eq!(get(&url, &[]).0, 503);
    assert_eq!(get(&url, &[]).0, 503);
    assert_eq!(get(&url, &[]).2, None, "the connection breaks");
    assert_ne!(get(&url, &[]).2.unwrap(), b"0123456789");
    assert_eq!(get(&url, &[]).2.unwrap(), b"01234");
    assert!(text(&url, &[]).contains("password"));
    assert_eq!(text(&url, &[]), "0123456789", "slow, but whole");
    assert_eq!(text(&url, &[]), "0123456789");
}

#[test]
fn credentials_are_demanded_and_logged() {
    let server = IndexServer::start();
    server
        .add(Wheel::library("tiny", "1.0"))
        .require_credentials("ann", "s3cret");
    assert_eq!(get(&server.url("/simple/tiny/"), &[]).0, 401);
    let url = format!("{}tiny/", server.simple_as("ann", "s3cret"));
    assert_eq!(get(&url, &[]).0, 200);
    let log = server.requests();
    assert_eq!(log[1].credentials.as_deref(), Some("ann:s3cret"));
    assert!(
        server.downloads_of("tiny").is_empty(),
        "a page is no download"
    );
}

#[test]
fn the_torch_index_keeps_builds_apart() {
    let server = IndexServer::start();
    server.add_torch("cu128", Wheel::library("torch", "2.9.0+cu128"));
    let url = server.url("/whl/cu128/torch/");
    let page = text(&url, &[]);
    assert!(
        page.contains("torch-2.9.0%2Bcu128-py3-none-any.whl#sha256="),
        "{page}"
    );
    assert_eq!(get(&first_link(&page, &url), &[]).0, 200);
    assert_eq!(get(&server.url("/whl/cpu/torch/"), &[]).0, 404);
    assert_eq!(get(&server.url("/simple/torch/"), &[]).0, 404);
    assert_eq!(server.downloads_of("torch-2.9.0+cu128").len(), 1);
}

#[test]
fn a_source_archive_has_one_top_folder_and_a_stable_content() {
    let tree = Tree::new("acme/studio", "1.2").requirement("tiny>=1");
    assert_ne!(tree.archive(), tree.archive_recompressed());
    let list = |bytes: &[u8]| {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            (path, entry.header().mode().unwrap(), content)
        });
        entries.collect::<Vec<_>>()
    };
    let entries = list(&tree.archive());
    assert_eq!(entries, list(&tree.archive_recompressed()));
    let top = format!("studio-{}/", tree.commit);
    assert!(entries.iter().all(|(path, ..)| path.starts_with(&top)));
    assert!(
        entries
            .iter()
            .any(|(path, mode, _)| path.ends_with("run.sh") && *mode == 0o755)
    );
    let server = IndexServer::start();
    server.add_tree(&tree);
    let path = format!("/archive/acme/studio/{}.tar.gz", tree.commit);
    assert_eq!(get(&server.url(&path), &[]).2.unwrap(), tree.archive());
}

#[test]
fn hostile_archives_are_wrong_in_exactly_one_way() {
    let open = |bytes: Vec<u8>| zip::ZipArchive::new(std::io::Cursor::new(bytes));
    let read = |bytes: Vec<u8>, name: &str| {
        let mut text = Vec::new();
        let mut archive = open(bytes).unwrap();
        let mut file = archive.by_name(name).unwrap();
        file.read_to_end(&mut text).map(|_| text)
    };
    let sound = hostile::sound("evil");
    assert!(member(&sound.bytes, "evil/__init__.py").contains("def main"));
    assert_eq!(
        member(&sound.bytes, "evil-1.0.dist-info/RECORD"),
        member(
            &hostile::victim("evil").build().bytes,
            "evil-1.0.dist-info/RECORD"
        ),
    );
    assert!(open(hostile::truncated("evil").bytes).is_err());
    assert!(open(hostile::not_a_zip("evil").bytes).is_err());
    assert!(read(hostile::bad_crc("evil").bytes, "damaged.py").is_err());
    assert_eq!(
        member_names(&hostile::parent_path("evil").bytes)[0],
        "../../../../../escaped.txt"
    );
    assert_eq!(
        member_names(&hostile::absolute_path("evil", "/tmp/x").bytes)[0],
        "/tmp/x"
    );
    let linked = hostile::symlink_out("evil", "/tmp").bytes;
    assert!(open(linked).unwrap().by_index(0).unwrap().is_symlink());
    let bomb = open(hostile::bomb("evil").bytes)
        .unwrap()
        .by_index(0)
        .unwrap()
        .size();
    assert_eq!(bomb, 10, "the headers lie");
    let twice = hostile::duplicate("evil").bytes;
    let count = twice
        .windows(8)
        .filter(|window| window == b"twice.py")
        .count();
    assert_eq!(count, 4, "two local headers, two in the directory");
}

#[test]
fn a_world_shows_nothing_of_the_machine_around_it() {
    let mut world = World::with_awkward_paths();
    let shown = world.finish(world.program(
        &world::test_python().path,
        &["-c", "import os; print(*sorted(os.environ), sep='\\n')"],
    ));
    for line in shown.ok().stdout().lines() {
        assert!(
            !line.starts_with("PIP_") && !line.starts_with("UV_"),
            "{line}"
        );
    }
    world.aienv(&["--version"]).ok().prints("aienv ");
    world.aienv(&["no-such-command"]).fails(2);
    assert!(world.home_files().is_empty());
    let said = format!(
        "{}/x at {}",
        world.home().root().display(),
        world.index().simple()
    );
    assert_eq!(
        world.filtered(&said),
        "[HOME]/x at http://127.0.0.1:[PORT]/simple/"
    );
    world.index_mut().stop();
    assert!(std::net::TcpStream::connect(world.index().host()).is_err());
}
