//! CUDA toolkits, the drivers they need, and the GPUs they compile for.
//!
//! Two rules decide whether a driver runs a CUDA build. *Floor*: NVIDIA promises that a program
//! made with any toolkit of a major version runs on every driver from a certain one on
//! (minor-version compatibility, since CUDA 11.1); before that, the toolkit's own driver is the
//! floor. *Native*: from the toolkit's own driver on, code shipped as PTX can be compiled too.
//! Both are derived here from two small tables. A third table tells GPU generations apart: which
//! drivers know them, and which toolkits have compiled for them.

use std::sync::LazyLock;

use jiff::civil::Date;
use serde::Deserialize;

pub use super::capability::{Capability, Code};
use super::source::{Legend, Sources};
use crate::types::{Accelerator, Os, Version};

const DATA: &str = include_str!("../../manifests/compat/cuda.toml");

/// The table of `manifests/compat/cuda.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CudaFacts {
    /// Version of the file's form.
    pub schema: u32,
    /// Day the facts were read.
    pub as_of: Date,
    /// What the source keys stand for.
    pub sources: Legend,
    /// Toolkits, newest first.
    pub toolkit: Vec<Toolkit>,
    /// Minor-version compatibility, newest major first.
    pub minor_compatibility: Vec<MinorCompatibility>,
    /// GPU generations, newest first.
    pub architecture: Vec<Architecture>,
    /// Forward compatibility packages.
    pub forward_compatibility: ForwardCompatibility,
}

/// A CUDA toolkit and the drivers published with it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Toolkit {
    /// `12.8`
    pub version: Version,
    /// First Linux driver that knows this toolkit; absent where it was not found.
    pub linux: Option<Version>,
    /// First Windows driver that knows it; absent where it was not found.
    pub windows: Option<Version>,
    /// Where this was read.
    pub source: Sources,
}

impl Toolkit {
    /// The build of torch made with this toolkit: `cu128`.
    pub fn build(&self) -> Option<Accelerator> {
        accelerator(&self.version)
    }
}

/// From which driver on any toolkit of a major version runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MinorCompatibility {
    /// `12`
    pub major: u16,
    /// First toolkit it holds for.
    pub since: Version,
    /// Lowest Linux driver.
    pub linux: Version,
    /// Lowest Windows driver.
    pub windows: Version,
    /// Where this was read.
    pub source: Sources,
}

/// GPUs of one generation that drivers and toolkits treat alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Architecture {
    /// `Kepler`; a generation may stand in several rows.
    pub name: String,
    /// Its compute capabilities.
    pub capabilities: Vec<Capability>,
    /// First Linux driver that knows these GPUs; absent for Tegra, where it comes with JetPack.
    pub linux: Option<Version>,
    /// First Windows driver that knows them; absent where there is none.
    pub windows: Option<Version>,
    /// Last driver branch that supports them; absent while they are supported.
    pub last_branch: Option<u16>,
    /// First toolkit that compiles for them.
    pub first_toolkit: Version,
    /// Last toolkit that compiles for them; absent while one does.
    pub last_toolkit: Option<Version>,
    /// Set for GPUs in NVIDIA's embedded processors.
    pub tegra: Option<Tegra>,
    /// Where this was read.
    pub source: Sources,
}

impl Architecture {
    /// The first driver that knows these GPUs.
    pub fn lowest_driver(&self, os: Os) -> Option<&Version> {
        match os {
            Os::Linux => self.linux.as_ref(),
            Os::Windows => self.windows.as_ref(),
            Os::Macos => None,
        }
    }

    /// Whether a toolkit compiles for these GPUs.
    pub fn compiled_by(&self, toolkit: &Version) -> bool {
        *toolkit >= self.first_toolkit
            && self
                .last_toolkit
                .as_ref()
                .is_none_or(|last| toolkit <= last)
    }
}

/// What sets a Jetson apart from a server with the same instruction set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tegra {
    /// The boards.
    pub boards: Vec<String>,
    /// First JetPack that supports them.
    pub first_jetpack: Version,
    /// Last JetPack that supports them; absent while they are supported.
    pub last_jetpack: Option<Version>,
    /// JetPack from which the ordinary Linux wheels for 64-bit Arm run on them. Absent: never;
    /// wheels made for that JetPack are needed.
    pub ordinary_wheels_since: Option<Version>,
    /// The driver of that JetPack.
    pub ordinary_wheels_driver: Option<Version>,
}

/// Packages that let an old driver run a newer major version of CUDA.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ForwardCompatibility {
    /// On which GPUs, in words.
    pub gpus: String,
    /// Per toolkit, newest first.
    pub package: Vec<ForwardPackage>,
    /// Where this was read.
    pub source: Sources,
}

/// One compatibility package.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ForwardPackage {
    /// The toolkit it is for.
    pub toolkit: Version,
    /// Driver branches it runs on, oldest first.
    pub branches: Vec<u16>,
}

