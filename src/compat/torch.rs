//! What the builds of PyTorch need and contain.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde::Deserialize;

use crate::types::{Accelerator, Os, PackageName, Version, VersionSpecifiers};

const DATA: &str = include_str!("../../manifests/compat/torch.toml");

/// The table of `manifests/compat/torch.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TorchFacts {
    /// Version of the file's form.
    pub schema: u32,
    /// Packages the torch wheel indexes carry.
    pub family: BTreeSet<PackageName>,
    /// CUDA builds, newest first.
    pub cuda: Vec<CudaBuild>,
    /// ROCm builds, newest first.
    pub rocm: Vec<RocmBuild>,
    /// Feature releases of torch, newest first.
    pub torch: Vec<TorchRelease>,
    /// Companions that do not declare their torch build.
    pub companion: Vec<Companion>,
}

/// A CUDA build and the drivers it runs on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CudaBuild {
    /// `cu128`
    pub build: Accelerator,
    /// Lowest Linux driver.
    pub floor_linux: Version,
    /// Lowest Windows driver.
    pub floor_windows: Version,
    /// Linux driver from which PTX of this toolkit can be compiled.
    pub native_linux: Version,
}

impl CudaBuild {
    /// The lowest driver this build runs on.
    pub fn floor(&self, os: Os) -> &Version {
        if os == Os::Windows {
            &self.floor_windows
        } else {
            &self.floor_linux
        }
    }
}

/// A ROCm build and the GPUs it has kernels for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RocmBuild {
    /// `rocm6.4`
    pub build: Accelerator,
    /// `gfx` targets.
    pub gfx: BTreeSet<String>,
}

/// A feature release of torch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TorchRelease {
    /// `2.14`
    pub release: Version,
    /// CUDA version of the build on the Python package index (Linux).
    pub default_cuda: Version,
    /// ROCm builds it was published in.
    pub rocm: Vec<Accelerator>,
    /// CUDA builds it was published in, with the compute capabilities each has machine code for.
    pub builds: BTreeMap<Accelerator, Vec<Capability>>,
}

/// An NVIDIA compute capability, written `8.6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capability(pub u16, pub u16);

impl std::str::FromStr for Capability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            Some(Self(major.parse().ok()?, minor.parse().ok()?))
        };
        parse().ok_or_else(|| format!("`{text}` is not a compute capability such as `8.6`"))
    }
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A package that must sit beside a torch of the same CUDA version without saying so.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Companion {
    /// Its name.
    pub package: PackageName,
    /// The versions this is about.
    pub versions: VersionSpecifiers,
    /// CUDA version of its build on the Python package index (Linux).
    pub default_cuda: Version,
}

impl TorchFacts {
    /// The embedded table.
    pub fn embedded() -> &'static Self {
        static FACTS: LazyLock<TorchFacts> = LazyLock::new(|| {
            // The file is part of the program and a test reads it; it cannot be wrong at run time.
            toml::from_str(DATA).unwrap_or_else(|error| unreachable!("torch.toml: {error}"))
        });
        &FACTS
    }

    /// Whether a CUDA build of a torch release has machine code for a GPU; `None` when the table
    /// does not know that build.
    pub fn has_code(
        &self,
        release: &TorchRelease,
        build: Accelerator,
        gpu: Capability,
    ) -> Option<bool> {
        let capabilities = release.builds.get(&build)?;
        Some(
            capabilities
                .iter()
                .any(|code| code.0 == gpu.0 && code.1 <= gpu.1),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_table_is_consistent() {
        let facts = TorchFacts::embedded();
        assert_eq!(facts.schema, 1);
        assert!(
            facts
                .family
                .contains(&"torchvision".parse::<PackageName>().unwrap())
        );
        for release in &facts.torch {
            for build in release.builds.keys() {
                assert!(
                    facts.cuda.iter().any(|known| known.build == *build),
                    "torch {} has a build {build} without a driver floor",
                    release.release
                );
            }
        }
        assert!(
            facts
                .cuda
                .windows(2)
                .all(|pair| pair[0].build > pair[1].build),
            "newest first"
        );
        assert!(
            facts
                .torch
                .windows(2)
                .all(|pair| pair[0].release > pair[1].release),
            "newest first"
        );
        for build in &facts.cuda {
            assert!(build.floor_linux <= build.native_linux, "{}", build.build);
        }
    }

    #[test]
    fn machine_code_serves_later_minors_of_its_major() {
        let facts = TorchFacts::embedded();
        let of = |release: &str| {
            facts
                .torch
                .iter()
                .find(|r| r.release.to_string() == release)
                .unwrap()
        };
        for (release, build, gpu, runs) in [
            ("2.14", "cu126", Capability(6, 1), true),
            ("2.14", "cu130", Capability(6, 1), false),
            ("2.14", "cu130", Capability(8, 9), true),
            ("2.9", "cu126", Capability(12, 0), false),
            ("2.9", "cu128", Capability(12, 0), true),
        ] {
            let build = build.parse().unwrap();
            assert_eq!(
                facts.has_code(of(release), build, gpu),
                Some(runs),
                "{release} {build} {gpu}"
            );
        }
    }
}
