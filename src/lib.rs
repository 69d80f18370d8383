//! aienv: a single-binary environment manager for local AI.
//!
//! The way through the house is one pipeline of plain values, each of which can be written to a
//! file, read back, shown and tested:
//!
//! ```text
//! host facts ─┐
//! manifest ───┼─► solve ─► plan ─► lock ─► fetch ─► store ─► prefix ─► launch
//! index data ─┘     (pure)        (file)   (network) (content- (one env,  (shims, run,
//! compat facts                              verified) addressed) immutable) services)
//! ```
//!
//! Rooms, top floor first; a room uses what is below it, never what is above:
//! [`cli`] → [`doctor`] → [`tools`] → [`launch`] → [`prefix`], [`build`] → [`solve`], [`fetch`],
//! [`store`] → [`index`], [`catalog`], [`lock`] → [`compat`], [`host`], [`native`], [`net`] →
//! [`types`], [`home`], [`settings`], [`progress`], [`platform`].
//! `docs/architecture.md` says why.

pub mod build;
pub mod catalog;
pub mod cli;
pub mod compat;
pub mod doctor;
pub mod error;
pub mod fetch;
pub mod home;
pub mod host;
pub mod index;
pub mod launch;
pub mod lock;
pub mod native;
pub mod net;
pub mod platform;
pub mod prefix;
pub mod progress;
pub mod settings;
pub mod solve;
pub mod store;
pub mod tools;
pub mod types;
