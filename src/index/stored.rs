//! [`Releases`] as they lie in the cache: small, and quick to read back.
//!
//! A page of a popular package is a megabyte of markup that takes tens of milliseconds to read. A
//! warm plan reads a hundred such packages, so what is kept is the result: strings that repeat
//! (tags, specifiers, versions) once in a table, addresses without their common start, digests as
//! bytes. The form is postcard's; [`FORMAT`](super::cache::FORMAT) changes when this does.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{DistFile, DistKind, MetadataFile, Releases, tags::WheelTags};
use crate::types::{Sha256, Version, VersionSpecifiers};

/// The kept form.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stored<'a> {
    /// What all addresses start with.
    #[serde(borrow)]
    prefix: &'a str,
    #[serde(borrow)]
    tags: Vec<&'a str>,
    #[serde(borrow)]
    specifiers: Vec<&'a str>,
    #[serde(borrow)]
    versions: Vec<StoredVersion<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredVersion<'a> {
    #[serde(borrow)]
    version: &'a str,
    #[serde(borrow)]
    files: Vec<StoredFile<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredFile<'a> {
    #[serde(borrow)]
    file_name: &'a str,
    /// The address behind the prefix, without the file name where it ends in it.
    #[serde(borrow)]
    address: &'a str,
    ends_in_name: bool,
    /// Place in `tags` and the build tag; absent for a source distribution.
    #[serde(borrow)]
    wheel: Option<(u32, Option<&'a str>)>,
    sha256: Option<[u8; 32]>,
    size: Option<u64>,
    /// Place in `specifiers`.
    requires_python: Option<u32>,
    #[serde(borrow)]
    yanked: Option<&'a str>,
    /// The metadata file's digest, in an option of its own.
    metadata_file: Option<Option<[u8; 32]>>,
}

/// Strings in the order of their first use.
#[derive(Default)]
struct Table<'a> {
    list: Vec<&'a str>,
    places: HashMap<&'a str, u32>,
}

impl<'a> Table<'a> {
    fn place(&mut self, text: &'a str) -> u32 {
        *self.places.entry(text).or_insert_with(|| {
            self.list.push(text);
            (self.list.len() - 1) as u32
        })
    }
}

/// The kept form of `releases` as bytes.
pub(super) fn encode(releases: &Releases) -> Option<Vec<u8>> {
    let files = || releases.versions.values().flatten();
    let prefix = common_prefix(files().map(|file| file.url.as_str()));
    let version_texts: Vec<String> = releases.versions.keys().map(ToString::to_string).collect();
    // Texts must outlive the tables that point to them.
    let mut known: HashMap<&VersionSpecifiers, String> = HashMap::new();
    for specifiers in files().filter_map(|file| file.requires_python.as_ref()) {
        known
            .entry(specifiers)
            .or_insert_with(|| specifiers.to_string());
    }
    let mut tags = Table::default();
    let mut specifiers = Table::default();
    let versions = releases
        .versions
        .values()
        .zip(&version_texts)
        .map(|(files, version)| StoredVersion {
            version,
            files: files
                .iter()
                .map(|file| {
                    let rest = &file.url[prefix.len()..];
                    let short = rest.strip_suffix(file.file_name.as_str());
                    StoredFile {
                        file_name: &file.file_name,
                        address: short.unwrap_or(rest),
                        ends_in_name: short.is_some(),
                        wheel: file
                            .wheel()
                            .map(|wheel| (tags.place(wheel.text()), wheel.build())),
                        sha256: file.sha256.map(|digest| *digest.as_bytes()),
                        size: file.size,
                        requires_python: file
                            .requires_python
                            .as_ref()
                            .and_then(|s| known.get(s))
                            .map(|text| specifiers.place(text)),
                        yanked: file.yanked.as_deref(),
                        metadata_file: file
                            .metadata_file
                            .map(|beside| beside.sha256.map(|digest| *digest.as_bytes())),
                    }
                })
                .collect(),
        })
        .collect();
    let stored = Stored {
        prefix,
        tags: tags.list,
        specifiers: specifiers.list,
        versions,
    };
    postcard::to_stdvec(&stored).ok()
}

