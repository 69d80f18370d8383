//! Types without super-blocks: one scale for the whole block.

use super::{Format, Unpacked, half_at, two_bits, u32_at};
use crate::gguf::TensorType;

/// The sixteen values of IQ4_NL and IQ4_XS, closer together near zero.
pub(crate) const UNEVEN: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// The sixteen values of a 4-bit float (two bits exponent, one bit mantissa), doubled.
/// Source: OCP Microscaling Formats specification 1.0, section 5.3.3.
pub(crate) const FOUR_BIT_FLOATS: [i8; 16] =
    [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Splits 16 bytes into 32 numbers of 4 bits: all low halves, then all high ones.
#[inline(always)]
fn nibbles(bytes: &[u8], to: &mut [i8], value: impl Fn(u8) -> i8) {
    for (i, &byte) in bytes[..16].iter().enumerate() {
        to[i] = value(byte & 15);
        to[i + 16] = value(byte >> 4);
    }
}

/// As [`nibbles`], with a fifth bit for each number from `high`.
#[inline(always)]
fn five_bits(high: u32, bytes: &[u8], to: &mut [i8], offset: i8) {
    for (i, &byte) in bytes[..16].iter().enumerate() {
        let (first, second) = (high >> i & 1, high >> (i + 16) & 1);
        to[i] = (byte & 15 | (first as u8) << 4) as i8 - offset;
        to[i + 16] = (byte >> 4 | (second as u8) << 4) as i8 - offset;
    }
}

/// See [`TensorType::Q4_0`].
pub(crate) struct Q4_0;
impl Format for Q4_0 {
    const TYPE: TensorType = TensorType::Q4_0;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        to.scale[0] = half_at(block, 0);
        nibbles(&block[2..], &mut to.q, |q| q as i8 - 8);
    }
}

/// See [`TensorType::Q4_1`].
pub(crate) struct Q4_1;
impl Format for Q4_1 {
    const TYPE: TensorType = TensorType::Q4_1;
    const SUB: usize = 32;
    const MINS: bool = true;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        to.scale[0] = half_at(block, 0);
        to.min[0] = -half_at(block, 2);
        nibbles(&block[4..], &mut to.q, |q| q as i8);
    }
}

/// See [`TensorType::Q5_0`].
pub(crate) struct Q5_0;
impl Format for Q5_0 {
    const TYPE: TensorType = TensorType::Q5_0;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        to.scale[0] = half_at(block, 0);
        five_bits(u32_at(block, 2), &block[6..], &mut to.q, 16);
    }
}

/// See [`TensorType::Q5_1`].
pub(crate) struct Q5_1;
impl Format for Q5_1 {
    const TYPE: TensorType = TensorType::Q5_1;
    const SUB: usize = 32;
    const MINS: bool = true;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        to.scale[0] = half_at(block, 0);
        to.min[0] = -half_at(block, 2);
        five_bits(u32_at(block, 4), &block[8..], &mut to.q, 0);
    }
}

/// See [`TensorType::Q8_0`].
pub(crate) struct Q8_0;
impl Format for Q8_0 {
    const TYPE: TensorType = TensorType::Q8_0;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        to.scale[0] = half_at(block, 0);
        for (q, &byte) in to.q.iter_mut().zip(&block[2..34]) {
            *q = byte as i8;
        }
    }
}

/// See [`TensorType::IQ4_NL`].
pub(crate) struct Iq4Nl;
impl Format for Iq4Nl {
    const TYPE: TensorType = TensorType::IQ4_NL;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        to.scale[0] = half_at(block, 0);
        nibbles(&block[2..], &mut to.q, |q| UNEVEN[usize::from(q)]);
    }
}

/// See [`TensorType::MXFP4`].
pub(crate) struct Mxfp4;
impl Mxfp4 {
    /// Half of two to the power of `exponent - 127`, since the table holds doubled values.
    #[inline(always)]
    pub(crate) fn scale(exponent: u8) -> f32 {
        f32::from_bits(match exponent {
            // Below the range of normal numbers.
            0 | 1 => 0x0020_0000 << exponent,
            _ => u32::from(exponent - 1) << 23,
        })
    }
}
impl Format for Mxfp4 {
    const TYPE: TensorType = TensorType::MXFP4;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        to.scale[0] = Mxfp4::scale(block[0]);
        nibbles(&block[1..], &mut to.q, |q| FOUR_BIT_FLOATS[usize::from(q)]);
    }
}

/// See [`TensorType::TQ1_0`].
pub(crate) struct Tq1;
impl Format for Tq1 {
    const TYPE: TensorType = TensorType::TQ1_0;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        to.scale[..8].fill(half_at(block, 52));
        // A byte is a fraction of 256 whose digits to base three are the numbers.
        let digit =
            |byte: u8, power: u8| ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as i8 - 1;
        let mut at = 0;
        for (bytes, powers) in [
            (&block[..32], &[1, 3, 9, 27, 81][..]),
            (&block[32..48], &[1, 3, 9, 27, 81][..]),
            (&block[48..52], &[1, 3, 9, 27][..]),
        ] {
            for &power in powers {
                for &byte in bytes {
                    to.q[at] = digit(byte, power);
                    at += 1;
                }
            }
        }
    }
}

/// See [`TensorType::TQ2_0`].
pub(crate) struct Tq2;
impl Format for Tq2 {
    const TYPE: TensorType = TensorType::TQ2_0;
    const SUB: usize = 32;
    fn unpack(block: &[u8], to: &mut Unpacked) {
        to.scale[..8].fill(half_at(block, 64));
        two_bits(&block[..64], &mut to.q);
        to.q.iter_mut().for_each(|q| *q -= 1);
    }
}
