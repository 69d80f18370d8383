//! How a body goes over the wire: whole, by range, not modified, or broken in a chosen way.

use std::{io, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, Response, StatusCode, header},
};
use futures_util::stream;

use super::index::Failure;

/// What a path holds.
#[derive(Clone, Debug)]
pub struct Content {
    /// The bytes.
    pub bytes: Bytes,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `ETag`, when the server sends one.
    pub etag: Option<String>,
    /// `Cache-Control`, when the server sends one.
    pub cache_control: Option<String>,
    /// Range requests are answered.
    pub ranges: bool,
}

/// Why a range could not be read or given.
enum Range {
    /// The whole body.
    Whole,
    /// Some bytes: first and one past the last.
    Part(usize, usize),
    /// Nothing there.
    Unsatisfiable,
}

/// A single `bytes=` range (RFC 9110, 14.1.2). Several ranges at once count as none, which the
/// standard allows.
fn requested_range(headers: &HeaderMap, length: usize) -> Range {
    let text = headers.get(header::RANGE).and_then(|v| v.to_str().ok());
    let Some(spec) = text.and_then(|t| t.strip_prefix("bytes=")) else {
        return Range::Whole;
    };
    let Some((first, last)) = spec.split_once('-').filter(|_| !spec.contains(',')) else {
        return Range::Whole;
    };
    match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), _) if first >= length => Range::Unsatisfiable,
        (Ok(first), Ok(last)) if last >= first => Range::Part(first, (last + 1).min(length)),
        (Ok(first), Err(_)) if last.is_empty() => Range::Part(first, length),
        (Err(_), Ok(0)) => Range::Unsatisfiable,
        (Err(_), Ok(suffix)) if first.is_empty() => {
            Range::Part(length.saturating_sub(suffix), length)
        }
        _ => Range::Whole,
    }
}

/// Answers with the content, or the part of it that was asked for.
pub fn send(content: &Content, headers: &HeaderMap, failure: Option<&Failure>) -> Response<Body> {
    let matches = |name: header::HeaderName| {
        let sent = headers.get(name).and_then(|v| v.to_str().ok());
        sent.is_some() && sent == content.etag.as_deref()
    };
    let mut response = Response::builder();
    if let Some(etag) = &content.etag {
        response = response.header(header::ETAG, etag);
    }
    if let Some(cache) = &content.cache_control {
        response = response.header(header::CACHE_CONTROL, cache);
    }
    if matches(header::IF_NONE_MATCH) {
        let response = response.status(StatusCode::NOT_MODIFIED);
        return response.body(Body::empty()).unwrap();
    }
    if content.ranges {
        response = response.header(header::ACCEPT_RANGES, "bytes");
    }
    response = response.header(header::CONTENT_TYPE, content.content_type);

    let length = content.bytes.len();
    let stale = headers.contains_key(header::IF_RANGE) && !matches(header::IF_RANGE);
    let range = if content.ranges && !stale {
        requested_range(headers, length)
    } else {
        Range::Whole
    };
    let body = match range {
        Range::Whole => content.bytes.clone(),
        Range::Part(first, end) => {
            response = response.status(StatusCode::PARTIAL_CONTENT).header(
                header::CONTENT_RANGE,
                format!("bytes {first}-{}/{length}", end - 1),
            );
            content.bytes.slice(first..end)
        }
        Range::Unsatisfiable => {
            let range = format!("bytes */{length}");
            let response = response.status(StatusCode::RANGE_NOT_SATISFIABLE);
            let response = response.header(header::CONTENT_RANGE, range);
            return response.body(Body::empty()).unwrap();
        }
    };
    let body = damaged(body, failure);
    response
        .header(header::CONTENT_LENGTH, body.1)
        .body(body.0)
        .unwrap()
}

/// The body and the length it is said to have.
fn damaged(bytes: Bytes, failure: Option<&Failure>) -> (Body, usize) {
    let length = bytes.len();
    match failure {
        Some(Failure::WrongBytes) => {
            let wrong: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x5a).collect();
            (Body::from(wrong), length)
        }
        Some(Failure::Truncated(keep)) => {
            let short = bytes.slice(..length.min(*keep));
            let length = short.len();
            (Body::from(short), length)
        }
        Some(Failure::BreakAfter(keep)) if *keep < length => {
            let first = Ok(bytes.slice(..*keep));
            let broken = Err(io::Error::from(io::ErrorKind::ConnectionReset));
            // The pause lets the first part leave before the connection does.
            let parts = stream::unfold(vec![broken, first], |mut parts| async move {
                let part = parts.pop()?;
                if part.is_err() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Some((part, parts))
            });
            (Body::from_stream(parts), length)
        }
        Some(Failure::Slow { chunk, pause }) => {
            let (chunk, pause) = (*chunk, *pause);
            let parts = stream::unfold(bytes, move |mut rest| async move {
                if rest.is_empty() {
                    return None;
                }
                tokio::time::sleep(pause).await;
                let part = rest.split_to(chunk.min(rest.len()));
                Some((Ok::<_, io::Error>(part), rest))
            });
            (Body::from_stream(parts), length)
        }
        _ => (Body::from(bytes), length),
    }
}

/// A refusal that carries no content of the index.
pub fn refuse(failure: &Failure) -> Option<Response<Body>> {
    let text = |status: u16, kind: &str, body: String| {
        let response = Response::builder().status(status);
        let response = response.header(header::CONTENT_TYPE, kind);
        response.body(Body::from(body)).unwrap()
    };
    Some(match failure {
        Failure::Status(status) => text(*status, "text/plain", format!("status {status}\n")),
        Failure::RetryAfter { status, seconds } => {
            let mut response = text(*status, "text/plain", "later\n".to_owned());
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, (*seconds).into());
            response
        }
        Failure::LoginPage => text(
            200,
            "text/html; charset=utf-8",
            "<!doctype html><title>Sign in</title><form action=\"/login\" method=\"post\">\
             <input name=\"user\"><input type=\"password\" name=\"password\">\
             <a href=\"/help\">Help</a></form>"
                .to_owned(),
        ),
        Failure::Garbage => text(
            200,
            "text/html",
            "<<<html\u{0}\u{1}</a><a href=><a href='::::'>\u{fffd}%%%\"<table><tr<".repeat(20),
        ),
        _ => return None,
    })
}
