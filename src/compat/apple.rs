//! Apple's chips, and what PyTorch's MPS backend asks of macOS.

use std::sync::LazyLock;

use jiff::civil::Date;
use serde::Deserialize;

use super::source::{Legend, Sources};
use crate::types::Version;

const DATA: &str = include_str!("../../manifests/compat/apple.toml");

/// The table of `manifests/compat/apple.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AppleFacts {
    /// Version of the file's form.
    pub schema: u32,
    /// Day the facts were read.
    pub as_of: Date,
    /// What the source keys stand for.
    pub sources: Legend,
    /// What MPS asks of macOS, newest torch first.
    pub mps: Vec<MpsFloor>,
    /// Macs with Intel processors.
    pub intel: IntelMacs,
    /// Chips, newest first.
    pub chip: Vec<Chip>,
}

/// The macOS that MPS needs from a release of torch on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MpsFloor {
    /// First release of torch it holds for.
    pub torch: Version,
    /// Lowest macOS.
    pub macos: Version,
    /// Where this was read.
    pub source: Sources,
}

/// Macs with Intel processors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IntelMacs {
    /// Last feature release of torch with wheels for them.
    pub last_torch: Version,
    /// Where this was read.
    pub source: Sources,
}

/// An Apple chip.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Chip {
    /// `M3 Max (16-core CPU)`
    pub name: String,
    /// Most unified memory sold with it, in GiB.
    pub memory_gib: u64,
    /// Memory bandwidth in GB/s.
    pub bandwidth: u64,
    /// Where this was read.
    pub source: Sources,
}

impl AppleFacts {
    /// The embedded table.
    pub fn embedded() -> &'static Self {
        static FACTS: LazyLock<AppleFacts> = LazyLock::new(|| {
            // The file is part of the program and a test reads it; it cannot be wrong at run time.
            AppleFacts::read(DATA).unwrap_or_else(|error| unreachable!("apple.toml: {error}"))
        });
        &FACTS
    }

    /// A table from the text of such a file.
    ///
    /// # Errors
    /// The text is not a table of this form.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// The lowest macOS on which a release of torch uses the GPU; `None` for releases before the
    /// table.
    pub fn mps_floor(&self, torch: &Version) -> Option<&Version> {
        let row = self.mps.iter().find(|row| row.torch <= *torch)?;
        Some(&row.macos)
    }

    /// The versions of macOS above one from which on torch does more on a Mac with Apple silicon,
    /// lowest first. Every such Mac runs all of them.
    pub fn later_macos(&self, (major, minor): (u16, u16)) -> Vec<&Version> {
        let has = Version::new([u64::from(major), u64::from(minor)]);
        let floors = self.mps.iter().rev().map(|row| &row.macos);
        floors.filter(|floor| **floor > has).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn mps_needs_a_newer_macos_as_torch_goes_on() {
        let facts = AppleFacts::embedded();
        let floor = |torch: &str| facts.mps_floor(&torch.parse().unwrap()).cloned();
        assert_eq!(floor("2.15.0"), Some("14.0".parse().unwrap()));
        assert_eq!(floor("2.2"), Some("12.3".parse().unwrap()));
        assert_eq!(floor("2.5.1"), Some("13.0".parse().unwrap()));
        assert_eq!(floor("1.11"), None);
    }
}
