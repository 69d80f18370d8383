//! Reading a saved machine: a report of `aienv doctor --report`, or the machine in it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Machine, SCHEMA};
use crate::error::UserError;

/// A saved machine that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The file cannot be read.
    #[error("could not read the report `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is something else.
    #[error("`{}` is not a report of `aienv doctor`", path.display())]
    NotAReport {
        /// The file.
        path: PathBuf,
        /// What is missing or of the wrong kind.
        #[source]
        source: serde_json::Error,
    },
    /// A later aienv wrote it.
    #[error(
        "the report `{}` has format {found}, and this aienv knows formats up to {SCHEMA}",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
}

impl UserError for MachineError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "doctor.unreadable",
            Self::NotAReport { .. } => "doctor.not-a-report",
            Self::Newer { .. } => "doctor.newer-format",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Newer { .. } => Some("update aienv on this machine".to_owned()),
            Self::Read { source, .. } if source.kind() != io::ErrorKind::NotFound => None,
            _ => Some(
                "write it on the machine it describes: `aienv doctor --report report.json`"
                    .to_owned(),
            ),
        }
    }
}

/// A report is read for the machine in it.
#[derive(Deserialize)]
struct Report {
    machine: serde_json::Value,
}

/// The one field that every format has.
#[derive(Deserialize)]
struct Format {
    schema: u64,
}

impl Machine {
    /// Reads the machine out of a report.
    ///
    /// # Errors
    /// When the file is missing, no report, or of a later format.
    pub fn load(path: &Path) -> Result<Self, MachineError> {
        let bytes = fs::read(path).map_err(|source| MachineError::Read {
            path: path.to_owned(),
            source,
        })?;
        let refuse = |source| MachineError::NotAReport {
            path: path.to_owned(),
            source,
        };
        // Editors of Windows put a byte order mark in front.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let report: Report = serde_json::from_slice(bytes).map_err(refuse)?;
        let format = Format::deserialize(&report.machine).map_err(refuse)?;
        if format.schema > SCHEMA.into() {
            return Err(MachineError::Newer {
                path: path.to_owned(),
                found: format.schema,
            });
        }
        serde_json::from_value(report.machine).map_err(refuse)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_no_report_is_told_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("report.json");
        let code = |text: &str| {
            fs::write(&file, text).unwrap();
            let error = Machine::load(&file).unwrap_err();
            assert!(error.hint().is_some());
            error.code()
        };
        assert_eq!(code(""), "doctor.not-a-report");
        assert_eq!(code("[]"), "doctor.not-a-report");
        assert_eq!(
            code("{\"machine\": {\"schema\": 1}}"),
            "doctor.not-a-report"
        );
        assert_eq!(
            code("{\"machine\": {\"schema\": 99}}"),
            "doctor.newer-format"
        );
        let missing = Machine::load(&folder.path().join("none")).unwrap_err();
        assert_eq!(missing.code(), "doctor.unreadable");
    }
}
