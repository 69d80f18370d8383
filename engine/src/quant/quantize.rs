//! From 32-bit floating point to blocks.

use half::{bf16, f16};

use super::fit;
use crate::gguf::TensorType;

/// The types that [`quantize`] can make.
pub const QUANTIZABLE: [TensorType; 8] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q8_0,
    TensorType::Q4_0,
    TensorType::Q4_K,
    TensorType::Q5_K,
    TensorType::Q6_K,
];

/// Why numbers cannot be quantised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuantizeError {
    /// The type can be read but not made.
    #[error(
        "{0} cannot be made; possible are {possible}",
        possible = QUANTIZABLE.map(TensorType::name).join(", ")
    )]
    Type(TensorType),
    /// A number is infinite or no number.
    #[error("the number at {0} is not finite")]
    NotFinite(usize),
}

/// Turns numbers into whole blocks of `ty`, with small squared error.
///
/// F32, F16 and BF16 take every number; what F16 cannot hold becomes infinite.
///
/// # Errors
/// The type cannot be made, or for the others a number is not finite.
///
/// # Panics
/// `values` and `out` do not have the same number of whole blocks: a mistake of the caller.
pub fn quantize(ty: TensorType, values: &[f32], out: &mut [u8]) -> Result<(), QuantizeError> {
    assert!(
        values.len().is_multiple_of(ty.block_len()) && out.len() == ty.row_bytes(values.len()),
        "{} numbers do not make {} bytes of {ty}",
        values.len(),
        out.len()
    );
    let plain = matches!(ty, TensorType::F32 | TensorType::F16 | TensorType::BF16);
    if !plain && let Some(at) = values.iter().position(|x| !x.is_finite()) {
        return Err(QuantizeError::NotFinite(at));
    }
    match ty {
        TensorType::F32 => each(values, out, |[x]| x.to_le_bytes()),
        TensorType::F16 => each(values, out, |[x]| f16::from_f32(*x).to_le_bytes()),
        TensorType::BF16 => each(values, out, |[x]| bf16::from_f32(*x).to_le_bytes()),
        TensorType::Q8_0 => each(values, out, q8_0),
        TensorType::Q4_0 => each(values, out, q4_0),
        TensorType::Q4_K => each(values, out, q4_k),
        TensorType::Q5_K => each(values, out, q5_k),
        TensorType::Q6_K => each(values, out, q6_k),
        other => return Err(QuantizeError::Type(other)),
    }
    Ok(())
}

fn each<const N: usize, const B: usize>(
    values: &[f32],
    out: &mut [u8],
    block: impl Fn(&[f32; N]) -> [u8; B],
) {
    let (values, _) = values.as_chunks::<N>();
    let (out, _) = out.as_chunks_mut::<B>();
    for (out, values) in out.iter_mut().zip(values) {
        *out = block(values);
    }
}

