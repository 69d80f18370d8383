//! Super-blocks of 256 whose sub-blocks' scales are small whole numbers themselves.

use super::plain::UNEVEN;
use super::{Format, Unpacked, half_at, two_bits, u16_at, u32_at};
use crate::gguf::TensorType;

/// The eight 6-bit scales and minimums of Q4_K and Q5_K from their twelve bytes.
///
/// The first four of each are the low six bits of bytes 0..4 and 4..8; the others have their low
/// four bits in bytes 8..12 and their upper two in the top of the former.
#[inline(always)]
pub(crate) fn scales_and_mins(bytes: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    // Four bytes at a time.
    let [a, b, c] = [0, 4, 8].map(|at| u32_at(bytes, at));
    let (low, nibble, pair) = (0x3f3f_3f3f, 0x0f0f_0f0f, 0x0303_0303);
    let both = |first: u32, second: u32| u64::from(first) | u64::from(second) << 32;
    let scales = both(a & low, c & nibble | (a >> 6 & pair) << 4);
    let mins = both(b & low, c >> 4 & nibble | (b >> 6 & pair) << 4);
    (scales.to_le_bytes(), mins.to_le_bytes())
}

/// The sixteen 6-bit scales of Q3_K from their twelve bytes, without their offset taken off.
#[inline(always)]
pub(crate) fn q3_scales(bytes: &[u8]) -> [i8; 16] {
    std::array::from_fn(|j| {
        let low = bytes[j % 8] >> (4 * (j / 8)) & 15;
        let high = bytes[8 + j % 4] >> (2 * (j / 4)) & 3;
        (low | high << 4) as i8 - 32
    })
}

/// See [`TensorType::Q2_K`].
pub(crate) struct Q2K;
impl Format for Q2K {
    const TYPE: TensorType = TensorType::Q2_K;
    const SUB: usize = 16;
    const MINS: bool = true;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        let (d, dmin) = (half_at(block, 80), half_at(block, 82));
        for (j, &byte) in block[..16].iter().enumerate() {
            to.scale[j] = d * f32::from(byte & 15);
            to.min[j] = dmin * f32::from(byte >> 4);
        }
        two_bits(&block[16..80], &mut to.q);
    }
}

/// See [`TensorType::Q3_K`].
pub(crate) struct Q3K;
impl Format for Q3K {
    const TYPE: TensorType = TensorType::Q3_K;
    const SUB: usize = 16;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        let d = half_at(block, 108);
        let scales = q3_scales(&block[96..108]);
        for (scale, &q) in to.scale.iter_mut().zip(&scales) {
            *scale = d * f32::from(q);
        }
        two_bits(&block[32..96], &mut to.q);
        for (i, q) in to.q.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (q, &high) in q.iter_mut().zip(&block[..32]) {
                // A set bit means that nothing is taken off.
                *q += ((high >> i & 1) << 2) as i8 - 4;
            }
        }
    }
}

/// Fills the scales and minimums of Q4_K and Q5_K, whose blocks begin alike.
#[inline(always)]
fn begin(block: &[u8], to: &mut Unpacked) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let mut bytes = [0; 12];
    bytes.copy_from_slice(&block[4..16]);
    let (scales, mins) = scales_and_mins(&bytes);
    for j in 0..8 {
        to.scale[j] = d * f32::from(scales[j]);
        to.min[j] = dmin * f32::from(mins[j]);
    }
}

/// See [`TensorType::Q4_K`].
pub(crate) struct Q4K;
impl Format for Q4K {
    const TYPE: TensorType = TensorType::Q4_K;
    const SUB: usize = 32;
    const MINS: bool = true;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        begin(block, to);
        for (bytes, q) in block[16..144]
            .chunks_exact(32)
            .zip(to.q.chunks_exact_mut(64))
        {
            for (i, &byte) in bytes.iter().enumerate() {
                q[i] = (byte & 15) as i8;
                q[i + 32] = (byte >> 4) as i8;
            }
        }
    }
}

/// See [`TensorType::Q5_K`].
pub(crate) struct Q5K;
impl Format for Q5K {
    const TYPE: TensorType = TensorType::Q5_K;
    const SUB: usize = 32;
    const MINS: bool = true;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        begin(block, to);
        let high = &block[16..48];
        for (c, (bytes, q)) in block[48..176]
            .chunks_exact(32)
            .zip(to.q.chunks_exact_mut(64))
            .enumerate()
        {
            for (i, &byte) in bytes.iter().enumerate() {
                q[i] = (byte & 15 | (high[i] >> (2 * c) & 1) << 4) as i8;
                q[i + 32] = (byte >> 4 | (high[i] >> (2 * c + 1) & 1) << 4) as i8;
            }
        }
    }
}

/// See [`TensorType::Q6_K`].
pub(crate) struct Q6K;
impl Format for Q6K {
    const TYPE: TensorType = TensorType::Q6_K;
    const SUB: usize = 16;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        let d = half_at(block, 208);
        for (scale, &byte) in to.scale.iter_mut().zip(&block[192..208]) {
            *scale = d * f32::from(byte as i8);
        }
        for (half, q) in to.q.chunks_exact_mut(128).enumerate() {
            let low = &block[half * 64..][..64];
            let high = &block[128 + half * 32..][..32];
            for l in 0..32 {
                let q6 = |low: u8, shift: u8| (low | (high[l] >> shift & 3) << 4) as i8 - 32;
                q[l] = q6(low[l] & 15, 0);
                q[l + 32] = q6(low[l + 32] & 15, 2);
                q[l + 64] = q6(low[l] >> 4, 4);
                q[l + 96] = q6(low[l + 32] >> 4, 6);
            }
        }
    }
}

/// See [`TensorType::IQ4_XS`].
pub(crate) struct Iq4Xs;
impl Iq4Xs {
    /// The eight 6-bit scales of a block.
    #[inline(always)]
    pub(crate) fn scales(block: &[u8]) -> [i8; 8] {
        let high = u16_at(block, 2);
        std::array::from_fn(|j| {
            let low = block[4 + j / 2] >> (4 * (j % 2)) & 15;
            (low | ((high >> (2 * j) & 3) as u8) << 4) as i8 - 32
        })
    }
}
impl Format for Iq4Xs {
    const TYPE: TensorType = TensorType::IQ4_XS;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        let d = half_at(block, 0);
        for (scale, q) in to.scale.iter_mut().zip(Iq4Xs::scales(block)) {
            *scale = d * f32::from(q);
        }
        for (bytes, q) in block[8..136]
            .chunks_exact(16)
            .zip(to.q.chunks_exact_mut(32))
        {
            for (i, &byte) in bytes.iter().enumerate() {
                q[i] = UNEVEN[usize::from(byte & 15)];
                q[i + 16] = UNEVEN[usize::from(byte >> 4)];
            }
        }
    }
}
