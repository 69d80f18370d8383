//! What a model is, read from metadata.

use serde::Serialize;

use super::error::ModelError;
use super::family::{self, Family, HeadNorm, NormPlacement, WindowRope, Windows};
use super::pooling::Pooling;
use crate::gguf::{Array, Metadata, MetadataError, Value};
use crate::ops::{Activation, NormKind, Rotation};

pub use super::family::Routing;

/// Bounds that no model comes near; they keep products of them within range.
const MOST_LAYERS: u64 = 4096;
const MOST_WIDTH: u64 = 1 << 22;
const MOST_CONTEXT: u64 = 1 << 31;

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
    /// Products of queries and keys are multiplied by this.
    pub attention_scale: f32,
    /// Attention scores are squeezed to within ± this.
    pub attention_soft_cap: Option<f32>,
    /// Whether attention has a score per head that stands for no token.
    pub attention_sinks: bool,
    /// Whether later tokens are hidden from earlier ones.
    pub causal: bool,
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
    /// How the chosen experts are weighed.
    pub routing: Routing,
    /// The weights are multiplied by this.
    pub scale: f32,
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

    /// The rotation of a layer's queries and keys.
    pub fn layer_rope(&self, layer: &LayerConfig) -> Option<&Rotation> {
        match layer.window {
            Some(_) => self.window_rope.as_ref(),
            None => self.rope.as_ref(),
        }
    }
}

struct Reader<'a> {
    metadata: &'a Metadata,
    family: &'static Family,
}

