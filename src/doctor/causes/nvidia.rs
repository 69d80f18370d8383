//! NVIDIA's driver, its kernel modules, the hardware below and the variables above.

use super::{
    Case,
    table::{release_of, table},
};
use crate::doctor::{cause::Cause, ledger::Ledger};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    driver_age(case, ledger);
    driver_branch(case, ledger);
    driver_halves(case, ledger);
    kernel_module(case, ledger);
    uvm(case, ledger);
    no_gpu(case, ledger);
    visible_devices(case, ledger);
    modes(case, ledger);
    cuda_works(case, ledger);
}

/// A driver that is older than the CUDA of the program allows is too old, whatever the log says.
fn driver_age(case: &Case<'_>, ledger: &mut Ledger) {
    let cuda = &case.facts.cuda;
    let os = case.facts.system.os;
    let torch = cuda.torch.as_ref();
    let gpus = case.facts.gpus.capabilities();
    if let Some(build) = table().best_build(
        torch.and_then(|torch| torch.release()),
        cuda.driver.as_ref().map(|known| &known.value),
        cuda.driver_cuda.as_ref().map(|known| known.value),
        &gpus,
        os,
    ) {
        ledger.fill("build", build);
    }
    let complains = case.saw_any(&["driver-insufficient", "driver-found-version"])
        || (case.saw("cuda-not-available")
            && (cuda.driver_cuda.is_some() || cuda.driver.is_some()));
    let likely = torch.and_then(|torch| {
        let of_old = || {
            torch
                .release()
                .and_then(|release| table().default_cuda(release))
        };
        torch.likely_cuda().or_else(of_old)
    });
    let toolkit = cuda.toolkit.as_ref().filter(|_| complains);
    let wanted = cuda
        .wanted()
        .map(|known| (known.value, known.quote))
        .or_else(|| toolkit.map(|known| (known.value, known.quote.clone())))
        .or_else(|| {
            let torch = torch.filter(|_| complains)?;
            Some((likely?, torch.quote.clone()))
        });
    let Some((wanted, from)) = wanted else { return };
    let (major, minor) = wanted;
    if let Some(supported) = &cuda.driver_cuda {
        let (has, has_minor) = supported.value;
        // Before CUDA 11 minor versions counted as well.
        if has < major || (major < 11 && (has, has_minor) < wanted) {
            let why = format!(
                "the driver supports CUDA {has}.{has_minor} ({}), the program carries {major}.{minor} ({from})",
                supported.quote
            );
            ledger.add(Cause::DriverTooOld, 4.5, why);
            return;
        }
        if (has, has_minor) < wanted && complains {
            ledger.add(Cause::DriverTooOld, 1.0, "");
        }
    }
    let floor = table().driver_floor(wanted, os);
    if let (Some(driver), Some(floor)) = (&cuda.driver, floor) {
        if driver.value < floor {
            let why = format!(
                "{} is older than {floor}, which CUDA {major}.{minor} needs ({from})",
                driver.quote
            );
            ledger.add(Cause::DriverTooOld, 4.5, why);
        } else if !complains {
            ledger.add(Cause::DriverTooOld, -1.0, "");
        }
    }
}

/// Branches of the driver drive certain generations; Blackwell wants the open module.
fn driver_branch(case: &Case<'_>, ledger: &mut Ledger) {
    let silent = case.saw_any(&[
        "no-devices-found",
        "rm-init-adapter",
        "smi-cannot-communicate",
    ]);
    let driver = case.facts.cuda.driver.as_ref();
    for gpu in &case.facts.gpus.nvidia {
        let Some(branch) = gpu.value.capability.and_then(|c| table().branch(c)) else {
            continue;
        };
        let name = &gpu.value.name;
        if branch.open {
            ledger.fill("driver_package", "nvidia-driver-580-open");
            ledger.fill("branch", "the open kernel module of 570 or newer");
            if case.saw("no-devices-found") {
                let why = format!(
                    "{name} is {} and works with the open kernel module only",
                    branch.generation
                );
                ledger.add(Cause::DriverDoesNotSupportGpu, 2.4, why);
            } else if silent {
                ledger.add(Cause::DriverDoesNotSupportGpu, 0.6, "");
            }
        } else if let Some(last) = &branch.last {
            if case.saw("open-driver") && branch.first.is_none() {
                let why = format!(
                    "{name} is {}, too old for the open kernel module",
                    branch.generation
                );
                ledger.add(Cause::DriverDoesNotSupportGpu, 2.4, why);
            }
            ledger.fill("driver_package", format!("nvidia-driver-{last}"));
            ledger.fill(
                "branch",
                format!("{last}, the last one for {}", branch.generation),
            );
        }
        let Some(driver) = driver else { continue };
        let Some((major, _)) = release_of(&driver.value) else {
            continue;
        };
        let last = branch.last.as_ref().and_then(release_of);
        if let Some((last, _)) = last.filter(|(last, _)| major > *last) {
            let weight = if silent || !case.saw("smi-works") {
                3.6
            } else {
                1.0
            };
            let why = format!(
                "{name} is {}, whose last driver branch is {last}; {} is newer",
                branch.generation, driver.quote
            );
            ledger.add(Cause::DriverDoesNotSupportGpu, weight, why);
        }
        if let Some(first) = branch.first.as_ref().filter(|first| driver.value < **first) {
            let why = format!(
                "{name} is {}, which drivers know from {first} on; {} is older",
                branch.generation, driver.quote
            );
            // A GPU that nvidia-smi lists is driven all the same.
            let listed = gpu.quote.starts_with("nvidia-smi");
            let weight = match (silent, listed) {
                (true, _) => 3.4,
                (false, true) => 1.4,
                (false, false) => 2.8,
            };
            ledger.add(Cause::DriverDoesNotSupportGpu, weight, why);
        }
    }
}

