//! Transformers, put together from the metadata of their files.
//!
//! [`Config`] says what a model is: it is read from metadata alone, so it can be shown without the
//! weights. [`Model`] is the weights, in the layout of their file, each checked against the
//! configuration. [`Context`] runs them: it holds the cache of keys and values for several sequences
//! and evaluates batches of tokens.
//!
//! One forward pass serves every architecture. What differs is data: a table of families
//! (`family.rs`) gives what the metadata does not say.

mod batch;
mod cache;
mod config;
mod context;
mod error;
mod family;
mod forward;
mod keys;
mod latent;
mod layers;
mod load;
mod memory;
mod moe;
mod pooling;
mod rotation;
mod routing;
mod tensors;

pub use batch::{Batch, BatchToken};
pub use config::{
    Config, ExpertConfig, ExpertGroups, LatentConfig, LayerConfig, PositionScale, Routing,
};
pub use context::{Context, ContextOptions, Rows, SEQUENCES};
pub use error::ModelError;
pub use family::architectures;
pub use load::Model;
pub use memory::{MemoryNeeds, memory_needs};
pub use pooling::Pooling;