/// Reads bytes of [`encode`]; `None` for any others.
pub(super) fn decode(bytes: &[u8]) -> Option<Releases> {
    let stored: Stored<'_> = postcard::from_bytes(bytes).ok()?;
    let tags: Vec<Arc<str>> = stored.tags.iter().map(|text| Arc::from(*text)).collect();
    let specifiers: Vec<VersionSpecifiers> = stored
        .specifiers
        .iter()
        .map(|text| text.parse().ok())
        .collect::<Option<_>>()?;
    let expand = |file: &StoredFile<'_>| {
        let name = if file.ends_in_name {
            file.file_name
        } else {
            ""
        };
        let mut url = String::with_capacity(stored.prefix.len() + file.address.len() + name.len());
        url.push_str(stored.prefix);
        url.push_str(file.address);
        url.push_str(name);
        Some(DistFile {
            file_name: file.file_name.to_owned(),
            url,
            kind: match file.wheel {
                Some((place, build)) => {
                    let text = Arc::clone(tags.get(place as usize)?);
                    DistKind::Wheel(WheelTags::new(text, build)?)
                }
                None => DistKind::Sdist,
            },
            sha256: file.sha256.map(Sha256::from_bytes),
            size: file.size,
            requires_python: match file.requires_python {
                Some(place) => Some(specifiers.get(place as usize)?.clone()),
                None => None,
            },
            yanked: file.yanked.map(str::to_owned),
            metadata_file: file.metadata_file.map(|digest| MetadataFile {
                sha256: digest.map(Sha256::from_bytes),
            }),
        })
    };
    let versions = stored
        .versions
        .iter()
        .map(|stored| {
            let version: Version = stored.version.parse().ok()?;
            Some((
                version,
                stored
                    .files
                    .iter()
                    .map(expand)
                    .collect::<Option<Vec<_>>>()?,
            ))
        })
        .collect::<Option<_>>()?;
    Some(Releases { versions })
}

fn common_prefix<'a>(mut texts: impl Iterator<Item = &'a str>) -> &'a str {
    let Some(first) = texts.next() else { return "" };
    let mut length = first.len();
    for text in texts {
        length = first
            .bytes()
            .zip(text.bytes())
            .take(length)
            .take_while(|(a, b)| a == b)
            .count();
    }
    while !first.is_char_boundary(length) {
        length -= 1;
    }
    &first[..length]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::index::file_name;

    fn file(name: &str, url: &str) -> (Version, DistFile) {
        let (version, kind) = file_name::parse(name, &"demo".parse().unwrap()).unwrap();
        let file = DistFile {
            file_name: name.to_owned(),
            url: url.to_owned(),
            kind,
            sha256: Some(Sha256::of(name)),
            size: Some(7),
            requires_python: Some(">=3.8, <4".parse().unwrap()),
            yanked: Some("why".to_owned()),
            metadata_file: Some(MetadataFile {
                sha256: url.len().is_multiple_of(2).then(|| Sha256::of(url)),
            }),
        };
        (version, file)
    }

    #[test]
    fn round_trip() {
        let mut releases = Releases::default();
        for (version, file) in [
            file(
                "demo-1-2b-cp312-cp312-linux_x86_64.whl",
                "https://a.example/x/demo-1-2b-cp312-cp312-linux_x86_64.whl",
            ),
            file("demo-1-py3-none-any.whl", "https://a.example/y/z?file=1"),
            file(
                "demo-2.0+cpu.tar.gz",
                "https://a.example/demo-2.0%2Bcpu.tar.gz",
            ),
        ] {
            releases.versions.entry(version).or_default().push(file);
        }
        let (version, mut bare) = file("demo-3.zip", "http://other.example/é/demo-3.zip");
        (bare.sha256, bare.size, bare.requires_python, bare.yanked) = (None, None, None, None);
        bare.metadata_file = None;
        releases.versions.entry(version).or_default().push(bare);
        let again = decode(&encode(&releases).unwrap()).unwrap();
        assert_eq!(again.versions, releases.versions);
        let empty = Releases::default();
        assert!(
            decode(&encode(&empty).unwrap())
                .unwrap()
                .versions
                .is_empty()
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn prefixes(a in "\\PC{0,10}", b in "\\PC{0,10}") {
            let prefix = common_prefix([a.as_str(), b.as_str()].into_iter());
            prop_assert!(a.starts_with(prefix) && b.starts_with(prefix));
        }
    }
}
