//! A file whose digest was checked. The store takes archives only in this form, so that nothing
//! unverified can be unpacked.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use super::StoreError;
use crate::types::Sha256;

/// A file that had this digest when it was read.
#[derive(Clone, Debug)]
pub struct VerifiedFile {
    path: PathBuf,
    sha256: Sha256,
}

impl VerifiedFile {
    /// Reads the file and compares its digest.
    pub fn check(path: &Path, expected: &Sha256) -> Result<Self, StoreError> {
        let file = Self::read(path)?;
        if file.sha256 != *expected {
            return Err(StoreError::Digest {
                path: file.path,
                expected: *expected,
                got: file.sha256,
            });
        }
        Ok(file)
    }

    /// Reads a file that no digest is known of, such as one that was just built here.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("open", path))?;
        Ok(Self {
            path: path.to_path_buf(),
            sha256: Sha256::of_reader(file).map_err(StoreError::io("read", path))?,
        })
    }

    /// A file that was hashed while it was written; only for the code that did so.
    pub(crate) fn hashed_while_written(path: PathBuf, sha256: Sha256) -> Self {
        Self { path, sha256 }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its digest.
    pub fn sha256(&self) -> Sha256 {
        self.sha256
    }
}
