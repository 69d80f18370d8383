//! Which releases count that by default do not: pre-releases (PEP 440) and withdrawn ones (PEP 592).
//!
//! What the tool's own requirements, constraints and overrides name counts like any other release.
//! What only a dependency names is a last resort: it is taken when nothing else fits, so that one
//! package's `>=2.0rc1` does not bring its neighbours a newer pre-release while 2.0 is out.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use pep440_rs::{Operator, VersionSpecifier};
use pep508_rs::VersionOrUrl;

use super::range::{mentions_prerelease, pinned, to_set};
use crate::types::{PackageName, Requirement, Version};

/// How a release counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Not at all.
    Refused,
    /// When nothing else fits.
    LastResort,
    /// Like any other.
    Normal,
}

/// Packages whose pre-releases were named, and releases that were pinned.
#[derive(Debug, Default)]
struct Named {
    prereleases: HashSet<PackageName>,
    pins: HashMap<PackageName, HashSet<Version>>,
}

impl Named {
    /// Takes note of a requirement; whether it said anything new.
    fn note(&mut self, requirement: &Requirement) -> bool {
        let Some(VersionOrUrl::VersionSpecifier(specifiers)) = &requirement.version_or_url else {
            return false;
        };
        let name = &requirement.name;
        let mut new = mentions_prerelease(specifiers) && self.prereleases.insert(name.clone());
        let may_pin = |one: &VersionSpecifier| {
            matches!(one.operator(), Operator::Equal | Operator::ExactEqual)
        };
        if specifiers.iter().any(may_pin)
            && let Some(version) = pinned(&to_set(specifiers))
        {
            let pins = self.pins.entry(name.clone()).or_default();
            new |= pins.insert(version.clone());
        }
        new
    }

    fn pins(&self, package: &PackageName, version: &Version) -> bool {
        self.pins.get(package).is_some_and(|pins| {
            pins.contains(version) || pins.contains(&version.clone().without_local())
        })
    }
}

/// What is admitted in one resolution.
#[derive(Debug)]
pub struct Admission {
    stated: Named,
    met: Mutex<Met>,
}

/// What came to light on the way.
#[derive(Debug, Default)]
struct Met {
    named: Named,
    /// Packages of which a release was refused.
    refused: HashSet<PackageName>,
    /// Something was named after it had been refused.
    late: bool,
    /// Releases that only a dependency pins stay out.
    strict: bool,
}

impl Admission {
    /// For the tool's own requirements, those that hold on every interpreter and those that hold
    /// on some. The latter are noted like a dependency's.
    pub fn new<'r>(
        everywhere: impl IntoIterator<Item = &'r Requirement>,
        somewhere: impl IntoIterator<Item = &'r Requirement>,
    ) -> Self {
        let (mut stated, mut met) = (Named::default(), Met::default());
        for requirement in everywhere {
            stated.note(requirement);
        }
        for requirement in somewhere {
            met.named.note(requirement);
        }
        Self {
            stated,
            met: Mutex::new(met),
        }
    }

    fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a dependency's requirement.
    pub fn note(&self, requirement: &Requirement) {
        let mut met = self.met();
        if met.named.note(requirement) && met.refused.contains(&requirement.name) {
            met.late = true;
        }
    }

    /// How pre-releases of a package count.
    pub fn prereleases(&self, package: &PackageName) -> Standing {
        if self.stated.prereleases.contains(package) {
            Standing::Normal
        } else if self.met().named.prereleases.contains(package) {
            Standing::LastResort
        } else {
            Standing::Refused
        }
    }

    /// How a withdrawn release counts.
    pub fn withdrawn(&self, package: &PackageName, version: &Version) -> Standing {
        if self.is_stated(package, version) {
            return Standing::Normal;
        }
        let met = self.met();
        if !met.strict && met.named.pins(package, version) {
            Standing::LastResort
        } else {
            Standing::Refused
        }
    }

    /// Whether the tool's own requirements pin a release.
    pub fn is_stated(&self, package: &PackageName, version: &Version) -> bool {
        self.stated.pins(package, version)
    }

    /// A release of this package was refused.
    pub fn refused(&self, package: &PackageName) {
        let mut met = self.met();
        if !met.refused.contains(package) {
            met.refused.insert(package.clone());
        }
    }

    /// Whether something was named only after it had been refused, so that another try may do
    /// better; each answer of `true` is given once.
    pub fn came_late(&self) -> bool {
        std::mem::take(&mut self.met().late)
    }

    /// From now on a withdrawn release counts only if the tool's own requirements pin it; whether
    /// that is new.
    pub fn be_strict(&self) -> bool {
        !std::mem::replace(&mut self.met().strict, true)
    }
}
