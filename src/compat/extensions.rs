//! What packages with compiled code need and do not say: of each other, of the host, of packages.
//!
//! Four kinds of facts. *Agreements*: packages of one set that must have the same value in
//! something, such as the CUDA version they were made for, or of which only one may be there.
//! *Host needs*: the toolkit a library was made with, which asks for a driver and for GPUs.
//! *Undeclared* requirements, and *provided* ones that another package of the set meets already.
//! The solver takes part of them as `solve::needs` describes.

use std::sync::LazyLock;

use serde::Deserialize;

use super::source::{Legend, Sources};
use crate::types::{Accelerator, Os, PackageName, Version, VersionSpecifiers};

const DATA: &str = include_str!("../../manifests/compat/extensions.toml");

/// The table of `manifests/compat/extensions.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExtensionFacts {
    /// Version of the file's form.
    pub schema: u32,
    /// Day the facts were read.
    pub as_of: jiff::civil::Date,
    /// What the source keys stand for.
    pub sources: Legend,
    /// What packages must have in common.
    pub agreement: Vec<Agreement>,
    /// What packages need of a host with an NVIDIA GPU.
    pub host_need: Vec<HostNeed>,
    /// Requirements that metadata forgets.
    pub undeclared: Vec<Undeclared>,
    /// Requirements that another package meets.
    pub provided: Vec<Provided>,
}

/// Something in which the packages of a set must be equal.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Agreement {
    /// A short name.
    pub id: String,
    /// What a member does, with `{value}`.
    pub says: String,
    /// Why members must be equal: one sentence without a full stop.
    pub rule: String,
    /// Packages whose builds follow torch's.
    #[serde(default)]
    pub built_with_torch: Option<BuiltWithTorch>,
    /// The members whose values are stated.
    #[serde(default)]
    pub member: Vec<Member>,
    /// Where this was read.
    pub source: Sources,
}

/// Packages that come in the builds of torch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BuiltWithTorch {
    /// Their names.
    pub packages: Vec<PackageName>,
    /// How much of the build's version the value tells.
    pub value: Detail,
}

/// How much of the version of a build matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detail {
    /// Major and minor version: `CUDA 13.0`.
    Exact,
    /// The major version: `CUDA 13`.
    Major,
}

impl Detail {
    /// The value of a build in words: `CUDA 13.0`, `ROCm 7`, `XPU`, `the processor`.
    pub fn of(self, build: Accelerator) -> String {
        let version = |major: u16, minor: u16| match self {
            Self::Exact => format!("{major}.{minor}"),
            Self::Major => major.to_string(),
        };
        match build {
            Accelerator::Cuda(major, minor) => format!("CUDA {}", version(major, minor)),
            Accelerator::Rocm(major, minor) => format!("ROCm {}", version(major, minor)),
            Accelerator::Xpu => "XPU".to_owned(),
            Accelerator::Cpu | Accelerator::Mps => "the processor".to_owned(),
        }
    }
}

/// A member of an agreement.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Member {
    /// The package.
    pub package: PackageName,
    /// The versions this is about; all when empty.
    #[serde(default)]
    pub versions: VersionSpecifiers,
    /// Its value.
    #[serde(default)]
    value: Option<String>,
    /// Or the values it gets along with.
    #[serde(default)]
    values: Vec<String>,
    /// Operating systems it holds on; all when empty.
    #[serde(default)]
    on: Vec<Os>,
    /// Only files of this index are meant.
    #[serde(default)]
    index: Option<Index>,
}

/// An index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Index {
    /// The Python package index.
    Default,
}

impl Member {
    /// The values it may have. Without any it is its own name: such members exclude each other.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let none = self.value.is_none() && self.values.is_empty();
        let own = none.then(|| self.package.as_ref());
        self.value
            .iter()
            .chain(&self.values)
            .map(String::as_str)
            .chain(own)
    }

    /// Whether it holds on an operating system.
    pub fn holds_on(&self, os: Os) -> bool {
        self.on.is_empty() || self.on.contains(&os)
    }

    /// Whether only files of the package index are meant, not those of a torch index.
    pub fn from_default_index(&self) -> bool {
        self.index == Some(Index::Default)
    }
}

