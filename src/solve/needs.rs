//! What packages need beyond what their metadata says.
//!
//! Metadata speaks of packages and Python alone. Three more things decide whether a set of packages
//! works: what a package needs **of the host** (a driver, a GPU its code was compiled for, a C
//! library), what packages must have **in common** though none of them says so (the CUDA version
//! they were compiled with, the ABI of numpy, a module folder that only one may own), and what they
//! **forget to require**. The first two take part in the resolution as virtual packages
//! ([`Participant::Host`](super::package::Participant::Host),
//! [`Participant::Agreement`](super::package::Participant::Agreement)), so a conflict's derivation
//! names them.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::range::VersionSet;
use crate::types::{Libc, PackageName, Requirement, Target, Version};

/// Something about the host that a package can need. It has one version: the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostFact {
    /// Version of the NVIDIA driver.
    NvidiaDriver,
    /// Compute capability of the NVIDIA GPU that is served.
    ComputeCapability,
    /// Instruction set of the AMD GPU that is served (`gfx_version`).
    GfxTarget,
    /// Version of the GNU C library.
    Glibc,
    /// Version of macOS.
    Macos,
}

impl fmt::Display for HostFact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NvidiaDriver => "NVIDIA driver",
            Self::ComputeCapability => "compute capability",
            Self::GfxTarget => "gfx target",
            Self::Glibc => "glibc",
            Self::Macos => "macOS",
        })
    }
}

/// What a host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostValue {
    /// The version.
    pub version: Version,
    /// Whose it is, in words: `this machine`, `the GeForce GTX 1080 Ti`.
    pub owner: String,
}

/// Where the files of a package come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The torch wheel index of the accelerator build that is tried.
    Torch,
    /// The default index.
    Default,
    /// A URL that the request names.
    Direct,
}

/// A need of some versions of a package.
#[derive(Clone, Debug, PartialEq)]
pub struct HostNeed {
    /// The versions that have it.
    pub versions: VersionSet,
    /// Only when they come from there; `None`: from any index.
    pub origin: Option<Origin>,
    /// What is needed.
    pub fact: HostFact,
    /// The versions of it that do.
    pub wanted: VersionSet,
    /// Why, in words that follow the package: `built for cu132`. May be empty.
    pub because: String,
}

/// The name of an agreement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgreementId(Arc<str>);

impl From<&str> for AgreementId {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for AgreementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something in which chosen packages must be equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// What a member does, with `{value}`: `is built for {value}`.
    pub says: String,
    /// Why members must be equal: one sentence.
    pub rule: String,
    /// The values that members have; the solver knows them by their number.
    values: Vec<String>,
}

#[derive(Clone, Debug)]
struct Member {
    versions: VersionSet,
    origin: Option<Origin>,
    agreement: AgreementId,
    /// The numbers of the values it gets along with.
    values: VersionSet,
}

/// The needs that hold in one resolution.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// What the host has. What is absent here, the host does not have.
    pub host: BTreeMap<HostFact, HostValue>,
    of_host: BTreeMap<PackageName, Vec<HostNeed>>,
    agreements: BTreeMap<AgreementId, Agreement>,
    members: BTreeMap<PackageName, Vec<Member>>,
    undeclared: BTreeMap<PackageName, Vec<(VersionSet, Requirement)>>,
}

