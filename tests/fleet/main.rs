//! A fleet of simulated machines: every tool of the catalogue is planned for every one of them,
//! offline, from recorded indexes.
//!
//! - `hosts.toml` has the machines, `index.bin` the recorded indexes, `trees.toml` what source
//!   trees require, `snapshots/` what each machine gets;
//! - `cargo test --test fleet -- --ignored record --nocapture` records anew;
//! - `cargo test --test fleet -- --ignored serve --nocapture` serves the record to the program.
#![allow(clippy::unwrap_used)]

mod check;
mod derive;
mod docs;
mod fleet;
mod hosts;
mod mutations;
mod record;
mod recorder;
mod serve;
mod statements;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod trees;
mod ways;
mod witness;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use aienv::{host::Host, tools::Wanted};

use check::Checker;
use fleet::{Fleet, Outcome};
use hosts::{Machine, machines};
use rayon::prelude::*;
use record::RecordedIndex;

/// Everything planned once, for all tests.
struct Planned {
    index: Arc<RecordedIndex>,
    machines: Vec<Machine>,
    tools: Vec<Wanted>,
    /// For each tool the outcomes in the order of the machines.
    outcomes: Vec<Vec<Outcome>>,
    fleet: Fleet,
}

static PLANNED: LazyLock<Planned> = LazyLock::new(|| {
    let index = Arc::new(RecordedIndex::open());
    let fleet = Fleet::over(index.clone());
    let machines = machines();
    let tools = fleet.tools();
    let outcomes = fleet.plan_all(&tools, &machines);
    Planned {
        index,
        machines,
        tools,
        outcomes,
        fleet,
    }
});

impl Planned {
    /// Every tool, machine and outcome.
    fn all(&self) -> Vec<(&Wanted, &Machine, &Outcome)> {
        let mut all = Vec::new();
        for (tool, outcomes) in self.tools.iter().zip(&self.outcomes) {
            let of_tool = self.machines.iter().zip(outcomes);
            all.extend(of_tool.map(|(machine, outcome)| (tool, machine, outcome)));
        }
        all
    }
}
#[test]
fn the_fleet_is_large_and_every_machine_is_possible() {
    let machines = machines();
    let names: BTreeSet<_> = machines.iter().map(|machine| &machine.name).collect();
    assert_eq!(names.len(), machines.len(), "two machines have one name");
    assert!(machines.len() >= 120);
    assert_eq!(machines.iter().filter(|machine| machine.named).count(), 13);
    // What no machine can be is refused when it is read.
    let folder = tempfile::tempdir().unwrap();
    for machine in &machines {
        let file = folder.path().join("host.json");
        std::fs::write(&file, serde_json::to_vec(&machine.host).unwrap()).unwrap();
        assert_eq!(Host::load(&file).unwrap(), machine.host, "{}", machine.name);
    }
}

#[test]
fn the_table_of_gpus_agrees_with_the_fleet() {
    let checker = Checker::new(PLANNED.index.clone());
    for machine in &PLANNED.machines {
        for gpu in &machine.host.gpus {
            let differs = checker.differs_from_table(gpu);
            assert!(differs.is_none(), "{}: {differs:?}", gpu.name);
        }
    }
}

#[test]
fn every_machine_gets_what_it_got() {
    let planned = &*PLANNED;
    let mut changed = Vec::new();
    for (tool, outcomes) in planned.tools.iter().zip(&planned.outcomes) {
        let manifest = &tool.loaded.manifest;
        let text = table::of_tool(&manifest.title, &planned.machines, outcomes);
        let compare = || {
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(manifest.name.as_str(), text);
            });
        };
        if catch_unwind(AssertUnwindSafe(compare)).is_err() {
            changed.push(manifest.name.as_str());
        }
    }
    assert!(
        changed.is_empty(),
        "the plans of these tools have changed: {}{}",
        changed.join(", "),
        planned.index.hint()
    );
}

