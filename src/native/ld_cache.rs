//! `ld.so.cache`: the loader's list of libraries in the system's folders, as `ldconfig` wrote it.
//!
//! The form since glibc 2.2 is read (`glibc-ld.so.cache1.1`), on its own or behind the older one,
//! as `sysdeps/generic/dl-cache.h` of glibc describes it: a header of 48 bytes, entries of 24, and
//! strings that entries point to by their offset from that header.

use std::{collections::HashMap, path::Path};

const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// A library of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Where it is.
    pub path: String,
    /// What kind of library (`FLAG_ELF_LIBC6`, with the processor in the second byte).
    pub flags: u32,
    /// It is in a folder for newer processors (`glibc-hwcaps`).
    pub has_hwcaps: bool,
}

/// The libraries of the cache, by name, in its order.
#[derive(Clone, Debug, Default)]
pub struct LdCache(HashMap<String, Vec<CacheEntry>>);

impl LdCache {
    /// Reads the cache of a system; an empty one where there is none, or of a form that is not
    /// known.
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_default();
        Self::parse(&bytes).unwrap_or_default()
    }

    /// Reads the bytes of a cache; `None` where they are none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = if bytes.starts_with(OLD_MAGIC) {
            // The older table comes first; the newer one is found by its magic.
            let at = bytes
                .windows(MAGIC.len())
                .position(|window| window == MAGIC)?;
            bytes.get(at..)?
        } else {
            bytes
        };
        if !bytes.starts_with(MAGIC) {
            return None;
        }
        let word = |at: usize| -> Option<u32> {
            let bytes = bytes.get(at..at.checked_add(4)?)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let string = |at: u32| -> Option<String> {
            let rest = bytes.get(usize::try_from(at).ok()?..)?;
            let end = rest.iter().position(|byte| *byte == 0)?;
            Some(String::from_utf8_lossy(&rest[..end]).into_owned())
        };
        let count = usize::try_from(word(MAGIC.len())?).ok()?;
        let mut libraries: HashMap<String, Vec<CacheEntry>> = HashMap::new();
        for index in 0..count {
            let at = HEADER.checked_add(index.checked_mul(ENTRY)?)?;
            let hwcaps = (word(at + 16)?, word(at + 20)?);
            libraries
                .entry(string(word(at + 4)?)?)
                .or_default()
                .push(CacheEntry {
                    path: string(word(at + 8)?)?,
                    flags: word(at)?,
                    has_hwcaps: hwcaps != (0, 0),
                });
        }
        Some(Self(libraries))
    }

    /// The libraries of a name; those for newer processors, which are the same library and which
    /// the loader prefers where they run, last.
    pub fn of(&self, name: &str) -> impl Iterator<Item = &CacheEntry> {
        let entries = self.0.get(name).map_or(&[][..], Vec::as_slice);
        let newer = entries.iter().filter(|entry| entry.has_hwcaps);
        entries
            .iter()
            .filter(|entry| !entry.has_hwcaps)
            .chain(newer)
    }

    /// Number of names.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A cache of entries: name, path, hwcaps.
    fn cache(entries: &[(&str, &str, u32)]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let mut strings = Vec::new();
        let strings_at = HEADER + ENTRY * entries.len();
        bytes.extend(u32::try_from(entries.len()).unwrap().to_le_bytes());
        bytes.resize(HEADER, 0);
        let mut put = |text: &str| {
            let at = u32::try_from(strings_at + strings.len()).unwrap();
            strings.extend(text.bytes().chain([0]));
            at
        };
        for (name, path, hwcaps) in entries {
            for word in [0x303, put(name), put(path), 0, 0, *hwcaps] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn entries_are_found_by_name_with_or_without_the_older_table_before_them() {
        let bytes = cache(&[
            ("libx.so.1", "/lib/v3/libx.so.1", 7),
            ("libx.so.1", "/lib/libx.so.1", 0),
            ("liby.so", "/lib/liby.so", 0),
        ]);
        let mut behind = OLD_MAGIC.to_vec();
        behind.resize(64, 0);
        behind.extend(&bytes);
        for bytes in [bytes, behind] {
            let cache = LdCache::parse(&bytes).unwrap();
            assert_eq!(cache.len(), 2);
            let paths: Vec<&str> = cache.of("libx.so.1").map(|e| e.path.as_str()).collect();
            assert_eq!(paths, ["/lib/libx.so.1", "/lib/v3/libx.so.1"]);
            assert_eq!(cache.of("libz.so").count(), 0);
        }
        assert!(LdCache::parse(b"something else").is_none());
    }

    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[test]
    fn the_machines_own_cache_is_read() {
        let path = Path::new("/etc/ld.so.cache");
        if !path.exists() {
            return;
        }
        let cache = LdCache::read(path);
        let libc = cache.of("libc.so.6").next().unwrap();
        assert!(Path::new(&libc.path).is_file(), "{libc:?}");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, count: u32) {
            let _ = LdCache::parse(&bytes);
            let mut cache = MAGIC.to_vec();
            cache.extend(count.to_le_bytes());
            cache.extend(&bytes);
            let _ = LdCache::parse(&cache);
        }
    }
}
