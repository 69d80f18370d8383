//! `nvidia.kernel-module`

use super::{Check, has_nvidia_module, module_version, nvidia_on_bus, remedy, spelled};
use crate::{
    compat::cuda::Capability,
    doctor::{
        Cause,
        machine::{Machine, ModuleFiles, Verdict, builds::cuda_builds_for},
    },
    host::Gpu,
};

pub(super) const CHECK: Check = Check {
    id: "nvidia.kernel-module",
    looks_at: "the kernel's modules, their files for this kernel, DKMS, modprobe's configuration, \
               Secure Boot",
    why: "Without NVIDIA's module in the kernel an NVIDIA GPU cannot compute, whatever is \
          installed besides.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let gpus = nvidia_on_bus(machine);
    let Some(gpu) = gpus.first() else {
        return Vec::new();
    };
    if has_nvidia_module(machine) {
        return vec![loaded(machine)];
    }
    if gpus.iter().all(|gpu| is_too_old(gpu, machine)) {
        return vec![
            Verdict::note(format!("{} has no driver that computes", gpu.name)).because(
                "It is older than the GPUs that any build of PyTorch for this processor has \
                 kernels for, so nothing is lost: programs compute on the processor.",
            ),
        ];
    }
    vec![missing(machine, gpu)]
}

fn loaded(machine: &Machine) -> Verdict {
    let driver = machine.host.nvidia.as_ref();
    let flavour = match driver.and_then(|driver| driver.open_module) {
        Some(true) => " (open)",
        _ => "",
    };
    Verdict::works(match module_version(machine) {
        Some(version) => format!("NVIDIA kernel module {}{flavour}", spelled(version)),
        None => "NVIDIA kernel module".to_owned(),
    })
}

/// No build of torch has code for it.
fn is_too_old(gpu: &Gpu, machine: &Machine) -> bool {
    gpu.compute_capability.is_some_and(|(major, minor)| {
        cuda_builds_for(Capability(major, minor), machine.host.cpu.arch).is_empty()
    })
}

/// Why the module is not there, nearest reason first.
fn missing(machine: &Machine, gpu: &Gpu) -> Verdict {
    let name = &gpu.name;
    let verdict = |title: String| {
        Verdict::problem(title)
            .cause(Cause::KernelModuleNotLoaded)
            .seen(match &gpu.kernel_driver {
                Some(driver) => format!("the kernel driver of {name} is {driver}"),
                None => format!("{name} has no kernel driver"),
            })
    };
    if machine.in_container() {
        return verdict(format!("the kernel has no driver for {name}"))
            .because(
                "A container uses the kernel of the machine that runs it, and that kernel has not \
                 loaded NVIDIA's module.",
            )
            .fix(remedy(machine, "install-nvidia-driver", &[]));
    }
    let empty = ModuleFiles::default();
    let files = machine.kernel.missing("nvidia").unwrap_or(&empty);
    let is_installed =
        files.file.is_some() || !files.sources.is_empty() || !files.other_kernels.is_empty();
    let nouveau = matches!(
        gpu.kernel_driver.as_deref(),
        Some("nouveau" | "nova" | "nova_core")
    );
    if nouveau && !is_installed {
        return install(
            machine,
            verdict(format!("{name} runs with nouveau, which cannot compute")).because(
                "nouveau is the kernel's own driver for NVIDIA cards: it shows pictures and has \
                 no CUDA. NVIDIA's driver is not installed.",
            ),
        );
    }
    if let Some(file) = &files.switched_off_by {
        return switched_off(
            verdict(format!("NVIDIA's module is switched off by `{file}`")),
            file,
        );
    }
    if let Some(option) = blacklisting_option(machine) {
        return verdict("NVIDIA's module is switched off on the kernel's command line".to_owned())
            .because(format!("The kernel was started with `{option}`."))
            .advise("Take that option out of the boot loader's configuration and restart")
            .seen(option);
    }
    match &files.file {
        Some(_) if nouveau => verdict(format!("nouveau holds {name}, not NVIDIA's driver"))
            .because(
                "NVIDIA's driver is installed for this kernel, but nouveau took the card first, \
                 and a card has one driver at a time.",
            )
            .fix(remedy(machine, "stop-nouveau", &[])),
        Some(file) => not_loaded(machine, files, verdict, file),
        None => not_built(machine, files, verdict, name),
    }
}

fn switched_off(verdict: Verdict, file: &str) -> Verdict {
    verdict
        .because(
            "A file of modprobe's configuration keeps it from being loaded. Tools that switch a \
             laptop to its integrated graphics (prime-select, envycontrol, supergfxctl) write \
             such files.",
        )
        .advise(
            "Switch the NVIDIA GPU on with the tool that switched it off (`sudo prime-select \
             on-demand`, `envycontrol -s hybrid`), or take the line out of the file; then \
             restart",
        )
        .seen(format!("`{file}` names the module nvidia"))
}

