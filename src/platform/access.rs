//! What this user may do with a file, asked without opening it: opening a device can wake it.

use std::path::Path;

/// Whether this user may read and write `path`, by its permissions.
#[cfg(unix)]
pub fn may_read_and_write(path: &Path) -> bool {
    access(path, libc::R_OK | libc::W_OK)
}

/// Whether this user may execute `path`, by its permissions.
#[cfg(unix)]
pub fn may_execute(path: &Path) -> bool {
    access(path, libc::X_OK)
}

#[cfg(unix)]
fn access(path: &Path, mode: libc::c_int) -> bool {
    use std::{ffi::CString, os::unix::ffi::OsStrExt as _};

    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: the path is NUL-terminated and outlives the call.
    unsafe { libc::access(path.as_ptr(), mode) == 0 }
}

/// Whether `path` exists; Windows has no such devices to ask about.
#[cfg(windows)]
pub fn may_read_and_write(path: &Path) -> bool {
    path.exists()
}

/// Whether `path` is there: on Windows the file's name makes it executable.
#[cfg(windows)]
pub fn may_execute(path: &Path) -> bool {
    path.is_file()
}
