//! What doctor says: one problem, how sure it is, why, and what to do.

use serde::Serialize;

use super::cause::Cause;

/// One problem. Every part of doctor speaks in these: logs, machine, tools, environments.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The root of the failure.
    pub cause: Cause,
    /// How likely this is the root, between 0 and 1.
    pub confidence: f64,
    /// What is wrong, in one line.
    pub title: String,
    /// Why it is so and how it shows, in a few sentences.
    pub explanation: String,
    /// What helps, best first.
    pub fix: Vec<Fix>,
    /// What speaks for it, strongest first.
    pub evidence: Vec<String>,
}

impl Finding {
    /// A thing worth knowing that needs no repair.
    pub fn is_note(&self) -> bool {
        self.cause == Cause::BenignWarning
    }
}

/// One step of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    /// What to do.
    pub text: String,
    /// The command that does it, where there is one. Nothing runs it.
    pub command: Option<String>,
}
