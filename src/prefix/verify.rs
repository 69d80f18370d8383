//! Whether a prefix is still what was built: its files against the `RECORD` of each package, its
//! packages against the lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    str::FromStr as _,
};

use super::{Prefix, PrefixError};
use crate::{
    lock::Lock,
    store::hash_field,
    types::{PackageName, Sha256, Version},
};

/// One file of a prefix that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// `is gone`, `was changed` or `was added`.
    pub how: &'static str,
}

/// A package by its name and version.
type Identity = (PackageName, Version);

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

    /// What was installed into the prefix or removed from it behind the lock's back: records of
    /// packages that are gone or were added, and whatever lies beside the packages and came with
    /// none. Contents of files are not looked at.
    ///
    /// # Errors
    /// The folder of packages cannot be read.
    pub fn departures(&self, lock: &Lock) -> Result<Vec<Damaged>, PrefixError> {
        let site = self.site_packages();
        let mut packages: BTreeMap<Identity, PathBuf> = BTreeMap::new();
        let mut brought: BTreeSet<String> = BTreeSet::from(["__pycache__".to_owned()]);
        let mut others = Vec::new();
        let entries = fs::read_dir(&site).map_err(PrefixError::io("read", &site))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            match name.strip_suffix(".dist-info").and_then(identity) {
                Some(identity) => {
                    let record = fs::read(entry.path().join("RECORD")).unwrap_or_default();
                    brought.extend(first_parts(&record));
                    packages.insert(identity, entry.path());
                }
                None => others.push((name, entry.path())),
            }
        }
        let mut departures = Vec::new();
        for package in &lock.packages {
            let identity = (package.name.clone(), package.version.clone());
            if packages.remove(&identity).is_none() {
                departures.push(Damaged {
                    path: site.join(format!("{}-{}.dist-info", identity.0, identity.1)),
                    how: "is gone",
                });
            }
        }
        let strange = others
            .into_iter()
            .filter(|(name, _)| !brought.contains(name));
        let added = packages.into_values().chain(strange.map(|(_, path)| path));
        departures.extend(added.map(|path| Damaged {
            path,
            how: "was added",
        }));
        departures.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(departures)
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

/// `some_name-1.0` as a package.
fn identity(stem: &str) -> Option<Identity> {
    let (name, version) = stem.split_once('-')?;
    Some((
        PackageName::from_str(name).ok()?,
        Version::from_str(version).ok()?,
    ))
}

/// The first folder, or the file, of each path of a `RECORD`.
fn first_parts(record: &[u8]) -> BTreeSet<String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(record);
    let rows = reader.records().flatten();
    rows.filter_map(|row| Some(row.get(0)?.split('/').next()?.to_owned()))
        .collect()
}
