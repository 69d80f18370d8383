//! What the end-to-end tests stand on: a world in which the real `aienv` binary finds a package
//! index, a torch index, Python builds and source archives, all of them on loopback.
//!
//! - [`wheel`], [`sdist`], [`tree`] make real artifacts in memory; [`hostile`] makes the ones that
//!   must be refused.
//! - [`index`] serves them as real indexes do, in several dialects, well or badly, and keeps a log
//!   of what was asked.
//! - [`world`] is a home, an isolated environment and a server; it starts `aienv` and reads what
//!   it said.
//! - [`library`] makes shared libraries with the C compiler, [`foreign`] writes those of other systems.
//! - [`environment`] makes virtual environments and unpacks wheels into them.
//! - [`manifest`] writes manifests, [`host`] makes host snapshots for `--host FILE`.
//!
//! A test file says `mod support;` and needs nothing else. Each of them uses a part only, hence
//! what is allowed below.

#![allow(dead_code, unused_imports, clippy::unwrap_used)]

pub mod dist;
pub mod environment;
pub mod foreign;
pub mod host;
pub mod hostile;
pub mod index;
pub mod library;
pub mod manifest;
pub mod pages;
pub mod reply;
pub mod run;
pub mod sdist;
pub mod tree;
pub mod wheel;
pub mod world;

pub use dist::Dist;
pub use environment::Venv;
pub use index::{Dialect, Failure, IndexServer};
pub use library::Library;
pub use manifest::{index_tool, tree_tool};
pub use run::{Run, Running};
pub use sdist::Sdist;
pub use tree::Tree;
pub use wheel::Wheel;
pub use world::World;
