//! Which accelerator builds a host can run, best first, and why the others are out.
//!
//! Three things must hold for a CUDA build: the driver is new enough for its toolkit, the build
//! has machine code for the GPU (choosing by driver alone installs a torch that cannot compute),
//! and the manifest accepts it. Builds the driver supports natively come before those it runs
//! through minor-version compatibility, newer ones before older ones, an accelerator before the
//! processor. The build of the default index stands last of its kind: it is what is left when the
//! torch indexes cannot be reached.

use super::{
    needs::{HostFact, HostNeed, HostValue, Origin, gfx_version},
    range::{VersionSet, to_set},
};
use crate::{
    catalog::manifest::{AcceleratorKind, Manifest},
    compat::{
        cuda::{Capability, Code, CudaFacts},
        rocm::RocmFacts,
        torch::{TorchFacts, TorchRelease},
    },
    host::{Gpu, GpuVendor, Host, NvidiaDriver},
    index::IndexId,
    types::{Accelerator, Arch, Os, Version},
};

/// What the user asked for with `--accel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceleratorRequest {
    /// Exactly this build: `cu128`.
    Build(Accelerator),
    /// Any build of this kind: `cuda`.
    Kind(AcceleratorKind),
}

impl AcceleratorRequest {
    /// The kind that is asked for.
    pub fn kind(self) -> AcceleratorKind {
        match self {
            Self::Build(build) => kind_of(build),
            Self::Kind(kind) => kind,
        }
    }
}

impl std::str::FromStr for AcceleratorRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "cuda" => Self::Kind(AcceleratorKind::Cuda),
            "rocm" => Self::Kind(AcceleratorKind::Rocm),
            other => Self::Build(other.parse::<Accelerator>().map_err(|error| {
                format!("{error}, or `cuda` or `rocm` for the best build of that kind")
            })?),
        })
    }
}

impl std::fmt::Display for AcceleratorRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Build(build) => build.fmt(f),
            Self::Kind(kind) => kind.fmt(f),
        }
    }
}

impl serde::Serialize for AcceleratorRequest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for AcceleratorRequest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One build to try.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceleratorOption {
    /// The build.
    pub accelerator: Accelerator,
    /// Its kind in the manifest.
    pub kind: AcceleratorKind,
    /// The torch index it comes from; `None` is the default index.
    pub torch_index: Option<IndexId>,
    /// What the host has, as far as this build depends on it.
    pub host: Vec<(HostFact, HostValue)>,
    /// What releases of torch need of the host in this build.
    pub torch_needs: Vec<HostNeed>,
    /// Why this build, in words that finish "`cu128` because …".
    pub why: String,
}

/// The builds to try in order, and what was ruled out beforehand.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AcceleratorChoices {
    /// Best first.
    pub options: Vec<AcceleratorOption>,
    /// Sentences: what is out although its hardware is there, and why.
    pub rejected: Vec<String>,
    /// Sentences: hardware the tool could use and the host does not have.
    pub absent: Vec<&'static str>,
}

/// The kind an accelerator build belongs to.
pub fn kind_of(accelerator: Accelerator) -> AcceleratorKind {
    match accelerator {
        Accelerator::Cpu => AcceleratorKind::Cpu,
        Accelerator::Cuda(..) => AcceleratorKind::Cuda,
        Accelerator::Rocm(..) => AcceleratorKind::Rocm,
        Accelerator::Xpu => AcceleratorKind::Xpu,
        Accelerator::Mps => AcceleratorKind::Mps,
    }
}

/// How a build is asked for: by its kind where there are several of it.
pub fn asking_for(accelerator: Accelerator) -> AcceleratorRequest {
    match accelerator {
        Accelerator::Cuda(..) | Accelerator::Rocm(..) => {
            AcceleratorRequest::Kind(kind_of(accelerator))
        }
        other => AcceleratorRequest::Build(other),
    }
}

