//! Products with 256-bit vectors: AVX2, FMA and F16C, which every x86-64 processor has had since
//! 2015 or so.
//!
//! All quantised types go through one loop over super-blocks of 256 numbers; types with blocks of
//! 32 take eight of these for one. A type only says how its scales and its numbers are got out of
//! the bytes.

use std::arch::x86_64::*;

use super::{Job, MAX_ROWS, padded_rest};
use crate::gguf::TensorType;
use crate::quant::activations::PADDING;
use crate::quant::unpack::{self, FOUR_BIT_FLOATS, UNEVEN};

/// Scales and minimums of a super-block, one for each 16 numbers.
struct Scales {
    scale: [__m256; 2],
    min: [__m256; 2],
}

/// Computes the products of `job`; `false` if there is no kernel for its type.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn multiply(ty: TensorType, job: &mut Job) -> bool {
    match ty {
        TensorType::F32 => float::<4>(job, |b| load_f32(b)),
        TensorType::F16 => float::<2>(job, |b| _mm256_cvtph_ps(load_128(b, 0))),
        TensorType::BF16 => float::<2>(job, |b| {
            let wide = _mm256_cvtepu16_epi32(load_128(b, 0));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
        }),
        TensorType::Q4_0 => {
            let eight = _mm256_set1_epi8(8);
            let weights = |b: &[u8; 8 * 18], i| _mm256_sub_epi8(nibbles(b, 18 * i + 2), eight);
            quantised::<{ 8 * 18 }, true, false>(job, |b| halves(b, 18), weights);
        }
        TensorType::Q4_1 => {
            let scales = |b: &[u8; 8 * 20]| halves_and_mins(b, 20);
            quantised::<{ 8 * 20 }, false, true>(job, scales, |b, i| nibbles(b, 20 * i + 4));
        }
        TensorType::Q5_0 => {
            let sixteen = _mm256_set1_epi8(16);
            let weights = |b: &[u8; 8 * 22], i| _mm256_sub_epi8(five_bits(b, 22 * i + 2), sixteen);
            quantised::<{ 8 * 22 }, true, false>(job, |b| halves(b, 22), weights);
        }
        TensorType::Q5_1 => {
            let scales = |b: &[u8; 8 * 24]| halves_and_mins(b, 24);
            quantised::<{ 8 * 24 }, false, true>(job, scales, |b, i| five_bits(b, 24 * i + 4));
        }
        TensorType::Q8_0 => {
            let weights = |b: &[u8; 8 * 34], i| load(b, 34 * i + 2);
            quantised::<{ 8 * 34 }, true, false>(job, |b| halves(b, 34), weights);
        }
        TensorType::IQ4_NL => {
            let table = table(&UNEVEN);
            let weights = |b: &[u8; 8 * 18], i| _mm256_shuffle_epi8(table, nibbles(b, 18 * i + 2));
            quantised::<{ 8 * 18 }, true, false>(job, |b| halves(b, 18), weights);
        }
        TensorType::MXFP4 => {
            let table = table(&FOUR_BIT_FLOATS);
            let weights = |b: &[u8; 8 * 17], i| _mm256_shuffle_epi8(table, nibbles(b, 17 * i + 1));
            quantised::<{ 8 * 17 }, true, false>(job, |b| exponents(b), weights);
        }
        TensorType::Q2_K => {
            quantised::<84, false, true>(job, |b| q2_k_scales(b), |b, i| q2(b, 16, i))
        }
        TensorType::Q3_K => {
            quantised::<110, true, false>(job, |b| q3_k_scales(b), |b, i| q3_k(b, i))
        }
        TensorType::Q4_K => {
            quantised::<144, false, true>(job, |b| k_scales(b), |b, i| q4(b, 16, i))
        }
        TensorType::Q5_K => quantised::<176, false, true>(job, |b| k_scales(b), |b, i| q5_k(b, i)),
        TensorType::Q6_K => {
            quantised::<210, true, false>(job, |b| q6_k_scales(b), |b, i| q6_k(b, i))
        }
        TensorType::IQ4_XS => {
            let table = table(&UNEVEN);
            let weights = |b: &[u8; 136], i| _mm256_shuffle_epi8(table, nibbles(b, 16 * i + 8));
            quantised::<136, true, false>(job, |b| iq4_xs_scales(b), weights);
        }
        _ => return false,
    }
    true
}

