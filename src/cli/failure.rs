//! How an error is told to a person.

use std::{error::Error, fmt::Write as _, process::ExitCode};

use console::style;

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
    /// With `code`, the error's stable identifier is told too.
    pub fn report(&self, code: bool) -> ExitCode {
        let _ = console::Term::stderr().write_line(&self.render(code));
        ExitCode::from(if self.error.is_usage() { 2 } else { 1 })
    }

    fn render(&self, code: bool) -> String {
        let code = match code {
            true => format!("[{}]", self.error.code()),
            false => String::new(),
        };
        let label = style(format!("error{code}")).red().bold().for_stderr();
        let mut text = format!("{label}: {}", self.error);
        let mut said = self.error.to_string();
        let mut cause: Option<&dyn Error> = self.error.source();
        while let Some(error) = cause {
            let message = error.to_string();
            // Many libraries repeat their cause in their own message.
            if !said.contains(&message) {
                let _ = write!(text, "\n  {}: {message}", style("cause").red().for_stderr());
                said = message;
            }
            cause = error.source();
        }
        if let Some(hint) = self.error.hint() {
            let _ = write!(text, "\n   {}: {hint}", style("hint").cyan().for_stderr());
        }
        text
    }
}
