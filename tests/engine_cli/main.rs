//! Models by the command line: the real binary with small models.

#![allow(clippy::unwrap_used)]

mod chat;
mod demo;
mod embed;
mod files;
mod generate;
mod model;
mod several;
#[path = "../support/mod.rs"]
mod support;
mod text;
