//! Small real archives for tests.
#![allow(clippy::unwrap_used)]

use std::{
    io::{Cursor, Write as _},
    path::Path,
};

use zip::{ZipWriter, write::SimpleFileOptions};

use super::{VerifiedFile, hash_field};
use crate::types::Sha256;

/// A wheel made in memory.
pub(crate) struct SampleWheel {
    name: String,
    version: String,
    files: Vec<(String, Vec<u8>, u32)>,
    record: Option<String>,
}

impl SampleWheel {
    /// A wheel with `METADATA` and `WHEEL` and nothing else yet.
    pub(crate) fn new(name: &str, version: &str) -> Self {
        let wheel = Self {
            name: name.to_owned(),
            version: version.to_owned(),
            files: Vec::new(),
            record: None,
        };
        let info = wheel.dist_info();
        wheel
            .file(
                &format!("{info}/METADATA"),
                format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
            )
            .file(
                &format!("{info}/WHEEL"),
                "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            )
    }

    pub(crate) fn dist_info(&self) -> String {
        format!("{}-{}.dist-info", self.name, self.version)
    }

    pub(crate) fn file_name(&self) -> String {
        format!("{}-{}-py3-none-any.whl", self.name, self.version)
    }

    /// Adds a file; one of the same name is replaced.
    pub(crate) fn file(self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.file_with_mode(path, content, 0o100_644)
    }

    pub(crate) fn file_with_mode(
        mut self,
        path: &str,
        content: impl Into<Vec<u8>>,
        mode: u32,
    ) -> Self {
        self.files.retain(|(p, _, _)| p != path);
        self.files.push((path.to_owned(), content.into(), mode));
        self
    }

    /// Adds `entry_points.txt`.
    pub(crate) fn entry_points(self, text: &str) -> Self {
        let path = format!("{}/entry_points.txt", self.dist_info());
        self.file(&path, text)
    }

    /// Uses this text as RECORD instead of a right one.
    pub(crate) fn record(mut self, text: &str) -> Self {
        self.record = Some(text.to_owned());
        self
    }

    /// A right RECORD.
    pub(crate) fn right_record(&self) -> String {
        let mut text = String::new();
        for (path, content, _) in &self.files {
            let hash = hash_field(&Sha256::of(content));
            text += &format!("\"{path}\",{hash},{}\n", content.len());
        }
        text + &format!("{}/RECORD,,\n", self.dist_info())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let record = self.record.clone().unwrap_or_else(|| self.right_record());
        let record_path = format!("{}/RECORD", self.dist_info());
        let mut entries: Vec<(&str, &[u8], u32)> = self
            .files
            .iter()
            .map(|(path, content, mode)| (path.as_str(), content.as_slice(), *mode))
            .collect();
        entries.push((&record_path, record.as_bytes(), 0o100_644));
        zip_of(&entries)
    }

    /// Writes the wheel into a folder.
    pub(crate) fn write(&self, folder: &Path) -> VerifiedFile {
        let path = folder.join(self.file_name());
        std::fs::write(&path, self.bytes()).unwrap();
        VerifiedFile::read(&path).unwrap()
    }
}

/// A zip archive of (name, content, mode).
pub(crate) fn zip_of(entries: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content, mode) in entries {
        let options = SimpleFileOptions::default().unix_permissions(*mode);
        if mode & 0o170_000 == 0o120_000 {
            let target = std::str::from_utf8(content).unwrap();
            writer.add_symlink(*name, target, options).unwrap();
            continue;
        }
        writer.start_file(*name, options).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An entry of a tar archive.
pub(crate) enum TarEntry<'a> {
    /// Path, content, mode.
    File(&'a str, &'a [u8], u32),
    /// Path, target.
    Symlink(&'a str, &'a str),
    /// Path, target.
    Hard(&'a str, &'a str),
    /// Path, type.
    Other(&'a str, tar::EntryType),
}

/// A tar archive, gzipped. Names are written as given, however bad.
pub(crate) fn tar_gz_of(entries: &[TarEntry<'_>], level: u32, mtime: u64) -> Vec<u8> {
    let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    let mut builder = tar::Builder::new(encoder);
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(mtime);
        let (name, content, mode, kind, target): (_, &[u8], _, _, _) = match entry {
            TarEntry::File(name, content, mode) => {
                (name, content, *mode, tar::EntryType::Regular, "")
            }
            TarEntry::Symlink(name, target) => (name, b"", 0o777, tar::EntryType::Symlink, *target),
            TarEntry::Hard(name, target) => (name, b"", 0o644, tar::EntryType::Link, *target),
            TarEntry::Other(name, kind) => (name, b"", 0o755, *kind, ""),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        // `set_path` refuses the names that tests are about.
        let raw = header.as_old_mut();
        raw.name[..name.len()].copy_from_slice(name.as_bytes());
        raw.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}
