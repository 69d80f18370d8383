//! The few things that differ between operating systems: locks, links, permissions, free space.
//!
//! Everything above asks here instead of writing `#[cfg]` of its own. Each module is small and
//! says what happens on Linux, macOS and Windows.

pub mod access;
mod disk;
mod files;
mod links;
mod lock_file;
mod memory;
mod positioned;
pub mod process;
mod sandbox;
mod staging;
#[cfg(target_os = "macos")]
pub mod sysctl;

pub use disk::{Space, free_bytes, is_disk_full, space};
pub use files::{
    SHARED_FILES_ARE_READ_ONLY, create_shared_file, is_executable, link_count, set_executable,
};
pub use links::{LinkMode, Linker, link_program, name_for_program, symlink_file};
pub use lock_file::LockFile;
pub use memory::{Commit, available_memory, commit};
pub use positioned::PositionedFile;
pub use sandbox::without_network;
pub use staging::{Staging, remove_tree};
