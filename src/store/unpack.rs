//! What unpacking zip and tar archives has in common: where files go and how they are written.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{Read, Write as _},
    path::{Path, PathBuf},
};

use super::{
    error::{ArchiveFault, Blame, StoreError, decoder_fault},
    limits::Limits,
};
use crate::{
    platform,
    progress::Task,
    types::{Sha256, Sha256Hasher},
};

/// Bytes moved at a time; one buffer per worker, so memory does not grow with the archive.
const BUFFER: usize = 128 * 1024;

/// What unpacked files are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be linked into prefixes: read-only.
    Shared,
    /// To be worked on (a build): writable.
    Private,
}

/// One unpacking.
pub(crate) struct Job<'a> {
    pub(crate) archive: &'a Path,
    /// File name for messages.
    pub(crate) label: &'a str,
    /// Existing, empty folder.
    pub(crate) into: PathBuf,
    pub(crate) purpose: Purpose,
    pub(crate) limits: Limits,
    /// Told the unpacked bytes.
    pub(crate) progress: &'a dyn Task,
}

impl<'a> Job<'a> {
    pub(crate) fn blame(&self) -> Blame<'a> {
        Blame {
            archive: self.label,
        }
    }

    /// Where an entry of a clean name goes.
    pub(crate) fn target(&self, name: &str) -> PathBuf {
        self.into.join(name)
    }

    /// Creates every folder that the names lie in, each once.
    pub(crate) fn create_folders<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), StoreError> {
        let mut folders = BTreeSet::new();
        for name in names {
            let mut rest = name;
            while let Some((folder, _)) = rest.rsplit_once('/') {
                if !folders.insert(folder) {
                    break;
                }
                rest = folder;
            }
        }
        for folder in folders {
            let path = self.target(folder);
            match fs::create_dir(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => other.map_err(StoreError::io("create", path))?,
            }
        }
        Ok(())
    }

    fn create(&self, path: &Path, executable: bool) -> std::io::Result<File> {
        match self.purpose {
            Purpose::Shared => platform::create_shared_file(path, executable),
            Purpose::Private => {
                let file = OpenOptions::new().write(true).create_new(true).open(path)?;
                if executable {
                    platform::set_executable(path, true)?;
                }
                Ok(file)
            }
        }
    }

    /// Writes one file of `declared` bytes and gives its digest.
    pub(crate) fn write_file(
        &self,
        name: &str,
        declared: u64,
        executable: bool,
        content: &mut dyn Read,
        buffer: &mut Buffer,
    ) -> Result<Sha256, StoreError> {
        let path = self.target(name);
        let mut file = self
            .create(&path, executable)
            .map_err(StoreError::io("create", &path))?;
        let mut hasher = Sha256Hasher::default();
        let mut written = 0u64;
        loop {
            let count = match content.read(&mut buffer.0) {
                // The last read also makes the decoder check its checksum.
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.blame().entry(name, decoder_fault(&error))),
            };
            written += count as u64;
            if written > declared {
                let more = true;
                let fault = ArchiveFault::SizeMismatch { declared, more };
                return Err(self.blame().entry(name, fault));
            }
            let bytes = &buffer.0[..count];
            hasher.update(bytes);
            file.write_all(bytes)
                .map_err(StoreError::io("write", &path))?;
            self.progress.advance(count as u64);
        }
        if written < declared {
            let more = false;
            let fault = ArchiveFault::SizeMismatch { declared, more };
            return Err(self.blame().entry(name, fault));
        }
        Ok(hasher.finish())
    }
}

/// A worker's buffer.
pub(crate) struct Buffer(Box<[u8]>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; BUFFER].into_boxed_slice())
    }
}
