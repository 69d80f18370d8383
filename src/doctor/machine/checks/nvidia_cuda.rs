//! `nvidia.cuda-builds`

use super::{Check, remedy, spelled};
use crate::{
    compat::cuda::{Capability, CudaFacts},
    doctor::{
        Cause,
        machine::{Machine, Verdict, builds::cuda_builds_for},
    },
    host::{Gpu, GpuVendor},
    types::{Accelerator, Version},
};

pub(super) const CHECK: Check = Check {
    id: "nvidia.cuda-builds",
    looks_at: "the driver's version, each GPU's compute capability, and the tables of CUDA builds",
    why: "A build runs when the driver is new enough for its CUDA version and it has code for the \
          GPU. Either alone is not enough.",
    judge,
};

/// Builds that are named.
const TOLD: usize = 4;

fn judge(machine: &Machine) -> Vec<Verdict> {
    let driver = machine.host.nvidia.as_ref();
    let Some(version) = driver.and_then(|driver| driver.version.as_ref()) else {
        return Vec::new();
    };
    let mut verdicts: Vec<Verdict> = Vec::new();
    for gpu in machine.gpus(GpuVendor::Nvidia) {
        let verdict = one(machine, gpu, version);
        // Eight cards of one kind are told of once.
        let known = |verdict: &Verdict| verdicts.iter().any(|said| said.title == verdict.title);
        verdicts.extend(verdict.filter(|verdict| !known(verdict)));
    }
    verdicts
}

fn one(machine: &Machine, gpu: &Gpu, version: &Version) -> Option<Verdict> {
    let (major, minor) = gpu.compute_capability?;
    let capability = Capability(major, minor);
    let facts = CudaFacts::embedded();
    // The driver of Jetson boards comes with JetPack and has numbers of its own.
    if facts.architecture(capability)?.tegra.is_some() {
        return None;
    }
    let os = machine.host.os.family;
    let with_code = cuda_builds_for(capability, machine.host.cpu.arch);
    let name = &gpu.name;
    if with_code.is_empty() {
        return Some(
            Verdict::note(format!("no build of PyTorch has code for {name}"))
                .cause(Cause::ArchDropped)
                .because(format!(
                    "Its compute capability is {capability}. Programs compute on the processor."
                )),
        );
    }
    let floor = |build: &Accelerator| facts.floor(*build, os);
    let (fit, too_new): (Vec<Accelerator>, Vec<Accelerator>) = with_code
        .into_iter()
        .partition(|build| floor(build).is_some_and(|floor| floor <= version));
    let driver = spelled(version);
    let Some(_) = fit.first() else {
        let lowest = too_new.iter().filter_map(floor).min()?;
        let wanted = format!("{} or newer", spelled(lowest));
        return Some(
            Verdict::problem(format!("driver {driver} is too old for every CUDA build"))
                .cause(Cause::DriverTooOld)
                .because(format!(
                    "Builds with code for {name} need driver {wanted}. Programs compute on the \
                     processor until then."
                ))
                .fix(remedy(
                    machine,
                    "update-nvidia-driver",
                    &[("wanted", &wanted)],
                ))
                .seen(format!("the driver is {driver}")),
        );
    };
    let told: Vec<String> = fit.iter().take(TOLD).map(Accelerator::to_string).collect();
    let mut title = format!("driver {driver} runs {} on {name}", told.join(", "));
    if let Some(floor) = too_new.iter().filter_map(floor).min() {
        title.push_str(&format!("; newer builds need driver {}", spelled(floor)));
    }
    Some(Verdict::works(title))
}
