//! What makes an unpacked zip archive a wheel: its `.dist-info` folder and its `RECORD`.

use std::{fs, io, path::Path, str::FromStr as _};

use super::{
    StoredFile,
    error::{ArchiveFault, Blame, StoreError},
    record::{self, LongHash, RecordHash},
};
use crate::types::{PackageName, Version};

/// Name and version in a wheel's file name, as written there.
pub(crate) fn split_file_name(file_name: &str) -> Option<(&str, &str)> {
    let stem = file_name.strip_suffix(".whl")?;
    let parts: Vec<&str> = stem.split('-').collect();
    // name, version, [build,] python, abi, platform[, variant label]
    match parts.as_slice() {
        [name, version, _, _, _, ..] if parts.len() <= 7 => Some((name, version)),
        _ => None,
    }
}

/// Finds the one `.dist-info` folder and checks that it belongs to the file name.
pub(crate) fn find_dist_info(
    files: &[StoredFile],
    file_name: &str,
    blame: Blame<'_>,
) -> Result<String, StoreError> {
    let (name, version) = split_file_name(file_name)
        .ok_or_else(|| blame.whole(ArchiveFault::NotAWheelName(file_name.to_owned())))?;
    let mut folders: Vec<&str> = files
        .iter()
        .filter_map(|file| file.path.split_once('/'))
        .map(|(folder, _)| folder)
        .filter(|folder| folder.ends_with(".dist-info"))
        .collect();
    folders.dedup();
    let missing = || ArchiveFault::NoDistInfo(format!("{name} {version}"));
    let folder = match folders.as_slice() {
        [] => return Err(blame.whole(missing())),
        [one] => *one,
        several => {
            return Err(blame.whole(ArchiveFault::SeveralDistInfo(several.join(", "))));
        }
    };
    let belongs = folder
        .strip_suffix(".dist-info")
        .and_then(|stem| stem.rsplit_once('-'))
        .is_some_and(|(n, v)| same_name(n, name) && same_version(v, version));
    if !belongs {
        return Err(blame.entry(folder, missing()));
    }
    Ok(folder.to_owned())
}

fn same_name(a: &str, b: &str) -> bool {
    match (PackageName::from_str(a), PackageName::from_str(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

fn same_version(a: &str, b: &str) -> bool {
    // `_` stands for `-` in file names.
    let parse = |text: &str| Version::from_str(&text.replace('_', "-")).ok();
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// Checks every file against `RECORD`, as the wheel specification asks of installers: each must be
/// listed with a strong hash of its content, except `RECORD` itself and its signatures.
pub(crate) fn check_record(
    root: &Path,
    files: &[StoredFile],
    dist_info: &str,
    blame: Blame<'_>,
) -> Result<(), StoreError> {
    for required in ["METADATA", "WHEEL", "RECORD"] {
        let path = format!("{dist_info}/{required}");
        if files.binary_search_by(|f| f.path.cmp(&path)).is_err() {
            return Err(blame.whole(ArchiveFault::Missing(path)));
        }
    }
    let record_path = format!("{dist_info}/RECORD");
    let file = root.join(&record_path);
    let text = fs::read(&file).map_err(StoreError::io("read", file))?;
    let rows = record::parse(&text).map_err(|why| blame.whole(ArchiveFault::BadRecord(why)))?;
    let exempt = [
        record_path.clone(),
        format!("{record_path}.jws"),
        format!("{record_path}.p7s"),
    ];
    for file in files {
        if exempt.contains(&file.path) {
            continue;
        }
        let fault = |fault| blame.entry(&file.path, fault);
        let matches = match rows.get(&file.path) {
            None => return Err(fault(ArchiveFault::NotInRecord)),
            Some(RecordHash::Unusable) => return Err(fault(ArchiveFault::NoHashInRecord)),
            Some(RecordHash::Sha256(hash)) => hash == file.sha256.as_bytes(),
            Some(RecordHash::Longer(algorithm, hash)) => {
                let path = root.join(&file.path);
                long_hash(&path, *algorithm).map_err(StoreError::io("read", path))? == *hash
            }
        };
        if !matches {
            return Err(fault(ArchiveFault::RecordMismatch));
        }
    }
    Ok(())
}

fn long_hash(path: &Path, algorithm: LongHash) -> io::Result<Vec<u8>> {
    fn digest<D: sha2::Digest + io::Write>(path: &Path) -> io::Result<Vec<u8>> {
        let mut hasher = D::new();
        io::copy(&mut fs::File::open(path)?, &mut hasher)?;
        Ok(hasher.finalize().to_vec())
    }
    match algorithm {
        LongHash::Sha384 => digest::<sha2::Sha384>(path),
        LongHash::Sha512 => digest::<sha2::Sha512>(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        assert_eq!(
            split_file_name("numpy-2.1.0-cp312-cp312-manylinux_2_17_x86_64.whl"),
            Some(("numpy", "2.1.0"))
        );
        assert_eq!(
            split_file_name("a_b-1+cu128-2-py3-none-any.whl"),
            Some(("a_b", "1+cu128"))
        );
        for bad in ["a-1.whl", "a-1-py3-none-any.zip", "", "a-b-c-d-e-f-g-h.whl"] {
            assert_eq!(split_file_name(bad), None);
        }
        assert!(same_name("Foo.Bar", "foo_bar"));
        assert!(same_version("1.0", "1.0.0"));
        assert!(!same_version("1.0", "1.1"));
    }
}
