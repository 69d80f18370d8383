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

/// Bytes that programs can still take without others being paged out; `None` where the system does
/// not tell. On macOS, which gives no such number, what the machine has.
pub fn available_memory() -> Option<u64> {
    #[cfg(windows)]
    {
        use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};

        // SAFETY: the structure is plain data, and the call asks for its length to be set.
        let (ok, status) = unsafe {
            let mut status: MEMORYSTATUSEX = std::mem::zeroed();
            status.dwLength = size_of::<MEMORYSTATUSEX>() as u32;
            (GlobalMemoryStatusEx(&mut status), status)
        };
        (ok != 0).then_some(status.ullAvailPhys)
    }
    #[cfg(target_os = "macos")]
    {
        super::sysctl::number("hw.memsize").ok()
    }
    #[cfg(not(any(windows, target_os = "macos")))]
    {
        let free = available_of(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
        // The container's limit: cgroup v2, then v1; `max` or absurdly high without one.
        let limits = [
            "/sys/fs/cgroup/memory.max",
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ];
        let limit = limits
            .iter()
            .find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
        Some(limit.map_or(free, |limit: u64| limit.min(free)))
    }
}

/// `MemAvailable:  16384000 kB` in bytes.
#[cfg(any(test, not(any(windows, target_os = "macos"))))]
fn available_of(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::available_of;

    #[test]
    fn available_memory_is_a_line_of_its_own() {
        let text = "MemTotal: 9 kB\nMemFree: 1 kB\nMemAvailable:       2048 kB\n";
        assert_eq!(available_of(text), Some(2 << 20));
        assert_eq!(available_of("MemTotal: 9 kB\n"), None);
    }
}
