//! Package indexes: what releases exist, which files they have, what those need.
//!
//! [`PackageIndex`] is the question the solver asks; [`IndexClient`] answers it from the network
//! and the HTTP cache, tests answer it from memory.

pub mod tags;

use std::{collections::BTreeMap, sync::Arc};

use crate::types::{ExtraName, PackageName, Requirement, Sha256, Version, VersionSpecifiers};

/// Which index a question goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IndexId {
    /// The user's default index and its extra indexes, first hit wins per file name.
    Default,
    /// The torch wheel index of one accelerator build, such as `cu128`.
    Torch(crate::types::Accelerator),
}

/// Every release of one package on one index.
#[derive(Clone, Debug, Default)]
pub struct Releases {
    /// Files by version. Files that cannot be read as a distribution are left out.
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
    /// A metadata file lies beside it (PEP 658/714).
    pub has_metadata: bool,
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
    /// The releases of this package will probably be asked for.
    fn prefetch_releases(&self, _index: &IndexId, _package: &PackageName) {}
    /// The metadata of this file will probably be asked for.
    fn prefetch_metadata(&self, _file: &DistFile) {}
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
}

impl IndexError {
    /// c
    pub fn concerns_one_file(&self) -> bool { false }
    /// u
    pub fn is_unreachable(&self) -> bool { false }
}
impl crate::error::UserError for IndexError { fn code(&self) -> &'static str { "x" } }
impl DistFile { /// f
pub fn from_url(_u: &str) -> Result<(Version, Self), IndexError> { unreachable!() } }

/// stub
pub struct IndexClient;
impl IndexClient { /// s
pub fn new(_: crate::net::Client, _: &crate::settings::Settings, _: &crate::home::Home, _: tokio::runtime::Handle) -> Self { Self } }
impl PackageIndex for IndexClient {
    fn releases(&self, _: &IndexId, _: &PackageName) -> Result<Arc<Releases>, IndexError> { unreachable!() }
    fn metadata(&self, _: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> { unreachable!() }
}
