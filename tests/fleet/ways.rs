//! Ways out, taken at their word: the change is made and the tool planned again.

use std::collections::BTreeSet;

use aienv::{
    catalog::manifest::Source,
    solve::{Change, Plan, WayOut},
    tools::{PlanOptions, Wanted},
    types::PackageName,
};

use crate::{
    fleet::{Fleet, Outcome, Refusal},
    hosts::Machine,
};

/// The plan after the change, where nothing has to be built to make it, or why it is not what the
/// way out says.
pub fn take(
    fleet: &Fleet,
    tool: &Wanted,
    machine: &Machine,
    way: &WayOut,
) -> Result<Option<(Wanted, Machine, Plan)>, String> {
    let wrong = |why: &str| format!("`{}` {why}", way.text);
    let mut tool = tool.clone();
    let mut machine = machine.clone();
    let mut options = PlanOptions::default();
    machine.host = way.change.host(&machine.host).into_owned();
    match &way.change {
        Change::Accelerator(wanted) => options.accelerator = Some(*wanted),
        Change::Python(python) => options.python = Some(*python),
        Change::AllowBuild(names) => options.build.clone_from(names),
        Change::ToolVersion(version) => tool.wishes.version = Some(version.clone()),
        Change::TorchIndexes => machine.torch_index = true,
        Change::Driver(_) | Change::Macos(_) | Change::DeviceAccess => {}
        Change::DropOnlyWheels => return Err(wrong("drops an option that was not given")),
    }
    let plan = match (fleet.plan(&tool, &machine, &options), &way.change) {
        (Outcome::Plan(plan), _) => plan,
        // What a build would tell is open, and the refusal then names the build.
        (Outcome::Refusal(refusal), Change::AllowBuild(names))
            if way.result.is_none() && waits_for_a_build(&refusal, names) =>
        {
            return Ok(None);
        }
        (Outcome::Refusal(refusal), _) => {
            return Err(wrong(&format!("fails: {}", refusal.lines.join("; "))));
        }
    };
    as_the_checker_reads(&mut tool, &way.change);
    let Some(result) = &way.result else {
        // Only what takes a server that does not answer may leave its result open.
        return match way.change {
            Change::TorchIndexes => Ok(Some((tool, machine, *plan))),
            _ => Err(wrong("does not say what it gives")),
        };
    };
    let lock = &plan.lock;
    if lock.version != result.version || lock.accelerator != result.accelerator {
        let text = format!("gives {} on {}", lock.version, lock.accelerator);
        return Err(wrong(&text));
    }
    Ok(Some((tool, machine, *plan)))
}

/// Whether a refusal comes of a package of these that tells what it needs only when it is built.
fn waits_for_a_build(refusal: &Refusal, names: &BTreeSet<PackageName>) -> bool {
    refusal.lines.iter().any(|line| {
        let of_these = names
            .iter()
            .any(|name| line.trim().starts_with(name.as_ref()));
        of_these && line.contains("is known only after building it")
    })
}

/// The manifest after a change: what the user asks for, a manifest might.
fn as_the_checker_reads(tool: &mut Wanted, change: &Change) {
    let manifest = &mut tool.loaded.manifest;
    match change {
        Change::AllowBuild(names) => {
            let names = names.iter().map(ToString::to_string);
            manifest.packages.build.extend(names);
        }
        Change::ToolVersion(version) => {
            if let Source::Index(source) = &mut manifest.source {
                source.version = format!("=={version}").parse().unwrap();
            }
            // What it says of toolkits it says of the releases it is made for.
            for needs in manifest.accelerators.values_mut() {
                needs.version = "".parse().unwrap();
            }
        }
        _ => {}
    }
}
