//! Products with 128-bit vectors on 64-bit ARM.
//!
//! One loop over super-blocks of 256 numbers for all quantised types; types with blocks of 32 take
//! eight of these for one. A type only says how its scales and its numbers are got out of the
//! bytes, sixteen numbers at a time, which is what a scale is for.

use std::arch::aarch64::*;
use std::arch::asm;

use super::{Job, MAX_ROWS, padded_rest};
use crate::gguf::TensorType;
use crate::quant::activations::PADDING;
use crate::quant::unpack::{self, FOUR_BIT_FLOATS, UNEVEN, half_at};

/// Sub-blocks of 16 numbers in a super-block.
const STEPS: usize = PADDING / 16;

/// Scales and minimums of a super-block, one for each 16 numbers.
struct Scales {
    scale: [f32; STEPS],
    min: [f32; STEPS],
}

impl Scales {
    fn new(scale: impl Fn(usize) -> f32) -> Scales {
        Scales {
            scale: std::array::from_fn(scale),
            min: [0.0; STEPS],
        }
    }
}

/// Computes the products of `job`; `false` if there is no kernel for its type. With `DOT`, by the
/// instructions for sums of products of bytes.
///
/// # Safety
/// If `DOT` is set, the processor has these instructions (`dotprod`).
#[target_feature(enable = "neon")]
pub(super) unsafe fn multiply<const DOT: bool>(ty: TensorType, job: &mut Job) -> bool {
    match ty {
        TensorType::F32 => float::<4>(job, |b| vreinterpretq_f32_u8(load(b, 0))),
        TensorType::BF16 => float::<2>(job, |b| {
            let halves = vreinterpret_u16_u8(load_8(b));
            vreinterpretq_f32_u32(vshll_n_u16::<16>(halves))
        }),
        TensorType::Q4_0 => {
            let weights = |b: &[u8; 8 * 18], s| less(nibbles(b, s / 2 * 18 + 2, s), 8);
            quantised::<_, DOT, false>(job, |b| halves(b, 18), weights);
        }
        TensorType::Q4_1 => {
            let weights = |b: &[u8; 8 * 20], s| less(nibbles(b, s / 2 * 20 + 4, s), 0);
            quantised::<_, DOT, true>(job, |b| halves_and_mins(b, 20), weights);
        }
        TensorType::Q5_0 => {
            let weights = |b: &[u8; 8 * 22], s| less(five_bits(b, s / 2 * 22 + 2, s), 16);
            quantised::<_, DOT, false>(job, |b| halves(b, 22), weights);
        }
        TensorType::Q5_1 => {
            let weights = |b: &[u8; 8 * 24], s| less(five_bits(b, s / 2 * 24 + 4, s), 0);
            quantised::<_, DOT, true>(job, |b| halves_and_mins(b, 24), weights);
        }
        TensorType::Q8_0 => {
            let weights = |b: &[u8; 8 * 34], s| less(load(b, s / 2 * 34 + 2 + s % 2 * 16), 0);
            quantised::<_, DOT, false>(job, |b| halves(b, 34), weights);
        }
        TensorType::IQ4_NL => {
            let table = table(&UNEVEN);
            let weights = |b: &[u8; 8 * 18], s| vqtbl1q_s8(table, nibbles(b, s / 2 * 18 + 2, s));
            quantised::<_, DOT, false>(job, |b| halves(b, 18), weights);
        }
        TensorType::MXFP4 => {
            let table = table(&FOUR_BIT_FLOATS);
            let scales = |b: &[u8; 8 * 17]| Scales::new(|s| unpack::Mxfp4::scale(b[s / 2 * 17]));
            let weights = |b: &[u8; 8 * 17], s| vqtbl1q_s8(table, nibbles(b, s / 2 * 17 + 1, s));
            quantised::<_, DOT, false>(job, scales, weights);
        }
        TensorType::Q2_K => {
            quantised::<84, DOT, true>(job, q2_k_scales, |b, s| less(q2(b, 16, s), 0))
        }
        TensorType::Q3_K => quantised::<110, DOT, false>(job, q3_k_scales, |b, s| q3_k(b, s)),
        TensorType::Q4_K => {
            quantised::<144, DOT, true>(job, k_scales, |b, s| less(q4(b, 16, s), 0))
        }
        TensorType::Q5_K => quantised::<176, DOT, true>(job, k_scales, |b, s| q5_k(b, s)),
        TensorType::Q6_K => quantised::<210, DOT, false>(job, q6_k_scales, |b, s| q6_k(b, s)),
        TensorType::IQ4_XS => {
            let table = table(&UNEVEN);
            let weights = |b: &[u8; 136], s| vqtbl1q_s8(table, nibbles(b, s / 2 * 16 + 8, s));
            quantised::<_, DOT, false>(job, iq4_xs_scales, weights);
        }
        _ => return false,
    }
    true
}

