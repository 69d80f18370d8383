//! What can go wrong with archives and store entries.

use std::{io, path::PathBuf};

use crate::{error::UserError, platform, types::Sha256};

/// The store could not do what was asked. Nothing is left half done.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The archive is not one that may be unpacked.
    #[error("{}", archive_message(.archive, .entry.as_deref(), .fault))]
    Archive {
        /// File name of the archive.
        archive: String,
        /// The entry at fault, as the archive spells it, when it is one.
        entry: Option<String>,
        /// What is wrong.
        #[source]
        fault: ArchiveFault,
    },
    /// The content of a source tree is not what the lock says.
    #[error("the source tree in `{archive}` has content hash {got}, expected {expected}")]
    TreeHash {
        /// File name of the archive.
        archive: String,
        /// What the lock says.
        expected: Sha256,
        /// What was unpacked.
        got: Sha256,
    },
    /// A file is not the one it should be.
    #[error("`{}` has SHA-256 {got}, expected {expected}", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: Sha256,
        /// What it is.
        got: Sha256,
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
        /// What was tried: `create`, `read` …
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

fn archive_message(archive: &str, entry: Option<&str>, fault: &ArchiveFault) -> String {
    match entry {
        // The name comes from outside: control characters must not reach the terminal.
        Some(entry) => format!(
            "`{archive}` cannot be used: entry `{}`: {fault}",
            entry.escape_debug()
        ),
        None => format!("`{archive}` cannot be used: {fault}"),
    }
}

impl StoreError {
    /// An I/O error with what was tried; a full disk gets its own error.
    pub(crate) fn io(
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

impl UserError for StoreError {
    fn code(&self) -> &'static str {
        match self {
            Self::Archive { .. } => "store.bad-archive",
            Self::TreeHash { .. } => "store.tree-hash",
            Self::Digest { .. } => "store.digest",
            Self::DiskFull { .. } => "store.disk-full",
            Self::Io { .. } => "store.io",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Archive { .. } => Some(
                "nothing was unpacked; if it keeps happening, tell whoever publishes this file"
                    .to_owned(),
            ),
            Self::TreeHash { .. } => Some(
                "the host sent another tree than the one that was pinned; do not use it, and look \
                 at the repository"
                    .to_owned(),
            ),
            Self::Digest { .. } => Some("remove the file and fetch it again".to_owned()),
            Self::DiskFull { .. } => Some(
                "free some space (`aienv cache gc` removes what no tool uses) or point AIENV_HOME \
                 to a larger disk, then run the command again"
                    .to_owned(),
            ),
            Self::Io { .. } => Some(
                "everything is kept below AIENV_HOME; point it to a folder you may write to, on a \
                 disk with room"
                    .to_owned(),
            ),
        }
    }
}

/// What is wrong with an archive or one of its entries.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveFault {
    /// Ends too early.
    #[error("it ends too early (truncated)")]
    Truncated,
    /// Not readable as the format it should be.
    #[error("it is damaged: {0}")]
    Corrupt(String),
    /// The name is not UTF-8.
    #[error("its name is not UTF-8")]
    NameNotUtf8,
    /// An absolute path, a drive letter or a network share.
    #[error("its name is an absolute path")]
    AbsolutePath,
    /// `..` in the path.
    #[error("its name leads out of the archive (`..`)")]
    ParentFolder,
    /// A character no portable name has.
    #[error("its name holds {0}, which file names of packages may not")]
    NameCharacter(&'static str),
    /// A name Windows keeps for devices, or one it would change.
    #[error("Windows cannot have a file of this name")]
    WindowsName,
    /// Too long or too deep.
    #[error("its name is too long")]
    NameTooLong,
    /// The same name twice.
    #[error("the archive holds this name twice")]
    Duplicate,
    /// Names that are one on a file system that ignores case.
    #[error("its name differs from `{0}` only by case")]
    CaseCollision(String),
    /// A file where another entry needs a folder.
    #[error("`{0}` is a file and a folder at once")]
    FileAndFolder(String),
    /// A link that points out, or to something that is not there yet.
    #[error("it is a link to `{0}`, outside of the archive")]
    LinkOutside(String),
    /// Links are not allowed in this kind of archive.
    #[error("it is a symbolic link, which wheels cannot hold")]
    LinkInWheel,
    /// A device, pipe, sparse file …
    #[error("it is neither a file nor a folder nor a link")]
    SpecialFile,
    /// Encrypted.
    #[error("it is encrypted")]
    Encrypted,
    /// More entries than any real package has.
    #[error("it holds more than {0} entries")]
    TooManyEntries(usize),
    /// Unpacks to more than any real package does.
    #[error("it unpacks to more than {}", crate::types::human_bytes(*.0))]
    TooLarge(u64),
    /// More or fewer bytes than declared.
    #[error("it declares {declared} bytes and holds {}", if *.more { "more" } else { "fewer" })]
    SizeMismatch {
        /// Bytes declared.
        declared: u64,
        /// There are more than that.
        more: bool,
    },
    /// Not everything lies below the folder it should.
    #[error("it does not lie in the archive's one top folder")]
    NotBelowTop,
    /// No entries.
    #[error("it is empty")]
    Empty,
    /// The file name is not that of a wheel.
    #[error("`{0}` is not the file name of a wheel")]
    NotAWheelName(String),
    /// No `.dist-info` folder, or another one than the file name calls for.
    #[error("it has no `.dist-info` folder for {0}")]
    NoDistInfo(String),
    /// Several `.dist-info` folders.
    #[error("it has several `.dist-info` folders: {0}")]
    SeveralDistInfo(String),
    /// A required member is missing.
    #[error("it has no `{0}`")]
    Missing(String),
    /// RECORD does not name a file.
    #[error("RECORD does not list it")]
    NotInRecord,
    /// RECORD gives no usable hash for a file.
    #[error("RECORD gives no usable hash for it")]
    NoHashInRecord,
    /// RECORD gives another hash.
    #[error("its content is not what RECORD says")]
    RecordMismatch,
    /// RECORD itself cannot be read.
    #[error("RECORD cannot be read: {0}")]
    BadRecord(String),
}

/// Ties faults to one archive.
#[derive(Clone, Copy)]
pub(crate) struct Blame<'a> {
    pub(crate) archive: &'a str,
}

impl Blame<'_> {
    /// A fault of the archive as a whole.
    pub(crate) fn whole(self, fault: ArchiveFault) -> StoreError {
        StoreError::Archive {
            archive: self.archive.to_owned(),
            entry: None,
            fault,
        }
    }

    /// A fault of one entry.
    pub(crate) fn entry(self, name: impl AsRef<[u8]>, fault: ArchiveFault) -> StoreError {
        StoreError::Archive {
            archive: self.archive.to_owned(),
            entry: Some(String::from_utf8_lossy(name.as_ref()).into_owned()),
            fault,
        }
    }
}

/// The fault that an error of a decoder means.
pub(crate) fn decoder_fault(error: &io::Error) -> ArchiveFault {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        ArchiveFault::Truncated
    } else {
        ArchiveFault::Corrupt(error.to_string())
    }
}
