//! `nvidia.libraries`

use super::{
    Check, branch, has_nvidia_module, listed, module_version, nvidia_on_bus, remedy, spelled,
};
use crate::{
    doctor::{
        Cause,
        machine::{Library, Machine, Place, Verdict},
    },
    host::GpuVendor,
};

pub(super) const CHECK: Check = Check {
    id: "nvidia.libraries",
    looks_at: "which file the loader takes for `libcuda.so.1`, and which others there are",
    why: "Every CUDA program asks the loader for this one library of the driver. A stub, a copy of \
          another driver or a folder that is not searched makes a healthy driver invisible.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let wsl = machine.host.surroundings.wsl == Some(2) && machine.node("/dev/dxg").is_some();
    // A container that was not given the GPU has no use for its library: `container.gpu` tells.
    let given = !machine.in_container() || machine.node("/dev/nvidiactl").is_some();
    let native = given && !nvidia_on_bus(machine).is_empty() && has_nvidia_module(machine);
    let Some(library) = machine.library("libcuda.so.1").filter(|_| wsl || native) else {
        return Vec::new();
    };
    // What Windows passes on may be another maker's GPU.
    if wsl
        && !machine
            .around
            .wsl_libraries
            .iter()
            .any(|name| name.starts_with("libcuda.so"))
    {
        return Vec::new();
    }
    let mut verdicts = vec![match &library.file {
        None => missing(machine, library, wsl),
        Some(_) if library.is_stub() => stub(library),
        Some(file) if wsl && !file.starts_with("/usr/lib/wsl/") => in_wsl(machine, file),
        Some(file) => match compatibility_package(machine, library) {
            Some(verdict) => verdict,
            None => Verdict::works(format!("CUDA driver library `{file}`")),
        },
    }];
    if native && library.file.is_some() {
        verdicts.extend(compiler(machine));
    }
    verdicts
}

/// The driver's compiler, which code that is made at run time goes through.
fn compiler(machine: &Machine) -> Option<Verdict> {
    let library = machine.library("libnvidia-ptxjitcompiler.so.1")?;
    if library.file.is_some() || !library.unseen.is_empty() {
        return None;
    }
    let branch = module_version(machine).map(branch).unwrap_or_default();
    Some(
        Verdict::note("the driver's compiler is not installed")
            .cause(Cause::CudaLibsMissing)
            .because(
                "Programs that compile kernels as they run (Triton, torch.compile, code for newer \
                 GPUs than the program knows) end with error 221.",
            )
            .fix(remedy(
                machine,
                "install-user-space",
                &[("branch", &branch)],
            ))
            .seen("`libnvidia-ptxjitcompiler.so.1` is not found"),
    )
}

fn missing(machine: &Machine, library: &Library, wsl: bool) -> Verdict {
    let unseen = library.unseen.first();
    // NixOS patches programs to look there.
    if let Some(file) = unseen.filter(|file| file.starts_with("/run/opengl-driver/")) {
        return Verdict::works(format!("CUDA driver library `{file}`"));
    }
    if wsl {
        return Verdict::problem("the loader does not find the driver that Windows provides")
            .cause(Cause::WslLibcudaNotOnPath)
            .because(
                "Windows puts its driver's libraries in `/usr/lib/wsl/lib`, which is not among \
                 the folders the loader searches here.",
            )
            .fix(remedy(machine, "find-wsl-libraries", &[]))
            .seen("`libcuda.so.1` is in `/usr/lib/wsl/lib` and not on the loader's path");
    }
    if let Some(file) = unseen {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        return Verdict::problem("`libcuda.so.1` is there, where the loader does not look")
            .cause(Cause::CudaLibsNotOnPath)
            .because(format!(
                "The library of the driver is in `{folder}`, which is neither in the loader's \
                 cache nor one of its folders."
            ))
            .advise_running(
                "Write the loader's cache anew; if that does not help, add the folder first",
                format!(
                    "sudo ldconfig || echo {folder} | sudo tee /etc/ld.so.conf.d/nvidia-driver.conf"
                ),
            )
            .seen(format!(
                "`{file}` is not found under the name `libcuda.so.1`"
            ));
    }
    let version = module_version(machine);
    let branch = version.map(branch).unwrap_or_default();
    let capabilities = machine.variables.get("NVIDIA_DRIVER_CAPABILITIES");
    let mut verdict = Verdict::problem("the driver's CUDA library is not installed")
        .cause(Cause::CudaLibsMissing)
        .because(
            "The kernel module is loaded, and `libcuda.so.1`, through which programs use it, is \
             nowhere. Distributions keep the two in separate packages; containers get it only \
             with the capability `compute`.",
        )
        .fix(remedy(
            machine,
            "install-user-space",
            &[("branch", &branch)],
        ))
        .seen("`libcuda.so.1` is in none of the usual folders");
    if let Some(capabilities) = capabilities {
        verdict = verdict.seen(format!("NVIDIA_DRIVER_CAPABILITIES is `{capabilities}`"));
    }
    verdict
}

