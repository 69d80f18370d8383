//! The catalogue of tools.
pub mod manifest;
