//! Why nothing can be generated.

use crate::model::ModelError;
#[cfg(feature = "constrain")]
use crate::sample::ConstraintError;

/// What stands in the way of an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The model cannot evaluate what it was given.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// There is nothing to go on from.
    #[error("the prompt has no tokens, so there is nothing to continue")]
    EmptyPrompt,
    /// The prompt alone is too much.
    #[error(
        "the prompt has {prompt} tokens, but the context has room for {context}; make the context \
         larger or the prompt shorter"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt: usize,
        /// Tokens the context has room for.
        context: usize,
    },
    /// There is no room for another token, and none may be dropped.
    #[error(
        "the context of {context} tokens is full; make it larger, or let older tokens be dropped"
    )]
    ContextFull {
        /// Tokens the context has room for.
        context: usize,
    },
    /// No token may come next.
    #[error(
        "no token can come next: all are forbidden, or the model's scores are not numbers, which a \
         damaged file causes"
    )]
    NoToken,
    /// The text is too short to be measured.
    #[error(
        "the text has {tokens} tokens, but one window of {window} is the least that can be measured"
    )]
    TooShort {
        /// Tokens of the text.
        tokens: usize,
        /// Tokens of a window.
        window: usize,
    },
    /// The grammar cannot be used or followed.
    #[cfg(feature = "constrain")]
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
}
