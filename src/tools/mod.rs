//! The life of a tool: planned, installed, upgraded, rolled back, repaired, removed.
//!
//! [`Manager`] joins the rooms below: it knows where things are (home, settings), asks the index,
//! calls the solver, has artifacts fetched, prefixes built and shims written. Whatever changes
//! something on disk does so under the tool's lock and ends in one rename, so an interruption
//! leaves the old state or the new one.

mod building;
mod error;
pub mod facts;
mod install;
mod life;
mod manager;
mod planning;
mod pythons;
mod reach;
mod reference;
mod requirements;
mod state;
mod upkeep;

pub use error::ToolError;
pub use install::{InstallOptions, Installed};
pub use life::Removal;
pub use manager::Manager;
pub use planning::{PlanOptions, Planned, Wanted};
pub use reference::{Reference, ReferenceError};
pub use state::{Generation, StateError, ToolState, Wishes};
pub use upkeep::{CacheSizes, Freed};
