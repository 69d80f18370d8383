//! Memory that a system promises to programs.

/// How much Windows promises: physical memory and page file together. What is promised counts,
/// whether it is used or not, and a promise that cannot be made fails a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Bytes that can still be promised.
    pub free: u64,
    /// Bytes of the limit beyond physical memory: the page file.
    pub beyond_memory: u64,
}

/// The promise of Windows; other systems promise as they please.
#[cfg(not(windows))]
pub fn commit() -> Option<Commit> {
    None
}

/// The promise of Windows; other systems promise as they please.
#[cfg(windows)]
pub fn commit() -> Option<Commit> {
    use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};

    // SAFETY: the structure is plain data, and the call asks for its length to be set.
    let (ok, status) = unsafe {
        let mut status: MEMORYSTATUSEX = std::mem::zeroed();
        status.dwLength = size_of::<MEMORYSTATUSEX>() as u32;
        (GlobalMemoryStatusEx(&mut status), status)
    };
    (ok != 0).then_some(Commit {
        free: status.ullAvailPageFile,
        beyond_memory: status.ullTotalPageFile.saturating_sub(status.ullTotalPhys),
    })
}
