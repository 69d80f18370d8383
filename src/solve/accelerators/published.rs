//! Why a release of torch has no build for a GPU: what it was published for, and what each lacks.

use super::{AcceleratorOption, cuda::Nvidia, release_of, series};
use crate::{
    compat::{
        cuda::CudaFacts,
        rocm::RocmFacts,
        torch::{TorchFacts, TorchRelease},
    },
    host::{Host, NvidiaDriver},
    solve::range::VersionSet,
    types::{Accelerator, Version},
};

/// One sentence on the newest release of torch that is wanted and that the option's build does not
/// have; `None` where the tables know no reason that lies with the host.
pub fn why_absent(
    host: &Host,
    option: &AcceleratorOption,
    wanted: &VersionSet,
    facts: &TorchFacts,
) -> Option<String> {
    let gpu = &host.gpus[option.gpu?];
    let release = newest(wanted, facts)?;
    let mut builds: Vec<Accelerator> = match option.accelerator {
        Accelerator::Cuda(..) => facts.cuda_builds(host.cpu.arch),
        Accelerator::Rocm(..) => release.rocm.clone(),
        _ => return None,
    };
    builds.retain(|build| match build {
        Accelerator::Cuda(..) => release.code(*build, host.cpu.arch).is_some(),
        _ => true,
    });
    if builds.is_empty() {
        return None;
    }
    let lacks = match option.accelerator {
        Accelerator::Cuda(..) => lacks_cuda(&Nvidia::of(host, gpu).ok()?, release, &builds)?,
        _ => {
            let gfx = gpu.gfx.as_deref()?;
            let rocm = RocmFacts::embedded();
            let has_code = |build: &Accelerator| {
                rocm.build(*build)
                    .is_some_and(|row| row.has_code(gfx, &release.release))
            };
            if builds.iter().any(has_code) {
                return None;
            }
            format!("has code for {gfx} (the {})", gpu.name)
        }
    };
    let builds: Vec<String> = builds.iter().map(ToString::to_string).collect();
    Some(format!(
        "torch {} is published for {}, of which none {lacks}",
        release.release,
        builds.join(", ")
    ))
}

/// What all CUDA builds of a release lack, in words that follow "none".
fn lacks_cuda(
    nvidia: &Nvidia<'_>,
    release: &TorchRelease,
    builds: &[Accelerator],
) -> Option<String> {
    let serving: Vec<Accelerator> = builds
        .iter()
        .copied()
        .filter(|build| nvidia.is_served(release, *build))
        .collect();
    if serving.is_empty() {
        return Some(format!(
            "has code for compute capability {} (the {})",
            nvidia.capability,
            nvidia.name()
        ));
    }
    if serving.iter().any(|build| nvidia.runs(*build)) {
        return None;
    }
    let floor = serving
        .iter()
        .filter_map(|build| CudaFacts::embedded().floor(*build, nvidia.driver_os()))
        .min()?;
    Some(format!(
        "with code for the {} runs on driver {}; they need {} or newer",
        nvidia.name(),
        NvidiaDriver::spelled(nvidia.driver),
        NvidiaDriver::spelled(floor)
    ))
}

/// The newest release with versions in a set. A set that is open at its upper end means the newest
/// of all.
fn newest<'f>(wanted: &VersionSet, facts: &'f TorchFacts) -> Option<&'f TorchRelease> {
    let known = |version: &&Version| wanted.contains(version);
    let published = facts.torch.iter().flat_map(|release| &release.version);
    match published.map(|patch| &patch.version).find(known) {
        Some(version) => release_of(facts, version),
        None => {
            let mut releases = facts.torch.iter();
            releases.find(|release| !series(release, facts).is_disjoint(wanted))
        }
    }
}
