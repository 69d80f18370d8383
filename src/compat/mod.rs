//! Facts about the world, as data (`manifests/compat/*.toml`), and the questions asked of them.

pub mod gpus;
