//! A computation that may be given up on the way.

use std::sync::atomic::{AtomicBool, Ordering};

/// A wish to stop, looked at between the parts of a computation. Once it has been seen it stays,
/// since something has been left out then.
pub struct Stop<'a> {
    wished: &'a (dyn Fn() -> bool + Sync),
    seen: AtomicBool,
}

impl<'a> Stop<'a> {
    /// Stops when `wished` says so.
    pub fn new(wished: &'a (dyn Fn() -> bool + Sync)) -> Stop<'a> {
        Stop {
            wished,
            seen: AtomicBool::new(false),
        }
    }

    /// Whether to go no further, from now on.
    pub fn look(&self) -> bool {
        if !self.seen() && (self.wished)() {
            self.seen.store(true, Ordering::Relaxed);
        }
        self.seen()
    }

    /// Whether something may have been left out.
    pub fn seen(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Stop<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stop")
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
