//! How well a model foretells a text.

use super::error::Error;
use crate::model::{Batch, Context};

/// Tokens whose scores are asked for at a time: with a vocabulary of 256 000 tokens, 16 MB.
const STRIDE: usize = 16;

/// The result of [`perplexity`].
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Perplexity {
    /// The exponential of the mean of what the model was surprised by each token, in nats.
    pub perplexity: f64,
    /// Its standard error.
    pub error: f64,
    /// Tokens that were foretold.
    pub tokens: usize,
    /// Windows that the text was cut into.
    pub windows: usize,
}

/// Cuts `tokens` into windows of `window` and measures how well the model foretells the second half
/// of each from what precedes it in its window, as the tool `llama-perplexity` of
/// ggml-org/llama.cpp does. A rest at the end that is shorter than a window is left out.
///
/// Where the model wants a begin-of-text token, it is given as `bos` and takes the place of the
/// first token of each window. `seen` is called after each window, with its number and the result
/// so far. Forgets what the context held.
///
/// # Errors
///
/// The text is shorter than a window, or the model cannot evaluate it.
pub fn perplexity(
    context: &mut Context,
    tokens: &[u32],
    window: usize,
    bos: Option<u32>,
    seen: &mut dyn FnMut(usize, &Perplexity),
) -> Result<Perplexity, Error> {
    if window < 4 || tokens.len() < window {
        return Err(Error::TooShort {
            tokens: tokens.len(),
            window,
        });
    }
    let mut sums = Sums::default();
    for (i, part) in tokens.chunks_exact(window).enumerate() {
        context.clear();
        measure(context, part, bos, &mut sums)?;
        seen(i + 1, &sums.result(i + 1));
    }
    context.clear();
    Ok(sums.result(tokens.len() / window))
}

fn measure(
    context: &mut Context,
    part: &[u32],
    bos: Option<u32>,
    sums: &mut Sums,
) -> Result<(), Error> {
    let mut given = part.to_vec();
    if let Some(bos) = bos {
        given[0] = bos;
    }
    let first = part.len() / 2;
    // The last token is foretold, and foretells nothing.
    let (quiet, rest) = given[..part.len() - 1].split_at(first);
    context.eval(&Batch::quiet(quiet, 0, 0))?;
    let mut at = first;
    for stride in rest.chunks(STRIDE) {
        let rows = context.eval(&Batch::all(stride, 0, at as u32))?;
        for row in rows.iter() {
            at += 1;
            sums.add(surprise(row, part[at]));
        }
    }
    Ok(())
}

/// Minus the logarithm of the probability that the scores give to a token.
fn surprise(logits: &[f32], token: u32) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits
        .iter()
        .map(|&logit| f64::from(logit - most).exp())
        .sum();
    sum.ln() - f64::from(logits[token as usize] - most)
}

#[derive(Debug, Default)]
struct Sums {
    count: usize,
    sum: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, surprise: f64) {
        self.count += 1;
        self.sum += surprise;
        self.squares += surprise * surprise;
    }

    fn result(&self, windows: usize) -> Perplexity {
        let count = self.count as f64;
        let mean = self.sum / count;
        let variance = (self.squares / count - mean * mean).max(0.0);
        let perplexity = mean.exp();
        Perplexity {
            perplexity,
            error: perplexity * (variance / (count - 1.0).max(1.0)).sqrt(),
            tokens: self.count,
            windows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surprise_is_what_the_softmax_says() {
        let even = surprise(&[1.0; 8], 3);
        assert!((even - 8f64.ln()).abs() < 1e-12);
        let sure = surprise(&[1000.0, 0.0], 0);
        assert!(sure.abs() < 1e-12);
    }

    #[test]
    fn even_chances_have_the_number_of_tokens_as_perplexity() {
        let mut sums = Sums::default();
        (0..10).for_each(|_| sums.add(8f64.ln()));
        let result = sums.result(1);
        assert!((result.perplexity - 8.0).abs() < 1e-9 && result.error < 1e-5);
        assert_eq!((result.tokens, result.windows), (10, 1));
    }
}
