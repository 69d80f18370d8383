//! Why a model cannot be run, or a batch not be evaluated.

use crate::gguf::MetadataError;

/// What is wrong with a model, a request or the machine.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Nothing here knows how the model computes.
    #[error(
        "models of architecture `{found}` are not supported; supported are {}",
        super::architectures().collect::<Vec<_>>().join(", ")
    )]
    Architecture {
        /// The architecture named in the file.
        found: String,
    },
    /// The metadata lacks something or is of the wrong kind.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The metadata asks for something that this engine does not do.
    #[error("{0}")]
    Unsupported(String),
    /// A tensor is not in the file.
    #[error("the model file has no tensor `{name}`, which {architecture} models need")]
    MissingTensor {
        /// The tensor.
        name: String,
        /// The architecture.
        architecture: &'static str,
    },
    /// A tensor's shape contradicts the metadata.
    #[error("tensor `{name}` has the shape {found}, but by the metadata it must have {wanted}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape in the file.
        found: String,
        /// The shape that follows from the metadata.
        wanted: String,
    },
    /// A tensor holds whole numbers where weights are expected.
    #[error("tensor `{name}` is of type {ty}, which cannot hold weights")]
    Type {
        /// The tensor.
        name: String,
        /// Its type.
        ty: &'static str,
    },
    /// There are tensors that have no part in the computation as it is known here.
    #[error(
        "the model file has tensors that a {architecture} model is not known to have ({names}); \
         its answers would be wrong without them"
    )]
    UnknownTensors {
        /// The architecture.
        architecture: &'static str,
        /// Some of their names.
        names: String,
    },
    /// The machine has too little memory.
    #[error(
        "a context of {context} tokens needs {} in all ({} weights, {} cache, {} working memory), \
         but {} can be had; {}",
        megabytes(needs.total()),
        megabytes(needs.weights),
        megabytes(needs.cache),
        megabytes(needs.compute),
        megabytes(*available),
        what_fits(*fitting_context)
    )]
    Memory {
        /// Tokens asked for.
        context: usize,
        /// What they need.
        needs: super::MemoryNeeds,
        /// Bytes that can be had.
        available: u64,
        /// The largest context that fits, if any does.
        fitting_context: Option<usize>,
    },
    /// The cache has no room for more tokens.
    #[error(
        "the context of {context} tokens is full: {free} free, {wanted} more wanted; make it \
         larger, or drop older tokens"
    )]
    ContextFull {
        /// Size of the context.
        context: usize,
        /// Tokens it has room for.
        free: usize,
        /// Tokens that were to be added.
        wanted: usize,
    },
    /// A batch asks for something impossible.
    #[error("{0}")]
    Batch(String),
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn what_fits(context: Option<usize>) -> String {
    match context {
        Some(tokens) => format!("a context of {tokens} tokens would fit"),
        None => {
            "the weights alone do not fit: take a smaller or more strongly quantised model".into()
        }
    }
}
