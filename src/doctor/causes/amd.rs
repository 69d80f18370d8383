//! AMD GPUs and ROCm.

use super::{
    Case,
    table::{Fit, table},
};
use crate::{
    doctor::{cause::Cause, ledger::Ledger},
    types::Accelerator,
};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    targets(case, ledger);
    kernel_driver(case, ledger);
    two_gpus(case, ledger);
    cuda_build(case, ledger);
}

/// Whether the build has code for the GPU's target, and whether another target's would do.
fn targets(case: &Case<'_>, ledger: &mut Ledger) {
    let complains = case.saw("hip-no-code");
    let overridden = case.saw("hsa-override");
    let rocm = case.facts.cuda.rocm.as_ref().map(|known| known.value);
    let torch = case.facts.cuda.torch.as_ref();
    let (rocm, of_torch) = match torch.and_then(|torch| torch.build) {
        Some(Accelerator::Rocm(major, minor)) => (Some((major, minor)), true),
        _ => (rocm, false),
    };
    let built = &case.facts.gpus.built_gfx;
    for gpu in &case.facts.gpus.amd {
        let Some(gfx) = gpu.value.gfx.as_deref() else {
            continue;
        };
        if gpu.value.integrated && case.facts.gpus.amd.len() > 1 {
            continue;
        }
        let listed = (!built.is_empty()).then(|| built.iter().any(|known| known == gfx));
        let fit = match listed {
            Some(true) => Some(Fit::Runs),
            _ => table().rocm_has(gfx, rocm, of_torch),
        };
        if let Some(build) = table().rocm_build_for(gfx) {
            ledger.fill("rocm_build", build);
        }
        let quote = &gpu.quote;
        if let Some(value) = table().override_for(gfx) {
            ledger.fill("override", value);
            let natively = fit == Some(Fit::Runs);
            // The runtime took the GPU and only code is missing: the other target's will do.
            let stopgap = table().is_stopgap(gfx);
            let only_code = case.saw("hip-invalid-function");
            if stopgap && !only_code && !overridden {
                if complains || fit == Some(Fit::TooNew) {
                    let why = format!("{quote} — {gfx} is newer than this ROCm");
                    ledger.add(Cause::GfxNotInWheel, 2.6, why);
                }
                continue;
            }
            let unused = case.saw_any(&["gpu-not-seen-said", "gpu-idle"]);
            let weight = match (complains, overridden) {
                (true, _) => 2.8,
                (false, true) => 1.6,
                (false, false) if unused => 2.4,
                (false, false) => 1.0,
            };
            if unused {
                // Builds for AMD leave out what they have no code for.
                ledger.add(Cause::LlamaCppWithoutGpu, -1.5, "");
            }
            if !natively || overridden {
                let why =
                    format!("{quote} — {gfx} has the instructions of another target, {value}");
                ledger.add(Cause::GfxNeedsOverride, weight, why);
                ledger.add(Cause::GfxNotInWheel, -1.0, "");
            }
            if natively && only_code && !overridden {
                // The build names the target and the runtime finds no code for it all the same.
                ledger.add(Cause::GfxNeedsOverride, 0.8, quote.clone());
            }
            continue;
        }
        match fit {
            Some(side @ (Fit::TooNew | Fit::TooOld)) => {
                let reason = if side == Fit::TooNew {
                    "newer than"
                } else {
                    "not, or no longer, in"
                };
                let why = format!("{quote} — {gfx} is {reason} this ROCm");
                let weight = if complains || listed == Some(false) {
                    3.0
                } else {
                    2.6
                };
                ledger.add(Cause::GfxNotInWheel, weight, why);
                ledger.add(Cause::GfxNeedsOverride, -1.2, "");
            }
            None if complains => {
                let why = format!("{quote} — no override is known for {gfx}");
                ledger.add(Cause::GfxNotInWheel, 1.8, why);
                ledger.add(Cause::GfxNeedsOverride, -0.6, "");
            }
            Some(Fit::Runs) if complains => {
                // It should run; if code is missing all the same, it is this build that lacks it.
                ledger.add(Cause::GfxNotInWheel, 0.6, quote.clone());
                ledger.add(Cause::GfxNeedsOverride, -0.6, "");
            }
            _ => {}
        }
        if listed == Some(false) {
            let why = format!("{gfx} is not among the targets of the build");
            ledger.add(Cause::GfxNotInWheel, 1.2, why);
        }
    }
    if case.facts.gpus.amd.is_empty() && complains && !case.saw("amd-machine") {
        // The words alone may be about NVIDIA.
        ledger.add(Cause::GfxNotInWheel, -1.2, "");
        ledger.add(Cause::GfxNeedsOverride, -1.2, "");
    }
}

