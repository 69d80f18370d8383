//! Files that many prefixes share, and the executable bit.
//!
//! On Unix a shared file is created read-only (0444 or 0555, less the umask), so that a program
//! cannot change it by accident through one of its hard links. (The super-user and a program that
//! calls chmod first still can; `aienv cache verify` finds that.) On Windows the read-only
//! attribute would keep a file from being deleted, so shared files stay writable there.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

/// Whether [`create_shared_file`] makes files read-only on this system.
pub const SHARED_FILES_ARE_READ_ONLY: bool = cfg!(unix);

/// Creates a new file for writing that will be read-only once it is closed; it must not exist.
pub fn create_shared_file(path: &Path, executable: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if executable { 0o555 } else { 0o444 });
    }
    #[cfg(not(unix))]
    let _ = executable;
    options.open(path)
}

/// Makes a file (un)executable and writable by its owner. Nothing to do on Windows.
pub fn set_executable(path: &Path, executable: bool) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = if executable { 0o755 } else { 0o644 };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    }
    #[cfg(not(unix))]
    let _ = (path, executable);
    Ok(())
}

/// Whether the owner may execute the file; always true on Windows, where names decide.
pub fn is_executable(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        path.metadata()
            .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o100 != 0)
    }
    #[cfg(not(unix))]
    path.is_file()
}

/// How many names a file has: more than one when it is hard-linked. 1 where that cannot be told.
pub fn link_count(metadata: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::nlink(metadata)
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        1
    }
}
