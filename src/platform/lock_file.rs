//! Locks between processes: an advisory lock on a file, released by the system when the process
//! ends in whatever way.
//!
//! Lock files stay after use, as removing one while another process waits for it would let two
//! processes hold "the" lock at once. [`LockFile::remove`] does it safely where the system lets us
//! find out that the file was replaced meanwhile (Unix), for the rare occasions of a clean-up.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// A held lock. Dropping it releases it.
#[derive(Debug)]
pub struct LockFile {
    file: File,
    path: PathBuf,
}

impl LockFile {
    /// Waits for the exclusive lock; creates the file and its folder when absent.
    pub fn acquire(path: &Path) -> io::Result<Self> {
        loop {
            let lock = Self::open(path)?;
            lock.file.lock()?;
            if lock.is_current() {
                return Ok(lock);
            }
        }
    }

    /// Waits for the lock shared with others that hold it shared.
    pub fn acquire_shared(path: &Path) -> io::Result<Self> {
        loop {
            let lock = Self::open(path)?;
            lock.file.lock_shared()?;
            if lock.is_current() {
                return Ok(lock);
            }
        }
    }

    /// The exclusive lock if it is free, `None` if somebody holds it.
    pub fn try_acquire(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let lock = Self::open(path)?;
            match lock.file.try_lock() {
                Ok(()) if lock.is_current() => return Ok(Some(lock)),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Releases the lock and removes its file (on Unix; elsewhere the file stays).
    pub fn remove(self) {
        if cfg!(unix) {
            let _ = fs::remove_file(&self.path);
        }
    }

    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Self {
            file,
            path: path.to_path_buf(),
        })
    }

    /// The path still leads to the file that is locked.
    #[cfg(unix)]
    fn is_current(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        match (self.file.metadata(), fs::metadata(&self.path)) {
            (Ok(held), Ok(named)) => held.dev() == named.dev() && held.ino() == named.ino(),
            _ => false,
        }
    }

    #[cfg(not(unix))]
    fn is_current(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_removal_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("locks/one.lock");
        let held = LockFile::acquire(&path).unwrap();
        assert!(LockFile::try_acquire(&path).unwrap().is_none());
        let waiter = {
            let path = path.clone();
            std::thread::spawn(move || LockFile::acquire(&path).unwrap())
        };
        held.remove();
        let second = waiter.join().unwrap();
        assert!(path.exists());
        assert!(LockFile::try_acquire(&path).unwrap().is_none());
        drop(second);
        assert!(LockFile::try_acquire(&path).unwrap().is_some());
    }
}
