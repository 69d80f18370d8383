//! Types whose numbers come in groups of four or eight from a grid, with signs beside them.

use half::f16;

use super::{Format, Unpacked, half_at, u16_at, u32_at};
use crate::gguf::TensorType;
use crate::quant::grids;

/// Eight signs from seven bits: the eighth makes the number of minus signs even.
#[inline(always)]
fn even_signs(seven: u32) -> u8 {
    let seven = (seven & 127) as u8;
    seven | (seven.count_ones() as u8 & 1) << 7
}

/// Copies a point of a grid, negated where bit `i` of `signs` is set.
#[inline(always)]
fn signed(point: &[i8], signs: u8, to: &mut [i8]) {
    for (i, (to, &value)) in to.iter_mut().zip(point).enumerate() {
        *to = if signs >> i & 1 == 1 { -value } else { value };
    }
}

/// See [`TensorType::IQ2_XXS`].
pub(crate) struct Iq2Xxs;
impl Format for Iq2Xxs {
    const TYPE: TensorType = TensorType::IQ2_XXS;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        let d = half_at(block, 0);
        for (j, part) in block[2..66].chunks_exact(8).enumerate() {
            let signs = u32_at(part, 4);
            to.scale[j] = d * (0.5 + (signs >> 28) as f32) * 0.25;
            for (k, &index) in part[..4].iter().enumerate() {
                let point = &grids::IQ2_XXS[usize::from(index)];
                let q = &mut to.q[j * 32 + k * 8..][..8];
                signed(point, even_signs(signs >> (7 * k)), q);
            }
        }
    }
}

/// Scales of IQ2_XS and IQ2_S: sixteen of four bits.
#[inline(always)]
fn quarter_scales(d: f32, bytes: &[u8], to: &mut Unpacked) {
    for (j, scale) in to.scale.iter_mut().enumerate() {
        let q = bytes[j / 2] >> (4 * (j % 2)) & 15;
        *scale = d * (0.5 + f32::from(q)) * 0.25;
    }
}

/// See [`TensorType::IQ2_XS`].
pub(crate) struct Iq2Xs;
impl Format for Iq2Xs {
    const TYPE: TensorType = TensorType::IQ2_XS;
    const SUB: usize = 16;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        quarter_scales(half_at(block, 0), &block[66..74], to);
        for (k, q) in to.q.chunks_exact_mut(8).enumerate() {
            let index = u16_at(block, 2 + 2 * k);
            let point = &grids::IQ2_XS[usize::from(index & 511)];
            signed(point, even_signs(u32::from(index >> 9)), q);
        }
    }
}

/// See [`TensorType::IQ2_S`].
pub(crate) struct Iq2S;
impl Format for Iq2S {
    const TYPE: TensorType = TensorType::IQ2_S;
    const SUB: usize = 16;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        quarter_scales(half_at(block, 0), &block[74..82], to);
        for (k, q) in to.q.chunks_exact_mut(8).enumerate() {
            let high = block[66 + k / 4] >> (2 * (k % 4)) & 3;
            let index = usize::from(block[2 + k]) | usize::from(high) << 8;
            signed(&grids::IQ2_S[index], block[34 + k], q);
        }
    }
}

/// See [`TensorType::IQ3_XXS`].
pub(crate) struct Iq3Xxs;
impl Format for Iq3Xxs {
    const TYPE: TensorType = TensorType::IQ3_XXS;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        let d = half_at(block, 0);
        for j in 0..8 {
            let signs = u32_at(block, 66 + 4 * j);
            to.scale[j] = d * (0.5 + (signs >> 28) as f32) * 0.5;
            for k in 0..8 {
                let point = &grids::IQ3_XXS[usize::from(block[2 + j * 8 + k])];
                let eight = even_signs(signs >> (7 * (k / 2)));
                signed(
                    point,
                    eight >> (4 * (k % 2)),
                    &mut to.q[j * 32 + k * 4..][..4],
                );
            }
        }
    }
}

/// See [`TensorType::IQ3_S`].
pub(crate) struct Iq3S;
impl Format for Iq3S {
    const TYPE: TensorType = TensorType::IQ3_S;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        let d = half_at(block, 0);
        for j in 0..8 {
            let q = block[106 + j / 2] >> (4 * (j % 2)) & 15;
            to.scale[j] = d * f32::from(1 + 2 * q);
        }
        for (k, q) in to.q.chunks_exact_mut(4).enumerate() {
            let high = block[66 + k / 8] >> (k % 8) & 1;
            let index = usize::from(block[2 + k]) | usize::from(high) << 8;
            let signs = block[74 + k / 2] >> (4 * (k % 2));
            signed(&grids::IQ3_S[index], signs, q);
        }
    }
}

/// Eight ternary values, each moved by an eighth up or down, in eighths.
#[inline(always)]
fn eighths(index: usize, down: bool, to: &mut [i8]) {
    let shift = if down { -1 } else { 1 };
    for (to, &value) in to.iter_mut().zip(&grids::IQ1[index]) {
        *to = 8 * value + shift;
    }
}

/// See [`TensorType::IQ1_S`].
pub(crate) struct Iq1S;
impl Format for Iq1S {
    const TYPE: TensorType = TensorType::IQ1_S;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        let d = half_at(block, 0);
        for j in 0..8 {
            let high = u16_at(block, 34 + 2 * j);
            to.scale[j] = d * f32::from(2 * (high >> 12 & 7) + 1) / 8.0;
            for k in 0..4 {
                let index = usize::from(block[2 + j * 4 + k]);
                let index = index | usize::from(high >> (3 * k) & 7) << 8;
                eighths(index, high >> 15 == 1, &mut to.q[j * 32 + k * 8..][..8]);
            }
        }
    }
}

/// See [`TensorType::IQ1_M`].
pub(crate) struct Iq1M;
impl Format for Iq1M {
    const TYPE: TensorType = TensorType::IQ1_M;
    const SUB: usize = 16;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        let scales: [u16; 4] = std::array::from_fn(|j| u16_at(block, 48 + 2 * j));
        // The block's scale is spread over the top four bits of each.
        let d = (0..4).fold(0, |d, j| d | scales[j] >> 12 << (4 * j));
        let d = f16::from_bits(d).to_f32();
        for (j, scale) in to.scale.iter_mut().enumerate() {
            let q = scales[j / 4] >> (3 * (j % 4)) & 7;
            *scale = d * f32::from(2 * q + 1) / 8.0;
        }
        for (k, q) in to.q.chunks_exact_mut(8).enumerate() {
            let high = block[32 + k / 2] >> (4 * (k % 2));
            let index = usize::from(block[k]) | usize::from(high & 7) << 8;
            eighths(index, high & 8 != 0, q);
        }
    }
}
