//! `container.shared-memory`

use super::{Check, known};
use crate::{
    doctor::{
        Cause, Fix,
        machine::{Machine, Verdict, limits::Limits},
    },
    types::human_memory,
};

pub(super) const CHECK: Check = Check {
    id: "container.shared-memory",
    looks_at: "the size of `/dev/shm` and what is left of it",
    why: "Workers that load data, and GPUs that exchange it, pass it through shared memory. A full \
          one ends programs with a bus error.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let Some(space) = machine.resources.shared_memory else {
        return Vec::new();
    };
    let limits = &Limits::embedded().shared_memory;
    let total = human_memory(space.total);
    let verdict = if space.free < limits.scarce_mib << 20 {
        Verdict::problem(format!("shared memory is full ({total} in all)"))
            .because("The next program that shares memory between processes ends with a bus error.")
    } else if machine.in_container() && space.total <= limits.container_default_mib << 20 {
        Verdict::note(format!("shared memory is small: {total}")).because(
            "This is what a container gets when nobody asks for more. Data loaders with several \
             workers and programs on several GPUs end with a bus error, or say that no space is \
             left.",
        )
    } else {
        return Vec::new();
    };
    let fixes = match machine.in_container() {
        true => known(machine, Cause::ShmTooSmall),
        false => vec![Fix {
            text: "Remove what ended programs left in `/dev/shm`, or enlarge it".to_owned(),
            command: Some("sudo mount -o remount,size=50% /dev/shm".to_owned()),
        }],
    };
    vec![verdict.cause(Cause::ShmTooSmall).fixes(fixes).seen(format!(
        "`/dev/shm`: {} free of {total}",
        human_memory(space.free)
    ))]
}
