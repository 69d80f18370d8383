//! The METADATA member of a wheel of which only parts are here.
//!
//! A zip file is read from its end: the directory of its members lies there, and build tools put
//! `*.dist-info/` last, so one request for the last few kilobytes often brings the metadata along.
//! [`Sparse`] holds the parts that came; [`find`] tries to read the member from them and says which
//! part it is missing. Whoever can fetch parts calls it until it is done.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::Path,
};

use zip::{ZipArchive, result::ZipError};

use super::file_name;

/// The largest METADATA that is read; the description of a package is part of it.
const LARGEST_METADATA: u64 = 16 << 20;

/// How much before a large directory is fetched along with it; for the few wheels with more than
/// some thousand members one more request is cheaper.
const LARGEST_GUESS: u64 = 128 << 10;

/// Room for METADATA itself in that guess.
const METADATA_ROOM: u64 = 16 << 10;

/// Room for the local header of a member beyond its fixed 30 bytes: name and extra fields.
const LOCAL_HEADER_ROOM: u64 = 30 + 512;

/// Parts of a file.
#[derive(Debug)]
pub(super) struct Sparse {
    total: u64,
    /// Sorted by offset, apart from each other.
    parts: Vec<(u64, Vec<u8>)>,
}

impl Sparse {
    /// A file of `total` bytes of which nothing is here.
    pub(super) fn new(total: u64) -> Self {
        Self {
            total,
            parts: Vec::new(),
        }
    }

    /// Size of the whole.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// Adds a part.
    pub(super) fn add(&mut self, offset: u64, bytes: Vec<u8>) {
        let at = self.parts.partition_point(|(start, _)| *start < offset);
        self.parts.insert(at, (offset, bytes));
    }

    /// Bytes from `position` to the end of the part it is in.
    fn at(&self, position: u64) -> Option<&[u8]> {
        let before = self.parts.partition_point(|(start, _)| *start <= position);
        // Parts may overlap when a server sends more than was asked.
        self.parts[..before]
            .iter()
            .rev()
            .find_map(|(start, bytes)| {
                let rest = bytes.get(usize::try_from(position - start).ok()?..)?;
                (!rest.is_empty()).then_some(rest)
            })
    }

    /// From a missing position to the next part that is here, at most to `end`.
    fn gap(&self, position: u64, end: u64) -> Range<u64> {
        let next = self
            .parts
            .iter()
            .map(|(start, _)| *start)
            .find(|start| *start > position);
        position..end.min(next.unwrap_or(self.total)).max(position + 1)
    }

    /// The missing part of the directory, which starts at `position`, and what lies before it:
    /// METADATA is usually followed by RECORD alone, which has a line for each member and so is
    /// at most as large as the directory itself.
    fn directory_gap(&self, position: u64) -> Range<u64> {
        let before = (self.total - position).min(LARGEST_GUESS) + METADATA_ROOM;
        let gap = self.gap(position, self.total);
        gap.start.saturating_sub(before)..gap.end
    }
}

/// Reads a [`Sparse`] as if it were whole; notes the first position that is missing.
struct Reader<'a> {
    file: &'a Sparse,
    position: u64,
    missing: &'a Cell<Option<u64>>,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.file.total || buffer.is_empty() {
            return Ok(0);
        }
        let Some(bytes) = self.file.at(self.position) else {
            self.missing.set(self.missing.get().or(Some(self.position)));
            return Err(io::Error::other("this part is not here"));
        };
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.file.total.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// How far [`find`] came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The content of METADATA.
    Metadata(Vec<u8>),
    /// These bytes are needed.
    Missing(Range<u64>),
    /// It is not a wheel, or not a sound one.
    Bad(String),
}

/// Looks for METADATA of the wheel named `file` in the parts that are here.
pub(super) fn find(parts: &Sparse, file: &str) -> Found {
    let missing = Cell::new(None);
    let reader = Reader {
        file: parts,
        position: 0,
        missing: &missing,
    };
    let mut archive = match ZipArchive::new(reader) {
        Ok(archive) => archive,
        Err(error) => {
            return match missing.get() {
                Some(position) => Found::Missing(parts.directory_gap(position)),
                None => Found::Bad(not_zip(error)),
            };
        }
    };
    let (index, span) = match locate(&archive, file) {
        Ok(found) => found,
        Err(reason) => return Found::Bad(reason),
    };
    match (content(&mut archive, index), missing.get()) {
        (Ok(content), _) => Found::Metadata(content),
        (Err(_), Some(position)) => Found::Missing(parts.gap(position, span.end)),
        (Err(reason), None) => Found::Bad(reason),
    }
}

/// The content of METADATA of a wheel that lies on the disk.
pub(super) fn read(path: &Path, file: &str) -> Result<Vec<u8>, String> {
    let opened = File::open(path).map_err(|error| error.to_string())?;
    let mut archive = ZipArchive::new(opened).map_err(not_zip)?;
    let (index, _) = locate(&archive, file)?;
    content(&mut archive, index)
}

fn not_zip(error: ZipError) -> String {
    format!("it is not a zip file ({error})")
}

/// The member METADATA and where it lies, local header included.
fn locate<R: Read + Seek>(
    archive: &ZipArchive<R>,
    file: &str,
) -> Result<(usize, Range<u64>), String> {
    let index = member(archive, file).ok_or("it has no METADATA")?;
    let entry = archive
        .by_index_data(index)
        .map_err(|error| error.to_string())?;
    let start = entry.header_start();
    let length = entry.compressed_size().saturating_add(LOCAL_HEADER_ROOM);
    Ok((index, start..start.saturating_add(length)))
}

