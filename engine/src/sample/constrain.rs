//! Output that must follow a JSON schema, a regular expression or a grammar: before each token a mask
//! of those that keep the text valid. The parser is the crate `llguidance`.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{SimpleVob, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};

use crate::tokenizer::{Encode, Kind, Tokenizer};

/// What a text must follow.
#[derive(Clone, Debug, PartialEq)]
pub enum Grammar {
    /// Any JSON value.
    Json,
    /// JSON that a JSON schema accepts.
    JsonSchema(serde_json::Value),
    /// A regular expression, for the whole text.
    Regex(String),
    /// A context-free grammar in the Lark notation of `llguidance`.
    Lark(String),
}

/// Why an output cannot be held to a grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// The grammar itself.
    #[error("the grammar for the output cannot be used: {0}")]
    Grammar(String),
    /// The vocabulary.
    #[error("the model's vocabulary cannot be held to a grammar: {0}")]
    Vocabulary(String),
    /// A token that the grammar does not allow here.
    #[error("token {0} is not what the grammar allows here")]
    Token(u32),
    /// The grammar became too complex while it was followed.
    #[error("the grammar cannot be followed further: {0}")]
    Stuck(String),
}

/// Follows one output.
pub struct Constraint {
    matcher: Matcher,
    mask: Option<SimpleVob>,
}

/// The vocabulary in the form that the parser wants.
struct Vocabulary {
    trie: TokTrie,
    tokenizer: Arc<Tokenizer>,
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        self.trie
            .tokenize_with_greedy_fallback(bytes, |text| self.tokenizer.encode(text, Encode::TEXT))
    }
}

/// Prepares grammars for a vocabulary. Costly to make: one per model.
pub struct Constraints {
    factory: ParserFactory,
}

impl Constraints {
    /// For the vocabulary of `tokenizer`.
    pub fn new(tokenizer: Arc<Tokenizer>) -> Result<Constraints, ConstraintError> {
        let end = tokenizer
            .special()
            .eos
            .or(tokenizer.ends().first().copied());
        let Some(end) = end else {
            return Err(ConstraintError::Vocabulary(
                "it has no token that ends a text".to_owned(),
            ));
        };
        let words: Vec<Vec<u8>> = (0..tokenizer.len() as u32)
            .map(|id| match tokenizer.kind(id) {
                // A control token is no text: it is known by a mark that no text has.
                Some(Kind::Control | Kind::Unknown) => {
                    let text = tokenizer.text(id).unwrap_or_default().as_bytes();
                    [&[TokTrie::SPECIAL_TOKEN_MARKER], text].concat()
                }
                _ => tokenizer.piece(id, false).to_vec(),
            })
            .collect();
        let mut info = TokRxInfo::new(words.len() as u32, end);
        info.tok_end_of_turn = tokenizer.special().eot;
        let environment: TokEnv = Arc::new(Vocabulary {
            trie: TokTrie::from(&info, &words),
            tokenizer,
        });
        let mut factory = ParserFactory::new_simple(&environment)
            .map_err(|error| ConstraintError::Vocabulary(error.to_string()))?;
        factory.quiet();
        Ok(Constraints { factory })
    }

    /// Starts to follow an output.
    pub fn start(&self, grammar: &Grammar) -> Result<Constraint, ConstraintError> {
        let grammar = match grammar {
            Grammar::Json => TopLevelGrammar::from_json_schema(serde_json::json!({})),
            Grammar::JsonSchema(schema) => TopLevelGrammar::from_json_schema(schema.clone()),
            Grammar::Regex(pattern) => TopLevelGrammar::from_regex(pattern),
            Grammar::Lark(grammar) => TopLevelGrammar::from_lark(grammar.clone()),
        };
        let parser = self
            .factory
            .create_parser(grammar)
            .map_err(|error| ConstraintError::Grammar(format!("{error:#}")))?;
        Ok(Constraint {
            matcher: Matcher::new(Ok(parser)),
            mask: None,
        })
    }
}

impl Constraint {
    /// Finds out which tokens may come next. When the output is complete, only the end may.
    pub fn prepare(&mut self) -> Result<(), ConstraintError> {
        let mask = self.matcher.compute_mask_or_eos();
        self.mask = Some(mask.map_err(|error| ConstraintError::Stuck(reason(&error.to_string())))?);
        Ok(())
    }

    /// Whether the token may come next; [`Constraint::prepare`] has to be called before, once for
    /// each place. Before that nothing may.
    pub fn allows(&self, token: u32) -> bool {
        self.mask
            .as_ref()
            .is_some_and(|mask| (token as usize) < mask.len() && mask.is_allowed(token))
    }

    /// Goes on by a token.
    pub fn accept(&mut self, token: u32) -> Result<(), ConstraintError> {
        self.mask = None;
        self.matcher
            .consume_token(token)
            .map_err(|_| ConstraintError::Token(token))
    }

    /// Whether the output may end here.
    pub fn complete(&mut self) -> bool {
        self.matcher.is_stopped() || self.matcher.is_accepting().unwrap_or(false)
    }
}

/// What is wrong, without the parser's state, which the library adds.
fn reason(message: &str) -> String {
    let reason = message.split("<state>").next().unwrap_or_default();
    match reason.trim() {
        "NoExtensionBias" | "" => "nothing that it allows can come next".to_owned(),
        reason => reason.to_owned(),
    }
}
