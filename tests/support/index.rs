//! A package index on loopback that behaves as real ones do, including badly.
//!
//! ```text
//! /simple/                      project list
//! /simple/<project>/            releases of a project (PEP 503 or PEP 691)
//! /whl/<accelerator>/<project>/ releases on the torch index of that accelerator build
//! /files/<sha256>/<file>        files; /files/<sha256>/<file>.metadata beside them (PEP 658)
//! /python/<build>/<file>        standalone CPython builds
//! /archive/<owner>/<name>/<commit>.tar.gz   source archives
//! ```
//!
//! It listens on a port of its own, in a thread of its own, until it is dropped. Each request is
//! logged with what was sent, so that a test can tell that something was *not* downloaded.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use aienv::types::Sha256;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Method, Response, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::sync::oneshot;

use super::{
    dist::{Dist, normalised},
    pages,
    reply::{self, Content},
    tree::Tree,
};

/// How an index speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// JSON (PEP 691) for those who ask for it; HTML otherwise.
    pub json: bool,
    /// Digests stand in the URL fragments.
    pub hashes: bool,
    /// `data-requires-python` and `data-yanked` are told.
    pub attributes: bool,
    /// Sizes and upload times are told (PEP 700; JSON only).
    pub sizes: bool,
    /// Metadata files lie beside the wheels (PEP 658, 714).
    pub metadata: bool,
    /// `ETag` and `Cache-Control` are sent.
    pub caching: bool,
    /// Range requests are answered.
    pub ranges: bool,
}

impl Dialect {
    /// What many company mirrors are: links, digests and Python ranges, nothing else.
    pub const MIRROR: Self = Self {
        json: false,
        hashes: true,
        attributes: true,
        sizes: false,
        metadata: false,
        caching: false,
        ranges: true,
    };
    /// A folder listing: bare links, no ranges.
    pub const LISTING: Self = Self {
        hashes: false,
        attributes: false,
        ranges: false,
        ..Self::MIRROR
    };
    /// HTML with everything PEP 503, 592, 658 and 714 allow.
    pub const HTML: Self = Self {
        metadata: true,
        caching: true,
        ..Self::MIRROR
    };
    /// Everything: JSON, sizes, metadata files, caching headers, ranges.
    pub const FULL: Self = Self {
        json: true,
        sizes: true,
        ..Self::HTML
    };
}

/// What goes wrong with a path.
#[derive(Clone, Debug)]
pub enum Failure {
    /// This status and nothing useful.
    Status(u16),
    /// This status with a `Retry-After` header.
    RetryAfter {
        /// 429 or 503.
        status: u16,
        /// Value of the header.
        seconds: u32,
    },
    /// A web page with a login form, status 200.
    LoginPage,
    /// Something that is hardly HTML, status 200.
    Garbage,
    /// The connection ends after this many bytes of the body.
    BreakAfter(usize),
    /// A body of the right length with other bytes.
    WrongBytes,
    /// Only so many bytes, said to be all.
    Truncated(usize),
    /// A part at a time, with a pause before each.
    Slow {
        /// Bytes in a part.
        chunk: usize,
        /// Time before each part.
        pause: Duration,
    },
}

/// One answered request.
#[derive(Clone, Debug)]
pub struct Logged {
    /// `GET` or `HEAD`.
    pub method: String,
    /// Path, percent-decoded.
    pub path: String,
    /// `Range` header.
    pub range: Option<String>,
    /// `Authorization` header, decoded if basic: `user:password`.
    pub credentials: Option<String>,
    /// `Accept` header.
    pub accept: Option<String>,
    /// `If-None-Match` header.
    pub if_none_match: Option<String>,
    /// Status of the answer.
    pub status: u16,
    /// Length of the answer's body as stated in the headers.
    pub bytes: u64,
}

struct Rule {
    path_end: String,
    failure: Failure,
    /// How often it still applies; for ever when absent.
    left: Option<u32>,
}

struct Contents {
    dialect: Dialect,
    /// Files by index (`simple` or an accelerator), then by project.
    projects: BTreeMap<String, BTreeMap<String, Vec<Dist>>>,
    /// Everything served by exact path besides projects.
    others: BTreeMap<String, Vec<u8>>,
    credentials: Option<(String, String)>,
    rules: Vec<Rule>,
    log: Vec<Logged>,
}

type Shared = Arc<Mutex<Contents>>;

