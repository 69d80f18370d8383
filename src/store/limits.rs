//! How big an archive may become. Generous for what exists (torch with its libraries unpacks to
//! about 4 GB in 15,000 files), small enough that a bomb does not fill a disk.

/// Bounds on what one archive may unpack to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Most entries.
    pub(crate) entries: usize,
    /// Most bytes in all.
    pub(crate) bytes: u64,
    /// Most bytes per byte of the archive, beyond [`Limits::slack`]. Deflate itself ends at 1032.
    pub(crate) ratio: u64,
    /// Bytes that are allowed whatever the ratio.
    pub(crate) slack: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 500_000,
            bytes: 40_000_000_000,
            ratio: 200,
            slack: 100_000_000,
        }
    }
}

impl Limits {
    /// The most bytes an archive of this size may unpack to.
    pub(crate) fn bytes_for(&self, archive_bytes: u64) -> u64 {
        archive_bytes
            .saturating_mul(self.ratio)
            .saturating_add(self.slack)
            .min(self.bytes)
    }
}
