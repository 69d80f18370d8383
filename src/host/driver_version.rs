//! NVIDIA's driver versions as NVIDIA writes them: `580.95.05`, not `580.95.5`.
//!
//! The version type drops leading zeros. People search for the exact text, so the JSON form and
//! the command line put them back.

use std::str::FromStr as _;

use serde::{Deserialize as _, Deserializer, Serializer};

use crate::types::Version;

/// The usual spelling: two digits in the third place.
pub(super) fn spelled(version: &Version) -> String {
    match version.release() {
        [major, minor, third] => format!("{major}.{minor}.{third:02}"),
        _ => version.to_string(),
    }
}

pub(super) fn serialize<S: Serializer>(
    version: &Option<Version>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match version {
        Some(version) => serializer.serialize_some(&spelled(version)),
        None => serializer.serialize_none(),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Version>, D::Error> {
    Option::<String>::deserialize(deserializer)?
        .map(|text| Version::from_str(&text).map_err(serde::de::Error::custom))
        .transpose()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn spellings() {
        for text in ["580.95.05", "470.256.02", "525.60.13", "581.42"] {
            assert_eq!(spelled(&text.parse().unwrap()), text);
        }
    }
}
