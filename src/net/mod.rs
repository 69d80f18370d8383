//! HTTP: one client for index pages and artifacts.
//!
//! [`Client::get`] makes a [`Request`]; [`Request::send`] answers with a streaming [`Response`],
//! [`Request::read`] with a whole small body. Both retry what may pass (broken connections, 429,
//! 5xx), follow redirects hop by hop and give each host only the login that is meant for it
//! (from the URL of a setting, else from netrc). A request that fails ends in a [`NetError`] that
//! names the host or address, never a login.
//!
//! Redirects are followed here and not by the HTTP library, because which login goes along has to
//! be decided anew for every hop. Pages may be compressed; artifacts are asked for unchanged,
//! because ranges and digests speak of the bytes as they are stored.
//!
//! The client needs a tokio runtime around its futures but owns none; [`runtime`] makes one.
//! Certificates are loaded on the first request, so a run that needs no network pays nothing.

mod error;
mod login;
mod request;
mod retry;
mod tls;

#[cfg(test)]
pub(crate) mod loopback;
#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};

pub use error::{Cause, NetError};
pub use request::{ByteRange, ContentRange, Page, Request, Response};
pub use retry::Retry;

use crate::settings::{Certificates, Login, Setting, Settings, SourceUrl};

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// An HTTP client. Clones share connections.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    offline: bool,
    timeout: Duration,
    certificates: Option<Setting<Certificates>>,
    proxy: Option<Setting<SourceUrl>>,
    logins: login::Logins,
    retry: Retry,
    /// Accepts compressed bodies.
    pages: OnceLock<Result<reqwest::Client, NetError>>,
    /// Takes bodies as they are stored.
    artifacts: OnceLock<Result<reqwest::Client, NetError>>,
}

impl Client {
    /// A client as the settings say. Opens nothing yet.
    pub fn new(settings: &Settings) -> Self {
        Self::with_retry(settings, Retry::default())
    }

    /// Like [`new`](Self::new) with another patience.
    pub fn with_retry(settings: &Settings, retry: Retry) -> Self {
        Self {
            inner: Arc::new(Inner {
                offline: settings.offline.value,
                timeout: settings.timeout.value,
                certificates: settings.certificates.clone(),
                proxy: settings.proxy.clone(),
                logins: login::Logins::new(settings),
                retry,
                pages: OnceLock::new(),
                artifacts: OnceLock::new(),
            }),
        }
    }

    /// Whether requests are refused because the user asked to stay offline.
    pub fn is_offline(&self) -> bool {
        self.inner.offline
    }

    /// A GET request for an artifact: the body comes as it is stored. A URL that cannot be used is
    /// told by `send`. A login in the URL is used for its host and taken out of the address.
    pub fn get(&self, url: impl AsRef<str>) -> Request {
        Request::new(self.clone(), url.as_ref())
    }

    fn http(&self, compressed: bool) -> Result<&reqwest::Client, NetError> {
        let cell = if compressed {
            &self.inner.pages
        } else {
            &self.inner.artifacts
        };
        cell.get_or_init(|| self.build(compressed))
            .as_ref()
            .map_err(Clone::clone)
    }

    fn build(&self, compressed: bool) -> Result<reqwest::Client, NetError> {
        tls::install_provider();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("aienv/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(self.inner.timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .gzip(compressed)
            .brotli(compressed)
            // The library's windows are made for many small answers; a wheel over a link with
            // 100 ms of delay would be held to a few MB/s.
            .http2_initial_stream_window_size(4 << 20)
            .http2_initial_connection_window_size(32 << 20);
        if let Some(certificates) = tls::certificates(self.inner.certificates.as_ref())? {
            builder = builder.tls_certs_only(certificates);
        }
        if let Some(proxy) = self.own_proxy()? {
            builder = builder.proxy(proxy);
        }
        builder
            .build()
            .map_err(|error| NetError::setup("the HTTP client cannot start", &error))
    }

    /// The proxy of the settings, unless the usual variables name one (the library reads those).
    fn own_proxy(&self) -> Result<Option<reqwest::Proxy>, NetError> {
        let Some(setting) = &self.inner.proxy else {
            return Ok(None);
        };
        if proxy_variable().is_some() {
            return Ok(None);
        }
        let mut proxy = reqwest::Proxy::all(setting.value.url().clone())
            .map_err(|error| {
                NetError::setup(
                    &format!("the proxy `{}` cannot be used", setting.value),
                    &error,
                )
            })?
            .no_proxy(reqwest::NoProxy::from_env());
        if let Some(Login { user, password }) = setting.value.login() {
            proxy = proxy.basic_auth(user, password);
        }
        Ok(Some(proxy))
    }

    /// Whether a proxy may be between us and the host, so that errors can say so.
    fn may_use_proxy(&self) -> bool {
        self.inner.proxy.is_some() || proxy_variable().is_some()
    }
}

/// The environment variable that names a proxy.
fn proxy_variable() -> Option<&'static str> {
    [
        "https_proxy",
        "HTTPS_PROXY",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ]
    .into_iter()
    .find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// A runtime for the client's futures: few threads, since the work is waiting.
///
/// # Errors
/// When the system gives no threads.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, 4)))
        .thread_name("aienv-net")
        .enable_all()
        .build()
}
