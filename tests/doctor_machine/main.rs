//! `aienv doctor` on machines: as a user runs it, on this one and on those of saved reports.

#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

#[cfg(target_os = "linux")]
mod probe;
mod reports;
mod tools;
