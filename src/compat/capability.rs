//! An NVIDIA compute capability and the code that runs on it.

use serde::Deserialize;

/// An NVIDIA compute capability, written `8.6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(pub u16, pub u16);

impl std::str::FromStr for Capability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (major, minor) = text.split_once('.')?;
            Some(Self(major.parse().ok()?, minor.parse().ok()?))
        };
        parse().ok_or_else(|| format!("`{text}` is not a compute capability such as `8.6`"))
    }
}

impl std::fmt::Display for Capability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What a build was compiled for: machine code for one capability, perhaps with its PTX beside it.
/// In a file `8.6` or `12.0+PTX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Code {
    /// The capability.
    pub capability: Capability,
    /// Whether the build holds PTX of it, which a driver can compile for later capabilities.
    pub ptx: bool,
}

impl Code {
    /// Whether its machine code runs on a GPU: same major version, minor version not later.
    pub fn runs_on(self, gpu: Capability) -> bool {
        self.capability.0 == gpu.0 && self.capability.1 <= gpu.1
    }

    /// Whether its PTX can be compiled for a GPU, by a driver that knows the toolkit natively.
    pub fn compiles_for(self, gpu: Capability) -> bool {
        self.ptx && self.capability <= gpu
    }
}

impl std::str::FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (capability, ptx) = match text.strip_suffix("+PTX") {
            Some(capability) => (capability, true),
            None => (text, false),
        };
        Ok(Self {
            capability: capability.parse()?,
            ptx,
        })
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ptx = if self.ptx { "+PTX" } else { "" };
        write!(f, "{}{ptx}", self.capability)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn machine_code_stays_in_its_major_and_ptx_goes_up() {
        let code: Code = "8.6".parse().unwrap();
        assert!(code.runs_on(Capability(8, 6)) && code.runs_on(Capability(8, 9)));
        assert!(!code.runs_on(Capability(8, 0)) && !code.runs_on(Capability(9, 0)));
        assert!(!code.compiles_for(Capability(9, 0)));
        let ptx: Code = "12.0+PTX".parse().unwrap();
        assert!(ptx.compiles_for(Capability(12, 1)) && ptx.compiles_for(Capability(13, 0)));
        assert!(!ptx.compiles_for(Capability(11, 0)));
        assert_eq!(ptx.to_string(), "12.0+PTX");
        for bad in ["", "8", "8.", "sm_86", "8.6+ptx", "8.6.1", "-1.0"] {
            assert!(bad.parse::<Code>().is_err(), "{bad}");
        }
    }
}
