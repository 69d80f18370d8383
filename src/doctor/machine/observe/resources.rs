//! Memory, shared memory and disks: what is left of them, in bytes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    host::root::Root,
    platform::{self, Space},
};

/// What is left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Memory that programs can still get without swapping.
    pub memory_available: Option<u64>,
    /// Swap space, or what of the page file Windows adds to memory.
    pub swap: Option<u64>,
    /// Programs that the kernel has ended for lack of memory, in this container or since the
    /// machine started.
    pub killed_for_memory: Option<u64>,
    /// `/dev/shm`.
    pub shared_memory: Option<Space>,
    /// Places that need room.
    pub disks: Vec<Disk>,
}

/// A place on a disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// What it is for.
    pub what: DiskUse,
    /// Its path.
    pub path: String,
    /// Its disk's room; absent where it cannot be asked.
    #[serde(default)]
    pub space: Option<Space>,
    /// This user may write there.
    pub writable: bool,
}

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskUse {
    /// aienv's home.
    Home,
    /// Temporary files of every program.
    Temporary,
}

impl Resources {
    /// Reads what is left. `home` is aienv's home, which need not exist yet.
    pub(in crate::doctor) fn read(root: &Root, home: &Path, temporary: &Path) -> Self {
        let memory = root.read("/proc/meminfo").unwrap_or_default();
        let kibibytes = |key: &str| -> Option<u64> {
            let line = memory.lines().find_map(|line| line.strip_prefix(key))?;
            let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            number.checked_mul(1024)
        };
        let disk = |what, path: &Path| Disk {
            what,
            path: path.display().to_string(),
            space: platform::space(path).ok(),
            writable: is_writable(path),
        };
        let commit = platform::commit();
        Self {
            memory_available: kibibytes("MemAvailable:").or(commit.map(|commit| commit.free)),
            swap: kibibytes("SwapTotal:").or(commit.map(|commit| commit.beyond_memory)),
            killed_for_memory: killed(root),
            shared_memory: root
                .exists("/dev/shm")
                .then(|| platform::space(&root.path("/dev/shm")).ok())
                .flatten(),
            disks: vec![
                disk(DiskUse::Home, home),
                disk(DiskUse::Temporary, temporary),
            ],
        }
    }
}

/// The control group counts for a container, the kernel for the machine.
fn killed(root: &Root) -> Option<u64> {
    ["/sys/fs/cgroup/memory.events", "/proc/vmstat"]
        .iter()
        .find_map(|path| {
            let text = root.read(path).ok()?;
            let count = text
                .lines()
                .find_map(|line| line.strip_prefix("oom_kill "))?;
            count.trim().parse().ok()
        })
}

/// Whether the nearest folder that exists can be written to, by its permissions.
fn is_writable(path: &Path) -> bool {
    path.ancestors()
        .find(|path| path.exists())
        .is_some_and(platform::access::may_read_and_write)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::host::root::fixture::Tree;

    #[test]
    fn counts_and_sizes() {
        let tree = Tree::new(&[
            (
                "/proc/meminfo",
                "MemTotal: 16331752 kB\nMemAvailable:   8000 kB\nSwapTotal: 2048 kB\n",
            ),
            ("/proc/vmstat", "pgfault 1\noom_kill 2\n"),
            ("/dev/shm/", ""),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("not/yet");
        let found = Resources::read(&tree.root, &home, folder.path());
        assert_eq!(found.memory_available, Some(8000 << 10));
        assert_eq!(found.swap, Some(2048 << 10));
        assert_eq!(found.killed_for_memory, Some(2));
        assert!(found.shared_memory.unwrap().total > 0);
        assert!(
            found
                .disks
                .iter()
                .all(|disk| disk.writable && disk.space.is_some())
        );
        tree.write(
            "/sys/fs/cgroup/memory.events",
            b"low 0\noom 1\noom_kill 0\n",
        );
        let found = Resources::read(&tree.root, &home, folder.path());
        assert_eq!(
            found.killed_for_memory,
            Some(0),
            "a container counts for itself"
        );
    }
}
