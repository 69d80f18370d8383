//! What a package index says of torch and its companions, in the form that facts are compared in.
//!
//! Values only: who asks the index fills them in.

use std::collections::{BTreeMap, BTreeSet};

use super::torch::Platform;
use crate::types::{Accelerator, Arch, Os, PackageName, PythonVersion, Version, VersionSpecifiers};

/// What the indexes say.
#[derive(Clone, Debug, Default)]
pub struct Published {
    /// Final releases of torch on the package index.
    pub torch: BTreeMap<Version, PublishedTorch>,
    /// Final releases of its companions there.
    pub companions: BTreeMap<PackageName, BTreeMap<Version, PublishedCompanion>>,
    /// The torch wheel indexes that were reached: which versions they have for which platforms.
    pub builds: BTreeMap<Accelerator, BTreeMap<Version, BTreeSet<Platform>>>,
}

/// A release of torch on the package index.
#[derive(Clone, Debug, Default)]
pub struct PublishedTorch {
    /// Its wheels.
    pub wheels: Vec<PublishedWheel>,
    /// What a wheel of it says, per platform, for the platforms that were read.
    pub metadata: BTreeMap<Platform, Needs>,
}

/// The tags of a wheel that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedWheel {
    /// The Python it is for.
    pub python: PythonVersion,
    /// Whether it is for the build without a global lock.
    pub free_threaded: bool,
    /// Operating system and architecture.
    pub platform: Platform,
    /// Lowest C library or macOS, where the tag names one.
    pub floor: Option<Version>,
}

/// What a wheel needs on one platform.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// `Requires-Python`.
    pub requires_python: Option<VersionSpecifiers>,
    /// Requirements whose markers hold there for one of the release's Pythons at least.
    pub requires: Vec<Needed>,
}

/// One requirement.
#[derive(Clone, Debug)]
pub struct Needed {
    /// The package.
    pub package: PackageName,
    /// The versions that are accepted.
    pub versions: VersionSpecifiers,
    /// The Pythons it is asked for.
    pub pythons: BTreeSet<PythonVersion>,
}

impl Needs {
    /// What is asked of a package.
    pub fn of(&self, package: &str) -> Option<&Needed> {
        self.requires
            .iter()
            .find(|needed| needed.package.as_ref() == package)
    }

    /// The one version of a package that is accepted.
    pub fn pinned(&self, package: &str) -> Option<Version> {
        exactly(&self.of(package)?.versions)
    }

    /// The version of the CUDA runtime.
    pub fn cuda(&self) -> Option<Version> {
        self.library("cuda-runtime")
            .or_else(|| self.pinned("cuda-toolkit"))
    }

    /// The version of one of NVIDIA's libraries, whatever CUDA it is for: `cudnn`.
    pub fn library(&self, name: &str) -> Option<Version> {
        self.requires.iter().find_map(|needed| {
            let rest = needed.package.as_ref().strip_prefix("nvidia-")?;
            let cuda = rest.strip_prefix(name)?.strip_prefix("-cu")?;
            let is_number = cuda.bytes().all(|b| b.is_ascii_digit());
            (is_number && !cuda.is_empty()).then(|| exactly(&needed.versions))?
        })
    }
}

/// The only version that specifiers accept, if they name one.
pub(super) fn exactly(versions: &VersionSpecifiers) -> Option<Version> {
    let mut all = versions.iter();
    match (all.next(), all.next()) {
        (Some(only), None) if *only.operator() == pep440_rs::Operator::Equal => {
            Some(only.version().clone())
        }
        _ => None,
    }
}

/// A release of a companion.
#[derive(Clone, Debug, Default)]
pub struct PublishedCompanion {
    /// Whether there is a wheel of it.
    pub has_wheel: bool,
    /// What it asks of torch; `None` when it asks nothing.
    pub torch: Option<VersionSpecifiers>,
}

impl PublishedWheel {
    /// Reads the tags of a wheel of torch; `None` for machines and Pythons that the table is not
    /// about.
    pub fn read<'t>(
        pythons: impl Iterator<Item = &'t str>,
        mut abis: impl Iterator<Item = &'t str>,
        platforms: impl Iterator<Item = &'t str>,
    ) -> Option<Self> {
        let python = pythons.into_iter().find_map(|tag| {
            let digits = tag.strip_prefix("cp3")?;
            Some(PythonVersion::new(3, digits.parse().ok()?))
        })?;
        let abi = abis.next()?;
        let (platform, floor) = platforms.into_iter().find_map(platform)?;
        Some(Self {
            python,
            free_threaded: abi.starts_with("cp") && abi.ends_with('t'),
            platform,
            floor,
        })
    }
}