/// A scale as half precision: the number that readers will see, and its bytes. Too large a scale
/// becomes the largest one, which cuts its block's numbers but keeps them finite.
fn half(x: f32) -> (f32, [u8; 2]) {
    let rounded = f16::from_f32(x.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
    (rounded.to_f32(), rounded.to_le_bytes())
}

fn q8_0(x: &[f32; 32]) -> [u8; 34] {
    let largest = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    let (d, bytes) = half(largest / 127.0);
    let mut block = [0; 34];
    block[..2].copy_from_slice(&bytes);
    let factor = fit::inverse(d);
    for (q, &x) in block[2..].iter_mut().zip(x) {
        *q = fit::nearest_i8((x * factor).clamp(-127.0, 127.0)) as u8;
    }
    block
}

fn q4_0(x: &[f32; 32]) -> [u8; 18] {
    let (d, bytes) = half(fit::symmetric(x, 8.0));
    let mut block = [0; 18];
    block[..2].copy_from_slice(&bytes);
    let q = fit::symmetric_levels(x, d, 8.0);
    for (i, byte) in block[2..].iter_mut().enumerate() {
        *byte = q[i] | q[i + 16] << 4;
    }
    block
}

/// Scales and minimums of the eight sub-blocks of Q4_K and Q5_K, and the numbers.
struct Affine {
    /// The first 16 bytes of the block.
    begin: [u8; 16],
    q: [[u8; 32]; 8],
}

fn affine(x: &[f32; 256], high: f32) -> Affine {
    let (subs, _) = x.as_chunks::<32>();
    let fits: [(f32, f32); 8] = std::array::from_fn(|j| fit::affine(&subs[j], high));
    let widest = fits.iter().fold(0.0f32, |m, fit| m.max(fit.0));
    let deepest = fits.iter().fold(0.0f32, |m, fit| m.max(fit.1));
    let (d, d_bytes) = half(widest / 63.0);
    let (dmin, dmin_bytes) = half(deepest / 63.0);
    let mut begin = [0; 16];
    begin[..2].copy_from_slice(&d_bytes);
    begin[2..4].copy_from_slice(&dmin_bytes);
    let mut q = [[0; 32]; 8];
    for (j, (sub, fit)) in subs.iter().zip(fits).enumerate() {
        let (scale, min) = settle(sub, fit, d, dmin, high);
        if j < 4 {
            begin[4 + j] |= scale;
            begin[8 + j] |= min;
        } else {
            begin[8 + j] = scale & 15 | min << 4;
            begin[j] |= scale >> 4 << 6;
            begin[4 + j] |= min >> 4 << 6;
        }
        q[j] = fit::affine_levels(sub, d * f32::from(scale), dmin * f32::from(min), high);
    }
    Affine { begin, q }
}

/// The 6-bit scale and minimum for a sub-block: those nearest to the fit or their neighbours,
/// whichever do best once rounded.
fn settle(x: &[f32; 32], fit: (f32, f32), d: f32, dmin: f32, high: f32) -> (u8, u8) {
    let near = |x: f32, unit: f32| fit::nearest((x * fit::inverse(unit)).clamp(0.0, 63.0)) as i32;
    let (scale, min) = (near(fit.0, d), near(fit.1, dmin));
    let mut best = (f32::INFINITY, 0, 0);
    for scale in (scale - 1).max(0)..=(scale + 1).min(63) {
        for min in (min - 1).max(0)..=(min + 1).min(63) {
            let error = fit::affine_error(x, d * scale as f32, dmin * min as f32, high);
            if error < best.0 {
                best = (error, scale as u8, min as u8);
            }
        }
    }
    (best.1, best.2)
}

fn q4_k(x: &[f32; 256]) -> [u8; 144] {
    let Affine { begin, q } = affine(x, 15.0);
    let mut block = [0; 144];
    block[..16].copy_from_slice(&begin);
    for (pair, bytes) in q.chunks_exact(2).zip(block[16..].chunks_exact_mut(32)) {
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = pair[0][i] | pair[1][i] << 4;
        }
    }
    block
}

fn q5_k(x: &[f32; 256]) -> [u8; 176] {
    let Affine { begin, q } = affine(x, 31.0);
    let mut block = [0; 176];
    let (head, low) = block.split_at_mut(48);
    head[..16].copy_from_slice(&begin);
    for (j, q) in q.iter().enumerate() {
        for (i, &q) in q.iter().enumerate() {
            head[16 + i] |= (q >> 4) << j;
            low[j / 2 * 32 + i] |= (q & 15) << (4 * (j % 2));
        }
    }
    block
}

fn q6_k(x: &[f32; 256]) -> [u8; 210] {
    let (subs, _) = x.as_chunks::<16>();
    let fits: [f32; 16] = std::array::from_fn(|j| fit::symmetric(&subs[j], 32.0));
    let widest = fits
        .iter()
        .fold(0.0f32, |m, &x| if x.abs() > m.abs() { x } else { m });
    // The widest scale becomes -128, the end of the longer side.
    let (d, d_bytes) = half(widest / -128.0);
    let mut block = [0; 210];
    block[208..].copy_from_slice(&d_bytes);
    for (j, (sub, fit)) in subs.iter().zip(fits).enumerate() {
        let near = fit::nearest((fit * fit::inverse(d)).clamp(-128.0, 127.0)) as i32;
        let around = (near - 1).max(-128)..=(near + 1).min(127);
        let error = |&scale: &i32| fit::symmetric_error(sub, d * scale as f32, 32.0);
        let scale = around
            .min_by(|a, b| error(a).total_cmp(&error(b)))
            .unwrap_or(near);
        block[192 + j] = scale as i8 as u8;
        let q = fit::symmetric_levels(sub, d * scale as f32, 32.0);
        // Half a block is four runs of 32: low and high halves of 64 bytes, and pairs of bits.
        let (half, run, l) = (j / 8, j / 2 % 4, j % 2 * 16);
        for (i, q) in q.into_iter().enumerate() {
            block[half * 64 + run % 2 * 32 + l + i] |= (q & 15) << (run / 2 * 4);
            block[128 + half * 32 + l + i] |= (q >> 4) << (2 * run);
        }
    }
    block
}
