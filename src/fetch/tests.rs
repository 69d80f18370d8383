//! Downloads from a real HTTP server on loopback that behaves well and badly.
#![allow(clippy::unwrap_used)]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body as HttpBody,
    extract::{Path as UrlPath, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::*;
use crate::{
    error::UserError,
    net::{Client, Retry},
    settings::{Overrides, Settings},
    store::{Kind, samples::SampleWheel},
};

/// How the server treats one file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Good,
    /// Ignores ranges.
    Whole,
    /// Breaks off after so many bytes, each time.
    BreaksAfter(usize),
    /// Answers with a status.
    Refuses(u16),
    /// Claims another size.
    LongerThanTold,
}

#[derive(Default)]
struct Served {
    files: Mutex<HashMap<String, (Vec<u8>, Manner)>>,
    requests: AtomicUsize,
    sent: AtomicUsize,
}

async fn serve(
    State(served): State<Arc<Served>>,
    UrlPath(name): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    served.requests.fetch_add(1, Ordering::SeqCst);
    let Some((content, manner)) = served.files.lock().unwrap().get(&name).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    if let Manner::Refuses(status) = manner {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let asked = headers
        .get("range")
        .and_then(|v| v.to_str().ok()?.strip_prefix("bytes=")?.strip_suffix('-'))
        .and_then(|from| from.parse::<usize>().ok())
        .filter(|_| manner != Manner::Whole);
    let from = asked.unwrap_or(0);
    if from >= content.len() {
        return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
    }
    let rest = content[from..].to_vec();
    let mut pieces: Vec<Result<Bytes, std::io::Error>> = rest
        .chunks(1000)
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    match manner {
        Manner::BreaksAfter(bytes) if rest.len() > bytes => {
            pieces.truncate(bytes / 1000);
            pieces.push(Err(std::io::Error::other("broken off")));
        }
        Manner::LongerThanTold => pieces.push(Ok(Bytes::from_static(b"and more"))),
        _ => {}
    }
    for piece in pieces.iter().flatten() {
        served.sent.fetch_add(piece.len(), Ordering::SeqCst);
    }
    // What was sent before a break has to leave the server's buffers.
    let pieces = stream::iter(pieces).then(|piece| async {
        if piece.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        piece
    });
    let mut response = Response::builder();
    if manner != Manner::LongerThanTold {
        response = response.header("content-length", rest.len());
    }
    if asked.is_some() {
        let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
        response = response.status(206).header("content-range", range);
    }
    response.body(HttpBody::from_stream(pieces)).unwrap()
}

fn client(home: &Home) -> Arc<Client> {
    let settings = Settings::isolated(home, &Overrides::default()).unwrap();
    let retry = Retry {
        tries: 1,
        ..Retry::default()
    };
    Arc::new(Client::with_retry(&settings, retry))
}

struct World {
    folder: tempfile::TempDir,
    home: Home,
    store: Store,
    served: Arc<Served>,
    address: SocketAddr,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join("home"));
        let store = Store::of(&home);
        let served = Arc::new(Served::default());
        let app = Router::new()
            .route("/{name}", axum::routing::get(serve))
            .with_state(Arc::clone(&served));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            folder,
            home,
            store,
            served,
            address,
        }
    }

    fn fetcher(&self) -> Fetcher {
        let options = FetchOptions {
            pause: Duration::from_millis(1),
            ..FetchOptions::default()
        };
        Fetcher::new(
            client(&self.home),
            &self.home,
            &self.store,
            Arc::new(Silent),
            options,
        )
    }

    fn serve(&self, name: &str, content: Vec<u8>, manner: Manner) {
        let mut files = self.served.files.lock().unwrap();
        files.insert(name.to_owned(), (content, manner));
    }

    /// Serves a wheel and says how to get it.
    fn wheel(&self, name: &str, manner: Manner) -> (Download, Vec<u8>) {
        // Content that does not shrink, so that the archive has a size worth breaking.
        let mut noise = Vec::new();
        let mut state = 0x2545_F491_4F6C_DD1Du64;
        while noise.len() < 50_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend(state.to_le_bytes());
        }
        let wheel = SampleWheel::new(name, "1.0").file(&format!("{name}/data.bin"), noise);
        let bytes = wheel.bytes();
        self.serve(&wheel.file_name(), bytes.clone(), manner);
        let download = Download {
            urls: vec![self.url(&wheel.file_name())],
            file_name: wheel.file_name(),
            size: Some(bytes.len() as u64),
            wanted: Wanted::Wheel(Sha256::of(&bytes)),
        };
        (download, bytes)
    }

    fn url(&self, name: &str) -> String {
        format!("http://user:secret@{}/{name}?signature=abc", self.address)
    }

    fn left(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.home.cache().join("downloads")) else {
            return Vec::new();
        };
        entries.map(|e| e.unwrap().path()).collect()
    }

    fn requests(&self) -> usize {
        self.served.requests.swap(0, Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_fetched_once_in_the_order_asked_for() {
    let world = World::new().await;
    let names = ["one", "two", "three", "four"];
    let items: Vec<Download> = names
        .iter()
        .map(|name| world.wheel(name, Manner::Good).0)
        .collect();
    let fetched = world.fetcher().ensure(items.clone()).await.unwrap();
    let got: Vec<&str> = fetched
        .iter()
        .map(|f| f.entry().unwrap().file_name.as_str())
        .collect();
    let expected: Vec<&str> = items.iter().map(|i| i.file_name.as_str()).collect();
    assert_eq!(got, expected);
    assert_eq!(world.requests(), 4);
    assert!(world.left().is_empty());
    assert!(world.fetcher().missing(&items).is_empty());
    world.fetcher().ensure(items).await.unwrap();
    assert_eq!(world.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_want_the_same_take_turns() {
    let world = World::new().await;
    let (item, _) = world.wheel("one", Manner::Good);
    let (first, second) = (world.fetcher(), world.fetcher());
    let (a, b) = tokio::join!(
        first.ensure(vec![item.clone(), item.clone()]),
        second.ensure(vec![item.clone()])
    );
    assert_eq!(a.unwrap().len() + b.unwrap().len(), 3);
    assert_eq!(world.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_breaks_off_is_resumed() {
    let world = World::new().await;
    let (item, bytes) = world.wheel("one", Manner::BreaksAfter(20_000));
    world.fetcher().ensure(vec![item]).await.unwrap();
    assert!(world.requests() >= 3);
    assert_eq!(world.served.sent.load(Ordering::SeqCst), bytes.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_run_left_is_used() {
    for manner in [Manner::Good, Manner::Whole] {
        let world = World::new().await;
        let (item, bytes) = world.wheel("one", manner);
        let part = world
            .home
            .cache()
            .join(format!("downloads/{}.part", item.key()));
        fs::create_dir_all(part.parent().unwrap()).unwrap();
        fs::write(&part, &bytes[..30_000]).unwrap();
        world.fetcher().ensure(vec![item.clone()]).await.unwrap();
        let sent = world.served.sent.load(Ordering::SeqCst);
        let expected = match manner {
            Manner::Good => bytes.len() - 30_000,
            _ => bytes.len(),
        };
        assert_eq!(sent, expected, "{manner:?}");
        assert!(world.left().is_empty());

        // All of it is there: nothing is asked for.
        world.store.remove(Kind::Wheel, &item.key()).unwrap();
        fs::write(&part, &bytes).unwrap();
        world.requests();
        world.fetcher().ensure(vec![item.clone()]).await.unwrap();
        assert_eq!(world.requests(), 0);

        // It is wrong, or longer than the whole: everything is fetched again.
        for wrong in [vec![0; 30_000], vec![0; bytes.len()], vec![0; 99_000]] {
            world.store.remove(Kind::Wheel, &item.key()).unwrap();
            fs::write(&part, wrong).unwrap();
            world.fetcher().ensure(vec![item.clone()]).await.unwrap();
        }
        let unknown = Download {
            size: None,
            ..item.clone()
        };
        world.store.remove(Kind::Wheel, &item.key()).unwrap();
        fs::write(&part, vec![0; 99_000]).unwrap();
        world.fetcher().ensure(vec![unknown]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_content_is_refused_and_removed() {
    let world = World::new().await;
    let (mut item, bytes) = world.wheel("one", Manner::Good);
    item.wanted = Wanted::Wheel(Sha256::of("another"));
    let error = world.fetcher().ensure(vec![item]).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, FetchError::Digest { .. }), "{text}");
    assert!(text.contains(&Sha256::of(&bytes).to_string()), "{text}");
    assert!(text.contains("one-1.0"), "{text}");
    assert!(
        !text.contains("secret") && !text.contains("signature"),
        "{text}"
    );
    assert!(world.left().is_empty());
    assert_eq!(world.store.size().bytes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_that_do_not_match_are_refused() {
    let world = World::new().await;
    let (mut item, bytes) = world.wheel("one", Manner::Good);
    item.size = Some(bytes.len() as u64 + 1);
    let error = world.fetcher().ensure(vec![item]).await.unwrap_err();
    assert!(matches!(error, FetchError::Size { .. }), "{error}");
    let (item, _) = world.wheel("two", Manner::LongerThanTold);
    let error = world.fetcher().ensure(vec![item]).await.unwrap_err();
    assert!(matches!(error, FetchError::Size { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_refuse() {
    let world = World::new().await;
    let (bad, _) = world.wheel("one", Manner::Refuses(503));
    let error = world.fetcher().ensure(vec![bad.clone()]).await.unwrap_err();
    assert!(matches!(error, FetchError::Source { .. }));
    assert_eq!(world.requests(), 5);
    let (missing, _) = world.wheel("one", Manner::Refuses(404));
    world.fetcher().ensure(vec![missing]).await.unwrap_err();
    assert_eq!(world.requests(), 1);

    // Another address helps.
    let (good, bytes) = world.wheel("one", Manner::Good);
    world.serve("mirror", bytes, Manner::Good);
    world.serve(&good.file_name, Vec::new(), Manner::Refuses(403));
    let mirrored = Download {
        urls: vec![good.urls[0].clone(), world.url("mirror")],
        ..good
    };
    world.fetcher().ensure(vec![mirrored]).await.unwrap();
    let nowhere = Download {
        urls: Vec::new(),
        ..world.wheel("two", Manner::Good).0
    };
    let error = world.fetcher().ensure(vec![nowhere]).await.unwrap_err();
    assert!(matches!(error, FetchError::NoAddress { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_right_but_bad_leaves_nothing() {
    let world = World::new().await;
    let bytes = b"this is no archive".to_vec();
    world.serve("bad", bytes.clone(), Manner::Good);
    let item = Download {
        file_name: "bad-1.0-py3-none-any.whl".to_owned(),
        urls: vec![world.url("bad")],
        size: None,
        wanted: Wanted::Wheel(Sha256::of(&bytes)),
    };
    let error = world.fetcher().ensure(vec![item]).await.unwrap_err();
    assert_eq!(error.code(), "store.bad-archive");
    assert!(world.left().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_trees() {
    let world = World::new().await;
    world.serve("sdist", b"source".to_vec(), Manner::Good);
    let file = Download {
        file_name: "p-1.tar.gz".to_owned(),
        urls: vec![world.url("sdist")],
        size: Some(6),
        wanted: Wanted::File(Sha256::of("source")),
    };
    let fetched = world.fetcher().ensure(vec![file.clone()]).await.unwrap();
    let path = fetched[0].file().unwrap().path();
    assert_eq!(fs::read(path).unwrap(), b"source");
    world.fetcher().ensure(vec![file.clone()]).await.unwrap();
    assert_eq!(world.requests(), 1);
    // Changed since: noticed, and fetched again.
    fs::write(path, "other!").unwrap();
    let fetched = world.fetcher().ensure(vec![file]).await.unwrap();
    assert_eq!(
        fs::read(fetched[0].file().unwrap().path()).unwrap(),
        b"source"
    );

    use crate::store::samples::{TarEntry, tar_gz_of};
    let entries = [TarEntry::File("top/main.py", b"x", 0o644)];
    world.serve("tree", tar_gz_of(&entries, 6, 0), Manner::Good);
    let mut tree = Download {
        file_name: "owner/name@commit".to_owned(),
        urls: vec![world.url("tree")],
        size: None,
        wanted: Wanted::Tree(None),
    };
    let fetched = world.fetcher().ensure(vec![tree.clone()]).await.unwrap();
    let key = fetched[0].entry().unwrap().key;
    tree.wanted = Wanted::Tree(Some(key));
    world.requests();
    world.fetcher().ensure(vec![tree.clone()]).await.unwrap();
    assert_eq!(world.requests(), 0);
    tree.wanted = Wanted::Tree(Some(Sha256::of("another")));
    let error = world.fetcher().ensure(vec![tree]).await.unwrap_err();
    assert_eq!(error.code(), "store.tree-hash");
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_keeps_what_is_there() {
    let world = World::new().await;
    let (item, bytes) = world.wheel("one", Manner::BreaksAfter(20_000));
    let options = FetchOptions {
        pause: Duration::from_secs(3600),
        ..FetchOptions::default()
    };
    let fetcher = Fetcher::new(
        client(&world.home),
        &world.home,
        &world.store,
        Arc::new(Silent),
        options,
    );
    let part = world
        .home
        .cache()
        .join(format!("downloads/{}.part", item.key()));
    let running = tokio::spawn({
        let item = item.clone();
        async move { fetcher.ensure(vec![item]).await }
    });
    for _ in 0..2000 {
        if fs::metadata(&part).is_ok_and(|m| m.len() == 20_000) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.abort();
    let _ = running.await;
    world.served.sent.store(0, Ordering::SeqCst);
    world.fetcher().ensure(vec![item]).await.unwrap();
    assert_eq!(
        world.served.sent.load(Ordering::SeqCst),
        bytes.len() - 20_000
    );
}

#[tokio::test]
async fn no_room_is_told_before_anything_is_downloaded() {
    let world = World::new().await;
    let (mut item, _) = world.wheel("one", Manner::Good);
    item.size = Some(u64::MAX / 4);
    let error = world.fetcher().ensure(vec![item]).await.unwrap_err();
    assert!(matches!(error, FetchError::NoRoom { .. }), "{error}");
    assert_eq!(world.requests(), 0);
    assert!(world.folder.path().exists());
}
