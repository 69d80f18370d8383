//! The store: unpacked artifacts, named by what they hold, written once and never changed.
//!
//! ```text
//! store/<kind>/<key>/
//! ├── entry.json     what it came from, and every file with size and SHA-256
//! └── files/         the unpacked content, read-only
//! ```
//!
//! Kinds and keys: `wheels` and `pythons` by the SHA-256 of the archive, `trees` by content hash
//! ([`tree_hash`]), `built` by the hash of a build's inputs.
//!
//! An entry is unpacked into a folder beside its name and renamed when it is complete, under a lock
//! file of its own; so it exists whole or not at all, and two processes unpack it once. Archives
//! are judged before and while they are unpacked (`names`, `limits`, `unpack_zip`, `unpack_tar`,
//! `wheel`); one that breaks a rule leaves nothing behind.
//!
//! What would invalidate an entry is only a change of its files from outside: through a hard link
//! of a prefix by a program that insists (files are read-only), or by a power cut shortly after it
//! was written, since files are not forced to disk one by one. Linking compares sizes, which
//! notices the latter; `verify` compares digests.
//!
//! `add_*` use the global thread pool and must not be called from one of its own threads, where a
//! waiting task could be handed work that needs the lock it holds.

mod error;
mod limits;
mod names;
mod record;
mod tree_hash;
mod unpack;
mod unpack_tar;
mod unpack_zip;
mod upkeep;
mod verified;
mod wheel;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use error::{ArchiveFault, StoreError};
pub(crate) use record::hash_field;
pub use tree_hash::tree_hash;
pub use upkeep::{Damage, DamageKind, GcReport, Live, StoreSize};
pub use verified::VerifiedFile;

use crate::{
    home::Home,
    platform::{LockFile, Staging},
    progress::Task,
    types::Sha256,
};
use error::Blame;
use limits::Limits;
use names::NameCase;
use unpack::{Job, Purpose};
use unpack_tar::unpack_tar_gz;
use unpack_zip::unpack_zip;

/// Version of `entry.json`; an entry of another version counts as absent.
const SCHEMA: u32 = 1;
const ENTRY_FILE: &str = "entry.json";
const FILES: &str = "files";

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A wheel, by the digest of its file.
    Wheel,
    /// A CPython build, by the digest of its archive.
    Python,
    /// A source tree, by its content hash.
    Tree,
    /// A wheel built from a source distribution, by the hash of the build's inputs.
    Built,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Wheel, Self::Python, Self::Tree, Self::Built];

    /// The folder below `store/`.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Wheel => "wheels",
            Self::Python => "pythons",
            Self::Tree => "trees",
            Self::Built => "built",
        }
    }
}

/// One file of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// Relative to [`Entry::root`], with `/` between components.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Sha256,
    /// The owner may execute it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// A symbolic link of an entry. Its target stays inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLink {
    /// Relative to [`Entry::root`].
    pub path: String,
    /// As the archive spells it.
    pub target: String,
}

/// A complete entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its name in the store.
    pub key: Sha256,
    /// The folder that holds the files.
    pub root: PathBuf,
    /// File name of the archive.
    pub file_name: String,
    /// Digest of the archive.
    pub archive_sha256: Sha256,
    /// Bytes of all files.
    pub bytes: u64,
    /// For wheels, the name of the `.dist-info` folder; empty for others.
    pub dist_info: String,
    /// Files, sorted by path.
    pub files: Vec<StoredFile>,
    /// Symbolic links, sorted by path.
    pub links: Vec<StoredLink>,
}

/// `entry.json`.
#[derive(Serialize, Deserialize)]
struct EntryFile {
    schema: u32,
    file_name: String,
    archive_sha256: Sha256,
    bytes: u64,
    count: usize,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    dist_info: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    links: Vec<StoredLink>,
    files: Vec<StoredFile>,
}

/// Keeps `gc` from running while it lives. Take it before the first [`Store::has`] of an install
/// and keep it until the prefix (which then holds the files itself) stands.
#[derive(Debug)]
pub struct Hold {
    _lock: LockFile,
}

/// The store of one home. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    locks: PathBuf,
}

impl Store {
    /// The store of a home. Folders come about when something is put there.
    pub fn of(home: &Home) -> Self {
        Self {
            root: home.store(),
            locks: home.locks(),
        }
    }

    /// The store's own folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Keeps `gc` away; several may hold at once. Waits while a `gc` is running.
    pub fn hold(&self) -> Result<Hold, StoreError> {
        let path = self.hold_path();
        let lock = LockFile::acquire_shared(&path).map_err(StoreError::io("lock", path))?;
        Ok(Hold { _lock: lock })
    }

    /// Whether a complete entry is there: one `stat`.
    pub fn has(&self, kind: Kind, key: &Sha256) -> bool {
        self.path(kind, key).join(ENTRY_FILE).is_file()
    }

