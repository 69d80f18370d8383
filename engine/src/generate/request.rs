//! What is asked for with a prompt.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

#[cfg(feature = "constrain")]
use crate::sample::Constraint;
use crate::sample::Options;

/// What to do when an answer has filled the context.
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
pub struct Request {
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
    pub cancel: Option<Arc<AtomicBool>>,
    /// What the answer must follow.
    #[cfg(feature = "constrain")]
    pub constraint: Option<Constraint>,
}

impl Default for Request {
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
