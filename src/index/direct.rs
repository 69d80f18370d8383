//! Distributions named by URL rather than found on an index.

use super::{DistFile, DistKind, file_name};
use crate::types::{Sha256, Version};

/// A URL that does not name a usable distribution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectUrlError {
    /// Not a URL.
    #[error("`{0}` is not a URL")]
    NotAUrl(String),
    /// Neither a wheel nor a source distribution.
    #[error("its last part, `{0}`, is the name of neither a wheel nor a source distribution")]
    NotADistribution(String),
    /// A hash that is none.
    #[error("its hash is not `sha256=` and 64 hexadecimal digits")]
    BadHash,
}
