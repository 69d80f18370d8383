//! Latent attention (DeepSeek-V2, arXiv:2405.04434): keys and values of all heads come from one
//! short vector per token, and one key part that carries the position is shared by all heads.
//!
//! Files come in two forms. In the newer one the matrices that lengthen the vector are given per
//! head: queries are taken to the short vector's space, so that it is all the cache holds. In the older
//! one they are one matrix, and the cache holds every head's keys and values.

use super::config::LatentConfig;
use super::layers::Linear;
use crate::ops::{Compute, Matrix, Norm, matmul};

/// The weights that make queries, keys and values.
#[derive(Debug)]
pub(super) struct Latent {
    pub config: LatentConfig,
    pub query: LatentQuery,
    /// The short vector and the key part with the position, from a token's vector.
    pub short: Linear,
    pub short_norm: Norm,
    pub lengthened: Lengthened,
}

/// What makes queries.
#[derive(Debug)]
pub(super) enum LatentQuery {
    Direct(Linear),
    /// By way of a short vector of their own.
    Short {
        down: Linear,
        norm: Norm,
        up: Linear,
    },
}

/// What makes keys and values from the short vector.
#[derive(Debug)]
pub(super) enum Lengthened {
    /// For each head: from a query to the short vector's space, and from there to a value.
    PerHead {
        queries: Vec<Matrix>,
        values: Vec<Matrix>,
    },
    /// All heads' keys and values, by turns.
    Whole(Linear),
}

/// Rows for each token.
pub(super) struct Rows {
    pub queries: Vec<f32>,
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
}

impl Latent {
    /// Queries, keys and values for the vectors in `x`. `turn` turns rows by their tokens' positions.
    /// The part that carries the position comes first in each head.
    pub fn rows(
        &self,
        compute: Compute<'_>,
        heads: usize,
        x: &[f32],
        turn: &dyn Fn(&mut [f32], usize),
    ) -> Rows {
        let config = &self.config;
        let turned = config.turned;
        let plain = config.key - turned;
        let made = self.query.apply(compute, x);
        let count = made.len() / (heads * config.key);
        let (plain_queries, mut turned_queries) = split(&made, config.key, plain);
        turn(&mut turned_queries, turned);
        let made = self.short.apply(compute, x);
        let (mut short, mut turned_keys) = split(&made, config.rank + turned, config.rank);
        self.short_norm.apply(&mut short);
        turn(&mut turned_keys, turned);
        match &self.lengthened {
            Lengthened::PerHead { queries, .. } => {
                let moved = per_head(compute, queries, &plain_queries);
                Rows {
                    queries: join(&turned_queries, turned, &moved, config.rank),
                    keys: join(&turned_keys, turned, &short, config.rank),
                    values: short,
                }
            }
            Lengthened::Whole(linear) => {
                let both = linear.apply(compute, &short);
                let (plain_keys, values) = split(&both, plain + config.value, plain);
                let mut everywhere = Vec::with_capacity(count * heads * turned);
                for key in turned_keys.chunks_exact(turned) {
                    (0..heads).for_each(|_| everywhere.extend_from_slice(key));
                }
                Rows {
                    queries: join(&turned_queries, turned, &plain_queries, plain),
                    keys: join(&everywhere, turned, &plain_keys, plain),
                    values,
                }
            }
        }
    }

    /// What attention has gathered, as values of the heads.
    pub fn values(&self, compute: Compute<'_>, gathered: Vec<f32>) -> Vec<f32> {
        match &self.lengthened {
            Lengthened::PerHead { values, .. } => per_head(compute, values, &gathered),
            Lengthened::Whole(_) => gathered,
        }
    }
}

impl LatentQuery {
    fn apply(&self, compute: Compute<'_>, x: &[f32]) -> Vec<f32> {
        match self {
            LatentQuery::Direct(linear) => linear.apply(compute, x),
            LatentQuery::Short { down, norm, up } => {
                let mut short = down.apply(compute, x);
                norm.apply(&mut short);
                up.apply(compute, &short)
            }
        }
    }
}

/// The first `at` numbers of each row of `width`, and the others.
fn split(rows: &[f32], width: usize, at: usize) -> (Vec<f32>, Vec<f32>) {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for row in rows.chunks_exact(width) {
        first.extend_from_slice(&row[..at]);
        second.extend_from_slice(&row[at..]);
    }
    (first, second)
}

/// Rows of two kinds, put together.
fn join(first: &[f32], width: usize, second: &[f32], other: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(first.len() + second.len());
    for (a, b) in first.chunks_exact(width).zip(second.chunks_exact(other)) {
        all.extend_from_slice(a);
        all.extend_from_slice(b);
    }
    all
}

/// Each head's rows times the matrix of the head.
fn per_head(compute: Compute<'_>, matrices: &[Matrix], rows: &[f32]) -> Vec<f32> {
    let Some(first) = matrices.first() else {
        return Vec::new();
    };
    let (columns, length, heads) = (first.columns(), first.rows(), matrices.len());
    let count = rows.len() / (columns * heads);
    let mut out = vec![0.0; count * heads * length];
    let (mut input, mut made) = (vec![0.0; count * columns], vec![0.0; count * length]);
    for (head, matrix) in matrices.iter().enumerate() {
        for (to, row) in input
            .chunks_exact_mut(columns)
            .zip(rows.chunks_exact(columns * heads))
        {
            to.copy_from_slice(&row[head * columns..][..columns]);
        }
        matmul(compute, matrix, &input, &mut made);
        for (from, row) in made
            .chunks_exact(length)
            .zip(out.chunks_exact_mut(length * heads))
        {
            row[head * length..][..length].copy_from_slice(from);
        }
    }
    out
}