/// The common loop. `weights` gives 32 numbers of a super-block: whole numbers with signs, or
/// without if `SIGNED` is not set.
#[target_feature(enable = "avx2,fma,f16c")]
fn quantised<const BYTES: usize, const SIGNED: bool, const MINS: bool>(
    job: &mut Job,
    scales: impl Fn(&[u8; BYTES]) -> Scales,
    weights: impl Fn(&[u8; BYTES], usize) -> __m256i,
) {
    let row_bytes = job.row_bytes;
    for (rows, out) in job
        .weights
        .chunks(row_bytes * MAX_ROWS)
        .zip(job.out.chunks_mut(MAX_ROWS))
    {
        let mut sums = [_mm256_setzero_ps(); MAX_ROWS];
        for b in 0..job.vector.q.len() / PADDING {
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
                for half in 0..2 {
                    let step = b * PADDING / 16 + half * 8;
                    if MINS {
                        let taken = load_floats(job.vector.sums, step);
                        *sum = _mm256_fnmadd_ps(min[half], taken, *sum);
                    }
                    let scale = _mm256_mul_ps(scale[half], load_floats(job.vector.scales, step));
                    for quarter in 0..4 {
                        let i = half * 4 + quarter;
                        let a = load_i8(job.vector.q, b * PADDING + i * 32);
                        let products = dot::<SIGNED>(weights(block, i), a);
                        // Lanes 0..4 are from the first 16 numbers, lanes 4..8 from the second.
                        let (first, second) = (2 * quarter as i32, 2 * quarter as i32 + 1);
                        let lanes = _mm256_set_m128i(_mm_set1_epi32(second), _mm_set1_epi32(first));
                        let scale = _mm256_permutevar8x32_ps(scale, lanes);
                        *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), scale, *sum);
                    }
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = total(sum);
        }
    }
}

/// Products of 32 pairs of bytes, four added together in each lane.
#[inline]
#[target_feature(enable = "avx2")]
fn dot<const SIGNED: bool>(w: __m256i, a: __m256i) -> __m256i {
    // The instruction wants the first operand without sign, and stops at 32767 when it adds two
    // products. Neither 2 * 128 * 127 nor unsigned numbers up to 63 get there.
    let pairs = if SIGNED {
        _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w))
    } else {
        _mm256_maddubs_epi16(w, a)
    };
    _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))
}

