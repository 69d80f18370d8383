//! The client against servers on loopback.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{
    ByteRange, NetError,
    loopback::{Answer, Loopback, client},
};
use crate::{
    error::UserError as _,
    home::Home,
    settings::{Certificates, Origin, Overrides, Setting, Settings},
};

fn settings(overrides: &Overrides) -> Settings {
    Settings::isolated(&Home::at("no-such-home"), overrides).unwrap()
}

fn index(url: String) -> Settings {
    settings(&Overrides {
        index_url: Some(url),
        ..Overrides::default()
    })
}

fn text(error: &NetError) -> String {
    use std::error::Error as _;
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    format!(
        "{error}; {source}; {}; {error:?}",
        error.hint().unwrap_or_default()
    )
}

#[test]
fn ranges_and_bodies() {
    let body: Vec<u8> = (0..=255).collect();
    let server = {
        let body = body.clone();
        Loopback::start(move |seen| Answer::ranged(seen, &body))
    };
    let client = client(&settings(&Overrides::default()));
    server.block_on(async {
        for (range, expected) in [
            (ByteRange::Span { first: 3, last: 5 }, &body[3..6]),
            (ByteRange::From(250), &body[250..]),
            (ByteRange::Last(4), &body[252..]),
        ] {
            let mut response = client
                .get(server.url("/f"))
                .range(range)
                .send()
                .await
                .unwrap();
            let told = response.content_range().unwrap();
            assert_eq!(told.total, Some(256));
            assert_eq!((told.last - told.first + 1) as usize, expected.len());
            let mut got = Vec::new();
            while let Some(chunk) = response.chunk().await.unwrap() {
                got.extend_from_slice(&chunk);
            }
            assert_eq!(got, expected);
        }
        let error = client.get(server.url("/f")).read(255).await.unwrap_err();
        assert!(matches!(error, NetError::TooLarge { limit: 255, .. }));
        assert_eq!(
            client.get(server.url("/f")).read(256).await.unwrap().body,
            body
        );
    });
    // Digests speak of the stored bytes.
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("accept-encoding") == Some("identity"))
    );
}

#[test]
fn what_may_pass_is_tried_again_and_the_rest_is_not() {
    let count = AtomicUsize::new(0);
    let server = Loopback::start(move |seen| match seen.path.as_str() {
        "/flaky" if count.fetch_add(1, Ordering::Relaxed) < 2 => Answer::status(503),
        "/flaky" => Answer::ok("fine"),
        "/busy" => Answer::status(429).with("retry-after", "0"),
        "/later" => Answer::status(429).with("retry-after", "3600"),
        "/broken" => Answer::ok("short").with("content-length", "100"),
        path => Answer::status(path[1..].parse().unwrap()),
    });
    let client = client(&settings(&Overrides::default()));
    let ask = |path: &str| server.block_on(client.get(server.url(path)).read(100));
    assert_eq!(ask("/flaky").unwrap().body, b"fine");
    assert_eq!(server.seen().len(), 3);
    for (path, requests, hint) in [
        ("/busy", 3, "too many requests"),
        ("/later", 1, "3600 seconds"),
        ("/500", 3, "problem of its own"),
        ("/401", 1, "netrc"),
        ("/403", 1, "refuses"),
        ("/404", 1, "check the address"),
        ("/407", 1, "proxy"),
    ] {
        let error = ask(path).unwrap_err();
        assert!(text(&error).contains(hint), "{}", text(&error));
        assert_eq!(server.seen().len(), requests, "{path}");
    }
    let error = ask("/broken").unwrap_err();
    assert!(matches!(error, NetError::Broken { .. }), "{error:?}");
}

