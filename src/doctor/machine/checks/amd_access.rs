//! `amd.device-access`

use super::{Check, listed, remedy};
use crate::{
    compat::rocm::RocmFacts,
    doctor::{
        Cause,
        machine::{Machine, Node, Verdict},
    },
    host::{Gpu, GpuVendor},
};

pub(super) const CHECK: Check = Check {
    id: "amd.device-access",
    looks_at: "`/dev/kfd` and the render nodes of AMD GPUs; the user's groups, in effect and given",
    why: "ROCm opens `/dev/kfd` and a render node. Who may not sees no GPU and often no reason.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let driven: Vec<&Gpu> = machine
        .gpus(GpuVendor::Amd)
        .filter(|gpu| gpu.kernel_driver.as_deref() == Some("amdgpu"))
        .collect();
    if driven.is_empty() {
        return Vec::new();
    }
    // Nobody computes on built-in graphics by default.
    let matters = driven.iter().any(|gpu| !gpu.integrated);
    let kfd = machine.node("/dev/kfd");
    let render: Vec<&Node> = machine
        .nodes
        .iter()
        .filter(|node| node.driver.as_deref() == Some("amdgpu"))
        .collect();
    if kfd.is_none() {
        return vec![no_kfd(machine, matters)];
    }
    let mut closed: Vec<&Node> = kfd.into_iter().filter(|node| !is_open(node)).collect();
    // One render node that may be opened is one GPU that works.
    if !render.is_empty() && !render.iter().any(|node| is_open(node)) {
        closed.extend(render);
    }
    match closed.is_empty() {
        true => vec![Verdict::works("AMD device files may be opened")],
        false => vec![no_access(machine, matters, &closed)],
    }
}

fn is_open(node: &Node) -> bool {
    node.allowed && node.refused.is_none()
}

fn no_kfd(machine: &Machine, matters: bool) -> Verdict {
    if machine.in_container() {
        // A container may be meant to have none; one with ROCm in it is not.
        let expected = ["HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"]
            .iter()
            .any(|name| machine.variables.filled(name).is_some());
        return Verdict::problem_if(expected, "this container was not given the AMD GPU")
            .cause(Cause::KfdMissing)
            .because(
                "The kernel drives the card, and its device file `/dev/kfd` is not in this \
                 container.",
            )
            .fix(remedy(machine, "give-container-amd", &[]))
            .seen("`/dev/kfd` is not there");
    }
    Verdict::problem_if(matters, "amdgpu offers no computing on this kernel")
        .cause(Cause::KfdMissing)
        .because(
            "amdgpu drives the card, and its interface for computing, `/dev/kfd`, is missing: the \
             kernel was built without it (CONFIG_HSA_AMD), or the card is of a generation that \
             has none.",
        )
        .advise("Use a kernel of your distribution, or build yours with CONFIG_HSA_AMD=y")
        .seen("`/dev/kfd` is not there")
}

fn no_access(machine: &Machine, matters: bool, closed: &[&Node]) -> Verdict {
    let paths: Vec<&str> = closed.iter().map(|node| node.path.as_str()).collect();
    let groups: Vec<&str> = {
        let mut groups: Vec<&str> = closed
            .iter()
            .filter_map(|node| node.group.as_deref())
            .filter(|group| *group != "root")
            .collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    };
    let mut verdict = Verdict::problem_if(matters, "this user may not compute on the AMD GPU")
        .cause(Cause::NotInRenderGroup)
        .because(
            "The device files that ROCm opens belong to a group that this user is not in. \
             Programs then see no GPU.",
        )
        .seen(format!("{} may not be opened", listed(&paths)));
    if let Some(error) = closed.iter().find_map(|node| node.refused.as_ref()) {
        return verdict
            .because(
                "Permissions allow it and the kernel refuses: the device files are not in this \
                 container's list of allowed devices.",
            )
            .fix(remedy(machine, "give-container-amd", &[]))
            .seen(format!("opening it: {error}"));
    }
    let given: Vec<&&str> = groups
        .iter()
        .filter(|group| machine.user.not_yet.iter().any(|given| given == *group))
        .collect();
    if let Some(group) = given.first() {
        return verdict
            .because(
                "This user was put into the group, and a login keeps the groups it began with.",
            )
            .advise("Log out and in again (or restart the machine)")
            .seen(format!("the membership in {group} is not in effect yet"));
    }
    let names = match groups.is_empty() {
        // Files of root alone: the rules that give them a group are missing.
        true => RocmFacts::embedded().needs.groups.join(","),
        false => groups.join(","),
    };
    verdict = verdict.fix(remedy(machine, "join-group", &[("group", &names)]));
    if machine.in_container() {
        verdict = verdict.fix(remedy(machine, "give-container-amd", &[]));
    }
    for node in closed {
        if let (Some(group), Some(mode)) = (&node.group, &node.mode) {
            verdict = verdict.seen(format!("`{}` belongs to {group}, mode {mode}", node.path));
        }
    }
    verdict
}
