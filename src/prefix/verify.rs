//! Whether a prefix is still what was built: its files against the `RECORD` of each package.

use std::{fs, path::PathBuf};

use super::{Prefix, PrefixError};
use crate::{store::hash_field, types::Sha256};

/// One file of a prefix that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// `is gone` or `was changed`.
    pub how: &'static str,
}

impl Prefix {
    /// The files that are gone or changed. Files that were added (byte code) are not looked at.
    ///
    /// # Errors
    /// The folder of packages cannot be read.
    pub fn damage(&self) -> Result<Vec<Damaged>, PrefixError> {
        let site = self.site_packages();
        let mut damaged = Vec::new();
        if !self.python().exists() {
            damaged.push(Damaged {
                path: self.python(),
                how: "is gone",
            });
        }
        let entries = fs::read_dir(&site).map_err(PrefixError::io("read", &site))?;
        for entry in entries.flatten() {
            let record = entry.path().join("RECORD");
            if entry.file_name().to_string_lossy().ends_with(".dist-info") {
                match fs::read(&record) {
                    Ok(text) => self.compare(&text, &mut damaged),
                    Err(_) => damaged.push(Damaged {
                        path: record,
                        how: "is gone",
                    }),
                }
            }
        }
        Ok(damaged)
    }

    fn compare(&self, record: &[u8], damaged: &mut Vec<Damaged>) {
        let site = self.site_packages();
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(record);
        for row in reader.records().flatten() {
            let (Some(path), Some(expected)) = (row.get(0), row.get(1)) else {
                continue;
            };
            let path = site.join(path);
            let Ok(file) = fs::File::open(&path) else {
                damaged.push(Damaged {
                    path,
                    how: "is gone",
                });
                continue;
            };
            // `RECORD` itself and byte code have no digest.
            if expected.is_empty() {
                continue;
            }
            let same = Sha256::of_reader(file).is_ok_and(|digest| hash_field(&digest) == expected);
            if !same {
                damaged.push(Damaged {
                    path,
                    how: "was changed",
                });
            }
        }
    }
}