/// The common loop. `weights` gives 16 numbers of a super-block.
#[target_feature(enable = "neon")]
fn quantised<const BYTES: usize, const DOT: bool, const MINS: bool>(
    job: &mut Job,
    scales: impl Fn(&[u8; BYTES]) -> Scales,
    weights: impl Fn(&[u8; BYTES], usize) -> int8x16_t,
) {
    let row_bytes = job.row_bytes;
    for (rows, out) in job
        .weights
        .chunks(row_bytes * MAX_ROWS)
        .zip(job.out.chunks_mut(MAX_ROWS))
    {
        let mut sums = [vdupq_n_f32(0.0); MAX_ROWS];
        for b in 0..job.vector.q.len() / PADDING {
            let taken = &job.vector.sums[b * STEPS..][..STEPS];
            let vector_scales = &job.vector.scales[b * STEPS..][..STEPS];
            for (row, sum) in rows.chunks_exact(row_bytes).zip(&mut sums) {
                let rest;
                let block = match row[(b * BYTES).min(row.len())..].first_chunk::<BYTES>() {
                    Some(block) => block,
                    None => {
                        rest = padded_rest(row, b);
                        &rest
                    }
                };
                let Scales { scale, min } = scales(block);
                if MINS {
                    for at in (0..STEPS).step_by(4) {
                        *sum = vfmsq_f32(*sum, load_floats(&min, at), load_floats(taken, at));
                    }
                }
                for s in 0..STEPS {
                    let a = load_i8(job.vector.q, b * PADDING + s * 16);
                    let products = vcvtq_f32_s32(dot::<DOT>(weights(block, s), a));
                    *sum = vfmaq_n_f32(*sum, products, scale[s] * vector_scales[s]);
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = vaddvq_f32(sum);
        }
    }
}

/// Products of 16 pairs of bytes, four added together in each lane.
#[inline]
#[target_feature(enable = "neon")]
fn dot<const DOT: bool>(w: int8x16_t, a: int8x16_t) -> int32x4_t {
    if DOT {
        let mut sums = vdupq_n_s32(0);
        // SAFETY: the instruction only works on the named registers, and whoever sets `DOT` has
        // made sure that the processor has it. (Its intrinsic is not in stable Rust.)
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {w:v}.16b, {a:v}.16b",
                sums = inout(vreg) sums,
                w = in(vreg) w,
                a = in(vreg) a,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    } else {
        let low = vmull_s8(vget_low_s8(w), vget_low_s8(a));
        let high = vmull_high_s8(w, a);
        vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high))
    }
}

