//! What this machine is: the [`Host`] value that everything later depends on.
//!
//! Detection reads files and loads driver libraries; it never fails. What could not be read is
//! listed in [`Host::unread`] with the reason, because that is what a diagnosis needs. A saved
//! `Host` (JSON) stands in for the machine wherever a plan is made.

mod cpu;
#[cfg(any(test, not(target_os = "macos")))]
mod deadline;
mod detect;
mod driver_version;
mod gpu;
mod load;
mod memory;
mod os;
mod pythons;
pub(crate) mod root;
#[cfg(any(test, not(any(target_os = "macos", windows))))]
mod surroundings;

use std::{ffi::OsString, fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use load::HostError;

pub use crate::types::GpuVendor;
use crate::types::{Arch, Libc, Os, Target, Version};

/// Environment variables as probes see them: the process's own, or a test's.
type Env<'a> = &'a (dyn Fn(&str) -> Option<OsString> + Sync);

/// The version of the JSON form of [`Host`].
pub const SCHEMA: u32 = 1;

/// Everything about a machine that decides what can run on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// [`SCHEMA`] when written.
    pub schema: u32,
    /// Operating system.
    pub os: OsInfo,
    /// Processor, memory and disk.
    pub cpu: Cpu,
    /// Memory in bytes: what the machine has, or the container's limit when that is lower.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Free bytes on the disk that holds aienv's home.
    #[serde(default)]
    pub disk_free_bytes: Option<u64>,
    /// Every GPU found, in the order of PCI addresses.
    #[serde(default)]
    pub gpus: Vec<Gpu>,
    /// Neural processing units.
    #[serde(default)]
    pub npus: Vec<Npu>,
    /// NVIDIA driver, when one is there.
    #[serde(default)]
    pub nvidia: Option<NvidiaDriver>,
    /// AMD kernel driver, when one is there.
    #[serde(default)]
    pub amd: Option<AmdDriver>,
    /// Container or WSL surroundings.
    #[serde(default)]
    pub surroundings: Surroundings,
    /// Python interpreters found, best candidates first.
    #[serde(default)]
    pub pythons: Vec<FoundPython>,
    /// What could not be read, and why.
    #[serde(default)]
    pub unread: Vec<Unread>,
}

/// Operating system facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OsInfo {
    /// Family.
    pub family: Os,
    /// Distribution id (`debian`, `ubuntu`, `fedora` …) from `os-release`; `macos`; `windows`.
    pub id: String,
    /// What people call it: `Debian GNU/Linux 12 (bookworm)`, `macOS 15.1`, `Windows 11 24H2`.
    pub name: String,
    /// Version: `12`, `24.04`, `15.1`, `10.0.26100`.
    #[serde(default)]
    pub version: String,
    /// Kernel release.
    #[serde(default)]
    pub kernel: Option<String>,
    /// C library (Linux).
    #[serde(default)]
    pub libc: Option<Libc>,
    /// Running under Rosetta 2 (macOS).
    #[serde(default)]
    pub rosetta: bool,
}

/// Processor facts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// Architecture.
    pub arch: Arch,
    /// Model name, or the Apple chip (`Apple M3 Max`).
    #[serde(default)]
    pub model: Option<String>,
    /// Logical cores usable by this process.
    pub cores: usize,
    /// Features that matter to AI programs, lower case: `avx2`, `fma`, `f16c`, `avx512f`,
    /// `avx512_vnni`, `avx_vnni`, `avx512_bf16`, `amx_tile`, `amx_int8`, `neon`, `dotprod`,
    /// `i8mm`, `sve` … Sorted.
    #[serde(default)]
    pub features: Vec<String>,
}

