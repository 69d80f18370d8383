//! Space on the disk that holds a path.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

/// The room of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// Bytes that this user may still use.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
    /// Further files it can hold; absent where it has no such limit.
    #[serde(default)]
    pub files: Option<u64>,
}

/// Free bytes for this user on the disk that holds `path`, which need not exist yet: its nearest
/// existing parent is asked.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    space(path).map(|space| space.free)
}

/// The room of the disk that holds `path`, which need not exist yet, as for [`free_bytes`].
pub fn space(path: &Path) -> io::Result<Space> {
    let existing = path
        .ancestors()
        // What is left of a relative path when its names are gone.
        .map(|path| {
            if path.as_os_str().is_empty() {
                Path::new(".")
            } else {
                path
            }
        })
        .find(|path| path.exists())
        .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    ask(existing)
}

#[cfg(unix)]
fn ask(path: &Path) -> io::Result<Space> {
    use std::{ffi::CString, mem::MaybeUninit, os::unix::ffi::OsStrExt as _};

    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is NUL-terminated and the structure has the size the call writes.
    if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a successful call has filled the structure.
    let stat = unsafe { stat.assume_init() };
    // The field types differ between platforms.
    #[allow(clippy::unnecessary_cast)]
    let space = {
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize as u64);
        Space {
            free: bytes(stat.f_bavail as u64),
            total: bytes(stat.f_blocks as u64),
            // Some file systems make room for files as they go, and tell a limit of none.
            files: (stat.f_files > 0).then_some(stat.f_favail as u64),
        }
    };
    Ok(space)
}

#[cfg(windows)]
fn ask(path: &Path) -> io::Result<Space> {
    use std::{os::windows::ffi::OsStrExt as _, ptr};

    use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;

    let wide: Vec<u16> = path.as_os_str().encode_wide().chain([0]).collect();
    let (mut free, mut total) = (0, 0);
    // SAFETY: the path is NUL-terminated; the total that is not wanted may be null.
    let ok = unsafe { GetDiskFreeSpaceExW(wide.as_ptr(), &mut free, &mut total, ptr::null_mut()) };
    if ok == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Space {
        free,
        total,
        files: None,
    })
}

/// The error means that the disk (or the user's quota on it) is full.
pub fn is_disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_lies_on_its_parents_disk() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_bytes(&folder.path().join("not/yet/there")).unwrap();
        assert!(free > 0);
        assert!(free_bytes(Path::new("")).unwrap() > 0);
    }
}