fn content<R: Read + Seek>(archive: &mut ZipArchive<R>, index: usize) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    let size = archive
        .by_index(index)
        .map_err(io::Error::from)
        .and_then(|member| member.take(LARGEST_METADATA + 1).read_to_end(&mut content))
        .map_err(|error| error.to_string())?;
    if size as u64 > LARGEST_METADATA {
        return Err("its METADATA is too large".to_owned());
    }
    Ok(content)
}

/// The place of `<name>-<version>.dist-info/METADATA` at the top of the archive. Where vendored
/// packages brought further ones along, the one that carries the wheel's own name counts.
fn member<R: Read + Seek>(archive: &ZipArchive<R>, file: &str) -> Option<usize> {
    let own = file_name::parse_any(file).map(|(name, _, _)| name);
    let mut candidates = archive
        .file_names_raw()
        .enumerate()
        .filter_map(|(index, raw)| {
            let name = std::str::from_utf8(raw).ok()?;
            let stem = name.strip_suffix(".dist-info/METADATA")?;
            (!stem.contains('/')).then_some((index, stem))
        });
    let first = candidates.next()?;
    let mut all = std::iter::once(first).chain(candidates);
    let matching = all.find(|(_, stem)| {
        let name = stem.rsplit_once('-').map_or(*stem, |(name, _)| name);
        own.is_some() && name.parse().ok() == own
    });
    Some(matching.unwrap_or(first).0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write as _;

    use proptest::prelude::*;
    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    const NAME: &str = "demo-1.0-py3-none-any.whl";

    fn archive(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, content) in members {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    /// Bytes that do not compress.
    fn noise(length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        std::iter::repeat_with(|| random.u8(..))
            .take(length)
            .collect()
    }

    /// Reads with a first part of `suffix` bytes; gives the content and the parts fetched.
    fn fetch(bytes: &[u8], suffix: usize) -> (Found, Vec<Range<u64>>) {
        let total = bytes.len() as u64;
        let mut parts = Sparse::new(total);
        let start = bytes.len().saturating_sub(suffix);
        parts.add(start as u64, bytes[start..].to_vec());
        let mut fetched = Vec::new();
        loop {
            match find(&parts, NAME) {
                Found::Missing(range) => {
                    assert!(fetched.len() < 5 && range.end <= total.max(range.start + 1));
                    let (from, to) = (range.start as usize, (range.end as usize).min(bytes.len()));
                    parts.add(range.start, bytes[from..to].to_vec());
                    fetched.push(range);
                }
                found => return (found, fetched),
            }
        }
    }

    #[test]
    fn one_part_when_metadata_lies_at_the_end() {
        let bytes = archive(&[
            ("demo/big.bin", noise(200_000)),
            ("other-2.dist-info/METADATA", b"Name: other\n".to_vec()),
            ("demo-1.0.dist-info/METADATA", b"Name: demo\n".to_vec()),
            ("demo/_vendor/x-1.dist-info/METADATA", b"Name: x\n".to_vec()),
        ]);
        let (found, fetched) = fetch(&bytes, 8192);
        assert_eq!(found, Found::Metadata(b"Name: demo\n".to_vec()));
        assert_eq!(fetched, []);
    }

    #[test]
    fn one_more_part_when_it_lies_in_front() {
        let bytes = archive(&[
            ("demo-1.0.dist-info/METADATA", b"Name: demo\n".to_vec()),
            ("demo/big.bin", noise(200_000)),
        ]);
        let (found, fetched) = fetch(&bytes, 8192);
        assert_eq!(found, Found::Metadata(b"Name: demo\n".to_vec()));
        assert_eq!(fetched.len(), 1);
        assert!(fetched[0].end - fetched[0].start < 1000);
    }

    #[test]
    fn a_large_directory_is_fetched_in_one_part_with_what_lies_before() {
        let mut members: Vec<(String, Vec<u8>)> = (0..2000)
            .map(|i| (format!("demo/some/folder/file{i:05}.py"), Vec::new()))
            .collect();
        members.insert(0, ("demo/data.bin".to_owned(), noise(2_000_000)));
        members.push((
            "demo-1.0.dist-info/METADATA".to_owned(),
            b"Name: demo\n".to_vec(),
        ));
        members.push(("demo-1.0.dist-info/RECORD".to_owned(), noise(100_000)));
        let members: Vec<_> = members
            .iter()
            .map(|(n, c)| (n.as_str(), c.clone()))
            .collect();
        let (found, fetched) = fetch(&archive(&members), 8192);
        assert_eq!(found, Found::Metadata(b"Name: demo\n".to_vec()));
        assert_eq!(fetched.len(), 1, "{fetched:?}");
    }

    #[test]
    fn what_is_no_wheel() {
        for bytes in [
            Vec::new(),
            b"<html>".to_vec(),
            archive(&[("a", Vec::new())]),
        ] {
            assert!(matches!(fetch(&bytes, 1000).0, Found::Bad(_)));
        }
        let bomb = archive(&[("demo-1.0.dist-info/METADATA", vec![b' '; 17 << 20])]);
        assert!(matches!(fetch(&bomb, 1 << 20).0, Found::Bad(_)));
    }

    proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..400, value: u8, suffix in 0usize..400, cut in 0usize..400) {
            let mut bytes = archive(&[
                ("demo-1.0.dist-info/METADATA", b"Name: demo\n".to_vec()),
                ("demo/x", noise(50)),
            ]);
            let length = bytes.len();
            bytes[at % length] = value;
            bytes.truncate(length - cut % length);
            let mut parts = Sparse::new(bytes.len() as u64);
            let start = bytes.len().saturating_sub(suffix);
            parts.add(start as u64, bytes[start..].to_vec());
            let _ = find(&parts, NAME);
        }
    }
}
