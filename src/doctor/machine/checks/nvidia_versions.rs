//! `nvidia.versions`

use super::{Check, module_version, nvidia_on_bus, remedy, spelled};
use crate::{
    doctor::{
        Cause,
        machine::{Library, Machine, Verdict},
    },
    types::Version,
};

pub(super) const CHECK: Check = Check {
    id: "nvidia.versions",
    looks_at: "the version of the loaded kernel module and of the driver's libraries",
    why: "Module and libraries work together only in one and the same version. An update changes \
          the libraries at once, and the module at the next start.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let Some(module) = module_version(machine).filter(|_| !nvidia_on_bus(machine).is_empty())
    else {
        return Vec::new();
    };
    let libraries: Vec<(&Library, Version)> = ["libcuda.so.1", "libnvidia-ml.so.1"]
        .iter()
        .filter_map(|name| machine.library(name))
        // `nvidia.libraries` tells of these.
        .filter(|library| {
            let path = library.path.as_deref().unwrap_or_default();
            !library.is_stub() && !path.contains("/compat/")
        })
        .filter_map(|library| Some((library, library.driver_version()?)))
        .collect();
    let Some((library, version)) = libraries.iter().find(|(_, version)| version != module) else {
        return match libraries.is_empty() {
            true => Vec::new(),
            false => vec![Verdict::works(format!(
                "driver libraries and kernel module are both {}",
                spelled(module)
            ))],
        };
    };
    let (module, version) = (spelled(module), spelled(version));
    let file = library.file.as_deref().unwrap_or_default();
    vec![
        Verdict::problem(format!(
            "the driver's libraries are {version}, its kernel module {module}"
        ))
        .cause(Cause::DriverLibraryMismatch)
        .because(match machine.in_container() {
            true => {
                "The container holds the libraries it was started with, and the driver of \
                         the machine was changed since; or the image brings libraries of its own, \
                         which it must not."
            }
            false => {
                "The driver was updated while the old module was loaded. Until the new \
                          one is loaded, `nvidia-smi` says “Driver/library version mismatch” and \
                          CUDA finds no device."
            }
        })
        .fix(remedy(machine, "restart-after-update", &[]))
        .seen(format!("`{file}`"))
        .seen(format!("the loaded kernel module is {module}")),
    ]
}
