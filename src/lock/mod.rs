//! The lock: a plan on disk, as a PEP 751 `pylock.toml` with a `[tool.aienv]` table.
//!
//! [`Lock`] is what every later room works from; two machines with the same lock get the same
//! bytes. Its digest names the prefix.

mod pylock;

use std::{collections::BTreeMap, io::Write as _, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use pylock::LockError;

use crate::types::{Accelerator, PackageName, Sha256, Sha256Hasher, Target, Version};

/// Everything that is to be installed for one tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Lock {
    /// The tool's name and version.
    pub tool: String,
    /// Version of the tool.
    pub version: Version,
    /// The machine kind it was made for.
    pub target: Target,
    /// The accelerator build.
    pub accelerator: Accelerator,
    /// The interpreter.
    pub python: LockedPython,
    /// Packages, sorted by name.
    pub packages: Vec<LockedPackage>,
    /// The source tree, for tools that are one.
    pub tree: Option<LockedTree>,
    /// Programs that get a name in the scripts folder: name → path below site-packages.
    pub programs: BTreeMap<String, String>,
    /// Environment variables that this machine's GPUs need, unless the user has set them: which of
    /// them are visible, and overrides.
    pub environment: BTreeMap<String, String>,
    /// The manifest's text: how the tool is started and what is tried after an install.
    pub manifest: String,
}

/// The interpreter a lock was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum LockedPython {
    /// A standalone CPython that aienv downloads and keeps in the store.
    Managed {
        /// Full version, `3.12.13`.
        version: Version,
        /// Release of the standalone builds, `20261009`.
        build: String,
        /// File name of the archive.
        file: String,
        /// Where it is, without credentials.
        url: String,
        /// Digest of the archive.
        sha256: Sha256,
    },
    /// An interpreter of the machine.
    System {
        /// Full version.
        version: Version,
        /// The executable, links resolved.
        path: PathBuf,
        /// Digest of the executable when the lock was made, so that a change is noticed. Absent in
        /// a lock made for another machine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<Sha256>,
    },
}

impl LockedPython {
    /// The full version.
    pub fn version(&self) -> &Version {
        match self {
            Self::Managed { version, .. } | Self::System { version, .. } => version,
        }
    }
}

/// One package.
#[derive(Clone, Debug, PartialEq)]
pub struct LockedPackage {
    /// Normalised name.
    pub name: PackageName,
    /// Version, local segment included.
    pub version: Version,
    /// What is downloaded.
    pub artifact: Artifact,
    /// Asked for by URL rather than from an index (PEP 610 records it in `direct_url.json`).
    pub direct: bool,
    /// Names of the packages of this lock it depends on.
    pub dependencies: Vec<PackageName>,
}

/// A downloadable file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Wheel or source distribution.
    pub kind: ArtifactKind,
    /// File name, which carries name, version and tags.
    pub file_name: String,
    /// Where it is, without credentials.
    pub url: String,
    /// Size in bytes if the index tells.
    pub size: Option<u64>,
    /// Digest.
    pub sha256: Sha256,
}

/// Kinds of artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ArtifactKind {
    /// A wheel (PEP 427).
    Wheel,
    /// A source distribution (PEP 625), built before it is installed.
    Sdist,
}

/// A source tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedTree {
    /// `owner/name`.
    pub repository: String,
    /// Full commit id.
    pub commit: String,
    /// Where the archive is.
    pub url: String,
    /// Content hash of the tree.
    pub tree_hash: Sha256,
}

impl Lock {
    /// What the lock comes to, whatever the URLs: interpreter, files and tree by their digests, and
    /// the programs. How the tool is started is no part of it.
    ///
    /// Two locks with the same digest build the same prefix, so it names the prefix.
    pub fn digest(&self) -> Sha256 {
        let mut hasher = Sha256Hasher::default();
        let mut line = |key: &str, values: &[&dyn std::fmt::Display]| {
            // Writing to a hasher cannot fail.
            let _ = write!(hasher, "{key}");
            for value in values {
                let _ = write!(hasher, "\0{value}");
            }
            let _ = writeln!(hasher);
        };
        line("prefix", &[&1]);
        match &self.python {
            LockedPython::Managed {
                version, sha256, ..
            } => {
                line("python", &[&"managed", version, sha256]);
            }
            LockedPython::System {
                version,
                path,
                sha256,
            } => {
                let digest = sha256.map_or_else(String::new, |digest| digest.to_string());
                line("python", &[&"system", version, &path.display(), &digest]);
            }
        }
        for package in &self.packages {
            let artifact = &package.artifact;
            let url = if package.direct {
                artifact.url.as_str()
            } else {
                ""
            };
            line("package", &[&artifact.file_name, &artifact.sha256, &url]);
        }
        if let Some(tree) = &self.tree {
            line("tree", &[&tree.tree_hash]);
        }
        for (name, path) in &self.programs {
            line("program", &[name, path]);
        }
        hasher.finish()
    }

    /// The name of the prefix: the first 128 bits of the digest.
    pub fn prefix_name(&self) -> String {
        self.digest().to_string()[..32].to_owned()
    }
}
