//! How much memory a model needs, before any is taken.

use serde::Serialize;

use super::config::Config;
use super::error::ModelError;
use crate::ops::KvType;

/// Tokens evaluated at a time; longer batches are cut.
pub(super) const STEP: usize = 256;

/// Bytes a model needs to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryNeeds {
    /// Weights, mapped from their file.
    pub weights: u64,
    /// Keys and values of the whole context.
    pub cache: u64,
    /// Vectors of the tokens at work.
    pub compute: u64,
}

impl MemoryNeeds {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.weights
            .saturating_add(self.cache)
            .saturating_add(self.compute)
    }
}

/// What a model with `weights` bytes of weights needs for a context of `context` tokens, its cache
/// stored as `kv`.
pub fn memory_needs(config: &Config, weights: u64, context: usize, kv: KvType) -> MemoryNeeds {
    let kv = kv_type(config, kv);
    let per_token: u64 = config
        .layers
        .iter()
        .map(|layer| {
            let head = kv.row_bytes(config.key_length) + kv.row_bytes(config.value_length);
            layer.kv_heads as u64 * head as u64
        })
        .sum();
    let step = match config.causal {
        true => context.min(STEP),
        false => context,
    };
    MemoryNeeds {
        weights,
        cache: per_token.saturating_mul(context as u64),
        compute: (widest(config) * 4).saturating_mul(step as u64) + config.vocabulary as u64 * 4,
    }
}

/// Numbers a token occupies while a layer is computed.
fn widest(config: &Config) -> u64 {
    let layer = |layer: &super::LayerConfig| {
        let attention = layer.heads * (config.key_length + config.value_length)
            + layer.kv_heads * (config.key_length + config.value_length);
        let lengthened = config.latent.map_or(0, |l| layer.heads * (l.key + l.value));
        let attention = attention + lengthened;
        let feed_forward = match &config.experts {
            Some(experts) if layer.routed => {
                experts.used * (2 * experts.feed_forward + config.embedding)
                    + 2 * experts.shared_feed_forward.unwrap_or(0)
            }
            _ => 2 * layer.feed_forward,
        };
        attention.max(feed_forward)
    };
    let widest = config.layers.iter().map(layer).max().unwrap_or(0);
    (widest + 4 * config.embedding) as u64
}

/// Encoders keep keys and values for one step only, and unrounded.
pub(super) fn kv_type(config: &Config, wanted: KvType) -> KvType {
    match config.encoder {
        true => KvType::F32,
        false => wanted,
    }
}

/// Refuses a context that does not fit in `available` bytes, and says what would.
pub(super) fn check(
    config: &Config,
    weights: u64,
    context: usize,
    kv: KvType,
    available: u64,
) -> Result<(), ModelError> {
    let needs = |context| memory_needs(config, weights, context, kv);
    if needs(context).total() <= available {
        return Ok(());
    }
    let (mut fits, mut too_large) = (0, context);
    while too_large - fits > 1 {
        let middle = fits + (too_large - fits) / 2;
        match needs(middle).total() <= available {
            true => fits = middle,
            false => too_large = middle,
        }
    }
    Err(ModelError::Memory {
        context,
        needs: needs(context),
        available,
        fitting_context: (fits > 0).then_some(fits),
    })
}
