//! The arithmetic a transformer is made of, each step over all tokens of a batch.
//!
//! Results depend neither on the number of threads nor on which tokens share a batch: every value
//! is computed by one thread, in an order that its own inputs decide.

mod activation;
mod attention;
mod disjoint;
mod kv;
mod matmul;
mod matrix;
mod norm;
mod rope;
mod stop;

pub use activation::Activation;
pub use attention::{Attention, Span, attention};
pub use kv::{KvStore, KvType};
pub use matmul::{Compute, Group, Products, matmul, matmul_grouped};
pub use matrix::Matrix;
pub use norm::{Norm, NormKind};
pub use rope::{RopeStyle, RopeTable, Rotation};
pub use stop::Stop;
