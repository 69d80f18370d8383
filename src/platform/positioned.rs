//! One open file read from several threads, each at its own position.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::Arc,
};

/// A reader over a shared file. Clones are independent: each has its own position, and reads name
/// the place they read from, so no lock and no second file descriptor is needed.
#[derive(Clone, Debug)]
pub struct PositionedFile {
    file: Arc<File>,
    position: u64,
    length: u64,
}

impl PositionedFile {
    /// Starts at the beginning. The length is taken now: the file is not expected to grow.
    pub fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self {
            file: Arc::new(file),
            position: 0,
            length,
        })
    }

    /// Length of the file in bytes when it was opened.
    pub fn length(&self) -> u64 {
        self.length
    }
}

impl Read for PositionedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let count = std::os::unix::fs::FileExt::read_at(&*self.file, buffer, self.position)?;
        #[cfg(windows)]
        let count = std::os::windows::fs::FileExt::seek_read(&*self.file, buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for PositionedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
