//! What goes wrong between here and a server, in plain words.
//!
//! The HTTP library reports most failures as a chain of opaque errors; [`NetError::of_send`] reads
//! that chain once and names the kind, because "certificate not trusted" and "no such host" need
//! different things done.

use std::{error::Error, fmt, io, sync::Arc, time::Duration};

use url::Url;

use crate::error::UserError;

/// The innermost reason, as text: the library's own errors are neither cloneable nor free of
/// addresses with logins.
#[derive(Clone, Debug)]
pub struct Cause(Arc<str>);

impl Cause {
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().into())
    }

    /// The last error of a chain, which is the one that says most.
    fn of(error: &(dyn Error + 'static)) -> Self {
        let mut last = error;
        while let Some(next) = last.source() {
            last = next;
        }
        Self::new(last.to_string())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Cause {}

/// A request failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NetError {
    /// The address is not one.
    #[error(transparent)]
    BadUrl(#[from] crate::settings::BadUrl),
    /// The client cannot be set up as the settings ask.
    #[error("{what}")]
    Setup {
        /// What cannot be done.
        what: String,
        /// Why.
        source: Cause,
    },
    /// The user asked to stay offline.
    #[error("`{url}` is not here yet, and aienv is offline as asked")]
    Offline {
        /// The address.
        url: String,
    },
    /// No address for the host name.
    #[error("the host `{host}` cannot be found")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        source: Cause,
    },
    /// Nobody listens, or no way leads there.
    #[error("no connection to `{host}`")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Why.
        source: Cause,
        /// A proxy is configured, which may be what cannot be reached.
        proxied: bool,
    },
    /// The server's certificate is not trusted.
    #[error("the TLS certificate of `{host}` is not trusted")]
    Certificate {
        /// The host.
        host: String,
        /// Why.
        source: Cause,
    },
    /// TLS failed otherwise.
    #[error("no secure connection to `{host}` could be made")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        source: Cause,
    },
    /// The proxy refused or does not work.
    #[error("the proxy did not connect to `{host}`")]
    Proxy {
        /// The host behind the proxy.
        host: String,
        /// Why.
        source: Cause,
    },
    /// Nothing came for too long.
    #[error("`{url}` did not answer in time")]
    Timeout {
        /// The address.
        url: String,
    },
    /// The connection broke, or what came was not HTTP.
    #[error("the transfer of `{url}` broke off")]
    Broken {
        /// The address.
        url: String,
        /// Why.
        source: Cause,
    },
    /// The server answered with a status that is not success.
    #[error("`{url}` answered with status {}", status_text(*.status))]
    Status {
        /// The address.
        url: String,
        /// The status code.
        status: u16,
        /// What the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// Redirects without end, or to nowhere.
    #[error("`{url}` redirects {problem}")]
    Redirect {
        /// The address asked for first.
        url: String,
        /// What is wrong with the redirects.
        problem: &'static str,
    },
    /// More came than was bargained for.
    #[error("`{url}` is larger than the {} it may have", crate::types::human_bytes(*.limit))]
    TooLarge {
        /// The address.
        url: String,
        /// Bytes allowed.
        limit: u64,
    },
}

fn status_text(status: u16) -> String {
    let reason = reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason());
    match reason {
        Some(reason) => format!("{status} ({reason})"),
        None => status.to_string(),
    }
}

/// An address as messages show it: no login, and no query, which may hold a signature.
pub(super) fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = crate::settings::take_login(&mut url);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

fn host_and_port(url: &Url) -> String {
    match url.port() {
        Some(port) => format!("{}:{port}", host(url)),
        None => host(url),
    }
}

