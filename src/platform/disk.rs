//! How much room is left on a disk.

use std::{io, path::Path};

/// Bytes this user may still write to the disk that holds `path` (or its nearest existing
/// ancestor); `None` when the system does not tell.
pub fn free_bytes(path: &Path) -> Option<u64> {
    let existing = path.ancestors().find(|p| p.exists())?;
    query(existing)
}

#[cfg(unix)]
fn query(path: &Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt as _;

    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut facts = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` is a C string and `facts` has room for the one value the call fills in.
    let answer = unsafe { libc::statvfs(path.as_ptr(), facts.as_mut_ptr()) };
    if answer != 0 {
        return None;
    }
    // SAFETY: the call succeeded, so it has filled in the whole value.
    let facts = unsafe { facts.assume_init() };
    // The field types differ between systems (32 bits on macOS).
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    let (blocks, size) = (facts.f_bavail as u64, facts.f_frsize as u64);
    blocks.checked_mul(size)
}

#[cfg(windows)]
fn query(path: &Path) -> Option<u64> {
    use std::os::windows::ffi::OsStrExt as _;

    use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;

    let folder = if path.is_dir() { path } else { path.parent()? };
    let wide: Vec<u16> = folder.as_os_str().encode_wide().chain([0]).collect();
    let mut free = 0u64;
    // SAFETY: `wide` ends with a zero and the one out-pointer is valid for the call.
    let answer = unsafe {
        GetDiskFreeSpaceExW(
            wide.as_ptr(),
            &mut free,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        )
    };
    (answer != 0).then_some(free)
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
    use super::*;

    #[test]
    fn space_is_told_even_for_a_path_that_does_not_exist_yet() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_bytes(folder.path()).is_some());
        assert!(free_bytes(&folder.path().join("not/yet/there")).is_some());
    }
}
