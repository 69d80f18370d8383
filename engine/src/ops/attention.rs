//! Attention of a batch over the cache.
//!
//! The keys and values of a block of cells are converted once and used by all query heads that share
//! them and by a few tokens; the softmax runs along the blocks. Blocks begin at fixed places in a
//! sequence's list of cells, so a token's result does not depend on its neighbours in the batch.

use std::cell::RefCell;
use std::ops::Range;

use super::disjoint::Disjoint;
use super::{Compute, KvStore};

/// Cells converted at a time.
const BLOCK: usize = 32;
/// Tokens that share a conversion.
const TOKENS: usize = 16;

/// What one layer's attention is.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// The layer's keys.
    pub keys: &'a KvStore,
    /// The layer's values.
    pub values: &'a KvStore,
    /// Query heads: a multiple of the keys' heads.
    pub heads: usize,
    /// Products of queries and keys are multiplied by this.
    pub scale: f32,
    /// Scores are squeezed to within ± this.
    pub soft_cap: Option<f32>,
    /// A score per query head that takes part in the softmax without a value.
    pub sinks: Option<&'a [f32]>,
    /// A token sees this many positions, its own included.
    pub window: Option<u32>,
    /// Whether the window reaches as far forward as back, half its length each.
    pub centred: bool,
    /// Whether later positions are hidden.
    pub causal: bool,
}

/// Tokens of a batch, one after the other, that belong to one sequence.
#[derive(Debug, Clone)]
pub struct Span<'a> {
    /// Which tokens of the batch.
    pub tokens: Range<usize>,
    /// The sequence's cells, by position.
    pub cells: &'a [u32],
    /// Positions of those cells, rising.
    pub positions: &'a [u32],
}

#[derive(Default)]
struct Scratch {
    keys: Vec<f32>,
    values: Vec<f32>,
    sums: Vec<f32>,
    running: Vec<(f32, f32)>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch::default());
}

