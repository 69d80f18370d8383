//! `docs/machines.md`: what each tool runs on, on a choice of machines.

use aienv::{solve::Plan, tools::Wanted};

use crate::{
    fleet::Outcome,
    hosts::Machine,
    record::{AGAIN, RecordedIndex},
};

/// The page, which a test compares and a command writes.
pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/machines.md");

/// How it is written.
pub const WRITE: &str = "cargo test --test fleet -- --ignored write_machines";

/// The page's text.
pub fn page(
    index: &RecordedIndex,
    tools: &[Wanted],
    machines: &[Machine],
    outcomes: &[Vec<Outcome>],
) -> String {
    let torch = if index.torch_answered {
        "The torch wheel indexes were recorded as well."
    } else {
        "The torch wheel indexes could not be reached that day; their pages are derived from the \
         builds that `manifests/compat/torch.toml` names."
    };
    let mut text = format!(
        "<!-- Written by `{WRITE}`; a test compares. -->\n\
         # Which build on which machine\n\n\
         What aienv plans for the tools of the catalogue on {} simulated machines, a choice of \
         which is shown here. The package indexes behind it are those of {}, recorded. {torch}\n\n\
         | cell | what it says |\n|---|---|\n\
         | `cu130`, `rocm7.2`, `xpu`, `mps` | the GPU is used, by builds for that version |\n\
         | `cpu` | runs, on the processor; the tool has no use for this GPU, or no build for it |\n\
         | `…*` | an older version of the tool than on most machines |\n\
         | `…†` | with a condition or a setting that the plan tells: device access, an override, a \
         hidden card, little memory |\n\
         | — | no plan; the refusal says why, and what would help |\n\n\
         Every machine, with versions, reasons and ways out, is in \
         [`tests/fleet/snapshots/`](../tests/fleet/snapshots/), one file per tool; the machines \
         themselves are in [`tests/fleet/hosts.toml`](../tests/fleet/hosts.toml). `aienv plan TOOL \
         --host box.json` answers for a machine that is not among them.\n",
        machines.len(),
        index.as_of,
    );
    for heading in headings(machines) {
        text += &format!("\n## {heading}\n\n");
        text += &table(&heading, tools, machines, outcomes);
    }
    text += &format!(
        "\n<!-- After a change of the solver or the facts: `INSTA_UPDATE=always cargo test --test \
         fleet`, then `{WRITE}`. New recordings: `{AGAIN}`. -->\n"
    );
    text
}

/// Heading and column of a machine that has one.
fn column(machine: &Machine) -> Option<(&str, &str)> {
    machine.column.as_deref()?.split_once(": ")
}

/// The headings in the order in which machines first name them.
fn headings(machines: &[Machine]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (heading, _) in machines.iter().filter_map(column) {
        if !found.iter().any(|known| known == heading) {
            found.push(heading.to_owned());
        }
    }
    found
}

fn table(
    heading: &str,
    tools: &[Wanted],
    machines: &[Machine],
    outcomes: &[Vec<Outcome>],
) -> String {
    let columns: Vec<(usize, &str)> = machines
        .iter()
        .enumerate()
        .filter_map(|(at, machine)| Some((at, column(machine)?)))
        .filter(|(_, (of, _))| *of == heading)
        .map(|(at, (_, name))| (at, name))
        .collect();
    let names: Vec<&str> = columns.iter().map(|(_, name)| *name).collect();
    let mut text = format!(
        "| tool | {} |\n|---{}|\n",
        names.join(" | "),
        "|---".repeat(names.len())
    );
    for (tool, of_tool) in tools.iter().zip(outcomes) {
        let newest = newest(of_tool);
        let cells: Vec<String> = columns
            .iter()
            .map(|(at, _)| cell(&of_tool[*at], newest))
            .collect();
        text += &format!(
            "| {} | {} |\n",
            tool.loaded.manifest.title,
            cells.join(" | ")
        );
    }
    text
}

/// The newest version of the tool that any machine gets.
fn newest(outcomes: &[Outcome]) -> Option<&aienv::types::Version> {
    let plans = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Plan(plan) => Some(&plan.lock.version),
        Outcome::Refusal(_) => None,
    });
    plans.max()
}

fn cell(outcome: &Outcome, newest: Option<&aienv::types::Version>) -> String {
    let Outcome::Plan(plan) = outcome else {
        return "—".to_owned();
    };
    let older = if Some(&plan.lock.version) < newest {
        "*"
    } else {
        ""
    };
    let condition = if has_condition(plan) { "†" } else { "" };
    format!("{}{older}{condition}", plan.lock.accelerator)
}

/// Whether using the GPU takes something that the plan sets or tells.
fn has_condition(plan: &Plan) -> bool {
    let on_gpu = plan.lock.accelerator.kind() != "cpu";
    let told = ["render", "/dev/", "GPU memory", "left out"];
    let tells = plan
        .notes
        .iter()
        .any(|note| told.iter().any(|part| note.contains(part)));
    on_gpu && (!plan.lock.environment.is_empty() || tells)
}
