//! A Python feature release, such as 3.12.

use std::{fmt, str::FromStr};

use pep440_rs::Version;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A CPython feature release: `3.12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PythonVersion {
    /// `3`.
    pub major: u8,
    /// `12`.
    pub minor: u8,
}

impl PythonVersion {
    /// `PythonVersion::new(3, 12)` is Python 3.12.
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }

    /// The feature release a full version such as `3.12.13` belongs to.
    pub fn of(version: &Version) -> Option<Self> {
        let release = version.release();
        Some(Self {
            major: u8::try_from(*release.first()?).ok()?,
            minor: u8::try_from(*release.get(1)?).ok()?,
        })
    }

    /// `cp312`, as wheel tags spell it.
    pub fn cp_tag(self) -> String {
        format!("cp{}{}", self.major, self.minor)
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text is not a Python feature release.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a Python version; write it like `3.12`")]
pub struct ParsePythonVersionError(String);

impl FromStr for PythonVersion {
    type Err = ParsePythonVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParsePythonVersionError(text.to_owned());
        let (major, minor) = text.split_once('.').ok_or_else(error)?;
        Ok(Self {
            major: major.parse().map_err(|_| error())?,
            minor: minor.parse().map_err(|_| error())?,
        })
    }
}

impl Serialize for PythonVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PythonVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
