//! The accelerator build axis of a wheel: `cpu`, `cu128`, `rocm6.4`, `xpu`, `mps`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a package build was compiled for, in the spelling of the torch wheel indexes.
///
/// Ordering is by kind, then version; it says nothing about preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Accelerator {
    /// No accelerator.
    Cpu,
    /// NVIDIA CUDA toolkit, `(major, minor)`; `cu128` is `(12, 8)`.
    Cuda(u16, u16),
    /// AMD ROCm, `(major, minor)`; `rocm6.4` is `(6, 4)`.
    Rocm(u16, u16),
    /// Intel GPUs through oneAPI.
    Xpu,
    /// Apple Metal Performance Shaders.
    Mps,
}

impl Accelerator {
    /// The family without a version: `cpu`, `cuda`, `rocm`, `xpu` or `mps`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda(..) => "cuda",
            Self::Rocm(..) => "rocm",
            Self::Xpu => "xpu",
            Self::Mps => "mps",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cuda(major, minor) => write!(f, "cu{major}{minor}"),
            Self::Rocm(major, minor) => write!(f, "rocm{major}.{minor}"),
            other => f.write_str(other.kind()),
        }
    }
}

/// The text is not an accelerator build.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is not an accelerator build; use one like `cpu`, `cu128`, `rocm6.4`, `xpu` or `mps`"
)]
pub struct ParseAcceleratorError(String);

impl FromStr for Accelerator {
    type Err = ParseAcceleratorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseAcceleratorError(text.to_owned());
        match text {
            "cpu" => return Ok(Self::Cpu),
            "xpu" => return Ok(Self::Xpu),
            "mps" => return Ok(Self::Mps),
            _ => {}
        }
        if let Some(digits) = text.strip_prefix("cu") {
            if digits.len() < 2 || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(error());
            }
            // The last digit is the minor version: cu92, cu118, cu130.
            let (major, minor) = digits.split_at(digits.len() - 1);
            return Ok(Self::Cuda(
                major.parse().map_err(|_| error())?,
                minor.parse().map_err(|_| error())?,
            ));
        }
        if let Some(version) = text.strip_prefix("rocm") {
            let mut parts = version.split('.');
            let mut number = || parts.next().and_then(|p| p.parse::<u16>().ok());
            return Ok(Self::Rocm(
                number().ok_or_else(error)?,
                number().unwrap_or(0),
            ));
        }
        Err(error())
    }
}

impl Serialize for Accelerator {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Accelerator {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn spellings_round_trip() {
        for text in [
            "cpu", "cu92", "cu118", "cu130", "rocm6.4", "rocm7.10", "xpu", "mps",
        ] {
            assert_eq!(text.parse::<Accelerator>().unwrap().to_string(), text);
        }
        assert_eq!(
            "cu128".parse::<Accelerator>().unwrap(),
            Accelerator::Cuda(12, 8)
        );
        for bad in ["", "cu", "cu1", "cuda", "rocm", "gpu", "cu12.8"] {
            assert!(bad.parse::<Accelerator>().is_err(), "{bad}");
        }
    }
}
