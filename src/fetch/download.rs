//! What is asked for, and what comes of it.

use crate::{
    lock::{ArtifactKind, LockedPackage, LockedPython, LockedTree},
    store::{Entry, Kind, VerifiedFile},
    types::Sha256,
};

/// What an artifact is fetched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To be unpacked as a wheel.
    Wheel(Sha256),
    /// To be unpacked as a CPython build.
    Python(Sha256),
    /// To be unpacked as a source tree, which must have this content hash where it is known.
    Tree(Option<Sha256>),
    /// To be kept as a file (source distributions).
    File(Sha256),
}

/// One artifact to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// File name, which people see.
    pub file_name: String,
    /// Where it is: the first address that works is used.
    pub urls: Vec<String>,
    /// Size in bytes, if known.
    pub size: Option<u64>,
    /// What for.
    pub wanted: Wanted,
}

impl Download {
    /// The wheel or source distribution of a locked package.
    pub fn of_package(package: &LockedPackage) -> Self {
        let artifact = &package.artifact;
        Self {
            file_name: artifact.file_name.clone(),
            urls: vec![artifact.url.clone()],
            size: artifact.size,
            wanted: match artifact.kind {
                ArtifactKind::Wheel => Wanted::Wheel(artifact.sha256),
                ArtifactKind::Sdist => Wanted::File(artifact.sha256),
            },
        }
    }

    /// The interpreter of a lock, if it is one that aienv fetches.
    pub fn of_python(python: &LockedPython) -> Option<Self> {
        match python {
            LockedPython::Managed {
                file, url, sha256, ..
            } => Some(Self {
                file_name: file.clone(),
                urls: vec![url.clone()],
                size: None,
                wanted: Wanted::Python(*sha256),
            }),
            LockedPython::System { .. } => None,
        }
    }

    /// The source tree of a lock.
    pub fn of_tree(tree: &LockedTree) -> Self {
        Self {
            file_name: format!("{}@{}", tree.repository, tree.commit),
            urls: vec![tree.url.clone()],
            size: None,
            wanted: Wanted::Tree(Some(tree.tree_hash)),
        }
    }

    pub(super) fn store_key(&self) -> Option<(Kind, Sha256)> {
        match self.wanted {
            Wanted::Wheel(key) => Some((Kind::Wheel, key)),
            Wanted::Python(key) => Some((Kind::Python, key)),
            Wanted::Tree(key) => key.map(|key| (Kind::Tree, key)),
            Wanted::File(_) => None,
        }
    }

    /// The digest of the file itself.
    pub(super) fn sha256(&self) -> Option<Sha256> {
        match self.wanted {
            Wanted::Wheel(sha256) | Wanted::Python(sha256) | Wanted::File(sha256) => Some(sha256),
            // The same tree comes in ever different archives.
            Wanted::Tree(_) => None,
        }
    }

    /// Name of the download's own files.
    pub(super) fn key(&self) -> Sha256 {
        self.sha256()
            .unwrap_or_else(|| Sha256::of(self.urls.join("\n")))
    }
}

/// What came of a download.
#[derive(Clone, Debug)]
pub enum Fetched {
    /// An entry of the store.
    Entry(Box<Entry>),
    /// A file, kept in the cache.
    File(VerifiedFile),
}

impl Fetched {
    /// The entry, when it is one.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Entry(entry) => Some(entry),
            Self::File(_) => None,
        }
    }

    /// The file, when it is one.
    pub fn file(&self) -> Option<&VerifiedFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Entry(_) => None,
        }
    }
}