impl CudaFacts {
    /// The embedded table.
    pub fn embedded() -> &'static Self {
        static FACTS: LazyLock<CudaFacts> = LazyLock::new(|| {
            // The file is part of the program and a test reads it; it cannot be wrong at run time.
            CudaFacts::read(DATA).unwrap_or_else(|error| unreachable!("cuda.toml: {error}"))
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

    /// The toolkit a build was made with.
    pub fn toolkit(&self, build: Accelerator) -> Option<&Toolkit> {
        self.toolkit
            .iter()
            .find(|toolkit| toolkit.build() == Some(build))
    }

    /// The lowest driver a CUDA build runs on; `None` when the build is not of CUDA or unknown.
    pub fn floor(&self, build: Accelerator, os: Os) -> Option<&Version> {
        let Accelerator::Cuda(major, _) = build else {
            return None;
        };
        let toolkit = self.toolkit(build)?;
        let compatible = self
            .minor_compatibility
            .iter()
            .find(|row| row.major == major && toolkit.version >= row.since);
        match (os, compatible) {
            (Os::Linux, Some(row)) => Some(&row.linux),
            (Os::Windows, Some(row)) => Some(&row.windows),
            (Os::Linux, None) => toolkit.linux.as_ref(),
            (Os::Windows, None) => toolkit.windows.as_ref(),
            (Os::Macos, _) => None,
        }
    }

    /// The driver from which code shipped as PTX in a CUDA build can be compiled; `None` where
    /// none is known.
    pub fn native(&self, build: Accelerator, os: Os) -> Option<&Version> {
        let toolkit = self.toolkit(build)?;
        match os {
            Os::Linux => toolkit.linux.as_ref(),
            Os::Windows => toolkit.windows.as_ref(),
            Os::Macos => None,
        }
    }

    /// Whether a driver is at least another. A driver told by its branch alone (`570`) stands for
    /// the newest of that branch.
    pub fn reaches(driver: &Version, lowest: &Version) -> bool {
        match driver.release() {
            [branch] => lowest.release().first().is_none_or(|first| first <= branch),
            _ => lowest <= driver,
        }
    }

    /// The generation a compute capability belongs to; `None` for one that is not known.
    pub fn architecture(&self, capability: Capability) -> Option<&Architecture> {
        self.architecture
            .iter()
            .find(|row| row.capabilities.contains(&capability))
    }

    /// The first driver that knows GPUs of a compute capability.
    pub fn lowest_driver(&self, capability: Capability, os: Os) -> Option<&Version> {
        self.architecture(capability)?.lowest_driver(os)
    }

    /// The last driver branch for GPUs of a compute capability; `None` while they are supported,
    /// and for unknown ones.
    pub fn last_driver_branch(&self, capability: Capability) -> Option<u16> {
        self.architecture(capability)?.last_branch
    }

    /// Whether NVIDIA has a package that lets this driver run this build on data-centre GPUs and
    /// Jetson boards.
    pub fn forward_compatible(&self, build: Accelerator, driver: &Version) -> bool {
        let branch = driver.release().first();
        self.toolkit(build).is_some_and(|toolkit| {
            self.forward_compatibility.package.iter().any(|package| {
                package.toolkit == toolkit.version
                    && package
                        .branches
                        .iter()
                        .any(|known| branch == Some(&u64::from(*known)))
            })
        })
    }
}

/// `12.8` as `cu128`.
pub(super) fn accelerator(toolkit: &Version) -> Option<Accelerator> {
    let [major, minor, ..] = toolkit.release() else {
        return None;
    };
    Some(Accelerator::Cuda(
        u16::try_from(*major).ok()?,
        u16::try_from(*minor).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn floors_and_native_drivers_are_derived() {
        let facts = CudaFacts::embedded();
        for (build, os, floor, native) in [
            ("cu132", Os::Linux, "580", Some("595.45.04")),
            ("cu128", Os::Linux, "525.60.13", Some("570.26")),
            ("cu128", Os::Windows, "528.33", Some("570.65")),
            ("cu118", Os::Linux, "450.80.02", Some("520.61.05")),
            // Before minor-version compatibility the toolkit's own driver is the floor.
            ("cu102", Os::Linux, "440.33", Some("440.33")),
            ("cu110", Os::Windows, "451.48", Some("451.48")),
            ("cu131", Os::Windows, "580", Some("591.44")),
            ("cu133", Os::Windows, "580", None),
        ] {
            let build = build.parse().unwrap();
            assert_eq!(
                facts.floor(build, os),
                Some(&version(floor)),
                "{build} {os:?}"
            );
            assert_eq!(
                facts.native(build, os).cloned(),
                native.map(version),
                "{build} {os:?}"
            );
        }
        assert_eq!(facts.floor(Accelerator::Cpu, Os::Linux), None);
        assert_eq!(facts.floor("cu999".parse().unwrap(), Os::Linux), None);
        assert_eq!(facts.native("cu128".parse().unwrap(), Os::Macos), None);
    }

    #[test]
    fn generations_by_capability() {
        let facts = CudaFacts::embedded();
        for (capability, name, last_branch) in [
            (Capability(3, 7), "Kepler", Some(470)),
            (Capability(6, 1), "Pascal", Some(580)),
            (Capability(8, 9), "Ada", None),
            (Capability(12, 0), "Blackwell", None),
        ] {
            assert_eq!(facts.architecture(capability).unwrap().name, name);
            assert_eq!(facts.last_driver_branch(capability), last_branch);
        }
        assert!(facts.architecture(Capability(12, 9)).is_none());
        let blackwell = facts.lowest_driver(Capability(12, 0), Os::Linux).unwrap();
        assert!(*blackwell > version("565.77") && *blackwell < version("571"));
        assert!(
            facts
                .architecture(Capability(11, 0))
                .unwrap()
                .tegra
                .is_some()
        );
    }
}
