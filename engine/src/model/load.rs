//! A model's weights, found in a file and checked against its configuration.

use std::cell::RefCell;
use std::sync::Arc;

use super::config::{Config, ExpertConfig, LatentConfig, LayerConfig};
use super::error::ModelError;
use super::family::{HeadNorm, NormPlacement};
use super::latent::{Latent, LatentQuery, Lengthened};
use super::layers::{
    AttentionWeights, Dense, Experts, FeedForward, Inputs, Layer, Linear, Norms, Plain, Shared,
};
use super::tensors::Loader;
use crate::gguf::{File, Tensor};
use crate::ops::{Matrix, Norm};

/// A model ready to run. Its large weights stay where the file is mapped; only vectors are copied.
#[derive(Debug)]
pub struct Model {
    file: Arc<File>,
    config: Config,
    weight_bytes: u64,
    pub(super) tokens: Matrix,
    /// Added to every token: the vector of the first token type.
    pub(super) token_type: Option<Vec<f32>>,
    pub(super) positions: Option<Matrix>,
    pub(super) embedding_norm: Option<Norm>,
    pub(super) layers: Vec<Layer>,
    pub(super) output_norm: Option<Norm>,
    pub(super) output: Option<Linear>,
    pub(super) rope_factors: RopeFactors,
}

/// What the angles of each pair are divided by, in some models.
#[derive(Debug, Default)]
pub(super) struct RopeFactors {
    /// Whatever the context.
    pub always: Option<Vec<f32>>,
    /// For contexts up to the trained one, and beyond.
    pub short: Option<Vec<f32>>,
    pub long: Option<Vec<f32>>,
}

impl Model {
    /// Finds the weights in `file`. No weight is read but vectors of a few thousand numbers.
    ///
    /// # Errors
    ///
    /// The architecture is not supported, metadata or tensors are missing, or their shapes
    /// contradict each other.
    pub fn load(file: impl Into<Arc<File>>) -> Result<Model, ModelError> {
        let file = file.into();
        if file.tensors().is_empty() {
            let text = "the file holds a vocabulary only, no weights, so it cannot be run";
            return Err(ModelError::Unsupported(text.into()));
        }
        let config = Config::from_metadata(file.metadata())?;
        let loader = Loader {
            file: Arc::clone(&file),
            config: &config,
            used: RefCell::default(),
        };
        let tokens = loader.matrix("token_embd.weight", config.embedding, config.vocabulary)?;
        let model = Model {
            token_type: loader.token_type()?,
            positions: match config.learned_positions {
                true => {
                    let name = "position_embd.weight";
                    Some(loader.matrix(name, config.embedding, config.context)?)
                }
                false => None,
            },
            embedding_norm: match config.family.0.embedding_norm {
                true => Some(loader.norm("token_embd_norm", config.embedding)?),
                false => None,
            },
            layers: (0..config.layers.len())
                .map(|i| loader.layer(i))
                .collect::<Result<_, _>>()?,
            output_norm: match config.norm_placement {
                NormPlacement::AfterSum => None,
                _ => Some(loader.norm("output_norm", config.embedding)?),
            },
            output: loader.output(&tokens)?,
            rope_factors: loader.rope_factors()?,
            tokens,
            weight_bytes: file.tensors().iter().map(Tensor::bytes).sum(),
            config: config.clone(),
            file,
        };
        loader.check_all_used()?;
        Ok(model)
    }

    /// What the model is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The file it came from, with the metadata that tokenizers and templates need.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Size of its weights in bytes.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }
}