/// What a package needs of a host with an NVIDIA GPU.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostNeed {
    /// The package.
    pub package: PackageName,
    /// The versions this is about; all when empty.
    #[serde(default)]
    pub versions: VersionSpecifiers,
    /// The CUDA toolkit it was made with, a version of `cuda.toml`.
    pub cuda: Version,
    /// Where this was read.
    pub source: Sources,
}

/// What a package needs and its metadata does not say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Undeclared {
    /// The package.
    pub package: PackageName,
    /// The versions this is about; all when empty.
    #[serde(default)]
    pub versions: VersionSpecifiers,
    /// PEP 508 requirements.
    pub requires: Vec<String>,
    /// Kinds of accelerator build with which it holds; all when empty.
    #[serde(default)]
    accelerator: Vec<String>,
    /// Where this was read.
    pub source: Sources,
}

impl Undeclared {
    /// Whether it holds with a build.
    pub fn holds_with(&self, build: Accelerator) -> bool {
        holds(&self.accelerator, build)
    }
}

/// A requirement that another package of the set meets already.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Provided {
    /// The package that is not needed then.
    pub package: PackageName,
    /// What takes its place, in words.
    pub by: String,
    /// Kinds of accelerator build with which it holds; all when empty.
    #[serde(default)]
    accelerator: Vec<String>,
    /// Where this was read.
    pub source: Sources,
}

impl Provided {
    /// Whether it holds with a build.
    pub fn holds_with(&self, build: Accelerator) -> bool {
        holds(&self.accelerator, build)
    }
}

fn holds(kinds: &[String], build: Accelerator) -> bool {
    kinds.is_empty() || kinds.iter().any(|kind| kind == build.kind())
}

impl ExtensionFacts {
    /// The embedded table.
    pub fn embedded() -> &'static Self {
        static FACTS: LazyLock<ExtensionFacts> = LazyLock::new(|| {
            // The file is part of the program and a test reads it; it cannot be wrong at run time.
            ExtensionFacts::read(DATA)
                .unwrap_or_else(|error| unreachable!("extensions.toml: {error}"))
        });
        &FACTS
    }

    /// A table from the text of such a file.
    ///
    /// # Errors
    /// The text is not a table of this form.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The kinds of accelerator that rows name, each with what the row is about.
    pub fn kinds(&self) -> impl Iterator<Item = (&PackageName, &str)> {
        let undeclared = self
            .undeclared
            .iter()
            .flat_map(|row| row.accelerator.iter().map(|kind| (&row.package, kind)));
        let provided = self
            .provided
            .iter()
            .flat_map(|row| row.accelerator.iter().map(|kind| (&row.package, kind)));
        undeclared
            .chain(provided)
            .map(|(package, kind)| (package, kind.as_str()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn member<'f>(id: &str, package: &str, version: &str) -> Vec<&'f str> {
        let facts = ExtensionFacts::embedded();
        let agreement = facts.agreement.iter().find(|a| a.id == id).unwrap();
        let version: Version = version.parse().unwrap();
        agreement
            .member
            .iter()
            .filter(|m| m.package.as_ref() == package && m.versions.contains(&version))
            .flat_map(Member::values)
            .collect()
    }

    #[test]
    fn members_by_version() {
        assert_eq!(member("torch-major", "vllm", "0.19.1"), ["CUDA 12"]);
        assert_eq!(member("torch-major", "vllm", "0.33.0"), ["CUDA 13"]);
        assert_eq!(member("numpy", "torch", "2.2.2"), ["numpy 1"]);
        assert_eq!(member("numpy", "torch", "2.3.0"), [""; 0]);
        assert_eq!(
            member("onnxruntime", "onnxruntime-gpu", "1.26.0"),
            ["onnxruntime-gpu"]
        );
        assert!(member("torch-build", "bitsandbytes", "0.49.2").contains(&"CUDA 13.0"));
        assert!(!member("torch-build", "bitsandbytes", "0.49.2").contains(&"CUDA 13.2"));
    }

    #[test]
    fn builds_in_words() {
        let build = |text: &str| text.parse::<Accelerator>().unwrap();
        assert_eq!(Detail::Exact.of(build("cu130")), "CUDA 13.0");
        assert_eq!(Detail::Major.of(build("cu130")), "CUDA 13");
        assert_eq!(Detail::Major.of(build("rocm7.14")), "ROCm 7");
        assert_eq!(Detail::Exact.of(build("cpu")), "the processor");
    }
}
