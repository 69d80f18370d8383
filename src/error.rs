//! What every error a person sees can tell: what happened (`Display`), why (`source`), and what
//! to do next ([`UserError::hint`]).

use std::error::Error;

/// An error that reaches a person.
pub trait UserError: Error + Send + Sync + 'static {
    /// A stable identifier for `--json` and for searching: `index.not-found`.
    fn code(&self) -> &'static str;

    /// What to do next, one sentence or command; `None` when the message says it already.
    fn hint(&self) -> Option<String> {
        None
    }

    /// What programs may want to know besides, as members of the error in `--json`.
    fn details(&self) -> serde_json::Map<String, serde_json::Value> {
        serde_json::Map::new()
    }

    /// Wrong usage (exit code 2) rather than a failed operation (exit code 1).
    fn is_usage(&self) -> bool {
        false
    }
}