/// The kernel module's version and the libraries' are stated and differ.
fn driver_halves(case: &Case<'_>, ledger: &mut Ledger) {
    let version_in = |words: &[&str]| {
        case.evidence.facts.iter().find_map(|(name, value)| {
            let name = name.to_lowercase();
            if !words.iter().any(|word| name.contains(word)) {
                return None;
            }
            let version: String = value
                .chars()
                .skip_while(|c| !c.is_ascii_digit())
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            (version.len() > 5).then_some(version)
        })
    };
    let module = version_in(&[
        "kernel_module",
        "module_version",
        "proc_driver",
        "kernel_driver",
    ]);
    let library = version_in(&[
        "library",
        "userspace",
        "user_space",
        "package",
        "libnvidia",
        "libcuda",
        "nvml",
    ]);
    if let (Some(module), Some(library)) = (module, library)
        && module.trim_end_matches('.') != library.trim_end_matches('.')
    {
        let why = format!("the kernel module is {module}, the libraries are {library}");
        ledger.add(Cause::DriverLibraryMismatch, 4.6, why);
    }
}

fn kernel_module(case: &Case<'_>, ledger: &mut Ledger) {
    let named = case.facts.gpus.has_nvidia();
    if case.is_wsl() {
        // WSL has no NVIDIA module of its own.
        ledger.add(Cause::KernelModuleNotLoaded, -3.0, "");
    }
    if case.saw("smi-cannot-communicate") && named {
        ledger.add(Cause::NoNvidiaGpu, -1.0, "");
    }
    if case.saw("nvidia-nodes-missing") && named && !case.is_container() {
        // What the module makes when it is loaded.
        let why = case.quote("nvidia-nodes-missing");
        ledger.add(Cause::KernelModuleNotLoaded, 1.8, why);
    }
    if case.saw("secure-boot")
        && !named
        && !case.saw_any(&[
            "smi-cannot-communicate",
            "modprobe-nvidia-fails",
            "key-rejected",
            "nvml-driver-not-loaded",
            "dkms-nvidia-failed",
        ])
    {
        // Secure Boot alone breaks nothing.
        ledger.add(Cause::KernelModuleNotLoaded, -1.6, "");
    }
    if case.saw("key-rejected") && case.facts.gpus.has_amd() && !named {
        ledger.add(Cause::KernelModuleNotLoaded, -2.0, "");
        ledger.add(Cause::KfdMissing, 2.0, case.quote("key-rejected"));
    }
}

fn uvm(case: &Case<'_>, ledger: &mut Ledger) {
    let unknown = case.saw("cuda-unknown-error");
    if unknown && case.saw_any(&["after-sleep", "uvm-named"]) {
        ledger.add(Cause::UvmNotUsable, 1.0, "");
    }
    if case.saw("after-sleep")
        && !unknown
        && case.saw_any(&[
            "no-cuda-device-100",
            "no-gpus-are-available",
            "cuda-not-available",
            "smi-works",
        ])
    {
        ledger.add(Cause::UvmNotUsable, 1.6, case.quote("after-sleep"));
    }
    if unknown && case.saw("smi-works") {
        ledger.add(Cause::UvmNotUsable, 0.8, case.quote("smi-works"));
    }
}

/// No GPU of NVIDIA's is in the machine.
fn no_gpu(case: &Case<'_>, ledger: &mut Ledger) {
    let gpus = &case.facts.gpus;
    if gpus.has_nvidia() {
        // It may be the name of what is missing; most often it is what is there.
        ledger.add(Cause::NoNvidiaGpu, -2.0, "");
    }
    if gpus.has_amd() || case.saw("amd-machine") {
        ledger.add(Cause::NoNvidiaGpu, -2.4, "");
        if case.saw("no-nvidia-gpu-said") {
            // That is why a build for one is wrong here.
            ledger.add(Cause::NoNvidiaGpu, -1.5, "");
        }
    } else if case.is_wsl() && case.saw("no-cuda-device-100") {
        // The card is Windows', and WSL may not see it.
        ledger.add(Cause::NoNvidiaGpu, -1.5, "");
    } else if let Some(intel) = gpus.intel.as_ref().filter(|_| !gpus.has_nvidia()) {
        let why = format!("{intel} — the graphics are Intel's");
        ledger.add(Cause::NoNvidiaGpu, 3.2, why);
    }
    if case.is_macos()
        && case.saw_any(&[
            "torch-without-cuda",
            "found-no-driver",
            "no-cuda-device-100",
            "deserialize-on-cuda",
            "cuda-not-available",
        ])
    {
        ledger.add(
            Cause::NoNvidiaGpu,
            4.0,
            "no Mac of these years has an NVIDIA GPU",
        );
        ledger.add(Cause::TorchCpuBuild, -3.0, "");
    }
}

