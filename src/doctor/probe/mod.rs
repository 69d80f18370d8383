//! Does the GPU compute? Asked of the driver's own libraries, without Python or a toolkit.
//!
//! A driver library can hang for ever, crash, or exit the process. So each driver API (CUDA, HIP)
//! is tried in a process of its own: this very binary under the hidden command `gpu-probe`. It
//! announces every call before it makes it, one line each; the parent waits a limited time for the
//! next line. Whatever happens to the child, the parent knows the call.
//!
//! On each GPU the child makes a context, lets the driver compile a small kernel, runs it, checks
//! every word of the result, and measures how fast memory is copied.

mod child;
mod cuda;
mod event;
mod hip;
mod library;
mod meaning;
mod parent;
mod work;

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

pub use child::run as run_child;
pub use meaning::{id, join, judge};
pub use parent::{COMMAND, run};

/// How long one call of a driver may take. The first context after a start of the machine, with
/// several GPUs to wake, takes ten seconds and more.
pub const LIMIT: Duration = Duration::from_secs(45);

/// A driver interface to GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// NVIDIA's CUDA driver API (`libcuda`).
    Cuda,
    /// AMD's HIP (`libamdhip64`).
    Hip,
}

impl Api {
    /// Every interface.
    pub const ALL: [Self; 2] = [Self::Cuda, Self::Hip];

    /// As on the command line: `cuda`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Hip => "hip",
        }
    }

    /// As people write it: `CUDA`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Cuda => "CUDA",
            Self::Hip => "HIP",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

impl FromStr for Api {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|api| api.name() == text);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.into_iter().map(Self::name).collect();
            format!("it is one of {}", names.join(", "))
        })
    }
}

/// What one interface did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiReport {
    /// The interface.
    pub api: Api,
    /// The library that was loaded, by its path where the system tells it.
    #[serde(default)]
    pub library: Option<String>,
    /// Version that the library states, in the interface's own numbering: CUDA `13.0`.
    #[serde(default)]
    pub version: Option<String>,
    /// The GPUs it offers.
    #[serde(default)]
    pub devices: Vec<DeviceReport>,
    /// What ended the probe before every device was tried.
    #[serde(default)]
    pub trouble: Option<Trouble>,
}

/// What one GPU did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// What it says of itself.
    #[serde(flatten)]
    pub facts: DeviceFacts,
    /// What was measured; present when everything was right.
    #[serde(default)]
    pub measured: Option<Measured>,
    /// What went wrong.
    #[serde(default)]
    pub trouble: Option<Trouble>,
}

/// What a GPU says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeviceFacts {
    /// Its number in this interface.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its memory in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Compute capability (CUDA).
    #[serde(default)]
    pub compute_capability: Option<(u16, u16)>,
    /// Who may use it (CUDA): 0 everybody, 2 nobody, 3 one process.
    #[serde(default)]
    pub compute_mode: Option<i32>,
}

/// What a working GPU was measured at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// From page-locked memory of the machine to the GPU, bytes per second.
    pub upload: f64,
    /// From one place of the GPU's memory to another, bytes moved per second: each byte is read
    /// and written, and counted once.
    pub copy: f64,
    /// Whether a kernel of ours ran. Without a compiler at hand (HIP without hiprtc) only the
    /// driver's own fill and copy kernels did.
    pub kernel: bool,
}

/// What went wrong, without a word about what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Trouble {
    /// The library cannot be loaded.
    Library {
        /// No such file, rather than one that is broken.
        missing: bool,
        /// What the loader said.
        why: String,
    },
    /// A function the library should have is not in it.
    Symbol {
        /// Its name.
        name: String,
    },
    /// A call failed.
    Call {
        /// Its name: `cuInit`.
        call: String,
        /// The error code.
        code: i64,
        /// The driver's name for it: `CUDA_ERROR_NO_DEVICE`.
        #[serde(default)]
        name: Option<String>,
        /// What the driver says of it, or a compiler's log.
        #[serde(default)]
        text: Option<String>,
    },
    /// No device is offered, without an error.
    NoDevice,
    /// The kernel ran and its result is wrong.
    WrongResult {
        /// First word that differs.
        index: u32,
        /// What it should be.
        expected: u32,
        /// What it is.
        found: u32,
    },
    /// A call did not come back.
    Hung {
        /// Its name.
        call: String,
        /// How long it was waited for, in seconds.
        seconds: u64,
        /// The process could not be ended even by force, as it happens when a call hangs inside
        /// the kernel.
        stuck: bool,
    },
    /// The process died.
    Crashed {
        /// The call it died in.
        call: String,
        /// How: `signal 11`, `exit code 1`.
        how: String,
        /// The last it wrote to standard error.
        said: String,
    },
    /// The process could not be started.
    NotStarted {
        /// Why.
        why: String,
    },
}
