//! Pages as real indexes write them, and bytes as nobody should.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn page(body: &str, kind: &str) -> Result<Releases, NotAnIndex> {
    let address = Url::parse("https://index.example/simple/demo/").unwrap();
    parse(body.as_bytes(), kind, &address, &"demo".parse().unwrap())
}

fn only(releases: &Releases) -> &DistFile {
    let files: Vec<_> = releases.versions.values().flatten().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0]
}

#[test]
fn html_attributes_entities_and_relative_links() {
    let digest = "0A".repeat(32);
    let releases = page(
        &format!(
            "<!DOCTYPE html><HTML><head><base href='../../files/'></head><body>\
             <script>var s = '<a href=\"demo-9-py3-none-any.whl\">';</script>\
             <a rel=x HREF=\"a/demo-1.0%2Bcpu-py3-none-any.whl#md5=1&amp;sha256={digest}\" \
              data-requires-python=\"&gt;=3.8, &lt;4\" data-yanked data-core-metadata='sha256={digest}' data-dist-info-metadata=true>x</a>\
             <a href='demo-1.0.exe'>no</a><a name=x>no</a><a href='http://[bad'>no</a>"
        ),
        "text/html",
    )
    .unwrap();
    let file = only(&releases);
    assert_eq!(
        file.url,
        "https://index.example/files/a/demo-1.0%2Bcpu-py3-none-any.whl"
    );
    assert_eq!(file.file_name, "demo-1.0+cpu-py3-none-any.whl");
    assert_eq!(file.sha256.unwrap().to_string(), digest.to_lowercase());
    assert_eq!(
        file.requires_python.as_ref().unwrap().to_string(),
        ">=3.8, <4"
    );
    assert_eq!(file.yanked.as_deref(), Some(""));
    assert_eq!(file.metadata_file.unwrap().sha256, file.sha256);
}

#[test]
fn logins_do_not_come_out_of_a_page() {
    let releases = page(
        "<a href='https://me:secret@files.example/demo-1.zip'>x</a>",
        "text/html",
    )
    .unwrap();
    assert_eq!(only(&releases).url, "https://files.example/demo-1.zip");
}

#[test]
fn wheels_for_foreign_machines_go_where_there_are_others() {
    let links = |names: &[&str]| {
        let links: Vec<_> = names
            .iter()
            .map(|name| format!("<a href='{name}'>x</a>"))
            .collect();
        page(&links.concat(), "text/html").unwrap()
    };
    let releases = links(&[
        "demo-1-cp312-cp312-win32.whl",
        "demo-1-cp312-cp312-win_amd64.whl",
        "demo-1.tar.gz",
        "demo-2-cp27-cp27m-win32.whl",
        "demo-2.tar.gz",
    ]);
    let counts: Vec<_> = releases.versions.values().map(Vec::len).collect();
    assert_eq!(counts, [2, 2]);
}

#[test]
fn metadata_files_with_and_without_digest() {
    let digest = Sha256::of("metadata");
    let with = Some(MetadataFile {
        sha256: Some(digest),
    });
    let without = Some(MetadataFile::default());
    for (html, json, expected) in [
        (String::new(), "null".to_owned(), None),
        ("data-core-metadata".to_owned(), "true".to_owned(), without),
        (
            "data-core-metadata=FALSE".to_owned(),
            "false".to_owned(),
            None,
        ),
        (
            "data-core-metadata='md5=00'".to_owned(),
            "{\"md5\": \"00\"}".to_owned(),
            without,
        ),
        (
            format!("data-dist-info-metadata=sha256={digest} data-core-metadata=false"),
            format!("{{\"sha256\": \"{digest}\"}}"),
            with,
        ),
    ] {
        let html = format!("<a {html} href='demo-1-py3-none-any.whl'>x</a>");
        let releases = page(&html, "text/html").unwrap();
        assert_eq!(only(&releases).metadata_file, expected, "{html}");
        let json = format!(
            r#"{{"files": [{{"filename": "demo-1-py3-none-any.whl", "url": "x",
                "core-metadata": {json}}}]}}"#
        );
        let releases = page(&json, "application/json").unwrap();
        assert_eq!(only(&releases).metadata_file, expected, "{json}");
    }
}

