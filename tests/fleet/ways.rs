//! Ways out, taken at their word: the change is made and the tool planned again.

use aienv::{
    catalog::manifest::Source,
    solve::{Change, Plan, WayOut},
    tools::{PlanOptions, Wanted},
};

use crate::{
    fleet::{Fleet, Outcome},
    hosts::Machine,
};

/// The plan after the change, or why it is not what the way out says.
pub fn take(
    fleet: &Fleet,
    tool: &Wanted,
    machine: &Machine,
    way: &WayOut,
) -> Result<(Wanted, Machine, Plan), String> {
    let wrong = |why: &str| format!("`{}` {why}", way.text);
    let mut tool = tool.clone();
    let mut machine = machine.clone();
    let mut options = PlanOptions::default();
    machine.host = way.change.host(&machine.host).into_owned();
    match &way.change {
        Change::Accelerator(wanted) => options.accelerator = Some(*wanted),
        Change::Python(python) => options.python = Some(*python),
        Change::AllowBuild(names) => {
            options.build.clone_from(names);
            // For the checker: what the user allows, the manifest might.
            let allowed = &mut tool.loaded.manifest.packages.build;
            allowed.extend(names.iter().map(ToString::to_string));
        }
        Change::ToolVersion(version) => {
            let Source::Index(source) = &mut tool.loaded.manifest.source else {
                return Err(wrong("asks for another version of a source tree"));
            };
            source.version = format!("=={version}").parse().unwrap();
        }
        Change::TorchIndexes => machine.torch_index = true,
        Change::Driver(_) | Change::DeviceAccess => {}
        Change::DropOnlyWheels => return Err(wrong("drops an option that was not given")),
    }
    let plan = match fleet.plan(&tool, &machine, &options) {
        Outcome::Plan(plan) => plan,
        Outcome::Refusal(refusal) => {
            return Err(wrong(&format!("fails: {}", refusal.lines.join("; "))));
        }
    };
    let Some(result) = &way.result else {
        // Only what takes a server that does not answer may leave its result open.
        return match way.change {
            Change::TorchIndexes => Ok((tool, machine, *plan)),
            _ => Err(wrong("does not say what it gives")),
        };
    };
    let lock = &plan.lock;
    if lock.version != result.version || lock.accelerator != result.accelerator {
        let text = format!("gives {} on {}", lock.version, lock.accelerator);
        return Err(wrong(&text));
    }
    Ok((tool, machine, *plan))
}