impl NetError {
    pub(super) fn setup(what: &str, error: &(dyn Error + 'static)) -> Self {
        Self::Setup {
            what: what.to_owned(),
            source: Cause::of(error),
        }
    }

    /// An error of the library while sending or reading.
    pub(super) fn of_send(url: &Url, error: reqwest::Error, proxied: bool) -> Self {
        let error = error.without_url();
        if error.is_timeout() {
            return Self::Timeout { url: shown(url) };
        }
        let source = Cause::of(&error);
        let mut link: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(error) = link {
            if let Some(found) = Self::of_link(url, error, &source, proxied) {
                return found;
            }
            link = error.source();
        }
        if error.is_connect() {
            return Self::Unreachable {
                host: host_and_port(url),
                source,
                proxied,
            };
        }
        Self::Broken {
            url: shown(url),
            source,
        }
    }

    /// What one link of a chain of errors tells, if it tells the kind.
    fn of_link(
        url: &Url,
        error: &(dyn Error + 'static),
        source: &Cause,
        proxied: bool,
    ) -> Option<Self> {
        if let Some(error) = error.downcast_ref::<rustls::Error>() {
            return Some(Self::of_tls(url, error));
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            // What an I/O error wraps is not part of the chain, and it may wrap another one.
            let inner = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
            if let Some(found) = inner.and_then(|inner| Self::of_link(url, inner, source, proxied))
            {
                return Some(found);
            }
            let unreachable = matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::AddrNotAvailable
            );
            return unreachable.then(|| Self::Unreachable {
                host: host_and_port(url),
                source: source.clone(),
                proxied,
            });
        }
        // These two kinds of the library are private; their text is all there is.
        let text = error.to_string();
        if text.starts_with("dns error") {
            return Some(Self::Resolve {
                host: host(url),
                source: source.clone(),
            });
        }
        (text.starts_with("tunnel error") || text.starts_with("SOCKS error")).then(|| Self::Proxy {
            host: host(url),
            source: source.clone(),
        })
    }

    fn of_tls(url: &Url, error: &rustls::Error) -> Self {
        let (host, source) = (host(url), Cause::new(error.to_string()));
        match error {
            rustls::Error::InvalidCertificate(_) => Self::Certificate { host, source },
            _ => Self::Tls { host, source },
        }
    }

    /// The status, when the server answered with one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the same request may succeed a little later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Resolve { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. } => true,
            Self::Status { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
            }
            _ => false,
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl UserError for NetError {
    fn code(&self) -> &'static str {
        match self {
            Self::BadUrl(_) => "net.url",
            Self::Setup { .. } => "net.setup",
            Self::Offline { .. } => "net.offline",
            Self::Resolve { .. } => "net.resolve",
            Self::Unreachable { .. } => "net.unreachable",
            Self::Certificate { .. } => "net.certificate",
            Self::Tls { .. } => "net.tls",
            Self::Proxy { .. } => "net.proxy",
            Self::Timeout { .. } => "net.timeout",
            Self::Broken { .. } => "net.broken",
            Self::Status { .. } => "net.status",
            Self::Redirect { .. } => "net.redirect",
            Self::TooLarge { .. } => "net.too-large",
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::BadUrl(_) | Self::TooLarge { .. } | Self::Redirect { .. } => return None,
            Self::Setup { .. } => "check SSL_CERT_FILE, SSL_CERT_DIR and the proxy settings",
            Self::Offline { .. } => "run again without `--offline` (or AIENV_OFFLINE)",
            Self::Resolve { .. } => {
                "check the network and the address; behind a proxy, set HTTPS_PROXY"
            }
            Self::Unreachable { proxied: true, .. } => {
                "check that the proxy in HTTPS_PROXY or ALL_PROXY is running, or add the host to NO_PROXY"
            }
            Self::Unreachable { .. } => {
                "check the network and the address; behind a proxy, set HTTPS_PROXY; with a mirror of your own, use `--index-url`"
            }
            Self::Certificate { .. } => {
                "if your network inspects TLS, set SSL_CERT_FILE to a PEM file with its certificate authority; otherwise check the clock of this machine"
            }
            Self::Tls { .. } => {
                "check that the address is right and that the server speaks TLS 1.2 or newer"
            }
            Self::Proxy { .. } => {
                "check address and login in HTTPS_PROXY, or add the host to NO_PROXY"
            }
            Self::Timeout { .. } | Self::Broken { .. } => {
                "try again; what was already downloaded is kept. AIENV_HTTP_TIMEOUT sets the patience in seconds"
            }
            Self::Status {
                status,
                retry_after,
                ..
            } => return status_hint(*status, *retry_after),
        };
        Some(text.to_owned())
    }
}

fn status_hint(status: u16, retry_after: Option<Duration>) -> Option<String> {
    let text = match status {
        401 => "put a login for the host into `~/.netrc` or into the URL of the index",
        403 => {
            "the server knows the address but refuses it; check the login in `~/.netrc` or in the URL"
        }
        404 | 410 => "check the address",
        407 => "put the login of the proxy into HTTPS_PROXY (`http://user:password@proxy:port`)",
        429 => match retry_after {
            Some(wait) => {
                return Some(format!(
                    "too many requests; the server asks to wait {} seconds",
                    wait.as_secs()
                ));
            }
            None => "too many requests; wait a while and try again",
        },
        500..=599 => "the server has a problem of its own; try again later or use a mirror",
        _ => return None,
    };
    Some(text.to_owned())
}