    /// A complete entry. One that cannot be read counts as absent, and is replaced when added.
    pub fn entry(&self, kind: Kind, key: &Sha256) -> Option<Entry> {
        let folder = self.path(kind, key);
        let text = fs::read(folder.join(ENTRY_FILE)).ok()?;
        let file: EntryFile = serde_json::from_slice(&text).ok()?;
        if file.schema != SCHEMA || file.count != file.files.len() {
            return None;
        }
        Some(Entry {
            kind,
            key: *key,
            root: folder.join(FILES),
            file_name: file.file_name,
            archive_sha256: file.archive_sha256,
            bytes: file.bytes,
            dist_info: file.dist_info,
            files: file.files,
            links: file.links,
        })
    }

    /// Whether the wheel with this digest is there.
    pub fn has_wheel(&self, sha256: &Sha256) -> bool {
        self.has(Kind::Wheel, sha256)
    }

    /// The wheel with this digest.
    pub fn wheel(&self, sha256: &Sha256) -> Option<Entry> {
        self.entry(Kind::Wheel, sha256)
    }

    /// The CPython build with this digest.
    pub fn python(&self, sha256: &Sha256) -> Option<Entry> {
        self.entry(Kind::Python, sha256)
    }

    /// The source tree with this content hash.
    pub fn tree(&self, tree_hash: &Sha256) -> Option<Entry> {
        self.entry(Kind::Tree, tree_hash)
    }

    /// The wheel that was built from these inputs.
    pub fn built(&self, inputs: &Sha256) -> Option<Entry> {
        self.entry(Kind::Built, inputs)
    }

    /// Unpacks a wheel, unless it is there. `file_name` decides which package it must be.
    pub fn add_wheel(
        &self,
        archive: &VerifiedFile,
        file_name: &str,
        progress: &dyn Task,
    ) -> Result<Entry, StoreError> {
        self.add(Kind::Wheel, &archive.sha256(), |staging| {
            self.unpack_wheel(archive, file_name, staging, progress)
        })
    }

    /// Unpacks a wheel that was built from the given inputs, unless it is there.
    pub fn add_built(
        &self,
        inputs: &Sha256,
        archive: &VerifiedFile,
        file_name: &str,
        progress: &dyn Task,
    ) -> Result<Entry, StoreError> {
        self.add(Kind::Built, inputs, |staging| {
            self.unpack_wheel(archive, file_name, staging, progress)
        })
    }

    /// Unpacks a CPython build (`.tar.gz` with everything in `python/`), unless it is there.
    pub fn add_python(
        &self,
        archive: &VerifiedFile,
        file_name: &str,
        progress: &dyn Task,
    ) -> Result<Entry, StoreError> {
        self.add(Kind::Python, &archive.sha256(), |staging| {
            let job = job(archive.path(), file_name, staging, progress);
            let unpacked = unpack_tar_gz(&job, Some("python"), NameCase::AsSystem)?;
            Ok(EntryFile::of(
                file_name,
                archive.sha256(),
                unpacked.files,
                unpacked.links,
            ))
        })
    }

    /// Unpacks a source tree (`.tar.gz` with one top folder) and names it by its content hash,
    /// which must be the expected one where that is known.
    pub fn add_tree(
        &self,
        archive: &Path,
        file_name: &str,
        expected: Option<&Sha256>,
        progress: &dyn Task,
    ) -> Result<Entry, StoreError> {
        if let Some(entry) = expected.and_then(|key| self.tree(key)) {
            return Ok(entry);
        }
        let file = fs::File::open(archive).map_err(StoreError::io("open", archive))?;
        let archive_sha256 = Sha256::of_reader(file).map_err(StoreError::io("read", archive))?;
        // The key is not known before everything is unpacked, so the archive lends its own.
        let lock = self.lock(Kind::Tree, &archive_sha256)?;
        let staging = self.stage(Kind::Tree, &archive_sha256)?;
        let job = job(archive, file_name, staging.path(), progress);
        let unpacked = unpack_tar_gz(&job, None, NameCase::Ignore)?;
        let key = tree_hash(&unpacked.files, &unpacked.links);
        if let Some(expected) = expected.filter(|expected| **expected != key) {
            return Err(StoreError::TreeHash {
                archive: file_name.to_owned(),
                expected: *expected,
                got: key,
            });
        }
        let file = EntryFile::of(file_name, archive_sha256, unpacked.files, unpacked.links);
        self.complete(staging, Kind::Tree, &key, &file)?;
        drop(lock);
        self.read_back(Kind::Tree, &key)
    }

    /// Removes an entry, waiting for whoever is unpacking it.
    pub fn remove(&self, kind: Kind, key: &Sha256) -> Result<(), StoreError> {
        let lock = self.lock(kind, key)?;
        let folder = self.path(kind, key);
        if folder.symlink_metadata().is_ok() {
            crate::platform::remove_tree(&folder).map_err(StoreError::io("remove", folder))?;
        }
        lock.remove();
        Ok(())
    }