fn blacklisting_option(machine: &Machine) -> Option<&str> {
    let options = machine.kernel.options.iter();
    options.map(String::as_str).find(|option| {
        option
            .split_once("blacklist=")
            .is_some_and(|(_, modules)| modules.split(',').any(|module| module == "nvidia"))
    })
}

/// The file is there for this kernel.
fn not_loaded(
    machine: &Machine,
    files: &ModuleFiles,
    verdict: impl Fn(String) -> Verdict,
    file: &str,
) -> Verdict {
    let kernel = &machine.kernel;
    let may_be_refused = kernel.secure_boot == Some(true) && kernel.refuses_unsigned != Some(false);
    if may_be_refused {
        let said = match files.signed {
            Some(false) => "The module carries no signature at all.",
            _ => {
                "A module built on this machine is signed with a key of this machine, which the \
                  firmware trusts only once the key is enrolled."
            }
        };
        return verdict("Secure Boot keeps NVIDIA's module out of the kernel".to_owned())
            .sure(if files.signed == Some(false) {
                0.95
            } else {
                0.85
            })
            .because(format!(
                "The module is built for this kernel and not loaded. With Secure Boot on, the \
                 kernel takes only modules signed with a key it trusts. {said}"
            ))
            .fix(remedy(machine, "enrol-key", &[]))
            .fix(remedy(machine, "load-module", &[("module", "nvidia")]))
            .seen("Secure Boot is on")
            .seen(format!("`{file}` is there and not loaded"));
    }
    verdict("NVIDIA's module is installed and not loaded".to_owned())
        .sure(0.9)
        .because("It is built for this kernel, and nothing on this machine forbids it.")
        .fix(remedy(machine, "load-module", &[("module", "nvidia")]))
        .seen(format!("`{file}` is there and not loaded"))
}

/// There is no file for this kernel.
fn not_built(
    machine: &Machine,
    files: &ModuleFiles,
    verdict: impl Fn(String) -> Verdict,
    name: &str,
) -> Verdict {
    let release = machine
        .host
        .os
        .kernel
        .as_deref()
        .unwrap_or("the running one");
    let values = [("release", release), ("module", "nvidia")];
    if !files.kernel_folder && !files.other_kernels.is_empty() {
        return verdict("the kernel was updated and the machine not restarted".to_owned())
            .because(format!(
                "The modules of the running kernel ({release}) are gone from the disk; those of \
                 {} are there, with NVIDIA's.",
                super::listed(&files.other_kernels)
            ))
            .advise("Restart the machine")
            .seen(format!("`/lib/modules/{release}` is not there"));
    }
    if files.failed_builds.iter().any(|kernel| kernel == release) {
        return verdict(format!(
            "NVIDIA's module could not be built for kernel {release}"
        ))
        .because(
            "DKMS tried and left its log. Mostly the headers of the kernel are missing, the \
                 compiler is another one than the kernel's, or the kernel is newer than the \
                 driver knows.",
        )
        .fix(remedy(machine, "build-module", &values))
        .fix(remedy(machine, "read-build-log", &values))
        .seen(format!("DKMS left a build log for {release} and no module"));
    }
    if !files.other_kernels.is_empty() || !files.sources.is_empty() {
        let headers = match files.headers {
            true => "",
            false => " The headers that a build needs are not installed.",
        };
        let mut found = verdict(format!(
            "NVIDIA's module was not built for kernel {release}"
        ))
        .because(format!(
            "The driver is installed, but each kernel needs a module of its own, and the \
                 running one has none.{headers}"
        ))
        .fix(remedy(machine, "build-module", &values));
        if !files.other_kernels.is_empty() {
            found = found.seen(format!(
                "the module is there for {}",
                super::listed(&files.other_kernels)
            ));
        }
        if !files.sources.is_empty() {
            found = found.seen(format!(
                "its sources are there: {}",
                super::listed(&files.sources)
            ));
        }
        return found;
    }
    install(
        machine,
        verdict(format!("no driver is installed for {name}"))
            .because("NVIDIA's kernel module is neither loaded nor anywhere on the disk."),
    )
}

/// What installing the driver takes on this machine.
fn install(machine: &Machine, verdict: Verdict) -> Verdict {
    let verdict = verdict.fix(remedy(machine, "install-nvidia-driver", &[]));
    match machine.kernel.secure_boot {
        Some(true) => verdict
            .fix(remedy(machine, "enrol-key", &[]))
            .seen("Secure Boot is on: the kernel takes only modules whose key it trusts"),
        _ => verdict,
    }
}