/// `/dev/kfd`: absent, or there and refused.
fn kernel_driver(case: &Case<'_>, ledger: &mut Ledger) {
    let in_groups = case.evidence.facts.iter().any(|(name, value)| {
        let name = name.to_lowercase();
        ["groups", "user_groups", "id", "user groups", "my groups"].contains(&name.as_str())
            && value.split([' ', ',']).any(|group| group == "render")
    });
    if in_groups {
        ledger.add(Cause::NotInRenderGroup, -3.0, "");
        if case.saw("kfd-permission") {
            ledger.add(
                Cause::KfdMissing,
                1.5,
                "the user is in the group, so it is the driver",
            );
        }
    }
    // torch for ROCm speaks of CUDA as well; with an AMD GPU it means AMD's devices.
    let amd_only = case.facts.gpus.has_amd() && !case.facts.gpus.has_nvidia();
    if amd_only
        && case.saw_any(&[
            "no-gpus-are-available",
            "cuda-not-available",
            "no-cuda-device-100",
        ])
    {
        for cause in [
            Cause::VisibleDevicesHideGpu,
            Cause::ModeRestrictsAccess,
            Cause::ContainerNoGpuFlag,
            Cause::KernelModuleNotLoaded,
        ] {
            if ledger.score(cause) > 0.0 && !case.saw("visible-devices-named") {
                ledger.add(cause, -2.0, "");
            }
        }
        if case.saw("kfd-permission") {
            ledger.add(Cause::NotInRenderGroup, 1.0, case.quote("kfd-permission"));
        }
    }
    if case.saw("amdgpu-dkms-failed") && case.saw("kfd-permission") {
        ledger.add(Cause::NotInRenderGroup, -1.0, "");
    }
    if case.saw("kfd-not-in-dev") {
        // Who looks for it as a command is refused for another reason.
        ledger.add(Cause::KfdMissing, 5.2, case.quote("kfd-not-in-dev"));
        ledger.add(Cause::NotInRenderGroup, -3.0, "");
    }
    if case.saw("kfd-absent") && case.saw("kfd-permission-denied") {
        ledger.add(Cause::KfdMissing, -1.0, "");
    }
    let virtual_machine = case.saw("not-linux-for-kfd");
    if virtual_machine && case.saw_any(&["rock-not-loaded", "kfd-absent"]) {
        ledger.add(Cause::KfdMissing, 1.2, case.quote("not-linux-for-kfd"));
    }
    if virtual_machine && !(case.saw("amd-machine") || case.facts.gpus.has_amd()) {
        ledger.add(Cause::KfdMissing, -2.0, "");
    }
}

