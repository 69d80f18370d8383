//! The common form of all quantised types, and the way there from each type's bytes.

mod grid;
mod k;
mod plain;

pub(crate) use grid::{Iq1M, Iq1S, Iq2S, Iq2Xs, Iq2Xxs, Iq3S, Iq3Xxs};
pub(crate) use k::{Iq4Xs, Q2K, Q3K, Q4K, Q5K, Q6K};
pub(crate) use plain::{Iq4Nl, Mxfp4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Tq1, Tq2};
// What kernels for particular processors share with the portable code.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use k::{q3_scales, scales_and_mins};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use plain::{FOUR_BIT_FLOATS, UNEVEN};

use half::f16;

use crate::gguf::TensorType;

/// The longest block of any type, in numbers.
pub(crate) const MAX_BLOCK: usize = 256;

/// One block: number `i` is `scale[i / SUB] * q[i] - min[i / SUB]`, with the type's `SUB`.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    pub(crate) q: [i8; MAX_BLOCK],
    pub(crate) scale: [f32; MAX_BLOCK / 16],
    /// All zero for types without a minimum.
    pub(crate) min: [f32; MAX_BLOCK / 16],
}

impl Unpacked {
    /// All zeros, to be filled.
    pub(crate) fn new() -> Unpacked {
        Unpacked {
            q: [0; MAX_BLOCK],
            scale: [0.0; MAX_BLOCK / 16],
            min: [0.0; MAX_BLOCK / 16],
        }
    }
}

/// A quantised type.
pub(crate) trait Format {
    /// The type.
    const TYPE: TensorType;
    /// Numbers that share a scale: 16 or 32.
    const SUB: usize;
    /// Whether sub-blocks have minimums.
    const MINS: bool = false;

    /// Unpacks one block of `TYPE.block_bytes()` bytes into the first `TYPE.block_len()` numbers.
    fn unpack(block: &[u8], to: &mut Unpacked);
}

/// The half-precision number at `at`.
#[inline(always)]
pub(crate) fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The 16-bit number at `at`.
#[inline(always)]
fn u16_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// The 32-bit number at `at`.
#[inline(always)]
pub(crate) fn u32_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// Unpacks 256 numbers of two bits from 64 bytes: of each 32 bytes first the lowest two bits, then
/// the next.
#[inline(always)]
fn two_bits(bytes: &[u8], to: &mut [i8; MAX_BLOCK]) {
    for (i, q) in to.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let bytes = &bytes[i / 4 * 32..][..32];
        for (q, &byte) in q.iter_mut().zip(bytes) {
            *q = (byte >> (i % 4 * 2) & 3) as i8;
        }
    }
}

/// Evaluates one expression with the [`Format`] of a quantised type by the given name, or another
/// for plain numbers.
macro_rules! with_format {
    ($ty:expr, $format:ident => $then:expr, _ => $else:expr) => {{
        use $crate::gguf::TensorType as T;
        use $crate::quant::unpack as u;
        macro_rules! case {
            ($type:ty) => {{
                type $format = $type;
                $then
            }};
        }
        match $ty {
            T::Q4_0 => case!(u::Q4_0),
            T::Q4_1 => case!(u::Q4_1),
            T::Q5_0 => case!(u::Q5_0),
            T::Q5_1 => case!(u::Q5_1),
            T::Q8_0 => case!(u::Q8_0),
            T::Q2_K => case!(u::Q2K),
            T::Q3_K => case!(u::Q3K),
            T::Q4_K => case!(u::Q4K),
            T::Q5_K => case!(u::Q5K),
            T::Q6_K => case!(u::Q6K),
            T::IQ1_S => case!(u::Iq1S),
            T::IQ1_M => case!(u::Iq1M),
            T::IQ2_XXS => case!(u::Iq2Xxs),
            T::IQ2_XS => case!(u::Iq2Xs),
            T::IQ2_S => case!(u::Iq2S),
            T::IQ3_XXS => case!(u::Iq3Xxs),
            T::IQ3_S => case!(u::Iq3S),
            T::IQ4_NL => case!(u::Iq4Nl),
            T::IQ4_XS => case!(u::Iq4Xs),
            T::TQ1_0 => case!(u::Tq1),
            T::TQ2_0 => case!(u::Tq2),
            T::MXFP4 => case!(u::Mxfp4),
            T::F32 | T::F16 | T::BF16 | T::F64 | T::I8 | T::I16 | T::I32 | T::I64 => $else,
        }
    }};
}
pub(crate) use with_format;
