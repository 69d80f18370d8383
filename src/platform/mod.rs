//! What differs between operating systems, in one small place.

pub mod process;
