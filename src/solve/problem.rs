//! The question put to the solver, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use super::needs::Needs;
use crate::{
    index::{DistFile, IndexId},
    lock::LockedPython,
    types::{Accelerator, PackageName, Requirement, Target, Version},
};

/// Everything that decides a resolution, for one accelerator build.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The package the tool is (absent for a source tree): decided before all others, so that the
    /// newest version of the tool itself wins over anything below it.
    pub primary: Option<PackageName>,
    /// What is wanted.
    pub requirements: Vec<Requirement>,
    /// Narrow a package if something needs it.
    pub constraints: Vec<Requirement>,
    /// Replace every requirement on a package.
    pub overrides: Vec<Requirement>,
    /// Packages given by URL, with the file each URL names.
    pub direct: BTreeMap<PackageName, (Version, DistFile)>,
    /// Packages that may be built from a source distribution.
    pub build: BTreeSet<PackageName>,
    /// Packages whose pre-releases are acceptable.
    pub prereleases: BTreeSet<PackageName>,
    /// The machine kind.
    pub target: Target,
    /// Candidate interpreters, most wanted first; at most 64.
    pub pythons: Vec<PythonCandidate>,
    /// The accelerator build.
    pub accelerator: Accelerator,
    /// The index that packages of the torch family come from, when it is not the default one.
    pub torch_index: Option<IndexId>,
    /// Packages that come from `torch_index`.
    pub torch_family: BTreeSet<PackageName>,
    /// What the host has, and what packages need beyond their metadata.
    pub needs: Needs,
    /// Versions to take before newer ones if they are allowed: pins, then what the store holds.
    pub preferences: BTreeMap<PackageName, Vec<Version>>,
}

/// An interpreter the solver may choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonCandidate {
    /// What the lock will say.
    pub python: LockedPython,
    /// A build without the global interpreter lock.
    pub freethreaded: bool,
}

impl PythonCandidate {
    /// Full version.
    pub fn version(&self) -> &Version {
        self.python.version()
    }
}
