//! How an error is told to a person.

use std::{error::Error, fmt::Write as _, process::ExitCode};

use console::style;

use super::output;
use crate::error::UserError;

/// An error on its way to standard error.
#[derive(Debug)]
pub struct Failure {
    error: Box<dyn UserError>,
}

impl<E: UserError> From<E> for Failure {
    fn from(error: E) -> Self {
        Self {
            error: Box::new(error),
        }
    }
}

impl Failure {
    /// Prints what happened, why and what to do, and gives the exit code.
    ///
    /// With `code`, the error's stable identifier is told too; with `json`, standard output gets
    /// the error as an object with the one member `error`.
    pub fn report(&self, code: bool, json: bool) -> ExitCode {
        if json {
            // Whoever reads it may have gone; the exit code still tells.
            let _ = output::json(&serde_json::json!({ "error": self.json() }));
        }
        let _ = console::Term::stderr().write_line(&self.render(code));
        ExitCode::from(if self.error.is_usage() { 2 } else { 1 })
    }

    /// The error as an object: its code, what happened, why, and what to do.
    pub fn json(&self) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        object.insert("code".to_owned(), self.error.code().into());
        object.insert("message".to_owned(), self.error.to_string().into());
        object.insert("causes".to_owned(), self.causes().into());
        object.insert("hint".to_owned(), self.error.hint().into());
        object.extend(self.error.details());
        object.into()
    }

    /// What the error came from, as far as it says more than the error itself.
    fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut said = self.error.to_string();
        let mut cause: Option<&dyn Error> = self.error.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Many libraries repeat their cause in their own message.
            if !said.contains(&message) {
                causes.push(message.clone());
                said = message;
            }
            cause = error.source();
        }
        causes
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        self.error.hint()
    }

    /// What happened and why, in one line, for a place where this is one of several things.
    pub fn told(&self) -> String {
        let mut parts = vec![self.error.to_string()];
        parts.extend(self.causes());
        output::shown(&parts.join(": ")).replace('\n', " ")
    }

    fn render(&self, code: bool) -> String {
        let code = match code {
            true => format!("[{}]", self.error.code()),
            false => String::new(),
        };
        let label = style(format!("error{code}")).red().bold().for_stderr();
        let mut text = format!("{label}: {}", output::shown(&self.error.to_string()));
        for cause in self.causes() {
            let cause = output::shown(&cause);
            let _ = write!(text, "\n  {}: {cause}", style("cause").red().for_stderr());
        }
        if let Some(hint) = self.error.hint() {
            // Further lines stand below the first.
            let hint = output::shown(&hint).replace('\n', "\n         ");
            let _ = write!(text, "\n   {}: {hint}", style("hint").cyan().for_stderr());
        }
        text
    }
}
