//! Compatibility facts as data, and the questions asked of them.
//!
//! The facts live in `manifests/compat/*.toml`, each with its source; no room compares a driver
//! number in code. A fact that has aged is changed there and nowhere else.

pub mod gpus;
pub mod torch;
