//! Products of weights with the vectors of a batch: the one place where nearly all time goes.
//!
//! A panel of rows is turned into numbers once and multiplied by every vector of the batch, or
//! multiplied as it is by vectors that were rounded. A dot product is summed in [`LANES`] interleaved partial sums, whatever the panel and the batch, so a
//! token's result is the same whether it is computed alone or among others.

use std::cell::RefCell;
use std::ops::Range;

use super::Matrix;
use super::Stop;
use super::disjoint::Disjoint;
use crate::quant::{self, Activations};
use crate::threads::Pool;

/// Rows turned into numbers at a time: small enough to stay in the second-level cache.
const PANEL: usize = 16;
/// Rows multiplied at a time, so that a vector is loaded once for all of them.
const STRIP: usize = 4;
/// Partial sums of a dot product: as many as the widest registers hold.
const LANES: usize = 16;

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Some vectors that one matrix of several is meant for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Which matrix.
    pub matrix: usize,
    /// Which products, in the order of the output.
    pub products: Range<usize>,
}

/// How products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Products {
    /// In single precision. The result is as good as the weights.
    #[default]
    Exact,
    /// By kernels that take quantised weights as they are, and vectors rounded to 8 bits in blocks
    /// of 32: several times faster for one token. Logits are off by some 2 % of their spread, about
    /// as much as in other engines that round so, or less.
    Quantised,
}

/// What products are computed with.
#[derive(Debug, Clone, Copy)]
pub struct Compute<'a> {
    /// The threads.
    pub pool: &'a Pool,
    /// The way.
    pub products: Products,
    /// What ends it before it is done. Results are of no use then.
    pub stop: Option<&'a Stop<'a>>,
}

impl Compute<'_> {
    /// Calls `work` with each number below `chunks`, on all threads, unless it is to stop.
    pub fn run(&self, chunks: usize, work: &(dyn Fn(usize) + Sync)) {
        match self.stop {
            None => self.pool.run(chunks, work),
            Some(stop) => self.pool.run(chunks, &|chunk| {
                if !stop.look() {
                    work(chunk);
                }
            }),
        }
    }

    /// Whether something was left out, so that the results are of no use.
    pub fn stopped(&self) -> bool {
        self.stop.is_some_and(Stop::seen)
    }
}

/// `out` becomes the product of `weight` with each of the vectors in `x`, one after the other.
///
/// # Panics
///
/// The lengths of `x` and `out` do not belong to the same number of vectors.
pub fn matmul(compute: Compute<'_>, weight: &Matrix, x: &[f32], out: &mut [f32]) {
    let count = x.len() / weight.columns();
    let groups = [Group {
        matrix: 0,
        products: 0..count,
    }];
    let matrices = std::slice::from_ref(weight);
    matmul_grouped(compute, matrices, &groups, x, &|i| i, out);
}

/// As [`matmul`], with a matrix for each group of products. Product `i` takes vector `source(i)`.
/// All matrices have one shape.
///
/// # Panics
///
/// A vector or a product lies outside of `x` or `out`, or products overlap.
pub fn matmul_grouped(
    compute: Compute<'_>,
    matrices: &[Matrix],
    groups: &[Group],
    x: &[f32],
    source: &(dyn Fn(usize) -> usize + Sync),
    out: &mut [f32],
) {
    let Some(first) = matrices.first() else {
        return;
    };
    let (rows, columns) = (first.rows(), first.columns());
    let ordered = groups
        .windows(2)
        .all(|pair| pair[0].products.end <= pair[1].products.start);
    assert!(ordered, "groups of products overlap");
    let vector = |product: usize| {
        let at = source(product) * columns;
        &x[at..at + columns]
    };
    let rounded: Vec<Activations> = match compute.products {
        Products::Exact => Vec::new(),
        Products::Quantised => groups.iter().map(|group| round(group, &vector)).collect(),
    };
    let panels = rows.div_ceil(PANEL);
    let out = Disjoint::new(out);
    compute.run(panels * groups.len(), &|chunk| {
        let (group, panel) = (&groups[chunk / panels], chunk % panels);
        let panel = Panel {
            matrix: &matrices[group.matrix],
            rows: panel * PANEL..rows.min((panel + 1) * PANEL),
        };
        let products = group.products.clone();
        SCRATCH.with_borrow_mut(|scratch| match rounded.get(chunk / panels) {
            None => panel.exact(products.map(|p| (p, vector(p))), &out, scratch),
            Some(vectors) => panel.quantised(products, vectors, &out, scratch),
        });
    });
}