/// The builds of `manifest` that `host` can run.
pub fn choices(
    host: &Host,
    manifest: &Manifest,
    request: Option<AcceleratorRequest>,
    facts: &TorchFacts,
) -> AcceleratorChoices {
    let mut choices = AcceleratorChoices::default();
    for kind in manifest.accelerators.keys() {
        match kind {
            AcceleratorKind::Cuda => cuda(host, manifest, facts, &mut choices),
            AcceleratorKind::Rocm => rocm(host, manifest, &mut choices),
            AcceleratorKind::Xpu => xpu(host, &mut choices),
            AcceleratorKind::Mps => mps(host, &mut choices),
            AcceleratorKind::Cpu => cpu(host, &mut choices),
        }
    }
    // Stable: within a kind the order above stays.
    choices
        .options
        .sort_by_key(|option| option.kind == AcceleratorKind::Cpu);
    if let Some(request) = request {
        let asked = |option: &AcceleratorOption| match request {
            AcceleratorRequest::Build(build) => option.accelerator == build,
            AcceleratorRequest::Kind(kind) => option.kind == kind,
        };
        choices.options.retain(asked);
        let wanted = request.kind();
        if !manifest.accelerators.contains_key(&wanted) {
            let has: Vec<_> = manifest
                .accelerators
                .keys()
                .map(|kind| kind.name())
                .collect();
            choices.absent.clear();
            choices.rejected = vec![format!(
                "it has no {} build, only {}",
                wanted.name(),
                has.join(", ")
            )];
        }
        for option in &mut choices.options {
            option.why = "you asked for it".to_owned();
        }
    }
    choices
}

fn gpus(host: &Host, vendor: GpuVendor) -> impl Iterator<Item = &Gpu> {
    host.gpus.iter().filter(move |gpu| gpu.vendor == vendor)
}

/// Where the torch wheel indexes have CPU builds that differ from the default index.
fn has_torch_cpu_index(host: &Host) -> bool {
    host.os.family == Os::Linux
}

fn cpu(host: &Host, choices: &mut AcceleratorChoices) {
    let why = if host.gpus.is_empty() {
        "no GPU was found"
    } else {
        "no GPU of this machine fits a build of this tool"
    };
    let option = |torch_index: Option<IndexId>, why: String| AcceleratorOption {
        accelerator: Accelerator::Cpu,
        kind: AcceleratorKind::Cpu,
        torch_index,
        host: Vec::new(),
        torch_needs: Vec::new(),
        why,
    };
    if has_torch_cpu_index(host) {
        choices.options.push(option(
            Some(IndexId::Torch(Accelerator::Cpu)),
            why.to_owned(),
        ));
    }
    choices.options.push(option(None, why.to_owned()));
}

fn mps(host: &Host, choices: &mut AcceleratorChoices) {
    if host.os.family != Os::Macos || host.cpu.arch != Arch::Aarch64 {
        choices
            .absent
            .push("MPS: this is not a Mac with Apple silicon");
        return;
    }
    choices.options.push(AcceleratorOption {
        accelerator: Accelerator::Mps,
        kind: AcceleratorKind::Mps,
        torch_index: None,
        host: Vec::new(),
        torch_needs: Vec::new(),
        why: "this is a Mac with Apple silicon".to_owned(),
    });
}

fn xpu(host: &Host, choices: &mut AcceleratorChoices) {
    let Some(gpu) = gpus(host, GpuVendor::Intel).find(|gpu| !gpu.integrated) else {
        choices.absent.push("XPU: no Intel graphics card was found");
        return;
    };
    choices.options.push(AcceleratorOption {
        accelerator: Accelerator::Xpu,
        kind: AcceleratorKind::Xpu,
        torch_index: Some(IndexId::Torch(Accelerator::Xpu)),
        host: Vec::new(),
        torch_needs: Vec::new(),
        why: format!("the GPU is an {}", gpu.name),
    });
}

