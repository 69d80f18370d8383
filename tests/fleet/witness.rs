//! Plans of other machines as witnesses. Where a plan that was made for one machine passes every
//! check on another, that other machine must not be refused, left with its processor, or given an
//! older version of the tool.

use std::collections::HashSet;

use aienv::{
    catalog::manifest::{AcceleratorKind, Manifest},
    lock::Lock,
};

use crate::{
    check::{Checker, kind_of},
    fleet::Outcome,
    hosts::Machine,
};

/// The different plans of a tool, each with the machine it was first made for.
pub fn different<'a>(
    machines: &'a [Machine],
    outcomes: &'a [Outcome],
) -> Vec<(&'a Machine, &'a Lock)> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for (machine, outcome) in machines.iter().zip(outcomes) {
        if let Outcome::Plan(plan) = outcome {
            let lock = &plan.lock;
            let files = lock
                .packages
                .iter()
                .map(|package| package.artifact.file_name.as_str());
            let files: Vec<&str> = files.collect();
            if seen.insert((lock.accelerator, lock.python.version().clone(), files)) {
                found.push((machine, lock));
            }
        }
    }
    found
}

/// What one of these plans shows to be needless in what a machine got.
pub fn needless(
    checker: &Checker,
    manifest: &Manifest,
    machine: &Machine,
    outcome: &Outcome,
    witnesses: &[(&Machine, &Lock)],
) -> Option<String> {
    let better = |lock: &Lock| match outcome {
        Outcome::Refusal(_) => Some("refused"),
        Outcome::Plan(plan) => {
            let own = &plan.lock;
            let on_processor = |lock: &Lock| kind_of(lock.accelerator) == AcceleratorKind::Cpu;
            if on_processor(own) && !on_processor(lock) {
                Some("left with its processor")
            } else if lock.version > own.version
                && kind_of(lock.accelerator) == kind_of(own.accelerator)
            {
                Some("given an older version")
            } else {
                None
            }
        }
    };
    witnesses.iter().find_map(|(from, lock)| {
        let what = better(lock)?;
        checker.fits(machine, manifest, lock).then(|| {
            format!(
                "{} on {} is {what}, and the plan of {} ({} {} on {}) would do",
                manifest.name,
                machine.name,
                from.name,
                manifest.name,
                lock.version,
                lock.accelerator
            )
        })
    })
}
