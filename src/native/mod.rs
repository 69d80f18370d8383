//! Shared libraries, read and not run: what a loader would find for a name.

mod ld_cache;

pub use ld_cache::{CacheEntry, LdCache};
