//! The GGUF file format: a little-endian header, typed metadata, tensor descriptions, and the
//! tensors' data, each at an aligned offset.
//!
//! Source: the format's specification, `docs/gguf.md` of the ggml project.

mod metadata;
mod value;

pub use metadata::{Metadata, MetadataError};
pub use value::{Array, Strings, Value};