/// One GPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gpu {
    /// Maker.
    pub vendor: GpuVendor,
    /// Marketing name, as the driver or the PCI id tells it.
    pub name: String,
    /// PCI id, `vendor:device` in hexadecimal: `10de:2684`.
    #[serde(default)]
    pub pci_id: Option<String>,
    /// PCI address: `0000:01:00.0`.
    #[serde(default)]
    pub pci_address: Option<String>,
    /// NVIDIA compute capability `(major, minor)`.
    #[serde(default)]
    pub compute_capability: Option<(u16, u16)>,
    /// AMD instruction set: `gfx1100`.
    #[serde(default)]
    pub gfx: Option<String>,
    /// Dedicated (or, for integrated and Apple GPUs, shared) memory in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Shares its memory with the processor.
    #[serde(default)]
    pub integrated: bool,
    /// Kernel driver bound to the device: `nvidia`, `nouveau`, `amdgpu`, `i915`, `xe`.
    #[serde(default)]
    pub kernel_driver: Option<String>,
}

/// The NVIDIA driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NvidiaDriver {
    /// Version of the user-space driver, such as `580.95.05`; absent when only the kernel's is known.
    #[serde(default, with = "driver_version")]
    pub version: Option<Version>,
    /// Version of the loaded kernel module.
    #[serde(default, with = "driver_version")]
    pub kernel_version: Option<Version>,
    /// Highest CUDA version the driver supports, `(12, 8)`.
    #[serde(default)]
    pub cuda: Option<(u16, u16)>,
    /// The open kernel module flavour is loaded.
    #[serde(default)]
    pub open_module: Option<bool>,
}

/// The AMD kernel driver.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AmdDriver {
    /// `amdgpu` module version, when it is not the kernel's own.
    #[serde(default)]
    pub version: Option<String>,
    /// This user may open `/dev/kfd`.
    #[serde(default)]
    pub kfd_accessible: bool,
    /// This user may open every `/dev/dri/renderD*` of an AMD GPU.
    #[serde(default)]
    pub render_accessible: bool,
}

/// An NPU under `/dev/accel` (Linux).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Npu {
    /// Name by PCI id or driver.
    pub name: String,
    /// Kernel driver, such as `intel_vpu` or `amdxdna`.
    #[serde(default)]
    pub kernel_driver: Option<String>,
}

/// What is around the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// `docker`, `podman`, `kubernetes`, `lxc`, …
    #[serde(default)]
    pub container: Option<String>,
    /// WSL version, 1 or 2.
    #[serde(default)]
    pub wsl: Option<u8>,
}

/// Where an interpreter was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PythonOrigin {
    /// A folder on PATH.
    Path,
    /// pyenv.
    Pyenv,
    /// A conda environment or installation.
    Conda,
    /// Homebrew.
    Homebrew,
    /// The Windows registry (PEP 514).
    Registry,
}

/// A Python interpreter of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundPython {
    /// The executable, links resolved (but for Homebrew's, which outlive the files they lead to).
    pub path: PathBuf,
    /// Full version: `3.11.7`.
    pub version: Version,
    /// Where it was found.
    pub origin: PythonOrigin,
    /// A build without the global interpreter lock (`t` ABI flag).
    #[serde(default)]
    pub freethreaded: bool,
}

/// One thing that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// What: a file, a library, a query.
    pub what: String,
    /// Why: the error.
    pub why: String,
}

impl Unread {
    fn new(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self {
            what: what.to_string(),
            why: why.to_string(),
        }
    }
}

/// Where the CUDA driver library may be, best first: names for the loader to search, then paths.
pub(crate) fn cuda_libraries() -> Vec<PathBuf> {
    gpu::cuda_libraries()
}

impl NvidiaDriver {
    /// A driver version as NVIDIA writes it: the third number always has two digits
    /// (`580.95.05`), which a version number by itself does not remember.
    pub fn spelled(version: &Version) -> String {
        driver_version::spelled(version)
    }
}

impl Host {
    /// The part of the host that wheel tags can express.
    pub fn target(&self) -> Target {
        let macos = (self.os.family == Os::Macos).then(|| {
            let mut parts = self.os.version.split('.').map(|p| p.parse().unwrap_or(0));
            (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
        });
        Target {
            os: self.os.family,
            arch: self.cpu.arch,
            libc: self.os.libc,
            macos,
        }
    }
}
