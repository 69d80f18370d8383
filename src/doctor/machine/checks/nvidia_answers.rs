//! `nvidia.answers`

use super::{
    Check, has_nvidia_module, has_problem, nvidia_answers, nvidia_device_files, nvidia_flavour,
    nvidia_libraries, nvidia_on_bus, nvidia_versions,
};
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "nvidia.answers",
    looks_at: "whether the driver's libraries answer when they are asked for GPUs",
    why: "When module, files and libraries are all in place and the driver still does not answer, \
          the GPU or the driver's state is at fault.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let there = !nvidia_on_bus(machine).is_empty() && has_nvidia_module(machine);
    let not_given = machine.in_container() && machine.node("/dev/nvidiactl").is_none();
    if !there || not_given || nvidia_answers(machine) {
        return Vec::new();
    }
    let nearer = [
        super::gpu_bus::CHECK,
        nvidia_flavour::CHECK,
        nvidia_device_files::CHECK,
        nvidia_libraries::CHECK,
        nvidia_versions::CHECK,
    ];
    if nearer.iter().any(|check| has_problem(check, machine)) {
        return Vec::new();
    }
    let told: Vec<String> = machine
        .host
        .unread
        .iter()
        .filter(|unread| {
            let what = unread.what.to_lowercase();
            what.contains("nvidia") || what.contains("libcuda")
        })
        .map(|unread| format!("{}: {}", unread.what, unread.why))
        .collect();
    let late = told.iter().any(|line| line.contains("no answer within"));
    let lost = told.iter().any(|line| line.contains("stopped answering"));
    let mut verdict = Verdict::problem("NVIDIA's driver does not answer")
        .because(match (late, lost) {
            (true, _) => {
                "Its library was asked and took too long. A GPU that crashed, or one that takes \
                 seconds to wake, does this."
            }
            (_, true) => "It has lost contact with a GPU.",
            _ => "Everything it needs is in place, and it still refuses.",
        })
        .advise_running(
            "Look for lines with NVRM or Xid in the kernel's log: a number after Xid names what \
             happened to the GPU",
            "sudo dmesg | grep -E 'NVRM|Xid' | tail",
        )
        .advise("Restart the machine")
        .advise("`aienv doctor --probe` says which call fails, and with which error")
        .sure(0.6);
    if late || lost {
        verdict = verdict.cause(Cause::HardwareOrFirmware);
    }
    for line in told {
        verdict = verdict.seen(line);
    }
    vec![verdict]
}