impl Reader<'_> {
    fn config(&self) -> Result<Config, ModelError> {
        let family = self.family;
        let embedding = self.required("embedding_length", MOST_WIDTH)?;
        let layers = self.layers()?;
        let (heads, experts) = (layers[0].heads, self.experts(&layers)?);
        let by_heads = embedding / heads.max(1);
        let key_length = self
            .size("attention.key_length", MOST_WIDTH)?
            .unwrap_or(by_heads);
        let value_length = self
            .size("attention.value_length", MOST_WIDTH)?
            .unwrap_or(by_heads);
        for (length, key) in [(key_length, "key_length"), (value_length, "value_length")] {
            if length == 0 {
                return Err(self.value(&format!("attention.{key}"), length, "at least 1"));
            }
        }
        let context = self.required("context_length", MOST_CONTEXT)?;
        let rope = self.rope(key_length, context)?;
        let key_lengths = match family.scale_by_embedding {
            Some(count) if count == layers.len() => by_heads,
            _ => key_length,
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
            attention_scale: match self.number("attention.scale")? {
                Some(scale) if scale != 0.0 => scale,
                _ => 1.0 / (key_lengths as f32).sqrt(),
            },
            attention_soft_cap: match family.soft_cap_scores {
                true => self.soft_cap("attn_logit_softcapping", 50.0)?,
                false => None,
            },
            attention_sinks: family.sinks,
            causal: self.flag("attention.causal")?.unwrap_or(!family.encoder),
            activation: family.activation,
            gated: family.gated,
            experts,
            embedding_scale: match self.number("embedding_scale")? {
                Some(scale) if scale != 0.0 => scale,
                _ if family.embedding_by_root => (embedding as f32).sqrt(),
                _ => 1.0,
            },
            residual_scale: self.factor("residual_scale")?,
            logit_scale: self.factor("logit_scale")?,
            logit_soft_cap: {
                let default = if family.soft_cap_scores { 30.0 } else { 0.0 };
                self.soft_cap("final_logit_softcapping", default)?
            },
            token_types: match family.encoder {
                true => self.token_types()?,
                false => 0,
            },
            encoder: family.encoder,
            pooling: self.pooling()?,
            layers,
            family: FamilyRef(family),
        })
    }

    fn norm_epsilon(&self) -> Result<f32, ModelError> {
        let key = match self.family.norm {
            NormKind::Rms => "attention.layer_norm_rms_epsilon",
            NormKind::Layer => "attention.layer_norm_epsilon",
        };
        let missing = || MetadataError::Missing(self.key(key));
        Ok(self.number(key)?.ok_or_else(missing)?)
    }

    /// A bound; 0 stands for none.
    fn soft_cap(&self, key: &str, default: f32) -> Result<Option<f32>, ModelError> {
        let cap = self.number(key)?.unwrap_or(default);
        Ok((cap > 0.0).then_some(cap))
    }

    fn layers(&self) -> Result<Vec<LayerConfig>, ModelError> {
        let count = self.required("block_count", MOST_LAYERS)?;
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
        let layers: Vec<LayerConfig> = (0..count)
            .map(|i| LayerConfig {
                heads: heads[i],
                kv_heads: kv_heads[i],
                feed_forward: feed_forward[i],
                window: windows[i],
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
        let Windows::Pattern { period, distance } = self.family.windows else {
            return Ok(none);
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
                // A period of 0 means that every layer is limited.
                (0..count)
                    .map(|i| period == 0 || i % period + 1 < period)
                    .collect()
            }
        };
        Ok(limited
            .iter()
            .map(|&limited| limited.then_some(distance))
            .collect())
    }

    fn experts(&self, layers: &[LayerConfig]) -> Result<Option<ExpertConfig>, ModelError> {
        let family = self.family;
        let Some(count) = self
            .size("expert_count", MOST_WIDTH)?
            .filter(|&count| count > 0)
        else {
            return match family.always_experts {
                true => Err(MetadataError::Missing(self.key("expert_count")).into()),
                false => Ok(None),
            };
        };
        let used = self.required("expert_used_count", count as u64)?;
        let width = layers[0].feed_forward;
        let feed_forward = match self.size("expert_feed_forward_length", MOST_WIDTH)? {
            Some(width) if width > 0 => width,
            // Qwen's older files give the width of all used experts together, others that of one.
            _ if family.name.starts_with("qwen") => width / used,
            _ => width,
        };
        let shared = self
            .size("expert_shared_feed_forward_length", MOST_WIDTH)?
            .filter(|&n| n > 0);
        let first_dense = self
            .size("leading_dense_block_count", MOST_LAYERS)?
            .unwrap_or(0);
        if first_dense > 0 {
            let text = format!(
                "{} models whose first layers have no experts are not supported",
                family.name
            );
            return Err(ModelError::Unsupported(text));
        }
        Ok(Some(ExpertConfig {
            count,
            used,
            feed_forward,
            shared_feed_forward: match family.shared_gate {
                true => Some(shared.unwrap_or(width)),
                false => shared,
            },
            routing: family.routing,
            scale: self.factor("expert_weights_scale")?,
        }))
    }

    fn rope(&self, key_length: usize, context: usize) -> Result<Option<Rotation>, ModelError> {
        let Some(style) = self.family.rope else {
            return Ok(None);
        };
        if self.family.rope_switch && self.flag("rope.scaling.finetuned")? == Some(false) {
            return Ok(None);
        }
        let dimensions = self
            .size("rope.dimension_count", MOST_WIDTH)?
            .unwrap_or(key_length);
        if dimensions == 0 || dimensions > key_length || !dimensions.is_multiple_of(2) {
            let wanted = format!("an even number up to the {key_length} of a head");
            return Err(self.value("rope.dimension_count", dimensions, &wanted));
        }
        let base = self.number("rope.freq_base")?.unwrap_or(10_000.0);
        if base <= 1.0 {
            return Err(self.value("rope.freq_base", base, "greater than 1"));
        }
        let factor = match self.number("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.number("rope.scale_linear")?,
        };
        let factor = f64::from(factor.filter(|&factor| factor > 0.0).unwrap_or(1.0));
        let kind = self.text("rope.scaling.type")?.unwrap_or("linear");
        let mut rotation = Rotation {
            style,
            dimensions,
            base: base.into(),
            scale: 1.0 / factor,
            extrapolation: 0.0,
            original_context: self
                .size("rope.scaling.original_context_length", MOST_CONTEXT)?
                .filter(|&length| length > 0)
                .unwrap_or(context),
            beta_fast: self
                .number("rope.scaling.yarn_beta_fast")?
                .unwrap_or(32.0)
                .into(),
            beta_slow: self
                .number("rope.scaling.yarn_beta_slow")?
                .unwrap_or(1.0)
                .into(),
            magnitude: f64::from(self.number("rope.scaling.attn_factor")?.unwrap_or(1.0)),
        };
        match kind {
            "linear" | "longrope" => {}
            "none" => rotation.scale = 1.0,
            "yarn" => self.yarn(&mut rotation, factor)?,
            other => {
                let text = format!("rope scaling `{}` is not supported", other.escape_debug());
                return Err(ModelError::Unsupported(text));
            }
        }
        Ok(Some(rotation))
    }

    /// YaRN turns values a little larger, the more the context is extended.
    fn yarn(&self, rotation: &mut Rotation, factor: f64) -> Result<(), ModelError> {
        let extrapolation = self.number("rope.scaling.yarn_ext_factor")?;
        rotation.extrapolation = extrapolation.filter(|&f| f >= 0.0).unwrap_or(1.0).into();
        if rotation.extrapolation != 0.0 {
            rotation.magnitude *= 1.0 + 0.1 * factor.max(1.0).ln();
        } else {
            let own = self.number("rope.scaling.yarn_attn_factor")?;
            rotation.magnitude *= f64::from(own.unwrap_or(1.0));
        }
        Ok(())
    }

    fn window_rope(&self, rope: &Rotation) -> Result<Rotation, ModelError> {
        let own_base = self
            .number("rope.freq_base_swa")?
            .map(f64::from)
            .filter(|&base| base > 1.0);
        let unscaled = Rotation {
            scale: 1.0,
            extrapolation: 0.0,
            magnitude: 1.0,
            ..rope.clone()
        };
        let (rotation, base) = match self.family.window_rope {
            WindowRope::Same => (rope.clone(), rope.base),
            WindowRope::Unscaled => (unscaled, rope.base),
            WindowRope::Local => (unscaled, 10_000.0),
        };
        Ok(Rotation {
            base: own_base.unwrap_or(base),
            ..rotation
        })
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

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.family.name)
    }

    /// A size up to `most`.
    fn size(&self, key: &str, most: u64) -> Result<Option<usize>, ModelError> {
        match self.metadata.count(&self.key(key))? {
            Some(n) if n > most => Err(self.value(key, n, &format!("at most {most}"))),
            Some(n) => Ok(Some(n.try_into().unwrap_or(usize::MAX))),
            None => Ok(None),
        }
    }

    /// A size from 1 to `most` that must be there.
    fn required(&self, key: &str, most: u64) -> Result<usize, ModelError> {
        match self.size(key, most)? {
            Some(0) => Err(self.value(key, 0, &format!("1 to {most}"))),
            Some(n) => Ok(n),
            None => Err(MetadataError::Missing(self.key(key)).into()),
        }
    }

    fn number(&self, key: &str) -> Result<Option<f32>, ModelError> {
        match self.metadata.number(&self.key(key))? {
            Some(n) if !n.is_finite() => Err(self.value(key, n, "finite")),
            number => Ok(number.map(|n| n as f32)),
        }
    }

    /// A factor; 0 stands for none.
    fn factor(&self, key: &str) -> Result<f32, ModelError> {
        Ok(self.number(key)?.filter(|&n| n != 0.0).unwrap_or(1.0))
    }

    fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        Ok(self.metadata.flag(&self.key(key))?)
    }

    fn text(&self, key: &str) -> Result<Option<&str>, ModelError> {
        Ok(self.metadata.text(&self.key(key))?)
    }

    /// One size for all layers, or a list with one each.
    fn per_layer(&self, key: &str, count: usize) -> Result<Option<Vec<usize>>, ModelError> {
        let full = self.key(key);
        if let Some(Value::Array(list)) = self.metadata.get(&full) {
            let list = self.list(&full, list, count)?;
            if let Some(&large) = list.iter().find(|&&n| n > MOST_WIDTH) {
                return Err(self.value(key, large, &format!("at most {MOST_WIDTH}")));
            }
            return Ok(Some(list.iter().map(|&n| n as usize).collect()));
        }
        Ok(self.size(key, MOST_WIDTH)?.map(|n| vec![n; count]))
    }

    /// A list of whole numbers with one for each layer.
    fn list(&self, key: &str, list: &Array, count: usize) -> Result<Vec<u64>, ModelError> {
        let numbers: Option<Vec<u64>> = match list {
            Array::U8(v) => Some(v.iter().map(|&n| n.into()).collect()),
            Array::U16(v) => Some(v.iter().map(|&n| n.into()).collect()),
            Array::U32(v) => Some(v.iter().map(|&n| n.into()).collect()),
            Array::U64(v) => Some(v.clone()),
            Array::I8(v) => v.iter().map(|&n| n.try_into().ok()).collect(),
            Array::I16(v) => v.iter().map(|&n| n.try_into().ok()).collect(),
            Array::I32(v) => v.iter().map(|&n| n.try_into().ok()).collect(),
            Array::I64(v) => v.iter().map(|&n| n.try_into().ok()).collect(),
            Array::Bool(v) => Some(v.iter().map(|&n| n.into()).collect()),
            _ => None,
        };
        // Some converters pad such lists beyond the last layer.
        match numbers {
            Some(mut numbers) if numbers.len() >= count => {
                numbers.truncate(count);
                Ok(numbers)
            }
            _ => Err(MetadataError::Value {
                key: key.into(),
                value: format!("a list of {} {}", list.len(), list.element_type()),
                wanted: format!("whole numbers, one for each of the {count} layers"),
            }
            .into()),
        }
    }

    fn value(&self, key: &str, value: impl ToString, wanted: &str) -> ModelError {
        MetadataError::Value {
            key: self.key(key),
            value: value.to_string(),
            wanted: wanted.into(),
        }
        .into()
    }
}
