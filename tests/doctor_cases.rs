//! Diagnosis over collected cases: how often the first finding is right, and how sure it was.
//!
//! `cargo test --test doctor_cases -- --ignored --nocapture` prints the table for the file that
//! `DOCTOR_CASES` names; each line of it is `{"id", "cause", "evidence": {…}}`.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, env, fmt::Write as _, fs};

use aienv::doctor::{Cause, Diagnosis, Evidence, diagnose};
use serde_json::Value;

const TORCH_INDEX: &str = "https://index.example/whl/";

struct Case {
    id: String,
    cause: Cause,
    evidence: Evidence,
}

fn cases(text: &str) -> Vec<Case> {
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        // The evidence alone: what else a file says of a case is not for the diagnosis.
        let evidence = serde_json::to_string(&value["evidence"]).unwrap();
        Case {
            id: value["id"].as_str().unwrap_or_default().to_owned(),
            cause: value["cause"].as_str().unwrap().parse().unwrap(),
            evidence: Evidence::from_json(&evidence).unwrap(),
        }
    };
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(read)
        .collect()
}

/// What a run over cases came to.
#[derive(Default)]
struct Score {
    total: usize,
    first: usize,
    in_three: usize,
    sure: usize,
    sure_and_wrong: usize,
    by_class: BTreeMap<Cause, (usize, usize, usize)>,
    misses: String,
}

impl Score {
    fn add(&mut self, case: &Case, diagnosis: &Diagnosis) {
        let causes: Vec<Cause> = diagnosis.findings.iter().map(|f| f.cause).collect();
        let first = causes.first() == Some(&case.cause);
        let in_three = causes.iter().take(3).any(|cause| *cause == case.cause);
        let wrong = diagnosis
            .findings
            .iter()
            .any(|f| f.confidence >= 0.8 && f.cause != case.cause);
        let class = self.by_class.entry(case.cause).or_default();
        class.0 += 1;
        class.1 += usize::from(first);
        class.2 += usize::from(in_three);
        self.total += 1;
        self.first += usize::from(first);
        self.in_three += usize::from(in_three);
        self.sure += usize::from(diagnosis.findings.iter().any(|f| f.confidence >= 0.8));
        self.sure_and_wrong += usize::from(wrong);
        if !first {
            let said: Vec<String> = diagnosis
                .findings
                .iter()
                .map(|f| format!("{} {:.2}", f.cause, f.confidence))
                .collect();
            let _ = writeln!(
                self.misses,
                "{}{} {}: wanted {}, said {}",
                if wrong { "!! " } else { "" },
                if in_three { "2nd/3rd" } else { "missed" },
                case.id,
                case.cause,
                said.join(", ")
            );
        }
    }

    fn table(&self) -> String {
        let mut table = format!("{:<42} cases  first  in three\n", "cause");
        for (cause, (total, first, three)) in &self.by_class {
            let _ = writeln!(
                table,
                "{:<42} {total:>5}  {first:>5}  {three:>8}",
                cause.label()
            );
        }
        let share = |part: usize| 100.0 * part as f64 / self.total.max(1) as f64;
        let _ = writeln!(
            table,
            "{:<42} {:>5}  {:>4.1}%  {:>7.1}%\nsure (>= 0.8) in {:.1}%, sure and wrong in {:.1}%\n{}",
            "all",
            self.total,
            share(self.first),
            share(self.in_three),
            share(self.sure),
            share(self.sure_and_wrong),
            self.misses
        );
        table
    }
}

fn run(cases: &[Case]) -> Score {
    let mut score = Score::default();
    for case in cases {
        score.add(case, &diagnose(&case.evidence, TORCH_INDEX));
    }
    score
}

#[test]
#[ignore = "needs a file of cases: DOCTOR_CASES=cases.jsonl"]
fn table_of_a_file() {
    let path = env::var_os("DOCTOR_CASES").expect("DOCTOR_CASES names a file of cases");
    let score = run(&cases(&fs::read_to_string(path).unwrap()));
    println!("{}", score.table());
}
