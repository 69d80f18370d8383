//! One GET request: retries, redirects, logins; and its answer.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::{
    StatusCode,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName,
        HeaderValue, IF_RANGE, LOCATION, RANGE, RETRY_AFTER,
    },
};
use url::Url;

use super::{
    Client, NetError,
    error::{Cause, shown},
};
use crate::settings::{Login, SourceUrl};

/// Redirects followed before giving up.
const MAX_HOPS: usize = 10;

/// Which bytes of an artifact are wanted (RFC 9110, section 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to the last, both included.
    Span {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
    },
    /// From this offset to the end.
    From(u64),
    /// That many bytes at the end.
    Last(u64),
}

/// Where the bytes of a partial answer lie (`Content-Range`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte.
    pub last: u64,
    /// Size of the whole, when told.
    pub total: Option<u64>,
}

impl ContentRange {
    fn parse(text: &str) -> Option<Self> {
        let (span, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let range = Self {
            first: first.trim().parse().ok()?,
            last: last.trim().parse().ok()?,
            total: match total.trim() {
                "*" => None,
                total => Some(total.parse().ok()?),
            },
        };
        let inside = range.total.is_none_or(|total| range.last < total);
        (range.first <= range.last && inside).then_some(range)
    }
}

/// A GET request.
#[derive(Clone)]
#[must_use = "nothing happens before `send` or `read`"]
pub struct Request {
    client: Client,
    url: Result<Url, NetError>,
    login: Option<Login>,
    headers: HeaderMap,
    compressed: bool,
}

impl Request {
    pub(super) fn new(client: Client, url: &str) -> Self {
        let parsed = SourceUrl::parse(url);
        Self {
            client,
            login: parsed.as_ref().ok().and_then(|url| url.login().cloned()),
            url: parsed.map(|url| url.url().clone()).map_err(NetError::from),
            headers: HeaderMap::new(),
            compressed: false,
        }
    }

    /// Adds a header. A value that HTTP cannot carry is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Asks for a part. Check [`Response::content_range`]: a server may send the whole instead.
    pub fn range(self, range: ByteRange) -> Self {
        let value = match range {
            ByteRange::Span { first, last } => format!("bytes={first}-{last}"),
            ByteRange::From(first) => format!("bytes={first}-"),
            ByteRange::Last(count) => format!("bytes=-{count}"),
        };
        self.header(RANGE, &value)
    }

    /// With a range: the whole is wanted instead if the artifact is no longer the one with this
    /// strong `ETag` (or `Last-Modified`).
    pub fn if_range(self, validator: &str) -> Self {
        self.header(IF_RANGE, validator)
    }

    /// The answer is a page: it may come compressed and is handed out decompressed.
    pub fn page(mut self) -> Self {
        self.compressed = true;
        self
    }

    /// Sends it, again where that may help, and gives the answer once its head is there: status
    /// 2xx, or 304 when the request had a condition.
    ///
    /// # Errors
    /// Any other status is [`NetError::Status`].
    pub async fn send(self) -> Result<Response, NetError> {
        self.with_patience(|| self.once()).await
    }

    /// Like [`send`](Self::send), and reads the whole body, of at most `limit` bytes, into memory;
    /// a body that breaks off is asked for again.
    ///
    /// # Errors
    /// [`NetError::TooLarge`] beyond the limit.
    pub async fn read(self, limit: u64) -> Result<Page, NetError> {
        self.with_patience(|| async {
            let mut response = self.once().await?;
            let too_large = NetError::TooLarge {
                url: response.shown.clone(),
                limit,
            };
            if response.content_length().is_some_and(|size| size > limit) {
                return Err(too_large);
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if (body.len() + chunk.len()) as u64 > limit {
                    return Err(too_large);
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Page {
                status: response.status(),
                content_range: response.content_range(),
                headers: response.inner.headers().clone(),
                url: response.url,
                body,
            })
        })
        .await
    }

    async fn with_patience<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, NetError>
    where
        F: Future<Output = Result<T, NetError>>,
    {
        let retry = self.client.inner.retry;
        let mut tried = 0;
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            tried += 1;
            if !error.may_pass() {
                return Err(error);
            }
            // A name that cannot be resolved rarely can a second later; one more try is for
            // networks that are just coming up.
            if matches!(error, NetError::Resolve { .. }) && tried > 1 {
                return Err(error);
            }
            let Some(pause) = retry.pause_after(tried, error.retry_after()) else {
                return Err(error);
            };
            tracing::debug!("{error}; trying again in {pause:?}");
            tokio::time::sleep(pause).await;
        }
    }

