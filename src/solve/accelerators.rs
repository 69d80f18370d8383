//! Which accelerator builds a host can run, best first, and why the others are out.
//!
//! Three things must hold for a CUDA build: the driver is new enough for its toolkit, the build
//! has machine code for the GPU (choosing by driver alone installs a torch that cannot compute),
//! and the manifest accepts it. Builds the driver supports natively come before those it runs
//! through minor-version compatibility, newer ones before older ones, an accelerator before the
//! processor. The build of the default index stands last of its kind: it is what is left when the
//! torch indexes cannot be reached.

use super::range::{VersionSet, to_set};
use crate::{
    catalog::manifest::{AcceleratorKind, Manifest},
    compat::{
        cuda::{Capability, CudaFacts},
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

/// One build to try.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceleratorOption {
    /// The build.
    pub accelerator: Accelerator,
    /// Its kind in the manifest.
    pub kind: AcceleratorKind,
    /// The torch index it comes from; `None` is the default index.
    pub torch_index: Option<IndexId>,
    /// Releases of torch that must not be chosen with this build, and why.
    pub excluded_torch: Vec<(VersionSet, String)>,
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
            AcceleratorKind::Rocm => rocm(host, manifest, facts, &mut choices),
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
        let wanted = match request {
            AcceleratorRequest::Build(build) => kind_of(build),
            AcceleratorRequest::Kind(kind) => kind,
        };
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
        excluded_torch: Vec::new(),
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
        excluded_torch: Vec::new(),
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
        excluded_torch: Vec::new(),
        why: format!("the GPU is an {}", gpu.name),
    });
}

fn rocm(host: &Host, manifest: &Manifest, facts: &TorchFacts, choices: &mut AcceleratorChoices) {
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
        let excluded_torch = facts
            .torch
            .iter()
            .filter(|release| !release.rocm.contains(&build.build))
            .map(|release| {
                let why = format!(
                    "of release {} has no {} build",
                    release.release, build.build
                );
                (series(release), why)
            })
            .collect();
        choices.options.push(AcceleratorOption {
            accelerator: build.build,
            kind: AcceleratorKind::Rocm,
            torch_index: Some(IndexId::Torch(build.build)),
            excluded_torch,
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

    /// The build of a release on the default index.
    fn default_build(&self, release: &TorchRelease) -> Accelerator {
        let build = release.default_build(self.os, self.arch);
        build.unwrap_or(Accelerator::Cpu)
    }

    /// Releases of torch whose build has no machine code for the GPU, or that lack the build.
    fn without_code(
        &self,
        facts: &TorchFacts,
        build_of: impl Fn(&TorchRelease) -> Accelerator,
    ) -> Vec<(VersionSet, String)> {
        let mut excluded = Vec::new();
        for release in &facts.torch {
            let build = build_of(release);
            let why = match release.has_code(build, self.arch, self.capability) {
                Some(true) => continue,
                Some(false) => format!(
                    "built for {build} has no code for the {} (compute capability {})",
                    self.gpu.name, self.capability
                ),
                None => format!("has no {build} build"),
            };
            excluded.push((
                series(release),
                format!("of release {} {why}", release.release),
            ));
        }
        excluded
    }
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
        let excluded_torch = nvidia.without_code(facts, |_| build);
        if excluded_torch.len() < facts.torch.len() {
            choices.options.push(AcceleratorOption {
                accelerator: build,
                kind: AcceleratorKind::Cuda,
                torch_index: Some(IndexId::Torch(build)),
                excluded_torch,
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
        choices
            .options
            .push(default_cuda_option(&nvidia, facts, &runs));
    }
}

/// The CUDA builds of the default index, whatever each release of torch has there.
fn default_cuda_option(
    nvidia: &Nvidia<'_>,
    facts: &TorchFacts,
    runs: &[Accelerator],
) -> AcceleratorOption {
    let mut excluded_torch = nvidia.without_code(facts, |release| nvidia.default_build(release));
    for release in &facts.torch {
        let build = nvidia.default_build(release);
        if !runs.contains(&build) {
            let why = format!(
                "of release {} comes as {build}, which driver {} does not run",
                release.release,
                nvidia.driver()
            );
            excluded_torch.push((series(release), why));
        }
    }
    AcceleratorOption {
        accelerator: runs[0],
        kind: AcceleratorKind::Cuda,
        torch_index: None,
        excluded_torch,
        why: format!("driver {} runs it", nvidia.driver()),
    }
}

/// The CUDA build of a release on the default index.
pub fn default_build(release: &TorchRelease) -> Accelerator {
    release
        .default_build(Os::Linux, Arch::X86_64)
        .unwrap_or(Accelerator::Cpu)
}

/// All patch releases of a feature release.
fn series(release: &TorchRelease) -> VersionSet {
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

/// Default CUDA builds of torch and its companions on Linux, in the form the solver takes.
pub fn default_cuda(
    facts: &TorchFacts,
) -> std::collections::BTreeMap<crate::types::PackageName, Vec<(VersionSet, Version)>> {
    let mut map: std::collections::BTreeMap<_, Vec<_>> = std::collections::BTreeMap::new();
    if let Ok(torch) = "torch".parse() {
        let releases = facts
            .torch
            .iter()
            .filter_map(|r| Some((series(r), r.default_cuda()?)));
        map.insert(torch, releases.collect());
    }
    for companion in &facts.companion {
        map.entry(companion.package.clone())
            .or_default()
            .push((to_set(&companion.versions), companion.default_cuda.clone()));
    }
    map
}