impl Needs {
    /// What the C library or macOS of a target is, and nothing else.
    pub fn on(target: &Target) -> Self {
        let system = match (target.libc, target.macos) {
            (Some(Libc::Glibc { major, minor }), _) => Some((HostFact::Glibc, major, minor)),
            (_, Some((major, minor))) => Some((HostFact::Macos, major, minor)),
            _ => None,
        };
        let host = system.map(|(fact, major, minor)| {
            let value = HostValue {
                version: Version::new([u64::from(major), u64::from(minor)]),
                owner: "this machine".to_owned(),
            };
            (fact, value)
        });
        Self {
            host: host.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Some versions of a package need something of the host.
    pub fn add_host_need(&mut self, package: PackageName, need: HostNeed) {
        self.of_host.entry(package).or_default().push(need);
    }

    /// There is something in which packages must be equal; `says` and `rule` as in `Agreement`.
    pub fn add_agreement(&mut self, id: AgreementId, says: &str, rule: &str) {
        self.agreements.entry(id).or_insert_with(|| Agreement {
            says: says.to_owned(),
            rule: rule.to_owned(),
            values: Vec::new(),
        });
    }

    /// Versions of a package have one of these values in an agreement that was added before.
    pub fn add_member<'v>(
        &mut self,
        agreement: &AgreementId,
        package: PackageName,
        versions: VersionSet,
        origin: Option<Origin>,
        values: impl IntoIterator<Item = &'v str>,
    ) {
        let Some(known) = self.agreements.get_mut(agreement) else {
            return;
        };
        let numbers = values
            .into_iter()
            .map(|value| VersionSet::singleton(Version::new([known.number(value) as u64])))
            .fold(VersionSet::empty(), |all, one| all.union(&one));
        self.members.entry(package).or_default().push(Member {
            versions,
            origin,
            agreement: agreement.clone(),
            values: numbers,
        });
    }

    /// Versions of a package need what their metadata does not say.
    pub fn add_undeclared(
        &mut self,
        package: PackageName,
        versions: VersionSet,
        requirement: Requirement,
    ) {
        let known = self.undeclared.entry(package).or_default();
        known.push((versions, requirement));
    }

    /// What a version of a package needs of the host.
    pub fn of_host<'n>(
        &'n self,
        package: &PackageName,
        version: &'n Version,
        origin: Origin,
    ) -> impl Iterator<Item = &'n HostNeed> {
        let needs = self.of_host.get(package).into_iter().flatten();
        needs.filter(move |need| {
            need.origin.is_none_or(|of| of == origin) && need.versions.contains(version)
        })
    }

    /// Whether the host has it.
    pub fn met(&self, fact: HostFact, wanted: &VersionSet) -> bool {
        let has = self.host.get(&fact);
        has.is_some_and(|value| wanted.contains(&value.version))
    }

    /// All that these needs do to a resolution, as text: of the host, only whether each need of it
    /// is met.
    pub fn decisive(&self) -> String {
        let Self {
            host: _,
            of_host,
            agreements: _,
            members,
            undeclared,
        } = self;
        let mut text = format!("{members:?} {undeclared:?}");
        for (package, needs) in of_host {
            for need in needs {
                let met = self.met(need.fact, &need.wanted);
                text += &format!("\n{package} {:?} {:?} {met}", need.versions, need.origin);
            }
        }
        text
    }

    /// The agreements a version of a package is a member of, with its values in each.
    pub fn agreements<'n>(
        &'n self,
        package: &PackageName,
        version: &'n Version,
        origin: Origin,
    ) -> impl Iterator<Item = (&'n AgreementId, &'n VersionSet)> {
        let members = self.members.get(package).into_iter().flatten();
        members
            .filter(move |member| {
                member.origin.is_none_or(|of| of == origin) && member.versions.contains(version)
            })
            .map(|member| (&member.agreement, &member.values))
    }

    /// What a version of a package needs and does not say.
    pub fn undeclared<'n>(
        &'n self,
        package: &PackageName,
        version: &'n Version,
    ) -> impl Iterator<Item = &'n Requirement> {
        let known = self.undeclared.get(package).into_iter().flatten();
        known
            .filter(move |(versions, _)| versions.contains(version))
            .map(|(_, requirement)| requirement)
    }

    /// An agreement by its id.
    pub fn agreement(&self, id: &AgreementId) -> Option<&Agreement> {
        self.agreements.get(id)
    }

    /// Why versions of a package need this of the host, as [`HostNeed::because`] says it; empty
    /// where there is no reason that holds for all of them.
    pub fn because(
        &self,
        package: &PackageName,
        versions: &VersionSet,
        fact: HostFact,
        wanted: &VersionSet,
    ) -> &str {
        let needs = self.of_host.get(package).into_iter().flatten();
        let mut same = needs.filter(|need| {
            need.fact == fact && need.wanted == *wanted && !need.versions.is_disjoint(versions)
        });
        let Some(first) = same.next() else {
            return "";
        };
        let mut told = first.versions.clone();
        for other in same {
            if other.because != first.because {
                return "";
            }
            told = told.union(&other.versions);
        }
        match versions.subset_of(&told) {
            true => &first.because,
            false => "",
        }
    }
}

impl Agreement {
    fn number(&mut self, value: &str) -> usize {
        if let Some(known) = self.values.iter().position(|known| known == value) {
            return known;
        }
        self.values.push(value.to_owned());
        self.values.len() - 1
    }

    /// The values that a set of numbers stands for.
    pub fn values(&self, numbers: &VersionSet) -> Vec<&str> {
        let numbered = self.values.iter().enumerate();
        numbered
            .filter(|(number, _)| numbers.contains(&Version::new([*number as u64])))
            .map(|(_, value)| value.as_str())
            .collect()
    }
}

/// A gfx target as a version: LLVM writes major, minor and stepping in one word, the last two as
/// one hexadecimal digit each. `gfx1030` is 10.3.0, `gfx90a` is 9.0.10.
pub fn gfx_version(target: &str) -> Option<Version> {
    let digits = target.strip_prefix("gfx")?;
    let (major, rest) = digits.split_at_checked(digits.len().checked_sub(2)?)?;
    let (minor, stepping) = rest.split_at_checked(1)?;
    let hexadecimal = |digit| u64::from_str_radix(digit, 16).ok();
    Some(Version::new([
        major.parse().ok()?,
        hexadecimal(minor)?,
        hexadecimal(stepping)?,
    ]))
}

/// The inverse of [`gfx_version`].
pub fn gfx_name(version: &Version) -> String {
    let part = |i: usize| version.release().get(i).copied().unwrap_or(0);
    format!("gfx{}{:x}{:x}", part(0), part(1), part(2))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn gfx_targets_are_versions() {
        for (name, version) in [
            ("gfx803", "8.0.3"),
            ("gfx90a", "9.0.10"),
            ("gfx942", "9.4.2"),
            ("gfx1030", "10.3.0"),
            ("gfx1151", "11.5.1"),
        ] {
            let read = gfx_version(name).unwrap();
            assert_eq!(read, version.parse::<Version>().unwrap(), "{name}");
            assert_eq!(gfx_name(&read), name);
        }
        for bad in ["", "gfx", "gfx1", "gfxxyz", "rdna3", "gfx11-generic"] {
            assert_eq!(gfx_version(bad), None, "{bad}");
        }
    }
}
