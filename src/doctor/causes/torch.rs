//! The torch build itself and the packages that have to be of its release.

use super::{Case, table::table};
use crate::{
    doctor::{cause::Cause, facts::release, ledger::Ledger},
    types::Accelerator,
};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    cpu_build(case, ledger);
    absent(case, ledger);
    companions(case, ledger);
    xformers(case, ledger);
    extensions(case, ledger);
}

/// torch without GPU support, where a GPU is wanted.
fn cpu_build(case: &Case<'_>, ledger: &mut Ledger) {
    let torch = case.facts.cuda.torch.as_ref();
    let gpus = &case.facts.gpus;
    let arm = &case.facts.system.arm;
    let unavailable = case.saw_any(&[
        "cuda-not-available",
        "torch-without-cuda",
        "no-gpus-are-available",
        "gpu-idle",
        "deserialize-on-cuda",
        "cuda-build-not-collected",
    ]);
    if let Some(torch) = torch {
        if torch.is_cpu() {
            let why = format!("{} — this is a build without GPU support", torch.quote);
            // A CPU build is a fault only where a GPU is wanted.
            let wanted = gpus.has_nvidia() || unavailable || case.saw("torch-without-cuda");
            let other = case.saw_any(&[
                "winerror-126",
                "winerror-1114",
                "dll-load-failed",
                "no-matching-wheel",
                "numpy-abi",
                "openmp-twice",
                "torchvision-op-missing",
                "illegal-instruction",
            ]);
            let weight = match (wanted, other) {
                (true, _) => 3.0,
                (false, true) => -2.5,
                (false, false) => 1.8,
            };
            ledger.add(Cause::TorchCpuBuild, weight, why);
        } else if matches!(
            torch.build,
            Some(Accelerator::Cuda(..) | Accelerator::Rocm(..))
        ) {
            ledger.add(Cause::TorchCpuBuild, -3.0, "");
        }
    }
    let unlabelled = torch.is_none_or(|torch| torch.build.is_none());
    if let Some(arm) = arm.as_ref().filter(|_| !case.is_macos() && unlabelled)
        && (unavailable || case.saw("plain-pip-install-torch"))
        && (gpus.has_nvidia() || torch.is_some() || case.saw("plain-pip-install-torch"))
    {
        let why = format!(
            "{} — the default torch for arm64 Linux has long been a CPU build",
            arm.quote
        );
        ledger.add(Cause::TorchCpuBuild, 2.6, why);
    }
    let plain = case.saw("plain-pip-install-torch") && unlabelled;
    if case.is_windows() && unlabelled && (unavailable || plain) && (torch.is_some() || plain) {
        let why = "on Windows the package index has CPU builds of torch only";
        // A build for CUDA has its label in such a list.
        let listed = torch.is_some_and(|torch| torch.quote.contains("torch=="));
        ledger.add(Cause::TorchCpuBuild, if listed { 2.8 } else { 1.6 }, why);
    }
    // A driver that works, a torch that sees nothing, and no complaint about anything else.
    let driver = case.facts.cuda.driver.is_some() || case.saw("smi-works");
    let complains = case.saw_any(&[
        "found-no-driver",
        "driver-found-version",
        "driver-insufficient",
        "cuda-unknown-error",
        "smi-cannot-communicate",
        "system-not-ready-802",
        "driver-library-mismatch",
        "forward-compat-804",
        "no-cuda-device-100",
        "visible-devices-named",
    ]);
    if case.saw("cuda-not-available") && !complains && unlabelled && (driver || gpus.has_nvidia()) {
        ledger.add(Cause::TorchCpuBuild, 1.6, case.quote("cuda-not-available"));
    }
    if case.saw("cuda-not-available") && case.saw("conda-forge-torch") && unlabelled && !complains {
        ledger.add(Cause::TorchCpuBuild, 1.6, case.quote("conda-forge-torch"));
    }
    if gpus.has_amd() && !gpus.has_nvidia() {
        ledger.add(Cause::TorchCpuBuild, -0.6, "");
    }
}