impl Loader<'_> {
    fn layer(&self, no: usize) -> Result<Layer, ModelError> {
        let layer = &self.config.layers[no];
        let prefix = format!("blk.{no}.");
        Ok(Layer {
            attention: self.attention(&prefix, layer)?,
            feed_forward: match &self.config.experts {
                Some(experts) if layer.routed => {
                    FeedForward::Experts(Box::new(self.experts(&prefix, experts)?))
                }
                _ => FeedForward::Dense(Box::new(self.dense(&prefix, "", layer.feed_forward)?)),
            },
            norms: self.norms(&prefix)?,
        })
    }

    fn norms(&self, prefix: &str) -> Result<Norms, ModelError> {
        let family = self.config.family.0;
        let norm = |name: &str| {
            self.norm(&format!("{prefix}{name}"), self.config.embedding)
                .map(Some)
        };
        let mut norms = Norms::default();
        let placement = self.config.norm_placement;
        if matches!(
            placement,
            NormPlacement::Before | NormPlacement::BeforeAndAfter
        ) {
            let bare = family.may_start_bare
                && prefix == "blk.0."
                && !self.has(&format!("{prefix}attn_norm.weight"));
            if !bare {
                norms.before_attention = norm("attn_norm")?;
            }
            let name = family.feed_forward_norm;
            let there = self.has(&format!("{prefix}{name}.weight"));
            norms.parallel = family.may_be_parallel && !there;
            if !norms.parallel {
                norms.before_feed_forward = norm(name)?;
            }
        }
        if matches!(
            placement,
            NormPlacement::After | NormPlacement::BeforeAndAfter
        ) {
            norms.after_attention = norm("post_attention_norm")?;
            norms.after_feed_forward = norm("post_ffw_norm")?;
        }
        if placement == NormPlacement::AfterSum {
            norms.after_attention_sum = norm("attn_output_norm")?;
            norms.after_feed_forward_sum = norm("layer_output_norm")?;
        }
        Ok(norms)
    }

    fn attention(&self, prefix: &str, layer: &LayerConfig) -> Result<AttentionWeights, ModelError> {
        let config = self.config;
        let value_length = config.latent.map_or(config.value_length, |l| l.value);
        let sinks = format!("{prefix}attn_sinks.weight");
        Ok(AttentionWeights {
            inputs: match &config.latent {
                Some(latent) => Inputs::Latent(Box::new(self.latent(prefix, layer, latent)?)),
                None => self.inputs(prefix, layer)?,
            },
            output: self.linear(
                &format!("{prefix}attn_output"),
                layer.heads * value_length,
                config.embedding,
            )?,
            query_norm: self.head_norm(&format!("{prefix}attn_q_norm"), layer.heads)?,
            key_norm: self.head_norm(&format!("{prefix}attn_k_norm"), layer.kv_heads)?,
            sinks: match config.attention_sinks {
                true => Some(self.vector(&sinks, &[layer.heads])?),
                false => None,
            },
        })
    }

    fn inputs(&self, prefix: &str, layer: &LayerConfig) -> Result<Inputs, ModelError> {
        let config = self.config;
        let queries = layer.heads * config.key_length;
        let keys = layer.kv_heads * config.key_length;
        let values = layer.kv_heads * config.value_length;
        let fused = format!("{prefix}attn_qkv");
        if self.has(&format!("{fused}.weight")) {
            let all = self.linear(&fused, config.embedding, queries + keys + values)?;
            return Ok(Inputs::Plain(Box::new(Plain {
                query: part(&all, 0, queries),
                key: part(&all, queries, keys),
                value: part(&all, queries + keys, values),
            })));
        }
        let linear =
            |name: &str, rows| self.linear(&format!("{prefix}{name}"), config.embedding, rows);
        Ok(Inputs::Plain(Box::new(Plain {
            query: linear("attn_q", queries)?,
            key: linear("attn_k", keys)?,
            value: linear("attn_v", values)?,
        })))
    }

    fn latent(
        &self,
        prefix: &str,
        layer: &LayerConfig,
        latent: &LatentConfig,
    ) -> Result<Latent, ModelError> {
        let (embedding, heads, rank) = (self.config.embedding, layer.heads, latent.rank);
        let (queries, plain) = (heads * latent.key, latent.key - latent.turned);
        let name = |part: &str| format!("{prefix}attn_{part}");
        Ok(Latent {
            config: *latent,
            query: match latent.query_rank {
                Some(short) => LatentQuery::Short {
                    down: self.linear(&name("q_a"), embedding, short)?,
                    norm: self.norm(&name("q_a_norm"), short)?,
                    up: self.linear(&name("q_b"), short, queries)?,
                },
                None => LatentQuery::Direct(self.linear(&name("q"), embedding, queries)?),
            },
            short: self.linear(&name("kv_a_mqa"), embedding, rank + latent.turned)?,
            short_norm: self.norm(&name("kv_a_norm"), rank)?,
            lengthened: match latent.short_cached {
                true => Lengthened::PerHead {
                    queries: self.matrices(
                        &format!("{}.weight", name("k_b")),
                        plain,
                        rank,
                        heads,
                    )?,
                    values: self.matrices(
                        &format!("{}.weight", name("v_b")),
                        rank,
                        latent.value,
                        heads,
                    )?,
                },
                false => Lengthened::Whole(self.linear(
                    &name("kv_b"),
                    rank,
                    heads * (plain + latent.value),
                )?),
            },
        })
    }

    fn head_norm(&self, name: &str, heads: usize) -> Result<Option<Norm>, ModelError> {
        let head = self.config.key_length;
        let weight = format!("{name}.weight");
        let (group, shape) = match self.config.head_norm {
            HeadNorm::None => return Ok(None),
            HeadNorm::OwnWeights | HeadNorm::PerHeadIfThere if !self.has(&weight) => {
                return Ok(None);
            }
            HeadNorm::PerHead | HeadNorm::PerHeadIfThere => (head, vec![head]),
            HeadNorm::WholeRow => (head * heads, vec![head * heads]),
            HeadNorm::OwnWeights => (head, vec![head, heads]),
        };
        Ok(Some(Norm {
            kind: self.config.norm,
            epsilon: self.config.norm_epsilon,
            group,
            weight: self.vector(&weight, &shape)?,
            bias: None,
        }))
    }

    /// A feed-forward block of `width`; `suffix` follows the tensors' names.
    fn dense(&self, prefix: &str, suffix: &str, width: usize) -> Result<Dense, ModelError> {
        let config = self.config;
        let name = |part: &str| format!("{prefix}ffn_{part}{suffix}");
        let (gate, up) = if !config.gated {
            (None, self.linear(&name("up"), config.embedding, width)?)
        } else if self.has(&format!("{}.weight", name("gate"))) {
            (
                Some(self.linear(&name("gate"), config.embedding, width)?),
                self.linear(&name("up"), config.embedding, width)?,
            )
        } else if self.rows(&format!("{}.weight", name("up"))) == Some(2 * width) {
            // Both in one matrix, the gate first.
            let both = self.linear(&name("up"), config.embedding, 2 * width)?;
            (Some(part(&both, 0, width)), part(&both, width, width))
        } else {
            return Err(self.missing(format!("{}.weight", name("gate"))));
        };
        Ok(Dense {
            gate,
            up,
            down: self.linear(&name("down"), width, config.embedding)?,
            activation: config.activation,
        })
    }

    fn experts(&self, prefix: &str, experts: &ExpertConfig) -> Result<Experts, ModelError> {
        let (embedding, width) = (self.config.embedding, experts.feed_forward);
        let linear = |name: &str, columns, rows| {
            self.expert_linear(&format!("{prefix}{name}"), columns, rows, experts.count)
        };
        let both = format!("{prefix}ffn_gate_up");
        let (gate, up) = if self.has(&format!("{both}_exps.weight")) {
            let both = self.expert_linear(&both, embedding, 2 * width, experts.count)?;
            let (gate, up) = both.halves();
            (Some(gate), up)
        } else {
            let gate = match self.config.gated {
                true => Some(linear("ffn_gate", embedding, width)?),
                false => None,
            };
            (gate, linear("ffn_up", embedding, width)?)
        };
        Ok(Experts {
            config: *experts,
            router: self.linear(&format!("{prefix}ffn_gate_inp"), embedding, experts.count)?,
            selection_bias: self.bias(&format!("{prefix}exp_probs_b"), &[experts.count])?,
            gate,
            up,
            down: linear("ffn_down", width, embedding)?,
            activation: self.config.activation,
            shared: match experts.shared_feed_forward {
                Some(width) => Some(Shared {
                    dense: self.dense(prefix, "_shexp", width)?,
                    gate: match self.config.family.0.shared_gate {
                        true => Some(self.shared_gate(prefix)?),
                        false => None,
                    },
                }),
                None => None,
            },
        })
    }

    /// Some files give this row as a vector, some as a matrix of one row.
    fn shared_gate(&self, prefix: &str) -> Result<Linear, ModelError> {
        let name = format!("{prefix}ffn_gate_inp_shexp");
        self.linear(&name, self.config.embedding, 1)
    }

    fn output(&self, tokens: &Matrix) -> Result<Option<Linear>, ModelError> {
        let config = self.config;
        if config.encoder {
            return Ok(None);
        }
        // Many models use the matrix of the embeddings again.
        let output = match self.has("output.weight") {
            true => self.linear("output", config.embedding, config.vocabulary)?,
            false => Linear {
                weight: tokens.clone(),
                bias: None,
            },
        };
        Ok(Some(output))
    }

    fn token_type(&self) -> Result<Option<Vec<f32>>, ModelError> {
        let (config, name) = (self.config, "token_types.weight");
        if config.token_types == 0 || !self.has(name) {
            return Ok(None);
        }
        let types = self.matrix(name, config.embedding, config.token_types)?;
        let mut first = vec![0.0; config.embedding];
        types.dequantize(0..1, &mut first);
        Ok(Some(first))
    }

    fn rope_factors(&self) -> Result<RopeFactors, ModelError> {
        let Some(rope) = &self.config.rope else {
            return Ok(RopeFactors::default());
        };
        let factors = |name: &str| -> Result<Option<Vec<f32>>, ModelError> {
            if !self.has(name) {
                return Ok(None);
            }
            let factors = self.vector(name, &[rope.dimensions / 2])?;
            match factors.iter().all(|f| f.is_finite() && *f > 0.0) {
                true => Ok(Some(factors)),
                false => Err(ModelError::Unsupported(format!(
                    "tensor `{name}` holds a factor that is not positive"
                ))),
            }
        };
        Ok(RopeFactors {
            always: factors("rope_freqs.weight")?,
            short: factors("rope_factors_short.weight")?,
            long: factors("rope_factors_long.weight")?,
        })
    }
}

/// Some rows of a matrix with their part of the bias.
fn part(all: &Linear, first: usize, rows: usize) -> Linear {
    Linear {
        weight: all.weight.slice(first..first + rows),
        bias: all.bias.as_ref().map(|b| b[first..first + rows].to_vec()),
    }
}
