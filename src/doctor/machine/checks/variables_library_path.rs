//! `variables.library-path`

use super::{Check, listed};
use crate::doctor::{
    Cause,
    machine::{Machine, Place, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "variables.library-path",
    looks_at: "the folders of LD_LIBRARY_PATH, for libraries that environments bring themselves",
    why: "What lies in these folders is loaded before the libraries of a program's own \
          environment. Another version of cuDNN, nvJitLink or the C++ runtime breaks it.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let has_gpu = !machine.host.gpus.is_empty();
    for folder in machine.variables.folders_of("LD_LIBRARY_PATH") {
        // The driver's own and stubs of it: `nvidia.libraries` tells. The C++ runtime:
        // `system.libstdcxx`.
        let shadowing: Vec<&str> = folder
            .libraries
            .iter()
            .map(|name| name.trim_end_matches(".so"))
            .filter(|name| !matches!(*name, "libcuda" | "libnvidia-ml" | "libstdc++"))
            .collect();
        if shadowing.is_empty() || !has_gpu || folder.path.contains("/stubs") {
            continue;
        }
        verdicts.push(
            Verdict::note(format!(
                "LD_LIBRARY_PATH puts `{}` before every program's own libraries",
                folder.path
            ))
            .cause(Cause::LibraryPathShadows)
            .sure(0.5)
            .because(format!(
                "It holds {}. Python packages bring their own; where the versions differ they \
                 fail with undefined symbols or version errors. Tools that aienv starts do not \
                 see this variable; other programs of this shell do.",
                listed(&shadowing)
            ))
            .advise_running(
                "If a program of another environment fails so: start it without the variable, \
                 and take the folder out of your shell's start files",
                "env -u LD_LIBRARY_PATH PROGRAM",
            ),
        );
    }
    verdicts.extend(cpp_runtime(machine));
    verdicts
}

/// An older C++ runtime that comes first is broken for whoever needs the newer one.
fn cpp_runtime(machine: &Machine) -> Option<Verdict> {
    let library = machine.library("libstdc++.so.6")?;
    let first = library
        .file
        .as_deref()
        .filter(|_| library.place == Some(Place::Variable))?;
    let newer = library
        .later
        .iter()
        .find(|later| revision(later) > revision(first))?;
    let folder = library.path.as_deref()?.rsplit_once('/')?.0;
    Some(
        Verdict::problem("LD_LIBRARY_PATH puts an older C++ runtime before the system's")
            .cause(Cause::LibstdcxxTooOld)
            .because(
                "Programs that were made with the newer one do not start: they miss \
                 `GLIBCXX_3.4.…`. Tools that aienv starts do not see this variable.",
            )
            .advise(format!("Take `{folder}` out of LD_LIBRARY_PATH"))
            .seen(format!("the loader takes `{first}`"))
            .seen(format!("and passes over `{newer}`")),
    )
}

/// `libstdc++.so.6.0.30` is revision 30, which has symbols up to `GLIBCXX_3.4.30`.
pub(super) fn revision(file: &str) -> Option<u32> {
    let (_, version) = file.rsplit_once(".so.6.0.")?;
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::revision;

    #[test]
    fn revisions() {
        assert_eq!(revision("/usr/lib/libstdc++.so.6.0.30"), Some(30));
        assert_eq!(revision("/usr/lib/libstdc++.so.6"), None);
    }
}
