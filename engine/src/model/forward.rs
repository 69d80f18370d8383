//! One pass through the layers.

use super::cache::Cache;
use super::config::LayerConfig;
use super::latent::Rows;
use super::layers::{FeedForward, Inputs, Layer, Norms};
use super::load::Model;
use crate::ops::{Attention, Compute, Norm, RopeTable, Span, attention};

/// Tokens with a cell each, ready to be computed.
pub(super) struct Step<'a> {
    pub tokens: &'a [u32],
    pub positions: &'a [u32],
    pub cells: &'a [u32],
    /// Runs of tokens of one sequence.
    pub spans: &'a [(usize, std::ops::Range<usize>)],
    /// Tokens whose results are wanted, rising.
    pub outputs: &'a [usize],
}

/// Angles for layers without and with a window.
#[derive(Debug, Default)]
pub(super) struct Ropes {
    pub full: Option<RopeTable>,
    pub windowed: Option<RopeTable>,
}

impl Ropes {
    pub fn of(&self, windowed: bool) -> Option<&RopeTable> {
        match windowed {
            true => self.windowed.as_ref(),
            false => self.full.as_ref(),
        }
    }
}

/// Sine and cosine for each token and pair.
type Angles = Option<Vec<(f32, f32)>>;

/// What the layers share while a step is computed.
struct Pass<'a> {
    model: &'a Model,
    compute: Compute<'a>,
    step: &'a Step<'a>,
    ropes: &'a Ropes,
    angles: [Angles; 2],
}

/// The vectors of the step's outputs after the last layer and its normalisation; nothing of use if
/// it was stopped.
pub(super) fn forward(
    model: &Model,
    compute: Compute<'_>,
    cache: &mut Cache,
    ropes: &Ropes,
    step: &Step<'_>,
) -> Vec<f32> {
    let angles = [false, true].map(|windowed| {
        let table = ropes.of(windowed)?;
        Some(table.angles(step.positions.iter().copied()))
    });
    let pass = Pass {
        model,
        compute,
        step,
        ropes,
        angles,
    };
    let mut stream = pass.embed();
    for no in 0..model.layers.len() {
        if compute.stopped() {
            break;
        }
        pass.layer(no, cache, &mut stream);
    }
    normed(&model.output_norm, stream)
}

impl Model {
    /// Scores of the whole vocabulary for each of the vectors in `rows`.
    pub(super) fn logits(&self, compute: Compute<'_>, rows: &[f32]) -> Vec<f32> {
        let Some(output) = &self.output else {
            return Vec::new();
        };
        let mut logits = output.apply(compute, rows);
        let config = self.config();
        if config.logit_scale != 1.0 {
            logits.iter_mut().for_each(|v| *v /= config.logit_scale);
        }
        if let Some(cap) = config.logit_soft_cap {
            logits.iter_mut().for_each(|v| *v = cap * (*v / cap).tanh());
        }
        logits
    }
}

