//! Package indexes: what releases exist, which files they have, what those need.
//!
//! [`PackageIndex`] is the question the solver asks; [`IndexClient`] answers it from the network
//! and the cache, tests answer it from memory.
//!
//! The default index may have extra ones beside it. They are asked in the order they were given,
//! before the default one, and the first that has a package at all is the only one it comes from:
//! were the versions of all indexes mixed, anybody could publish a higher version of a company's
//! internal package on the public index and have it installed ("dependency confusion"). For the
//! same reason an extra index that fails is an error and not skipped.
//!
//! Metadata of a wheel costs one small request where the index offers metadata files, else two
//! requests for parts of the wheel, and nothing once it is known: it is kept by digest for ever.

mod cache;
mod client;
mod core_metadata;
mod error;
pub mod file_name;
pub mod lenient;
mod platform_tags;
mod remote;
mod sdist;
mod simple;
mod stored;
pub mod tags;
mod wheel;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

pub use client::IndexClient;
pub use error::{IndexError, Subject};

use crate::types::{ExtraName, PackageName, Requirement, Sha256, Version, VersionSpecifiers};

/// Which index a question goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IndexId {
    /// The user's extra indexes and the default one; the first that has the package wins.
    Default,
    /// The torch wheel index of one accelerator build, such as `cu128`.
    Torch(crate::types::Accelerator),
}

/// Every release of one package on one index.
#[derive(Clone, Debug, Default)]
pub struct Releases {
    /// Files by version. Files that cannot be read as a distribution are left out, and wheels for
    /// machines that aienv does not know where there are others.
    pub versions: BTreeMap<Version, Vec<DistFile>>,
}

/// One file of a release.
#[derive(Clone, Debug, PartialEq)]
pub struct DistFile {
    /// File name.
    pub file_name: String,
    /// Absolute URL, without credentials and fragment.
    pub url: String,
    /// Kind, and for wheels the parsed tags.
    pub kind: DistKind,
    /// Digest the index states.
    pub sha256: Option<Sha256>,
    /// Size in bytes (PEP 700), if told.
    pub size: Option<u64>,
    /// `Requires-Python` as the index states it.
    pub requires_python: Option<VersionSpecifiers>,
    /// Withdrawn (PEP 592), with the reason (may be empty).
    pub yanked: Option<String>,
    /// The metadata file beside it (PEP 658/714), if the index says that there is one.
    pub metadata_file: Option<MetadataFile>,
}

/// What an index says of the metadata file beside a wheel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataFile {
    /// Its digest, if stated.
    pub sha256: Option<Sha256>,
}

/// Wheel or source distribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DistKind {
    /// A wheel with its build number and compressed tag sets.
    Wheel(tags::WheelTags),
    /// A source distribution (`.tar.gz` or `.zip`).
    Sdist,
}

/// The core metadata that resolution needs.
#[derive(Clone, Debug, PartialEq)]
pub struct CoreMetadata {
    /// Normalised name.
    pub name: PackageName,
    /// Version.
    pub version: Version,
    /// `Requires-Dist`.
    pub requires_dist: Vec<Requirement>,
    /// `Requires-Python`.
    pub requires_python: Option<VersionSpecifiers>,
    /// `Provides-Extra`.
    pub provides_extra: Vec<ExtraName>,
    /// Size in bytes of the file this was read from, where reading it told.
    pub file_size: Option<u64>,
}

/// What the solver asks an index. Answers are the same for the life of the value.
///
/// Calls block; `prefetch_*` are hints that return at once.
pub trait PackageIndex: Send + Sync {
    /// All releases of a package; an unknown package has none ([`IndexError::NotFound`]).
    fn releases(&self, index: &IndexId, package: &PackageName)
    -> Result<Arc<Releases>, IndexError>;
    /// The core metadata of one file.
    fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError>;
    /// The digest of a file. Where the index states none, the file is downloaded for it: what it
    /// is now, it must be whenever the plan is carried out.
    fn digest(&self, file: &DistFile) -> Result<Sha256, IndexError> {
        file.sha256.ok_or_else(|| IndexError::BadMetadata {
            file: file.file_name.clone(),
            reason: "the index states no sha256 for it".to_owned(),
        })
    }
    /// Whether every answer is there already: no host has to be tried before it is relied on, and
    /// nothing is gained by asking ahead of need.
    fn is_at_hand(&self) -> bool {
        false
    }
    /// The releases of this package will probably be asked for.
    fn prefetch_releases(&self, _index: &IndexId, _package: &PackageName) {}
    /// The metadata of this file will probably be asked for.
    fn prefetch_metadata(&self, _file: &DistFile) {}
}
