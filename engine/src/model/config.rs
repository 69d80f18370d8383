//! What a model is, read from metadata.

use serde::Serialize;

use super::error::ModelError;
use super::family::{self, Family, HeadNorm, NormPlacement, Rotated, Windows};
use super::keys::{MOST_CONTEXT, MOST_LAYERS, MOST_WIDTH, Reader};
use super::pooling::Pooling;
use crate::gguf::{Array, Metadata, MetadataError, Value};
use crate::ops::{Activation, NormKind, Rotation};

pub use super::family::Routing;

/// Everything about a model but its weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// The architecture, as files name it.
    pub architecture: &'static str,
    /// The model's own name, if the file has one.
    pub name: Option<String>,
    /// Number of tokens in the vocabulary.
    pub vocabulary: usize,
    /// Length of the vectors between layers.
    pub embedding: usize,
    /// Longest context the model was trained for, in tokens.
    pub context: usize,
    /// The layers, first to last.
    pub layers: Vec<LayerConfig>,
    /// Length of a head's queries and keys.
    pub key_length: usize,
    /// Length of a head's values.
    pub value_length: usize,
    /// Kind of normalisation.
    pub norm: NormKind,
    /// Added under the root of a normalisation.
    pub norm_epsilon: f32,
    /// Where layers are normalised.
    pub norm_placement: NormPlacement,
    /// Normalisation of queries and keys.
    pub head_norm: HeadNorm,
    /// Rotation of queries and keys; none where positions are learned vectors or nothing.
    pub rope: Option<Rotation>,
    /// Rotation in layers with a window.
    pub window_rope: Option<Rotation>,
    /// Whether positions are learned vectors.
    pub learned_positions: bool,
    /// How keys and values are made from one short vector per token, in models that do so.
    pub latent: Option<LatentConfig>,
    /// Products of queries and keys are multiplied by this.
    pub attention_scale: f32,
    /// What queries are multiplied by, growing with the position.
    pub position_scale: Option<PositionScale>,
    /// Attention scores are squeezed to within ± this.
    pub attention_soft_cap: Option<f32>,
    /// Whether attention has a score per head that stands for no token.
    pub attention_sinks: bool,
    /// Whether later tokens are hidden from earlier ones.
    pub causal: bool,
    /// Whether windows reach as far forward as back.
    pub windows_centred: bool,
    /// Function within feed-forward blocks.
    pub activation: Activation,
    /// Whether feed-forward blocks have a gate.
    pub gated: bool,
    /// Experts, in models that have them.
    pub experts: Option<ExpertConfig>,
    /// Embeddings of tokens are multiplied by this.
    pub embedding_scale: f32,
    /// What a block adds to the stream is multiplied by this.
    pub residual_scale: f32,
    /// Logits are divided by this.
    pub logit_scale: f32,
    /// Logits are squeezed to within ± this.
    pub logit_soft_cap: Option<f32>,
    /// Kinds of tokens that have a vector of their own (sentence A, sentence B).
    pub token_types: usize,
    /// Whether the model gives vectors only, no logits.
    pub encoder: bool,
    /// How the vectors of a text's tokens become one, where the file says so.
    pub pooling: Option<Pooling>,
    /// Whether there are further layers, which are not used.
    #[serde(skip)]
    pub(super) has_unused_layers: bool,
    #[serde(skip)]
    pub(super) family: FamilyRef,
}

/// The table row behind a configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct FamilyRef(pub(super) &'static Family);

impl PartialEq for FamilyRef {
    fn eq(&self, other: &FamilyRef) -> bool {
        self.0.name == other.0.name
    }
}

/// What may differ from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LayerConfig {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values; divides `heads`.
    pub kv_heads: usize,
    /// Width of the feed-forward block, where it is not made of experts.
    pub feed_forward: usize,
    /// Positions a token sees, its own included; none for all.
    pub window: Option<usize>,
    /// Whether queries and keys are turned by their positions.
    pub rotated: bool,
    /// Whether the feed-forward block is made of experts.
    pub routed: bool,
}

