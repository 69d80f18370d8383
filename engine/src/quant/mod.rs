//! Numbers in blocks: what the bytes of each tensor type mean.
//!
//! Every quantised type means the same thing in the end: small whole numbers, in sub-blocks of 16
//! or 32 that share a scale and perhaps a minimum. The inner room `unpack` turns each type's bytes
//! into that form, and everything portable is built on it; kernels for particular processors must
//! agree with it.
//!
//! Source of the layouts: the ggml project's block structures, as restated by the `gguf` package
//! of the Python package index, against which `tests/vectors.py` checks them.

mod activations;
mod dequantize;
mod fit;
mod grids;
mod product;
mod quantize;
mod unpack;

pub use activations::Activations;
pub use dequantize::dequantize;
pub use product::{Kernels, multiply, multiply_with};
pub use quantize::{QUANTIZABLE, QuantizeError, quantize};
