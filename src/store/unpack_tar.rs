//! Unpacking gzipped tar archives: CPython builds, source trees and source distributions.
//!
//! A tar file can only be read from front to back, so everything is judged as it comes. Symbolic
//! links are kept for the end, when every file is written, so nothing is ever written *through* a
//! link. A link's target may climb with leading `..` only, no further than to the archive's top,
//! and nothing may lie below a link; by that alone no chain of links can lead out.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, BufReader, Read},
    rc::Rc,
};

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::{
    StoredFile, StoredLink,
    error::{ArchiveFault, StoreError, decoder_fault},
    names::{NameCase, Names, clean_name},
    unpack::{Buffer, Job},
};
use crate::platform;

/// Room for headers, padding and extended headers between the contents of two entries.
const HEADER_ALLOWANCE: u64 = 1 << 20;

/// What an archive held.
pub(crate) struct Unpacked {
    /// Sorted by path.
    pub(crate) files: Vec<StoredFile>,
    /// Sorted by path.
    pub(crate) links: Vec<StoredLink>,
}

/// Unpacks an archive whose entries all lie in one top folder, without that folder.
///
/// `top` is its name where that is known.
pub(crate) fn unpack_tar_gz(
    job: &Job<'_>,
    top: Option<&str>,
    case: NameCase,
) -> Result<Unpacked, StoreError> {
    let file = File::open(job.archive).map_err(StoreError::io("open", job.archive))?;
    let archive_bytes = file
        .metadata()
        .map_err(StoreError::io("read", job.archive))?
        .len();
    let most = job.limits.bytes_for(archive_bytes);
    let allowance = Rc::new(Cell::new(HEADER_ALLOWANCE));
    let reader = Guarded {
        inner: MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)),
        allowance: Rc::clone(&allowance),
    };
    let mut archive = Archive::new(reader);
    let mut unpacker = Unpacker {
        job,
        top: top.map(str::to_owned),
        names: Names::new(case),
        files: HashMap::new(),
        links: BTreeMap::new(),
        buffer: Buffer::default(),
        left: most,
        most,
    };
    let whole = |error: &io::Error| job.blame().whole(decoder_fault(error));
    let entries = archive.entries().map_err(|error| whole(&error))?;
    for (count, entry) in entries.enumerate() {
        if count >= job.limits.entries {
            let fault = ArchiveFault::TooManyEntries(job.limits.entries);
            return Err(job.blame().whole(fault));
        }
        let mut entry = entry.map_err(|error| whole(&error))?;
        // The content of this entry, and the headers up to the next one.
        allowance.set(entry.size().saturating_add(HEADER_ALLOWANCE));
        unpacker.take(&mut entry)?;
        io::copy(&mut entry, &mut io::sink()).map_err(|error| whole(&error))?;
        allowance.set(HEADER_ALLOWANCE);
    }
    // What follows the end mark is padding; reading it makes the decoder check its checksum.
    allowance.set(HEADER_ALLOWANCE);
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| whole(&error))?;
    unpacker.finish()
}

struct Unpacker<'a> {
    job: &'a Job<'a>,
    top: Option<String>,
    names: Names,
    files: HashMap<String, StoredFile>,
    links: BTreeMap<String, String>,
    buffer: Buffer,
    left: u64,
    most: u64,
}

