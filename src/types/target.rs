//! The machine that wheels are chosen for, reduced to what their tags can say.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Operating-system family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Os {
    /// Linux, WSL included.
    Linux,
    /// macOS.
    Macos,
    /// Windows.
    Windows,
}

/// Processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

/// The C library of a Linux system with its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "family", rename_all = "lowercase")]
pub enum Libc {
    /// The GNU C library.
    Glibc {
        /// `2`
        major: u16,
        /// `36`
        minor: u16,
    },
    /// musl.
    Musl {
        /// `1`
        major: u16,
        /// `2`
        minor: u16,
    },
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc { major, minor } => write!(f, "glibc {major}.{minor}"),
            Self::Musl { major, minor } => write!(f, "musl {major}.{minor}"),
        }
    }
}

/// What decides which wheels a machine can install (PEP 425, 600, 656), Python aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    /// Operating-system family.
    pub os: Os,
    /// Processor architecture.
    pub arch: Arch,
    /// C library; only on Linux. Absent on Linux means unknown: only `linux_*` and `any` fit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub libc: Option<Libc>,
    /// macOS version `(major, minor)`; only on macOS.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub macos: Option<(u16, u16)>,
}

impl Target {
    /// The key of this platform in data files, such as `x86_64-unknown-linux-gnu`.
    pub fn triple(&self) -> &'static str {
        match (self.os, self.arch, self.libc) {
            (Os::Linux, Arch::X86_64, Some(Libc::Musl { .. })) => "x86_64-unknown-linux-musl",
            (Os::Linux, Arch::Aarch64, Some(Libc::Musl { .. })) => "aarch64-unknown-linux-musl",
            (Os::Linux, Arch::X86_64, _) => "x86_64-unknown-linux-gnu",
            (Os::Linux, Arch::Aarch64, _) => "aarch64-unknown-linux-gnu",
            (Os::Macos, Arch::X86_64, _) => "x86_64-apple-darwin",
            (Os::Macos, Arch::Aarch64, _) => "aarch64-apple-darwin",
            (Os::Windows, Arch::X86_64, _) => "x86_64-pc-windows-msvc",
            (Os::Windows, Arch::Aarch64, _) => "aarch64-pc-windows-msvc",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.triple())?;
        match (self.libc, self.macos) {
            (Some(libc), _) => write!(f, " ({libc})"),
            (None, Some((major, minor))) => write!(f, " (macOS {major}.{minor})"),
            (None, None) => Ok(()),
        }
    }
}
