//! `system.c-library`

use super::Check;
use crate::{
    compat::torch::TorchFacts,
    doctor::{
        Cause,
        machine::{Machine, Verdict},
    },
    types::{Arch, Libc, Version},
};

pub(super) const CHECK: Check = Check {
    id: "system.c-library",
    looks_at: "the C library of a Linux system and its version",
    why: "A wheel says which glibc it needs at least, and none for glibc runs with musl. The C \
          library comes with the distribution and cannot be replaced by itself.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let host = &machine.host;
    match host.os.libc {
        None => Vec::new(),
        Some(libc @ Libc::Musl { .. }) => vec![
            Verdict::note(format!("the C library is {libc}"))
                .cause(Cause::NoWheel)
                .because(
                    "PyTorch and most compiled packages have wheels for glibc only. Tools that \
                     need these cannot be installed here.",
                )
                .advise(
                    "Use a distribution with glibc (Debian, Ubuntu, Fedora …), or a container \
                         of one",
                ),
        ],
        Some(libc @ Libc::Glibc { major, minor }) => {
            let version = Version::new([u64::from(major), u64::from(minor)]);
            vec![judge_glibc(&version, &libc.to_string(), host.cpu.arch)]
        }
    }
}

fn judge_glibc(version: &Version, told: &str, arch: Arch) -> Verdict {
    let releases = &TorchFacts::embedded().torch;
    let floors = || {
        releases
            .iter()
            .filter_map(|release| release.glibc.get(arch))
    };
    let newest = releases.first();
    let lowest = floors().min();
    let newest_floor = newest.and_then(|release| release.glibc.get(arch));
    let verdict = match (lowest, newest.zip(newest_floor)) {
        (Some(lowest), _) if version < lowest => {
            Verdict::problem(format!("{told} is too old for every wheel of PyTorch")).because(
                format!("The oldest ones that tools ask for need glibc {lowest}."),
            )
        }
        (_, Some((newest, floor))) if version < floor => {
            Verdict::note(format!("{told} is too old for newer wheels")).because(format!(
                "PyTorch {} needs glibc {floor}. aienv plans with releases that run here, which \
                 some tools cannot do with.",
                newest.release
            ))
        }
        _ => return Verdict::works(told.to_owned()),
    };
    verdict.cause(Cause::GlibcTooOld).advise(
        "Use a newer release of the distribution, or a container of one. Never replace glibc \
         itself",
    )
}