#[test]
fn every_plan_is_right() {
    let planned = &*PLANNED;
    let checker = Checker::new(planned.index.clone());
    let wrong: Vec<String> = planned
        .all()
        .par_iter()
        .flat_map_iter(|(tool, machine, outcome)| {
            let manifest = &tool.loaded.manifest;
            let violations = match outcome {
                Outcome::Plan(plan) => checker.check(machine, manifest, plan),
                Outcome::Refusal(_) => Vec::new(),
            };
            violations
                .into_iter()
                .map(|violation| format!("{} on {}: {violation}", manifest.name, machine.name))
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} mistakes:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_way_out_leads_where_it_says() {
    let planned = &*PLANNED;
    let checker = Checker::new(planned.index.clone());
    let all = planned.all();
    let wrong: Vec<String> = all
        .par_iter()
        .flat_map_iter(|(tool, machine, outcome)| {
            let manifest = &tool.loaded.manifest;
            let checker = &checker;
            outcome.ways().iter().filter_map(move |way| {
                let taken = ways::take(&planned.fleet, tool, machine, way);
                let why = match taken {
                    Err(why) => why,
                    Ok(None) => return None,
                    Ok(Some((tool, machine, plan))) => {
                        let manifest = &tool.loaded.manifest;
                        let violations = checker.check(&machine, manifest, &plan);
                        format!("`{}`: {}", way.text, violations.first()?)
                    }
                };
                Some(format!("{} on {}: {why}", manifest.name, machine.name))
            })
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} mistakes:\n{}{}",
        wrong.len(),
        wrong.join("\n"),
        planned.index.hint()
    );
}

#[test]
fn no_machine_is_given_less_than_another_plan_shows_possible() {
    let planned = &*PLANNED;
    let checker = Checker::new(planned.index.clone());
    let mut needless = Vec::new();
    for (tool, outcomes) in planned.tools.iter().zip(&planned.outcomes) {
        let witnesses = witness::different(&planned.machines, outcomes);
        let of_tool = planned.machines.par_iter().zip(outcomes);
        let manifest = &tool.loaded.manifest;
        needless.par_extend(of_tool.filter_map(|(machine, outcome)| {
            witness::needless(&checker, manifest, machine, outcome, &witnesses)
        }));
    }
    assert!(
        needless.is_empty(),
        "{} cases:\n{}",
        needless.len(),
        needless.join("\n")
    );
}

#[test]
fn what_is_said_of_a_machine_is_true_of_it() {
    let planned = &*PLANNED;
    let statements = statements::statements();
    let mut wrong = Vec::new();
    let mut counts = vec![0; statements.len()];
    for (tool, machine, outcome) in planned.all() {
        let said = table::said(outcome);
        for (statement, count) in statements.iter().zip(&mut counts) {
            let (false_ones, found) = statement.judge(&said, machine);
            *count += found;
            let name = &tool.loaded.manifest.name;
            wrong.extend(
                false_ones
                    .into_iter()
                    .map(|text| format!("{name} on {}: {text}", machine.name)),
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "{} mistakes:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // A form that nobody uses any more checks nothing.
    for (statement, count) in statements.iter().zip(counts) {
        assert!(count > 0, "nobody says `{}`", statement.pattern);
    }
}

/// What `docs/machines.md` should say.
fn machines_page() -> String {
    let planned = &*PLANNED;
    docs::page(
        &planned.index,
        &planned.tools,
        &planned.machines,
        &planned.outcomes,
    )
}

#[test]
fn the_page_of_machines_is_up_to_date() {
    let page = std::fs::read_to_string(docs::FILE).unwrap_or_default();
    assert!(
        page == machines_page(),
        "docs/machines.md is stale; write it anew: {}",
        docs::WRITE
    );
}

#[test]
#[ignore = "writes docs/machines.md"]
fn write_machines() {
    std::fs::write(docs::FILE, machines_page()).unwrap();
}

#[test]
#[ignore = "asks the real indexes and writes tests/fleet/index.bin"]
fn record() {
    recorder::record();
}

#[test]
#[ignore = "serves the recorded indexes on the loopback until it is ended"]
fn serve_indexes() {
    let folder = tempfile::tempdir().unwrap();
    serve::serve(RecordedIndex::open(), &machines(), folder.path());
}