    /// One try, redirects included.
    async fn once(&self) -> Result<Response, NetError> {
        let first = self.url.clone()?;
        if self.client.inner.offline {
            return Err(NetError::Offline { url: shown(&first) });
        }
        let mut url = first.clone();
        let mut downgraded = false;
        for _ in 0..=MAX_HOPS {
            let response = self.hop(&url, &first, downgraded).await?;
            let status = response.status();
            if status.is_success() || status == StatusCode::NOT_MODIFIED {
                return Ok(Response {
                    shown: shown(&url),
                    url,
                    inner: response,
                    proxied: self.client.may_use_proxy(),
                });
            }
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Err(NetError::Status {
                    url: shown(&url),
                    status: status.as_u16(),
                    retry_after: retry_after(response.headers(), SystemTime::now()),
                });
            }
            let next = redirect_target(&url, response.headers()).ok_or(NetError::Redirect {
                url: shown(&first),
                problem: "to an address that cannot be used",
            })?;
            downgraded |= url.scheme() == "https" && next.scheme() == "http";
            tracing::debug!("`{}` redirects to `{}`", shown(&url), shown(&next));
            url = next;
        }
        Err(NetError::Redirect {
            url: shown(&first),
            problem: "too many times",
        })
    }

    async fn hop(
        &self,
        url: &Url,
        first: &Url,
        downgraded: bool,
    ) -> Result<reqwest::Response, NetError> {
        let http = self.client.http(self.compressed)?;
        tracing::trace!("GET `{}` {:?}", shown(url), self.headers.get(RANGE));
        let mut headers = self.headers.clone();
        if !self.compressed {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if url.origin() != first.origin() {
            // Whoever asked for a login header meant the host asked first.
            headers.remove(AUTHORIZATION);
        }
        let own = (url.origin() == first.origin())
            .then(|| self.login.clone())
            .flatten();
        let mut request = http.get(url.clone()).headers(headers);
        if let Some(login) = own.or_else(|| self.client.inner.logins.find(url, downgraded)) {
            request = request.basic_auth(login.user, Some(login.password));
        }
        request
            .send()
            .await
            .map_err(|error| NetError::of_send(url, error, self.client.may_use_proxy()))
    }
}

/// Where a redirect leads. A login in it is dropped: it is the server's word, not the user's.
fn redirect_target(url: &Url, headers: &HeaderMap) -> Option<Url> {
    let location = headers.get(LOCATION)?.as_bytes();
    let mut next = url.join(std::str::from_utf8(location).ok()?).ok()?;
    let _ = crate::settings::take_login(&mut next);
    next.set_fragment(None);
    matches!(next.scheme(), "http" | "https").then_some(next)
}

/// `Retry-After`: seconds or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The head of an answer, with the body still to come.
pub struct Response {
    inner: reqwest::Response,
    url: Url,
    shown: String,
    proxied: bool,
}

impl Response {
    /// Status: 2xx or 304.
    pub fn status(&self) -> u16 {
        self.inner.status().as_u16()
    }

    /// The address that answered, after redirects. It may carry a signature: not for printing.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// A header as text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.inner.headers().get(name)?.to_str().ok()
    }

    /// Bytes of the body that will come, if told.
    pub fn content_length(&self) -> Option<u64> {
        self.inner.content_length()
    }

    /// Which part came: `Some` only for status 206 with a readable `Content-Range`.
    pub fn content_range(&self) -> Option<ContentRange> {
        if self.inner.status() != StatusCode::PARTIAL_CONTENT {
            return None;
        }
        ContentRange::parse(self.header(CONTENT_RANGE)?)
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// The connection broke or fell silent. What came so far is good; ask for the rest by range.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        self.inner.chunk().await.map_err(|error| {
            match NetError::of_send(&self.url, error, self.proxied) {
                timeout @ NetError::Timeout { .. } => timeout,
                broken @ NetError::Broken { .. } => broken,
                other => NetError::Broken {
                    url: self.shown.clone(),
                    source: Cause::new(other.to_string()),
                },
            }
        })
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Page {
    /// Status: 2xx or 304.
    pub status: u16,
    /// The address that answered, after redirects.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Which part came, for status 206.
    pub content_range: Option<ContentRange>,
    /// The body.
    pub body: Vec<u8>,
}

impl Page {
    /// A header as text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Content-Type` without parameters, lower case.
    pub fn content_type(&self) -> String {
        let full = self.header(CONTENT_TYPE).unwrap_or_default();
        let kind = full.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    }
}

#[cfg(test)]
mod unit {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn content_ranges() {
        assert_eq!(
            ContentRange::parse("bytes 5-9/10"),
            Some(ContentRange {
                first: 5,
                last: 9,
                total: Some(10)
            })
        );
        assert_eq!(ContentRange::parse("bytes 0-0/*").unwrap().total, None);
        for bad in [
            "bytes */10",
            "bytes 5-4/10",
            "bytes 5-10/10",
            "items 0-1/2",
            "bytes 1/2",
        ] {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(7)));
        let date = httpdate::fmt_http_date(now + Duration::from_secs(30));
        headers.insert(RETRY_AFTER, HeaderValue::from_str(&date).unwrap());
        assert_eq!(retry_after(&headers, now), Some(Duration::from_secs(30)));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("soon"));
        assert_eq!(retry_after(&headers, now), None);
    }

    proptest! {
        #[test]
        fn content_range_never_panics(text in ".{0,40}") {
            if let Some(range) = ContentRange::parse(&text) {
                prop_assert!(range.first <= range.last);
            }
        }
    }
}
