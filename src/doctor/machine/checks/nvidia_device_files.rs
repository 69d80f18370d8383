//! `nvidia.device-files`

use super::{Check, has_nvidia_module, known, listed, nvidia_answers, nvidia_on_bus, remedy};
use crate::doctor::{
    Cause,
    machine::{Machine, Node, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "nvidia.device-files",
    looks_at: "`/dev/nvidiactl`, `/dev/nvidia0` …, `/dev/nvidia-uvm`: present, allowed, not refused",
    why: "Programs reach the driver by opening these files. CUDA needs `nvidia-uvm` besides, \
          without which `nvidia-smi` works and every program fails with an unknown error.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    // Without a module there is nothing behind such files.
    if nvidia_on_bus(machine).is_empty() || !has_nvidia_module(machine) {
        return Vec::new();
    }
    let nodes: Vec<&Node> = machine
        .nodes
        .iter()
        .filter(|node| node.path.starts_with("/dev/nvidia"))
        .collect();
    let control = machine.node("/dev/nvidiactl");
    if control.is_none() {
        // A container without any was not given the GPU: `container.gpu` tells.
        return match machine.in_container() || nvidia_answers(machine) {
            true => Vec::new(),
            false => on_demand(machine).into_iter().collect(),
        };
    }
    let mut verdicts: Vec<Verdict> = [forbidden(machine, &nodes), refused(machine, &nodes)]
        .into_iter()
        .flatten()
        .collect();
    verdicts.extend(uvm(machine));
    if verdicts.is_empty() {
        verdicts.push(Verdict::works("NVIDIA device files may be opened"));
    }
    verdicts
}

/// No file at all. They are made when a program first asks, by a helper with the right to.
fn on_demand(machine: &Machine) -> Option<Verdict> {
    if machine.around.makes_device_files || machine.user.is_root {
        return None;
    }
    Some(
        Verdict::problem("NVIDIA's device files are missing")
            .sure(0.85)
            .because(
                "The module is loaded, and nothing is installed that makes the files by which \
                 programs reach it.",
            )
            .fix(remedy(machine, "make-device-files", &[]))
            .seen("`/dev/nvidiactl` is not there")
            .seen("`nvidia-modprobe` is missing, or has not the right to make device files"),
    )
}

fn forbidden(machine: &Machine, nodes: &[&Node]) -> Option<Verdict> {
    let closed: Vec<&&Node> = nodes.iter().filter(|node| !node.allowed).collect();
    let first = closed.first()?;
    let paths: Vec<&str> = closed.iter().map(|node| node.path.as_str()).collect();
    let mut verdict = Verdict::problem("this user may not open NVIDIA's device files")
        .because(
            "By their permissions only others may. NVIDIA's driver makes these files for \
             everybody unless it is configured otherwise (`NVreg_DeviceFileMode`).",
        )
        .seen(format!("{} may not be read and written", listed(&paths)));
    if let Some(group) = first.group.as_deref().filter(|group| *group != "root") {
        verdict = match machine.user.not_yet.iter().any(|given| given == group) {
            true => verdict.advise(format!(
                "You were made a member of {group} after you logged in: log out and in again"
            )),
            false => verdict.fix(remedy(machine, "join-group", &[("group", group)])),
        };
        verdict = verdict.seen(format!("they belong to the group {group}"));
    }
    Some(verdict.advise(
        "Take `NVreg_DeviceFileMode` and the like out of `/etc/modprobe.d` and load the module \
         anew",
    ))
}

/// Permissions allow it, and opening fails: a container's list of devices.
fn refused(machine: &Machine, nodes: &[&Node]) -> Option<Verdict> {
    let node = nodes.iter().find(|node| node.refused.is_some())?;
    let error = node.refused.as_deref().unwrap_or_default();
    Some(
        Verdict::problem("this container has lost its right to the GPU")
            .cause(Cause::ContainerCgroupLostGpu)
            .sure(0.9)
            .because(
                "Permissions allow the device files and the kernel refuses them: they are not in \
                 the container's list of allowed devices. That list is written anew when the \
                 service manager of the machine is reloaded, and forgets devices that were added \
                 behind its back.",
            )
            .fixes(known(machine, Cause::ContainerCgroupLostGpu))
            .seen(format!("opening `{}`: {error}", node.path)),
    )
}

fn uvm(machine: &Machine) -> Option<Verdict> {
    if machine.node("/dev/nvidia-uvm").is_some() {
        return None;
    }
    let made_on_demand = machine.around.makes_device_files || machine.user.is_root;
    if made_on_demand && !machine.in_container() {
        return None;
    }
    Some(
        Verdict::problem("`/dev/nvidia-uvm` is missing")
            .cause(Cause::UvmNotUsable)
            .because(
                "The module for unified memory has no device file here. `nvidia-smi` does not \
                 need it; every CUDA program does, and fails with error 999 (unknown error).",
            )
            .fix(remedy(machine, "make-device-files", &[]))
            .seen("`/dev/nvidiactl` is there and `/dev/nvidia-uvm` is not"),
    )
}