/// Latent attention: one short vector per token stands for the keys and values of all heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LatentConfig {
    /// Length of the vector that queries are made from, where they are made from one.
    pub query_rank: Option<usize>,
    /// Length of the short vector.
    pub rank: usize,
    /// Length of a head's keys, as trained.
    pub key: usize,
    /// Length of a head's values, as trained.
    pub value: usize,
    /// How many numbers of a key are turned by the position; all heads share them.
    pub turned: usize,
    /// Whether the cache holds the short vectors, and not the keys and values of all heads.
    pub short_cached: bool,
}

/// Queries are multiplied by `1 + factor · ln(1 + ⌊position / length⌋)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PositionScale {
    /// How fast it grows.
    pub factor: f32,
    /// Positions between steps.
    pub length: usize,
}

impl PositionScale {
    /// The multiplier at a position.
    pub fn at(&self, position: u32) -> f32 {
        let steps = position as usize / self.length.max(1);
        1.0 + self.factor * (1.0 + steps as f32).ln()
    }
}

/// Feed-forward blocks of which each token uses a few.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ExpertConfig {
    /// Number of experts.
    pub count: usize,
    /// Experts per token.
    pub used: usize,
    /// Width of an expert.
    pub feed_forward: usize,
    /// Width of the expert that every token uses, if there is one.
    pub shared_feed_forward: Option<usize>,
    /// How scores become parts.
    pub routing: Routing,
    /// Whether the parts of the chosen ones are raised to a sum of one.
    pub sum_to_one: bool,
    /// Groups of which only some are chosen from.
    pub groups: Option<ExpertGroups>,
    /// The weights are multiplied by this.
    pub scale: f32,
}

/// Experts in groups of equal size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ExpertGroups {
    /// Number of groups.
    pub count: usize,
    /// Groups that a token's experts may come from.
    pub used: usize,
}

impl Config {
    /// Reads a model's configuration.
    ///
    /// # Errors
    ///
    /// The architecture is not known, or the metadata lacks something, contradicts itself or asks
    /// for something that is not done here.
    pub fn from_metadata(metadata: &Metadata) -> Result<Config, ModelError> {
        let architecture = metadata
            .text("general.architecture")?
            .ok_or_else(|| MetadataError::Missing("general.architecture".into()))?;
        let family = family::find(architecture).ok_or_else(|| ModelError::Architecture {
            found: architecture.chars().take(64).collect(),
        })?;
        Reader { metadata, family }.config()
    }

    /// Whether what was evaluated at a position can be taken to another one. Learned positions cannot,
    /// and keys that were normalised after they had been turned cannot be turned on.
    pub fn positions_can_move(&self) -> bool {
        !self.learned_positions && !self.family.0.head_norm_after_rope
    }

    /// The rotation of a layer's queries and keys.
    pub fn layer_rope(&self, layer: &LayerConfig) -> Option<&Rotation> {
        match layer.window {
            _ if !layer.rotated => None,
            Some(_) => self.window_rope.as_ref(),
            None => self.rope.as_ref(),
        }
    }
}

