//! What is kept on disk between runs.
//!
//! ```text
//! cache/http/<aa>/<sha256 of the address>   a package's page, reduced, with its freshness
//! cache/metadata/<aa>/<sha256>              core metadata by the digest of the file, for ever;
//!                                           for a file without digest, of `url:` and its address
//! ```
//!
//! Entries are replaced by renaming, so a reader sees an old one or a new one, never half. An
//! entry that cannot be read counts as absent, and one that cannot be written is not kept: the
//! cache makes aienv quick, it never makes it fail.
//!
//! How long a page is fresh is what its headers say (RFC 9111). Many company mirrors send none and
//! no validators either; for those [`MINIMUM_LIFETIME`] holds, since without it every plan would
//! fetch every page again.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use reqwest::header::{
    AGE, CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderName, HeaderValue, LAST_MODIFIED,
};
use serde::{Deserialize, Serialize};

use super::{CoreMetadata, DistFile, Releases, core_metadata::Compact, stored};
use crate::{home::Home, types::Sha256};

/// Version of the form of everything here; entries of another are absent.
pub(super) const FORMAT: &[u8; 8] = b"aienv\0\0\x03";

/// How long a page without any caching header is fresh.
const MINIMUM_LIFETIME: Duration = Duration::from_secs(600);

/// The longest a page is believed to be fresh, whatever its headers say: a wrong header must not
/// hide new releases for a year.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The cache below a home.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    http: PathBuf,
    metadata: PathBuf,
    downloads: PathBuf,
}

/// How fresh an entry is and how to ask whether it still holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Freshness {
    /// Seconds since 1970.
    fetched: u64,
    /// Seconds from then.
    lifetime: u64,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

/// A page as kept.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) freshness: Freshness,
    /// `None`: the index does not have the package.
    pub(super) releases: Option<Releases>,
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    /// Guards against one file name for two addresses.
    #[serde(borrow)]
    address: &'a str,
    freshness: Freshness,
    absent: bool,
}

impl Cache {
    pub(super) fn new(home: &Home) -> Self {
        let root = home.cache();
        Self {
            http: root.join("http"),
            metadata: root.join("metadata"),
            downloads: root.join("downloads"),
        }
    }

    /// The page kept for an address.
    pub(super) fn page(&self, address: &str) -> Option<Entry> {
        let bytes = read(&sharded(&self.http, &Sha256::of(address)))?;
        let (header, rest) =
            postcard::take_from_bytes::<Header<'_>>(&bytes[FORMAT.len()..]).ok()?;
        if header.address != address {
            return None;
        }
        let releases = match header.absent {
            true => None,
            false => Some(stored::decode(rest)?),
        };
        Some(Entry {
            freshness: header.freshness,
            releases,
        })
    }

    /// Keeps a page.
    pub(super) fn keep_page(
        &self,
        address: &str,
        freshness: &Freshness,
        releases: Option<&Releases>,
    ) {
        let header = Header {
            address,
            freshness: freshness.clone(),
            absent: releases.is_none(),
        };
        let body = match releases {
            Some(releases) => stored::encode(releases),
            None => Some(Vec::new()),
        };
        let Some((header, body)) = postcard::to_stdvec(&header).ok().zip(body) else {
            return;
        };
        keep(
            &sharded(&self.http, &Sha256::of(address)),
            &[&header, &body],
        );
    }

    /// The core metadata kept for a file.
    pub(super) fn metadata(&self, file: &DistFile) -> Option<CoreMetadata> {
        let bytes = read(&sharded(&self.metadata, &key(file)))?;
        postcard::from_bytes::<Compact>(&bytes[FORMAT.len()..])
            .ok()?
            .expand()
    }

    /// Keeps core metadata.
    pub(super) fn keep_metadata(&self, file: &DistFile, metadata: &CoreMetadata) {
        if let Ok(bytes) = postcard::to_stdvec(&Compact::of(metadata)) {
            keep(&sharded(&self.metadata, &key(file)), &[&bytes]);
        }
    }

    /// The digest that a file of this address had, where the index states none.
    pub(super) fn digest(&self, url: &str) -> Option<Sha256> {
        let bytes = read(&self.digest_file(url))?;
        std::str::from_utf8(&bytes[FORMAT.len()..])
            .ok()?
            .parse()
            .ok()
    }

    /// Keeps such a digest.
    pub(super) fn keep_digest(&self, url: &str, digest: &Sha256) {
        keep(&self.digest_file(url), &[digest.to_string().as_bytes()]);
    }

    fn digest_file(&self, url: &str) -> PathBuf {
        sharded(&self.metadata, &Sha256::of(format!("digest of {url}")))
    }

    /// Where a whole file with this digest lies once it was downloaded and verified.
    pub(super) fn download(&self, digest: &Sha256) -> PathBuf {
        self.downloads.join(digest.to_string())
    }

    /// A new file beside the downloads, gone when dropped.
    pub(super) fn new_download(&self) -> io::Result<tempfile::NamedTempFile> {
        fs::create_dir_all(&self.downloads)?;
        tempfile::Builder::new()
            .prefix(".part-")
            .tempfile_in(&self.downloads)
    }
}

/// The bytes of an entry that has this format.
fn read(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    bytes.starts_with(FORMAT).then_some(bytes)
}

fn key(file: &DistFile) -> Sha256 {
    file.sha256
        .unwrap_or_else(|| Sha256::of(format!("url:{}", file.url)))
}

fn sharded(folder: &Path, digest: &Sha256) -> PathBuf {
    let name = digest.to_string();
    folder.join(&name[..2]).join(name)
}

