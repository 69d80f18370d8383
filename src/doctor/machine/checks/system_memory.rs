//! `system.memory`

use super::{Check, known};
use crate::{
    doctor::{
        Cause,
        machine::{Machine, Verdict, limits::Limits},
    },
    types::{Os, human_memory},
};

pub(super) const CHECK: Check = Check {
    id: "system.memory",
    looks_at: "memory in all and left, swap or page file, and programs ended for lack of it",
    why: "A program that needs more memory than there is ends without a word of its own \
          (“Killed”), or on Windows with error 1455.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let limits = &Limits::embedded().memory;
    let resources = &machine.resources;
    let total = machine.host.memory_bytes;
    let windows = machine.host.os.family == Os::Windows;
    let mut verdicts = Vec::new();
    if let Some(total) = total.filter(|total| *total < limits.small_mib << 20) {
        verdicts.push(
            Verdict::note(format!("there is little memory: {}", human_memory(total)))
                .cause(Cause::RamOomKilled)
                .because("Most models do not fit, and installing large packages may fail."),
        );
    }
    if let Some(left) = resources
        .memory_available
        .filter(|left| *left < limits.scarce_mib << 20)
    {
        let title = format!("{} of memory are left", human_memory(left));
        let cause = match windows {
            true => Cause::PagefileTooSmall,
            false => Cause::RamOomKilled,
        };
        verdicts.push(
            // Windows refuses what it cannot promise; Linux may still find something to drop.
            Verdict::problem_if(windows, title)
                .cause(cause)
                .because("The next program that needs some may fail, or be ended.")
                .fixes(known(machine, cause)),
        );
    }
    if let Some(swap) = resources
        .swap
        .filter(|swap| windows && *swap < limits.page_file_mib << 20)
    {
        verdicts.push(
            Verdict::note(format!("the page file is small: {}", human_memory(swap)))
                .cause(Cause::PagefileTooSmall)
                .sure(0.6)
                .because(
                    "Windows must be able to promise all memory that a program reserves, also \
                     what it never touches. CUDA libraries reserve gigabytes in every process.",
                )
                .fixes(known(machine, Cause::PagefileTooSmall)),
        );
    }
    if let Some(count) = resources.killed_for_memory.filter(|count| *count > 0) {
        let programs = match count {
            1 => "a program".to_owned(),
            count => format!("{count} programs"),
        };
        let since = match machine.in_container() {
            true => "in this container",
            false => "since the machine started",
        };
        verdicts.push(
            Verdict::note(format!(
                "the kernel ended {programs} for lack of memory {since}"
            ))
            .cause(Cause::RamOomKilled)
            .sure(0.7)
            .because("A tool that vanished, or printed “Killed”, was probably one of them.")
            .fixes(known(machine, Cause::RamOomKilled))
            .advise_running("See which", "sudo dmesg | grep -i 'killed process'"),
        );
    }
    if verdicts.is_empty()
        && let Some(total) = total
    {
        verdicts.push(Verdict::works(format!("{} of memory", human_memory(total))));
    }
    verdicts
}
