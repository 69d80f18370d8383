//! Stage, complete, rename: a folder exists whole under its name or not at all.
//!
//! A folder is built beside its final name as `.tmp-<name>` and renamed when complete. The name is
//! fixed, because whoever stages holds the lock of that name; so the next run finds what a killed
//! one left and removes it. Removal is a rename to `.trash-…` first, so that nobody sees half a
//! folder.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

const STAGING: &str = ".tmp-";
const TRASH: &str = ".trash-";

/// A folder under construction. Dropped without [`Staging::commit`], it is removed.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    committed: bool,
}

impl Staging {
    /// Creates the empty staging folder for `name` in `parent`. The caller holds the lock that
    /// belongs to the name; what an earlier run left there is removed.
    pub fn begin(parent: &Path, name: &str) -> io::Result<Self> {
        let path = parent.join(format!("{STAGING}{name}"));
        fs::create_dir_all(parent)?;
        if path.symlink_metadata().is_ok() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir(&path)?;
        Ok(Self {
            path,
            committed: false,
        })
    }

    /// Where to build.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Renames the folder to its final name, replacing what is there.
    pub fn commit(mut self, destination: &Path) -> io::Result<()> {
        if destination.symlink_metadata().is_ok() {
            remove_tree(destination)?;
        }
        rename_patiently(&self.path, destination)?;
        self.committed = true;
        Ok(())
    }

    /// The name that a folder entry is staged for, if it is a staging folder.
    pub fn staged_name(file_name: &str) -> Option<&str> {
        file_name.strip_prefix(STAGING)
    }

    /// Whether a folder entry is on its way out.
    pub fn is_trash(file_name: &str) -> bool {
        file_name.starts_with(TRASH)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.committed {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// On Windows a virus scanner that has a file open makes the first renames fail.
fn rename_patiently(from: &Path, to: &Path) -> io::Result<()> {
    /// `ERROR_SHARING_VIOLATION`, for which the standard library has no kind.
    const IN_USE: i32 = 32;
    let attempts = if cfg!(windows) { 8 } else { 1 };
    let mut pause = std::time::Duration::from_millis(20);
    for _ in 1..attempts {
        match fs::rename(from, to) {
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    || error.raw_os_error() == Some(IN_USE) =>
            {
                std::thread::sleep(pause);
                pause *= 2;
            }
            other => return other,
        }
    }
    fs::rename(from, to)
}

/// Removes a folder with everything in it: out of sight in one step, then deleted.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = OsString::from(TRASH);
    hidden.push(name);
    hidden.push(format!("-{}", std::process::id()));
    let trash = path.with_file_name(hidden);
    if trash.symlink_metadata().is_ok() {
        fs::remove_dir_all(&trash)?;
    }
    rename_patiently(path, &trash)?;
    fs::remove_dir_all(&trash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Staging::begin(folder.path(), "one").unwrap();
        fs::write(stage.path().join("half"), "").unwrap();
        drop(stage);
        assert!(names(folder.path()).is_empty());

        // A killed process leaves its folder; the next one starts from nothing.
        fs::create_dir(folder.path().join(".tmp-one")).unwrap();
        fs::write(folder.path().join(".tmp-one/half"), "").unwrap();
        let stage = Staging::begin(folder.path(), "one").unwrap();
        assert!(names(stage.path()).is_empty());
        fs::write(stage.path().join("whole"), "").unwrap();
        stage.commit(&folder.path().join("one")).unwrap();
        assert_eq!(names(folder.path()), ["one"]);
        assert_eq!(names(&folder.path().join("one")), ["whole"]);

        let again = Staging::begin(folder.path(), "one").unwrap();
        again.commit(&folder.path().join("one")).unwrap();
        assert!(names(&folder.path().join("one")).is_empty());
        remove_tree(&folder.path().join("one")).unwrap();
        assert!(names(folder.path()).is_empty());
    }
}
