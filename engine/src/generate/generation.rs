//! An answer on its way.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::error::Error;
use super::session::{Cached, Overflow, SEQUENCE, cancelled};
use crate::model::{Batch, Context};
#[cfg(feature = "constrain")]
use crate::sample::Constraint;
use crate::sample::{Sampler, Stops};
use crate::tokenizer::{Decoder, Tokenizer};

/// A token of the answer, and the text that became certain with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The token; none for the text that was held back to the end.
    pub token: Option<u32>,
    /// More of the text; often empty, since characters and stop strings reach over tokens.
    pub text: String,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The model ended it, or a stop string came.
    Stop,
    /// As many tokens as were allowed, or as the context has room for.
    Length,
    /// The flag that cancels was set.
    Cancelled,
}

/// How long things took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those of them that the cache held already.
    pub reused_tokens: usize,
    /// Time for the others.
    pub prompt: Duration,
    /// Tokens of the answer.
    pub tokens: usize,
    /// Time for them.
    pub generation: Duration,
}

impl Timings {
    /// Tokens of the prompt per second, those that had to be evaluated.
    pub fn prompt_rate(&self) -> f64 {
        rate(self.prompt_tokens - self.reused_tokens, self.prompt)
    }

    /// Tokens of the answer per second.
    pub fn rate(&self) -> f64 {
        rate(self.tokens, self.generation)
    }
}

fn rate(count: usize, time: Duration) -> f64 {
    match time.as_secs_f64() {
        0.0 => 0.0,
        seconds => count as f64 / seconds,
    }
}

/// An answer on its way: an iterator over its pieces. After an error it gives nothing more.
pub struct Generation<'s> {
    pub(super) context: &'s mut Context,
    pub(super) cached: &'s mut Cached,
    pub(super) tokenizer: Option<&'s Tokenizer>,
    pub(super) decoder: Option<Decoder<'s>>,
    pub(super) sampler: Sampler,
    pub(super) stops: Stops,
    #[cfg(feature = "constrain")]
    pub(super) constraint: Option<Constraint>,
    pub(super) max_tokens: usize,
    pub(super) overflow: Overflow,
    pub(super) ignore_end: bool,
    pub(super) cancel: Option<&'s AtomicBool>,
    /// Scores for the next token; empty if the prompt was cancelled.
    pub(super) logits: Vec<f32>,
    /// The last token, which is evaluated only when another is asked for.
    pub(super) pending: Option<u32>,
    pub(super) finish: Option<Finish>,
    pub(super) failed: bool,
    pub(super) timings: Timings,
}

impl Generation<'_> {
    /// Why the answer ended; nothing while it goes on, or after an error.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// How long things took so far.
    pub fn timings(&self) -> Timings {
        self.timings
    }

    /// One step: a token, or the end.
    fn step(&mut self) -> Result<Piece, Error> {
        // Without scores the prompt was cancelled.
        if cancelled(self.cancel) || self.logits.is_empty() {
            return Ok(self.end(Finish::Cancelled));
        }
        if self.timings.tokens >= self.max_tokens || !self.evaluate_pending()? {
            return Ok(self.end(Finish::Length));
        }
        let token = self.choose()?;
        let ends = self.tokenizer.is_some_and(|t| t.is_end(token));
        if ends && !self.ignore_end {
            return Ok(self.end(Finish::Stop));
        }
        self.sampler.accept(token);
        self.accept_constrained(token)?;
        self.pending = Some(token);
        self.timings.tokens += 1;
        let text = self.decoder.as_mut().map(|decoder| decoder.push(token));
        let text = self.stops.push(&text.unwrap_or_default());
        if self.stops.stopped() {
            self.finish = Some(Finish::Stop);
        }
        Ok(Piece {
            token: Some(token),
            text,
        })
    }

    /// Ends the answer with the text that was held back.
    fn end(&mut self, finish: Finish) -> Piece {
        self.finish = Some(finish);
        let rest = self.decoder.as_mut().map(Decoder::finish);
        let mut text = self.stops.push(&rest.unwrap_or_default());
        text.push_str(&self.stops.finish());
        Piece { token: None, text }
    }

    /// Evaluates the last token. False if there is no room for it and the answer ends with that.
    fn evaluate_pending(&mut self) -> Result<bool, Error> {
        let Some(token) = self.pending else {
            return Ok(true);
        };
        if self.context.free() == 0 && !self.make_room()? {
            return Ok(false);
        }
        let position = self.context.next_position(SEQUENCE);
        let batch = Batch::prompt(&[token], SEQUENCE, position);
        let rows = self.context.eval(&batch)?;
        self.logits.clear();
        self.logits.extend_from_slice(rows.numbers());
        self.cached.push(&[token]);
        self.pending = None;
        Ok(true)
    }

    fn make_room(&mut self) -> Result<bool, Error> {
        let size = self.context.size();
        match self.overflow {
            Overflow::End => Ok(false),
            Overflow::Refuse => Err(Error::ContextFull { context: size }),
            Overflow::Shift { keep } => {
                let held = self.cached.tokens.len();
                // At least one token has to go, whatever is to be kept.
                let keep = keep.min(held.saturating_sub(1));
                let count = (held - keep).div_ceil(2);
                self.cached.discard(self.context, keep, count)?;
                Ok(true)
            }
        }
    }

    #[cfg(feature = "constrain")]
    fn choose(&mut self) -> Result<u32, Error> {
        let Some(constraint) = &mut self.constraint else {
            return self.choose_freely();
        };
        constraint.prepare()?;
        let constraint = &*constraint;
        let allowed = |token| constraint.allows(token);
        let chosen = self.sampler.sample(&self.logits, Some(&allowed));
        chosen.ok_or(Error::NoToken)
    }

    #[cfg(not(feature = "constrain"))]
    fn choose(&mut self) -> Result<u32, Error> {
        self.choose_freely()
    }

    fn choose_freely(&mut self) -> Result<u32, Error> {
        let chosen = self.sampler.sample(&self.logits, None);
        chosen.ok_or(Error::NoToken)
    }

    fn accept_constrained(&mut self, token: u32) -> Result<(), Error> {
        #[cfg(feature = "constrain")]
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token)?;
        }
        #[cfg(not(feature = "constrain"))]
        let _ = token;
        Ok(())
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finish.is_some() || self.failed {
            return None;
        }
        let began = Instant::now();
        let step = self.step();
        self.timings.generation += began.elapsed();
        match step {
            Ok(piece) if piece.token.is_none() && piece.text.is_empty() => None,
            Ok(piece) => Some(Ok(piece)),
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
