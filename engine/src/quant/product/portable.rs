//! Products for every processor. Kernels for particular ones are tested against these.

use super::Job;
use crate::gguf::TensorType;
use crate::quant::activations::{STEP, Vector};
use crate::quant::dequantize;
use crate::quant::unpack::{Format, MAX_BLOCK, Unpacked, with_format};

/// Computes the products of `job`.
pub(super) fn multiply(ty: TensorType, job: &mut Job) {
    let vector = job.vector;
    for (row, out) in job.weights.chunks_exact(job.row_bytes).zip(&mut *job.out) {
        *out = if integer(ty) {
            with_format!(ty, F => quantised::<F>(row, vector), _ => float(ty, row, vector))
        } else {
            float(ty, row, vector)
        };
    }
}

/// Whether products of this type are computed on 8-bit vectors. The others are dequantised and
/// multiplied by the vectors as they are: plain numbers, for which that is no detour, and types
/// whose dequantising costs so much more than the product that 8 bits would save nothing.
fn integer(ty: TensorType) -> bool {
    use TensorType as T;
    matches!(
        ty,
        T::Q4_0
            | T::Q4_1
            | T::Q5_0
            | T::Q5_1
            | T::Q8_0
            | T::Q2_K
            | T::Q3_K
            | T::Q4_K
            | T::Q5_K
            | T::Q6_K
            | T::IQ4_NL
            | T::IQ4_XS
            | T::MXFP4
    )
}

fn quantised<F: Format>(row: &[u8], vector: Vector) -> f32 {
    let (len, bytes) = (F::TYPE.block_len(), F::TYPE.block_bytes());
    let mut unpacked = Unpacked::new();
    let mut sum = 0.0;
    for (b, block) in row.chunks_exact(bytes).enumerate() {
        F::unpack(block, &mut unpacked);
        let first = b * len / STEP;
        for s in 0..len / STEP {
            let q = &unpacked.q[s * STEP..][..STEP];
            let a = &vector.q[(first + s) * STEP..][..STEP];
            let product: i32 = q
                .iter()
                .zip(a)
                .map(|(&q, &a)| i32::from(q) * i32::from(a))
                .sum();
            let sub = s * STEP / F::SUB;
            sum += unpacked.scale[sub] * vector.scales[first + s] * product as f32;
            if F::MINS {
                sum -= unpacked.min[sub] * vector.sums[first + s];
            }
        }
    }
    sum
}

fn float(ty: TensorType, row: &[u8], vector: Vector) -> f32 {
    let mut values = [0.0; MAX_BLOCK];
    let bytes = ty.block_bytes() * (MAX_BLOCK / ty.block_len());
    let mut sums = [0.0; 16];
    for (part, x) in row.chunks(bytes).zip(vector.x.chunks(MAX_BLOCK)) {
        let values = &mut values[..x.len()];
        dequantize(ty, part, values);
        let (values, values_left) = values.as_chunks::<16>();
        let (x, x_left) = x.as_chunks::<16>();
        for (values, x) in values.iter().zip(x) {
            for i in 0..16 {
                sums[i] += values[i] * x[i];
            }
        }
        for (i, (value, x)) in values_left.iter().zip(x_left).enumerate() {
            sums[i] += value * x;
        }
    }
    sums.iter().sum()
}
