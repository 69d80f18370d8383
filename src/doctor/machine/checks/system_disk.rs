//! `system.disk`

use super::Check;
use crate::{
    doctor::{
        Cause,
        machine::{Disk, DiskUse, Machine, Verdict, limits::Limits},
    },
    types::human_bytes,
};

pub(super) const CHECK: Check = Check {
    id: "system.disk",
    looks_at: "room, files and permission to write: aienv's home and the temporary folder",
    why: "A GPU build of PyTorch is some gigabytes in tens of thousands of files. What does not \
          fit fails halfway, in words that seldom speak of the disk.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let disks = &machine.resources.disks;
    let mut verdicts: Vec<Verdict> = disks.iter().filter_map(one).collect();
    if verdicts.is_empty()
        && let Some(home) = disks.iter().find(|disk| disk.what == DiskUse::Home)
        && let Some(space) = home.space
    {
        verdicts.push(Verdict::works(format!(
            "{} free for aienv",
            human_bytes(space.free)
        )));
    }
    verdicts
}

fn one(disk: &Disk) -> Option<Verdict> {
    let limits = &Limits::embedded().disk;
    let path = &disk.path;
    let (what, variable) = match disk.what {
        DiskUse::Home => ("aienv's home", "AIENV_HOME"),
        DiskUse::Temporary => ("the temporary folder", "TMPDIR"),
    };
    let elsewhere = format!("Make room, or set {variable} to a folder on a larger disk.");
    if !disk.writable {
        return Some(
            Verdict::problem(format!("this user may not write to {what}"))
                .because("Nothing can be installed there.")
                .advise(format!(
                    "Give this user the folder, or set {variable} to one of its own"
                ))
                .seen(format!("`{path}`")),
        );
    }
    let space = disk.space?;
    let (problem, note) = match disk.what {
        DiskUse::Home => (limits.home_problem_mib, limits.home_note_mib),
        DiskUse::Temporary => (limits.temporary_problem_mib, limits.temporary_note_mib),
    };
    let seen = format!(
        "`{path}`: {} free of {}",
        human_bytes(space.free),
        human_bytes(space.total)
    );
    let no_files = space
        .files
        .is_some_and(|files| disk.what == DiskUse::Home && files < limits.home_files);
    if no_files {
        return Some(
            Verdict::problem(format!("the disk of {what} can hold hardly any more files"))
                .cause(Cause::DiskFull)
                .because(
                    "It has room and no entries left (inodes), which each file needs. Programs \
                     say that the disk is full.",
                )
                .advise(elsewhere)
                .seen(seen),
        );
    }
    if space.free >= note << 20 {
        return None;
    }
    let is_problem = space.free < problem << 20;
    Some(
        Verdict::problem_if(
            is_problem,
            format!("{} free for {what}", human_bytes(space.free)),
        )
        .cause(Cause::DiskFull)
        .because(match disk.what {
            DiskUse::Home => {
                "A tool with a GPU build of PyTorch needs more, for downloading \
                                  and unpacking."
            }
            DiskUse::Temporary => {
                "aienv needs little of it; pip, builds and many tools unpack large files there."
            }
        })
        .advise(elsewhere)
        .seen(seen),
    )
}