/// The platform a tag is for, with its floor.
pub fn platform(tag: &str) -> Option<(Platform, Option<Version>)> {
    let linux = |arch: &str| {
        let arch = match arch {
            "x86_64" => Arch::X86_64,
            "aarch64" => Arch::Aarch64,
            _ => return None,
        };
        Some(Platform {
            os: Os::Linux,
            arch,
        })
    };
    // The old names stand for versions of the C library (PEP 513, 571, 599, 600).
    for (name, minor) in [
        ("manylinux1_", 5),
        ("manylinux2010_", 12),
        ("manylinux2014_", 17),
    ] {
        if let Some(arch) = tag.strip_prefix(name) {
            return Some((linux(arch)?, Some(Version::new([2, minor]))));
        }
    }
    if let Some(rest) = tag.strip_prefix("manylinux_") {
        let (floor, arch) = numbered(rest)?;
        return Some((linux(arch)?, Some(floor)));
    }
    if let Some(arch) = tag.strip_prefix("linux_") {
        return Some((linux(arch)?, None));
    }
    if let Some(rest) = tag.strip_prefix("macosx_") {
        let (floor, arch) = numbered(rest)?;
        let arch = match arch {
            "x86_64" => Arch::X86_64,
            "arm64" => Arch::Aarch64,
            _ => return None,
        };
        let os = Os::Macos;
        return Some((Platform { os, arch }, Some(floor)));
    }
    let arch = match tag {
        "win_amd64" => Arch::X86_64,
        "win_arm64" => Arch::Aarch64,
        _ => return None,
    };
    let os = Os::Windows;
    Some((Platform { os, arch }, None))
}

/// `2_28_x86_64` as 2.28 and the architecture.
fn numbered(text: &str) -> Option<(Version, &str)> {
    let (major, rest) = text.split_once('_')?;
    let (minor, arch) = rest.split_once('_')?;
    let version = Version::new([major.parse::<u64>().ok()?, minor.parse().ok()?]);
    Some((version, arch))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(tag: &str) -> Option<(String, bool, String, Option<String>)> {
        let mut parts = tag.splitn(3, '-').map(|part| part.split('.'));
        let wheel = PublishedWheel::read(parts.next()?, parts.next()?, parts.next()?)?;
        Some((
            wheel.python.to_string(),
            wheel.free_threaded,
            wheel.platform.to_string(),
            wheel.floor.map(|floor| floor.to_string()),
        ))
    }

    #[test]
    fn tags_of_torch() {
        for (tag, python, free, platform, floor) in [
            (
                "cp311-cp311-manylinux_2_28_x86_64",
                "3.11",
                false,
                "linux-x86_64",
                Some("2.28"),
            ),
            (
                "cp310-cp310-manylinux1_x86_64",
                "3.10",
                false,
                "linux-x86_64",
                Some("2.5"),
            ),
            (
                "cp38-cp38-manylinux2014_aarch64",
                "3.8",
                false,
                "linux-aarch64",
                Some("2.17"),
            ),
            (
                "cp314-cp314t-macosx_14_0_arm64",
                "3.14",
                true,
                "macos-aarch64",
                Some("14.0"),
            ),
            (
                "cp312-none-macosx_11_0_arm64",
                "3.12",
                false,
                "macos-aarch64",
                Some("11.0"),
            ),
            (
                "cp313-cp313-win_amd64",
                "3.13",
                false,
                "windows-x86_64",
                None,
            ),
            (
                "cp313-cp313-linux_x86_64",
                "3.13",
                false,
                "linux-x86_64",
                None,
            ),
        ] {
            assert_eq!(
                read(tag).unwrap(),
                (python.into(), free, platform.into(), floor.map(Into::into)),
                "{tag}"
            );
        }
        for other in [
            "cp27-cp27mu-manylinux1_x86_64",
            "py3-none-any",
            "cp311-cp311-manylinux_2_28_s390x",
            "cp311-cp311-manylinux_x_28_x86_64",
            "cp311-cp311-musllinux_1_2_x86_64",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn libraries_whatever_their_cuda() {
        let needs = |requirements: &[(&str, &str)]| Needs {
            requires_python: None,
            requires: requirements
                .iter()
                .map(|(name, versions)| Needed {
                    package: name.parse().unwrap(),
                    versions: versions.parse().unwrap(),
                    pythons: BTreeSet::new(),
                })
                .collect(),
        };
        let old = needs(&[
            ("nvidia-cuda-runtime-cu12", "==12.8.90"),
            ("nvidia-cudnn-cu12", "==9.10.2.21"),
        ]);
        assert_eq!(old.cuda(), Some("12.8.90".parse().unwrap()));
        assert_eq!(old.library("cudnn"), Some("9.10.2.21".parse().unwrap()));
        let new = needs(&[
            ("cuda-toolkit", "==13.2.2"),
            ("nvidia-cublas", "<=13.1,>=13.0"),
        ]);
        assert_eq!(new.cuda(), Some("13.2.2".parse().unwrap()));
        assert_eq!(new.library("cublas"), None);
        assert_eq!(needs(&[]).cuda(), None);
    }
}