#[test]
fn json_fields() {
    let digest = "0b".repeat(32);
    let body = format!(
        r#"{{"meta": {{"api-version": "1.3"}}, "name": "demo", "files": [
            {{"filename": "demo-2-py3-none-any.whl", "url": "/f/demo-2-py3-none-any.whl",
              "hashes": {{"sha256": "{digest}"}}, "requires-python": ">=3.9", "size": 12,
              "yanked": "broken", "core-metadata": {{"sha256": "{digest}"}}, "more": 1}},
            {{"filename": "demo-3-py3-none-any.whl"}},
            7
        ]}}"#
    );
    let releases = page(&body, "application/vnd.pypi.simple.v1+json").unwrap();
    let file = only(&releases);
    assert_eq!(file.url, "https://index.example/f/demo-2-py3-none-any.whl");
    assert_eq!(
        (file.size, file.yanked.as_deref()),
        (Some(12), Some("broken"))
    );
    assert!(file.sha256.is_some());
    assert_eq!(file.metadata_file.unwrap().sha256, file.sha256);
    // Without a useful type, too.
    assert_eq!(page(&body, "text/plain").unwrap().versions.len(), 1);
}

#[test]
fn pages_that_are_not_of_an_index() {
    for (body, kind, expected) in [
        (
            "<form action=/login><input type=password></form>",
            "text/html",
            "a form",
        ),
        ("<html><h1>It works!</h1>", "text/html", "without links"),
        (
            "<a href='/about'>about</a>",
            "text/html",
            "links are not files",
        ),
        ("", "text/html", "neither"),
        ("hello", "text/plain", "text/plain"),
        ("{\"detail\": \"no\"}", "application/json", "another shape"),
        ("[]", "application/json", "another shape"),
        (
            "{\"meta\":{\"api-version\":\"2.0\"},\"files\":[]}",
            "application/json",
            "version 2.0",
        ),
    ] {
        let NotAnIndex(found) = page(body, kind).unwrap_err();
        assert!(found.contains(expected), "{found}");
    }
    for (body, kind) in [
        ("<h1>Links for demo</h1>", "text/html"),
        ("<title>Links for demo</title>", "text/html"),
        (
            "<meta name='pypi:repository-version' content='1.0'>",
            "text/html",
        ),
        ("{\"files\": []}", "application/json"),
    ] {
        assert!(page(body, kind).unwrap().versions.is_empty());
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..300), json: bool) {
        let address = Url::parse("https://index.example/simple/demo/").unwrap();
        let kind = if json { "application/json" } else { "text/html" };
        let _ = parse(&body, kind, &address, &"demo".parse().unwrap());
    }

    #[test]
    fn no_markup_panics(parts in proptest::collection::vec(
        prop_oneof![
            Just("<a href="), Just("'"), Just("\""), Just(">"), Just("demo-1-py3-none-any.whl"),
            Just("#sha256="), Just("<base href="), Just("</script>"), Just("<script>"),
            Just("data-requires-python="), Just(">=3"), Just("&gt;"), Just("<!--"), Just("\0"),
            Just("<textarea>"), Just("http://"), Just("//"), Just(" "), Just("é"),
        ], 0..40)) {
        let _ = page(&parts.concat(), "text/html");
    }

    #[test]
    fn no_json_panics(parts in proptest::collection::vec(
        prop_oneof![
            Just("{"), Just("}"), Just("["), Just("]"), Just(","), Just(":"), Just("\"files\""),
            Just("\"url\""), Just("\"filename\""), Just("\"demo-1.zip\""), Just("1e999"),
            Just("null"), Just("\"meta\""), Just("true"),
        ], 0..30)) {
        let _ = page(&parts.concat(), "application/json");
    }
}
