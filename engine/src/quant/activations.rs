//! The vectors that rows of weights are multiplied by.

use super::fit::nearest_i8;

/// Numbers that share a scale.
const BLOCK: usize = 32;
/// Numbers per entry of [`Activations::scales`] and [`Activations::sums`]: the smallest sub-block
/// of any type.
pub(super) const STEP: usize = 16;
/// Vectors are padded with zeros to a multiple of this, so that kernels may read whole super-blocks.
pub(super) const PADDING: usize = 256;
/// Below this the reciprocal of a scale is not finite; such blocks are taken as zeros.
const TINY: f32 = 1e-36;

/// Vectors of one length in the forms that products need: as they are, and as 8-bit numbers in
/// blocks of 32 with a scale each.
///
/// Made once per vector and used for every row of every matrix that it is multiplied by. The
/// blocks are as short for K-quants as for other types: one outlier then spoils 31 neighbours and
/// not 255. Buffers are kept from one [`set`](Activations::set) to the next.
#[derive(Debug, Clone, Default)]
pub struct Activations {
    len: usize,
    padded: usize,
    count: usize,
    x: Vec<f32>,
    q: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<f32>,
}

/// One vector of [`Activations`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Vector<'a> {
    /// As it was given.
    pub(super) x: &'a [f32],
    /// Padded 8-bit numbers.
    pub(super) q: &'a [i8],
    /// For each 16 numbers their scale; two at a time are equal.
    pub(super) scales: &'a [f32],
    /// For each 16 numbers their sum, scale included. Multiplied by the minimum of a sub-block, it
    /// is what that minimum takes from the product.
    pub(super) sums: &'a [f32],
}

impl Activations {
    /// No vectors.
    pub fn new() -> Activations {
        Activations::default()
    }

    /// Takes the vectors of length `len` that lie one after another in `x`.
    ///
    /// # Panics
    /// `x` is not a whole number of vectors.
    pub fn set(&mut self, x: &[f32], len: usize) {
        assert!(len > 0 && x.len().is_multiple_of(len), "not whole vectors");
        self.len = len;
        self.padded = len.next_multiple_of(PADDING);
        self.count = x.len() / len;
        self.x.clear();
        self.x.extend_from_slice(x);
        let padded = self.padded * self.count;
        self.q.resize(padded, 0);
        self.scales.resize(padded / STEP, 0.0);
        self.sums.resize(padded / STEP, 0.0);
        for (i, x) in x.chunks_exact(len).enumerate() {
            let steps = self.padded / STEP;
            quantize(
                x,
                &mut self.q[i * self.padded..][..self.padded],
                &mut self.scales[i * steps..][..steps],
                &mut self.sums[i * steps..][..steps],
            );
        }
    }

    /// Length of each vector.
    pub fn vector_len(&self) -> usize {
        self.len
    }

    /// Number of vectors.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The vector at `index`.
    pub(super) fn vector(&self, index: usize) -> Vector<'_> {
        let steps = self.padded / STEP;
        Vector {
            x: &self.x[index * self.len..][..self.len],
            q: &self.q[index * self.padded..][..self.padded],
            scales: &self.scales[index * steps..][..steps],
            sums: &self.sums[index * steps..][..steps],
        }
    }
}

fn quantize(x: &[f32], q: &mut [i8], scales: &mut [f32], sums: &mut [f32]) {
    let mut blocks = x.chunks(BLOCK);
    for ((q, scales), sums) in q
        .chunks_exact_mut(BLOCK)
        .zip(scales.chunks_exact_mut(2))
        .zip(sums.chunks_exact_mut(2))
    {
        let scale = match blocks.next() {
            Some(block) => {
                q[block.len()..].fill(0);
                quantize_block(block, q)
            }
            None => {
                q.fill(0);
                0.0
            }
        };
        scales.fill(scale);
        for (sum, q) in sums.iter_mut().zip(q.chunks_exact(STEP)) {
            *sum = scale * q.iter().map(|&q| i32::from(q)).sum::<i32>() as f32;
        }
    }
}

/// Quantises at most 32 numbers and returns their scale. Anything that is not finite makes the
/// scale so too, and is thereby seen in every product.
fn quantize_block(x: &[f32], q: &mut [i8]) -> f32 {
    // As whole numbers, the bits of magnitudes are in the order of the magnitudes, NaN last.
    let largest = x.iter().map(|x| x.to_bits() & 0x7fff_ffff).max();
    let largest = f32::from_bits(largest.unwrap_or(0));
    if largest < TINY {
        q.fill(0);
        return 0.0;
    }
    let inverse = 127.0 / largest;
    for (q, &x) in q.iter_mut().zip(x) {
        *q = nearest_i8(x * inverse);
    }
    largest / 127.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_within_half_a_step_and_padding_is_zero() {
        let x: Vec<f32> = (0..70).map(|i| (i as f32 - 35.0) * 0.37).collect();
        let mut activations = Activations::new();
        activations.set(&[1e9; 600], 300);
        activations.set(&x, 35);
        assert_eq!((activations.count(), activations.vector_len()), (2, 35));
        for i in 0..2 {
            let vector = activations.vector(i);
            assert_eq!(vector.x, &x[i * 35..][..35]);
            for (j, &x) in vector.x.iter().enumerate() {
                let scale = vector.scales[j / STEP];
                let back = scale * f32::from(vector.q[j]);
                assert!((back - x).abs() <= scale * 0.501, "{x} came back as {back}");
            }
            assert!(vector.q[35..].iter().all(|&q| q == 0));
            assert!(vector.scales[4..].iter().all(|&scale| scale == 0.0));
            let sum: i32 = vector.q[..16].iter().map(|&q| i32::from(q)).sum();
            assert_eq!(vector.sums[0], vector.scales[0] * sum as f32);
        }
    }

    #[test]
    fn what_is_not_finite_is_not_lost() {
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = [0.5; 64];
            x[40] = odd;
            let mut activations = Activations::new();
            activations.set(&x, 64);
            let vector = activations.vector(0);
            assert!(vector.scales[0].is_finite() && !vector.scales[2].is_finite());
        }
        let mut activations = Activations::new();
        activations.set(&[f32::MIN_POSITIVE, 1e-40, 0.0, -1e-38], 4);
        assert_eq!(activations.vector(0).scales[0], 0.0);
    }
}
