//! Unpacking zip archives on all cores.
//!
//! The central directory is read and judged first (names, sizes, overlaps, agreement with the
//! local headers); only then is anything written. Entries are handed to the workers largest
//! first, since one entry of half a gigabyte cannot be split and must not come last. All workers
//! read the one open file, each at its own position.

use std::{
    fs::File,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use zip::{ZipArchive, result::ZipError};

use super::{
    StoredFile,
    error::{ArchiveFault, StoreError, decoder_fault},
    names::{NameCase, Names, clean_name},
    unpack::{Buffer, Job},
};
use crate::platform::PositionedFile;

type Archive = ZipArchive<PositionedFile>;

/// An entry that will be written.
struct Planned {
    index: usize,
    name: String,
    size: u64,
    executable: bool,
}

/// Unpacks everything and lists the files, sorted by path.
///
/// `strip` drops the one top folder that everything must then lie in.
pub(crate) fn unpack_zip(job: &Job<'_>, strip: bool) -> Result<Vec<StoredFile>, StoreError> {
    let file = File::open(job.archive)
        .and_then(PositionedFile::new)
        .map_err(StoreError::io("open", job.archive))?;
    let archive_bytes = file.length();
    let mut archive = ZipArchive::new(file).map_err(|error| whole_fault(job, &error))?;
    if archive.has_duplicate_names() {
        return Err(job.blame().whole(ArchiveFault::Duplicate));
    }
    archive
        .validate_header_consistency()
        .map_err(|error| whole_fault(job, &error))?;
    let planned = plan(job, &archive, archive_bytes, strip)?;
    job.create_folders(planned.iter().map(|entry| entry.name.as_str()))?;
    let mut files = write_all(job, &archive, &planned)?;
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The fault of an archive whose structure cannot be read.
fn whole_fault(job: &Job<'_>, error: &ZipError) -> StoreError {
    job.blame().whole(zip_fault(error))
}

fn zip_fault(error: &ZipError) -> ArchiveFault {
    match error {
        ZipError::Io(error) => decoder_fault(error),
        other => ArchiveFault::Corrupt(other.to_string()),
    }
}

/// Judges every entry; the result is ordered largest first.
fn plan(
    job: &Job<'_>,
    archive: &Archive,
    archive_bytes: u64,
    strip: bool,
) -> Result<Vec<Planned>, StoreError> {
    let blame = job.blame();
    if archive.len() > job.limits.entries {
        return Err(blame.whole(ArchiveFault::TooManyEntries(job.limits.entries)));
    }
    let most = job.limits.bytes_for(archive_bytes);
    let mut names = Names::new(NameCase::Ignore);
    let mut planned = Vec::with_capacity(archive.len());
    let mut total = 0u64;
    for index in 0..archive.len() {
        let entry = archive
            .by_index_data(index)
            .map_err(|error| whole_fault(job, &error))?;
        let raw = entry.name_raw();
        let name = clean_name(raw).map_err(|fault| blame.entry(raw, fault))?;
        let mode = entry.unix_mode().unwrap_or(0);
        if entry.is_symlink() {
            return Err(blame.entry(raw, ArchiveFault::LinkInWheel));
        }
        if !matches!(mode & 0o170_000, 0 | 0o040_000 | 0o100_000) {
            return Err(blame.entry(raw, ArchiveFault::SpecialFile));
        }
        if entry.encrypted() {
            return Err(blame.entry(raw, ArchiveFault::Encrypted));
        }
        if entry.is_dir() || name.is_empty() {
            continue;
        }
        let name = if strip {
            let below = name.split_once('/').map(|(_, below)| below.to_owned());
            below.ok_or_else(|| blame.entry(raw, ArchiveFault::NotBelowTop))?
        } else {
            name
        };
        names.add(&name).map_err(|fault| blame.entry(raw, fault))?;
        total = total.saturating_add(entry.size());
        if total > most {
            return Err(blame.entry(raw, ArchiveFault::TooLarge(most)));
        }
        planned.push(Planned {
            index,
            name,
            size: entry.size(),
            executable: mode & 0o100 != 0,
        });
    }
    if planned.is_empty() {
        return Err(blame.whole(ArchiveFault::Empty));
    }
    planned.sort_by_key(|entry| std::cmp::Reverse(entry.size));
    Ok(planned)
}

/// Writes the planned entries with one worker per core.
fn write_all(
    job: &Job<'_>,
    archive: &Archive,
    planned: &[Planned],
) -> Result<Vec<StoredFile>, StoreError> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let done = Mutex::new(Ok(Vec::with_capacity(planned.len())));
    let work = || {
        let mut archive = archive.clone();
        let mut buffer = Buffer::default();
        let mut mine = Vec::new();
        let mut result = Ok(());
        while !failed.load(Ordering::Relaxed) {
            let Some(entry) = planned.get(next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            match write_one(job, &mut archive, entry, &mut buffer) {
                Ok(file) => mine.push(file),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    result = Err(error);
                    break;
                }
            }
        }
        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
        match (&mut *done, result) {
            (Ok(all), Ok(())) => all.append(&mut mine),
            (Ok(_), Err(error)) => *done = Err(error),
            (Err(_), _) => {}
        }
    };
    let workers = rayon::current_num_threads().min(planned.len());
    rayon::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|_| work());
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn write_one(
    job: &Job<'_>,
    archive: &mut Archive,
    entry: &Planned,
    buffer: &mut Buffer,
) -> Result<StoredFile, StoreError> {
    let mut content = archive
        .by_index(entry.index)
        .map_err(|error| job.blame().entry(&entry.name, zip_fault(&error)))?;
    let sha256 = job.write_file(
        &entry.name,
        entry.size,
        entry.executable,
        &mut content,
        buffer,
    )?;
    Ok(StoredFile {
        path: entry.name.clone(),
        size: entry.size,
        sha256,
        executable: entry.executable,
    })
}
