//! How long planning takes when no network is involved: `cargo bench --bench fleet`; with names of
//! tools behind `--`, their plans only.
//!
//! Over the recorded indexes of `tests/fleet`:
//!
//! - the whole fleet: every tool of the catalogue for every machine, on all cores;
//! - one plan each: every tool for one machine with an NVIDIA GPU, by a manager that has planned
//!   nothing before, the index's pages read but once before (a warm plan);
//! - the most memory the process had.
#![allow(clippy::unwrap_used)]

#[path = "../../tests/fleet/fleet.rs"]
#[allow(dead_code)]
mod fleet;
#[path = "../../tests/fleet/hosts.rs"]
#[allow(dead_code)]
mod hosts;
#[path = "../../tests/fleet/record.rs"]
#[allow(dead_code)]
mod record;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../../tests/fleet/trees.rs"]
#[allow(dead_code)]
mod trees;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aienv::tools::PlanOptions;
use fleet::{Fleet, Outcome};
use hosts::{Machine, machines};
use record::RecordedIndex;

/// The machine of the single plans.
const MACHINE: &str = "RTX 4090, driver 580";

/// Rounds of the single plans; the median is told.
const ROUNDS: usize = 5;

fn main() {
    let start = Instant::now();
    let index = Arc::new(RecordedIndex::open());
    println!(
        "reading the record of {}: {:.2} s",
        index.as_of,
        start.elapsed().as_secs_f64()
    );
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    if named.is_empty() {
        whole_fleet(&index);
    }
    let whole = peak().filter(|_| named.is_empty());
    single_plans(&index, &named);
    println!("{}", index.hint());
    if let Some(bytes) = whole {
        println!("\npeak memory of the whole fleet: {} MB", bytes / 1_000_000);
    }
}

fn whole_fleet(index: &Arc<RecordedIndex>) {
    let machines = machines();
    let fleet = Fleet::over(index.clone());
    let tools = fleet.tools();
    let start = Instant::now();
    let outcomes = fleet.plan_all(&tools, &machines);
    let took = start.elapsed();
    let plans = outcomes
        .iter()
        .flatten()
        .filter(|o| matches!(o, Outcome::Plan(_)))
        .count();
    println!(
        "whole fleet: {} tools × {} machines, {plans} plans and {} refusals in {:.1} s on {} cores",
        tools.len(),
        machines.len(),
        tools.len() * machines.len() - plans,
        took.as_secs_f64(),
        std::thread::available_parallelism().map_or(1, usize::from)
    );
}

/// Of all tools, or of those named.
fn single_plans(index: &Arc<RecordedIndex>, named: &[String]) {
    let machines = machines();
    let machine = machines
        .iter()
        .find(|machine| machine.name == MACHINE)
        .unwrap();
    let tools = Fleet::over(index.clone()).tools();
    let mut rows: Vec<(usize, Duration, &str)> = Vec::new();
    for tool in &tools {
        let name = &tool.loaded.manifest.name;
        if !named.is_empty() && !named.contains(name) {
            continue;
        }
        let mut packages = 0;
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let (count, took) = plan_once(index, tool, machine);
                packages = count;
                took
            })
            .collect();
        times.sort();
        rows.push((packages, times[ROUNDS / 2], name));
    }
    rows.sort();
    println!("\none plan for {MACHINE}, median of {ROUNDS}, largest last:");
    for (packages, took, name) in rows {
        println!(
            "  {name:20} {packages:4} packages  {:7.1} ms",
            took.as_secs_f64() * 1000.0
        );
    }
}

/// A plan by a manager that knows nothing yet: the packages in it, and the time.
fn plan_once(
    index: &Arc<RecordedIndex>,
    tool: &aienv::tools::Wanted,
    machine: &Machine,
) -> (usize, Duration) {
    let fleet = Fleet::over(index.clone());
    let start = Instant::now();
    let outcome = fleet.plan(tool, machine, &PlanOptions::default());
    let took = start.elapsed();
    let packages = match outcome {
        Outcome::Plan(plan) => plan.lock.packages.len(),
        Outcome::Refusal(_) => 0,
    };
    (packages, took)
}

/// The most memory that this process had, in bytes, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}
