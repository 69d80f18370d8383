//! Upkeep of the store: how big it is, what nobody uses, what is damaged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
};

use rayon::prelude::*;
use serde::Serialize;

use super::{Entry, Kind, Store, StoreError, StoredFile};
use crate::{
    platform::{LockFile, Staging, remove_tree},
    progress::Task,
    types::Sha256,
};

/// The entries that are in use, by kind.
#[derive(Clone, Debug, Default)]
pub struct Live(BTreeSet<(Kind, Sha256)>);

impl Live {
    /// Marks an entry as used.
    pub fn insert(&mut self, kind: Kind, key: Sha256) {
        self.0.insert((kind, key));
    }

    /// Whether an entry is used.
    pub fn contains(&self, kind: Kind, key: &Sha256) -> bool {
        self.0.contains(&(kind, *key))
    }
}

/// What a clean-up removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GcReport {
    /// Entries.
    pub entries: usize,
    /// Bytes of their files. Those that a prefix still links to are freed with the prefix.
    pub bytes: u64,
    /// Folders that interrupted runs had left.
    pub leftovers: usize,
}

/// How much the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreSize {
    /// Entries and bytes by kind.
    pub kinds: BTreeMap<Kind, (usize, u64)>,
}

impl StoreSize {
    /// Bytes of everything.
    pub fn bytes(&self) -> u64 {
        self.kinds.values().map(|(_, bytes)| bytes).sum()
    }
}

/// How a file differs from what was unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageKind {
    /// Not there or not readable.
    Missing,
    /// Another size or content.
    Changed,
    /// The entry's own list cannot be read.
    Unreadable,
}

/// One damaged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// Kind of the entry.
    pub kind: Kind,
    /// Its key.
    pub key: Sha256,
    /// File name of the archive it came from, when known.
    pub file_name: String,
    /// The file (or the entry's folder).
    pub path: PathBuf,
    /// How.
    pub damage: DamageKind,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = match self.damage {
            DamageKind::Missing => "is gone",
            DamageKind::Changed => "was changed",
            DamageKind::Unreadable => "cannot be read",
        };
        write!(f, "{} {how}", self.path.display())?;
        if self.file_name.is_empty() {
            Ok(())
        } else {
            write!(f, " (from {})", self.file_name)
        }
    }
}

impl Store {
    /// Keys of all entries of a kind, sorted, complete or not.
    pub fn keys(&self, kind: Kind) -> Vec<Sha256> {
        let mut keys: Vec<Sha256> = folder_names(&self.folder(kind))
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        keys.sort_unstable();
        keys
    }

    /// Entries and bytes by kind, from the entries' own lists.
    pub fn size(&self) -> StoreSize {
        let kinds = Kind::ALL.map(|kind| {
            let entries: Vec<Entry> = self
                .keys(kind)
                .iter()
                .filter_map(|key| self.entry(kind, key))
                .collect();
            let bytes = entries.iter().map(|entry| entry.bytes).sum();
            (kind, (entries.len(), bytes))
        });
        StoreSize {
            kinds: kinds.into(),
        }
    }

    /// Entries that are not in use, with the bytes of their files.
    pub fn unused(&self, live: &Live) -> Vec<(Kind, Sha256, u64)> {
        Kind::ALL
            .into_iter()
            .flat_map(|kind| self.keys(kind).into_iter().map(move |key| (kind, key)))
            .filter(|(kind, key)| !live.contains(*kind, key))
            .map(|(kind, key)| {
                let bytes = self.entry(kind, &key).map_or(0, |entry| entry.bytes);
                (kind, key, bytes)
            })
            .collect()
    }