#[test]
fn logins_reach_their_host_only() {
    let other = Loopback::start(|_| Answer::ok("there"));
    let target = other.url("/elsewhere");
    let server = Loopback::start(move |seen| match seen.path.as_str() {
        "/away" => Answer::status(302).with("location", target.clone()),
        "/near" => Answer::status(307).with("location", "./here?signature=geheim"),
        "/loop" => Answer::status(301).with("location", "/loop"),
        "/nowhere" => Answer::status(301),
        _ => Answer::ok("here"),
    });
    let client = client(&index(server.url_with_login("me:secret", "/simple/")));
    let ask = |path: &str| server.block_on(client.get(server.url(path)).read(100));
    assert_eq!(ask("/away").unwrap().body, b"there");
    assert_eq!(other.seen()[0].header("authorization"), None);
    // `me:secret`
    let basic = Some("Basic bWU6c2VjcmV0");
    assert_eq!(server.seen()[0].header("authorization"), basic);
    assert_eq!(ask("/near").unwrap().body, b"here");
    assert!(
        server
            .seen()
            .iter()
            .all(|seen| seen.header("authorization") == basic)
    );
    for path in ["/loop", "/nowhere"] {
        let error = ask(path).unwrap_err();
        assert!(matches!(error, NetError::Redirect { .. }), "{error:?}");
        assert!(!text(&error).contains("secret"));
    }
    // A login in the address itself, too.
    let plain = super::loopback::client(&settings(&Overrides::default()));
    let url = server.url_with_login("a:b%20c", "/x");
    server.seen();
    server.block_on(plain.get(&url).read(100)).unwrap();
    assert_eq!(
        server.seen()[0].header("authorization"),
        Some("Basic YTpiIGM=")
    );
}

#[test]
fn netrc() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("netrc");
    std::fs::write(
        &file,
        "machine 127.0.0.1 login me password secret\ndefault login x password y\n",
    )
    .unwrap();
    let server = Loopback::start(|seen| match seen.header("authorization") {
        Some("Basic bWU6c2VjcmV0") => Answer::ok("in"),
        _ => Answer::status(401),
    });
    let mut with = settings(&Overrides::default());
    let ask = |settings: &Settings| server.block_on(client(settings).get(server.url("/")).read(9));
    assert_eq!(ask(&with).unwrap_err().status(), Some(401));
    with.netrc = Some(file);
    assert_eq!(ask(&with).unwrap().body, b"in");
}

#[test]
fn failures_are_named() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let server = Loopback::start(|_| Answer::ok(""));
    let mut settings = settings(&Overrides::default());
    let ask = |settings: &Settings, url: &str| {
        server
            .block_on(client(settings).get(url).read(9))
            .unwrap_err()
    };
    let error = ask(
        &settings,
        &format!("http://me:secret@{closed}/x?token=secret"),
    );
    assert!(matches!(error, NetError::Unreachable { .. }), "{error:?}");
    assert!(!text(&error).contains("secret"));
    let error = ask(&settings, "http://no-such-host.invalid/");
    assert!(matches!(error, NetError::Resolve { .. }), "{error:?}");
    let error = ask(&settings, "ftp://me:secret@index.example/");
    assert!(matches!(error, NetError::BadUrl(_)) && !text(&error).contains("secret"));
    // Plain HTTP where TLS is expected.
    let error = ask(&settings, &server.url("/").replace("http:", "https:"));
    // A server that hangs up with bytes unread resets the connection on Windows, and that may
    // overtake its answer.
    let reset = cfg!(windows) && matches!(error, NetError::Unreachable { .. });
    assert!(reset || matches!(error, NetError::Tls { .. }), "{error:?}");

    settings.certificates = Some(Setting {
        value: Certificates {
            file: Some("no-such-file.pem".into()),
            folders: Vec::new(),
        },
        origin: Origin::Environment("SSL_CERT_FILE"),
    });
    let error = ask(&settings, &server.url("/"));
    assert!(text(&error).contains("SSL_CERT_FILE"), "{}", text(&error));

    settings.offline.value = true;
    let error = ask(&settings, &server.url("/"));
    assert!(matches!(error, NetError::Offline { .. }));
    assert!(server.seen().is_empty());
}
