//! Packages that cannot go together: NumPy, onnxruntime, bitsandbytes, llama.cpp, TensorRT.

use super::Case;
use crate::doctor::{cause::Cause, facts::release, ledger::Ledger};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    numpy(case, ledger);
    two_onnxruntimes(case, ledger);
    bitsandbytes(case, ledger);
    llama(case, ledger);
}

/// The reverse case: a package made for NumPy 2 on NumPy 1.
pub(super) fn wants_newer_numpy(case: &Case<'_>) -> bool {
    case.lines.iter().any(|line| {
        let text = line.text.to_lowercase();
        text.contains("expected 88 from c header") || text.contains("no module named 'numpy._core")
    })
}

fn numpy(case: &Case<'_>, ledger: &mut Ledger) {
    let numpy = case.facts.packages.get("numpy");
    let major = numpy
        .and_then(|numpy| release(&numpy.said))
        .map(|(major, _)| major);
    if let (Some(2), true) = (major, case.saw("numpy-abi")) {
        let quote = numpy.map(|numpy| numpy.quote.clone()).unwrap_or_default();
        ledger.add(Cause::Numpy2Abi, 0.8, quote);
    }
}

fn two_onnxruntimes(case: &Case<'_>, ledger: &mut Ledger) {
    let packages = &case.facts.packages;
    let (cpu, gpu) = (packages.get("onnxruntime"), packages.get("onnxruntime-gpu"));
    if let (Some(cpu), Some(gpu)) = (cpu, gpu) {
        let why = format!("{} and {} share one folder", cpu.quote, gpu.quote);
        // Together they do harm only where onnxruntime is what fails.
        let concerned = case.saw("onnxruntime-no-cuda-provider")
            || case.saw("onnxruntime-in-log")
            || case.evidence.log.is_empty();
        ledger.add(
            Cause::TwoOnnxruntimes,
            if concerned { 3.8 } else { 1.0 },
            why,
        );
    } else if let (Some(cpu), None) = (cpu, gpu)
        && case.saw("onnxruntime-no-cuda-provider")
    {
        ledger.add(Cause::TwoOnnxruntimes, 1.0, cpu.quote.clone());
    } else if gpu.is_some() && case.saw("onnxruntime-no-cuda-provider") {
        ledger.add(
            Cause::TwoOnnxruntimes,
            0.8,
            case.quote("onnxruntime-no-cuda-provider"),
        );
    }
}

fn bitsandbytes(case: &Case<'_>, ledger: &mut Ledger) {
    let package = case.facts.packages.get("bitsandbytes");
    if !case.saw("bitsandbytes-named") && package.is_none() {
        return;
    }
    let version = package.and_then(|package| release(&package.said));
    if let (Some(version), Some(package)) = (version, package)
        && case.is_windows()
        && version < (0, 43)
    {
        let why = format!(
            "{} — releases before 0.43 have no library for Windows",
            package.quote
        );
        ledger.add(Cause::BitsandbytesNoBinary, 3.4, why);
    }
    let old = version.is_none_or(|version| version < (0, 43));
    if case.is_windows()
        && old
        && case.saw_any(&["bitsandbytes-cudart-not-found", "bitsandbytes-no-library"])
    {
        let why = "on Windows releases before 0.43 look for Linux files and find none";
        ledger.add(Cause::BitsandbytesNoBinary, 2.6, why);
        ledger.add(Cause::CudaLibsNotOnPath, -1.5, "");
    }
    if case.saw("bitsandbytes-library-loaded")
        && case.facts.libraries.lacks_cuda().is_some()
        && !case.is_windows()
    {
        // Its own library is there; one that it needs is not.
        ledger.add(Cause::BitsandbytesNoBinary, -2.5, "");
    }
    if case.facts.gpus.has_amd() && !case.facts.gpus.has_nvidia() {
        ledger.add(
            Cause::CudaTorchOnAmd,
            2.6,
            "bitsandbytes was long for CUDA only",
        );
        ledger.add(Cause::CudaLibsNotOnPath, -2.5, "");
    }
    let torch_is_cpu = case
        .facts
        .cuda
        .torch
        .as_ref()
        .is_some_and(|torch| torch.is_cpu());
    if torch_is_cpu && case.saw("bitsandbytes-no-library") {
        ledger.add(
            Cause::TorchCpuBuild,
            1.6,
            case.quote("bitsandbytes-no-library"),
        );
    }
    if case.saw("bitsandbytes-cudart-not-found") && case.is_wsl() && case.saw("libcuda-missing") {
        ledger.add(
            Cause::WslLibcudaNotOnPath,
            1.4,
            case.quote("libcuda-missing"),
        );
    }
}

fn llama(case: &Case<'_>, ledger: &mut Ledger) {
    let named = case.saw("llama-named") || case.facts.packages.has("llama-cpp-python");
    if named && case.saw("gpu-idle") {
        ledger.add(Cause::LlamaCppWithoutGpu, 2.2, case.quote("gpu-idle"));
    }
    if !named && case.saw_any(&["gpu-idle", "gpu-not-seen-said"]) && case.saw("torch-tool-named") {
        // What the package index has for Windows computes on the processor.
        let weight = if case.is_windows() { 2.2 } else { 1.2 };
        ledger.add(Cause::TorchCpuBuild, weight, case.quote("torch-tool-named"));
        ledger.add(Cause::LlamaCppWithoutGpu, -2.0, "");
    }
    if !named && case.saw("gpu-idle") {
        if case.facts.cuda.torch.is_some() || case.saw("cuda-not-available") {
            ledger.add(Cause::TorchCpuBuild, 1.2, case.quote("gpu-idle"));
            ledger.add(Cause::LlamaCppWithoutGpu, -1.6, "");
        }
        if case.saw("onnxruntime-named") {
            ledger.add(Cause::TwoOnnxruntimes, 2.0, case.quote("gpu-idle"));
            ledger.add(Cause::LlamaCppWithoutGpu, -2.0, "");
        }
    }
    if case.saw("llama-without-gpu") && case.saw("cuda-home-not-set") {
        ledger.add(Cause::ToolkitUnfit, -0.5, "");
    }
}
