//! What is left when hardly anything is known: a hint where the surroundings allow one guess.
//!
//! These rules look at what the others found, and keep quiet where that is more than little.

use super::{Case, table::table};
use crate::doctor::{
    cause::Cause,
    ledger::{Ledger, UNKNOWN},
};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    benign(case, ledger);
    named_only(case, ledger);
    let strongest = Cause::ALL
        .iter()
        .map(|cause| ledger.score(*cause))
        .fold(0.0, f64::max);
    if strongest < UNKNOWN {
        default_torch_on_arm(case, ledger);
        newer_build_is_slow(case, ledger);
    }
    if strongest < UNKNOWN && case.evidence.log.iter().all(|line| line.trim().is_empty()) {
        blackwell_without_a_word(case, ledger);
    }
}

/// torch from the default index on arm64 with an NVIDIA GPU: long a CPU build.
fn default_torch_on_arm(case: &Case<'_>, ledger: &mut Ledger) {
    let Some(torch) = &case.facts.cuda.torch else {
        return;
    };
    let Some(arm) = &case.facts.system.arm else {
        return;
    };
    let default = torch.build.is_none() && torch.release().is_some_and(|release| release < (2, 11));
    if default && case.facts.gpus.has_nvidia() && !case.is_macos() {
        let why = format!(
            "{} on {} — the index's arm64 wheel of it has no CUDA",
            torch.quote, arm.quote
        );
        ledger.add(Cause::TorchCpuBuild, 2.4, why);
    }
}

/// A warning is the fault only where nothing else is.
fn benign(case: &Case<'_>, ledger: &mut Ledger) {
    let serious = Cause::ALL
        .iter()
        .filter(|cause| **cause != Cause::BenignWarning)
        .map(|cause| ledger.score(*cause))
        .fold(0.0, f64::max);
    let said = case.saw_any(&["said-harmless", "amdgpu-builtin"]);
    if serious > 3.0 && !said && ledger.score(Cause::BenignWarning) < 4.0 {
        ledger.add(Cause::BenignWarning, -2.5, "");
    }
}

/// A name is no failure.
fn named_only(case: &Case<'_>, ledger: &mut Ledger) {
    for (name, cause) in [
        ("extension-named", Cause::ExtensionForOtherTorch),
        ("building-extension", Cause::ToolkitUnfit),
    ] {
        if case.saw(name) && ledger.score(cause) <= 1.0 {
            ledger.add(cause, -1.0, "");
        }
    }
}

/// A program got slow with a build for a newer CUDA: the driver is too old for it, and the
/// processor does the work.
fn newer_build_is_slow(case: &Case<'_>, ledger: &mut Ledger) {
    if case.saw("newer-cuda-build") && case.saw_any(&["slow", "gpu-idle"]) {
        ledger.add(Cause::DriverTooOld, 2.0, case.quote("newer-cuda-build"));
    }
}

/// A Blackwell card on Linux, and nothing but the system is told: the first thing that goes wrong
/// with these cards is the closed kernel module.
fn blackwell_without_a_word(case: &Case<'_>, ledger: &mut Ledger) {
    let blackwell = case.lines.iter().find(|line| {
        let text = line.text.to_lowercase();
        text.contains("blackwell") || text.contains("rtx 50")
    });
    let named = case.facts.gpus.nvidia.iter().find(|gpu| {
        let branch = gpu.value.capability.and_then(|c| table().branch(c));
        branch.is_some_and(|branch| branch.open)
    });
    let quote = named
        .map(|gpu| gpu.quote.clone())
        .or_else(|| blackwell.map(|line| line.quote(0, 0)));
    let bare = case.facts.packages.iter().next().is_none() && case.facts.system.is_bare_linux();
    if let Some(quote) = quote.filter(|_| bare) {
        let why = format!("{quote} — Blackwell works with the open kernel module only");
        ledger.add(Cause::DriverDoesNotSupportGpu, 3.4, why);
    }
}