#[inline]
#[target_feature(enable = "avx2")]
fn total(x: __m256) -> f32 {
    let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
    let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8], at: usize) -> __m256i {
    let bytes = &bytes[at..at + 32];
    // SAFETY: `bytes` is 32 bytes long, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_128(bytes: &[u8], at: usize) -> __m128i {
    let bytes = &bytes[at..at + 16];
    // SAFETY: `bytes` is 16 bytes long, and the load needs no alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_i8(numbers: &[i8], at: usize) -> __m256i {
    let numbers = &numbers[at..at + 32];
    // SAFETY: `numbers` is 32 bytes long, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(numbers.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_floats(numbers: &[f32], at: usize) -> __m256 {
    let numbers = &numbers[at..at + 8];
    // SAFETY: `numbers` is eight floats long, and the load needs no alignment.
    unsafe { _mm256_loadu_ps(numbers.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_f32(bytes: &[u8]) -> __m256 {
    _mm256_castsi256_ps(load(bytes, 0))
}

/// Sixteen values to look up with [`_mm256_shuffle_epi8`].
#[inline]
#[target_feature(enable = "avx2")]
fn table(values: &[i8; 16]) -> __m256i {
    let bytes = values.map(|value| value as u8);
    _mm256_broadcastsi128_si256(load_128(&bytes, 0))
}

/// The low halves of the 16 bytes at `at`, then the high ones.
#[inline]
#[target_feature(enable = "avx2")]
fn nibbles(bytes: &[u8], at: usize) -> __m256i {
    let bytes = load_128(bytes, at);
    let both = _mm256_set_m128i(_mm_srli_epi16::<4>(bytes), bytes);
    _mm256_and_si256(both, _mm256_set1_epi8(15))
}

/// Four bytes of fifth bits at `at`, then sixteen of the other four bits.
#[inline]
#[target_feature(enable = "avx2")]
fn five_bits(bytes: &[u8], at: usize) -> __m256i {
    let high = _mm256_set1_epi32(unpack::u32_at(bytes, at) as i32);
    // Byte j becomes the one that has bit j, and is compared with that bit alone.
    let spread = _mm256_set_epi64x(
        0x0303_0303_0303_0303,
        0x0202_0202_0202_0202,
        0x0101_0101_0101_0101,
        0,
    );
    let bit = _mm256_set1_epi64x(0x8040_2010_0804_0201_u64 as i64);
    let high = _mm256_and_si256(_mm256_shuffle_epi8(high, spread), bit);
    let high = _mm256_and_si256(_mm256_cmpeq_epi8(high, bit), _mm256_set1_epi8(16));
    _mm256_or_si256(nibbles(bytes, at + 4), high)
}

/// Each of eight numbers twice.
#[inline]
#[target_feature(enable = "avx2")]
fn twice(x: __m256) -> [__m256; 2] {
    [
        _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
        _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)),
    ]
}

/// Eight half-precision numbers, `stride` bytes apart.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn gather(bytes: &[u8], at: usize, stride: usize) -> [__m256; 2] {
    let mut halves = [0; 16];
    for (j, half) in halves.chunks_exact_mut(2).enumerate() {
        half.copy_from_slice(&bytes[at + j * stride..][..2]);
    }
    twice(_mm256_cvtph_ps(load_128(&halves, 0)))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn halves(bytes: &[u8], stride: usize) -> Scales {
    Scales {
        scale: gather(bytes, 0, stride),
        min: [_mm256_setzero_ps(); 2],
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn halves_and_mins(bytes: &[u8], stride: usize) -> Scales {
    // These types add their minimum.
    let minus = _mm256_set1_ps(-0.0);
    Scales {
        scale: gather(bytes, 0, stride),
        min: gather(bytes, 2, stride).map(|min| _mm256_xor_ps(min, minus)),
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn exponents(bytes: &[u8; 8 * 17]) -> Scales {
    let scales: [f32; 8] = std::array::from_fn(|j| unpack::Mxfp4::scale(bytes[j * 17]));
    Scales {
        scale: twice(load_floats(&scales, 0)),
        min: [_mm256_setzero_ps(); 2],
    }
}

/// The half-precision number at `at`, eight times.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn half(bytes: &[u8], at: usize) -> __m256 {
    let bits = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    _mm256_cvtph_ps(_mm_set1_epi16(bits as i16))
}

/// Sixteen small whole numbers times `d`.
#[inline]
#[target_feature(enable = "avx2")]
fn times(d: __m256, q: __m128i) -> [__m256; 2] {
    let upper = _mm_unpackhi_epi64(q, q);
    [q, upper].map(|q| _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q))))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn q2_k_scales(block: &[u8; 84]) -> Scales {
    let (bytes, low) = (load_128(block, 0), _mm_set1_epi8(15));
    let high = _mm_and_si128(_mm_srli_epi16::<4>(bytes), low);
    Scales {
        scale: times(half(block, 80), _mm_and_si128(bytes, low)),
        min: times(half(block, 82), high),
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn q3_k_scales(block: &[u8; 110]) -> Scales {
    let scales = unpack::q3_scales(&block[96..108]).map(|scale| scale as u8);
    Scales {
        scale: times(half(block, 108), load_128(&scales, 0)),
        min: [_mm256_setzero_ps(); 2],
    }
}

/// Scales of Q4_K and Q5_K.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn k_scales<const BYTES: usize>(block: &[u8; BYTES]) -> Scales {
    let mut bytes = [0; 12];
    bytes.copy_from_slice(&block[4..16]);
    let (scales, mins) = unpack::scales_and_mins(&bytes);
    let floats = |bytes| {
        let bytes = _mm_set1_epi64x(i64::from_le_bytes(bytes));
        _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
    };
    Scales {
        scale: twice(_mm256_mul_ps(half(block, 0), floats(scales))),
        min: twice(_mm256_mul_ps(half(block, 2), floats(mins))),
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn q6_k_scales(block: &[u8; 210]) -> Scales {
    Scales {
        scale: times(half(block, 208), load_128(block, 192)),
        min: [_mm256_setzero_ps(); 2],
    }
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn iq4_xs_scales(block: &[u8; 136]) -> Scales {
    let scales = unpack::Iq4Xs::scales(block);
    let scales = scales.map(f32::from);
    Scales {
        scale: twice(_mm256_mul_ps(half(block, 0), load_floats(&scales, 0))),
        min: [_mm256_setzero_ps(); 2],
    }
}

/// Moves the bits of each byte down by `count`; what comes in from the neighbour is for the caller
/// to mask.
#[inline]
#[target_feature(enable = "avx2")]
fn shift(x: __m256i, count: usize) -> __m256i {
    _mm256_srl_epi16(x, _mm_cvtsi32_si128(count as i32))
}

/// Bit `bit` of each byte, as `value` or 0.
#[inline]
#[target_feature(enable = "avx2")]
fn bit(x: __m256i, bit: usize, value: i8) -> __m256i {
    let mask = _mm256_set1_epi8(1i8.wrapping_shl(bit as u32));
    let set = _mm256_cmpeq_epi8(_mm256_and_si256(x, mask), mask);
    _mm256_and_si256(set, _mm256_set1_epi8(value))
}

/// Numbers of two bits: of each 32 bytes from `at`, first the lowest two, then the next.
#[inline]
#[target_feature(enable = "avx2")]
fn q2(block: &[u8], at: usize, i: usize) -> __m256i {
    let pairs = shift(load(block, at + i / 4 * 32), i % 4 * 2);
    _mm256_and_si256(pairs, _mm256_set1_epi8(3))
}

#[inline]
#[target_feature(enable = "avx2")]
fn q3_k(block: &[u8; 110], i: usize) -> __m256i {
    let high = bit(load(block, 0), i, 4);
    let q = _mm256_or_si256(q2(block, 32, i), high);
    _mm256_sub_epi8(q, _mm256_set1_epi8(4))
}

/// Numbers of four bits: of each 32 bytes from `at`, first the low halves, then the high ones.
#[inline]
#[target_feature(enable = "avx2")]
fn q4(block: &[u8], at: usize, i: usize) -> __m256i {
    let halves = shift(load(block, at + i / 2 * 32), i % 2 * 4);
    _mm256_and_si256(halves, _mm256_set1_epi8(15))
}

#[inline]
#[target_feature(enable = "avx2")]
fn q5_k(block: &[u8; 176], i: usize) -> __m256i {
    _mm256_or_si256(q4(block, 48, i), bit(load(block, 16), i, 16))
}

#[inline]
#[target_feature(enable = "avx2")]
fn q6_k(block: &[u8; 210], i: usize) -> __m256i {
    let (half, run) = (i / 4, i % 4);
    let low = shift(load(block, half * 64 + run % 2 * 32), run / 2 * 4);
    let low = _mm256_and_si256(low, _mm256_set1_epi8(15));
    let high = shift(load(block, 128 + half * 32), run * 2);
    let high = _mm256_and_si256(high, _mm256_set1_epi8(3));
    let q = _mm256_or_si256(low, _mm256_slli_epi16::<4>(high));
    _mm256_sub_epi8(q, _mm256_set1_epi8(32))
}

/// Plain numbers of `SIZE` bytes, which `widen` takes eight of.
#[target_feature(enable = "avx2,fma,f16c")]
fn float<const SIZE: usize>(job: &mut Job, widen: impl Fn(&[u8]) -> __m256) {
    for (row, out) in job.weights.chunks_exact(job.row_bytes).zip(&mut *job.out) {
        let mut sums = [_mm256_setzero_ps(); 4];
        let mut pairs = row
            .chunks_exact(32 * SIZE)
            .zip(job.vector.x.chunks_exact(32));
        for (w, x) in &mut pairs {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = _mm256_fmadd_ps(widen(&w[8 * SIZE * i..]), load_floats(x, 8 * i), *sum);
            }
        }
        // The rest is padded with zeros.
        let done = job.vector.x.len() / 32 * 32;
        let (mut w, mut x) = ([0; 32 * 4], [0.0; 32]);
        w[..row.len() - done * SIZE].copy_from_slice(&row[done * SIZE..]);
        x[..job.vector.x.len() - done].copy_from_slice(&job.vector.x[done..]);
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = _mm256_fmadd_ps(widen(&w[8 * SIZE * i..]), load_floats(&x, 8 * i), *sum);
        }
        let [a, b, c, d] = sums;
        *out = total(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)));
    }
}
