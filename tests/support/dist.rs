//! A finished distribution file with what an index says about it.

use aienv::types::Sha256;

/// A wheel or source distribution, ready to be served.
#[derive(Clone, Debug)]
pub struct Dist {
    /// Normalised project name (PEP 503).
    pub project: String,
    /// Version as in the file name.
    pub version: String,
    /// File name.
    pub file_name: String,
    /// The archive.
    pub bytes: Vec<u8>,
    /// Core metadata as it stands in the archive; absent when no metadata can be promised.
    pub metadata: Option<String>,
    /// `Requires-Python`.
    pub requires_python: Option<String>,
    /// Reason it was yanked (PEP 592); may be empty.
    pub yanked: Option<String>,
}

impl Dist {
    /// Digest of the archive.
    pub fn sha256(&self) -> Sha256 {
        Sha256::of(&self.bytes)
    }

    /// Size of the archive in bytes.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The same file, withdrawn.
    pub fn yanked(mut self, reason: &str) -> Self {
        self.yanked = Some(reason.to_owned());
        self
    }

    /// The same file under another name.
    pub fn named(mut self, file_name: &str) -> Self {
        self.file_name = file_name.to_owned();
        self
    }
}

/// PEP 503: runs of `-`, `_` and `.` become one dash, letters lower case.
pub fn normalised(name: &str) -> String {
    let mut text = String::new();
    for part in name.split(['-', '_', '.']).filter(|p| !p.is_empty()) {
        if !text.is_empty() {
            text.push('-');
        }
        text.push_str(&part.to_lowercase());
    }
    text
}

/// The name as file names and `.dist-info` folders spell it: normalised, with underscores.
pub fn escaped(name: &str) -> String {
    normalised(name).replace('-', "_")
}
