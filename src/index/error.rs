//! Why an index could not answer.

use std::fmt;

use crate::{
    error::UserError,
    net::NetError,
    types::{PackageName, Sha256},
};

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The page of a package on an index.
    Page {
        /// The package.
        package: PackageName,
        /// The index, without credentials.
        index: String,
    },
    /// A file.
    File {
        /// Its name.
        file: String,
    },
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page { package, index } => {
                write!(f, "the releases of `{package}` cannot be read from {index}")
            }
            Self::File { file } => write!(f, "the metadata of `{file}` cannot be read"),
        }
    }
}

/// An index could not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum IndexError {
    /// No such package there.
    #[error("the package `{package}` is not on {index}")]
    NotFound {
        /// The package.
        package: PackageName,
        /// The index, without credentials.
        index: String,
    },
    /// A request failed.
    #[error("{subject}")]
    Network {
        /// What was asked for.
        subject: Subject,
        /// Why.
        source: Box<NetError>,
    },
    /// Something answered, but not an index.
    #[error(
        "{index} answered with a page that is not a package index: {found} (asked for `{package}`)"
    )]
    NotAnIndex {
        /// The index, without credentials.
        index: String,
        /// The package.
        package: PackageName,
        /// What came instead.
        found: String,
    },
    /// The metadata of a file makes no sense.
    #[error("the metadata of `{file}` cannot be used: {reason}")]
    BadMetadata {
        /// File name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The metadata of a source distribution is known only after a build.
    #[error("what `{file}` needs is known only after building it: {reason}")]
    NeedsBuild {
        /// File name.
        file: String,
        /// Why it could not be read.
        reason: String,
    },
    /// What came is not what the index promised.
    #[error("`{file}` has the SHA-256 {found}, but the index promises {expected}")]
    WrongDigest {
        /// File name.
        file: String,
        /// Digest of the index.
        expected: Sha256,
        /// Digest of what came.
        found: Sha256,
    },
    /// A direct URL cannot be used.
    #[error("`{url}` cannot be installed from: {reason}")]
    BadFileUrl {
        /// The URL, without credentials.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A file of our own could not be written or read.
    #[error("`{file}` cannot be kept for reading: {reason}")]
    Disk {
        /// File name.
        file: String,
        /// The system's reason.
        reason: String,
    },
    /// An index that is known to be out of reach, so that nobody waits for it.
    #[error("{index} does not answer")]
    Unreachable {
        /// The index, without credentials.
        index: String,
    },
    /// The work was given up before its end.
    #[error("the question to the index was given up")]
    Stopped,
}

impl IndexError {
    /// Whether only this one file is unusable, so that another version may do.
    pub fn concerns_one_file(&self) -> bool {
        match self {
            Self::BadMetadata { .. }
            | Self::NeedsBuild { .. }
            | Self::WrongDigest { .. }
            | Self::BadFileUrl { .. } => true,
            // Listed, but gone or withheld.
            Self::Network {
                subject: Subject::File { .. },
                source,
            } => {
                matches!(source.status(), Some(403 | 404 | 410))
            }
            _ => false,
        }
    }

    /// Whether the index as a whole gives no answers now, as opposed to a bad one.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Network { source, .. } => match source.status() {
                Some(status) => matches!(status, 403 | 407 | 429 | 500..),
                None => !matches!(**source, NetError::BadUrl(_) | NetError::TooLarge { .. }),
            },
            // A captive portal or a proxy's error page stands in for the index.
            Self::NotAnIndex { .. } | Self::Unreachable { .. } => true,
            _ => false,
        }
    }
}

impl UserError for IndexError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "index.not-found",
            Self::Network { source, .. } => source.code(),
            Self::NotAnIndex { .. } => "index.not-an-index",
            Self::BadMetadata { .. } => "index.bad-metadata",
            Self::NeedsBuild { .. } => "index.needs-build",
            Self::WrongDigest { .. } => "index.wrong-digest",
            Self::BadFileUrl { .. } => "index.bad-url",
            Self::Disk { .. } => "index.disk",
            Self::Unreachable { .. } => "index.unreachable",
            Self::Stopped => "index.stopped",
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotFound { .. } => {
                "check the spelling; a package of your own index needs `--extra-index-url`"
            }
            Self::Network { source, .. } => return source.hint(),
            Self::NotAnIndex { .. } => {
                "check that the URL is the simple API of an index (often `…/simple/`) and that no login page or portal stands in front of it"
            }
            Self::WrongDigest { .. } => {
                "the file was damaged or changed on its way; try again, and tell the index's administrator if it stays so"
            }
            Self::Disk { .. } => "check the free space and the permissions of aienv's home",
            Self::BadMetadata { .. }
            | Self::NeedsBuild { .. }
            | Self::BadFileUrl { .. }
            | Self::Unreachable { .. }
            | Self::Stopped => return None,
        };
        Some(text.to_owned())
    }

    fn is_usage(&self) -> bool {
        matches!(self, Self::BadFileUrl { .. })
    }
}