fn round<'a>(group: &Group, vector: &dyn Fn(usize) -> &'a [f32]) -> Activations {
    let vectors: Vec<&[f32]> = group.products.clone().map(vector).collect();
    let mut rounded = Activations::new();
    if let Some(first) = vectors.first() {
        rounded.set(&vectors.concat(), first.len());
    }
    rounded
}

/// A few rows of a matrix.
struct Panel<'a> {
    matrix: &'a Matrix,
    rows: Range<usize>,
}

impl Panel<'_> {
    /// This panel's part of a product.
    ///
    /// # Safety
    ///
    /// No other thread has the same panel and product.
    #[allow(clippy::mut_from_ref)]
    unsafe fn part<'a>(&self, product: usize, out: &'a Disjoint<'_, f32>) -> &'a mut [f32] {
        let at = product * self.matrix.rows() + self.rows.start;
        // SAFETY: parts of different products, and of different panels of one, do not overlap.
        unsafe { out.part(at, self.rows.len()) }
    }

    fn exact<'x>(
        &self,
        products: impl Iterator<Item = (usize, &'x [f32])>,
        out: &Disjoint<'_, f32>,
        scratch: &mut Vec<f32>,
    ) {
        scratch.resize(self.rows.len() * self.matrix.columns(), 0.0);
        self.matrix.dequantize(self.rows.clone(), scratch);
        for (product, x) in products {
            // SAFETY: groups do not overlap, as has been asserted, and each chunk of work is
            // another group or panel.
            multiply(scratch, x, unsafe { self.part(product, out) });
        }
    }

    fn quantised(
        &self,
        products: Range<usize>,
        vectors: &Activations,
        out: &Disjoint<'_, f32>,
        scratch: &mut Vec<f32>,
    ) {
        if products.is_empty() {
            return;
        }
        scratch.resize(self.rows.len() * products.len(), 0.0);
        let (ty, bytes) = (self.matrix.ty(), self.matrix.bytes(self.rows.clone()));
        quant::multiply(ty, bytes, vectors, scratch);
        for (product, result) in products.zip(scratch.chunks_exact(self.rows.len())) {
            // SAFETY: as above.
            unsafe { self.part(product, out) }.copy_from_slice(result);
        }
    }
}

/// The product of rows with one vector.
///
/// The same additions in the same order on every processor, so the same result to the last bit;
/// wider registers only take more of them at a time.
fn multiply(weights: &[f32], x: &[f32], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f")]
        fn avx512(weights: &[f32], x: &[f32], out: &mut [f32]) {
            multiply_rows(weights, x, out);
        }
        #[target_feature(enable = "avx2")]
        fn avx2(weights: &[f32], x: &[f32], out: &mut [f32]) {
            multiply_rows(weights, x, out);
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has the feature.
            return unsafe { avx512(weights, x, out) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has the feature.
            return unsafe { avx2(weights, x, out) };
        }
    }
    multiply_rows(weights, x, out);
}

#[inline(always)]
fn multiply_rows(weights: &[f32], x: &[f32], out: &mut [f32]) {
    let strips = weights.chunks(STRIP * x.len());
    for (weights, out) in strips.zip(out.chunks_mut(STRIP)) {
        if let Some(rows) = four_rows(weights, x.len()) {
            out.copy_from_slice(&dots(rows, x));
        } else {
            for (row, out) in weights.chunks_exact(x.len()).zip(out) {
                [*out] = dots([row], x);
            }
        }
    }
}

#[inline(always)]
fn four_rows(rows: &[f32], len: usize) -> Option<[&[f32]; STRIP]> {
    if rows.len() != STRIP * len {
        return None;
    }
    let (ab, cd) = rows.split_at(2 * len);
    let ((a, b), (c, d)) = (ab.split_at(len), cd.split_at(len));
    Some([a, b, c, d])
}

