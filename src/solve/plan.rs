//! The plan: what would be installed, and why.

use std::collections::BTreeMap;

use super::{Change, WayOut};
use crate::{
    lock::Lock,
    types::{PackageName, Version},
};

/// The answer of the solver.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Everything that is to be installed.
    pub lock: Lock,
    /// The decisive choices, each with its reason, in the order they were made.
    pub choices: Vec<Choice>,
    /// For each package, what asked for it: `torch >=2.7` by `diffusers`.
    pub requested: BTreeMap<PackageName, Vec<Requested>>,
    /// Packages whose newest version is not the planned one.
    pub newer: BTreeMap<PackageName, Version>,
    /// What a person should know about this plan.
    pub notes: Vec<String>,
    /// Single changes that were tried and give a better plan: the GPU in place of the processor.
    pub ways: Vec<WayOut>,
}

/// One decisive choice.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Choice {
    /// `accelerator`, `python`, the tool's name.
    pub what: String,
    /// What was chosen.
    pub chosen: String,
    /// Why.
    pub why: String,
}

/// A requirement that a package of the plan fulfils.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Requested {
    /// Who requires it: a package, or the tool's manifest.
    pub by: String,
    /// The requirement as stated.
    pub requirement: String,
}

impl Plan {
    /// Bytes to download if nothing is there yet, as far as the index tells sizes.
    pub fn known_bytes(&self) -> u64 {
        self.lock
            .packages
            .iter()
            .filter_map(|package| package.artifact.size)
            .sum()
    }

    /// Packages whose size the index does not tell.
    pub fn unknown_sizes(&self) -> usize {
        self.lock
            .packages
            .iter()
            .filter(|package| package.artifact.size.is_none())
            .count()
    }

    /// The ways to a GPU that the plan leaves idle. What keeps a user from the devices of a GPU
    /// that it does use is told in a note.
    pub fn ways_to_a_gpu(&self) -> impl Iterator<Item = &WayOut> {
        let ways = self.ways.iter();
        ways.filter(|way| way.change != Change::DeviceAccess)
    }

    /// The version planned for a package.
    pub fn version_of(&self, name: &PackageName) -> Option<&Version> {
        self.lock
            .packages
            .iter()
            .find(|p| p.name == *name)
            .map(|p| &p.version)
    }
}
