//! Which accelerator builds a host can run, best first, and why the others are out.
//!
//! The GPUs of the host are taken one after the other, the best first (`cards`), each with the
//! builds made for it. Three things must hold for a CUDA build: the driver knows the GPU and is new
//! enough for the toolkit, the build has code for the GPU (choosing by driver alone installs a torch
//! that cannot compute), and the manifest accepts it. Of one GPU, builds the driver supports natively
//! come before those it runs through minor-version compatibility, newer ones before older ones, and
//! the build of the default index last: it is what is left when the torch indexes cannot be reached.
//! The processor comes after all GPUs.

mod cards;
mod cuda;
mod published;
mod rocm;
mod visibility;

use super::{
    needs::{HostFact, HostNeed, HostValue, Origin},
    range::{VersionSet, to_set},
};
use crate::{
    catalog::manifest::{AcceleratorKind, AcceleratorNeeds, Manifest},
    compat::{
        apple::AppleFacts,
        torch::{TorchFacts, TorchRelease},
    },
    host::{Gpu, GpuVendor, Host},
    index::IndexId,
    types::{Accelerator, Arch, Os, Version, VersionSpecifiers},
};

pub use cuda::driver_os;
pub use published::why_absent;
pub use visibility::{Visibility, visibility};

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
    /// The GPU it is for, by its place in [`Host::gpus`]; none for the processor.
    pub gpu: Option<usize>,
    /// What the host has, as far as this build depends on it.
    pub host: Vec<(HostFact, HostValue)>,
    /// What releases of torch need of the host in this build.
    pub torch_needs: Vec<HostNeed>,
    /// Variables without which the GPU does not run this build.
    pub environment: Vec<(&'static str, String)>,
    /// Why this build, in words that finish "`cu128` because …".
    pub why: String,
    /// What a person should know before using it.
    pub notes: Vec<String>,
}

impl AcceleratorOption {
    /// A build that needs nothing of the host.
    pub fn new(accelerator: Accelerator, torch_index: Option<IndexId>, why: String) -> Self {
        Self {
            accelerator,
            kind: kind_of(accelerator),
            torch_index,
            gpu: None,
            host: Vec::new(),
            torch_needs: Vec::new(),
            environment: Vec::new(),
            why,
            notes: Vec::new(),
        }
    }
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

impl AcceleratorChoices {
    /// Two equal cards are refused for one reason.
    fn reject(&mut self, why: String) {
        if !self.rejected.contains(&why) {
            self.rejected.push(why);
        }
    }
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

/// A GPU that builds are looked for, and the tool they are for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    host: &'a Host,
    /// Its place in [`Host::gpus`].
    at: usize,
    gpu: &'a Gpu,
    title: &'a str,
    needs: &'a AcceleratorNeeds,
    torch: &'a TorchFacts,
    /// Builds by name were asked for: what is only tried by some is then offered too.
    asked: bool,
}

impl Wanted<'_> {
    /// Whether the manifest accepts a build.
    fn accepts(&self, build: Accelerator) -> bool {
        accepts(&self.needs.version, build)
    }

