//! `variables.cuda-toolkit`

use super::Check;
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "variables.cuda-toolkit",
    looks_at: "CUDA_HOME and CUDA_PATH, and whether their folders are there",
    why: "They say where the CUDA toolkit is, for programs that compile. Programs that only run \
          need no toolkit.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(|name| {
            let folder = machine
                .variables
                .folders_of(name)
                .find(|folder| !folder.exists)?;
            Some(
                Verdict::note(format!("{name} names a folder that is not there"))
                    .cause(Cause::ToolkitUnfit)
                    .because(format!(
                        "`{}` is gone. Packages that are compiled on this machine fail until it \
                         names the toolkit, or nothing. Wheels do not look at it, and tools that \
                         aienv starts do not see it.",
                        folder.path
                    ))
                    .advise_running("Unset it, or name the toolkit", format!("unset {name}")),
            )
        })
        .collect()
}
