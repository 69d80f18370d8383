//! Shared libraries: which copy comes first, and what the system's own ones are too old for.

use super::Case;
use crate::doctor::{cause::Cause, ledger::Ledger};
use crate::types::Accelerator;

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    shadowed(case, ledger);
    rocm_shadowed(case, ledger);
    c_library(case, ledger);
    windows(case, ledger);
    building(case, ledger);
    instructions(case, ledger);
}

/// Folders of LD_LIBRARY_PATH that hold another CUDA.
fn shadowed(case: &Case<'_>, ledger: &mut Ledger) {
    let path = case.evidence.env.iter().find(|(name, value)| {
        let value = value.to_lowercase();
        ["LD_LIBRARY_PATH", "LD_PRELOAD", "CUDA_HOME", "CUDA_PATH"].contains(&name.as_str())
            && ["cuda", "cudnn", "nccl", "rocm", "tensorrt"]
                .iter()
                .any(|w| value.contains(w))
    });
    let symbols = case.saw_any(&[
        "nvjitlink-symbol",
        "cudnn-version-differs",
        "cuda-older-than-built",
    ]);
    if let (Some((name, value)), true) = (path, symbols) {
        let why = format!("{name}={value} leads to another copy");
        ledger.add(Cause::LibraryPathShadows, 1.6, why);
    }
    let in_wheels = case.lines.iter().any(|line| {
        line.text.contains("site-packages/nvidia/nvjitlink")
            || line.text.contains("nvidia-nvjitlink-cu12")
    });
    if case.saw("nvjitlink-symbol") && in_wheels && path.is_none() {
        ledger.add(Cause::MixedCudaWheels, 0.8, case.quote("nvjitlink-symbol"));
    }
    if case.saw("nvidia-wheels-inconsistent") && case.saw("nvjitlink-symbol") {
        ledger.add(
            Cause::MixedCudaWheels,
            1.8,
            case.quote("nvidia-wheels-inconsistent"),
        );
    }
    if case.saw("cuda-library-missing") && !symbols {
        ledger.add(Cause::LibraryPathShadows, -0.8, "");
    } else if case.saw("cuda-library-missing")
        && !case.saw_any(&["nvjitlink-symbol", "cudnn-version-differs"])
    {
        // What is missing altogether cannot have been shadowed; what follows from it says little.
        ledger.add(Cause::LibraryPathShadows, -2.0, "");
    }
}

/// A ROCm wheel brings its own libraries; another ROCm on the system gets between.
fn rocm_shadowed(case: &Case<'_>, ledger: &mut Ledger) {
    let build = case.facts.cuda.torch.as_ref().and_then(|torch| torch.build);
    let is_rocm = matches!(build, Some(Accelerator::Rocm(..)));
    if is_rocm && case.saw("rocm-system-libs") && !case.is_wsl() {
        let why = format!(
            "{} — the wheel brings its own",
            case.quote("rocm-system-libs")
        );
        ledger.add(Cause::LibraryPathShadows, 2.2, why);
    }
}

fn c_library(case: &Case<'_>, ledger: &mut Ledger) {
    let system = &case.facts.system;
    if let (Some(has), Some(wants)) = (&system.glibc, &case.facts.libraries.wanted_glibc)
        && has.value < wants.value
    {
        let why = format!(
            "{} is older than the {}.{} that is wanted",
            has.quote, wants.value.0, wants.value.1
        );
        ledger.add(Cause::GlibcTooOld, 1.6, why);
    }
    if case.saw("glibcxx-missing") {
        // Its name contains the other's.
        ledger.add(Cause::GlibcTooOld, -0.6, "");
    }
}

fn windows(case: &Case<'_>, ledger: &mut Ledger) {
    if !case.is_windows() {
        if case.facts.system.os.is_some()
            && !case.saw_any(&["winerror-126", "winerror-1114", "vc-runtime"])
        {
            ledger.add(Cause::VcRuntimeMissing, -1.5, "");
        }
        return;
    }
    if case.saw("winerror-126") && case.saw("torch-dll") {
        ledger.add(Cause::VcRuntimeMissing, 1.0, case.quote("torch-dll"));
    }
    let torch = case.facts.cuda.torch.as_ref();
    if let Some(torch) =
        torch.filter(|torch| torch.release() == Some((2, 4)) && !torch.said.starts_with("2.4.1"))
        && case.saw_any(&["winerror-126", "libomp140"])
    {
        let why = format!(
            "{} — its fbgemm.dll wants libomp140.x86_64.dll",
            torch.quote
        );
        ledger.add(Cause::VcRuntimeMissing, 1.6, why);
    }
    let names_cuda = case.facts.libraries.lacks_cuda().is_some();
    if case.saw("winerror-126") && names_cuda {
        ledger.add(Cause::VcRuntimeMissing, -2.5, "");
    }
    if case.saw("onnxruntime-cuda-provider-failed") && names_cuda {
        ledger.add(Cause::VcRuntimeMissing, -1.5, "");
    }
}

fn building(case: &Case<'_>, ledger: &mut Ledger) {
    let compiles = case.saw_any(&[
        "building-extension",
        "built-from-source-for-want-of-wheel",
        "build-isolation",
    ]);
    if case.saw("cuda-home-not-set") && compiles {
        ledger.add(Cause::ToolkitUnfit, 0.8, "");
    }
    let torch_build = case.facts.cuda.torch.as_ref().and_then(|torch| torch.build);
    if matches!(torch_build, Some(Accelerator::Rocm(..))) {
        // No CUDA toolkit would help a torch for ROCm.
        ledger.add(Cause::ToolkitUnfit, -3.0, "");
    }
    if compiles {
        let strong = case.saw_any(&[
            "cuda-home-not-set",
            "host-compiler-unfit",
            "cuda-mismatches-torch",
        ]);
        if strong {
            ledger.add(Cause::NoWheel, -0.8, "");
            ledger.add(Cause::ArchTooNew, -1.0, "");
        }
    }
    if case.saw("build-isolation") && case.saw("module-not-found") {
        ledger.add(Cause::ToolkitUnfit, 2.4, case.quote("build-isolation"));
        ledger.add(Cause::WrongEnvironment, -1.0, "");
    }
    let torch = case.facts.cuda.torch.as_ref();
    if let Some((major, minor)) = torch.and_then(|torch| torch.likely_cuda()) {
        ledger.fill("torch_cuda", format!("{major}.{minor}"));
    }
    let stated = torch.and_then(|torch| Some((torch.cuda()?, torch.quote.clone())));
    if let (Some((torch, quote)), Some(toolkit), true) =
        (stated, &case.facts.cuda.toolkit, compiles)
        && torch.0 != toolkit.value.0
    {
        let why = format!("{} to compile for {quote}", toolkit.quote);
        ledger.add(Cause::ToolkitUnfit, 1.8, why);
    }
}

fn instructions(case: &Case<'_>, ledger: &mut Ledger) {
    if case.saw("illegal-instruction") && case.saw("avx-wanted") {
        ledger.add(Cause::CpuLacksAvx, 0.6, "");
    }
    if case.saw("avx-wanted") && !case.saw("illegal-instruction") {
        let said = ["llama-named", "torch-without-cuda", "smi-works"];
        // A processor's name alone is no complaint.
        if case.saw_any(&said) && !case.saw("avx-said") {
            ledger.add(Cause::CpuLacksAvx, -1.0, "");
        }
    }
}
