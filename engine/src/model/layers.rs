//! The weights of a layer.

use super::config::ExpertConfig;
use super::latent::Latent;
use crate::ops::{Activation, Compute, Matrix, Norm};

/// A matrix and what is added to its product.
#[derive(Debug)]
pub(super) struct Linear {
    pub weight: Matrix,
    pub bias: Option<Vec<f32>>,
}

impl Linear {
    /// The products with the vectors in `x`, one after the other.
    pub fn apply(&self, compute: Compute<'_>, x: &[f32]) -> Vec<f32> {
        let count = x.len() / self.weight.columns();
        let mut out = vec![0.0; count * self.weight.rows()];
        crate::ops::matmul(compute, &self.weight, x, &mut out);
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(v, b)| *v += b);
            }
        }
        out
    }
}

/// One layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub attention: AttentionWeights,
    pub feed_forward: FeedForward,
    pub norms: Norms,
}

/// A layer's normalisations; which of them there are makes its kind.
#[derive(Debug, Default)]
pub(super) struct Norms {
    pub before_attention: Option<Norm>,
    pub after_attention: Option<Norm>,
    pub after_attention_sum: Option<Norm>,
    pub before_feed_forward: Option<Norm>,
    pub after_feed_forward: Option<Norm>,
    pub after_feed_forward_sum: Option<Norm>,
    /// The feed-forward block reads what attention reads.
    pub parallel: bool,
}

#[derive(Debug)]
pub(super) struct AttentionWeights {
    pub inputs: Inputs,
    pub output: Linear,
    pub query_norm: Option<Norm>,
    pub key_norm: Option<Norm>,
    pub sinks: Option<Vec<f32>>,
}

/// What makes queries, keys and values.
#[derive(Debug)]
pub(super) enum Inputs {
    Plain(Box<Plain>),
    Latent(Box<Latent>),
}

/// A matrix for each.
#[derive(Debug)]
pub(super) struct Plain {
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
}

#[derive(Debug)]
pub(super) enum FeedForward {
    Dense(Box<Dense>),
    Experts(Box<Experts>),
}

/// A feed-forward block that every token uses.
#[derive(Debug)]
pub(super) struct Dense {
    pub gate: Option<Linear>,
    pub up: Linear,
    pub down: Linear,
    pub activation: Activation,
}

impl Dense {
    pub fn apply(&self, compute: Compute<'_>, x: &[f32]) -> Vec<f32> {
        let up = self.up.apply(compute, x);
        let inner = match &self.gate {
            Some(gate) => {
                let mut gate = gate.apply(compute, x);
                self.activation.apply(&mut gate, Some(&up));
                gate
            }
            None => {
                let mut up = up;
                self.activation.apply(&mut up, None);
                up
            }
        };
        self.down.apply(compute, &inner)
    }
}

/// Feed-forward blocks of which each token uses a few.
#[derive(Debug)]
pub(super) struct Experts {
    pub config: ExpertConfig,
    /// A score for each expert.
    pub router: Linear,
    /// Added to the experts' parts when they are chosen.
    pub selection_bias: Option<Vec<f32>>,
    pub gate: Option<ExpertLinear>,
    pub up: ExpertLinear,
    pub down: ExpertLinear,
    pub activation: Activation,
    pub shared: Option<Shared>,
}

/// One matrix for each expert.
#[derive(Debug)]
pub(super) struct ExpertLinear {
    pub weights: Vec<Matrix>,
    /// One row for each expert.
    pub biases: Option<Vec<f32>>,
}

impl ExpertLinear {
    /// The first and the second half of each expert's rows.
    pub fn halves(self) -> (ExpertLinear, ExpertLinear) {
        let rows = self.weights.first().map_or(0, |weight| weight.rows());
        let part = |start: usize, end: usize| ExpertLinear {
            weights: self.weights.iter().map(|w| w.slice(start..end)).collect(),
            biases: self.biases.as_ref().map(|all| {
                let parts = all.chunks_exact(rows.max(1)).map(|row| &row[start..end]);
                parts.flatten().copied().collect()
            }),
        };
        (part(0, rows / 2), part(rows / 2, rows))
    }
}

/// The expert that every token uses.
#[derive(Debug)]
pub(super) struct Shared {
    pub dense: Dense,
    /// A row whose product with the input says, through a sigmoid, how much of it is used.
    pub gate: Option<Linear>,
}
