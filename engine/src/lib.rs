//! GGUF models, run natively: no C++, no BLAS, no Python.
//!
//! The crate knows files and memory, no network, no terminal and no package store, and can be used
//! by itself. Rooms, top floor first; a room uses what is below it:
//!
//! | room | job |
//! |---|---|
//! | [`generate`] | prompts to answers, token by token; perplexity |
//! | [`convert`] | models to files with other tensor types |
//! | [`chat`] | conversations to prompts, answers to messages |
//! | [`sample`] | from logits to the next token; stop strings; grammars |
//! | [`model`] | transformers: configuration, weights, cache, evaluation |
//! | [`tokenizer`] | text to token ids and back |
//! | [`ops`] | the arithmetic they are made of |
//! | [`threads`] | a pool of threads |
//! | [`quant`] | numbers in blocks: dequantising, quantising, dot products |
//! | [`gguf`] | the file format: metadata, tensors, reading and writing |

pub mod chat;
pub mod convert;
pub mod generate;
pub mod gguf;
pub mod model;
pub mod ops;
pub mod quant;
pub mod sample;
pub mod threads;
pub mod tokenizer;