fn rocm(host: &Host, manifest: &Manifest, choices: &mut AcceleratorChoices) {
    let Some(gpu) = gpus(host, GpuVendor::Amd).min_by_key(|gpu| gpu.integrated) else {
        choices.absent.push("ROCm: no AMD GPU was found");
        return;
    };
    let Some(gfx) = &gpu.gfx else {
        choices.rejected.push(format!(
            "ROCm: the instruction set of the {} is not known",
            gpu.name
        ));
        return;
    };
    if host.os.family != Os::Linux {
        choices
            .rejected
            .push("ROCm: the torch indexes have ROCm builds for Linux only".to_owned());
        return;
    }
    let needs = &manifest.accelerators[&AcceleratorKind::Rocm];
    let mut any = false;
    let builds = RocmFacts::embedded().build.iter();
    for build in builds.filter(|build| build.gfx.contains(gfx)) {
        if !accepts(&needs.version, build.build) {
            continue;
        }
        any = true;
        choices.options.push(AcceleratorOption {
            accelerator: build.build,
            kind: AcceleratorKind::Rocm,
            torch_index: Some(IndexId::Torch(build.build)),
            host: gfx_version(gfx)
                .map(|version| {
                    let owner = format!("the {}", gpu.name);
                    (HostFact::GfxTarget, HostValue { version, owner })
                })
                .into_iter()
                .collect(),
            torch_needs: vec![HostNeed {
                versions: VersionSet::full(),
                origin: Some(Origin::Torch),
                fact: HostFact::GfxTarget,
                wanted: build
                    .gfx
                    .iter()
                    .filter_map(|gfx| gfx_version(gfx))
                    .map(VersionSet::singleton)
                    .fold(VersionSet::empty(), |all, one| all.union(&one)),
                because: format!("built for {}", build.build),
            }],
            why: format!("the GPU is a {} ({gfx})", gpu.name),
        });
    }
    if !any {
        choices.rejected.push(format!(
            "ROCm: no build has kernels for {gfx} ({})",
            gpu.name
        ));
    }
}

/// The NVIDIA side of a host: the GPU that builds are chosen for, and the driver.
struct Nvidia<'h> {
    gpu: &'h Gpu,
    capability: Capability,
    driver: &'h Version,
    os: Os,
    arch: Arch,
}

impl<'h> Nvidia<'h> {
    /// The newest GPU with its driver; what is missing is told.
    fn of(host: &'h Host, choices: &mut AcceleratorChoices) -> Option<Self> {
        let newest = gpus(host, GpuVendor::Nvidia)
            .max_by_key(|gpu| (gpu.compute_capability, gpu.memory_bytes));
        let Some(gpu) = newest else {
            choices.absent.push("CUDA: no NVIDIA GPU was found");
            return None;
        };
        let driver = host
            .nvidia
            .as_ref()
            .and_then(|nvidia| nvidia.version.as_ref());
        let (missing, found) = match (driver, gpu.compute_capability) {
            (None, _) => ("has no working NVIDIA driver", None),
            (_, None) => ("has a compute capability that is not known", None),
            (Some(driver), Some((major, minor))) => ("", Some((driver, Capability(major, minor)))),
        };
        let Some((driver, capability)) = found else {
            choices
                .rejected
                .push(format!("CUDA: the {} {missing}", gpu.name));
            return None;
        };
        Some(Self {
            gpu,
            capability,
            driver,
            os: host.os.family,
            arch: host.cpu.arch,
        })
    }

    /// The driver as NVIDIA spells it.
    fn driver(&self) -> String {
        NvidiaDriver::spelled(self.driver)
    }

    fn runs(&self, build: Accelerator) -> bool {
        let floor = CudaFacts::embedded().floor(build, self.os);
        floor.is_some_and(|floor| floor <= self.driver)
    }

    fn runs_natively(&self, build: Accelerator) -> bool {
        let native = CudaFacts::embedded().native(build, self.os);
        native.is_none_or(|native| native <= self.driver)
    }

    /// The driver and the GPU as the solver knows them.
    fn facts(&self) -> Vec<(HostFact, HostValue)> {
        let Capability(major, minor) = self.capability;
        let value = |version: Version, owner: &str| HostValue {
            version,
            owner: owner.to_owned(),
        };
        let capability = Version::new([u64::from(major), u64::from(minor)]);
        vec![
            (
                HostFact::NvidiaDriver,
                value(self.driver.clone(), "this machine"),
            ),
            (
                HostFact::ComputeCapability,
                value(capability, &format!("the {}", self.gpu.name)),
            ),
        ]
    }

    /// What a release of torch needs in one of its CUDA builds, if the table knows the build.
    fn needs(
        &self,
        release: &TorchRelease,
        build: Accelerator,
        origin: Origin,
    ) -> Option<[HostNeed; 2]> {
        let code = release.code(build, self.arch)?;
        let floor = CudaFacts::embedded().floor(build, self.os)?;
        let need = |fact, wanted| HostNeed {
            versions: series(release),
            origin: Some(origin),
            fact,
            wanted,
            because: format!("built for {build}"),
        };
        Some([
            need(
                HostFact::NvidiaDriver,
                VersionSet::higher_than(floor.clone()),
            ),
            need(HostFact::ComputeCapability, served(code)),
        ])
    }
}

