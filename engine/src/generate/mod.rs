//! From prompts to answers: what the cache holds already is not evaluated again, tokens come one by
//! one, and an answer ends where it should.
//!
//! A [`Session`] is a model at work on one conversation. [`Session::start`] takes a prompt and gives
//! a [`Generation`], an iterator over pieces of the answer. [`Answers`] is the same model at work on
//! many prompts at once, which come and go as they please.

mod answer;
mod answers;
mod error;
mod pace;
mod perplexity;
mod request;
mod session;
mod slots;

pub use answer::{Finish, Piece, Timings};
pub use answers::{AnswerId, Answers, Event, Happening, Limits};
pub use error::Error;
pub use perplexity::{Perplexity, perplexity};
pub use request::{Overflow, Request};
pub use session::{Generation, Session};