fn stub(library: &Library) -> Verdict {
    let path = library.path.clone().unwrap_or_default();
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let what = match library.place {
        Some(Place::Variable) => format!("Take `{folder}` out of LD_LIBRARY_PATH."),
        _ => format!(
            "Remove `{folder}` from the loader's configuration (`/etc/ld.so.conf.d`), then run \
             `sudo ldconfig`."
        ),
    };
    let mut verdict = Verdict::problem("programs get a stub instead of the driver's CUDA library")
        .cause(Cause::LibraryPathShadows)
        .because(
            "The CUDA toolkit has a library of that name for linking programs where there is no \
             driver; each of its functions only returns error 34 (stub library). The loader finds \
             it first.",
        )
        .advise(what)
        .seen(format!("the loader takes `{path}`"));
    if !library.later.is_empty() {
        verdict = verdict.seen(format!("and passes over {}", listed(&library.later)));
    }
    verdict
}

fn in_wsl(machine: &Machine, file: &str) -> Verdict {
    Verdict::problem("a Linux driver inside WSL hides the one that Windows provides")
        .cause(Cause::WslLibcudaNotOnPath)
        .because(
            "Under WSL the kernel has no NVIDIA module; only the library in `/usr/lib/wsl/lib` \
             can reach the GPU. The loader finds another one first.",
        )
        .fix(remedy(machine, "remove-driver-in-wsl", &[]))
        .fix(remedy(machine, "find-wsl-libraries", &[]))
        .seen(format!("the loader takes `{file}` for `libcuda.so.1`"))
}

/// `cuda-compat` runs newer CUDA on older kernel modules, on data-centre GPUs only.
fn compatibility_package(machine: &Machine, library: &Library) -> Option<Verdict> {
    let path = library.path.as_deref()?;
    let version = library.driver_version()?;
    let module = module_version(machine)?;
    if !path.contains("/compat/") || version == *module {
        return None;
    }
    let consumer = machine
        .gpus(GpuVendor::Nvidia)
        .find(|gpu| gpu.name.contains("GeForce") || gpu.name.contains("TITAN"));
    let (version, module) = (spelled(&version), spelled(module));
    let seen = format!("the loader takes `{path}` ({version}); the kernel module is {module}");
    Some(match consumer {
        Some(gpu) => {
            Verdict::problem("a compatibility library is used on a GPU it is not made for")
                .cause(Cause::DriverTooOld)
                .because(format!(
                    "The package `cuda-compat` lets an older kernel module run newer CUDA, on \
                 data-centre GPUs. On a {} CUDA ends with error 804.",
                    gpu.name
                ))
                .advise(
                    "Take its folder (`/usr/local/cuda/compat`) out of LD_LIBRARY_PATH and \
                 `/etc/ld.so.conf.d`, or choose a container image whose CUDA the driver knows",
                )
                .seen(seen)
        }
        None => Verdict::note(format!(
            "CUDA goes through the compatibility library of {version}"
        ))
        .cause(Cause::DriverTooOld)
        .because(format!(
            "It lets the kernel module {module} run newer CUDA. That works on data-centre \
                 GPUs, for the driver branches that NVIDIA lists.",
        ))
        .seen(seen),
    })
}
