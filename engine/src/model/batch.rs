//! What is to be evaluated.

/// One token at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchToken {
    /// Its number in the vocabulary.
    pub token: u32,
    /// Its position in its sequence, from 0.
    pub position: u32,
    /// Its sequence, below [`SEQUENCES`](super::SEQUENCES).
    pub sequence: usize,
    /// Whether its result is wanted.
    pub output: bool,
}

/// Tokens to evaluate together, of one or several sequences.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<BatchToken>,
}

impl Batch {
    /// Adds a token.
    pub fn push(&mut self, token: BatchToken) {
        self.tokens.push(token);
    }

    /// Tokens of one sequence from `position` on, the result of the last one wanted: a prompt.
    pub fn prompt(tokens: &[u32], sequence: usize, position: u32) -> Batch {
        let mut batch = Batch::all(tokens, sequence, position);
        let last = batch.tokens.len().saturating_sub(1);
        for token in &mut batch.tokens[..last] {
            token.output = false;
        }
        batch
    }

    /// Tokens of one sequence from `position` on, the results of all of them wanted.
    pub fn all(tokens: &[u32], sequence: usize, position: u32) -> Batch {
        let tokens = tokens.iter().zip(0u32..).map(|(&token, i)| BatchToken {
            token,
            position: position.saturating_add(i),
            sequence,
            output: true,
        });
        Batch {
            tokens: tokens.collect(),
        }
    }

    /// Tokens of one sequence from `position` on, no result wanted: the beginning of a long prompt.
    pub fn quiet(tokens: &[u32], sequence: usize, position: u32) -> Batch {
        let mut batch = Batch::all(tokens, sequence, position);
        for token in &mut batch.tokens {
            token.output = false;
        }
        batch
    }

    /// The tokens.
    pub fn tokens(&self) -> &[BatchToken] {
        &self.tokens
    }

    /// Removes all tokens.
    pub fn clear(&mut self) {
        self.tokens.clear();
    }
}
