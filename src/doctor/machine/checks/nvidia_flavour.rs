//! `nvidia.driver-fits-gpu`

use super::{Check, branch, has_nvidia_module, module_version, nvidia_on_bus, remedy, spelled};
use crate::{
    compat::cuda::{Capability, CudaFacts},
    doctor::{
        Cause,
        machine::{Machine, Verdict, limits::Limits},
    },
    host::Gpu,
    types::Version,
};

pub(super) const CHECK: Check = Check {
    id: "nvidia.driver-fits-gpu",
    looks_at: "GPUs that NVIDIA's loaded module has not taken up; its version and flavour",
    why: "A driver can be too old for a GPU, too new for it, or of the flavour that does not drive \
          it. Then everything looks installed and there is no device.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    if !has_nvidia_module(machine) || machine.in_container() {
        return Vec::new();
    }
    nvidia_on_bus(machine)
        .into_iter()
        // A driver that has taken up the card fits it.
        .filter(|gpu| gpu.kernel_driver.is_none())
        .filter(|gpu| !is_in_trouble_on_the_bus(machine, gpu))
        .map(|gpu| one(machine, gpu))
        .collect()
}

/// `gpu.bus` tells of it.
fn is_in_trouble_on_the_bus(machine: &Machine, gpu: &Gpu) -> bool {
    machine.pci.iter().any(|device| {
        Some(&device.address) == gpu.pci_address.as_ref()
            && (device.silent || device.unmapped_region.is_some())
    })
}

fn one(machine: &Machine, gpu: &Gpu) -> Verdict {
    let name = &gpu.name;
    let known = gpu.compute_capability.zip(module_version(machine));
    let found = known.and_then(|((major, minor), version)| {
        reason(machine, gpu, Capability(major, minor), version)
    });
    found
        .unwrap_or_else(|| {
            Verdict::problem(format!("NVIDIA's driver has not taken up {name}"))
                .sure(0.6)
                .because(
                    "The module is loaded and does not drive this card. The kernel's log tells \
                     why, in the lines that begin with NVRM.",
                )
                .advise_running(
                    "Read the driver's own words",
                    "sudo dmesg | grep NVRM | tail",
                )
        })
        .cause(Cause::DriverDoesNotSupportGpu)
        .seen(format!(
            "{name} has no kernel driver although nvidia is loaded"
        ))
}

fn reason(
    machine: &Machine,
    gpu: &Gpu,
    capability: Capability,
    version: &Version,
) -> Option<Verdict> {
    let name = &gpu.name;
    let limits = &Limits::embedded().nvidia;
    let open = machine
        .host
        .nvidia
        .as_ref()
        .and_then(|driver| driver.open_module);
    let architecture = CudaFacts::embedded().architecture(capability)?;
    // The driver of Jetson boards comes with JetPack and has numbers of its own.
    if architecture.tegra.is_some() {
        return None;
    }
    let lowest = architecture.lowest_driver(machine.host.os.family);
    if let Some(last) = architecture.last_branch
        && version.release().first() > Some(&u64::from(last))
    {
        let last = last.to_string();
        return Some(
            Verdict::problem(format!(
                "driver {} no longer drives {name}",
                spelled(version)
            ))
            .because(format!(
                "Support of this generation ({}) ended with driver branch {last}.",
                architecture.name
            ))
            .fix(remedy(
                machine,
                "install-closed-module",
                &[("branch", &last)],
            )),
        );
    }
    if let Some(lowest) = lowest
        && version < lowest
    {
        let first = spelled(lowest);
        return Some(
            Verdict::problem(format!(
                "driver {} does not know {name} yet",
                spelled(version)
            ))
            .because(format!(
                "The first driver for this generation ({}) is {first}.",
                architecture.name
            ))
            .fix(remedy(
                machine,
                "update-nvidia-driver",
                &[("wanted", &format!("{first} or newer"))],
            )),
        );
    }
    if open == Some(false) && capability >= limits.open_module_only_from {
        let branch = branch(version);
        return Some(
            Verdict::problem(format!("{name} needs the open kernel module"))
                .because(format!(
                    "NVIDIA's own flavour of the module is loaded. From the generation {} on \
                     only the open flavour drives the GPUs.",
                    architecture.name
                ))
                .fix(remedy(
                    machine,
                    "install-open-module",
                    &[("branch", &branch)],
                )),
        );
    }
    if open == Some(true) && capability < limits.open_module_from {
        let branch = architecture
            .last_branch
            .map_or_else(|| branch(version), |last| last.to_string());
        return Some(
            Verdict::problem(format!(
                "{name} needs NVIDIA's own kernel module, not the open one"
            ))
            .because(format!(
                "The open module is loaded. It needs a processor on the card that the \
                     generation {} does not have.",
                architecture.name
            ))
            .fix(remedy(
                machine,
                "install-closed-module",
                &[("branch", &branch)],
            )),
        );
    }
    None
}
