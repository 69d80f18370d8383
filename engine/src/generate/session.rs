//! One conversation.

use std::collections::VecDeque;
use std::sync::Arc;

use super::answer::{Finish, Piece, Timings};
use super::answers::{AnswerId, Answers, Happening, Limits};
use super::error::Error;
use super::request::Request;
use crate::model::Context;
use crate::tokenizer::Tokenizer;

/// Tokens of a prompt evaluated in one step.
const STRETCH: usize = 256;

/// A context, its tokenizer, and the tokens whose keys and values the cache holds: [`Answers`] of
/// which there is one at a time.
///
/// Answers depend on the prompt, the request and the context's options only: not on the number of
/// threads, nor on what was asked before.
pub struct Session {
    answers: Answers,
}

impl Session {
    /// A session with an empty cache. Without a tokenizer, answers are ids.
    pub fn new(context: Context, tokenizer: Option<Arc<Tokenizer>>) -> Session {
        let limits = Limits {
            answers: 1,
            tokens: context.size(),
            stretch: STRETCH,
            kept: 0,
        };
        Session {
            answers: Answers::new(context, tokenizer, limits),
        }
    }

    /// The context.
    pub fn context(&self) -> &Context {
        self.answers.context()
    }

    /// The tokenizer, if the model file has one.
    pub fn tokenizer(&self) -> Option<&Arc<Tokenizer>> {
        self.answers.tokenizer()
    }

    /// Forgets everything that was evaluated.
    pub fn clear(&mut self) {
        self.answers.clear();
    }

    /// Takes a prompt and makes ready to answer it. It is evaluated, as far as the cache does not
    /// hold it yet, when the first piece is asked for.
    ///
    /// # Errors
    ///
    /// The prompt is empty, too long, or not of the model's tokens; or the model gives vectors only.
    pub fn start(&mut self, prompt: &[u32], request: Request) -> Result<Generation<'_>, Error> {
        // An answer that was let go before its end.
        self.answers.give_up_all();
        let id = self.answers.add(prompt.to_vec(), request)?;
        let timings = self.answers.begin(id);
        Ok(Generation {
            answers: &mut self.answers,
            id,
            pieces: VecDeque::new(),
            end: End::None,
            timings,
        })
    }
}

/// An answer on its way: an iterator over its pieces. After an error it gives nothing more.
pub struct Generation<'s> {
    answers: &'s mut Answers,
    id: AnswerId,
    /// Those that have come and were not asked for yet.
    pieces: VecDeque<Result<Piece, Error>>,
    end: End,
    timings: Timings,
}

/// Whether anything more comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    None,
    Finished(Finish),
    Failed,
}

impl Generation<'_> {
    /// Why the answer ended; nothing while it goes on, or after an error.
    pub fn finish(&self) -> Option<Finish> {
        match self.end {
            End::Finished(finish) if self.pieces.is_empty() => Some(finish),
            _ => None,
        }
    }

    /// How long things took so far.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    fn step(&mut self) {
        let events = match self.answers.step() {
            Ok(events) => events,
            Err(error) => return self.fail(error),
        };
        if let Some(timings) = self.answers.timings(self.id) {
            self.timings = timings;
        }
        for event in events {
            match event.what {
                Happening::Piece(piece) => self.pieces.push_back(Ok(piece)),
                Happening::Finished { finish, timings } => {
                    self.end = End::Finished(finish);
                    self.timings = timings;
                }
                Happening::Failed(error) => self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.end = End::Failed;
        self.pieces.push_back(Err(error));
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.pieces.is_empty() && self.end == End::None {
            self.step();
        }
        self.pieces.pop_front()
    }
}
