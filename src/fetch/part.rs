//! A partial download on disk: the bytes so far and their running digest.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::FetchError;
use crate::types::{Sha256, Sha256Hasher};

/// A `.part` file, open for appending.
pub(super) struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    hasher: Sha256Hasher,
}

impl Part {
    /// Opens what an earlier run left and reads it once for the digest; begins anew if there is
    /// more than `size`, or if `resume` is not wanted.
    pub(super) fn open(path: &Path, size: Option<u64>, resume: bool) -> Result<Self, FetchError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(FetchError::io("create", folder))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(FetchError::io("open", path))?;
        let mut part = Self {
            path: path.to_path_buf(),
            file,
            length: 0,
            hasher: Sha256Hasher::default(),
        };
        part.read_back()
            .map_err(FetchError::io("read", &part.path))?;
        if !resume || size.is_some_and(|size| part.length > size) {
            part.restart()?;
        }
        Ok(part)
    }

    fn read_back(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 17];
        loop {
            match self.file.read(&mut buffer)? {
                0 => return Ok(()),
                count => {
                    self.hasher.update(&buffer[..count]);
                    self.length += count as u64;
                }
            }
        }
    }

    /// Bytes so far.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Digest of the bytes so far.
    pub(super) fn digest(&self) -> Sha256 {
        self.hasher.clone().finish()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets everything.
    pub(super) fn restart(&mut self) -> Result<(), FetchError> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(FetchError::io("write", &self.path))?;
        self.length = 0;
        self.hasher = Sha256Hasher::default();
        Ok(())
    }

    /// Writes and hashes what comes until the sender is gone; runs on a thread of its own, so that
    /// disk and digest do not hold up the network.
    pub(super) fn drain(mut self, mut pieces: mpsc::Receiver<Bytes>) -> Result<Self, FetchError> {
        while let Some(piece) = pieces.blocking_recv() {
            self.file
                .write_all(&piece)
                .map_err(FetchError::io("write", &self.path))?;
            self.hasher.update(&piece);
            self.length += piece.len() as u64;
        }
        Ok(self)
    }
}