/// Dot products of `N` rows with `x`.
#[inline(always)]
fn dots<const N: usize>(rows: [&[f32]; N], x: &[f32]) -> [f32; N] {
    let mut sums = [[0.0f32; LANES]; N];
    let (x_blocks, x_rest) = x.as_chunks::<LANES>();
    let blocks = rows.map(|row| row.as_chunks::<LANES>());
    for (i, x) in x_blocks.iter().enumerate() {
        for (sums, (row, _)) in sums.iter_mut().zip(&blocks) {
            let row = &row[i];
            for lane in 0..LANES {
                sums[lane] += row[lane] * x[lane];
            }
        }
    }
    for (sums, (_, rest)) in sums.iter_mut().zip(&blocks) {
        for ((sum, a), b) in sums.iter_mut().zip(*rest).zip(x_rest) {
            *sum += a * b;
        }
    }
    sums.map(|mut sums| {
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
            half /= 2;
        }
        sums[0]
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::gguf::TensorType;

    fn matrix(rows: usize, columns: usize, values: &[f32]) -> Matrix {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Matrix::new(TensorType::F32, rows, columns, Bytes::from(bytes)).unwrap()
    }

    fn exact(pool: &Pool) -> Compute<'_> {
        Compute {
            pool,
            products: Products::Exact,
            stop: None,
        }
    }

    fn naive(weights: &[f32], x: &[f32]) -> Vec<f64> {
        weights
            .chunks_exact(x.len())
            .map(|row| {
                row.iter()
                    .zip(x)
                    .map(|(&a, &b)| f64::from(a) * f64::from(b))
                    .sum()
            })
            .collect()
    }

    /// Whole numbers divided by 8: products and sums of this size are exact.
    fn numbers(len: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2).wrapping_add(1);
        (0..len)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                ((state >> 59) as f32 - 16.0) / 8.0
            })
            .collect()
    }

    proptest! {
        #[test]
        fn equals_the_plain_sum(rows in 1usize..40, columns in 1usize..70, count in 1usize..6, seed: u64) {
            let (weights, x) = (numbers(rows * columns, seed), numbers(count * columns, !seed));
            let mut out = vec![0.0; count * rows];
            matmul(exact(&Pool::new(2)), &matrix(rows, columns, &weights), &x, &mut out);
            for (x, out) in x.chunks_exact(columns).zip(out.chunks_exact(rows)) {
                let wanted = naive(&weights, x);
                prop_assert!(out.iter().zip(&wanted).all(|(&a, &b)| f64::from(a) == b));
            }
        }
    }

    #[test]
    fn groups_take_their_own_matrix_and_vectors() {
        let matrices: Vec<Matrix> = (0..3).map(|i| matrix(5, 7, &numbers(35, i))).collect();
        let x = numbers(14, 9);
        let groups = [
            Group {
                matrix: 2,
                products: 0..2,
            },
            Group {
                matrix: 0,
                products: 2..3,
            },
        ];
        let source = [1, 0, 1];
        let mut out = vec![0.0; 15];
        matmul_grouped(
            exact(&Pool::new(3)),
            &matrices,
            &groups,
            &x,
            &|i| source[i],
            &mut out,
        );
        for (product, (seed, vector)) in [(2, 1), (2, 0), (0, 1)].into_iter().enumerate() {
            let wanted = naive(&numbers(35, seed), &x[vector * 7..][..7]);
            let got: Vec<f64> = out[product * 5..][..5].iter().map(|&v| v.into()).collect();
            assert_eq!(got, wanted);
        }
    }

    #[test]
    fn every_processor_computes_the_same() {
        let weights: Vec<f32> = (0..7 * 83).map(|i| (i as f32 * 0.37).sin()).collect();
        let x: Vec<f32> = (0..83).map(|i| (i as f32 * 0.73).cos()).collect();
        let (mut here, mut anywhere) = ([0.0; 7], [0.0; 7]);
        multiply(&weights, &x, &mut here);
        multiply_rows(&weights, &x, &mut anywhere);
        assert_eq!(here, anywhere);
    }

    #[test]
    fn alone_or_among_others_the_same() {
        let weights: Vec<f32> = (0..37 * 50).map(|i| (i as f32 * 0.37).sin()).collect();
        let x: Vec<f32> = (0..5 * 50).map(|i| (i as f32 * 0.73).cos()).collect();
        let weight = matrix(37, 50, &weights);
        let pool = Pool::new(2);
        let mut all = vec![0.0; 5 * 37];
        matmul(exact(&pool), &weight, &x, &mut all);
        for (x, all) in x.chunks_exact(50).zip(all.chunks_exact(37)) {
            let mut one = vec![0.0; 37];
            matmul(exact(&pool), &weight, x, &mut one);
            assert_eq!(one, all);
        }
    }
}
