//! A small HTTP server on loopback for tests: a function from request to answer, and a record of
//! what was asked.

#![allow(clippy::unwrap_used)]

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Body,
    http::{HeaderMap, Request as HttpRequest, Response as HttpResponse},
};
use tokio::runtime::{Handle, Runtime};

use super::{Client, Retry};
use crate::settings::Settings;

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    headers: HeaderMap,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What the server says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// `body`, or the part of it that the request wants.
    pub(crate) fn ranged(seen: &Seen, body: &[u8]) -> Self {
        let total = body.len();
        let Some(range) = seen.header("range").and_then(|r| r.strip_prefix("bytes=")) else {
            return Self::ok(body);
        };
        let (first, last) = range.split_once('-').unwrap();
        let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => (first, last.min(total - 1)),
            (Ok(first), Err(_)) => (first, total - 1),
            (Err(_), last) => (total - last.unwrap().min(total), total - 1),
        };
        let part = &body[first..=last];
        Self {
            status: 206,
            ..Self::ok(part)
        }
        .with("content-range", format!("bytes {first}-{last}/{total}"))
    }
}

/// The server; it ends when dropped.
pub(crate) struct Loopback {
    address: SocketAddr,
    runtime: Runtime,
    log: Arc<Mutex<Vec<Seen>>>,
}

impl Loopback {
    pub(crate) fn start(answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let runtime = super::runtime().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (record, answer) = (Arc::clone(&log), Arc::new(answer));
        let app = axum::Router::new().fallback(move |request: HttpRequest<Body>| {
            let (record, answer) = (Arc::clone(&record), Arc::clone(&answer));
            async move {
                let seen = Seen {
                    path: request.uri().path().to_owned(),
                    headers: request.headers().clone(),
                };
                record.lock().unwrap().push(seen.clone());
                let answer = answer(&seen);
                let mut response = HttpResponse::builder().status(answer.status);
                for (name, value) in answer.headers {
                    response = response.header(name, value);
                }
                response.body(Body::from(answer.body)).unwrap()
            }
        });
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
        Self {
            address,
            runtime,
            log,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn url_with_login(&self, login: &str, path: &str) -> String {
        format!("http://{login}@{}{path}", self.address)
    }

    pub(crate) fn handle(&self) -> Handle {
        self.runtime.handle().clone()
    }

    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// What came since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.log.lock().unwrap())
    }
}

/// A client that does not make a test wait.
pub(crate) fn client(settings: &Settings) -> Client {
    let retry = Retry {
        tries: 3,
        pause: Duration::from_millis(1),
        longest: Duration::from_secs(5),
    };
    Client::with_retry(settings, retry)
}
