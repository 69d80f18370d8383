//! Whether the installed code fits the GPU's generation.

use super::{
    Case,
    table::{Fit, Table, table},
};
use crate::{
    compat::torch::Capability,
    doctor::{cause::Cause, facts::pattern, ledger::Ledger},
};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    if case.facts.gpus.has_amd() && !case.facts.gpus.has_nvidia() {
        // What follows is about NVIDIA's numbers.
        for cause in [
            Cause::ArchTooNew,
            Cause::ArchDropped,
            Cause::ArchLacksFeature,
        ] {
            ledger.add(cause, -2.5, "");
        }
        return;
    }
    let complains = case.saw_any(&[
        "arch-not-compatible",
        "no-kernel-image",
        "gpu-too-old-said",
        "arch-unknown-to-compiler",
    ]);
    let decided = by_lists_in_the_log(case, ledger) || by_tables(case, ledger, complains);
    if !decided && complains {
        by_generation(case, ledger);
    } else if !decided {
        of_the_past(case, ledger);
    }
    feature(case, ledger);
}

/// torch names the GPU's capability and the list of its own.
fn by_lists_in_the_log(case: &Case<'_>, ledger: &mut Ledger) -> bool {
    let mut device = None;
    let mut codes: Vec<Capability> = Vec::new();
    let mut quote = String::new();
    for line in &case.lines {
        let mentioned = capabilities_in(&line.text);
        let text = line.text.to_lowercase();
        let lists = text.contains("supports cuda capabilit")
            || text.contains("arch_list")
            || text.contains("arch list")
            || mentioned.len() >= 4;
        if lists {
            codes.extend(&mentioned);
            quote = line.quote_of("sm_");
        } else if text.contains("not compatible") || text.contains("cuda capability") {
            device = device.or(mentioned.first().copied());
        }
    }
    if !codes.is_empty() {
        // A list that was broken goes on in the next line.
        codes.extend(case.passages().filter_map(listed).flatten());
    }
    let device = device.or_else(|| case.facts.gpus.capabilities().first().copied());
    let Some(device) = device else { return false };
    let fit = if codes.is_empty() {
        let mut ranges = case.lines.iter();
        ranges.find_map(|line| {
            let fit = fit_of_range(&line.text, device)?;
            quote = line.quote(0, 0);
            Some(fit)
        })
    } else {
        Some(Table::fit_codes(&codes, device))
    };
    let Some(fit) = fit else { return false };
    match fit {
        Fit::Runs => {
            let why = format!("{quote} — this includes code that runs on {device}");
            ledger.add(Cause::BenignWarning, 4.2, why);
            ledger.add(Cause::ArchTooNew, -4.0, "");
            ledger.add(Cause::ArchDropped, -4.0, "");
        }
        Fit::TooNew => {
            let why = format!("{quote} — all of it is older than the GPU's {device}");
            ledger.add(Cause::ArchTooNew, 3.6, why);
            ledger.add(Cause::ArchDropped, -3.0, "");
        }
        Fit::TooOld => {
            let why = format!("{quote} — nothing of it runs on the older {device}");
            ledger.add(Cause::ArchDropped, 3.6, why);
            ledger.add(Cause::ArchTooNew, -3.0, "");
        }
    }
    true
}

/// Where torch tells the ends of its range, `(8.0) - (12.0)` or `Maximum cuda capability … (12.0)`:
/// whether a GPU outside of it runs all the same. Within it, nothing is said.
fn fit_of_range(text: &str, gpu: Capability) -> Option<Fit> {
    let range = pattern!(
        r"(?i)\(([0-9]{1,2})\.([0-9])\) - \(([0-9]{1,2})\.([0-9])\)|maximum cuda capability[^\n]{0,60}\(([0-9]{1,2})\.([0-9])\)"
    );
    let found = range.captures(text)?;
    let end = |major: usize, minor: usize| {
        let number = |at: usize| found.get(at)?.as_str().parse().ok();
        Some(Capability(number(major)?, number(minor)?))
    };
    let highest = end(3, 4).or_else(|| end(5, 6))?;
    if gpu > highest {
        Some(Table::fit_codes(&[highest], gpu))
    } else {
        end(1, 2)
            .filter(|lowest| gpu < *lowest)
            .map(|_| Fit::TooOld)
    }
}

/// The list that a sentence of torch's ends with.
fn listed(text: &str) -> Option<Vec<Capability>> {
    let sentence = pattern!(r"(?i)(?:supports cuda capabilit\w+|arch[_ ]list\S*)([^.]+)");
    Some(capabilities_in(&sentence.captures(text)?[1]))
}

/// `sm_86`, `compute_37` in a text.
fn capabilities_in(text: &str) -> Vec<Capability> {
    let lower = text.to_lowercase();
    let mut found = Vec::new();
    for (place, _) in lower.match_indices("sm_") {
        let digits: String = lower[place + 3..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        if (2..=3).contains(&digits.len()) {
            let (major, minor) = digits.split_at(digits.len() - 1);
            if let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) {
                found.push(Capability(major, minor));
            }
        }
    }
    found
}