/// Variables that leave no GPU to be seen.
fn visible_devices(case: &Case<'_>, ledger: &mut Ledger) {
    let gpus = case.facts.gpus.nvidia.len().max(case.facts.gpus.amd.len());
    let stated = case.evidence.facts.iter().find_map(|(name, value)| {
        let is_count =
            ["gpu_count", "gpus", "num_gpus", "n_gpus", "device_count"].contains(&name.as_str());
        value.trim().parse::<usize>().ok().filter(|_| is_count)
    });
    let count = stated.or((gpus > 0).then_some(gpus));
    let set: Vec<(String, String)> = case
        .evidence
        .env
        .iter()
        .cloned()
        .chain(case.facts.assigned_devices.iter().cloned())
        .collect();
    for (name, value) in &set {
        let name = name.to_uppercase();
        let is_visible = [
            "CUDA_VISIBLE_DEVICES",
            "HIP_VISIBLE_DEVICES",
            "ROCR_VISIBLE_DEVICES",
            "NVIDIA_VISIBLE_DEVICES",
            "GPU_DEVICE_ORDINAL",
        ]
        .contains(&name.as_str());
        if !is_visible {
            continue;
        }
        let first = value.trim().trim_matches(['\'', '"']).to_lowercase();
        let first = first
            .split([' ', ',', '('])
            .next()
            .unwrap_or_default()
            .to_owned();
        // Somebody wrote down that it is not set: `(unset)`, `not set`.
        let in_brackets = value.trim_start().starts_with('(') && !value.contains("empty");
        if in_brackets || ["not", "unset", "undefined", "null"].contains(&first.as_str()) {
            continue;
        }
        let said = format!("{name} is `{value}`");
        if ["", "-1", "none", "void", "empty", "nodevfiles"].contains(&first.as_str()) {
            ledger.add(
                Cause::VisibleDevicesHideGpu,
                3.6,
                format!("{said}: it leaves no GPU"),
            );
        } else if let (Ok(index), Some(count)) = (first.parse::<usize>(), count) {
            if index >= count && !case.saw("mig") {
                let why = format!("{said}, and there is {count} GPU, counted from 0");
                ledger.add(Cause::VisibleDevicesHideGpu, 3.2, why);
            } else {
                ledger.add(Cause::VisibleDevicesHideGpu, -1.2, "");
            }
        }
    }
    let works = case.saw_any(&["works-elsewhere", "cuda-available-true"]);
    if works && case.saw_any(&["no-gpus-are-available", "no-cuda-device-100"]) {
        let why = "the GPU is there for other programs, so this one has it hidden";
        ledger.add(Cause::VisibleDevicesHideGpu, 2.6, why);
    }
    if case.saw("cuda-unknown-error") && case.evidence.env.is_empty() {
        // torch's own message guesses at this variable.
        ledger.add(Cause::VisibleDevicesHideGpu, -0.4, "");
    }
}

fn modes(case: &Case<'_>, ledger: &mut Ledger) {
    if case.is_quiet_talk() {
        // A mode that somebody chose is no fault by itself.
        ledger.add(Cause::ModeRestrictsAccess, -6.0, "");
    }
    if case.saw("mig")
        && case.saw_any(&[
            "no-gpus-are-available",
            "no-cuda-device-100",
            "invalid-device-ordinal",
            "cuda-not-available",
            "devices-busy",
            "cuda-unknown-error",
        ])
    {
        ledger.add(Cause::ModeRestrictsAccess, 1.8, case.quote("mig"));
        ledger.add(Cause::VisibleDevicesHideGpu, -1.5, "");
    }
    if case.saw("devices-busy") && case.is_wsl() {
        ledger.add(
            Cause::WslTooOld,
            2.0,
            "in WSL this comes from versions without working GPU support",
        );
        ledger.add(Cause::ModeRestrictsAccess, -1.5, "");
    }
}

/// A working CUDA rules out what would keep it from working.
fn cuda_works(case: &Case<'_>, ledger: &mut Ledger) {
    if !case.saw("cuda-available-true") || case.saw("works-elsewhere") {
        return;
    }
    for cause in [
        Cause::TorchCpuBuild,
        Cause::KernelModuleNotLoaded,
        Cause::DriverTooOld,
        Cause::NoNvidiaGpu,
        Cause::ContainerNoGpuFlag,
        Cause::ContainerToolkit,
        Cause::DriverLibraryMismatch,
        Cause::UvmNotUsable,
        Cause::VisibleDevicesHideGpu,
        Cause::WslLibcudaNotOnPath,
        Cause::WslTooOld,
        Cause::DriverDoesNotSupportGpu,
        Cause::FabricManagerNotRunning,
    ] {
        ledger.add(cause, -2.5, "");
    }
}