fn keep(path: &Path, parts: &[&[u8]]) {
    let write = || {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(FORMAT)?;
        for part in parts {
            file.write_all(part)?;
        }
        // Not synchronised to the disk: an entry lost in a power cut is only fetched again.
        file.persist(path).map_err(|error| error.error)?;
        Ok::<_, io::Error>(())
    };
    if let Err(error) = write() {
        tracing::debug!("`{}` is not kept: {error}", path.display());
    }
}

impl Freshness {
    /// From the headers of an answer that came `now`. `None` when it must not be kept.
    pub(super) fn of(headers: &HeaderMap, now: SystemTime) -> Option<Self> {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::to_owned);
        let control = headers
            .get_all(CACHE_CONTROL)
            .iter()
            .filter_map(|v| v.to_str().ok());
        let control = control.collect::<Vec<_>>().join(",").to_ascii_lowercase();
        let directives: Vec<&str> = control.split(',').map(str::trim).collect();
        if directives.contains(&"no-store") {
            return None;
        }
        let max_age = directives.iter().find_map(|directive| {
            let seconds = directive.strip_prefix("max-age=")?;
            seconds.trim_matches('"').parse::<u64>().ok()
        });
        let lifetime = if directives
            .iter()
            .any(|d| *d == "no-cache" || d.starts_with("no-cache="))
        {
            Duration::ZERO
        } else if let Some(max_age) = max_age {
            let age = text(AGE)
                .and_then(|age| age.trim().parse().ok())
                .unwrap_or(0);
            Duration::from_secs(max_age.saturating_sub(age))
        } else if let Some(expires) = text(EXPIRES) {
            // What is no date (`0`, `-1`) means: expired already.
            let expires = httpdate::parse_http_date(&expires).unwrap_or(SystemTime::UNIX_EPOCH);
            expires.duration_since(now).unwrap_or_default()
        } else {
            MINIMUM_LIFETIME
        };
        Some(Self {
            fetched: seconds(now),
            lifetime: lifetime.min(LONGEST_LIFETIME).as_secs(),
            etag: text(ETAG),
            last_modified: text(LAST_MODIFIED),
        })
    }

    /// After a 304: the new headers, and the old ones where there are no new ones.
    pub(super) fn renewed(&self, headers: &HeaderMap, now: SystemTime) -> Option<Self> {
        let new = Self::of(headers, now)?;
        let says_how_long = headers.contains_key(CACHE_CONTROL) || headers.contains_key(EXPIRES);
        Some(Self {
            fetched: new.fetched,
            lifetime: if says_how_long {
                new.lifetime
            } else {
                self.lifetime
            },
            etag: new.etag.or_else(|| self.etag.clone()),
            last_modified: new.last_modified.or_else(|| self.last_modified.clone()),
        })
    }

    /// Whether the entry can be used without asking. One from the future (a clock that was set
    /// back) is not.
    pub(super) fn is_fresh(&self, now: SystemTime) -> bool {
        seconds(now)
            .checked_sub(self.fetched)
            .is_some_and(|age| age < self.lifetime)
    }

    /// The condition headers that ask whether the entry still holds.
    pub(super) fn conditions(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        let etag = self
            .etag
            .as_deref()
            .map(|v| (reqwest::header::IF_NONE_MATCH, v));
        let date = self
            .last_modified
            .as_deref()
            .map(|v| (reqwest::header::IF_MODIFIED_SINCE, v));
        etag.into_iter()
            .chain(date)
            .filter(|(_, value)| HeaderValue::from_str(value).is_ok())
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn lifetimes() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
        let hour = httpdate::fmt_http_date(now + Duration::from_secs(3600));
        for (pairs, lifetime) in [
            (&[][..], 600),
            (&[("etag", "\"x\"")], 600),
            (&[("cache-control", "public, max-age=60")], 60),
            (&[("cache-control", "Max-Age=\"60\""), ("age", "50")], 10),
            (&[("cache-control", "max-age=60"), ("age", "70")], 0),
            (&[("cache-control", "no-cache")], 0),
            (&[("cache-control", "max-age=99999999")], 86_400),
            (&[("expires", hour.as_str())], 3600),
            (&[("expires", "0")], 0),
            (
                &[("expires", hour.as_str()), ("cache-control", "max-age=5")],
                5,
            ),
        ] {
            let freshness = Freshness::of(&headers(pairs), now).unwrap();
            assert_eq!(freshness.lifetime, lifetime, "{pairs:?}");
            assert_eq!(freshness.is_fresh(now), lifetime > 0);
            assert!(!freshness.is_fresh(now + Duration::from_secs(lifetime)));
            assert!(!freshness.is_fresh(now - Duration::from_secs(5)));
        }
        assert_eq!(
            Freshness::of(&headers(&[("cache-control", "no-store")]), now),
            None
        );
    }

    #[test]
    fn entries_survive_and_others_count_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(&Home::at(folder.path()));
        let freshness = Freshness::of(&headers(&[("etag", "\"x\"")]), SystemTime::now()).unwrap();
        let address = "https://index.example/simple/demo/";
        assert!(cache.page(address).is_none());
        cache.keep_page(address, &freshness, None);
        let entry = cache.page(address).unwrap();
        assert!(entry.releases.is_none());
        assert_eq!(entry.freshness, freshness);
        cache.keep_page(address, &freshness, Some(&Releases::default()));
        assert!(cache.page(address).unwrap().releases.is_some());
        let path = sharded(&cache.http, &Sha256::of(address));
        for bytes in [&b""[..], b"aienv\0\0\x03abc", b"aienv\0\0\x01\xff\xff\xff"] {
            fs::write(&path, bytes).unwrap();
            assert!(cache.page(address).is_none());
        }
    }
}
