//! What can go wrong while a prefix is built, and with the interpreter below it.

use std::{io, path::PathBuf};

use crate::{
    error::UserError,
    platform,
    store::StoreError,
    types::{PackageName, PythonVersion, Version},
};

/// A prefix could not be built; nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum PrefixError {
    /// An artifact is not in the store.
    #[error("`{what}` is not in the store")]
    NotInStore {
        /// File name or package.
        what: String,
    },
    /// A file of the store is not as long as it was.
    #[error("`{}` was damaged after it was unpacked", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The wheel format is newer than this program.
    #[error("`{wheel}` has wheel format {version}; this aienv knows 1.x")]
    WheelVersion {
        /// File name.
        wheel: String,
        /// `Wheel-Version` as written.
        version: String,
    },
    /// A wheel is put together wrongly.
    #[error("`{wheel}` cannot be installed: {problem}")]
    BadWheel {
        /// File name.
        wheel: String,
        /// What is wrong.
        problem: String,
    },
    /// A package wants to replace a part of the environment itself.
    #[error("the package `{package}` holds `{path}`, which belongs to the environment itself")]
    Reserved {
        /// The package.
        package: PackageName,
        /// Relative to the prefix.
        path: String,
    },
    /// One package has a file where another has a folder.
    #[error("`{path}` is a file of `{file_of}` and a folder of `{folder_of}`")]
    FileAndFolder {
        /// Relative to the prefix.
        path: String,
        /// Who has the file.
        file_of: String,
        /// Who has the folder.
        folder_of: String,
    },
    /// A program of the manifest is not where it should be.
    #[error("the program `{name}` is not at `{pattern}` below site-packages ({found} files match)")]
    Program {
        /// Name.
        name: String,
        /// Where it was looked for.
        pattern: String,
        /// How many files match.
        found: usize,
    },
    /// Scripts would have to name a path that no text can.
    #[error("`{}` is not valid Unicode, so scripts cannot name it", path.display())]
    PathNotUnicode {
        /// The path.
        path: PathBuf,
    },
    /// The interpreter lacks what an environment needs.
    #[error("the Python `{}` has no `{missing}`, which an environment needs", python.display())]
    IncompletePython {
        /// The interpreter.
        python: PathBuf,
        /// What is not there.
        missing: String,
    },
    /// Byte-compilation could not be started.
    #[error("`{}` could not be started to compile the packages", python.display())]
    Compile {
        /// The interpreter.
        python: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
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

impl PrefixError {
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
}

impl UserError for PrefixError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotInStore { .. } => "prefix.not-in-store",
            Self::Damaged { .. } => "prefix.damaged",
            Self::WheelVersion { .. } => "prefix.wheel-version",
            Self::BadWheel { .. } => "prefix.bad-wheel",
            Self::Reserved { .. } => "prefix.reserved",
            Self::FileAndFolder { .. } => "prefix.file-and-folder",
            Self::Program { .. } => "prefix.program",
            Self::PathNotUnicode { .. } => "prefix.path",
            Self::IncompletePython { .. } => "prefix.incomplete-python",
            Self::Compile { .. } => "prefix.compile",
            Self::DiskFull { .. } => "prefix.disk-full",
            Self::Io { .. } => "prefix.io",
            Self::Store(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotInStore { .. } => "run `aienv repair`, which fetches what is missing",
            Self::Damaged { .. } => {
                "run `aienv cache verify`, which removes damaged artifacts, then install again"
            }
            Self::WheelVersion { .. } => "a newer aienv may know it",
            Self::PathNotUnicode { .. } => "point AIENV_HOME to a folder with a Unicode name",
            Self::IncompletePython { .. } => {
                "use a complete Python, or let aienv fetch its own with `--python-preference managed`"
            }
            Self::DiskFull { .. } => {
                "free some space (`aienv cache gc` removes what no tool uses), then run the command again"
            }
            Self::Store(error) => return error.hint(),
            _ => return None,
        };
        Some(text.to_owned())
    }
}

/// An interpreter cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// Not there.
    #[error("the Python `{}` is not there", path.display())]
    Gone {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Another file than the one that was locked.
    #[error("the Python `{}` has changed since the tool was installed", path.display())]
    Changed {
        /// The interpreter.
        path: PathBuf,
    },
    /// A managed one that is not in the store.
    #[error("Python {version}, which aienv keeps itself, is not in the store")]
    NotInStore {
        /// Its version.
        version: Version,
    },
    /// Cannot be started or read.
    #[error("the Python `{}` cannot be started", path.display())]
    NotRunnable {
        /// The interpreter.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Starts and fails, or does not answer like a Python.
    #[error("the Python `{}` does not work; it said: {said}", path.display())]
    Fails {
        /// The interpreter.
        path: PathBuf,
        /// The last line of what it said.
        said: String,
    },
    /// Does not end.
    #[error("the Python `{}` did not answer within {seconds} seconds", path.display())]
    Hangs {
        /// The interpreter.
        path: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// Another implementation.
    #[error("the Python `{}` is {implementation}, not CPython", path.display())]
    NotCPython {
        /// The interpreter.
        path: PathBuf,
        /// What it is.
        implementation: String,
    },
    /// 32 bits.
    #[error("the Python `{}` is a 32-bit program", path.display())]
    Not64Bit {
        /// The interpreter.
        path: PathBuf,
    },
    /// Too old.
    #[error("the Python `{}` is version {version}, older than {oldest}", path.display())]
    TooOld {
        /// The interpreter.
        path: PathBuf,
        /// Its version.
        version: Version,
        /// The oldest feature release that will do.
        oldest: PythonVersion,
    },
}

impl UserError for RuntimeError {
    fn code(&self) -> &'static str {
        match self {
            Self::Gone { .. } => "python.gone",
            Self::Changed { .. } => "python.changed",
            Self::NotInStore { .. } => "python.not-in-store",
            Self::NotRunnable { .. } => "python.not-runnable",
            Self::Fails { .. } => "python.fails",
            Self::Hangs { .. } => "python.hangs",
            Self::NotCPython { .. } => "python.not-cpython",
            Self::Not64Bit { .. } => "python.not-64-bit",
            Self::TooOld { .. } => "python.too-old",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::Gone { .. } | Self::Changed { .. } | Self::NotInStore { .. } => {
                    "run `aienv repair` to make the tool's environment anew"
                }
                _ => {
                    "choose another with `--python`, or let aienv fetch its own with \
                     `--python-preference managed`"
                }
            }
            .to_owned(),
        )
    }
}
