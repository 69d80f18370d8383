//! GGUF models, run natively: no C++, no BLAS, no Python.
//!
//! The crate knows files and memory, no network, no terminal and no package store, and can be used
//! by itself. Rooms, top floor first; a room uses what is below it:
//!
//! | room | job |
//! |---|---|
//! | [`sample`] | from logits to the next token; stop strings; grammars |
//! | [`chat`] | conversations to prompts, answers to messages |
//! | [`tokenizer`] | text to token ids and back |
//! | [`quant`] | numbers in blocks: dequantising, quantising, dot products |
//! | [`gguf`] | the file format: metadata, tensors, reading and writing |

pub mod chat;
pub mod gguf;
pub mod quant;
pub mod sample;
pub mod tokenizer;
