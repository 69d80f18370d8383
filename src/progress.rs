//! Progress as the core reports it: through a trait, so that no room but `cli` knows a terminal.

use std::sync::Arc;

/// One transfer or piece of work whose bytes are counted. Dropping it ends its line.
pub trait Task: Send + Sync {
    /// `bytes` more were done.
    fn advance(&self, bytes: u64);
    /// The work starts over, `done` bytes already there (a resumed or restarted download).
    fn reset_to(&self, done: u64);
}

/// Receives progress. All methods may be called from any thread.
pub trait Progress: Send + Sync {
    /// A new piece of work begins: `label` for people, `total` in bytes if known.
    fn task(&self, label: &str, total: Option<u64>) -> Arc<dyn Task>;
    /// The work that is coming, all tasks together, so that time left can be told. `count` pieces.
    fn expect(&self, count: usize, bytes: u64);
    /// The current step in a few words, such as `Resolving` or `Linking 107 packages`.
    fn step(&self, text: &str);
    /// What was achieved: a line that stays, of which only those who asked for quiet hear nothing.
    fn done(&self, text: &str) {
        self.step(text);
    }
    /// A line that stays: a note or a warning a person should see.
    fn note(&self, text: &str);
    /// Takes the display away, so that results can be printed or a tool can have the terminal.
    fn clear(&self) {}
}

/// Progress that nobody looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

struct SilentTask;

impl Task for SilentTask {
    fn advance(&self, _bytes: u64) {}
    fn reset_to(&self, _done: u64) {}
}

impl Progress for Silent {
    fn task(&self, _label: &str, _total: Option<u64>) -> Arc<dyn Task> {
        Arc::new(SilentTask)
    }
    fn expect(&self, _count: usize, _bytes: u64) {}
    fn step(&self, _text: &str) {}
    fn note(&self, _text: &str) {}
}
