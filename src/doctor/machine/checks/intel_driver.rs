//! `intel.driver`

use super::{Check, remedy};
use crate::{
    doctor::machine::{Machine, Node, Verdict},
    host::{Gpu, GpuVendor},
    types::Os,
};

pub(super) const CHECK: Check = Check {
    id: "intel.driver",
    looks_at: "the kernel driver, render node and Level Zero libraries of an Intel graphics card",
    why: "Builds for Intel GPUs (XPU) reach the card through i915 or xe, a render node, and the \
          Level Zero loader with Intel's driver for it.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    if machine.host.os.family != Os::Linux {
        return Vec::new();
    }
    machine
        .gpus(GpuVendor::Intel)
        .filter(|gpu| !gpu.integrated && !super::is_passed_through(gpu))
        .flat_map(|gpu| one(machine, gpu))
        .collect()
}

fn one(machine: &Machine, gpu: &Gpu) -> Vec<Verdict> {
    let name = &gpu.name;
    let Some(driver) = &gpu.kernel_driver else {
        return vec![
            Verdict::problem(format!("{name} has no kernel driver"))
                .because(
                    "Neither i915 nor xe of this kernel drives it: the kernel is older than \
                          the card, or its firmware files are missing.",
                )
                .advise(
                    "Install a newer kernel and the firmware package of your distribution \
                         (linux-firmware)",
                )
                .seen("no driver is bound to it"),
        ];
    };
    let mut verdicts = vec![Verdict::works(format!(
        "{driver} of the kernel drives {name}"
    ))];
    let nodes: Vec<&Node> = machine
        .nodes
        .iter()
        .filter(|node| node.address.is_some() && node.address == gpu.pci_address)
        .collect();
    if let Some(node) = nodes.first().filter(|node| !node.allowed) {
        let group = node.group.as_deref().unwrap_or("render");
        verdicts.push(
            Verdict::problem(format!("this user may not compute on {name}"))
                .because("Its render node belongs to a group that this user is not in.")
                .fix(
                    match machine.user.not_yet.iter().any(|given| given == group) {
                        true => crate::doctor::Fix {
                            text: "Log out and in again: the membership is not in effect yet"
                                .to_owned(),
                            command: None,
                        },
                        false => remedy(machine, "join-group", &[("group", group)]),
                    },
                )
                .seen(format!("`{}` may not be opened", node.path)),
        );
    }
    let absent: Vec<&str> = machine
        .libraries
        .iter()
        .filter(|library| library.name.starts_with("libze_") && library.file.is_none())
        .map(|library| library.name.as_str())
        .collect();
    if !absent.is_empty() {
        verdicts.push(
            Verdict::note(format!("{name} has no driver for computing"))
                .because(
                    "Programs reach it through Level Zero: a loader, and Intel's driver behind \
                     it. Without them builds for Intel GPUs see none.",
                )
                .fix(remedy(machine, "install-level-zero", &[]))
                .seen(format!("{} is not found", super::listed(&absent))),
        );
    }
    verdicts
}
