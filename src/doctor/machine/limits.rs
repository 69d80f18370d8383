//! The numbers of `manifests/doctor/machine.toml`.

use std::sync::LazyLock;

use serde::Deserialize;

use crate::compat::cuda::Capability;

const DATA: &str = include_str!("../../../manifests/doctor/machine.toml");

/// What the checks judge by. Sizes are in MiB.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "`schema` and `as_of` are for readers of the file")]
pub(super) struct Limits {
    schema: u32,
    as_of: String,
    pub(super) nvidia: Nvidia,
    pub(super) memory: Memory,
    pub(super) shared_memory: SharedMemory,
    pub(super) disk: Disk,
}

/// The flavours of NVIDIA's kernel module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Nvidia {
    pub(super) open_module_from: Capability,
    pub(super) open_module_only_from: Capability,
}

/// Main memory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Memory {
    pub(super) small_mib: u64,
    pub(super) scarce_mib: u64,
    pub(super) page_file_mib: u64,
}

/// `/dev/shm`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct SharedMemory {
    pub(super) container_default_mib: u64,
    pub(super) scarce_mib: u64,
}

/// Disks.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Disk {
    pub(super) home_problem_mib: u64,
    pub(super) home_note_mib: u64,
    pub(super) home_files: u64,
    pub(super) temporary_problem_mib: u64,
    pub(super) temporary_note_mib: u64,
}

impl Limits {
    /// The embedded numbers.
    pub(super) fn embedded() -> &'static Self {
        static LIMITS: LazyLock<Limits> = LazyLock::new(|| {
            // The file is part of the program and a test reads it; it cannot be wrong at run time.
            toml::from_str(DATA).unwrap_or_else(|error| unreachable!("machine.toml: {error}"))
        });
        &LIMITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_in_order() {
        let limits = Limits::embedded();
        assert!(limits.nvidia.open_module_from < limits.nvidia.open_module_only_from);
        assert!(limits.disk.home_problem_mib < limits.disk.home_note_mib);
        assert!(limits.disk.temporary_problem_mib < limits.disk.temporary_note_mib);
        assert!(limits.memory.scarce_mib < limits.memory.small_mib);
    }
}
