//! `amd.kernel-driver`

use super::{Check, is_passed_through, remedy};
use crate::{
    doctor::{
        Cause,
        machine::{Machine, Verdict},
    },
    host::{Gpu, GpuVendor},
    types::Os,
};

pub(super) const CHECK: Check = Check {
    id: "amd.kernel-driver",
    looks_at: "the kernel driver of each AMD GPU, amdgpu's files, the kernel's options",
    why: "ROCm reaches AMD GPUs through the kernel's amdgpu driver alone.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    if machine.host.os.family != Os::Linux {
        return Vec::new();
    }
    let gpus: Vec<&Gpu> = machine
        .gpus(GpuVendor::Amd)
        .filter(|gpu| !is_passed_through(gpu))
        .collect();
    if gpus.is_empty() {
        return Vec::new();
    }
    let without: Vec<&&Gpu> = gpus
        .iter()
        .filter(|gpu| gpu.kernel_driver.as_deref() != Some("amdgpu"))
        .collect();
    let Some(gpu) = without.first() else {
        let version = machine.host.amd.as_ref();
        let version = version.and_then(|driver| driver.version.as_deref());
        return vec![Verdict::works(match version {
            Some(version) => format!("amdgpu {version} drives the AMD GPU"),
            None => "amdgpu of the kernel drives the AMD GPU".to_owned(),
        })];
    };
    vec![missing(machine, gpu)]
}

fn missing(machine: &Machine, gpu: &Gpu) -> Verdict {
    let name = &gpu.name;
    if gpu.kernel_driver.as_deref() == Some("radeon") {
        return Verdict::note(format!("{name} runs with radeon, which cannot compute"))
            .because("radeon is the driver of generations that ROCm does not know.");
    }
    // Built-in graphics without their driver are no loss to who computes elsewhere.
    let verdict = Verdict::problem_if(!gpu.integrated, format!("{name} has no kernel driver"))
        .cause(Cause::KfdMissing)
        .seen(match &gpu.kernel_driver {
            Some(driver) => format!("its kernel driver is {driver}, not amdgpu"),
            None => "no driver is bound to it".to_owned(),
        });
    let release = machine.host.os.kernel.as_deref().unwrap_or_default();
    let get = remedy(machine, "install-amdgpu", &[("release", release)]);
    if machine.in_container() {
        return verdict
            .because(
                "A container uses the kernel of the machine that runs it, and there amdgpu does \
                 not drive this card.",
            )
            .fix(get);
    }
    if let Some(option) = machine
        .kernel
        .options
        .iter()
        .find(|option| *option == "nomodeset")
    {
        return verdict
            .because("The kernel was started with `nomodeset`, and amdgpu then stays out.")
            .advise("Take `nomodeset` out of the boot loader's configuration and restart")
            .seen(format!("`{option}` is on the kernel's command line"));
    }
    let files = machine.kernel.missing("amdgpu");
    if let Some(file) = files.and_then(|files| files.switched_off_by.as_ref()) {
        return verdict
            .because("A file of modprobe's configuration keeps amdgpu from being loaded.")
            .advise(format!(
                "Take the line that names amdgpu out of `{file}` and restart"
            ))
            .seen(format!("`{file}` switches amdgpu off"));
    }
    match files {
        Some(files) if files.file.is_none() => verdict
            .because(
                "This kernel has no amdgpu module. Some distributions keep it in a package of \
                 its own.",
            )
            .fix(get)
            .seen("no file of amdgpu for the running kernel"),
        Some(_) => verdict
            .sure(0.8)
            .because("amdgpu is installed for this kernel and not loaded.")
            .fix(remedy(machine, "load-module", &[("module", "amdgpu")])),
        None => verdict
            .sure(0.8)
            .because(
                "amdgpu is loaded and has not taken up this card. A card newer than the kernel, \
                 or firmware files that are missing, does this.",
            )
            .fix(get)
            .advise_running(
                "Read the driver's own words",
                "sudo dmesg | grep amdgpu | tail",
            ),
    }
}