/// What the tables say of the torch build and the GPU.
fn by_tables(case: &Case<'_>, ledger: &mut Ledger, complains: bool) -> bool {
    let Some(torch) = &case.facts.cuda.torch else {
        return false;
    };
    if torch.is_cpu() {
        return false;
    }
    let stated = torch.cuda();
    let cuda = stated.or_else(|| torch.likely_cuda().filter(|_| complains));
    let mut decided = false;
    let mut causes: Vec<Cause> = Vec::new();
    for gpu in case.facts.gpus.capabilities() {
        let fit = table().fit(torch.release(), cuda, gpu);
        let cause = match fit {
            Some(Fit::TooNew) => Cause::ArchTooNew,
            Some(Fit::TooOld) => Cause::ArchDropped,
            Some(Fit::Runs) => {
                decided |= stated.is_some() && !complains;
                continue;
            }
            None => continue,
        };
        if causes.contains(&cause) {
            continue;
        }
        causes.push(cause);
        decided = true;
        let side = if cause == Cause::ArchTooNew {
            "newer"
        } else {
            "older"
        };
        let why = format!(
            "{} — the GPU's compute capability {gpu} is {side} than its code",
            torch.quote
        );
        // A build that was only inferred from the release is less of a reason.
        let weight = match (stated.is_some(), complains) {
            (_, true) => 3.4,
            (true, false) => 3.2,
            (false, false) => 1.0,
        };
        ledger.add(cause, weight, why);
    }
    decided
}

/// Without a build to compare with: new GPUs meet old builds, old GPUs new ones.
fn by_generation(case: &Case<'_>, ledger: &mut Ledger) {
    let all = case.facts.gpus.capabilities();
    let (Some(lowest), Some(highest)) = (all.first(), all.last()) else {
        return;
    };
    let names = |gpu: &Capability| format!("the GPU has compute capability {gpu}");
    if *lowest <= Capability(6, 2) {
        ledger.add(Cause::ArchDropped, 2.4, names(lowest));
        ledger.add(Cause::ArchTooNew, -1.0, "");
    } else if *lowest <= Capability(7, 2) {
        ledger.add(Cause::ArchDropped, 1.6, names(lowest));
    } else if *highest >= Capability(10, 0) {
        ledger.add(Cause::ArchTooNew, 2.6, names(highest));
        ledger.add(Cause::ArchDropped, -2.0, "");
    } else if *highest >= Capability(8, 0) {
        ledger.add(Cause::ArchTooNew, 1.8, names(highest));
        ledger.add(Cause::ArchDropped, -1.5, "");
    } else {
        ledger.add(Cause::ArchTooNew, 0.4, names(highest));
    }
}

/// GPUs of which programs of these years know nothing: they are there, and not used.
fn of_the_past(case: &Case<'_>, ledger: &mut Ledger) {
    let gpus = case.facts.gpus.capabilities();
    let newest = gpus.last().filter(|gpu| table().is_of_the_past(**gpu));
    let unused = case.saw_any(&["gpu-not-seen-said", "gpu-idle"]);
    if let (Some(gpu), true) = (newest, unused) {
        let why = format!("a GPU of compute capability {gpu} is older than the code of programs");
        ledger.add(Cause::ArchDropped, 2.8, why);
    }
}

/// A program states the capability it needs, and the GPU's is lower.
fn floor(case: &Case<'_>, ledger: &mut Ledger) {
    let wanted = pattern!(
        r"(?i)\b(?:needs?|requires?|required|at least|minimum(?: required)?|>=?)\W[^\n]{0,24}?capability[^0-9\n]{0,16}([0-9]{1,2})\.([0-9])|\bcapability[^0-9\n]{0,12}(?:>=?|at least|above)[^0-9\n]{0,6}([0-9]{1,2})\.([0-9])"
    );
    let gpus = case.facts.gpus.capabilities();
    let Some(highest) = gpus.last() else { return };
    let found = case.lines.iter().find_map(|line| {
        let found = wanted.captures(&line.text)?;
        let number = |at: usize, or: usize| found.get(at).or(found.get(or))?.as_str().parse().ok();
        let floor = Capability(number(1, 3)?, number(2, 4)?);
        (*highest < floor).then(|| (floor, line.quote_of(&found[0])))
    });
    if let Some((floor, quote)) = found {
        let why = format!("{quote} — the GPU has {highest}, {floor} is asked for");
        ledger.add(Cause::ArchLacksFeature, 3.8, why);
    }
}

fn feature(case: &Case<'_>, ledger: &mut Ledger) {
    floor(case, ledger);
    if case.saw("feature-needs-newer-gpu") {
        // It says itself what is lacking; a lack of kernels would have another message.
        for cause in [Cause::ArchTooNew, Cause::ArchDropped] {
            let score = ledger.score(cause);
            if score > 0.0 && !case.saw_any(&["arch-not-compatible", "gpu-too-old-said"]) {
                ledger.add(cause, -2.0, "");
            }
        }
    }
}