impl Unpacker<'_> {
    fn take<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<(), StoreError> {
        let blame = self.job.blame();
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader | EntryType::XHeader) {
            return Ok(());
        }
        let raw = entry.path_bytes().into_owned();
        let fault = |fault| blame.entry(&raw, fault);
        let Some(name) = self.below_top(&raw).map_err(fault)? else {
            return match kind {
                EntryType::Directory => Ok(()),
                _ => Err(fault(ArchiveFault::NotBelowTop)),
            };
        };
        match kind {
            EntryType::Directory => Ok(()),
            EntryType::Regular | EntryType::Continuous => {
                self.names.add(&name).map_err(fault)?;
                let size = entry.size();
                self.left = self
                    .left
                    .checked_sub(size)
                    .ok_or_else(|| fault(ArchiveFault::TooLarge(self.most)))?;
                let mode = entry
                    .header()
                    .mode()
                    .map_err(|error| fault(ArchiveFault::Corrupt(error.to_string())))?;
                let executable = mode & 0o100 != 0;
                self.job.create_folders([name.as_str()])?;
                let sha256 =
                    self.job
                        .write_file(&name, size, executable, entry, &mut self.buffer)?;
                let file = StoredFile {
                    path: name.clone(),
                    size,
                    sha256,
                    executable,
                };
                self.files.insert(name, file);
                Ok(())
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                let target = link_target(&name, &target).map_err(fault)?;
                self.names.add(&name).map_err(fault)?;
                self.links.insert(name, target);
                Ok(())
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                self.hard_link(name, &target).map_err(|error| match error {
                    Ok(bad) => fault(bad),
                    Err(error) => error,
                })
            }
            _ => Err(fault(ArchiveFault::SpecialFile)),
        }
    }

    /// The clean name below the top folder; `None` for the top folder itself.
    fn below_top(&mut self, raw: &[u8]) -> Result<Option<String>, ArchiveFault> {
        let name = clean_name(raw)?;
        if name.is_empty() {
            return Ok(None);
        }
        let (top, below) = match name.split_once('/') {
            Some((top, below)) => (top, Some(below)),
            None => (name.as_str(), None),
        };
        if self.top.get_or_insert_with(|| top.to_owned()) != top {
            return Err(ArchiveFault::NotBelowTop);
        }
        Ok(below.map(str::to_owned))
    }

    /// A hard link becomes another name of a file that came earlier.
    fn hard_link(
        &mut self,
        name: String,
        target: &[u8],
    ) -> Result<(), Result<ArchiveFault, StoreError>> {
        let outside = || {
            ArchiveFault::LinkOutside(String::from_utf8_lossy(target).escape_debug().to_string())
        };
        let source = self
            .below_top(target)
            .map_err(Ok)?
            .and_then(|target| self.files.get(&target))
            .ok_or_else(|| Ok(outside()))?
            .clone();
        self.names.add(&name).map_err(Ok)?;
        self.left = self
            .left
            .checked_sub(source.size)
            .ok_or(Ok(ArchiveFault::TooLarge(self.most)))?;
        self.job.create_folders([name.as_str()]).map_err(Err)?;
        let (from, to) = (self.job.target(&source.path), self.job.target(&name));
        fs::hard_link(&from, &to)
            .or_else(|_| fs::copy(&from, &to).map(|_| ()))
            .map_err(|error| Err(StoreError::io("create", &to)(error)))?;
        let file = StoredFile {
            path: name.clone(),
            ..source
        };
        self.files.insert(name, file);
        Ok(())
    }

    /// Creates the links, now that no file can be written through them.
    fn finish(self) -> Result<Unpacked, StoreError> {
        if self.files.is_empty() {
            return Err(self.job.blame().whole(ArchiveFault::Empty));
        }
        self.job
            .create_folders(self.links.keys().map(String::as_str))?;
        let mut links = Vec::with_capacity(self.links.len());
        for (path, target) in self.links {
            let place = self.job.target(&path);
            platform::symlink_file(target.as_ref(), &place)
                .map_err(StoreError::io("create", place))?;
            links.push(StoredLink { path, target });
        }
        let mut files: Vec<_> = self.files.into_values().collect();
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(Unpacked { files, links })
    }
}

/// The target of a link called `name`, if it stays inside.
fn link_target(name: &str, raw: &[u8]) -> Result<String, ArchiveFault> {
    let target = std::str::from_utf8(raw).map_err(|_| ArchiveFault::NameNotUtf8)?;
    let outside = || ArchiveFault::LinkOutside(target.escape_debug().to_string());
    let mut rest = target;
    let mut climbed = 0;
    while let Some(after) = rest.strip_prefix("../").or((rest == "..").then_some("")) {
        climbed += 1;
        rest = after;
    }
    if target.is_empty() || climbed > name.matches('/').count() {
        return Err(outside());
    }
    // Absolute paths, `..` further on, backslashes and the like are refused as in names.
    clean_name(rest.as_bytes()).map_err(|_| outside())?;
    Ok(target.to_owned())
}

/// A reader that gives no more than it is allowed to, so that neither a header that claims a
/// gigabyte of file name nor endless padding is ever read.
struct Guarded<R> {
    inner: R,
    allowance: Rc<Cell<u64>>,
}

impl<R: Read> Read for Guarded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.allowance.get();
        if allowed == 0 && !buffer.is_empty() {
            // Only an error if there is more.
            let mut one = [0];
            return match self.inner.read(&mut one)? {
                0 => Ok(0),
                _ => Err(io::Error::other("its headers or padding are too long")),
            };
        }
        let most = usize::try_from(allowed).unwrap_or(usize::MAX);
        let length = buffer.len().min(most);
        let count = self.inner.read(&mut buffer[..length])?;
        self.allowance.set(allowed - count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        for (name, target) in [
            ("bin/python3", "python3.12"),
            ("a/b/c", "../../d"),
            ("a/b", ".."),
            ("a", "b/c"),
        ] {
            assert!(link_target(name, target.as_bytes()).is_ok(), "{target}");
        }
        for (name, target) in [
            ("a", ".."),
            ("a", "../b"),
            ("a/b", "../../c"),
            ("a", "/etc/passwd"),
            ("a/b", "c/../../../d"),
            ("a", ""),
            ("a", "..\\..\\x"),
            ("a/b", "..//etc"),
        ] {
            let result = link_target(name, target.as_bytes());
            // `..//etc` is an absolute path after the climb.
            assert!(result.is_err(), "{target}");
        }
    }
}
