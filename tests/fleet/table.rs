//! What each machine gets, as text: one table per tool, one line per machine.

use aienv::solve::Plan;

use crate::{
    check::planned,
    fleet::{Outcome, Refusal},
    hosts::Machine,
};

/// A dash for what is not there.
const NONE: &str = "—";

/// The table of one tool.
pub fn of_tool(title: &str, machines: &[Machine], outcomes: &[Outcome]) -> String {
    let mut rows =
        vec![["machine", "build", "Python", "version", "torch", "notes"].map(str::to_owned)];
    rows.extend(
        machines
            .iter()
            .zip(outcomes)
            .map(|(machine, outcome)| row(machine, outcome)),
    );
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut text = format!("{title}\n\n");
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += &format!("{cell:width$}  ");
        }
        line += &row[5];
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn row(machine: &Machine, outcome: &Outcome) -> [String; 6] {
    match outcome {
        Outcome::Plan(plan) => {
            let lock = &plan.lock;
            let python = lock.python.version().release();
            [
                machine.name.clone(),
                lock.accelerator.to_string(),
                format!("{}.{}", python[0], python[1]),
                lock.version.to_string(),
                planned(lock, "torch").map_or_else(|| NONE.to_owned(), ToString::to_string),
                notes(plan).join("; "),
            ]
        }
        Outcome::Refusal(refusal) => [
            machine.name.clone(),
            NONE.to_owned(),
            NONE.to_owned(),
            NONE.to_owned(),
            NONE.to_owned(),
            in_one_line(refusal),
        ],
    }
}

/// Everything that is said of an outcome but its ways out.
pub fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Plan(plan) => plan.notes.join("; "),
        Outcome::Refusal(refusal) => refusal.lines.join("; "),
    }
}

fn notes(plan: &Plan) -> Vec<String> {
    let mut notes: Vec<String> = plan
        .lock
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    notes.extend(plan.notes.iter().cloned());
    notes.extend(
        plan.ways
            .iter()
            .map(|way| format!("for the GPU, {}", way.text)),
    );
    notes
}

/// A refusal with its ways out.
fn in_one_line(refusal: &Refusal) -> String {
    let lines = refusal.lines.iter().map(|line| line.trim());
    // What the machine is, the first column tells.
    let mut facts: Vec<&str> = lines
        .filter(|line| !line.starts_with("this machine: "))
        .collect();
    // The first line says that there is no plan, as the dashes do.
    if facts.len() > 1 {
        facts.remove(0);
    }
    let mut text = facts.join("; ");
    for way in &refusal.ways {
        text += &format!(" → {}", way.text);
    }
    text
}