impl Reader<'_> {
    fn config(&self) -> Result<Config, ModelError> {
        let family = self.family;
        let embedding = self.required("embedding_length", MOST_WIDTH)?;
        let layers = self.layers()?;
        let (heads, experts) = (layers[0].heads, self.experts(&layers)?);
        let by_heads = embedding / heads.max(1);
        let key_length = self.head_length("attention.key_length", by_heads)?;
        let value_length = self.head_length("attention.value_length", by_heads)?;
        let context = self.required("context_length", MOST_CONTEXT)?;
        let rope = self.rope(key_length, context)?;
        let latent = self.latent(&layers, key_length, value_length)?;
        let [embedding_scale, residual_scale, logit_scale] =
            self.scales(embedding, layers.len())?;
        let key_lengths = match family.scale_by_embedding {
            Some(count) if count == layers.len() => by_heads,
            _ => latent.map_or(key_length, |latent| latent.key),
        };
        Ok(Config {
            architecture: family.name,
            name: self.metadata.text("general.name")?.map(str::to_owned),
            vocabulary: self.vocabulary()?,
            embedding,
            context,
            key_length,
            value_length,
            norm: family.norm,
            norm_epsilon: self.norm_epsilon()?,
            norm_placement: family.placement,
            head_norm: family.head_norm,
            window_rope: rope
                .as_ref()
                .map(|rope| self.window_rope(rope))
                .transpose()?,
            rope,
            learned_positions: family.rope.is_none(),
            attention_scale: {
                let default = self.latent_magnitude()?.powi(2) / (key_lengths as f32).sqrt();
                self.own_factor("attention.scale", default)?
            },
            position_scale: self.position_scale(context)?,
            latent,
            attention_soft_cap: match family.soft_cap_scores {
                true => self.soft_cap("attn_logit_softcapping", 50.0)?,
                false => None,
            },
            attention_sinks: family.sinks,
            causal: self.flag("attention.causal")?.unwrap_or(!family.encoder),
            windows_centred: family.windows_centred,
            activation: family.activation,
            gated: family.gated,
            experts,
            embedding_scale,
            residual_scale,
            logit_scale,
            logit_soft_cap: {
                let default = if family.soft_cap_scores { 30.0 } else { 0.0 };
                self.soft_cap("final_logit_softcapping", default)?
            },
            token_types: match family.placement == NormPlacement::AfterSum {
                true => self.token_types()?,
                false => 0,
            },
            encoder: family.encoder,
            pooling: self.pooling()?,
            has_unused_layers: self
                .own_size("nextn_predict_layers", MOST_LAYERS)?
                .is_some_and(|count| count > 0),
            layers,
            family: FamilyRef(family),
        })
    }

    /// Length of a head's keys or values.
    fn head_length(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        match self.size(key, MOST_WIDTH)?.unwrap_or(default) {
            0 => Err(self.value(key, 0, "at least 1")),
            length => Ok(length),
        }
    }

    /// What embeddings and residuals are multiplied by, and logits divided by.
    fn scales(&self, embedding: usize, layers: usize) -> Result<[f32; 3], ModelError> {
        let family = self.family;
        let [tokens, residual, logits] = match family.default_scales {
            Some(scales) => scales(embedding, layers),
            None if family.embedding_by_root => [(embedding as f32).sqrt(), 1.0, 1.0],
            None => [1.0; 3],
        };
        let logits = self.own_factor("logit_scale", logits)?;
        Ok([
            self.own_factor("embedding_scale", tokens)?,
            self.own_factor("residual_scale", residual)?,
            match family.logits_multiplied {
                true => 1.0 / logits,
                false => logits,
            },
        ])
    }

    fn norm_epsilon(&self) -> Result<f32, ModelError> {
        let key = match self.family.norm {
            NormKind::Rms => "attention.layer_norm_rms_epsilon",
            NormKind::Layer => "attention.layer_norm_epsilon",
        };
        let missing = || MetadataError::Missing(self.key(key));
        match self.number(key)?.ok_or_else(missing)? {
            epsilon if epsilon < 0.0 => Err(self.value(key, epsilon, "0 or more")),
            epsilon => Ok(epsilon),
        }
    }

    /// A bound; 0 stands for none.
    fn soft_cap(&self, key: &str, default: f32) -> Result<Option<f32>, ModelError> {
        let cap = self.own_number(key)?.unwrap_or(default);
        Ok((cap > 0.0).then_some(cap))
    }

    fn layers(&self) -> Result<Vec<LayerConfig>, ModelError> {
        let count = self.required("block_count", MOST_LAYERS)?;
        // Layers behind the last that foretell a further token, and are not used.
        let unused = self
            .own_size("nextn_predict_layers", MOST_LAYERS)?
            .unwrap_or(0);
        let Some(count) = count.checked_sub(unused).filter(|&count| count > 0) else {
            let wanted = format!("less than the {count} layers");
            return Err(self.value("nextn_predict_layers", unused, &wanted));
        };
        let heads = self
            .per_layer("attention.head_count", count)?
            .ok_or_else(|| MetadataError::Missing(self.key("attention.head_count")))?;
        let kv_heads = self
            .per_layer("attention.head_count_kv", count)?
            .unwrap_or_else(|| heads.clone());
        let feed_forward = self
            .per_layer("feed_forward_length", count)?
            .unwrap_or_else(|| vec![0; count]);
        let windows = self.windows(count)?;
        let windowed = windows.iter().any(Option::is_some);
        let routed = self.routed(count)?;
        let layers: Vec<LayerConfig> = (0..count)
            .map(|i| LayerConfig {
                heads: heads[i],
                kv_heads: kv_heads[i],
                feed_forward: feed_forward[i],
                window: windows[i],
                rotated: match self.family.rotated {
                    Rotated::All => true,
                    Rotated::Windowed => windows[i].is_some() || !windowed,
                    Rotated::AllBut(step) => (i + 1) % step != 0,
                },
                routed: routed[i],
            })
            .collect();
        for layer in &layers {
            if layer.heads == 0 || layer.kv_heads == 0 {
                let text = "layers without attention heads are not supported";
                return Err(ModelError::Unsupported(text.into()));
            }
            if !layer.heads.is_multiple_of(layer.kv_heads) {
                let wanted = format!("a divisor of the {} attention heads", layer.heads);
                return Err(self.value("attention.head_count_kv", layer.kv_heads, &wanted));
            }
        }
        Ok(layers)
    }

    fn windows(&self, count: usize) -> Result<Vec<Option<usize>>, ModelError> {
        let none = vec![None; count];
        let (period, distance) = match self.family.windows {
            Windows::Never => return Ok(none),
            Windows::Pattern { period, distance } => (period, distance),
            Windows::FirstFull { period } => (period, None),
        };
        let distance = self
            .size("attention.sliding_window", u64::MAX)?
            .or(distance);
        let Some(distance) = distance.filter(|&distance| distance > 0) else {
            return Ok(none);
        };
        let key = self.key("attention.sliding_window_pattern");
        let limited: Vec<bool> = match self.metadata.get(&key) {
            Some(Value::Array(list)) => self
                .list(&key, list, count)?
                .iter()
                .map(|&n| n != 0)
                .collect(),
            _ => {
                let period = self
                    .size("attention.sliding_window_pattern", u64::MAX)?
                    .unwrap_or(period);
                let last_full = !matches!(self.family.windows, Windows::FirstFull { .. });
                let full = |i: usize| match last_full {
                    true => (i + 1).is_multiple_of(period),
                    false => i.is_multiple_of(period),
                };
                // A period of 0 means that every layer is limited.
                (0..count).map(|i| period == 0 || !full(i)).collect()
            }
        };
        Ok(limited
            .iter()
            .map(|&limited| limited.then_some(distance))
            .collect())
    }

    fn vocabulary(&self) -> Result<usize, ModelError> {
        let tokens = match self.metadata.get("tokenizer.ggml.tokens") {
            Some(Value::Array(Array::String(tokens))) => tokens.len(),
            _ => 0,
        };
        match tokens {
            0 => self.required("vocab_size", MOST_WIDTH * 16),
            tokens => Ok(tokens),
        }
    }

    fn token_types(&self) -> Result<usize, ModelError> {
        let key = "tokenizer.ggml.token_type_count";
        match self.metadata.count(key)? {
            Some(count @ 1..=1024) => Ok(count as usize),
            Some(count) => Err(MetadataError::Value {
                key: key.into(),
                value: count.to_string(),
                wanted: "1 to 1024".into(),
            }
            .into()),
            None => Err(MetadataError::Missing(key.into()).into()),
        }
    }

    fn pooling(&self) -> Result<Option<Pooling>, ModelError> {
        Ok(match self.metadata.count(&self.key("pooling_type"))? {
            None | Some(0) => None,
            Some(1) => Some(Pooling::Mean),
            Some(2) => Some(Pooling::Cls),
            Some(3) => Some(Pooling::Last),
            Some(other) => {
                let text = format!(
                    "pooling of kind {other} is not supported (1 is mean, 2 first token, 3 last)"
                );
                return Err(ModelError::Unsupported(text));
            }
        })
    }
}
