//! What is particular to one answer: from scores to its next token and its text, and when it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::error::Error;
use super::request::{Overflow, Request};
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

/// How long things took. Where several answers share a step, each counts the whole of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

/// One answer, apart from the cache.
pub(super) struct Answer {
    tokenizer: Option<Arc<Tokenizer>>,
    decoder: Option<Decoder<Arc<Tokenizer>>>,
    sampler: Sampler,
    stops: Stops,
    #[cfg(feature = "constrain")]
    constraint: Option<Constraint>,
    max_tokens: usize,
    ignore_end: bool,
    cancel: Option<Arc<AtomicBool>>,
    pub overflow: Overflow,
    pub timings: Timings,
}

/// What comes next.
pub(super) enum Chosen {
    /// A token and its text; whether a stop string has ended the answer with it.
    Token(u32, String, bool),
    /// The end that the model chose.
    End,
}

impl Answer {
    /// An answer to a prompt, before its first token.
    pub fn new(prompt: &[u32], request: Request, tokenizer: Option<&Arc<Tokenizer>>) -> Answer {
        let mut sampler = Sampler::new(request.sampling);
        prompt.iter().for_each(|&token| sampler.accept(token));
        Answer {
            tokenizer: tokenizer.cloned(),
            decoder: tokenizer.map(|t| Decoder::within(Arc::clone(t), request.special)),
            sampler,
            stops: Stops::new(request.stops),
            #[cfg(feature = "constrain")]
            constraint: request.constraint,
            max_tokens: request.max_tokens.unwrap_or(usize::MAX),
            ignore_end: request.ignore_end,
            cancel: request.cancel,
            overflow: request.overflow,
            timings: Timings {
                prompt_tokens: prompt.len(),
                ..Timings::default()
            },
        }
    }

    /// The flag that ends it.
    pub fn flag(&self) -> Option<&AtomicBool> {
        self.cancel.as_deref()
    }

    /// Whether no token is to come any more, and why.
    pub fn due(&self) -> Option<Finish> {
        let cancelled = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        if self.flag().is_some_and(cancelled) {
            return Some(Finish::Cancelled);
        }
        (self.timings.tokens >= self.max_tokens).then_some(Finish::Length)
    }

    /// Adds the time of a step that it took part in.
    pub fn took(&mut self, time: Duration) {
        match self.timings.tokens {
            0 => self.timings.prompt += time,
            _ => self.timings.generation += time,
        }
    }

    /// The next token by its scores.
    pub fn next(&mut self, logits: &[f32]) -> Result<Chosen, Error> {
        let began = Instant::now();
        let chosen = self.choose(logits);
        self.timings.generation += began.elapsed();
        chosen
    }

    /// Ends the text and gives what was held back.
    pub fn rest(&mut self) -> String {
        let rest = self.decoder.as_mut().map(Decoder::finish);
        let mut text = self.stops.push(&rest.unwrap_or_default());
        text.push_str(&self.stops.finish());
        text
    }

    fn choose(&mut self, logits: &[f32]) -> Result<Chosen, Error> {
        let token = self.sample(logits)?.ok_or(Error::NoToken)?;
        let ends = self.tokenizer.as_ref().is_some_and(|t| t.is_end(token));
        if ends && !self.ignore_end {
            return Ok(Chosen::End);
        }
        self.sampler.accept(token);
        #[cfg(feature = "constrain")]
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token)?;
        }
        self.timings.tokens += 1;
        let text = self.decoder.as_mut().map(|decoder| decoder.push(token));
        let text = self.stops.push(&text.unwrap_or_default());
        Ok(Chosen::Token(token, text, self.stops.stopped()))
    }

    #[cfg(feature = "constrain")]
    fn sample(&mut self, logits: &[f32]) -> Result<Option<u32>, Error> {
        let Some(constraint) = &mut self.constraint else {
            return Ok(self.sampler.sample(logits, None));
        };
        constraint.prepare()?;
        let constraint = &*constraint;
        let allowed = |token| constraint.allows(token);
        Ok(self.sampler.sample(logits, Some(&allowed)))
    }

    #[cfg(not(feature = "constrain"))]
    fn sample(&mut self, logits: &[f32]) -> Result<Option<u32>, Error> {
        Ok(self.sampler.sample(logits, None))
    }
}
