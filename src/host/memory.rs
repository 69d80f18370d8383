//! Memory in bytes: what the machine has, or the container's limit when that is lower.

#[cfg(not(any(target_os = "macos", windows)))]
pub(super) use linux::detect;

/// Memory of this machine.
#[cfg(target_os = "macos")]
pub(super) fn detect(_root: &super::root::Root, unread: &mut Vec<super::Unread>) -> Option<u64> {
    crate::platform::sysctl::number("hw.memsize")
        .map_err(|error| unread.push(super::Unread::new("hw.memsize", error)))
        .ok()
}

/// Memory of this machine.
#[cfg(windows)]
pub(super) fn detect(_root: &super::root::Root, unread: &mut Vec<super::Unread>) -> Option<u64> {
    use windows_sys::Win32::System::SystemInformation::{GlobalMemoryStatusEx, MEMORYSTATUSEX};

    // SAFETY: the structure is plain data, and the call asks for its length to be set.
    let (ok, status) = unsafe {
        let mut status: MEMORYSTATUSEX = std::mem::zeroed();
        status.dwLength = size_of::<MEMORYSTATUSEX>() as u32;
        (GlobalMemoryStatusEx(&mut status), status)
    };
    if ok == 0 {
        unread.push(super::Unread::new(
            "physical memory",
            std::io::Error::last_os_error(),
        ));
        return None;
    }
    Some(status.ullTotalPhys)
}

#[cfg(any(test, not(any(target_os = "macos", windows))))]
mod linux {
    use crate::host::{Unread, root::Root};

    /// Memory of this machine or container.
    pub(in crate::host) fn detect(root: &Root, unread: &mut Vec<Unread>) -> Option<u64> {
        let physical = match root.read("/proc/meminfo") {
            Ok(text) => total(&text).or_else(|| {
                unread.push(Unread::new("/proc/meminfo", "no `MemTotal` line"));
                None
            }),
            Err(error) => {
                unread.push(Unread::new("/proc/meminfo", error));
                None
            }
        };
        // cgroup v2, then v1; without a limit the files are missing, `max`, or absurdly high.
        let limit = ["memory.max", "memory/memory.limit_in_bytes"]
            .iter()
            .find_map(|file| root.number(&format!("/sys/fs/cgroup/{file}")));
        match (physical, limit) {
            (Some(physical), Some(limit)) => Some(physical.min(limit)),
            (physical, _) => physical,
        }
    }

    /// `MemTotal:  16384000 kB` in bytes.
    fn total(meminfo: &str) -> Option<u64> {
        let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::host::root::fixture::Tree;

        const MEMINFO: (&str, &str) = (
            "/proc/meminfo",
            "MemTotal:       16331752 kB\nMemFree:          123 kB\n",
        );

        #[test]
        fn physical_or_limited() {
            let physical = 16_331_752 * 1024;
            for (limit, expected) in [
                (("/etc/hostname", "box"), physical),
                (("/sys/fs/cgroup/memory.max", "max\n"), physical),
                (("/sys/fs/cgroup/memory.max", "4294967296\n"), 4 << 30),
                (
                    (
                        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                    physical,
                ),
            ] {
                let tree = Tree::new(&[MEMINFO, limit]);
                assert_eq!(detect(&tree.root, &mut Vec::new()), Some(expected));
            }
        }

        #[test]
        fn a_missing_or_odd_file_is_told() {
            for files in [&[][..], &[("/proc/meminfo", "nonsense")]] {
                let mut unread = Vec::new();
                assert_eq!(detect(&Tree::new(files).root, &mut unread), None);
                assert_eq!(unread[0].what, "/proc/meminfo");
            }
        }
    }
}
