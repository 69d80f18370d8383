//! What the builds of PyTorch need and contain.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use jiff::civil::Date;
use serde::Deserialize;

pub use super::capability::{Capability, Code};
use super::source::{Legend, Sources};
use crate::types::{Accelerator, Arch, Os, PackageName, PythonVersion, Version, VersionSpecifiers};

const DATA: &str = include_str!("../../manifests/compat/torch.toml");

/// The table of `manifests/compat/torch.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TorchFacts {
    /// Version of the file's form.
    pub schema: u32,
    /// Day the facts were read.
    pub as_of: Date,
    /// What the source keys stand for.
    pub sources: Legend,
    /// Packages the torch wheel indexes carry.
    pub family: BTreeSet<PackageName>,
    /// Feature releases of torch, newest first.
    pub torch: Vec<TorchRelease>,
    /// Companions that do not declare their torch build.
    pub companion: Vec<Companion>,
    /// Companions that the Python package index has as sources only.
    pub source_only: Vec<SourceOnly>,
}

/// A feature release of torch. What differs between its patch releases is in `version`; the rest
/// holds for the newest of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TorchRelease {
    /// `2.14`
    pub release: Version,
    /// Its wheels' `Requires-Python`.
    pub requires_python: VersionSpecifiers,
    /// Pythons with wheels for every platform.
    pub python: BTreeSet<PythonVersion>,
    /// Further Pythons with wheels for x86-64 Linux only.
    #[serde(default, rename = "python-linux-x86_64")]
    pub python_linux_x86_64: BTreeSet<PythonVersion>,
    /// Pythons with wheels for the build without a global lock.
    #[serde(default)]
    pub free_threaded: BTreeSet<PythonVersion>,
    /// The build on the Python package index per platform; no wheel where a platform is absent.
    pub default: BTreeMap<Platform, Accelerator>,
    /// ROCm builds it was published in (x86-64 Linux).
    pub rocm: Vec<Accelerator>,
    /// Platforms with a build for Intel GPUs.
    #[serde(default)]
    pub xpu: BTreeSet<Platform>,
    /// Lowest GNU C library by the wheels' tags.
    pub glibc: PerArch,
    /// Lowest macOS by the wheels' tags.
    pub macos: PerArch,
    /// CUDA libraries of the default build for x86-64 Linux: `cudnn`, `nccl` …
    pub libraries: BTreeMap<String, Version>,
    /// CUDA builds it was published in for x86-64, with the code each holds.
    pub builds: BTreeMap<Accelerator, Vec<Code>>,
    /// The same for 64-bit Arm Linux.
    #[serde(default)]
    pub builds_aarch64: BTreeMap<Accelerator, Vec<Code>>,
    /// CUDA builds that Windows lacks.
    #[serde(default)]
    pub not_on_windows: BTreeSet<Accelerator>,
    /// Patch releases, newest first.
    pub version: Vec<TorchVersion>,
    /// Where this was read.
    pub source: Sources,
}

/// A patch release of torch with the companions made for it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TorchVersion {
    /// `2.14.1`
    pub version: Version,
    /// Day of its release.
    pub released: Date,
    /// Its triton on Linux.
    pub triton: Version,
    /// The Python from which on it asks for no triton.
    pub triton_below: Option<PythonVersion>,
    /// Its torchvision.
    pub torchvision: Version,
    /// Its torchaudio; absent where none works with its default build.
    pub torchaudio: Option<Version>,
    /// Its xformers.
    pub xformers: Option<Version>,
}

/// A value that differs between processor architectures; absent where there is no wheel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerArch {
    /// 64-bit x86.
    pub x86_64: Option<Version>,
    /// 64-bit Arm.
    pub aarch64: Option<Version>,
}

impl PerArch {
    /// The value for an architecture.
    pub fn get(&self, arch: Arch) -> Option<&Version> {
        match arch {
            Arch::X86_64 => self.x86_64.as_ref(),
            Arch::Aarch64 => self.aarch64.as_ref(),
        }
    }
}

/// An operating system with a processor architecture, written `linux-x86_64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Platform {
    /// Operating-system family.
    pub os: Os,
    /// Processor architecture.
    pub arch: Arch,
}

impl TryFrom<String> for Platform {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parse = || {
            let (os, arch) = text.split_once('-')?;
            let os = match os {
                "linux" => Os::Linux,
                "macos" => Os::Macos,
                "windows" => Os::Windows,
                _ => return None,
            };
            let arch = match arch {
                "x86_64" => Arch::X86_64,
                "aarch64" => Arch::Aarch64,
                _ => return None,
            };
            Some(Self { os, arch })
        };
        parse().ok_or_else(|| format!("`{text}` is not a platform such as `linux-x86_64`"))
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let os = match self.os {
            Os::Linux => "linux",
            Os::Macos => "macos",
            Os::Windows => "windows",
        };
        let arch = match self.arch {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        };
        write!(f, "{os}-{arch}")
    }
}

/// A package that must sit beside a torch of the same CUDA version without saying so.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Companion {
    /// Its name.
    pub package: PackageName,
    /// The versions this is about.
    pub versions: VersionSpecifiers,
    /// CUDA version of its build on the Python package index (Linux).
    pub default_cuda: Version,
    /// Where this was read.
    pub source: Sources,
}

