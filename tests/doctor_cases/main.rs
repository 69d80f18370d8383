//! Diagnosis over cases whose cause is known, as they are and in other words.
//!
//! `DOCTOR_CASES=cases.jsonl cargo test --test doctor_cases -- --ignored --nocapture` does the same
//! with a file of cases, each line of it `{"id", "cause", "evidence": {…}}`, and prints the tables.
//! `DOCTOR_SEED=1000` before either makes other changes.

#![allow(clippy::unwrap_used)]

mod changes;
mod corpus;
mod hostile;
mod score;
#[path = "../support/mod.rs"]
mod support;

use std::{env, fs};

use corpus::Case;
use score::Score;

/// Each case, changed so many times. `DOCTOR_SEED` gives other changes than those of every run.
fn changed(cases: &[Case], times: u64) -> Vec<Case> {
    let first = env::var("DOCTOR_SEED").map_or(0, |seed| seed.parse().unwrap());
    cases
        .iter()
        .flat_map(|case| (first..first + times).map(|seed| changes::changed(case, seed)))
        .collect()
}

#[test]
fn own_cases() {
    score::run(&corpus::own()).must_be_good("cases of this repository");
}

#[test]
fn own_cases_in_other_words() {
    score::run(&changed(&corpus::own(), 2)).must_be_robust("changed cases of this repository");
}

#[test]
fn what_works_has_no_problem() {
    let healthy: Vec<Case> = corpus::own()
        .into_iter()
        .filter(|case| case.cause.is_none())
        .collect();
    assert!(healthy.len() >= 20);
    let mut all = healthy.clone();
    all.extend(changed(&healthy, 8));
    let found: Vec<String> = all.iter().filter_map(score::problem).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
#[ignore = "needs a file of cases: DOCTOR_CASES=cases.jsonl"]
fn table_of_a_file() {
    let path = env::var_os("DOCTOR_CASES").expect("DOCTOR_CASES names a file of cases");
    let cases = corpus::of_lines(&fs::read_to_string(path).unwrap());
    let (as_they_are, in_other_words): (Score, Score) =
        (score::run(&cases), score::run(&changed(&cases, 2)));
    println!(
        "{}\nin other words\n{}",
        as_they_are.table(),
        in_other_words.table()
    );
    as_they_are.must_be_good("cases of the file");
    in_other_words.must_be_robust("changed cases of the file");
}