impl Pass<'_> {
    fn embed(&self) -> Vec<f32> {
        let (model, config) = (self.model, self.model.config());
        let mut stream = vec![0.0; self.step.tokens.len() * config.embedding];
        let rows = stream.chunks_exact_mut(config.embedding);
        let mut place = vec![0.0; config.embedding];
        for ((row, &token), &position) in rows.zip(self.step.tokens).zip(self.step.positions) {
            let token = token as usize;
            model.tokens.dequantize(token..token + 1, row);
            if config.embedding_scale != 1.0 {
                row.iter_mut().for_each(|v| *v *= config.embedding_scale);
            }
            if let Some(vector) = &model.token_type {
                add(row, vector);
            }
            if let Some(positions) = &model.positions {
                let position = position as usize;
                positions.dequantize(position..position + 1, &mut place);
                add(row, &place);
            }
        }
        if let Some(norm) = &model.embedding_norm {
            norm.apply(&mut stream);
        }
        stream
    }

    /// Adds what a layer makes of the stream to it. The last layer keeps only the rows that are
    /// asked for.
    fn layer(&self, no: usize, cache: &mut Cache, stream: &mut Vec<f32>) {
        let layer = &self.model.layers[no];
        let config = self.model.config();
        let norms: &Norms = &layer.norms;
        let mut input = normed(&norms.before_attention, stream.clone());
        let mut attended = self.attend(no, layer, cache, &input);
        if no + 1 == self.model.layers.len() && self.step.outputs.len() < self.step.tokens.len() {
            *stream = self.outputs_of(stream, config.embedding);
            input = self.outputs_of(&input, config.embedding);
            attended = self.outputs_of(&attended, attended.len() / self.step.tokens.len());
        }
        let attended = layer.attention.output.apply(self.compute, &attended);
        self.join(stream, attended, &norms.after_attention);
        if let Some(norm) = &norms.after_attention_sum {
            norm.apply(stream);
        }

        let input = match norms.parallel {
            true => input,
            false => normed(&norms.before_feed_forward, stream.clone()),
        };
        let made = match &layer.feed_forward {
            FeedForward::Dense(dense) => dense.apply(self.compute, &input),
            FeedForward::Experts(experts) => experts.apply(self.compute, &input),
        };
        self.join(stream, made, &norms.after_feed_forward);
        if let Some(norm) = &norms.after_feed_forward_sum {
            norm.apply(stream);
        }
    }

    fn join(&self, stream: &mut [f32], made: Vec<f32>, norm: &Option<Norm>) {
        let made = normed(norm, made);
        let scale = self.model.config().residual_scale;
        match scale == 1.0 {
            true => add(stream, &made),
            false => stream
                .iter_mut()
                .zip(&made)
                .for_each(|(s, m)| *s += scale * m),
        }
    }

    fn attend(&self, no: usize, layer: &Layer, cache: &mut Cache, input: &[f32]) -> Vec<f32> {
        let config = self.model.config();
        let (shape, weights) = (&config.layers[no], &layer.attention);
        let Rows {
            queries,
            keys,
            values,
        } = self.inputs(layer, shape, input);
        let stored = &mut cache.layers[no];
        let count = self.step.tokens.len();
        for (i, &cell) in self.step.cells.iter().enumerate() {
            let row = |rows: &'_ [f32]| rows.len() / count * i..rows.len() / count * (i + 1);
            stored.keys.write(cell as usize, &keys[row(&keys)]);
            stored.values.write(cell as usize, &values[row(&values)]);
        }
        let spans: Vec<Span<'_>> = self
            .step
            .spans
            .iter()
            .map(|(sequence, tokens)| Span {
                tokens: tokens.clone(),
                cells: &cache.sequences[*sequence].cells,
                positions: &cache.sequences[*sequence].positions,
            })
            .collect();
        let mut out = vec![0.0; count * shape.heads * config.value_length];
        let how = Attention {
            keys: &cache.layers[no].keys,
            values: &cache.layers[no].values,
            heads: shape.heads,
            scale: config.attention_scale,
            soft_cap: config.attention_soft_cap,
            sinks: weights.sinks.as_deref(),
            window: shape.window.map(|w| u32::try_from(w).unwrap_or(u32::MAX)),
            centred: config.windows_centred,
            causal: config.causal,
        };
        attention(
            self.compute,
            &how,
            &spans,
            self.step.positions,
            &queries,
            &mut out,
        );
        match &weights.inputs {
            Inputs::Plain(_) => out,
            Inputs::Latent(latent) => latent.values(self.compute, out),
        }
    }

    /// Queries, keys and values, normalised and turned.
    fn inputs(&self, layer: &Layer, shape: &LayerConfig, input: &[f32]) -> Rows {
        let config = self.model.config();
        let weights = &layer.attention;
        let mut rows = match &weights.inputs {
            Inputs::Latent(latent) => {
                let turn = |rows: &mut [f32], head| self.turn(shape, head, rows);
                latent.rows(self.compute, shape.heads, input, &turn)
            }
            Inputs::Plain(plain) => Rows {
                queries: plain.query.apply(self.compute, input),
                keys: plain.key.apply(self.compute, input),
                values: plain.value.apply(self.compute, input),
            },
        };
        for (norm, rows) in [
            (&weights.query_norm, &mut rows.queries),
            (&weights.key_norm, &mut rows.keys),
        ] {
            let normed = |rows: &mut [f32]| {
                if let Some(norm) = norm {
                    norm.apply(rows);
                }
            };
            if config.latent.is_some() {
                continue;
            }
            match config.family.0.head_norm_after_rope {
                true => {
                    self.turn(shape, config.key_length, rows);
                    normed(rows);
                }
                false => {
                    normed(rows);
                    self.turn(shape, config.key_length, rows);
                }
            }
        }
        if let Some(scale) = &config.position_scale {
            let width = rows.queries.len() / self.step.tokens.len();
            let positions = self.step.positions;
            for (row, &position) in rows.queries.chunks_exact_mut(width).zip(positions) {
                let scale = scale.at(position);
                row.iter_mut().for_each(|v| *v *= scale);
            }
        }
        rows
    }

    /// Turns heads of `head` numbers by their tokens' positions.
    fn turn(&self, shape: &LayerConfig, head: usize, rows: &mut [f32]) {
        let windowed = shape.window.is_some();
        let (true, Some(table), Some(angles)) = (
            shape.rotated,
            self.ropes.of(windowed),
            &self.angles[usize::from(windowed)],
        ) else {
            return;
        };
        let width = rows.len() / self.step.tokens.len();
        let angles = angles.chunks_exact(table.pairs());
        for (row, angles) in rows.chunks_exact_mut(width).zip(angles) {
            table.turn(row, head, angles);
        }
    }

    fn outputs_of(&self, rows: &[f32], width: usize) -> Vec<f32> {
        let rows = self
            .step
            .outputs
            .iter()
            .map(|&i| &rows[i * width..][..width]);
        rows.flatten().copied().collect()
    }
}

fn normed(norm: &Option<Norm>, mut rows: Vec<f32>) -> Vec<f32> {
    if let Some(norm) = norm {
        norm.apply(&mut rows);
    }
    rows
}

fn add(to: &mut [f32], what: &[f32]) {
    to.iter_mut().zip(what).for_each(|(a, b)| *a += b);
}
