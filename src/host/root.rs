//! The file system as probes see it: `/` in production, a folder of fixtures in tests.
//!
//! Every Linux probe names absolute paths (`/proc/…`, `/sys/…`) and reads them through a [`Root`],
//! so that a captured tree of another machine can be probed as if it were this one.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where `/` is.
#[derive(Clone, Debug)]
pub(crate) struct Root(PathBuf);

// Other systems are asked through calls; a few paths are all they read.
#[cfg_attr(any(target_os = "macos", windows), allow(dead_code))]
impl Root {
    /// The real file system.
    pub(crate) fn system() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A tree that stands in for a machine.
    #[cfg(test)]
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Whether this is the machine itself, so that asking the process or a library is the same.
    pub(crate) fn is_system(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// Where an absolute path lies.
    pub(crate) fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    /// The text of a file; bytes that are not UTF-8 are replaced.
    pub(crate) fn read(&self, absolute: &str) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.path(absolute))?).into_owned())
    }

    /// The trimmed text of a small file; `None` when missing, unreadable or empty.
    pub(crate) fn word(&self, absolute: &str) -> Option<String> {
        let text = self.read(absolute).ok()?;
        // Device-tree strings end in NUL.
        let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A number, decimal or with `0x`.
    pub(crate) fn number(&self, absolute: &str) -> Option<u64> {
        let text = self.word(absolute)?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// The names in a folder, sorted; nothing for a missing one.
    pub(crate) fn list(&self, absolute: &str) -> Vec<String> {
        names(&self.path(absolute))
    }

    /// Whether anything is at this path.
    pub(crate) fn exists(&self, absolute: &str) -> bool {
        self.path(absolute).exists()
    }
}

/// The names in a folder that are valid UTF-8, sorted; nothing for a missing one.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Builds fixture trees.
#[cfg(test)]
pub(crate) mod fixture {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A temporary tree with the given files; a path that ends in `/` is an empty folder.
    pub(crate) struct Tree {
        /// Removed with the tree.
        _folder: tempfile::TempDir,
        pub(crate) root: Root,
    }

    impl Tree {
        pub(crate) fn new(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let tree = Self {
                root: Root::at(folder.path()),
                _folder: folder,
            };
            for (path, text) in files {
                tree.write(path, text.as_bytes());
            }
            tree
        }

        pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
            let full = self.root.path(path);
            if path.ends_with('/') {
                fs::create_dir_all(full).unwrap();
                return;
            }
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, bytes).unwrap();
        }
    }
}
