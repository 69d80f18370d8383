//! What differs between operating systems, one noun per file.

pub mod access;
pub mod disk;
#[cfg(target_os = "macos")]
pub mod sysctl;
