//! Shared libraries, read and not run: what a file needs, what it offers, and what a loader would
//! find for it.
//!
//! A Python package that "does not import" mostly fails in the loader, and the loader's message
//! names the last link of a chain. Here the chain itself is followed, without any tool and without
//! running anything: [`Image`] reads one ELF, PE or Mach-O file (only the tables a loader reads,
//! through a memory map), [`Shelf`] remembers what was read, and a [`Process`] repeats the
//! loader's search for a library and all it needs, and says what would be missing, too old, of
//! another processor or without the symbols that are asked of it.
//!
//! The search of each system is a [`Finder`]: [`glibc::Glibc`] (also musl's rules), [`windows`],
//! [`macos`]. A finder is given folders and variables, so that another machine's can be asked
//! about, and tests make their own.

pub mod glibc;
mod image;
mod ld_cache;
pub mod macos;
mod process;
mod shelf;
mod symbols;
pub mod windows;

pub use image::{Format, Image, ImageError, Machine, Needed, VersionNeed, holds};
pub use ld_cache::{CacheEntry, LdCache};
pub use process::{Finder, Load, Lookup, Missing, Place, Process, Unresolved, WrongVersion};
pub use shelf::Shelf;
pub use symbols::{Exports, Symbols, Undefined, demangled};