/// The running server.
pub struct IndexServer {
    address: SocketAddr,
    shared: Shared,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl IndexServer {
    /// Starts an empty index that speaks [`Dialect::MIRROR`].
    pub fn start() -> Self {
        let shared = Arc::new(Mutex::new(Contents {
            dialect: Dialect::MIRROR,
            projects: BTreeMap::new(),
            others: BTreeMap::new(),
            credentials: None,
            rules: Vec::new(),
            log: Vec::new(),
        }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    served = axum::serve(listener, router) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self {
            address,
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Contents) -> T) -> T {
        act(&mut self.shared.lock().unwrap())
    }

    /// Stops answering: from now on connections are refused.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// An absolute URL; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The simple API.
    pub fn simple(&self) -> String {
        self.url("/simple/")
    }

    /// The simple API with credentials in the URL.
    pub fn simple_as(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@{}/simple/", self.address)
    }

    /// Chooses how the index speaks.
    pub fn speak(&self, dialect: Dialect) -> &Self {
        self.with(|contents| contents.dialect = dialect);
        self
    }

    /// Publishes a file.
    pub fn add(&self, dist: impl Into<Dist>) -> &Self {
        self.publish("simple", dist.into())
    }

    /// Publishes a file on the torch index of one accelerator build (`cpu`, `cu128`, …).
    pub fn add_torch(&self, accelerator: &str, dist: impl Into<Dist>) -> &Self {
        self.publish(accelerator, dist.into())
    }

    fn publish(&self, index: &str, dist: Dist) -> &Self {
        self.with(|contents| {
            let projects = contents.projects.entry(index.to_owned()).or_default();
            let files = projects.entry(dist.project.clone()).or_default();
            files.retain(|old| old.file_name != dist.file_name);
            files.push(dist);
        });
        self
    }

    /// Takes every file of a project away.
    pub fn withdraw(&self, project: &str) -> &Self {
        self.with(|contents| {
            for projects in contents.projects.values_mut() {
                projects.remove(&normalised(project));
            }
        });
        self
    }

    /// Publishes a standalone CPython build.
    pub fn add_python(&self, build: &str, file: &str, bytes: Vec<u8>) -> &Self {
        self.put(&format!("/python/{build}/{file}"), bytes)
    }

    /// Publishes a source tree as an archive.
    pub fn add_tree(&self, tree: &Tree) -> &Self {
        self.add_archive(tree, tree.archive())
    }

    /// Publishes these bytes as the archive of a source tree.
    pub fn add_archive(&self, tree: &Tree, archive: Vec<u8>) -> &Self {
        let (repository, commit) = (&tree.repository, &tree.commit);
        self.put(&format!("/archive/{repository}/{commit}.tar.gz"), archive)
    }

    /// Serves bytes at a path.
    pub fn put(&self, path: &str, bytes: Vec<u8>) -> &Self {
        self.with(|contents| contents.others.insert(path.to_owned(), bytes));
        self
    }

    /// Demands credentials (basic authentication) for everything.
    pub fn require_credentials(&self, user: &str, password: &str) -> &Self {
        self.with(|contents| contents.credentials = Some((user.into(), password.into())));
        self
    }

    /// From now on, every path that ends with `path_end` fails; an empty one means all.
    pub fn fail(&self, path_end: &str, failure: Failure) -> &Self {
        self.rule(path_end, failure, None)
    }

    /// The next `times` requests of such a path fail.
    pub fn fail_times(&self, path_end: &str, failure: Failure, times: u32) -> &Self {
        self.rule(path_end, failure, Some(times))
    }

    fn rule(&self, path_end: &str, failure: Failure, left: Option<u32>) -> &Self {
        self.with(|contents| {
            contents.rules.push(Rule {
                path_end: path_end.to_owned(),
                failure,
                left,
            });
        });
        self
    }

    /// Nothing fails any longer.
    pub fn recover(&self) -> &Self {
        self.with(|contents| contents.rules.clear());
        self
    }

    /// All requests since the start or the last [`Self::forget`].
    pub fn requests(&self) -> Vec<Logged> {
        self.with(|contents| contents.log.clone())
    }

    /// The requests whose path contains a text.
    pub fn requests_for(&self, part: &str) -> Vec<Logged> {
        let mut requests = self.requests();
        requests.retain(|request| request.path.contains(part));
        requests
    }

    /// The successful downloads of whole or partial files (not metadata files) whose path contains
    /// a text, ranges included.
    pub fn downloads_of(&self, part: &str) -> Vec<Logged> {
        let mut requests = self.requests_for(part);
        requests.retain(|request| {
            request.method == "GET"
                && (200..300).contains(&request.status)
                && request.path.starts_with("/files/")
                && !request.path.ends_with(".metadata")
        });
        requests
    }

    /// Bytes of files with this text in their path that were sent.
    pub fn bytes_of(&self, part: &str) -> u64 {
        self.downloads_of(part).iter().map(|r| r.bytes).sum()
    }

    /// Empties the log.
    pub fn forget(&self) -> &Self {
        self.with(|contents| contents.log.clear());
        self
    }

    /// Waits until a request for such a path has come in; panics after half a minute.
    pub fn wait_for(&self, part: &str) {
        for _ in 0..600 {
            if !self.requests_for(part).is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!(
            "nobody asked for `{part}`; asked were {:#?}",
            self.requests()
        );
    }
}

impl Drop for IndexServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let headers = request.headers();
    let path = decoded(request.uri().path());
    let mut contents = shared.lock().unwrap();
    let response = contents.answer(&path, headers);
    let text = |name: header::HeaderName| {
        let value = headers.get(name).and_then(|v| v.to_str().ok());
        value.map(str::to_owned)
    };
    let length = response.headers().get(header::CONTENT_LENGTH);
    contents.log.push(Logged {
        method: request.method().to_string(),
        path,
        range: text(header::RANGE),
        credentials: credentials(headers),
        accept: text(header::ACCEPT),
        if_none_match: text(header::IF_NONE_MATCH),
        status: response.status().as_u16(),
        bytes: length
            .filter(|_| request.method() == Method::GET)
            .and_then(|v| v.to_str().ok()?.parse().ok())
            .unwrap_or(0),
    });
    response
}

impl Contents {
    fn answer(&mut self, path: &str, headers: &HeaderMap) -> Response<Body> {
        if let Some((user, password)) = &self.credentials
            && credentials(headers).as_deref() != Some(&format!("{user}:{password}"))
        {
            let mut response = reply::refuse(&Failure::Status(401)).unwrap();
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                "Basic realm=\"index\"".parse().unwrap(),
            );
            return response;
        }
        let failure = self.failure(path);
        if let Some(refusal) = failure.as_ref().and_then(reply::refuse) {
            return refusal;
        }
        match self.content(path, headers) {
            Some(content) => reply::send(&content, headers, failure.as_ref()),
            None => reply::refuse(&Failure::Status(404)).unwrap(),
        }
    }

    fn failure(&mut self, path: &str) -> Option<Failure> {
        let matching = |rule: &&mut Rule| path.ends_with(&rule.path_end) && rule.left != Some(0);
        let rule = self.rules.iter_mut().find(matching)?;
        if let Some(left) = &mut rule.left {
            *left -= 1;
        }
        Some(rule.failure.clone())
    }

    fn content(&self, path: &str, headers: &HeaderMap) -> Option<Content> {
        if let Some(bytes) = self.others.get(path) {
            return Some(self.file(bytes.clone(), "application/octet-stream"));
        }
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            ["files", digest, file] => self.artifact(digest, file),
            ["simple"] => Some(self.page(&self.project_list(), "text/html")),
            ["simple", project] => self.releases("simple", project, headers),
            ["whl", accelerator, project] => self.releases(accelerator, project, headers),
            _ => None,
        }
    }

    fn artifact(&self, digest: &str, file: &str) -> Option<Content> {
        let (name, metadata) = match file.strip_suffix(".metadata") {
            Some(name) => (name, true),
            None => (file, false),
        };
        let mut dists = self.projects.values().flat_map(BTreeMap::values).flatten();
        let dist = dists.find(|d| d.file_name == name && d.sha256().to_string() == digest)?;
        if !metadata {
            return Some(self.file(dist.bytes.clone(), "application/octet-stream"));
        }
        let text = dist.metadata.clone().filter(|_| self.dialect.metadata)?;
        Some(self.file(text.into_bytes(), "application/octet-stream"))
    }

    fn file(&self, bytes: Vec<u8>, content_type: &'static str) -> Content {
        Content {
            etag: self.dialect.caching.then(|| etag(&bytes)),
            cache_control: (self.dialect.caching)
                .then(|| "max-age=31536000, immutable, public".to_owned()),
            bytes: Bytes::from(bytes),
            content_type,
            ranges: self.dialect.ranges,
        }
    }

    fn page(&self, text: &str, content_type: &'static str) -> Content {
        let bytes = Bytes::from(text.to_owned());
        Content {
            etag: self.dialect.caching.then(|| etag(&bytes)),
            cache_control: self.dialect.caching.then(|| "max-age=600".to_owned()),
            bytes,
            content_type,
            ranges: false,
        }
    }

    fn project_list(&self) -> String {
        let mut page = String::from("<!DOCTYPE html><html><body>\n");
        for project in self
            .projects
            .get("simple")
            .into_iter()
            .flat_map(BTreeMap::keys)
        {
            let _ = writeln!(page, "<a href=\"/simple/{project}/\">{project}</a>");
        }
        page + "</body></html>\n"
    }

    fn releases(&self, index: &str, project: &str, headers: &HeaderMap) -> Option<Content> {
        let files = self.projects.get(index)?.get(&normalised(project))?;
        let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
        let json = "application/vnd.pypi.simple.v1+json";
        if self.dialect.json && accept.is_some_and(|accept| accept.contains(json)) {
            return Some(self.page(&pages::json(&self.dialect, project, files), json));
        }
        Some(self.page(
            &pages::html(&self.dialect, index, project, files),
            "text/html",
        ))
    }
}

fn credentials(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    match value.strip_prefix("Basic ") {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &Sha256::of(bytes).to_string()[..16])
}

fn decoded(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let code = (first == b'%' && tail.len() >= 2)
            .then(|| std::str::from_utf8(&tail[..2]).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
