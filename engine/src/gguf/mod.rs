//! The GGUF file format: a little-endian header, typed metadata, tensor descriptions, and the
//! tensors' data, each at an aligned offset.
//!
//! Source: the format's specification, `docs/gguf.md` of the ggml project.

mod error;
mod file;
mod metadata;
mod read;
mod tensor;
mod types;
mod value;
mod write;

pub use error::{Error, Flaw};
pub use file::File;
pub use metadata::{Metadata, MetadataError};
pub use tensor::Tensor;
pub use types::TensorType;
pub use value::{Array, Strings, Value};
pub use write::{Body, WriteError, Writer, part_name};
