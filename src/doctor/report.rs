//! What `aienv doctor` found out of a machine, as one value: the answer of `--json`, and, with
//! private things taken out, the file that `--report` writes for a bug report.
//!
//! A report holds the machine itself, so whoever gets it can judge it again
//! (`aienv doctor --from report.json`), also with a later aienv.

use serde::Serialize;

use super::{
    machine::{Level, Machine, Verdict},
    probe::ApiReport,
    redact::{Private, Redactor},
};

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Version of the aienv that wrote it.
    pub aienv: &'static str,
    /// No problem was found.
    pub healthy: bool,
    /// What is broken and what is worth knowing, in the order of the checks.
    pub findings: Vec<Verdict>,
    /// What works, a line each.
    pub works: Vec<Line>,
    /// What the probe did, where it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probe: Vec<ApiReport>,
    /// What the checks looked at.
    pub machine: Machine,
}

/// Something that works.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Id of the check.
    pub check: &'static str,
    /// What works.
    pub title: String,
}

/// What works, a line each, and the findings.
pub fn apart(verdicts: Vec<Verdict>) -> (Vec<Line>, Vec<Verdict>) {
    let (works, findings): (Vec<Verdict>, Vec<Verdict>) = verdicts
        .into_iter()
        .partition(|verdict| verdict.level == Level::Works);
    let line = |verdict: Verdict| Line {
        check: verdict.check,
        title: verdict.title,
    };
    (works.into_iter().map(line).collect(), findings)
}

impl Report {
    /// Puts together what was found.
    pub fn new(machine: Machine, verdicts: Vec<Verdict>, probe: Vec<ApiReport>) -> Self {
        let (works, findings) = apart(verdicts);
        Self {
            aienv: env!("CARGO_PKG_VERSION"),
            healthy: findings
                .iter()
                .all(|verdict| verdict.level != Level::Problem),
            findings,
            works,
            probe,
            machine,
        }
    }

    /// Findings of one level.
    pub fn at(&self, level: Level) -> impl Iterator<Item = &Verdict> {
        self.findings
            .iter()
            .filter(move |verdict| verdict.level == level)
    }

    /// As JSON without anything private.
    ///
    /// # Errors
    /// When a path of this machine has no JSON form.
    pub fn redacted(&self) -> serde_json::Result<serde_json::Value> {
        let redactor = Redactor::new(&Private::of_process());
        Ok(redactor.value(serde_json::to_value(self)?))
    }
}