/// A card and the processor's own graphics.
fn two_gpus(case: &Case<'_>, ledger: &mut Ledger) {
    let gpus = &case.facts.gpus.amd;
    let own = gpus.iter().find(|gpu| gpu.value.integrated);
    let card = gpus
        .iter()
        .find(|gpu| !gpu.value.integrated && gpu.value.gfx.is_some());
    let amd = case.saw("amd-machine") || !gpus.is_empty();
    if let (Some(own), Some(card)) = (own, card) {
        let why = format!(
            "{} and {}: a card and the processor's graphics",
            card.quote, own.quote
        );
        ledger.add(Cause::IgpuSelected, 2.0, why);
        if case.saw_any(&["hip-no-code", "igpu-wrong-device"]) {
            ledger.add(Cause::IgpuSelected, 2.0, "");
            ledger.add(Cause::GfxNeedsOverride, -1.0, "");
            ledger.add(Cause::GfxNotInWheel, -1.0, "");
        }
    }
    let fails = case.saw_any(&[
        "hip-no-code",
        "cuda-out-of-memory",
        "crash",
        "hsa-out-of-resources",
    ]);
    if case.saw("igpu-is-first") && card.is_some() && fails {
        // Memory and code are lacking on the device that was taken.
        ledger.add(Cause::IgpuSelected, 2.0, case.quote("igpu-is-first"));
        ledger.add(Cause::VramOutOfMemory, -2.5, "");
        ledger.add(Cause::GfxNeedsOverride, -1.0, "");
        ledger.add(Cause::GfxNotInWheel, -1.0, "");
    }
    if !amd {
        ledger.add(Cause::IgpuSelected, -3.0, "");
    } else if own.is_some() && card.is_none() && gpus.len() == 1 {
        // The graphics are all there is; nothing was mixed up.
        ledger.add(Cause::IgpuSelected, -1.8, "");
    }
}

/// Something made for CUDA on an AMD machine.
fn cuda_build(case: &Case<'_>, ledger: &mut Ledger) {
    let gpus = &case.facts.gpus;
    let amd = gpus.has_amd() || case.saw("amd-machine");
    if !amd || gpus.has_nvidia() {
        ledger.add(Cause::CudaTorchOnAmd, -2.0, "");
        return;
    }
    let quote = gpus
        .amd
        .first()
        .map_or_else(|| case.quote("amd-machine"), |gpu| gpu.quote.clone());
    let torch = case.facts.cuda.torch.as_ref();
    let build = torch.and_then(|torch| torch.build);
    match build {
        Some(Accelerator::Cuda(..)) => {
            let what = torch.map(|torch| torch.quote.clone()).unwrap_or_default();
            ledger.add(Cause::CudaTorchOnAmd, 4.2, format!("{quote} with {what}"));
        }
        Some(Accelerator::Rocm(..)) => ledger.add(Cause::CudaTorchOnAmd, -1.5, ""),
        // The label may be left out; what came with it may not.
        _ if case.saw("cuda-wheels") => {
            let why = format!("{quote} with {}", case.quote("cuda-wheels"));
            ledger.add(Cause::CudaTorchOnAmd, 3.4, why);
        }
        _ => {}
    }
    if case.saw_any(&[
        "found-no-driver",
        "driver-insufficient",
        "no-cuda-device-100",
        "smi-not-found",
        "libcuda-missing",
        "smi-cannot-communicate",
        "torch-without-cuda",
    ]) {
        let why = format!("{quote} — and the program looks for NVIDIA's driver");
        ledger.add(Cause::CudaTorchOnAmd, 2.8, why);
        for cause in [
            Cause::ContainerNoGpuFlag,
            Cause::DriverTooOld,
            Cause::KernelModuleNotLoaded,
        ] {
            ledger.add(cause, -1.5, "");
        }
    }
    if case.saw("cuda-only-on-amd") {
        ledger.add(Cause::CudaTorchOnAmd, 1.2, quote);
    }
    let cuda_only = ["xformers", "flash-attn", "bitsandbytes"];
    if let Some(name) = cuda_only.iter().find(|name| case.facts.packages.has(name))
        && matches!(build, Some(Accelerator::Rocm(..)))
    {
        ledger.add(
            Cause::CudaTorchOnAmd,
            2.4,
            format!("{name} beside a torch for ROCm"),
        );
        if case.saw("cuda-home-not-set") {
            ledger.add(Cause::CudaTorchOnAmd, 2.4, case.quote("cuda-home-not-set"));
        }
    }
}
