//! Apple's GPUs.

use super::{Case, table::table};
use crate::doctor::{cause::Cause, ledger::Ledger};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    if case.facts.system.os.is_some() && !case.is_macos() {
        ledger.add(Cause::MacosTooOld, -1.5, "");
        ledger.add(Cause::MpsOpMissing, -1.0, "");
    }
    let torch = case
        .facts
        .cuda
        .torch
        .as_ref()
        .and_then(|torch| torch.release());
    let asks = case.saw_any(&["mps-too-old-macos", "mps-op-missing"])
        || case
            .lines
            .iter()
            .any(|line| line.text.to_lowercase().contains("mps"));
    if let Some(macos) = &case.facts.system.macos {
        // Without a known torch, the first version that had MPS at all.
        let needs = torch.and_then(|torch| table().macos_for(torch));
        let needs = needs.or_else(|| table().macos_for((1, 12)));
        if let Some(needs) = needs
            && macos.value < needs
        {
            let why = format!(
                "{} is older than the {}.{} this torch needs for MPS",
                macos.quote, needs.0, needs.1
            );
            let weight = if asks { 3.0 } else { 2.2 };
            ledger.add(Cause::MacosTooOld, weight, why);
        } else if torch.is_some() {
            ledger.add(Cause::MacosTooOld, -1.5, "");
        }
        if torch.is_some_and(|torch| torch >= (2, 9)) {
            ledger.fill("torch_old", "torch<2.9");
        }
    }
}
