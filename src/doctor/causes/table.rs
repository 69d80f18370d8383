//! The facts of `manifests/doctor/facts.toml` and the questions asked of them.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use crate::{
    compat::{
        cuda::CudaFacts,
        rocm::RocmFacts,
        torch::{Capability, TorchFacts},
    },
    doctor::facts::Release,
    types::{Accelerator, Arch, Os, Version},
};

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    #[expect(dead_code, reason = "for readers of the file")]
    schema: u32,
    old_cuda: Vec<OldCuda>,
    branches: Vec<Branch>,
    first_cuda: Vec<FirstCuda>,
    dropped: Vec<Dropped>,
    companions: Companions,
    torch_python: Vec<TorchPython>,
    torch_default: Vec<TorchDefault>,
    engine: Vec<Engine>,
    overrides: BTreeMap<String, String>,
    stopgaps: Stopgaps,
    gfx: Vec<Gfx>,
    mps: Vec<Mps>,
    wsl: Wsl,
    torch_glibc: Vec<TorchGlibc>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OldCuda {
    cuda: Version,
    driver: Version,
}

/// Driver branches that drive a generation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    from: Capability,
    to: Capability,
    /// What the generation is called.
    pub generation: String,
    /// Oldest branch.
    pub first: Option<Version>,
    /// Newest branch.
    pub last: Option<Version>,
    /// Works with the open kernel module only.
    #[serde(default)]
    pub open: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstCuda {
    capability: Capability,
    cuda: Version,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dropped {
    from: Capability,
    to: Capability,
    torch: Version,
    cuda: Version,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Companions {
    vision_offset_1: u16,
    vision_offset_2: u16,
    vision_free_from: Version,
    audio_last: Version,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TorchPython {
    torch: Version,
    newest: Version,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TorchDefault {
    torch: Version,
    cuda: Version,
}

/// What an engine wants.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    package: String,
    from: Version,
    /// CUDA version; from 11 on only the major counts.
    pub cuda: Version,
    /// cuDNN major version.
    pub cudnn: u16,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stopgaps {
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gfx {
    target: String,
    first: Option<Version>,
    gone: Option<Version>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mps {
    torch: Version,
    macos: Version,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wsl {
    first_build: u32,
    previews: (u32, u32),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TorchGlibc {
    torch: Version,
    glibc: Version,
}

/// The embedded table.
pub fn table() -> &'static Table {
    static TABLE: LazyLock<Table> = LazyLock::new(|| {
        // The file is part of the program and a test reads it.
        toml::from_str(include_str!("../../../manifests/doctor/facts.toml"))
            .unwrap_or_else(|error| unreachable!("facts.toml: {error}"))
    });
    &TABLE
}

fn version(release: Release) -> Version {
    Version::new([u64::from(release.0), u64::from(release.1)])
}

/// Whether a GPU has code in a build, and on which side it falls out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// There is code for it.
    Runs,
    /// It is newer than all code.
    TooNew,
    /// It is older than all code.
    TooOld,
}

impl Table {
    /// The oldest driver a CUDA version runs on.
    pub fn driver_floor(&self, cuda: Release, os: Option<Os>) -> Option<Version> {
        let os = os.unwrap_or(Os::Linux);
        let build = Accelerator::Cuda(cuda.0, cuda.1);
        if let Some(floor) = CudaFacts::embedded().floor(build, os) {
            return Some(floor.clone());
        }
        let mut old = self.old_cuda.iter();
        old.find(|old| old.cuda == version(cuda))
            .map(|old| old.driver.clone())
    }

    /// The newest CUDA build whose floor a driver meets and that has code for the GPUs, among those
    /// that a torch release was published in (or any).
    pub fn best_build(
        &self,
        torch: Option<Release>,
        driver: Option<&Version>,
        driver_cuda: Option<Release>,
        gpus: &[Capability],
        os: Option<Os>,
    ) -> Option<String> {
        let facts = TorchFacts::embedded();
        let named = torch.map(|(major, minor)| format!("{major}.{minor}"));
        let fits = |build: Accelerator| {
            let Accelerator::Cuda(major, minor) = build else {
                return false;
            };
            let floor = self.driver_floor((major, minor), os);
            let by_driver = driver
                .zip(floor)
                .is_none_or(|(driver, floor)| *driver >= floor);
            by_driver && driver_cuda.is_none_or(|known| known.0 >= major)
        };
        facts
            .torch
            .iter()
            .filter(|release| {
                named
                    .as_ref()
                    .is_none_or(|named| release.release.to_string() == *named)
            })
            .flat_map(|release| {
                release
                    .builds
                    .keys()
                    .rev()
                    .map(move |build| (release, *build))
            })
            .filter(|(_, build)| fits(*build))
            .find(|(release, build)| {
                gpus.iter()
                    .all(|gpu| release.has_code(*build, Arch::X86_64, *gpu) == Some(true))
            })
            .map(|(_, build)| build.to_string())
    }

    /// The driver branches for a GPU.
    pub fn branch(&self, gpu: Capability) -> Option<&Branch> {
        self.branches
            .iter()
            .find(|branch| branch.from <= gpu && gpu <= branch.to)
    }

    /// Whether a torch build has code for a GPU; `None` where neither is known well enough.
    pub fn fit(
        &self,
        torch: Option<Release>,
        cuda: Option<Release>,
        gpu: Capability,
    ) -> Option<Fit> {
        let facts = TorchFacts::embedded();
        if let (Some((major, minor)), Some(cuda)) = (torch, cuda) {
            let named = format!("{major}.{minor}");
            let release = facts.torch.iter().find(|r| r.release.to_string() == named);
            let build = Accelerator::Cuda(cuda.0, cuda.1);
            if let Some(codes) = release.and_then(|release| release.builds.get(&build)) {
                let codes: Vec<Capability> = codes.iter().map(|code| code.capability).collect();
                return Some(Self::fit_codes(&codes, gpu));
            }
        }
        let needs = self.first_cuda.iter().rev().find(|f| f.capability <= gpu);
        if let (Some(cuda), Some(needs)) = (cuda, needs)
            && version(cuda) < needs.cuda
        {
            return Some(Fit::TooNew);
        }
        let dropped = self.dropped.iter().find(|d| d.from <= gpu && gpu <= d.to)?;
        let torch_says = torch.map(|torch| version(torch) >= dropped.torch);
        let cuda_says = cuda.map(|cuda| version(cuda) >= dropped.cuda);
        match (torch_says, cuda_says) {
            (Some(true), Some(true)) | (None, Some(true)) => Some(Fit::TooOld),
            (Some(true), None) if dropped.torch < version((2, 7)) => Some(Fit::TooOld),
            (Some(false), _) | (_, Some(false)) => Some(Fit::Runs),
            _ => None,
        }
    }

    /// The torch that an xformers was made for, where that is not this one. `None` as well where
    /// either is not known, and for the newest xformers, which runs with several.
    pub fn other_torch_of_xformers(&self, xformers: &Version, torch: Release) -> Option<Release> {
        let torches = &TorchFacts::embedded().torch;
        // Builds of one release for different torches differ in `.post1` only, and not always in
        // the same way.
        let made_for = |known: &Version| known.release() == xformers.release();
        let mut all = torches.iter().flat_map(|torch| &torch.version);
        if all.find_map(|v| v.xformers.as_ref()).is_some_and(made_for) {
            return None;
        }
        let mut releases = torches
            .iter()
            .filter_map(|known| release_of(&known.release));
        let fitting: Vec<Release> = torches
            .iter()
            .filter(|known| {
                let mut of_patches = known.version.iter().filter_map(|v| v.xformers.as_ref());
                of_patches.any(made_for)
            })
            .filter_map(|known| release_of(&known.release))
            .collect();
        let is_known = releases.any(|known| known == torch);
        let newest = fitting.iter().max().copied();
        newest.filter(|_| is_known && !fitting.contains(&torch))
    }

    /// Whether no build of torch 2 has code for a GPU, and other programs hardly have.
    pub fn is_of_the_past(&self, gpu: Capability) -> bool {
        let mut dropped = self.dropped.iter();
        dropped.any(|d| d.from <= gpu && gpu <= d.to && d.torch <= version((2, 0)))
    }

    /// Whether any of these codes runs on a GPU: the same major, no higher minor.
    pub fn fit_codes(codes: &[Capability], gpu: Capability) -> Fit {
        if codes.iter().any(|code| code.0 == gpu.0 && code.1 <= gpu.1) {
            Fit::Runs
        } else if codes.iter().all(|code| *code > gpu) {
            Fit::TooOld
        } else {
            // Also between generations: a build that knows others of its time but not this one.
            Fit::TooNew
        }
    }

    /// The torchvision release that goes with a torch release; `None` where several do.
    pub fn vision_for(&self, torch: Release) -> Option<Release> {
        let companions = &self.companions;
        if version(torch) >= companions.vision_free_from {
            return None;
        }
        match torch.0 {
            1 => Some((0, torch.1 + companions.vision_offset_1)),
            2 => Some((0, torch.1 + companions.vision_offset_2)),
            _ => None,
        }
    }

    /// The torchaudio release that goes with a torch release.
    pub fn audio_for(&self, torch: Release) -> Option<Release> {
        match torch.0 {
            1 => Some((0, torch.1)),
            2 if version(torch) <= self.companions.audio_last => Some(torch),
            _ => None,
        }
    }

    /// The newest Python that a torch release has wheels for.
    pub fn newest_python(&self, torch: Release) -> Option<Release> {
        let mut known = self.torch_python.iter().rev();
        let known = known.find(|known| known.torch <= version(torch))?;
        release_of(&known.newest)
    }

    /// CUDA version of the build that the package index has of an old torch release.
    pub fn default_cuda(&self, torch: Release) -> Option<Release> {
        let mut known = self.torch_default.iter().rev();
        let known = known.find(|known| known.torch <= version(torch))?;
        (torch.0 == 1).then(|| release_of(&known.cuda)).flatten()
    }

    /// What an engine's version wants.
    pub fn engine(&self, package: &str, of: &Version) -> Option<&Engine> {
        let mut engines = self.engine.iter();
        engines.find(|engine| engine.package == package && engine.from <= *of)
    }

    /// The override a target runs with.
    pub fn override_for(&self, gfx: &str) -> Option<&str> {
        self.overrides.get(gfx).map(String::as_str)
    }

    /// Whether the override of a target only bridges the time until a build has it.
    pub fn is_stopgap(&self, gfx: &str) -> bool {
        self.stopgaps.targets.iter().any(|known| known == gfx)
    }

    /// Whether a ROCm release has code for a target; `None` where that is not known.
    ///
    /// `of_torch`: the release is that of a torch build, which may have more than ROCm promises.
    pub fn rocm_has(&self, gfx: &str, rocm: Option<Release>, of_torch: bool) -> Option<Fit> {
        if let Some((major, minor)) = rocm.filter(|_| of_torch) {
            let build = Accelerator::Rocm(major, minor);
            let mut builds = RocmFacts::embedded().build.iter();
            if let Some(known) = builds.find(|known| known.build == build)
                && known.gfx.contains(gfx)
            {
                return Some(Fit::Runs);
            }
        }
        let known = self.gfx.iter().find(|known| known.target == gfx)?;
        match (&known.first, &known.gone, rocm) {
            (Some(first), _, Some(rocm)) if version(rocm) < *first => Some(Fit::TooNew),
            (Some(_), _, Some(_)) => Some(Fit::Runs),
            (_, Some(gone), Some(rocm)) if version(rocm) >= *gone => Some(Fit::TooOld),
            (_, Some(_), Some(_)) => Some(Fit::Runs),
            (_, Some(_), None) => Some(Fit::TooOld),
            (Some(_), None, None) | (None, None, _) => None,
        }
    }

    /// The ROCm build of torch that first knows a target.
    pub fn rocm_build_for(&self, gfx: &str) -> Option<String> {
        let builds = &RocmFacts::embedded().build;
        let newest = builds.iter().find(|known| known.gfx.contains(gfx))?;
        Some(newest.build.to_string())
    }

    /// Oldest macOS for the MPS of a torch release.
    pub fn macos_for(&self, torch: Release) -> Option<Release> {
        let known = self.mps.iter().rev().find(|m| m.torch <= version(torch))?;
        release_of(&known.macos)
    }

    /// Windows build from which WSL has GPUs.
    pub fn first_wsl_build(&self) -> u32 {
        self.wsl.first_build
    }

    /// Whether a Windows build was only ever a preview.
    pub fn is_windows_preview(&self, build: u32) -> bool {
        let (first, last) = self.wsl.previews;
        (first..=last).contains(&build)
    }

    /// Oldest glibc of a torch release's wheels, where it is more than long ago.
    pub fn glibc_for(&self, torch: Release) -> Option<Release> {
        let mut known = self.torch_glibc.iter().rev();
        let known = known.find(|known| known.torch <= version(torch))?;
        release_of(&known.glibc)
    }
}

/// The first two numbers of a version.
pub fn release_of(version: &Version) -> Option<Release> {
    let numbers = version.release();
    let number = |place: usize| u16::try_from(*numbers.get(place)?).ok();
    Some((number(0)?, number(1).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn floors_old_and_new() {
        let floor = |cuda| table().driver_floor(cuda, None).unwrap().to_string();
        assert_eq!(floor((12, 8)), "525.60.13");
        assert_eq!(floor((7, 0)), "346.46");
        assert_eq!(floor((13, 0)), "580");
    }

    #[test]
    fn gpus_fall_out_on_their_side() {
        for (torch, cuda, gpu, fit) in [
            ((2, 9), (12, 8), Capability(6, 1), Some(Fit::TooOld)),
            ((2, 9), (12, 6), Capability(12, 0), Some(Fit::TooNew)),
            ((2, 9), (12, 8), Capability(8, 9), Some(Fit::Runs)),
            ((1, 7), (10, 1), Capability(8, 6), Some(Fit::TooNew)),
            ((1, 3), (10, 1), Capability(3, 5), Some(Fit::TooOld)),
            ((1, 9), (11, 1), Capability(8, 6), None),
        ] {
            assert_eq!(
                table().fit(Some(torch), Some(cuda), gpu),
                fit,
                "{torch:?} {gpu}"
            );
        }
    }

    #[test]
    fn companions_follow_the_release() {
        assert_eq!(table().vision_for((2, 6)), Some((0, 21)));
        assert_eq!(table().vision_for((1, 13)), Some((0, 14)));
        assert_eq!(table().vision_for((2, 14)), None);
        assert_eq!(table().audio_for((1, 10)), Some((0, 10)));
        assert_eq!(table().newest_python((2, 1)), Some((3, 11)));
        assert_eq!(table().newest_python((2, 7)), Some((3, 13)));
    }

    #[test]
    fn builds_for_drivers_and_gpus() {
        let driver: Version = "470.57".parse().unwrap();
        let best = |torch, driver, gpus: &[Capability]| {
            table().best_build(torch, driver, None, gpus, None)
        };
        assert_eq!(best(Some((2, 6)), Some(&driver), &[]).unwrap(), "cu118");
        assert_eq!(best(None, None, &[Capability(6, 1)]).unwrap(), "cu126");
        assert_eq!(
            best(Some((2, 8)), None, &[Capability(12, 0)]).unwrap(),
            "cu129"
        );
    }

    #[test]
    fn engines_and_targets() {
        let of = |package: &str, version: &str| {
            let engine = table().engine(package, &version.parse().unwrap()).unwrap();
            (engine.cuda.to_string(), engine.cudnn)
        };
        assert_eq!(of("ctranslate2", "4.4.0"), ("12".to_owned(), 8));
        assert_eq!(of("onnxruntime-gpu", "1.17.0"), ("11".to_owned(), 8));
        assert_eq!(table().override_for("gfx1031"), Some("10.3.0"));
        assert_eq!(
            table().rocm_has("gfx1201", Some((6, 2)), true),
            Some(Fit::TooNew)
        );
        assert_eq!(table().rocm_has("gfx803", None, false), Some(Fit::TooOld));
        assert_eq!(
            table().rocm_has("gfx1100", Some((6, 2)), true),
            Some(Fit::Runs)
        );
    }
}