    /// Removes what is not in use, and what interrupted runs left. Waits until no install holds
    /// the store ([`Store::hold`]); `live` is therefore asked for only then.
    pub fn gc<E: From<StoreError>>(
        &self,
        live: impl FnOnce() -> Result<Live, E>,
    ) -> Result<GcReport, E> {
        let path = self.hold_path();
        let _alone = LockFile::acquire(&path).map_err(StoreError::io("lock", path))?;
        let live = live()?;
        let mut report = GcReport::default();
        for (kind, key, bytes) in self.unused(&live) {
            self.remove(kind, &key)?;
            report.entries += 1;
            report.bytes += bytes;
        }
        for kind in Kind::ALL {
            report.leftovers += self.remove_leftovers(kind)?;
        }
        Ok(report)
    }

    /// Removes staging folders that nobody works on, and half-removed folders.
    fn remove_leftovers(&self, kind: Kind) -> Result<usize, StoreError> {
        let folder = self.folder(kind);
        let mut count = 0;
        for name in folder_names(&folder) {
            let path = folder.join(&name);
            if let Some(key) = Staging::staged_name(&name) {
                let lock_path = self.lock_path(kind, key);
                let lock =
                    LockFile::try_acquire(&lock_path).map_err(StoreError::io("lock", lock_path))?;
                let Some(lock) = lock else { continue };
                remove_tree(&path).map_err(StoreError::io("remove", path))?;
                lock.remove();
                count += 1;
            } else if Staging::is_trash(&name) {
                fs::remove_dir_all(&path).map_err(StoreError::io("remove", path))?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Reads every file of every entry and compares it with what was unpacked. `progress` is told
    /// the bytes read ([`Store::size`] tells the total). Bytecode that an interpreter wrote beside
    /// its library is not looked at.
    pub fn verify(&self, progress: &dyn Task) -> Vec<Damage> {
        let mut damages = Vec::new();
        for kind in Kind::ALL {
            for key in self.keys(kind) {
                damages.extend(self.damage(kind, &key, progress));
            }
        }
        damages
    }

    /// Like [`verify`](Self::verify), for one entry; an entry that is not there has no damage.
    pub fn damage(&self, kind: Kind, key: &Sha256, progress: &dyn Task) -> Vec<Damage> {
        let path = self.path(kind, key);
        match self.entry(kind, key) {
            Some(entry) => verify_entry(&entry, progress),
            None if path.exists() => vec![Damage {
                kind,
                key: *key,
                file_name: String::new(),
                path,
                damage: DamageKind::Unreadable,
            }],
            None => Vec::new(),
        }
    }
}

fn verify_entry(entry: &Entry, progress: &dyn Task) -> Vec<Damage> {
    let report = |path: &Path, damage| Damage {
        kind: entry.kind,
        key: entry.key,
        file_name: entry.file_name.clone(),
        path: path.to_path_buf(),
        damage,
    };
    let mut damages: Vec<Damage> = entry
        .files
        .par_iter()
        .filter_map(|file| {
            let path = entry.root.join(&file.path);
            let damage = damage_of(&path, file);
            progress.advance(file.size);
            damage.map(|damage| report(&path, damage))
        })
        .collect();
    // Where links cannot be made, a link is a copy and has nothing to compare.
    for link in entry.links.iter().filter(|_| cfg!(unix)) {
        let path = entry.root.join(&link.path);
        match fs::read_link(&path) {
            Ok(target) if target == Path::new(&link.target) => {}
            Ok(_) => damages.push(report(&path, DamageKind::Changed)),
            Err(_) => damages.push(report(&path, DamageKind::Missing)),
        }
    }
    damages
}

fn damage_of(path: &Path, file: &StoredFile) -> Option<DamageKind> {
    let Ok(open) = File::open(path) else {
        return Some(DamageKind::Missing);
    };
    if open.metadata().map_or(0, |m| m.len()) != file.size {
        return Some(DamageKind::Changed);
    }
    match Sha256::of_reader(open) {
        Ok(digest) if digest == file.sha256 => None,
        Ok(_) => Some(DamageKind::Changed),
        Err(_) => Some(DamageKind::Missing),
    }
}

/// Names of what lies in a folder; nothing if it cannot be read.
fn folder_names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}