/// No torch where the program looks for it.
fn absent(case: &Case<'_>, ledger: &mut Ledger) {
    if case.saw("framework-finds-no-torch") {
        let why = case.quote("framework-finds-no-torch");
        if case.saw("framework-floor") || case.facts.packages.has("torch") {
            // It is there, and refused, or it fails at import.
            ledger.add(Cause::TorchCompanionMismatch, 2.2, why.clone());
            ledger.add(Cause::TorchNotInstalled, 2.0, why);
        } else {
            let why = format!("{why} — a framework found no torch that it can import");
            ledger.add(Cause::TorchNotInstalled, 4.4, why.clone());
            ledger.add(Cause::WrongEnvironment, 1.6, why);
        }
    } else if case.saw("torch-module-missing") && !case.facts.packages.has("torch") {
        let why = case.quote("torch-module-missing");
        ledger.add(Cause::TorchNotInstalled, 1.6, why);
    }
}

/// torchvision and torchaudio have to be of torch's release and build.
fn companions(case: &Case<'_>, ledger: &mut Ledger) {
    let packages = &case.facts.packages;
    let Some(torch) = packages.get("torch") else {
        return;
    };
    let of_torch = case.facts.cuda.torch.as_ref();
    let Some(of_torch) = of_torch.filter(|t| t.version.is_some() || t.said.contains("nightly"))
    else {
        return;
    };
    let nightly = |said: &str| said.contains("nightly") || said.contains(".dev");
    for name in ["torchvision", "torchaudio"] {
        let Some(companion) = packages.get(name) else {
            continue;
        };
        if nightly(&torch.said) != nightly(&companion.said) {
            let why = format!(
                "{} beside {}: one nightly, one release",
                companion.quote, torch.quote
            );
            ledger.add(Cause::TorchCompanionMismatch, 3.4, why);
            continue;
        }
        let expected = of_torch.release().and_then(|release| match name {
            "torchvision" => table().vision_for(release),
            _ => table().audio_for(release),
        });
        let has = release(&companion.said).filter(|_| !nightly(&torch.said));
        if let (Some(expected), Some(has)) = (expected, has)
            && expected != has
        {
            let why = format!(
                "{} beside {}: it goes with {name} {}.{}",
                companion.quote, torch.quote, expected.0, expected.1
            );
            ledger.fill(
                "vision_pin",
                if name == "torchvision" {
                    format!("=={}.{}.*", expected.0, expected.1)
                } else {
                    String::new()
                },
            );
            ledger.add(Cause::TorchCompanionMismatch, 3.6, why);
        }
        let label = |said: &str| {
            let (_, label) = said.split_once('+')?;
            let end = label.find(|c: char| !c.is_ascii_alphanumeric() && c != '.');
            Some(label[..end.unwrap_or(label.len())].to_owned())
        };
        let kind = |said: &str| -> Option<String> {
            if said.to_lowercase().contains("rocm") {
                return Some("rocm".to_owned());
            }
            label(said)
        };
        if let (Some(mine), Some(theirs)) = (kind(&torch.said), kind(&companion.said)) {
            let differ =
                mine != theirs && !(mine.starts_with("rocm") && theirs.starts_with("rocm"));
            let known = |label: &str| {
                ["cu", "rocm", "cpu", "xpu"]
                    .iter()
                    .any(|k| label.starts_with(k))
            };
            if differ && known(&mine) && known(&theirs) {
                let why = format!(
                    "{} beside {}: different builds",
                    companion.quote, torch.quote
                );
                ledger.add(Cause::TorchCompanionMismatch, 3.4, why);
            }
        }
    }
    // One name, two versions: what is imported is not what is installed.
    let said = torch.said.to_lowercase();
    if said.contains("imported") && said.contains("installed") {
        let why = format!("{} — another copy is imported", torch.quote);
        ledger.add(Cause::OutsidePackagesLeakIn, 4.6, why);
        ledger.add(Cause::TorchCompanionMismatch, -3.0, "");
    }
}

/// xformers is compiled for one release of torch, until its builds for all of them.
fn xformers(case: &Case<'_>, ledger: &mut Ledger) {
    let torch = case.facts.cuda.torch.as_ref();
    let (Some(package), Some(release)) = (
        case.facts.packages.get("xformers"),
        torch.and_then(|torch| torch.release()),
    ) else {
        return;
    };
    let version = package.version.as_ref();
    let other = version.and_then(|version| table().other_torch_of_xformers(version, release));
    if let Some((major, minor)) = other {
        let why = format!(
            "{} is made for torch {major}.{minor}, there is {}.{}",
            package.quote, release.0, release.1
        );
        // It may be a bystander: torch goes on without it.
        let concerned = case.saw("extension-named") && !case.is_quiet_talk();
        let weight = if concerned { 3.2 } else { 1.0 };
        ledger.add(Cause::ExtensionForOtherTorch, weight, why);
    }
}

