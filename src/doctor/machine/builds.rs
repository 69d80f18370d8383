//! Which accelerator builds a machine can run, by the tables of facts.
//!
//! Planning asks more (which releases exist, what a tool accepts). A diagnosis asks only this: is
//! what is installed, or could be, something that this driver and this GPU run?

use crate::{
    compat::{
        cuda::{Capability, CudaFacts},
        rocm::RocmFacts,
        torch::{TorchFacts, TorchRelease},
    },
    host::{GpuVendor, Host, NvidiaDriver},
    types::{Accelerator, Arch, Version},
};

/// CUDA builds of any release of torch with machine code for a GPU, newest first.
pub(super) fn cuda_builds_for(capability: Capability, arch: Arch) -> Vec<Accelerator> {
    let torch = TorchFacts::embedded();
    let mut builds = torch.cuda_builds(arch);
    builds.retain(|build| {
        torch
            .torch
            .iter()
            .any(|release| release.has_code(*build, arch, capability) == Some(true))
    });
    builds
}

/// Why a build does not run here, as a sentence; `None` when it does, or when too little is known
/// to say so. `torch` is the release that is installed, where there is one.
pub(in crate::doctor) fn unfit(
    host: &Host,
    build: Accelerator,
    torch: Option<&Version>,
) -> Option<String> {
    match build {
        Accelerator::Cuda(..) => cuda(host, build, torch),
        Accelerator::Rocm(..) => rocm(host, build),
        Accelerator::Cpu | Accelerator::Xpu | Accelerator::Mps => None,
    }
}

fn cuda(host: &Host, build: Accelerator, torch: Option<&Version>) -> Option<String> {
    let gpus: Vec<_> = host
        .gpus
        .iter()
        .filter(|gpu| gpu.vendor == GpuVendor::Nvidia)
        .collect();
    let Some(driver) = host
        .nvidia
        .as_ref()
        .and_then(|nvidia| nvidia.version.as_ref())
    else {
        return Some(match gpus.first() {
            Some(gpu) => format!("{} has no working driver", gpu.name),
            None => "there is no NVIDIA GPU".to_owned(),
        });
    };
    let floor = CudaFacts::embedded().floor(build, host.os.family)?;
    if driver < floor {
        return Some(format!(
            "it needs driver {} or newer, and this machine has {}",
            NvidiaDriver::spelled(floor),
            NvidiaDriver::spelled(driver)
        ));
    }
    let release = torch.and_then(release)?;
    let without_code = |gpu: &&&crate::host::Gpu| {
        gpu.compute_capability.is_some_and(|(major, minor)| {
            let capability = Capability(major, minor);
            release.has_code(build, host.cpu.arch, capability) == Some(false)
        })
    };
    // One GPU that it runs on is enough to compute.
    let out: Vec<_> = gpus.iter().filter(without_code).collect();
    (!out.is_empty() && out.len() == gpus.len()).then(|| {
        format!(
            "torch {} built for it has no code for {}",
            release.release, out[0].name
        )
    })
}

/// The feature release that a version belongs to.
fn release(version: &Version) -> Option<&'static TorchRelease> {
    let feature = version.release().get(..2)?;
    TorchFacts::embedded()
        .torch
        .iter()
        .find(|release| release.release.release() == feature)
}

fn rocm(host: &Host, build: Accelerator) -> Option<String> {
    let facts = RocmFacts::embedded();
    let row = facts.build(build)?;
    let gpus: Vec<_> = host
        .gpus
        .iter()
        .filter(|gpu| gpu.vendor == GpuVendor::Amd)
        .collect();
    if gpus.is_empty() {
        return Some("there is no AMD GPU".to_owned());
    }
    let runs = |gfx: &str| row.gfx.contains(gfx) || facts.override_for(gfx, build).is_some();
    let known: Vec<&str> = gpus.iter().filter_map(|gpu| gpu.gfx.as_deref()).collect();
    (known.len() == gpus.len() && !known.iter().any(|gfx| runs(gfx)))
        .then(|| format!("it has no code for {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn host(gpus: serde_json::Value, nvidia: serde_json::Value) -> Host {
        serde_json::from_value(serde_json::json!({
            "schema": 1,
            "os": {"family": "linux", "id": "debian", "name": "Debian"},
            "cpu": {"arch": "x86_64", "cores": 4},
            "gpus": gpus, "nvidia": nvidia,
        }))
        .unwrap()
    }

    #[test]
    fn drivers_and_code() {
        let gpu = |name: &str, capability: [u16; 2]| serde_json::json!([{"vendor": "nvidia", "name": name, "compute_capability": capability}]);
        let old = host(
            gpu("RTX 3060", [8, 6]),
            serde_json::json!({"version": "550.54.14"}),
        );
        let ask = |host: &Host, build: &str, torch: Option<&str>| {
            let torch: Option<Version> = torch.map(|text| text.parse().unwrap());
            unfit(host, build.parse().unwrap(), torch.as_ref())
        };
        assert_eq!(ask(&old, "cu126", Some("2.9.1+cu126")), None);
        assert!(
            ask(&old, "cu130", None)
                .unwrap()
                .contains("needs driver 580")
        );
        assert_eq!(ask(&old, "cpu", None), None);
        assert!(ask(&old, "rocm6.4", None).unwrap().contains("no AMD GPU"));
        let new = host(
            gpu("RTX 5090", [12, 0]),
            serde_json::json!({"version": "580.95.05"}),
        );
        assert!(
            ask(&new, "cu126", Some("2.9.0"))
                .unwrap()
                .contains("no code for RTX 5090")
        );
        assert_eq!(ask(&new, "cu128", Some("2.9.0")), None);
        let none = host(gpu("RTX 5090", [12, 0]), serde_json::Value::Null);
        assert!(
            ask(&none, "cu128", None)
                .unwrap()
                .contains("no working driver")
        );
    }

    #[test]
    fn targets_of_rocm() {
        let amd = |gfx: &str| {
            let gpus = serde_json::json!([{"vendor": "amd", "name": "Radeon", "gfx": gfx}]);
            host(gpus, serde_json::Value::Null)
        };
        let ask = |gfx: &str, build: &str| unfit(&amd(gfx), build.parse().unwrap(), None);
        assert_eq!(ask("gfx1100", "rocm6.4"), None);
        assert_eq!(ask("gfx1031", "rocm6.4"), None, "by override");
        assert!(ask("gfx803", "rocm6.4").unwrap().contains("gfx803"));
    }
}
