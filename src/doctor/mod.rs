//! Why something failed, and what helps.
//!
//! Diagnosis is one way of plain values:
//!
//! ```text
//! Evidence ─► lines ─┬─► Facts   (what the machine is: typed, with the line each came from)
//!                    └─► Signals (what programs said: wordings, as data)
//!                            │
//!                Facts + Signals ─► rules ─► Ledger (weights for and against) ─► Findings
//! ```
//!
//! Causes are derived from mechanisms first: a driver that is older than a build's CUDA allows, a
//! GPU the build has no code for, two packages that cannot go together, whatever the log says.
//! Wordings are evidence of some weight. Alternatives are kept and ranked; where too little is
//! known the answer is what to run and paste. None of this touches the machine.
//!
//! The machine itself is looked at by [`machine`] (checks), [`probe`] (does the GPU compute?) and
//! [`repair`] (installed tools), a Python environment, a tool's or any other, by [`environment`];
//! they speak in [`machine::Verdict`]s, with the same causes and
//! repairs.

pub mod cause;
mod causes;
pub mod environment;
pub mod evidence;
mod facts;
pub mod finding;
mod knowledge;
mod ledger;
pub mod machine;
pub mod probe;
#[cfg(test)]
mod quotes;
pub mod redact;
pub mod remedy;
pub mod repair;
pub mod report;
mod signals;
mod template;
mod text;
mod words;

use serde::Serialize;

pub use cause::Cause;
pub use causes::Case;
pub use evidence::{Evidence, EvidenceError};
pub use finding::{Finding, Fix};
use ledger::{Ledger, Ranked, UNKNOWN, UNKNOWN_IN_QUIET};
pub use text::clean::decode;

/// What a diagnosis came to.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// Likely causes, most likely first. Empty where nothing points to one.
    pub findings: Vec<Finding>,
    /// What to run and add to the evidence, where too little is known to be sure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ask: Vec<Fix>,
}

/// A first finding below this confidence needs more evidence.
const SURE: f64 = 0.5;

impl Diagnosis {
    /// Whether something is wrong, as far as can be told. A note is no problem.
    pub fn is_problem(&self) -> bool {
        self.findings.first().is_some_and(|first| !first.is_note())
    }
}

/// Finds the likely causes of a failure. `torch_index` is the base of the torch wheel indexes, for
/// the commands of repairs.
pub fn diagnose(evidence: &Evidence, torch_index: &str) -> Diagnosis {
    let case = Case::new(evidence);
    let mut ledger = Ledger::default();
    causes::weigh(&case, &mut ledger);
    let ranked = ledger.ranked(if case.complains() {
        UNKNOWN
    } else {
        UNKNOWN_IN_QUIET
    });
    let ask = questions(&case, &ranked);
    let findings = ranked
        .into_iter()
        .map(|ranked| finding(&case, &ledger, torch_index, ranked))
        .collect();
    Diagnosis { findings, ask }
}

fn finding(case: &Case<'_>, ledger: &Ledger, torch_index: &str, ranked: Ranked) -> Finding {
    let known = knowledge::of(ranked.cause);
    let value = |place: &str| match place {
        "torch_index" => Some(torch_index.to_owned()),
        _ => ledger.value(place).map(str::to_owned),
    };
    Finding {
        cause: ranked.cause,
        // Three digits say more than anybody knows.
        confidence: (ranked.confidence * 100.0).round() / 100.0,
        title: known.title.clone(),
        explanation: known.explanation.clone(),
        fix: known.repairs(|condition| case.holds(condition), value),
        evidence: ranked.reasons,
    }
}

/// What would tell: about the suspects where there are some, else about the machine.
fn questions(case: &Case<'_>, ranked: &[Ranked]) -> Vec<Fix> {
    if ranked.first().is_some_and(|first| first.confidence >= SURE) {
        return Vec::new();
    }
    let mut questions: Vec<Fix> = ranked
        .iter()
        .take(3)
        .filter_map(|ranked| {
            let known = knowledge::of(ranked.cause);
            Some(Fix {
                text: format!("To tell whether it is `{}`", ranked.cause),
                command: Some(known.ask.clone()?),
            })
        })
        .collect();
    if questions.is_empty() && case.complains() {
        questions.push(Fix {
            text: "Add what torch knows of itself and the machine".to_owned(),
            command: Some("python -m torch.utils.collect_env".to_owned()),
        });
        questions.push(Fix {
            text: "Add what the driver says, and the whole output from the start of the program, \
                   not its last line alone"
                .to_owned(),
            command: Some("nvidia-smi".to_owned()),
        });
    }
    questions
}
