//! What can go wrong on the way to a manifest.

use std::{fmt, io, path::PathBuf};

use super::finding::Finding;
use crate::error::UserError;

/// No manifest can be given.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No tool has this name.
    #[error("no tool is called `{reference}`")]
    Unknown {
        /// What was asked for.
        reference: String,
        /// Names that may have been meant, likeliest first.
        nearest: Vec<String>,
    },
    /// A manifest file could not be read.
    #[error("cannot read the manifest `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder of manifests could not be listed.
    #[error("cannot list the manifests in `{path}`")]
    UnreadableFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is far too large for a manifest.
    #[error("`{path}` is no manifest: it is larger than {limit}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most a manifest may have, for people.
        limit: String,
    },
    /// A manifest has problems.
    #[error("{0}")]
    Invalid(InvalidManifest),
    /// Two files of one folder describe the same tool.
    #[error("`{first}` and `{second}` both describe the tool `{name}`")]
    Duplicate {
        /// The tool.
        name: String,
        /// The file that is used.
        first: PathBuf,
        /// The file that is not.
        second: PathBuf,
    },
}

/// Everything that is wrong with one manifest.
#[derive(Debug)]
pub struct InvalidManifest {
    /// The file, or the embedded name.
    pub file: String,
    /// At least one.
    pub findings: Vec<Finding>,
}

impl fmt::Display for InvalidManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.findings.len();
        let problems = if count == 1 { "problem" } else { "problems" };
        write!(f, "the manifest `{}` has {count} {problems}", self.file)?;
        for finding in &self.findings {
            write!(f, "\n{}:{finding}", self.file)?;
        }
        Ok(())
    }
}

impl UserError for CatalogError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "catalog.unknown-tool",
            Self::Unreadable { .. } => "catalog.unreadable",
            Self::UnreadableFolder { .. } => "catalog.unreadable-folder",
            Self::TooLarge { .. } => "catalog.too-large",
            Self::Invalid(_) => "catalog.invalid-manifest",
            Self::Duplicate { .. } => "catalog.duplicate",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { nearest, .. } => Some(match nearest.as_slice() {
                [] => {
                    "`aienv list` shows every tool, `aienv search WORDS` looks for one".to_owned()
                }
                names => format!(
                    "did you mean `{}`? `aienv list` shows every tool",
                    names.join("` or `")
                ),
            }),
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => Some(
                "a name with a path separator or ending in `.toml` is taken for a file; check the \
                 path, or give the name of a tool (`aienv list`)"
                    .to_owned(),
            ),
            Self::Unreadable { .. } | Self::UnreadableFolder { .. } => {
                Some("check that the path is right and that you may read it".to_owned())
            }
            Self::TooLarge { .. } => Some("give the path of a manifest file".to_owned()),
            Self::Invalid(_) => Some(
                "`aienv catalog lint FILE` checks a manifest again; docs/manifest.md explains \
                 every key"
                    .to_owned(),
            ),
            Self::Duplicate { .. } => Some("remove one of the two files".to_owned()),
        }
    }

    /// A name that nothing has is a slip of the pen; a file that is wrong is not.
    fn is_usage(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}
