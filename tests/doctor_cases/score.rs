//! How often the first finding is right, and how sure it was.

use std::{collections::BTreeMap, fmt::Write as _};

use aienv::doctor::{Cause, Diagnosis, diagnose};
use rayon::prelude::*;

use crate::corpus::Case;

const TORCH_INDEX: &str = "https://index.example/whl/";
/// A finding of this confidence must not be wrong.
const SURE: f64 = 0.8;

/// What a run over cases came to.
#[derive(Default)]
pub struct Score {
    total: usize,
    first: usize,
    in_three: usize,
    sure: usize,
    sure_and_wrong: usize,
    by_class: BTreeMap<Cause, (usize, usize, usize)>,
    misses: String,
}

/// Diagnoses every case that has a cause.
pub fn run(cases: &[Case]) -> Score {
    let diagnoses: Vec<(Cause, &Case, Diagnosis)> = cases
        .par_iter()
        .filter_map(|case| Some((case.cause?, case, diagnose(&case.evidence, TORCH_INDEX))))
        .collect();
    let mut score = Score::default();
    for (cause, case, diagnosis) in &diagnoses {
        score.add(*cause, &case.id, diagnosis);
    }
    score
}

/// What a diagnosis finds wrong, where it finds anything.
pub fn problem(case: &Case) -> Option<String> {
    let diagnosis = diagnose(&case.evidence, TORCH_INDEX);
    let wrong = diagnosis
        .findings
        .iter()
        .find(|finding| !finding.is_note())?;
    Some(format!(
        "{}: {} {:.2} from {:?}, in\n{}",
        case.id,
        wrong.cause,
        wrong.confidence,
        wrong.evidence,
        case.evidence.log.join("\n")
    ))
}

impl Score {
    fn add(&mut self, cause: Cause, id: &str, diagnosis: &Diagnosis) {
        let causes: Vec<Cause> = diagnosis.findings.iter().map(|f| f.cause).collect();
        let first = causes.first() == Some(&cause);
        let in_three = causes.iter().take(3).any(|said| *said == cause);
        let sure = || diagnosis.findings.iter().filter(|f| f.confidence >= SURE);
        let wrong = sure().any(|f| f.cause != cause);
        let class = self.by_class.entry(cause).or_default();
        class.0 += 1;
        class.1 += usize::from(first);
        class.2 += usize::from(in_three);
        self.total += 1;
        self.first += usize::from(first);
        self.in_three += usize::from(in_three);
        self.sure += usize::from(sure().count() > 0);
        self.sure_and_wrong += usize::from(wrong);
        if !first {
            let said: Vec<String> = diagnosis
                .findings
                .iter()
                .map(|f| format!("{} {:.2}", f.cause, f.confidence))
                .collect();
            let _ = writeln!(
                self.misses,
                "{}{} {id}: wanted {cause}, said {}",
                if wrong { "!! " } else { "" },
                if in_three { "2nd/3rd" } else { "missed" },
                said.join(", ")
            );
        }
    }

    fn share(&self, part: usize) -> f64 {
        100.0 * part as f64 / self.total.max(1) as f64
    }

    /// First right in 95 of 100, among three in 98, and hardly ever sure and wrong.
    pub fn must_be_good(&self, what: &str) {
        let good = self.share(self.first) >= 95.0
            && self.share(self.in_three) >= 98.0
            && self.share(self.sure_and_wrong) <= 1.0;
        assert!(good && self.total > 0, "{what}\n{}", self.table());
    }

    /// First right in 93 of 100.
    pub fn must_be_robust(&self, what: &str) {
        let good = self.share(self.first) >= 93.0;
        assert!(good && self.total > 0, "{what}\n{}", self.table());
    }

    /// A line for each cause, the sums, and what was not right.
    pub fn table(&self) -> String {
        let mut table = format!("{:<42} cases  first  in three\n", "cause");
        for (cause, (total, first, three)) in &self.by_class {
            let _ = writeln!(
                table,
                "{:<42} {total:>5}  {first:>5}  {three:>8}",
                cause.label()
            );
        }
        let _ = writeln!(
            table,
            "{:<42} {:>5}  {:>4.1}%  {:>7.1}%\nsure (>= {SURE}) in {:.1}%, sure and wrong in {:.1}%\n{}",
            "all",
            self.total,
            self.share(self.first),
            self.share(self.in_three),
            self.share(self.sure),
            self.share(self.sure_and_wrong),
            self.misses
        );
        table
    }
}
