//! GGUF models, run natively: no C++, no BLAS, no Python.
//!
//! The crate knows files and memory, no network, no terminal and no package store, and can be used
//! by itself. Rooms, top floor first; a room uses what is below it:
//!
//! | room | job |
//! |---|---|
//! | [`model`] | transformers: configuration, weights, cache, evaluation |
//! | [`ops`] | the arithmetic they are made of |
//! | [`threads`] | a pool of threads |
//! | [`quant`] | numbers in blocks: dequantising, quantising, dot products |
//! | [`gguf`] | the file format: metadata, tensors, reading and writing |

pub mod gguf;
pub mod model;
pub mod ops;
pub mod quant;
pub mod threads;
