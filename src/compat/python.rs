//! Support windows of CPython's feature releases.

use std::sync::LazyLock;

use jiff::civil::Date;
use serde::Deserialize;

use super::source::{Legend, Sources};
use crate::types::PythonVersion;

const DATA: &str = include_str!("../../manifests/compat/python.toml");

/// The table of `manifests/compat/python.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PythonFacts {
    /// Version of the file's form.
    pub schema: u32,
    /// Day the facts were read.
    pub as_of: Date,
    /// What the source keys stand for.
    pub sources: Legend,
    /// Feature releases, newest first.
    pub python: Vec<PythonRelease>,
}

/// A feature release of CPython.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PythonRelease {
    /// `3.12`
    pub release: PythonVersion,
    /// Day of its final release.
    pub first: Date,
    /// Last day of its security fixes.
    pub end: Date,
    /// Where this was read.
    pub source: Sources,
}

impl PythonRelease {
    /// Whether it is released and still gets fixes on a day.
    pub fn is_supported_on(&self, day: Date) -> bool {
        (self.first..=self.end).contains(&day)
    }
}

impl PythonFacts {
    /// The embedded table.
    pub fn embedded() -> &'static Self {
        static FACTS: LazyLock<PythonFacts> = LazyLock::new(|| {
            // The file is part of the program and a test reads it; it cannot be wrong at run time.
            PythonFacts::read(DATA).unwrap_or_else(|error| unreachable!("python.toml: {error}"))
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

    /// The row of a feature release.
    pub fn release(&self, release: PythonVersion) -> Option<&PythonRelease> {
        self.python.iter().find(|row| row.release == release)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn support_windows() {
        let facts = PythonFacts::embedded();
        let supported = |release: &str, day: &str| {
            let release = facts.release(release.parse().unwrap()).unwrap();
            release.is_supported_on(day.parse().unwrap())
        };
        assert!(!supported("3.12", "2023-10-01"));
        assert!(supported("3.12", "2023-10-02"));
        assert!(supported("3.12", "2028-10-31"));
        assert!(!supported("3.12", "2028-11-01"));
        assert!(facts.release(PythonVersion::new(2, 7)).is_none());
    }
}