#[inline]
#[target_feature(enable = "neon")]
fn load(bytes: &[u8], at: usize) -> uint8x16_t {
    let bytes = &bytes[at..at + 16];
    // SAFETY: `bytes` is 16 bytes long, and the load needs no alignment.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_8(bytes: &[u8]) -> uint8x8_t {
    let bytes = &bytes[..8];
    // SAFETY: `bytes` is 8 bytes long, and the load needs no alignment.
    unsafe { vld1_u8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_i8(numbers: &[i8], at: usize) -> int8x16_t {
    let numbers = &numbers[at..at + 16];
    // SAFETY: `numbers` is 16 bytes long, and the load needs no alignment.
    unsafe { vld1q_s8(numbers.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
fn load_floats(numbers: &[f32], at: usize) -> float32x4_t {
    let numbers = &numbers[at..at + 4];
    // SAFETY: `numbers` is four floats long, and the load needs no alignment.
    unsafe { vld1q_f32(numbers.as_ptr()) }
}

/// Sixteen values to look up with [`vqtbl1q_s8`].
#[inline]
#[target_feature(enable = "neon")]
fn table(values: &[i8; 16]) -> int8x16_t {
    load_i8(values, 0)
}

/// Numbers with their offset taken off.
#[inline]
#[target_feature(enable = "neon")]
fn less(q: uint8x16_t, offset: i8) -> int8x16_t {
    vsubq_s8(vreinterpretq_s8_u8(q), vdupq_n_s8(offset))
}

/// The bits of each byte from `count` on, as many as are in `mask`.
#[inline]
#[target_feature(enable = "neon")]
fn field(x: uint8x16_t, count: usize, mask: u8) -> uint8x16_t {
    vandq_u8(vshlq_u8(x, vdupq_n_s8(-(count as i8))), vdupq_n_u8(mask))
}

/// Bit `bit` of each byte, as `value` or 0.
#[inline]
#[target_feature(enable = "neon")]
fn bit(x: uint8x16_t, bit: usize, value: u8) -> uint8x16_t {
    vandq_u8(vtstq_u8(x, vdupq_n_u8(1 << bit)), vdupq_n_u8(value))
}

/// The low halves of the 16 bytes at `at` for an even step, the high ones for an odd one.
#[inline]
#[target_feature(enable = "neon")]
fn nibbles(bytes: &[u8], at: usize, s: usize) -> uint8x16_t {
    field(load(bytes, at), s % 2 * 4, 15)
}

/// Four bytes of fifth bits at `at`, then sixteen of the other four bits.
#[inline]
#[target_feature(enable = "neon")]
fn five_bits(bytes: &[u8], at: usize, s: usize) -> uint8x16_t {
    let masks = vcreate_u8(0x8040_2010_0804_0201);
    let [first, second] = [0, 1].map(|i| vdup_n_u8(bytes[at + s % 2 * 2 + i]));
    let set = vtstq_u8(vcombine_u8(first, second), vcombine_u8(masks, masks));
    vorrq_u8(nibbles(bytes, at + 4, s), vandq_u8(set, vdupq_n_u8(16)))
}

#[inline(always)]
fn halves(bytes: &[u8], stride: usize) -> Scales {
    Scales::new(|s| half_at(bytes, s / 2 * stride))
}

#[inline(always)]
fn halves_and_mins(bytes: &[u8], stride: usize) -> Scales {
    Scales {
        // These types add their minimum.
        min: std::array::from_fn(|s| -half_at(bytes, s / 2 * stride + 2)),
        ..halves(bytes, stride)
    }
}

#[inline(always)]
fn q2_k_scales(block: &[u8; 84]) -> Scales {
    let (d, dmin) = (half_at(block, 80), half_at(block, 82));
    Scales {
        scale: std::array::from_fn(|s| d * f32::from(block[s] & 15)),
        min: std::array::from_fn(|s| dmin * f32::from(block[s] >> 4)),
    }
}

#[inline(always)]
fn q3_k_scales(block: &[u8; 110]) -> Scales {
    let d = half_at(block, 108);
    let scales = unpack::q3_scales(&block[96..108]);
    Scales::new(|s| d * f32::from(scales[s]))
}

/// Scales of Q4_K and Q5_K.
#[inline(always)]
fn k_scales<const BYTES: usize>(block: &[u8; BYTES]) -> Scales {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let mut bytes = [0; 12];
    bytes.copy_from_slice(&block[4..16]);
    let (scales, mins) = unpack::scales_and_mins(&bytes);
    Scales {
        scale: std::array::from_fn(|s| d * f32::from(scales[s / 2])),
        min: std::array::from_fn(|s| dmin * f32::from(mins[s / 2])),
    }
}

#[inline(always)]
fn q6_k_scales(block: &[u8; 210]) -> Scales {
    let d = half_at(block, 208);
    Scales::new(|s| d * f32::from(block[192 + s] as i8))
}

#[inline(always)]
fn iq4_xs_scales(block: &[u8; 136]) -> Scales {
    let d = half_at(block, 0);
    let scales = unpack::Iq4Xs::scales(block);
    Scales::new(|s| d * f32::from(scales[s / 2]))
}

/// Numbers of two bits: of each 32 bytes from `at`, first the lowest two, then the next.
#[inline]
#[target_feature(enable = "neon")]
fn q2(block: &[u8], at: usize, s: usize) -> uint8x16_t {
    field(load(block, at + s / 8 * 32 + s % 2 * 16), s / 2 % 4 * 2, 3)
}

#[inline]
#[target_feature(enable = "neon")]
fn q3_k(block: &[u8; 110], s: usize) -> int8x16_t {
    let high = bit(load(block, s % 2 * 16), s / 2, 4);
    less(vorrq_u8(q2(block, 32, s), high), 4)
}

/// Numbers of four bits: of each 32 bytes from `at`, first the low halves, then the high ones.
#[inline]
#[target_feature(enable = "neon")]
fn q4(block: &[u8], at: usize, s: usize) -> uint8x16_t {
    field(load(block, at + s / 4 * 32 + s % 2 * 16), s / 2 % 2 * 4, 15)
}

#[inline]
#[target_feature(enable = "neon")]
fn q5_k(block: &[u8; 176], s: usize) -> int8x16_t {
    let high = bit(load(block, 16 + s % 2 * 16), s / 2, 16);
    less(vorrq_u8(q4(block, 48, s), high), 0)
}

#[inline]
#[target_feature(enable = "neon")]
fn q6_k(block: &[u8; 210], s: usize) -> int8x16_t {
    let (half, run, l) = (s / 8, s / 2 % 4, s % 2 * 16);
    let low = field(load(block, half * 64 + run % 2 * 32 + l), run / 2 * 4, 15);
    let high = field(load(block, 128 + half * 32 + l), run * 2, 3);
    less(vorrq_u8(low, vshlq_n_u8::<4>(high)), 32)
}

/// Plain numbers of `SIZE` bytes, which `widen` takes four of.
#[target_feature(enable = "neon")]
fn float<const SIZE: usize>(job: &mut Job, widen: impl Fn(&[u8]) -> float32x4_t) {
    for (row, out) in job.weights.chunks_exact(job.row_bytes).zip(&mut *job.out) {
        let mut sums = [vdupq_n_f32(0.0); 4];
        let pairs = row
            .chunks_exact(16 * SIZE)
            .zip(job.vector.x.chunks_exact(16));
        for (w, x) in pairs {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = vfmaq_f32(*sum, widen(&w[4 * SIZE * i..]), load_floats(x, 4 * i));
            }
        }
        // The rest is padded with zeros.
        let done = job.vector.x.len() / 16 * 16;
        let (mut w, mut x) = ([0; 16 * 4], [0.0; 16]);
        w[..row.len() - done * SIZE].copy_from_slice(&row[done * SIZE..]);
        x[..job.vector.x.len() - done].copy_from_slice(&job.vector.x[done..]);
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = vfmaq_f32(*sum, widen(&w[4 * SIZE * i..]), load_floats(&x, 4 * i));
        }
        let [a, b, c, d] = sums;
        *out = vaddvq_f32(vaddq_f32(vaddq_f32(a, b), vaddq_f32(c, d)));
    }
}
