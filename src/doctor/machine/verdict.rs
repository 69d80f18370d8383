//! What a check says.

use serde::Serialize;

use crate::doctor::{Cause, Fix};

/// How much a verdict asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Something works.
    Works,
    /// Something worth knowing: it limits, or may surprise, and nothing is broken.
    Note,
    /// Something is broken.
    Problem,
}

/// What a check says of one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Id of the check.
    pub check: &'static str,
    /// How much it asks for.
    pub level: Level,
    /// The label of the cause, where the list has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// How sure the check is, between 0 and 1.
    pub confidence: f64,
    /// One line.
    pub title: String,
    /// Why it matters here, in a sentence or two; empty for what works.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub explanation: String,
    /// What helps, best first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fix: Vec<Fix>,
    /// What was seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

impl Verdict {
    fn new(level: Level, title: impl Into<String>) -> Self {
        Self {
            check: "",
            level,
            cause: None,
            // What a check looks at is there or it is not; those that conclude say so.
            confidence: 0.95,
            title: title.into(),
            explanation: String::new(),
            fix: Vec::new(),
            evidence: Vec::new(),
        }
    }

    /// Something works.
    pub(crate) fn works(title: impl Into<String>) -> Self {
        Self::new(Level::Works, title)
    }

    /// Something worth knowing.
    pub(crate) fn note(title: impl Into<String>) -> Self {
        Self::new(Level::Note, title)
    }

    /// Something is broken.
    pub(crate) fn problem(title: impl Into<String>) -> Self {
        Self::new(Level::Problem, title)
    }

    /// A problem, or only a note.
    pub(crate) fn problem_if(is_problem: bool, title: impl Into<String>) -> Self {
        let level = if is_problem {
            Level::Problem
        } else {
            Level::Note
        };
        Self::new(level, title)
    }

    /// Its cause.
    pub(crate) fn cause(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    /// How sure the check is.
    pub(crate) fn sure(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Why it matters.
    pub(crate) fn because(mut self, explanation: impl Into<String>) -> Self {
        self.explanation = explanation.into();
        self
    }

    /// A further step that helps.
    pub(crate) fn fix(mut self, fix: Fix) -> Self {
        self.fix.push(fix);
        self
    }

    /// Further steps that help.
    pub(crate) fn fixes(mut self, fixes: Vec<Fix>) -> Self {
        self.fix.extend(fixes);
        self
    }

    /// A step without a command.
    pub(crate) fn advise(self, text: impl Into<String>) -> Self {
        self.fix(Fix {
            text: text.into(),
            command: None,
        })
    }

    /// A step with a command.
    pub(crate) fn advise_running(
        self,
        text: impl Into<String>,
        command: impl Into<String>,
    ) -> Self {
        self.fix(Fix {
            text: text.into(),
            command: Some(command.into()),
        })
    }

    /// What was seen.
    pub(crate) fn seen(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }
}
