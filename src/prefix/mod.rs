//! The prefix: a lock made real, one immutable environment in a folder of its own.
//!
//! A prefix is what PEP 405 calls a virtual environment: an interpreter link, a `pyvenv.cfg` and a
//! `site-packages`, filled with links to the files of the store. aienv writes all of it itself;
//! neither pip nor `venv` is asked, so an interpreter without them will do.
//!
//! It is named by the digest of its lock, built aside under a lock file and renamed when complete.
//! So it exists whole or not at all, a prefix that is there costs one `stat`, and nothing in it is
//! ever edited: a change is another lock and another prefix.
//!
//! Files are shared with the store and with other prefixes (see [`crate::platform::Linker`]). Where
//! they are hard links they are read-only; a program that first makes one writable and then
//! changes it in place changes it everywhere. Tools that install packages into themselves do not
//! do that (they write new files); `aienv cache verify` finds whoever does.

mod build;
mod error;
mod interrogate;
mod layout;
mod plan;
pub mod pythons;
mod runtime;
mod scripts;
mod verify;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

pub use error::{PrefixError, RuntimeError};
pub use interrogate::{InterpreterCache, InterpreterFacts, OLDEST};
pub use runtime::{PythonRuntime, check_runtime, lock_system_python};
pub use verify::Damaged;

use crate::{
    home::Home,
    lock::Lock,
    platform::{self, LockFile, Staging},
    progress::Progress,
    store::{Entry, Store},
    types::PackageName,
};
use layout::Layout;

/// The key of `pyvenv.cfg` that tells aienv where site-packages is; interpreters ignore it.
const SITE_PACKAGES_KEY: &str = "aienv-site-packages";

/// What a prefix is made of.
#[derive(Clone, Copy, Debug)]
pub struct PrefixRequest<'a> {
    /// Its name below `prefixes/`: the digest of everything below.
    pub name: &'a str,
    /// What is installed.
    pub lock: &'a Lock,
    /// The interpreter.
    pub python: &'a PythonRuntime,
    /// The wheels that were built from the lock's source distributions.
    pub built: &'a BTreeMap<PackageName, Entry>,
    /// Programs that get a name in the scripts folder: name → path below site-packages, which may
    /// hold one `*` in its last component.
    pub programs: &'a BTreeMap<String, String>,
    /// Compile all modules now instead of at their first import.
    pub compile: bool,
}

/// A complete prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    path: PathBuf,
    /// Relative.
    site_packages: String,
}

impl Prefix {
    /// The prefix, built if it is not there. Everything it needs must be in the store.
    ///
    /// Two processes that ask for the same one build it once. Uses the global thread pool and must
    /// not be called from one of its threads.
    pub fn ensure(
        home: &Home,
        store: &Store,
        request: &PrefixRequest<'_>,
        progress: &dyn Progress,
    ) -> Result<Self, PrefixError> {
        let layout = Layout::of(request.python);
        let prefix = Self {
            path: home.prefixes().join(request.name),
            site_packages: layout.site_packages(),
        };
        if prefix.path.is_dir() {
            return Ok(prefix);
        }
        let lock_path = lock_path(home, request.name);
        let _lock = LockFile::acquire(&lock_path).map_err(PrefixError::io("lock", lock_path))?;
        if prefix.path.is_dir() {
            return Ok(prefix);
        }
        let parent = home.prefixes();
        let staging = Staging::begin(&parent, request.name)
            .map_err(PrefixError::io("create a folder in", parent))?;
        build::Build {
            stage: staging.path(),
            destination: &prefix.path,
            layout: &layout,
            request,
            store,
            progress,
        }
        .run()?;
        staging
            .commit(&prefix.path)
            .map_err(PrefixError::io("create", &prefix.path))?;
        Ok(prefix)
    }

    /// The prefix of this name, if it is there.
    pub fn open(home: &Home, name: &str) -> Option<Self> {
        let path = home.prefixes().join(name);
        let config = fs::read_to_string(path.join("pyvenv.cfg")).ok()?;
        let site_packages = config.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == SITE_PACKAGES_KEY).then(|| value.trim().to_owned())
        })?;
        Some(Self {
            path,
            site_packages,
        })
    }

    /// Names of all prefixes, sorted.
    pub fn names(home: &Home) -> Vec<String> {
        let Ok(entries) = fs::read_dir(home.prefixes()) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort_unstable();
        names
    }

    /// Removes what interrupted runs left and nobody works on; the number of folders.
    pub fn remove_leftovers(home: &Home) -> Result<usize, PrefixError> {
        let Ok(entries) = fs::read_dir(home.prefixes()) else {
            return Ok(0);
        };
        let mut count = 0;
        for entry in entries.flatten() {
            let Ok(file_name) = entry.file_name().into_string() else {
                continue;
            };
            let path = entry.path();
            if let Some(name) = Staging::staged_name(&file_name) {
                let lock_path = lock_path(home, name);
                let lock = LockFile::try_acquire(&lock_path)
                    .map_err(PrefixError::io("lock", lock_path))?;
                let Some(lock) = lock else { continue };
                platform::remove_tree(&path).map_err(PrefixError::io("remove", path))?;
                lock.remove();
                count += 1;
            } else if Staging::is_trash(&file_name) {
                fs::remove_dir_all(&path).map_err(PrefixError::io("remove", path))?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// The folder of the prefix.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The interpreter of the environment.
    pub fn python(&self) -> PathBuf {
        let name = if cfg!(windows) {
            "python.exe"
        } else {
            "python"
        };
        self.bin().join(name)
    }

    /// The folder of scripts.
    pub fn bin(&self) -> PathBuf {
        self.path
            .join(if cfg!(windows) { "Scripts" } else { "bin" })
    }

    /// The folder of packages.
    pub fn site_packages(&self) -> PathBuf {
        self.path.join(&self.site_packages)
    }

    /// Where the `data` scheme of wheels goes: the prefix itself.
    pub fn data(&self) -> &Path {
        &self.path
    }

    /// The source tree, for tools that are one.
    pub fn tree(&self) -> PathBuf {
        self.path.join("tree")
    }

    /// Removes it: out of sight in one step, then deleted.
    pub fn remove(self, home: &Home) -> Result<(), PrefixError> {
        let name = self
            .path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let lock_path = lock_path(home, &name);
        let lock = LockFile::acquire(&lock_path).map_err(PrefixError::io("lock", lock_path))?;
        if self.path.symlink_metadata().is_ok() {
            platform::remove_tree(&self.path).map_err(PrefixError::io("remove", self.path))?;
        }
        lock.remove();
        Ok(())
    }
}

fn lock_path(home: &Home, name: &str) -> PathBuf {
    home.locks().join(format!("prefix-{name}.lock"))
}
