//! A model at work on one conversation.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::error::Error;
use super::generation::{Generation, Timings};
use crate::model::{Batch, Context};
#[cfg(feature = "constrain")]
use crate::sample::Constraint;
use crate::sample::{Options, Sampler, Stops};
use crate::tokenizer::Tokenizer;

/// The sequence of the context that a session uses.
pub(super) const SEQUENCE: usize = 0;

/// Tokens of a prompt evaluated between two looks at the flag that cancels.
const STRIDE: usize = 256;

/// A context, its tokenizer, and the tokens whose keys and values the cache holds.
///
/// Answers depend on the prompt, the request and the context's options only: not on the number of
/// threads, nor on what was asked before.
pub struct Session {
    pub(super) context: Context,
    pub(super) tokenizer: Option<Arc<Tokenizer>>,
    pub(super) cached: Cached,
}

/// What the cache holds.
#[derive(Debug, Default)]
pub(super) struct Cached {
    /// The tokens, by position.
    pub tokens: Vec<u32>,
    /// How many of them were evaluated with all before them in their places. What comes after has
    /// seen tokens that were dropped since, and is of no use to another prompt.
    pub exact: usize,
}

/// What to do when the context is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// End the answer.
    End,
    /// Refuse to go on.
    Refuse,
    /// Keep this many of the first tokens, drop half of the others and go on.
    Shift {
        /// Tokens to keep: the system prompt, as a rule.
        keep: usize,
    },
}

/// How to answer a prompt.
pub struct Request<'r> {
    /// How tokens are chosen.
    pub sampling: Options,
    /// The most tokens to generate; none for as many as there is room for.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer and are no part of it.
    pub stops: Vec<String>,
    /// What to do when the context is full.
    pub overflow: Overflow,
    /// Whether control tokens are written out in the text, as [`Parser`](crate::chat::Parser) needs
    /// them.
    pub special: bool,
    /// Whether tokens that end a generation are taken for any other.
    pub ignore_end: bool,
    /// When this becomes true, the answer ends before its next token.
    pub cancel: Option<&'r AtomicBool>,
    /// What the answer must follow.
    #[cfg(feature = "constrain")]
    pub constraint: Option<Constraint>,
}

impl Default for Request<'_> {
    fn default() -> Self {
        Request {
            sampling: Options::default(),
            max_tokens: None,
            stops: Vec::new(),
            overflow: Overflow::End,
            special: false,
            ignore_end: false,
            cancel: None,
            #[cfg(feature = "constrain")]
            constraint: None,
        }
    }
}

impl Session {
    /// A session with an empty cache. Without a tokenizer, answers are ids.
    pub fn new(mut context: Context, tokenizer: Option<Arc<Tokenizer>>) -> Session {
        context.clear();
        Session {
            context,
            tokenizer,
            cached: Cached::default(),
        }
    }

    /// The context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The tokenizer, if the model file has one.
    pub fn tokenizer(&self) -> Option<&Arc<Tokenizer>> {
        self.tokenizer.as_ref()
    }

    /// Forgets everything that was evaluated.
    pub fn clear(&mut self) {
        self.context.clear();
        self.cached = Cached::default();
    }

    /// Evaluates a prompt, as far as the cache does not hold it yet, and makes ready to continue it.
    ///
    /// # Errors
    ///
    /// The prompt is empty, too long, or not of the model's tokens; or the model gives vectors only.
    pub fn start<'s>(
        &'s mut self,
        prompt: &[u32],
        request: Request<'s>,
    ) -> Result<Generation<'s>, Error> {
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if prompt.len() > self.context.size() {
            return Err(Error::PromptTooLong {
                prompt: prompt.len(),
                context: self.context.size(),
            });
        }
        let began = Instant::now();
        let reused = self.keep_common(prompt);
        let logits = self.evaluate(&prompt[reused..], request.cancel)?;
        let timings = Timings {
            prompt_tokens: prompt.len(),
            reused_tokens: reused,
            prompt: began.elapsed(),
            tokens: 0,
            generation: Duration::ZERO,
        };
        let mut sampler = Sampler::new(request.sampling);
        prompt.iter().for_each(|&token| sampler.accept(token));
        let tokenizer = self.tokenizer.as_deref();
        Ok(Generation {
            context: &mut self.context,
            cached: &mut self.cached,
            tokenizer,
            decoder: tokenizer.map(|tokenizer| tokenizer.decoder_within(request.special)),
            sampler,
            stops: Stops::new(request.stops),
            #[cfg(feature = "constrain")]
            constraint: request.constraint,
            max_tokens: request.max_tokens.unwrap_or(usize::MAX),
            overflow: request.overflow,
            ignore_end: request.ignore_end,
            cancel: request.cancel,
            logits,
            pending: None,
            finish: None,
            failed: false,
            timings,
        })
    }

    /// Drops what the cache holds beyond its common beginning with a prompt; gives the length of
    /// that. The last token of the prompt is always left to be evaluated, for its scores.
    fn keep_common(&mut self, prompt: &[u32]) -> usize {
        let exact = &self.cached.tokens[..self.cached.exact];
        let same = exact.iter().zip(prompt).take_while(|(a, b)| a == b).count();
        let same = same.min(prompt.len() - 1);
        self.cached.cut(&mut self.context, same);
        same
    }

    /// Adds tokens to the cache; gives the scores after the last one, or none if it was cancelled.
    fn evaluate(&mut self, tokens: &[u32], cancel: Option<&AtomicBool>) -> Result<Vec<f32>, Error> {
        let last = tokens.len().div_ceil(STRIDE).saturating_sub(1);
        for (i, stride) in tokens.chunks(STRIDE).enumerate() {
            if cancelled(cancel) {
                break;
            }
            let position = self.context.next_position(SEQUENCE);
            let batch = match i == last {
                true => Batch::prompt(stride, SEQUENCE, position),
                false => Batch::quiet(stride, SEQUENCE, position),
            };
            let rows = self.context.eval(&batch)?;
            self.cached.push(stride);
            if i == last {
                return Ok(rows.numbers().to_vec());
            }
        }
        Ok(Vec::new())
    }
}

impl Cached {
    /// Takes note of tokens that were evaluated.
    pub fn push(&mut self, tokens: &[u32]) {
        if self.exact == self.tokens.len() {
            self.exact += tokens.len();
        }
        self.tokens.extend_from_slice(tokens);
    }

    /// Forgets all but the first `len` tokens.
    fn cut(&mut self, context: &mut Context, len: usize) {
        // Fits: a context has fewer tokens than positions.
        context.remove(SEQUENCE, len as u32..u32::MAX);
        self.tokens.truncate(len);
        self.exact = self.exact.min(len);
    }

    /// Drops `count` tokens after the first `keep`.
    pub fn discard(
        &mut self,
        context: &mut Context,
        keep: usize,
        count: usize,
    ) -> Result<(), Error> {
        if let Err(error) = context.discard(SEQUENCE, keep as u32, count as u32) {
            // Some of it may be gone already.
            context.clear();
            *self = Cached::default();
            return Err(error.into());
        }
        self.tokens.drain(keep..keep + count);
        self.exact = self.exact.min(keep);
        Ok(())
    }
}

/// Whether a flag says that enough was done.
pub(super) fn cancelled(flag: Option<&AtomicBool>) -> bool {
    flag.is_some_and(|flag| flag.load(std::sync::atomic::Ordering::Relaxed))
}