    /// What the GPU lacks of the memory that the tool asks for.
    fn short_of_memory(&self) -> Option<String> {
        let least = self.needs.min_memory_gb?;
        let has = self.gpu.memory_bytes? as f64 / f64::from(1 << 30);
        // Drivers tell a little less than what is sold.
        (has < least * 0.9).then(|| {
            format!(
                "{} asks for {least} GB of GPU memory, the {} has {has:.0} GB",
                self.title, self.gpu.name
            )
        })
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
    for at in cards::ranked(host) {
        let gpu = &host.gpus[at];
        let Some(kind) = kind_for(gpu.vendor) else {
            continue;
        };
        let Some(needs) = manifest.accelerators.get(&kind) else {
            continue;
        };
        let wanted = Wanted {
            host,
            at,
            gpu,
            title: &manifest.title,
            needs,
            torch: facts,
            asked: request.is_some_and(|request| request.kind() == kind),
        };
        let before = choices.options.len();
        match kind {
            AcceleratorKind::Cuda => cuda::add(wanted, &mut choices),
            AcceleratorKind::Rocm => rocm::add(wanted, &mut choices),
            AcceleratorKind::Xpu => xpu(wanted, &mut choices),
            AcceleratorKind::Mps | AcceleratorKind::Cpu => {}
        }
        if let Some(note) = wanted.short_of_memory() {
            let added = &mut choices.options[before..];
            added.iter_mut().for_each(|o| o.notes.push(note.clone()));
        }
    }
    if manifest.accelerators.contains_key(&AcceleratorKind::Mps) {
        mps(host, facts, &mut choices);
    }
    if let Some(unknown) = before_the_table(facts) {
        for option in &mut choices.options {
            option.torch_needs.push(unknown.clone());
        }
    }
    if manifest.accelerators.contains_key(&AcceleratorKind::Cpu) {
        cpu(host, &mut choices);
    }
    choices.absent = absent(host, manifest);
    if let Some(request) = request {
        narrow(&mut choices, manifest, request);
        if let AcceleratorRequest::Build(build) = request {
            no_other_build(&mut choices, host, build, facts);
        }
    }
    choices
}

/// The kind of build a maker's GPUs run; Apple's are part of the machine, not cards in it.
fn kind_for(vendor: GpuVendor) -> Option<AcceleratorKind> {
    match vendor {
        GpuVendor::Nvidia => Some(AcceleratorKind::Cuda),
        GpuVendor::Amd => Some(AcceleratorKind::Rocm),
        GpuVendor::Intel => Some(AcceleratorKind::Xpu),
        _ => None,
    }
}

/// Hardware that the tool could use and the host does not have.
fn absent(host: &Host, manifest: &Manifest) -> Vec<&'static str> {
    let has = |vendor| host.gpus.iter().any(|gpu| gpu.vendor == vendor);
    let kinds = manifest.accelerators.keys();
    kinds
        .filter_map(|kind| match kind {
            AcceleratorKind::Cuda if !has(GpuVendor::Nvidia) => {
                Some("CUDA: no NVIDIA GPU was found")
            }
            AcceleratorKind::Rocm if !has(GpuVendor::Amd) => Some("ROCm: no AMD GPU was found"),
            AcceleratorKind::Xpu if !has(GpuVendor::Intel) => Some("XPU: no Intel GPU was found"),
            AcceleratorKind::Mps if !is_apple(host) => {
                Some("MPS: this is not a Mac with Apple silicon")
            }
            _ => None,
        })
        .collect()
}

