//! What a failure that was seen live says, by the rules that read logs. They get what is known of
//! the environment and the machine beside the text, so that they need not guess.

use super::{Subject, live::Step};
use crate::{
    doctor::{Cause, Evidence, Finding, diagnose},
    host::{GpuVendor, NvidiaDriver},
    types::Os,
};

/// A cause below this confidence is no explanation.
const SURE: f64 = 0.5;

/// The likeliest cause of what a step said; `None` where nothing points to one.
pub fn explain(subject: &Subject<'_>, step: &Step) -> Option<Finding> {
    let diagnosis = diagnose(&evidence(subject, step), subject.commands.torch_index());
    let mut findings = diagnosis.findings.into_iter();
    let first = findings.find(|finding| !finding.is_note() && is_possible(subject, finding))?;
    (first.confidence >= SURE).then_some(first)
}

/// Whether what a cause is about is installed at all: a library that says that it finds no torch
/// is not one that another torch was made for.
fn is_possible(subject: &Subject<'_>, finding: &Finding) -> bool {
    match finding.cause {
        Cause::TorchCompanionMismatch | Cause::ExtensionForOtherTorch => subject.torch.is_some(),
        Cause::Numpy2Abi => subject.installed.get("numpy").is_some(),
        _ => true,
    }
}

fn evidence(subject: &Subject<'_>, step: &Step) -> Evidence {
    let host = subject.host;
    let gpus = |vendor: GpuVendor| -> Vec<String> {
        let of_vendor = host.gpus.iter().filter(|gpu| gpu.vendor == vendor);
        of_vendor.map(|gpu| gpu.name.clone()).collect()
    };
    let driver = host.nvidia.as_ref();
    Evidence {
        log: step.said.lines().map(str::to_owned).collect(),
        nvidia_driver: driver
            .and_then(|driver| driver.version.as_ref())
            .map(NvidiaDriver::spelled),
        nvidia_cuda: driver
            .and_then(|driver| driver.cuda)
            .map(|(major, minor)| format!("{major}.{minor}")),
        nvidia_gpus: gpus(GpuVendor::Nvidia),
        amd_gfx: host.gpus.iter().find_map(|gpu| gpu.gfx.clone()),
        amd_gpus: gpus(GpuVendor::Amd),
        packages: subject
            .installed
            .iter()
            .map(|package| {
                let version = match (&subject.torch, package.name.as_ref()) {
                    // The local part tells the build, and metadata may lack it.
                    (Some(torch), "torch") => Some(torch.version.to_string()),
                    _ => package.version.as_ref().map(ToString::to_string),
                };
                (package.name.to_string(), version.unwrap_or_default())
            })
            .collect(),
        python: subject
            .environment
            .version
            .as_ref()
            .map(ToString::to_string),
        env: ["LD_LIBRARY_PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES"]
            .into_iter()
            .filter_map(|name| {
                let value = subject.variables.get(name)?;
                Some((name.to_owned(), value.to_string_lossy().into_owned()))
            })
            .collect(),
        os: Some(
            match (host.surroundings.wsl, host.os.family) {
                (Some(_), _) => "wsl2",
                (None, Os::Linux) if host.surroundings.container.is_some() => "container",
                (None, Os::Linux) => "linux",
                (None, Os::Macos) => "macos",
                (None, Os::Windows) => "windows",
            }
            .to_owned(),
        ),
        ..Evidence::default()
    }
}