    fn unpack_wheel(
        &self,
        archive: &VerifiedFile,
        file_name: &str,
        staging: &Path,
        progress: &dyn Task,
    ) -> Result<EntryFile, StoreError> {
        let blame = Blame { archive: file_name };
        let job = job(archive.path(), file_name, staging, progress);
        let files = unpack_zip(&job, false)?;
        let dist_info = wheel::find_dist_info(&files, file_name, blame)?;
        wheel::check_record(&staging.join(FILES), &files, &dist_info, blame)?;
        let mut entry = EntryFile::of(file_name, archive.sha256(), files, Vec::new());
        entry.dist_info = dist_info;
        Ok(entry)
    }

    /// The way every entry comes about: look, lock, look again, stage, fill, rename.
    fn add(
        &self,
        kind: Kind,
        key: &Sha256,
        fill: impl FnOnce(&Path) -> Result<EntryFile, StoreError>,
    ) -> Result<Entry, StoreError> {
        if let Some(entry) = self.entry(kind, key) {
            return Ok(entry);
        }
        let lock = self.lock(kind, key)?;
        if let Some(entry) = self.entry(kind, key) {
            return Ok(entry);
        }
        let staging = self.stage(kind, key)?;
        let file = fill(staging.path())?;
        self.complete(staging, kind, key, &file)?;
        drop(lock);
        self.read_back(kind, key)
    }

    fn stage(&self, kind: Kind, key: &Sha256) -> Result<Staging, StoreError> {
        let parent = self.folder(kind);
        let staging = Staging::begin(&parent, &key.to_string())
            .map_err(StoreError::io("create a folder in", parent))?;
        let files = staging.path().join(FILES);
        fs::create_dir(&files).map_err(StoreError::io("create", files))?;
        Ok(staging)
    }

    fn complete(
        &self,
        staging: Staging,
        kind: Kind,
        key: &Sha256,
        file: &EntryFile,
    ) -> Result<(), StoreError> {
        let path = staging.path().join(ENTRY_FILE);
        let write = || {
            let mut writer = BufWriter::new(fs::File::create(&path)?);
            serde_json::to_writer(&mut writer, file)?;
            writer.into_inner()?.flush()
        };
        write().map_err(StoreError::io("write", &path))?;
        let destination = self.path(kind, key);
        staging
            .commit(&destination)
            .map_err(StoreError::io("create", destination))
    }

    fn read_back(&self, kind: Kind, key: &Sha256) -> Result<Entry, StoreError> {
        self.entry(kind, key).ok_or_else(|| {
            StoreError::io("read", self.path(kind, key).join(ENTRY_FILE))(
                std::io::ErrorKind::NotFound.into(),
            )
        })
    }

    /// Where the files of an entry are, or would be.
    pub fn files_of(&self, kind: Kind, key: &Sha256) -> PathBuf {
        self.path(kind, key).join(FILES)
    }

    fn folder(&self, kind: Kind) -> PathBuf {
        self.root.join(kind.folder())
    }

    fn path(&self, kind: Kind, key: &Sha256) -> PathBuf {
        self.folder(kind).join(key.to_string())
    }

    fn lock_path(&self, kind: Kind, key: &str) -> PathBuf {
        self.locks
            .join(format!("store-{}-{key}.lock", kind.folder()))
    }

    fn hold_path(&self) -> PathBuf {
        self.locks.join("store.lock")
    }

    fn lock(&self, kind: Kind, key: &Sha256) -> Result<LockFile, StoreError> {
        let path = self.lock_path(kind, &key.to_string());
        LockFile::acquire(&path).map_err(StoreError::io("lock", path))
    }
}

impl EntryFile {
    fn of(
        file_name: &str,
        archive_sha256: Sha256,
        files: Vec<StoredFile>,
        links: Vec<StoredLink>,
    ) -> Self {
        Self {
            schema: SCHEMA,
            file_name: file_name.to_owned(),
            archive_sha256,
            bytes: files.iter().map(|file| file.size).sum(),
            count: files.len(),
            dist_info: String::new(),
            links,
            files,
        }
    }
}

fn job<'a>(archive: &'a Path, label: &'a str, staging: &Path, progress: &'a dyn Task) -> Job<'a> {
    Job {
        archive,
        label,
        into: staging.join(FILES),
        purpose: Purpose::Shared,
        limits: Limits::default(),
        progress,
    }
}

/// Unpacks a source distribution (`.tar.gz` or `.zip` with one top folder) into an empty folder,
/// without that folder, to be worked on. It is judged like everything else.
pub fn unpack_source(
    archive: &VerifiedFile,
    file_name: &str,
    into: &Path,
) -> Result<(), StoreError> {
    let silent = crate::progress::Silent;
    let task = crate::progress::Progress::task(&silent, file_name, None);
    let job = Job {
        archive: archive.path(),
        label: file_name,
        into: into.to_path_buf(),
        purpose: Purpose::Private,
        limits: Limits::default(),
        progress: &*task,
    };
    if file_name.ends_with(".zip") {
        unpack_zip(&job, true)?;
    } else {
        unpack_tar_gz(&job, None, NameCase::AsSystem)?;
    }
    Ok(())
}
