//! `python.user-site`

use super::{Check, listed};
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "python.user-site",
    looks_at: "packages in the user's own site folders (`pip install --user`)",
    why: "They come before the packages of a conda environment and of the system's Python, but not \
          before those of a venv.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    if machine.variables.filled("PYTHONNOUSERSITE").is_some() {
        return Vec::new();
    }
    machine
        .variables
        .user_site
        .iter()
        .map(|folder| {
            Verdict::note(format!(
                "`{}` holds {}",
                folder.path,
                listed(&folder.packages)
            ))
            .cause(Cause::OutsidePackagesLeakIn)
            .sure(0.4)
            .because(
                "conda environments and the system's Python of this version import these \
                     instead of their own. Environments of aienv, and venvs, do not.",
            )
            .advise_running(
                "If a conda environment imports the wrong version: keep them out, or remove \
                     them (`python -m pip uninstall` with that Python)",
                "export PYTHONNOUSERSITE=1",
            )
        })
        .collect()
}
