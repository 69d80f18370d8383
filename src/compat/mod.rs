//! Compatibility facts as data, and the questions asked of them.
//!
//! The facts live in `manifests/compat/*.toml`, each with its source; no room compares a driver
//! number in code. A fact that has aged is changed there and nowhere else.

pub mod apple;
pub mod capability;
pub mod compare;
pub mod cuda;
pub mod extensions;
mod gpu_names;
pub mod gpus;
pub mod lint;
pub mod published;
pub mod python;
pub mod rocm;
pub mod source;
pub mod torch;

pub use lint::{Finding, lint};