/// A companion without wheels on the Python package index.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SourceOnly {
    /// Its name.
    pub package: PackageName,
    /// Where this was read.
    pub source: Sources,
}

impl TorchRelease {
    /// The build of this release on the Python package index; `None` where it has no wheel.
    pub fn default_build(&self, os: Os, arch: Arch) -> Option<Accelerator> {
        self.default.get(&Platform { os, arch }).copied()
    }

    /// The CUDA version of the build for x86-64 Linux on the Python package index.
    pub fn default_cuda(&self) -> Option<Version> {
        match self.default_build(Os::Linux, Arch::X86_64)? {
            Accelerator::Cuda(major, minor) => {
                Some(Version::new([u64::from(major), u64::from(minor)]))
            }
            _ => None,
        }
    }

    /// The code that a CUDA build holds; `None` where it was not published for the architecture.
    pub fn code(&self, build: Accelerator, arch: Arch) -> Option<&[Code]> {
        let builds = match arch {
            Arch::X86_64 => &self.builds,
            Arch::Aarch64 => &self.builds_aarch64,
        };
        builds.get(&build).map(Vec::as_slice)
    }

    /// Whether a CUDA build has machine code for a GPU; `None` where it was not published for the
    /// architecture.
    pub fn has_code(&self, build: Accelerator, arch: Arch, gpu: Capability) -> Option<bool> {
        let code = self.code(build, arch)?;
        Some(code.iter().any(|code| code.runs_on(gpu)))
    }
}

impl TorchFacts {
    /// The embedded table.
    pub fn embedded() -> &'static Self {
        static FACTS: LazyLock<TorchFacts> = LazyLock::new(|| {
            // The file is part of the program and a test reads it; it cannot be wrong at run time.
            TorchFacts::read(DATA).unwrap_or_else(|error| unreachable!("torch.toml: {error}"))
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

    /// The CUDA builds that any release was published in for an architecture, newest first.
    pub fn cuda_builds(&self, arch: Arch) -> Vec<Accelerator> {
        let builds: BTreeSet<Accelerator> = self
            .torch
            .iter()
            .flat_map(|release| match arch {
                Arch::X86_64 => release.builds.keys(),
                Arch::Aarch64 => release.builds_aarch64.keys(),
            })
            .copied()
            .collect();
        builds.into_iter().rev().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn release(release: &str) -> &'static TorchRelease {
        TorchFacts::embedded()
            .torch
            .iter()
            .find(|r| r.release.to_string() == release)
            .unwrap()
    }

    #[test]
    fn machine_code_serves_later_minors_of_its_major() {
        for (torch, build, gpu, runs) in [
            ("2.14", "cu126", Capability(6, 1), true),
            ("2.14", "cu130", Capability(6, 1), false),
            ("2.14", "cu130", Capability(8, 9), true),
            ("2.9", "cu126", Capability(12, 0), false),
            ("2.9", "cu128", Capability(12, 0), true),
        ] {
            assert_eq!(
                release(torch).has_code(build.parse().unwrap(), Arch::X86_64, gpu),
                Some(runs),
                "{torch} {build} {gpu}"
            );
        }
    }

    #[test]
    fn arm_has_builds_of_its_own() {
        let cu130 = "cu130".parse().unwrap();
        let thor = Capability(11, 0);
        let new = release("2.14");
        assert_eq!(new.has_code(cu130, Arch::Aarch64, thor), Some(true));
        assert_eq!(new.has_code(cu130, Arch::X86_64, thor), Some(false));
        let turing = Capability(7, 5);
        assert_eq!(new.has_code(cu130, Arch::Aarch64, turing), Some(false));
        let cu118 = "cu118".parse().unwrap();
        assert_eq!(release("2.4").has_code(cu118, Arch::Aarch64, turing), None);
    }

    #[test]
    fn default_builds_per_platform() {
        for (torch, os, arch, build) in [
            ("2.15", Os::Linux, Arch::X86_64, Some("cu132")),
            ("2.11", Os::Linux, Arch::Aarch64, Some("cu130")),
            ("2.10", Os::Linux, Arch::Aarch64, Some("cpu")),
            ("2.15", Os::Windows, Arch::X86_64, Some("cpu")),
            ("2.2", Os::Macos, Arch::X86_64, Some("cpu")),
            ("2.3", Os::Macos, Arch::X86_64, None),
            ("2.15", Os::Macos, Arch::Aarch64, Some("mps")),
        ] {
            assert_eq!(
                release(torch).default_build(os, arch),
                build.map(|build| build.parse().unwrap()),
                "{torch} {os:?} {arch:?}"
            );
        }
        assert_eq!(
            release("2.15").default_cuda(),
            Some("13.2".parse().unwrap())
        );
    }

    #[test]
    fn builds_are_listed_newest_first() {
        let builds = TorchFacts::embedded().cuda_builds(Arch::X86_64);
        assert!(
            builds.windows(2).all(|pair| pair[0] > pair[1]),
            "{builds:?}"
        );
        assert_eq!(builds.last(), Some(&"cu117".parse().unwrap()));
    }
}
