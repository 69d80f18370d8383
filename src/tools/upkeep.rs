//! What takes space, and what may go.

use std::{collections::BTreeSet, path::Path};

use super::{Manager, ToolError, life::entries_of, state::ToolState};
use crate::{
    platform::remove_tree,
    prefix::Prefix,
    store::{Damage, Live},
};

/// Bytes on disk, by what they are for.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct CacheSizes {
    /// Unpacked artifacts.
    pub store: u64,
    /// Prefixes, files shared with the store left out where the file system can tell.
    pub prefixes: u64,
    /// Index pages, metadata, partial downloads.
    pub cache: u64,
    /// What `gc` would free in the store.
    pub unused: u64,
}

/// What `gc` freed.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Freed {
    /// Prefixes that no tool used.
    pub prefixes: usize,
    /// Artifacts that no lock named.
    pub entries: usize,
    /// Bytes of these artifacts and of what was in the cache.
    pub bytes: u64,
}

impl Manager {
    /// What is on disk.
    pub fn sizes(&self) -> Result<CacheSizes, ToolError> {
        let unused = self.store().unused(&self.live()?);
        Ok(CacheSizes {
            store: self.store().size().bytes(),
            prefixes: folder_bytes(&self.home.prefixes(), true),
            cache: folder_bytes(&self.home.cache(), false),
            unused: unused.iter().map(|(_, _, bytes)| bytes).sum(),
        })
    }

    /// Removes prefixes and artifacts that no installed generation needs, and partial downloads.
    pub fn gc(&self) -> Result<Freed, ToolError> {
        let mut freed = Freed::default();
        let report = self.store().gc(|| self.live())?;
        freed.entries = report.entries;
        freed.bytes = report.bytes;
        let used = self.used_prefixes()?;
        for name in Prefix::names(&self.home) {
            if !used.contains(&name) {
                self.discard_prefix(&name)?;
                freed.prefixes += 1;
            }
        }
        Prefix::remove_leftovers(&self.home)?;
        let downloads = self.home.cache().join("downloads");
        freed.bytes += folder_bytes(&downloads, false);
        // What cannot be removed now is removed by the next run.
        let _ = remove_tree(&downloads);
        Ok(freed)
    }

    /// Compares every file of the store with its digest.
    pub fn verify(&self) -> Vec<Damage> {
        let task = self
            .progress
            .task("Verifying", Some(self.store().size().bytes()));
        self.store().verify(&*task)
    }

    fn used_prefixes(&self) -> Result<BTreeSet<String>, ToolError> {
        let tools = ToolState::load_all(&self.home)?;
        Ok(tools
            .into_iter()
            .flat_map(|tool| tool.generations.into_iter().map(|g| g.prefix))
            .collect())
    }

    /// Every store entry that a generation of an installed tool needs.
    fn live(&self) -> Result<Live, ToolError> {
        let mut live = Live::default();
        // An unreadable record must not let its artifacts be thrown away.
        for tool in ToolState::load_all(&self.home)? {
            for generation in &tool.generations {
                let lock = tool.lock(&self.home, generation.number)?;
                for (kind, key) in entries_of(&lock) {
                    live.insert(kind, key);
                }
            }
        }
        Ok(live)
    }
}

/// Bytes of the files below a folder; with `own_only`, files that are hard-linked elsewhere count
/// as the other place's.
fn folder_bytes(folder: &Path, own_only: bool) -> u64 {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .flatten()
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| entry.metadata().ok())
        .filter(|metadata| !own_only || crate::platform::link_count(metadata) <= 1)
        .map(|metadata| metadata.len())
        .sum()
}
