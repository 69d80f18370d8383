//! What can go wrong while a source distribution is built.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::BuildSystemError;
use crate::{
    error::UserError,
    fetch::FetchError,
    index::IndexError,
    lock::LockedPackage,
    prefix::{PrefixError, RuntimeError},
    store::StoreError,
};

/// A source distribution could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its description of the build is unusable.
    #[error("`{package}` cannot be built")]
    System {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: Box<BuildSystemError>,
    },
    /// What the backend requires cannot be had.
    #[error("what the build of `{package}` requires cannot be resolved\n{explanation}")]
    Requirements {
        /// The package.
        package: String,
        /// Why.
        explanation: String,
    },
    /// The index could not be asked.
    #[error("the index could not be asked for what the build of `{package}` requires")]
    Index {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: IndexError,
    },
    /// Source or backend could not be fetched.
    #[error("what the build of `{package}` requires could not be fetched")]
    Fetch {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: Box<FetchError>,
    },
    /// The source came as something else.
    #[error("the source of `{package}` was fetched but is not there")]
    NotFetched {
        /// The package.
        package: String,
    },
    /// A file without a digest.
    #[error("the index gives no sha256 for `{file}`, which a build requires")]
    NoDigest {
        /// The file.
        file: String,
    },
    /// The backend failed.
    #[error("building {package} from source failed\n{output}")]
    Backend {
        /// Name and version.
        package: String,
        /// The end of what it printed.
        output: String,
        /// Where the whole output is.
        log: PathBuf,
        /// Why it could not be run, if that is what happened.
        #[source]
        source: Option<io::Error>,
    },
    /// The backend gave something that makes no sense.
    #[error("the build backend of `{package}` answered `{answer}`, which cannot be used")]
    BadAnswer {
        /// The package.
        package: String,
        /// The answer.
        answer: String,
    },
    /// The store refused the source or the wheel.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The interpreter cannot be used.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The build's environment could not be made.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// A file operation failed.
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl BuildError {
    pub(crate) fn fetch(package: &LockedPackage, source: FetchError) -> Self {
        Self::Fetch {
            package: package.name.to_string(),
            source: Box::new(source),
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl UserError for BuildError {
    fn code(&self) -> &'static str {
        match self {
            Self::System { .. } => "build.system",
            Self::Requirements { .. } => "build.requirements",
            Self::Index { source, .. } => source.code(),
            Self::Fetch { source, .. } => source.code(),
            Self::NotFetched { .. } => "build.not-fetched",
            Self::NoDigest { .. } => "build.no-digest",
            Self::Backend { .. } => "build.backend",
            Self::BadAnswer { .. } => "build.bad-answer",
            Self::Store(error) => error.code(),
            Self::Runtime(error) => error.code(),
            Self::Prefix(error) => error.code(),
            Self::Io { .. } => "build.io",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Backend { log, .. } => Some(format!(
                "the whole output is in `{}`; many packages need a C compiler to be built, and \
                 `--build-network` if their build downloads something",
                log.display()
            )),
            Self::Index { source, .. } => source.hint(),
            Self::Fetch { source, .. } => source.hint(),
            Self::Store(error) => error.hint(),
            Self::Runtime(error) => error.hint(),
            Self::Prefix(error) => error.hint(),
            Self::Io { .. } => {
                Some("check the permissions and the free space of aienv's home".to_owned())
            }
            Self::System { .. }
            | Self::Requirements { .. }
            | Self::NotFetched { .. }
            | Self::NoDigest { .. }
            | Self::BadAnswer { .. } => None,
        }
    }
}
