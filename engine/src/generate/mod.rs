//! From a prompt to an answer: what the cache holds already is not evaluated again, tokens come one
//! by one, and the answer ends where it should.
//!
//! A [`Session`] is a model at work on one conversation. [`Session::start`] takes a prompt and gives
//! a [`Generation`], an iterator over pieces of the answer.

mod error;
mod generation;
mod perplexity;
mod session;

pub use error::Error;
pub use generation::{Finish, Generation, Piece, Timings};
pub use perplexity::{Perplexity, perplexity};
pub use session::{Overflow, Request, Session};