/// The compute capabilities that machine code serves: its own and the later ones of its major.
fn served(code: &[Code]) -> VersionSet {
    let version = |major: u16, minor: u16| Version::new([u64::from(major), u64::from(minor)]);
    code.iter()
        .map(|code| code.capability)
        .map(|code| VersionSet::between(version(code.0, code.1), version(code.0 + 1, 0)))
        .fold(VersionSet::empty(), |all, one| all.union(&one))
}

fn cuda(host: &Host, manifest: &Manifest, facts: &TorchFacts, choices: &mut AcceleratorChoices) {
    let Some(nvidia) = Nvidia::of(host, choices) else {
        return;
    };
    let Nvidia {
        gpu,
        capability,
        os,
        ..
    } = &nvidia;
    let needs = &manifest.accelerators[&AcceleratorKind::Cuda];
    let least = needs
        .min_compute_capability
        .as_ref()
        .and_then(|text| text.parse().ok());
    if let Some(least) = least.filter(|least: &Capability| capability < least) {
        choices.rejected.push(format!(
            "CUDA: {} needs compute capability {least}, the {} has {capability}",
            manifest.title, gpu.name
        ));
        return;
    }
    let acceptable = facts
        .cuda_builds(nvidia.arch)
        .into_iter()
        .filter(|build| accepts(&needs.version, *build));
    let (runs, too_new): (Vec<_>, Vec<_>) = acceptable.partition(|build| nvidia.runs(*build));
    if let Some(nearest) = too_new.last()
        && let Some(floor) = CudaFacts::embedded().floor(*nearest, *os)
    {
        choices.rejected.push(format!(
            "CUDA: builds from {nearest} on need driver {} or newer, this one is {}",
            NvidiaDriver::spelled(floor),
            nvidia.driver()
        ));
    }
    let (native, compatible): (Vec<Accelerator>, Vec<Accelerator>) = runs
        .iter()
        .copied()
        .partition(|build| nvidia.runs_natively(*build));
    for &build in native.iter().chain(&compatible) {
        let serves = |release: &TorchRelease| release.has_code(build, nvidia.arch, *capability);
        if facts
            .torch
            .iter()
            .any(|release| serves(release) == Some(true))
        {
            let torch = facts.torch.iter();
            choices.options.push(AcceleratorOption {
                accelerator: build,
                kind: AcceleratorKind::Cuda,
                torch_index: Some(IndexId::Torch(build)),
                host: nvidia.facts(),
                torch_needs: torch
                    .filter_map(|release| nvidia.needs(release, build, Origin::Torch))
                    .flatten()
                    .collect(),
                why: format!(
                    "driver {} runs it and it has code for the {} ({capability})",
                    nvidia.driver(),
                    gpu.name
                ),
            });
        }
    }
    // Only on Linux does the default index carry CUDA builds of torch.
    if *os == Os::Linux && !runs.is_empty() {
        let torch = facts.torch.iter();
        choices.options.push(AcceleratorOption {
            accelerator: runs[0],
            kind: AcceleratorKind::Cuda,
            torch_index: None,
            host: nvidia.facts(),
            torch_needs: torch
                .filter_map(|release| {
                    nvidia.needs(release, default_build(release), Origin::Default)
                })
                .flatten()
                .collect(),
            why: format!("driver {} runs it", nvidia.driver()),
        });
    }
}

/// The CUDA build of a release on the default index.
pub fn default_build(release: &TorchRelease) -> Accelerator {
    release
        .default_build(Os::Linux, Arch::X86_64)
        .unwrap_or(Accelerator::Cpu)
}

/// All patch releases of a feature release.
pub fn series(release: &TorchRelease) -> VersionSet {
    let parts = release.release.release();
    let mut next = parts.to_vec();
    if let Some(last) = next.last_mut() {
        *last += 1;
    }
    let dev = |version: Version| version.with_dev(Some(0));
    VersionSet::between(dev(release.release.clone()), dev(Version::new(next)))
}

fn accepts(range: &crate::types::VersionSpecifiers, build: Accelerator) -> bool {
    match build {
        Accelerator::Cuda(major, minor) | Accelerator::Rocm(major, minor) => {
            to_set(range).contains(&Version::new([u64::from(major), u64::from(minor)]))
        }
        _ => true,
    }
}