/// Undefined symbols: whose they are and who wanted them.
fn extensions(case: &Case<'_>, ledger: &mut Ledger) {
    for symbol in &case.facts.libraries.symbols {
        let readable = symbol.value.readable.as_deref().unwrap_or_default();
        let of_torch = ["c10::", "at::", "torch::", "caffe2::"]
            .iter()
            .any(|space| readable.contains(space))
            || symbol.value.name.starts_with("THP");
        let object = symbol
            .value
            .object
            .as_deref()
            .unwrap_or_default()
            .to_lowercase();
        let near: String = format!("{object} {}", symbol.quote.to_lowercase());
        let family = ["torchvision", "torchaudio", "torchtext", "torchcodec"]
            .iter()
            .any(|name| near.contains(name));
        let engine = near.contains("libctranslate2") || near.contains("libonnxruntime");
        let of_cuda = ["libcu", "libnv", "libtorch", "libc10", "libnccl"]
            .iter()
            .any(|name| object.starts_with(name));
        if of_torch && family {
            let why = format!("{} — this is torch's `{}`", symbol.quote, short(readable));
            ledger.add(Cause::TorchCompanionMismatch, 4.6, why);
            ledger.add(Cause::ExtensionForOtherTorch, -1.0, "");
        } else if of_torch && !of_cuda && !engine {
            let why = format!("{} — torch has no `{}` here", symbol.quote, short(readable));
            let anonymous = object.is_empty() && !case.saw("extension-named");
            let weight = if anonymous { -0.8 } else { 1.6 };
            ledger.add(Cause::ExtensionForOtherTorch, weight, why);
            if anonymous {
                // Nothing says whose module it was; torch's own companions are the likeliest.
                ledger.add(Cause::TorchCompanionMismatch, 1.2, symbol.quote.clone());
                conda_channels(case, ledger);
            }
        }
    }
    if case.saw("xformers-built-for") && case.facts.cuda.torch.as_ref().is_some_and(|t| t.is_cpu())
    {
        ledger.add(Cause::TorchCpuBuild, 1.5, case.quote("xformers-built-for"));
        ledger.add(Cause::ExtensionForOtherTorch, -2.5, "");
    }
    if let Some(package) = named_extension(case) {
        ledger.fill("package", package);
    }
}

/// A torch from one of conda's channels beside packages from another: the C++ ABI may differ.
fn conda_channels(case: &Case<'_>, ledger: &mut Ledger) {
    let Some(torch) = case.facts.packages.get("torch") else {
        return;
    };
    // Channels write their builds differently: `cpu_py38h92724a6_0`, `py3.9_cuda11.3_cudnn8_0`.
    let said = torch.said.to_lowercase();
    let hashed = said
        .split(|c: char| !c.is_ascii_alphanumeric())
        .any(|word| {
            word.rsplit_once('h').is_some_and(|(before, hash)| {
                before.starts_with("py")
                    && hash.len() == 7
                    && hash.bytes().all(|b| b.is_ascii_hexdigit())
            })
        });
    if hashed || said.contains("conda") {
        let why = format!("{} — from a channel of conda", torch.quote);
        ledger.add(Cause::TorchCompanionMismatch, 3.0, why);
    }
}

fn short(readable: &str) -> &str {
    let end = readable
        .char_indices()
        .nth(80)
        .map_or(readable.len(), |(at, _)| at);
    &readable[..end]
}

/// The extension that the failure is about, by the name it is installed under.
fn named_extension(case: &Case<'_>) -> Option<&'static str> {
    let quote = [
        "torch-symbol-undefined",
        "xformers-built-for",
        "extension-module-missing",
        "dll-load-of-extension",
    ]
    .iter()
    .map(|id| case.quote(id).to_lowercase())
    .find(|quote| !quote.is_empty())?;
    [
        ("flash", "flash-attn"),
        ("xformers", "xformers"),
        ("mmcv", "mmcv"),
        ("torch_scatter", "torch-scatter"),
        ("torch_sparse", "torch-sparse"),
        ("torch_cluster", "torch-cluster"),
        ("causal_conv1d", "causal-conv1d"),
        ("selective_scan", "mamba-ssm"),
        ("detectron2", "detectron2"),
        ("pytorch3d", "pytorch3d"),
        ("vllm", "vllm"),
        ("natten", "natten"),
        ("sageattention", "sageattention"),
    ]
    .iter()
    .find(|(seen, _)| quote.contains(seen))
    .map(|(_, package)| *package)
}
