//! `gpu.present`

use super::{Check, is_passed_through};
use crate::{
    doctor::machine::{Machine, Verdict},
    host::Gpu,
    types::human_memory,
};

pub(super) const CHECK: Check = Check {
    id: "gpu.present",
    looks_at: "the devices of the PCI bus, the registry of Windows, and what drivers list",
    why: "Everything else depends on which GPUs there are. A machine without one is healthy: \
          programs compute on its processor.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    // Eight cards of one kind are one line.
    let mut seen: Vec<(String, usize)> = Vec::new();
    for gpu in &machine.host.gpus {
        if is_passed_through(gpu) {
            verdicts.push(
                Verdict::note(format!("{} is set aside for virtual machines", told(gpu))).because(
                    "Its kernel driver is vfio-pci. Programs of this system cannot use it; those \
                     in the virtual machine that it is given to can.",
                ),
            );
            continue;
        }
        let line = told(gpu);
        match seen.iter_mut().find(|(known, _)| *known == line) {
            Some((_, count)) => *count += 1,
            None => seen.push((line, 1)),
        }
    }
    verdicts.extend(seen.into_iter().map(|(line, count)| {
        Verdict::works(match count {
            1 => line,
            count => format!("{count} × {line}"),
        })
    }));
    if verdicts.is_empty() {
        verdicts.push(
            Verdict::note("no GPU was found")
                .because("Programs compute on the processor; aienv installs builds for it."),
        );
    }
    verdicts
}

fn told(gpu: &Gpu) -> String {
    let mut text = gpu.name.clone();
    if let Some(bytes) = gpu.memory_bytes {
        let kind = if gpu.integrated { " shared" } else { "" };
        text.push_str(&format!(", {}{kind}", human_memory(bytes)));
    }
    text
}
