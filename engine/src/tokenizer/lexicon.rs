//! Byte strings with a number each, found by their bytes.

use std::hash::{BuildHasher, BuildHasherDefault};

use hashbrown::HashTable;
use rustc_hash::FxHasher;

type Hasher = BuildHasherDefault<FxHasher>;

/// A list of byte strings in one allocation, with a hash index that borrows from it.
#[derive(Clone, Default)]
pub(super) struct Lexicon {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    index: HashTable<u32>,
    hasher: Hasher,
}

impl Lexicon {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of an entry; empty for a number that is not there.
    pub fn bytes(&self, entry: u32) -> &[u8] {
        slice(&self.bytes, &self.ends, entry)
    }

    /// The entry that holds `key`; the last one if several do.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        self.index
            .find(self.hasher.hash_one(key), |&entry| self.bytes(entry) == key)
            .copied()
    }

    /// Appends an entry that [`Lexicon::find`] does not know.
    pub fn push_hidden(&mut self, key: &[u8]) -> u32 {
        self.bytes.extend_from_slice(key);
        self.ends.push(self.bytes.len());
        (self.ends.len() - 1) as u32
    }

    /// Appends an entry; it hides an earlier one with the same bytes.
    pub fn push(&mut self, key: &[u8]) -> u32 {
        let entry = self.push_hidden(key);
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        let hash = hasher.hash_one(key);
        match self
            .index
            .find_mut(hash, |&other| slice(bytes, ends, other) == key)
        {
            Some(other) => *other = entry,
            None => {
                self.index.insert_unique(hash, entry, |&other| {
                    hasher.hash_one(slice(bytes, ends, other))
                });
            }
        }
        entry
    }

    /// The entry that holds `key`, appended if there is none.
    pub fn intern(&mut self, key: &[u8]) -> u32 {
        self.find(key).unwrap_or_else(|| self.push(key))
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], entry: u32) -> &'a [u8] {
    let entry = entry as usize;
    let Some(&end) = ends.get(entry) else {
        return &[];
    };
    let start = if entry == 0 { 0 } else { ends[entry - 1] };
    &bytes[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_entries_hide_earlier_ones_with_the_same_bytes() {
        let mut lexicon = Lexicon::default();
        assert_eq!(lexicon.push(b"a"), 0);
        assert_eq!(lexicon.push_hidden(b"b"), 1);
        assert_eq!(lexicon.push(b"a"), 2);
        assert_eq!(lexicon.find(b"a"), Some(2));
        assert_eq!(lexicon.find(b"b"), None);
        assert_eq!(lexicon.intern(b"b"), 3);
        assert_eq!(lexicon.intern(b"a"), 2);
        assert_eq!(lexicon.bytes(1), b"b");
        assert_eq!(lexicon.bytes(99), b"");
        assert_eq!(lexicon.len(), 4);
    }
}
