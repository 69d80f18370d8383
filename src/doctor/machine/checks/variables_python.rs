//! `variables.python`

use super::{Check, listed};
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "variables.python",
    looks_at: "PYTHONHOME, PYTHONPATH and CONDA_PREFIX, and what is behind them",
    why: "These reach into every Python that is started, whichever environment it belongs to: \
          PYTHONHOME replaces its standard library, PYTHONPATH comes before its packages.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    [home(machine), path(machine), conda(machine)]
        .into_iter()
        .flatten()
        .collect()
}

fn home(machine: &Machine) -> Option<Verdict> {
    let value = machine.variables.filled("PYTHONHOME")?;
    let exists = machine
        .variables
        .folders_of("PYTHONHOME")
        .any(|folder| folder.exists);
    let what = match exists {
        true => {
            "Every Python takes its standard library from there, also one of another version, \
             which then does not start, or loads the wrong modules."
        }
        false => {
            "The folder is not there, so no Python starts: each looks for its standard \
                  library in it."
        }
    };
    Some(
        Verdict::problem("PYTHONHOME is set")
            .cause(Cause::OutsidePackagesLeakIn)
            .because(format!("{what} Tools that aienv starts do not see it."))
            .advise_running(
                "Unset it, and take it out of your shell's start files",
                "unset PYTHONHOME",
            )
            .seen(format!("PYTHONHOME is `{value}`")),
    )
}

fn path(machine: &Machine) -> Option<Verdict> {
    machine.variables.filled("PYTHONPATH")?;
    let with_packages = machine
        .variables
        .folders_of("PYTHONPATH")
        .find(|folder| !folder.packages.is_empty());
    Some(match with_packages {
        Some(folder) => Verdict::problem(
            "PYTHONPATH puts packages before those of every environment",
        )
        .cause(Cause::OutsidePackagesLeakIn)
        .because(format!(
            "`{}` holds {}. Every Python imports these, whatever its own environment has, and \
                 they were made for one Python and one set of packages. Tools that aienv starts \
                 do not see the variable.",
            folder.path,
            listed(&folder.packages)
        ))
        .advise_running(
            "Unset it where you work with other environments",
            "unset PYTHONPATH",
        )
        .seen(format!("`{}` is in PYTHONPATH", folder.path)),
        None => Verdict::note("PYTHONPATH is set")
            .cause(Cause::OutsidePackagesLeakIn)
            .sure(0.3)
            .because(
                "Its folders come before the packages of every environment. None of the packages \
                 that usually clash is in them.",
            ),
    })
}

fn conda(machine: &Machine) -> Option<Verdict> {
    let gone = machine
        .variables
        .folders_of("CONDA_PREFIX")
        .find(|folder| !folder.exists)?;
    Some(
        Verdict::note("the active conda environment is not there any more")
            .cause(Cause::WrongEnvironment)
            .because(format!(
                "CONDA_PREFIX is `{}`. Programs of this shell come from somewhere else than its \
                 prompt says.",
                gone.path
            ))
            .advise_running("Leave it", "conda deactivate"),
    )
}
