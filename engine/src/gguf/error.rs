//! What can be wrong with a file.

use std::io;
use std::path::PathBuf;

use super::types::unsupported;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or mapped.
    #[error("cannot open `{}`: {cause}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        cause: io::Error,
    },
    /// The file's content is at fault.
    #[error("`{}` is not a sound GGUF file: {cause}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        cause: Flaw,
    },
    /// A part of a split model is missing or does not fit.
    #[error("`{}` is part of a split model, but {problem}", path.display())]
    Split {
        /// The file that was opened.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// What is wrong with the bytes of one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The first four bytes are not `GGUF`.
    #[error("it begins with {0}, where `GGUF` must be")]
    Magic(String),
    /// A file for machines of the other byte order.
    #[error(
        "it is in big-endian byte order, made for another kind of machine; get the little-endian \
         file of the same model, or convert it with `gguf-convert-endian` of the `gguf` Python \
         package"
    )]
    BigEndian,
    /// A version of the format that is not known.
    #[error("it is in version {0} of the format; versions 2 and 3 can be read")]
    Version(u32),
    /// The file ends too early.
    #[error("it ends at byte {len}, inside {what}; a download may have been cut off: get it again")]
    Truncated {
        /// What was being read.
        what: String,
        /// Length of the file in bytes.
        len: u64,
    },
    /// A count that the rest of the file cannot hold.
    #[error("it announces {count} {what}, which the {left} bytes that follow cannot hold")]
    Count {
        /// What is counted.
        what: String,
        /// How many.
        count: u64,
        /// Bytes left in the file.
        left: u64,
    },
    /// More than any model has; each takes memory of its own.
    #[error("it announces {count} {what}; no model has more than {most}")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many.
        count: u64,
        /// How many are allowed.
        most: u64,
    },
    /// Text that is not UTF-8.
    #[error("{0} is not valid UTF-8")]
    Utf8(String),
    /// A value type that the format does not have.
    #[error("metadata `{key}` has value type {id}, which the format does not have")]
    ValueType {
        /// The key.
        key: String,
        /// The type's id.
        id: u32,
    },
    /// A truth value that is neither.
    #[error("metadata `{key}` holds {byte} where 0 (false) or 1 (true) must be")]
    Bool {
        /// The key.
        key: String,
        /// The byte.
        byte: u8,
    },
    /// Arrays in arrays in arrays.
    #[error("metadata `{0}` has arrays nested deeper than any model uses")]
    Nesting(String),
    /// A key that is there twice.
    #[error("metadata `{0}` is given twice")]
    DuplicateKey(String),
    /// A tensor that is there twice.
    #[error("tensor `{0}` is given twice")]
    DuplicateTensor(String),
    /// `general.alignment` is not usable.
    #[error("`general.alignment` is {0}, but must be a power of two")]
    Alignment(String),
    /// Too many dimensions.
    #[error("tensor `{name}` has {dims} dimensions; at most 4 are possible")]
    Dimensions {
        /// The tensor.
        name: String,
        /// Its number of dimensions.
        dims: u32,
    },
    /// A dimension is zero or the size does not fit in 63 bits.
    #[error("tensor `{name}` has the impossible shape {shape:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<u64>,
    },
    /// A type that cannot be read.
    #[error("tensor `{name}` has type {id}: {}", unsupported(*id))]
    TensorType {
        /// The tensor.
        name: String,
        /// The type's id.
        id: u32,
    },
    /// A row is not whole blocks.
    #[error(
        "tensor `{name}` has rows of {row} numbers, but its type {ty} stores {block} at a time"
    )]
    Row {
        /// The tensor.
        name: String,
        /// Length of its rows.
        row: u64,
        /// Its type.
        ty: super::TensorType,
        /// Numbers per block of that type.
        block: usize,
    },
    /// The data does not begin where it must.
    #[error("tensor `{name}` begins at {offset}, which is not a multiple of {alignment}")]
    Misaligned {
        /// The tensor.
        name: String,
        /// Where it begins in the data section.
        offset: u64,
        /// The file's alignment.
        alignment: u64,
    },
    /// The data goes past the end of the file.
    #[error(
        "tensor `{name}` is {size} bytes at {offset} of the data, but there are only {data}; a \
         download may have been cut off: get it again"
    )]
    PastEnd {
        /// The tensor.
        name: String,
        /// Where it begins in the data section.
        offset: u64,
        /// Its size in bytes.
        size: u64,
        /// Length of the data section in bytes.
        data: u64,
    },
    /// Two tensors share bytes.
    #[error("tensors `{first}` and `{second}` overlap")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The one that begins inside it.
        second: String,
    },
}
