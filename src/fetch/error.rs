//! What can go wrong while artifacts are fetched.

use std::{error::Error, fmt, io, path::PathBuf};

use crate::{
    error::UserError,
    platform,
    store::StoreError,
    types::{Sha256, human_bytes},
};

/// An artifact could not be fetched. What was downloaded so far is kept and resumed next time,
/// except where the content was wrong.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The network said no.
    #[error("could not download `{file}`")]
    Source {
        /// File name of the artifact.
        file: String,
        /// What the network said.
        #[source]
        source: Refusal,
    },
    /// Nowhere to download it from.
    #[error("no address is known to download `{file}` from")]
    NoAddress {
        /// File name of the artifact.
        file: String,
    },
    /// Other content than the lock says.
    #[error("`{file}` from {url} has SHA-256 {got}, expected {expected}")]
    Digest {
        /// File name of the artifact.
        file: String,
        /// Where it came from, without credentials.
        url: String,
        /// What the lock says.
        expected: Sha256,
        /// What came.
        got: Sha256,
    },
    /// Another size than the index or lock says.
    #[error("`{file}` from {url} is {got} bytes long, expected {expected}")]
    Size {
        /// File name of the artifact.
        file: String,
        /// Where it came from, without credentials.
        url: String,
        /// What the index says.
        expected: u64,
        /// What the server says or sent.
        got: u64,
    },
    /// Not enough room, known before anything is downloaded.
    #[error(
        "the disk that holds `{}` has {} free, and at least {} are needed",
        path.display(),
        human_bytes(*.free),
        human_bytes(*.needed)
    )]
    NoRoom {
        /// Where it would go.
        path: PathBuf,
        /// Bytes free.
        free: u64,
        /// Bytes needed at least.
        needed: u64,
    },
    /// The disk is full.
    #[error("the disk that holds `{}` is full", path.display())]
    DiskFull {
        /// What could not be written.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("could not {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FetchError {
    /// An I/O error with what was tried; a full disk gets its own error.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| {
            if platform::is_disk_full(&source) {
                Self::DiskFull { path }
            } else {
                Self::Io {
                    action,
                    path,
                    source,
                }
            }
        }
    }

    /// Whether another address may do better.
    pub(super) fn is_about_the_address(&self) -> bool {
        matches!(
            self,
            Self::Source { .. } | Self::Digest { .. } | Self::Size { .. }
        )
    }
}

impl UserError for FetchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Source { source, .. } => source.0.code(),
            Self::NoAddress { .. } => "fetch.no-address",
            Self::Digest { .. } => "fetch.digest",
            Self::Size { .. } => "fetch.size",
            Self::NoRoom { .. } => "fetch.no-room",
            Self::DiskFull { .. } => "fetch.disk-full",
            Self::Io { .. } => "fetch.io",
            Self::Store(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Source { source, .. } => return source.0.hint(),
            Self::Store(error) => return error.hint(),
            Self::Digest { .. } | Self::Size { .. } => {
                "the server, or something on the way to it, sends another file than the one that \
                 was locked; the download was removed. Try again, and if it stays so, use another \
                 mirror"
            }
            Self::NoRoom { .. } | Self::DiskFull { .. } => {
                "free some space (`aienv cache gc` removes what no tool uses) or point AIENV_HOME \
                 to a larger disk, then run the command again; it carries on where it stopped"
            }
            Self::NoAddress { .. } | Self::Io { .. } => return None,
        };
        Some(text.to_owned())
    }
}

/// An error of the network, as another error's cause.
pub struct Refusal(pub Box<dyn UserError>);

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
