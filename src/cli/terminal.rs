//! Progress on a terminal: one display for everything that goes on; plain lines elsewhere.

use std::sync::Arc;

use crate::progress::{Progress, Task};

/// Draws progress on standard error.
pub struct TerminalProgress {
    quiet: bool,
}

impl TerminalProgress {
    /// `quiet` leaves only notes.
    pub fn new(quiet: bool) -> Self {
        Self { quiet }
    }
}

struct NoTask;

impl Task for NoTask {
    fn advance(&self, _bytes: u64) {}
    fn reset_to(&self, _done: u64) {}
}

impl Progress for TerminalProgress {
    fn task(&self, _label: &str, _total: Option<u64>) -> Arc<dyn Task> {
        Arc::new(NoTask)
    }

    fn expect(&self, _count: usize, _bytes: u64) {}

    fn step(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    fn note(&self, text: &str) {
        eprintln!("{text}");
    }
}