/// Leaves what was asked for.
fn narrow(choices: &mut AcceleratorChoices, manifest: &Manifest, request: AcceleratorRequest) {
    choices.options.retain(|option| match request {
        AcceleratorRequest::Build(build) => option.accelerator == build,
        AcceleratorRequest::Kind(kind) => option.kind == kind,
    });
    let wanted = request.kind();
    if !manifest.accelerators.contains_key(&wanted) {
        let kinds = manifest.accelerators.keys();
        let has: Vec<_> = kinds.map(|kind| kind.name()).collect();
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

/// Of the default index only those releases of torch whose build there is the one asked for.
fn no_other_build(
    choices: &mut AcceleratorChoices,
    host: &Host,
    asked: Accelerator,
    facts: &TorchFacts,
) {
    let on_default = choices
        .options
        .iter_mut()
        .filter(|option| option.kind == AcceleratorKind::Cuda && option.torch_index.is_none());
    for option in on_default {
        for release in &facts.torch {
            let build = default_build(release, host.os.family, host.cpu.arch);
            if build != asked {
                option.torch_needs.push(HostNeed {
                    versions: series(release, facts),
                    origin: Some(Origin::Default),
                    fact: HostFact::ComputeCapability,
                    wanted: VersionSet::empty(),
                    because: format!("built for {build} and not for {asked}, which was asked for"),
                });
            }
        }
    }
}

fn cpu(host: &Host, choices: &mut AcceleratorChoices) {
    let why = if host.gpus.is_empty() {
        "no GPU was found"
    } else {
        "no GPU of this machine fits a build of this tool"
    };
    let mut add = |torch_index| {
        let option = AcceleratorOption::new(Accelerator::Cpu, torch_index, why.to_owned());
        choices.options.push(option);
    };
    // Only there do the torch indexes have CPU builds that differ from the default index.
    if host.os.family == Os::Linux {
        add(Some(IndexId::Torch(Accelerator::Cpu)));
    }
    add(None);
}

fn is_apple(host: &Host) -> bool {
    host.os.family == Os::Macos && host.cpu.arch == Arch::Aarch64
}

fn mps(host: &Host, facts: &TorchFacts, choices: &mut AcceleratorChoices) {
    if !is_apple(host) {
        return;
    }
    let gpu = host
        .gpus
        .iter()
        .position(|gpu| gpu.vendor == GpuVendor::Apple);
    let floors = facts.torch.iter().filter_map(|release| {
        let floor = AppleFacts::embedded().mps_floor(&release.release)?;
        Some(HostNeed {
            versions: series(release, facts),
            origin: None,
            fact: HostFact::Macos,
            wanted: VersionSet::higher_than(floor.clone()),
            because: "on the GPU of a Mac".to_owned(),
        })
    });
    choices.options.push(AcceleratorOption {
        gpu,
        torch_needs: floors.collect(),
        ..AcceleratorOption::new(
            Accelerator::Mps,
            None,
            "this is a Mac with Apple silicon".to_owned(),
        )
    });
}

fn xpu(wanted: Wanted<'_>, choices: &mut AcceleratorChoices) {
    let gpu = wanted.gpu;
    let known = cards::facts_of(gpu).and_then(|facts| facts.xpu);
    if known == Some(false) || (known.is_none() && gpu.integrated) {
        return choices.reject(format!(
            "XPU: torch is not made for the {}; it is for Arc cards and the graphics of Core Ultra \
             processors",
            gpu.name
        ));
    }
    let host = wanted.host;
    let published = wanted.torch.torch.iter().any(|release| {
        let mut platforms = release.xpu.iter();
        platforms.any(|platform| platform.os == host.os.family && platform.arch == host.cpu.arch)
    });
    if !published {
        return choices.reject(format!(
            "XPU: torch has no build for Intel GPUs on {}",
            host.target()
        ));
    }
    if choices
        .options
        .iter()
        .any(|o| o.kind == AcceleratorKind::Xpu)
    {
        return;
    }
    let unknown = known.is_none().then(|| {
        format!(
            "the {} is not among the GPUs that torch's build for Intel was tried on",
            gpu.name
        )
    });
    choices.options.push(AcceleratorOption {
        gpu: Some(wanted.at),
        notes: unknown.into_iter().collect(),
        ..AcceleratorOption::new(
            Accelerator::Xpu,
            Some(IndexId::Torch(Accelerator::Xpu)),
            format!("the GPU is an {}", gpu.name),
        )
    });
}

/// The build of a release on the default index.
pub fn default_build(release: &TorchRelease, os: Os, arch: Arch) -> Accelerator {
    release.default_build(os, arch).unwrap_or(Accelerator::Cpu)
}

/// The feature release that a version of torch belongs to; one later than the table counts as the
/// newest, until its facts are known.
pub fn release_of<'f>(facts: &'f TorchFacts, torch: &Version) -> Option<&'f TorchRelease> {
    let mut releases = facts.torch.iter();
    releases.find(|release| series(release, facts).contains(torch))
}

/// All patch releases of a feature release. The newest stands for what comes after it.
pub fn series(release: &TorchRelease, facts: &TorchFacts) -> VersionSet {
    let dev = |version: Version| version.with_dev(Some(0));
    let first = dev(release.release.clone());
    if facts.torch.first().map(|newest| &newest.release) == Some(&release.release) {
        return VersionSet::higher_than(first);
    }
    let mut next = release.release.release().to_vec();
    if let Some(last) = next.last_mut() {
        *last += 1;
    }
    VersionSet::between(first, dev(Version::new(next)))
}

/// Keeps releases of torch from before the table off the GPU: what they hold code for is not known.
fn before_the_table(facts: &TorchFacts) -> Option<HostNeed> {
    let oldest = facts.torch.last()?.release.clone().with_dev(Some(0));
    Some(HostNeed {
        versions: VersionSet::strictly_lower_than(oldest),
        origin: None,
        fact: HostFact::ComputeCapability,
        wanted: VersionSet::empty(),
        because: "from before the releases whose GPU builds are known".to_owned(),
    })
}

/// Whether a range of toolkit versions holds a build.
pub fn accepts(range: &VersionSpecifiers, build: Accelerator) -> bool {
    match build {
        Accelerator::Cuda(major, minor) | Accelerator::Rocm(major, minor) => {
            to_set(range).contains(&Version::new([u64::from(major), u64::from(minor)]))
        }
        _ => true,
    }
}
