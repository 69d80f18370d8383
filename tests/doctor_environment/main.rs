//! `aienv doctor --python` and `aienv doctor TOOL`: environments that are really broken, found with
//! their cause, and healthy ones left alone.

#![allow(clippy::unwrap_used)]

#[cfg(target_os = "linux")]
mod conda;
mod files;
mod fixtures;
mod healthy;
mod interpreter;
#[cfg(target_os = "linux")]
mod libraries;
mod machine;
mod outside;
mod packages;
#[path = "../support/mod.rs"]
mod support;
mod tool;
mod windows;