/// `out` becomes the attention of each token's `queries`. `token_positions` holds the position of
/// every token of the batch.
pub fn attention(
    compute: Compute<'_>,
    attention: &Attention<'_>,
    spans: &[Span<'_>],
    token_positions: &[u32],
    queries: &[f32],
    out: &mut [f32],
) {
    let units: Vec<Span<'_>> = spans
        .iter()
        .flat_map(|span| {
            span.tokens.clone().step_by(TOKENS).map(|start| Span {
                tokens: start..span.tokens.end.min(start + TOKENS),
                ..*span
            })
        })
        .collect();
    let kv_heads = attention.keys.heads();
    let out = Disjoint::new(out);
    compute.run(units.len() * kv_heads, &|chunk| {
        let (unit, kv_head) = (&units[chunk / kv_heads], chunk % kv_heads);
        SCRATCH.with_borrow_mut(|scratch| {
            attention.unit(unit, kv_head, token_positions, queries, &out, scratch);
        });
    });
}

impl Attention<'_> {
    /// The part of the span's cells that the token at `position` sees.
    fn visible(&self, span: &Span<'_>, position: u32) -> Range<usize> {
        let end = match (self.causal, self.window) {
            (true, _) => span.positions.partition_point(|&p| p <= position),
            (false, Some(window)) if self.centred => {
                let last = u64::from(position) + u64::from(window / 2);
                span.positions.partition_point(|&p| u64::from(p) <= last)
            }
            (false, _) => span.positions.len(),
        };
        let back = self.window.map(|window| match self.centred {
            true => u64::from(window / 2) + 1,
            false => u64::from(window),
        });
        let start = match back {
            Some(back) => span
                .positions
                .partition_point(|&p| u64::from(p) + back <= u64::from(position)),
            None => 0,
        };
        start..end.max(start)
    }

    /// One key head's queries for a few tokens.
    fn unit(
        &self,
        span: &Span<'_>,
        kv_head: usize,
        token_positions: &[u32],
        queries: &[f32],
        out: &Disjoint<'_, f32>,
        scratch: &mut Scratch,
    ) {
        let (key_len, value_len) = (self.keys.head(), self.values.head());
        let group = self.heads / self.keys.heads();
        let tokens = span.tokens.len();
        let visible = |t: usize| self.visible(span, token_positions[span.tokens.start + t]);
        let first = (0..tokens).map(|t| visible(t).start).min().unwrap_or(0);
        let end = (0..tokens).map(|t| visible(t).end).max().unwrap_or(0);

        scratch.keys.resize(BLOCK * key_len, 0.0);
        scratch.values.resize(BLOCK * value_len, 0.0);
        scratch.sums.clear();
        scratch.sums.resize(tokens * group * value_len, 0.0);
        scratch.running.clear();
        for _ in 0..tokens {
            for head in kv_head * group..(kv_head + 1) * group {
                // A sink is a first score without a value.
                let start = self
                    .sinks
                    .map_or((f32::NEG_INFINITY, 0.0), |s| (s[head], 1.0));
                scratch.running.push(start);
            }
        }

        let mut start = first / BLOCK * BLOCK;
        while start < end {
            let block = start..end.min(start + BLOCK);
            let cells = &span.cells[block.clone()];
            let keys = &mut scratch.keys[..cells.len() * key_len];
            let values = &mut scratch.values[..cells.len() * value_len];
            self.keys.read(kv_head, cells, keys);
            self.values.read(kv_head, cells, values);
            for t in 0..tokens {
                let seen = visible(t);
                let seen = seen.start.max(block.start)..seen.end.min(block.end);
                if seen.is_empty() {
                    continue;
                }
                let seen = seen.start - block.start..seen.end - block.start;
                let token = span.tokens.start + t;
                for g in 0..group {
                    let head = kv_head * group + g;
                    let query = &queries[(token * self.heads + head) * key_len..][..key_len];
                    let slot = t * group + g;
                    self.one_block(
                        query,
                        &keys[seen.start * key_len..seen.end * key_len],
                        &values[seen.start * value_len..seen.end * value_len],
                        &mut scratch.running[slot],
                        &mut scratch.sums[slot * value_len..][..value_len],
                    );
                }
            }
            start += BLOCK;
        }

        for t in 0..tokens {
            for g in 0..group {
                let head = kv_head * group + g;
                let at = ((span.tokens.start + t) * self.heads + head) * value_len;
                // SAFETY: every token and query head belongs to one unit.
                let out = unsafe { out.part(at, value_len) };
                let (_, total) = scratch.running[t * group + g];
                let sums = &scratch.sums[(t * group + g) * value_len..][..value_len];
                for (out, sum) in out.iter_mut().zip(sums) {
                    *out = sum / total;
                }
            }
        }
    }

    /// Takes a block of keys and values into the running softmax: the greatest score so far, the
    /// sum of the weights relative to it, and the weighted sum of values.
    fn one_block(
        &self,
        query: &[f32],
        keys: &[f32],
        values: &[f32],
        (most, total): &mut (f32, f32),
        sums: &mut [f32],
    ) {
        let mut scores = [0.0f32; BLOCK];
        let rows = keys.chunks_exact(query.len());
        let count = rows.len();
        let scores = &mut scores[..count];
        for (score, key) in scores.iter_mut().zip(rows) {
            *score = dot(query, key) * self.scale;
            if let Some(cap) = self.soft_cap {
                *score = cap * (*score / cap).tanh();
            }
        }
        let new_most = scores.iter().fold(*most, |most, &score| most.max(score));
        if new_most > *most {
            let shrink = (*most - new_most).exp();
            *total *= shrink;
            sums.iter_mut().for_each(|sum| *sum *= shrink);
            *most = new_most;
        }
        for (score, value) in scores.iter().zip(values.chunks_exact(sums.len())) {
            let weight = (score - new_most).exp();
            *total += weight;
            for (sum, v) in sums.iter_mut().zip(value) {
                *sum += weight * v;
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum += a * b;
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

#[cfg(test)]
mod tests {
    use super::super::{KvType, Products};
    use super::*;
    use crate::threads::Pool;

    fn compute(pool: &Pool) -> Compute<'_> {
        Compute {
            pool,
            products: Products::Exact,
            stop: None,
        }
    }

    fn wave(len: usize, step: f32) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * step).sin()).collect()
    }

    /// Every score first, then one softmax, in double precision.
    fn plainly(
        a: &Attention<'_>,
        position: u32,
        rows: &[(u32, Vec<f32>, Vec<f32>)],
        query: &[f32],
    ) -> Vec<f64> {
        let (key_len, value_len) = (a.keys.head(), a.values.head());
        let group = a.heads / a.keys.heads();
        (0..a.heads)
            .flat_map(|head| {
                let kv = head / group;
                let seen: Vec<_> = rows
                    .iter()
                    .filter(|(p, ..)| {
                        let near = |w| match a.centred {
                            true => p.abs_diff(position) <= w / 2,
                            false => p + w > position,
                        };
                        (!a.causal || *p <= position) && a.window.is_none_or(near)
                    })
                    .map(|(_, k, v)| {
                        let (q, k) = (
                            &query[head * key_len..][..key_len],
                            &k[kv * key_len..][..key_len],
                        );
                        let score: f64 = q.iter().zip(k).map(|(a, b)| f64::from(a * b)).sum();
                        let score = score * f64::from(a.scale);
                        let cap = |c: f32| f64::from(c) * (score / f64::from(c)).tanh();
                        (
                            a.soft_cap.map_or(score, cap).exp(),
                            &v[kv * value_len..][..value_len],
                        )
                    })
                    .collect();
                let sink = a.sinks.map_or(0.0, |s| f64::from(s[head]).exp());
                let total = seen.iter().map(|(w, _)| w).sum::<f64>() + sink;
                (0..value_len)
                    .map(|i| seen.iter().map(|(w, v)| w * f64::from(v[i])).sum::<f64>() / total)
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn equals_the_plain_softmax() {
        let (cells, heads, kv_heads, key_len, value_len) = (100, 4, 2, 12, 8);
        let mut keys = KvStore::new(KvType::F32, cells, kv_heads, key_len);
        let mut values = KvStore::new(KvType::F32, cells, kv_heads, value_len);
        // Positions lie scattered over the cells.
        let rows: Vec<(u32, Vec<f32>, Vec<f32>)> = (0..80u32)
            .map(|p| {
                (
                    p,
                    wave(24, 0.3 + p as f32 * 0.11),
                    wave(16, 0.7 + p as f32 * 0.05),
                )
            })
            .collect();
        let order: Vec<u32> = (0..80).map(|p| p * 37 % 100).collect();
        for (p, k, v) in &rows {
            keys.write(order[*p as usize] as usize, k);
            values.write(order[*p as usize] as usize, v);
        }
        let positions: Vec<u32> = (0..80).collect();
        let queries = wave(40 * heads * key_len, 0.17);
        let sinks = [0.5, -1.0, 2.0, 0.0];
        let tokens: Vec<u32> = (40..80).collect();
        for (soft_cap, sinks, window, centred, causal) in [
            (None, None, None, false, true),
            (Some(2.0), None, Some(10), false, true),
            (None, Some(&sinks[..]), Some(33), false, true),
            (None, None, None, false, false),
            (None, None, Some(9), true, false),
        ] {
            let a = Attention {
                keys: &keys,
                values: &values,
                heads,
                scale: 0.6,
                soft_cap,
                sinks,
                window,
                centred,
                causal,
            };
            let span = |tokens| Span {
                tokens,
                cells: &order,
                positions: &positions,
            };
            let mut out = vec![0.0; 40 * heads * value_len];
            attention(
                compute(&Pool::new(2)),
                &a,
                &[span(0..40)],
                &tokens,
                &queries,
                &mut out,
            );
            for (t, out) in out.chunks_exact(heads * value_len).enumerate() {
                let query = &queries[t * heads * key_len..][..heads * key_len];
                let wanted = plainly(&a, tokens[t], &rows, query);
                assert!(
                    out.iter()
                        .zip(&wanted)
                        .all(|(&a, b)| (f64::from(a) - b).abs() < 2e-6)
                );
                let mut alone = vec![0.0; heads * value_len];
                attention(
                    compute(&Pool::new(1)),
                    &a,
                    &[span(0..1)],
                    &tokens[t..=t],
                    query,
                    &mut alone,
                );
                assert_eq!(alone, out);
            }
        }
    }
}
