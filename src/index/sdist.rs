//! What a source distribution says about itself without being built.
//!
//! `PKG-INFO` counts when it is new enough to promise that the wheel will say the same (PEP 643);
//! otherwise the `[project]` table of `pyproject.toml`, as far as it declares nothing dynamic.
//! Anything else is known only after a build. The archive is foreign: members are read by name and
//! with a bound, nothing is unpacked.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use flate2::read::GzDecoder;
use zip::ZipArchive;

use super::{
    CoreMetadata,
    core_metadata::{Headers, of_pyproject},
};
use crate::types::Version;

/// The largest member that is read.
const LARGEST_MEMBER: u64 = 16 << 20;

/// How much an archive may inflate to before its reading is given up.
const LARGEST_ARCHIVE: u64 = 8 << 30;

/// The two members that tell something.
#[derive(Debug, Default)]
struct Members {
    pkg_info: Option<Vec<u8>>,
    pyproject: Option<Vec<u8>>,
}

/// Why a source distribution told nothing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SdistError {
    /// It must be built first.
    NeedsBuild(String),
    /// What it says makes no sense.
    Bad(String),
}

/// Reads the archive at `path`, which is named `file_name`.
pub(super) fn read(
    path: &Path,
    file_name: &str,
    version: &Version,
) -> Result<CoreMetadata, SdistError> {
    let unreadable = |error: io::Error| SdistError::Bad(format!("it cannot be read ({error})"));
    let file = File::open(path).map_err(unreadable)?;
    let members = if file_name.ends_with(".zip") {
        of_zip(file)
    } else {
        of_tar(io::BufReader::new(file))
    };
    judge(members.map_err(unreadable)?, version)
}

fn judge(members: Members, version: &Version) -> Result<CoreMetadata, SdistError> {
    if let Some(bytes) = &members.pkg_info {
        let headers = Headers::parse(bytes).map_err(SdistError::Bad)?;
        if headers.are_static() {
            return headers.into_metadata().map_err(SdistError::Bad);
        }
    }
    let Some(bytes) = members.pyproject else {
        return Err(SdistError::NeedsBuild(
            "it has no `pyproject.toml`".to_owned(),
        ));
    };
    of_pyproject(&String::from_utf8_lossy(&bytes), version).map_err(SdistError::NeedsBuild)
}

/// Which member a path is: only files right below the one top folder count.
fn slot<'m>(members: &'m mut Members, path: &str) -> Option<&'m mut Option<Vec<u8>>> {
    let (top, name) = path.trim_start_matches("./").split_once('/')?;
    if top.is_empty() {
        return None;
    }
    match name {
        "PKG-INFO" => Some(&mut members.pkg_info),
        "pyproject.toml" => Some(&mut members.pyproject),
        _ => None,
    }
}

fn of_tar(reader: impl Read) -> io::Result<Members> {
    let mut members = Members::default();
    let mut archive = tar::Archive::new(GzDecoder::new(reader).take(LARGEST_ARCHIVE));
    for entry in archive.entries()? {
        let entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if let Some(slot) = slot(&mut members, &path) {
            *slot = Some(bounded(entry)?);
        }
        if members.pkg_info.is_some() && members.pyproject.is_some() {
            break;
        }
    }
    Ok(members)
}

fn of_zip(file: File) -> io::Result<Members> {
    let mut members = Members::default();
    let mut archive = ZipArchive::new(file)?;
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let path = String::from_utf8_lossy(entry.name_raw()).into_owned();
        if let Some(slot) = slot(&mut members, &path) {
            *slot = Some(bounded(entry)?);
        }
    }
    Ok(members)
}

fn bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(LARGEST_MEMBER + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST_MEMBER {
        return Err(io::Error::other("a member is too large"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn tar_gz(files: &[(&str, &str)]) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut builder = tar::Builder::new(gzip);
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn tell(files: &[(&str, &str)]) -> Result<CoreMetadata, SdistError> {
        let members = of_tar(&tar_gz(files)[..]).unwrap();
        judge(members, &"1".parse().unwrap())
    }

    const OLD: &str = "Metadata-Version: 2.1\nName: demo\nVersion: 1\nRequires-Dist: old\n";
    const NEW: &str = "Metadata-Version: 2.2\nName: demo\nVersion: 1\nRequires-Dist: new\n";
    const PROJECT: &str =
        "[project]\nname = 'demo'\ndynamic = ['version']\ndependencies = ['toml']\n";

    #[test]
    fn the_strongest_word_counts() {
        let needs = |files: &[(&str, &str)]| tell(files).unwrap().requires_dist[0].to_string();
        assert_eq!(
            needs(&[("demo-1/PKG-INFO", NEW), ("demo-1/pyproject.toml", PROJECT)]),
            "new"
        );
        assert_eq!(
            needs(&[("demo-1/PKG-INFO", OLD), ("demo-1/pyproject.toml", PROJECT)]),
            "toml"
        );
        assert_eq!(
            needs(&[
                ("./demo-1/src/PKG-INFO", NEW),
                ("./demo-1/pyproject.toml", PROJECT)
            ]),
            "toml"
        );
        for files in [
            &[("demo-1/PKG-INFO", OLD)][..],
            &[("demo-1/setup.py", "")],
            &[("demo-1/pyproject.toml", "[build-system]\nrequires = []")],
        ] {
            assert!(matches!(tell(files), Err(SdistError::NeedsBuild(_))));
        }
        let broken = "Metadata-Version: 2.2\nName: demo\nVersion: one\n";
        assert!(matches!(
            tell(&[("demo-1/PKG-INFO", broken)]),
            Err(SdistError::Bad(_))
        ));
    }

    proptest! {
        #[test]
        fn damage_never_panics(at: usize, value: u8) {
            let mut bytes = tar_gz(&[("demo-1/PKG-INFO", NEW)]);
            let length = bytes.len();
            bytes[at % length] = value;
            let _ = of_tar(&bytes[..]).map(|m| judge(m, &"1".parse().unwrap()));
        }
    }
}
