//! Products with 512-bit vectors: AVX-512 with its instructions for sums of products of bytes.
//!
//! Made like the 256-bit ones: one loop over super-blocks of 256 numbers for all quantised types.
//! The instruction for sums of products wants one operand without sign, so that weights with signs
//! are raised by a constant; what that adds is taken away exactly, as a whole number.

use std::arch::x86_64::*;

use super::{Job, MAX_ROWS, padded_rest};
use crate::gguf::TensorType;
use crate::quant::activations::PADDING;
use crate::quant::unpack::{self, FOUR_BIT_FLOATS, UNEVEN};

/// Scales and minimums of a super-block, one for each 16 numbers.
struct Scales {
    scale: __m512,
    min: __m512,
}

/// Computes the products of `job`; `false` if there is no kernel for its type.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni")]
pub(super) fn multiply(ty: TensorType, job: &mut Job) -> bool {
    match ty {
        TensorType::F32 => float::<4>(job, |b| _mm512_castsi512_ps(load(b, 0))),
        TensorType::F16 => float::<2>(job, |b| _mm512_cvtph_ps(load_256(b, 0))),
        TensorType::BF16 => float::<2>(job, |b| {
            let wide = _mm512_cvtepu16_epi32(load_256(b, 0));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
        }),
        TensorType::Q4_0 => {
            let weights = |b: &[u8; 8 * 18], i| nibbles(b, 36 * i + 2, 36 * i + 20);
            quantised::<{ 8 * 18 }, 8, false>(job, |b| halves(b, 18), weights);
        }
        TensorType::Q4_1 => {
            let weights = |b: &[u8; 8 * 20], i| nibbles(b, 40 * i + 4, 40 * i + 24);
            quantised::<{ 8 * 20 }, 0, true>(job, |b| halves_and_mins(b, 20), weights);
        }
        TensorType::Q5_0 => {
            let weights = |b: &[u8; 8 * 22], i| five_bits(b, 44 * i + 2, 44 * i + 24);
            quantised::<{ 8 * 22 }, 16, false>(job, |b| halves(b, 22), weights);
        }
        TensorType::Q5_1 => {
            let weights = |b: &[u8; 8 * 24], i| five_bits(b, 48 * i + 4, 48 * i + 28);
            quantised::<{ 8 * 24 }, 0, true>(job, |b| halves_and_mins(b, 24), weights);
        }
        TensorType::Q8_0 => {
            // With the sign bit turned over, a number with sign is the one without, less 128.
            let sign = _mm512_set1_epi8(-128);
            let weights =
                |b: &[u8; 8 * 34], i| _mm512_xor_si512(two(b, 68 * i + 2, 68 * i + 36), sign);
            quantised::<{ 8 * 34 }, 128, false>(job, |b| halves(b, 34), weights);
        }
        TensorType::IQ4_NL => {
            let table = table(&UNEVEN, 128);
            let weights = |b: &[u8; 8 * 18], i| {
                _mm512_shuffle_epi8(table, nibbles(b, 36 * i + 2, 36 * i + 20))
            };
            quantised::<{ 8 * 18 }, 128, false>(job, |b| halves(b, 18), weights);
        }
        TensorType::MXFP4 => {
            let table = table(&FOUR_BIT_FLOATS, 12);
            let weights = |b: &[u8; 8 * 17], i| {
                _mm512_shuffle_epi8(table, nibbles(b, 34 * i + 1, 34 * i + 18))
            };
            quantised::<{ 8 * 17 }, 12, false>(job, |b| exponents(b), weights);
        }
        TensorType::Q2_K => {
            quantised::<84, 0, true>(job, |b| q2_k_scales(b), |b, i| q2(b, 16, i));
        }
        TensorType::Q3_K => {
            quantised::<110, 4, false>(job, |b| q3_k_scales(b), |b, i| q3_k(b, i));
        }
        TensorType::Q4_K => {
            quantised::<144, 0, true>(job, |b| k_scales(b), |b, i| q4(b, 16, i));
        }
        TensorType::Q5_K => {
            quantised::<176, 0, true>(job, |b| k_scales(b), |b, i| q5_k(b, i));
        }
        TensorType::Q6_K => {
            quantised::<210, 32, false>(job, |b| q6_k_scales(b), |b, i| q6_k(b, i));
        }
        TensorType::IQ4_XS => {
            let table = table(&UNEVEN, 128);
            let weights =
                |b: &[u8; 136], i| _mm512_shuffle_epi8(table, nibbles(b, 32 * i + 8, 32 * i + 24));
            quantised::<136, 128, false>(job, |b| iq4_xs_scales(b), weights);
        }
        _ => return false,
    }
    true
}

/// The common loop. `weights` gives 64 numbers of a super-block, raised by `RAISED` so that none is
/// below zero.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn quantised<const BYTES: usize, const RAISED: u8, const MINS: bool>(
    job: &mut Job,
    scales: impl Fn(&[u8; BYTES]) -> Scales,
    weights: impl Fn(&[u8; BYTES], usize) -> __m512i,
) {
    let row_bytes = job.row_bytes;
    let zero = _mm512_setzero_si512();
    let raised = _mm512_set1_epi8(RAISED as i8);
    // Lane l of part i is from numbers 64 i + 4 l to 64 i + 4 l + 3, and so has scale 4 i + l / 4.
    let lanes = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    for (rows, out) in job
        .weights
        .chunks(row_bytes * MAX_ROWS)
        .zip(job.out.chunks_mut(MAX_ROWS))
    {
        let mut sums = [_mm512_setzero_ps(); MAX_ROWS];
        for b in 0..job.vector.q.len() / PADDING {
            let a: [__m512i; 4] = [0, 1, 2, 3].map(|i| load_i8(job.vector.q, b * PADDING + 64 * i));
            let begin = a.map(|a| match RAISED {
                0 => zero,
                _ => _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(zero, raised, a)),
            });
            let vector_scale = load_floats(job.vector.scales, b * PADDING / 16);
            let taken = load_floats(job.vector.sums, b * PADDING / 16);
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
                    *sum = _mm512_fnmadd_ps(min, taken, *sum);
                }
                let scale = _mm512_mul_ps(scale, vector_scale);
                for i in 0..4 {
                    let products = _mm512_dpbusd_epi32(begin[i], weights(block, i), a[i]);
                    let lanes = _mm512_add_epi32(lanes, _mm512_set1_epi32(4 * i as i32));
                    let scale = _mm512_permutexvar_ps(lanes, scale);
                    *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), scale, *sum);
                }
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = _mm512_reduce_add_ps(sum);
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8], at: usize) -> __m512i {
    let bytes = &bytes[at..at + 64];
    // SAFETY: `bytes` is 64 bytes long, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_256(bytes: &[u8], at: usize) -> __m256i {
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
#[target_feature(enable = "avx512f")]
fn load_i8(numbers: &[i8], at: usize) -> __m512i {
    let numbers = &numbers[at..at + 64];
    // SAFETY: `numbers` is 64 bytes long, and the load needs no alignment.
    unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_floats(numbers: &[f32], at: usize) -> __m512 {
    let numbers = &numbers[at..at + 16];
    // SAFETY: `numbers` is sixteen floats long, and the load needs no alignment.
    unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
}

/// Sixteen values to look up with [`_mm512_shuffle_epi8`], raised so that none is below zero.
#[inline]
#[target_feature(enable = "avx512f")]
fn table(values: &[i8; 16], raised: u8) -> __m512i {
    let bytes = values.map(|value| (value as u8).wrapping_add(raised));
    _mm512_broadcast_i32x4(load_128(&bytes, 0))
}

/// The 32 bytes at each of two places.
#[inline]
#[target_feature(enable = "avx512f")]
fn two(bytes: &[u8], first: usize, second: usize) -> __m512i {
    join(load_256(bytes, first), load_256(bytes, second))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn join(first: __m256i, second: __m256i) -> __m512i {
    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second)
}

/// The 16 bytes at each of two places: the low halves of the first, the high ones, and likewise of
/// the second.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn nibbles(bytes: &[u8], first: usize, second: usize) -> __m512i {
    let both = join(
        _mm256_broadcastsi128_si256(load_128(bytes, first)),
        _mm256_broadcastsi128_si256(load_128(bytes, second)),
    );
    let counts = _mm512_set_epi64(
        0x0004_0004_0004_0004,
        0x0004_0004_0004_0004,
        0,
        0,
        0x0004_0004_0004_0004,
        0x0004_0004_0004_0004,
        0,
        0,
    );
    _mm512_and_si512(_mm512_srlv_epi16(both, counts), _mm512_set1_epi8(15))
}

/// At each of two places, four bytes of fifth bits, then sixteen of the other four bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn five_bits(bytes: &[u8], first: usize, second: usize) -> __m512i {
    let high = [first, second].map(|at| u64::from(unpack::u32_at(bytes, at)));
    raise(
        nibbles(bytes, first + 4, second + 4),
        high[0] | high[1] << 32,
        16,
    )
}

/// Adds `value` to the bytes whose bit in `mask` is set.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn raise(x: __m512i, mask: u64, value: i8) -> __m512i {
    _mm512_mask_add_epi8(x, mask, x, _mm512_set1_epi8(value))
}

/// Each of eight numbers twice.
#[inline]
#[target_feature(enable = "avx512f")]
fn twice(x: __m256) -> __m512 {
    let lanes = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    _mm512_permutexvar_ps(lanes, _mm512_castps256_ps512(x))
}

/// Eight half-precision numbers, `stride` bytes apart.
#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn gather(bytes: &[u8], at: usize, stride: usize) -> __m512 {
    let mut halves = [0; 16];
    for (j, half) in halves.chunks_exact_mut(2).enumerate() {
        half.copy_from_slice(&bytes[at + j * stride..][..2]);
    }
    twice(_mm256_cvtph_ps(load_128(&halves, 0)))
}

#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn halves(bytes: &[u8], stride: usize) -> Scales {
    Scales {
        scale: gather(bytes, 0, stride),
        min: _mm512_setzero_ps(),
    }
}

#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn halves_and_mins(bytes: &[u8], stride: usize) -> Scales {
    // These types add their minimum.
    Scales {
        scale: gather(bytes, 0, stride),
        min: _mm512_mul_ps(gather(bytes, 2, stride), _mm512_set1_ps(-1.0)),
    }
}

#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn exponents(bytes: &[u8; 8 * 17]) -> Scales {
    let scales: [f32; 16] = std::array::from_fn(|j| unpack::Mxfp4::scale(bytes[j / 2 * 17]));
    Scales {
        scale: load_floats(&scales, 0),
        min: _mm512_setzero_ps(),
    }
}

/// The half-precision number at `at`, sixteen times.
#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn half(bytes: &[u8], at: usize) -> __m512 {
    let bits = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    _mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(bits.into())))
}

/// Sixteen small whole numbers times `d`.
#[inline]
#[target_feature(enable = "avx512f")]
fn times(d: __m512, q: __m128i) -> __m512 {
    _mm512_mul_ps(d, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)))
}

#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn q2_k_scales(block: &[u8; 84]) -> Scales {
    let (bytes, low) = (load_128(block, 0), _mm_set1_epi8(15));
    let high = _mm_and_si128(_mm_srli_epi16::<4>(bytes), low);
    Scales {
        scale: times(half(block, 80), _mm_and_si128(bytes, low)),
        min: times(half(block, 82), high),
    }
}

#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn q3_k_scales(block: &[u8; 110]) -> Scales {
    let scales = unpack::q3_scales(&block[96..108]).map(|scale| scale as u8);
    Scales {
        scale: times(half(block, 108), load_128(&scales, 0)),
        min: _mm512_setzero_ps(),
    }
}

/// Scales of Q4_K and Q5_K.
#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn k_scales<const BYTES: usize>(block: &[u8; BYTES]) -> Scales {
    let mut bytes = [0; 12];
    bytes.copy_from_slice(&block[4..16]);
    let (scales, mins) = unpack::scales_and_mins(&bytes);
    let doubled = |bytes| {
        let bytes = _mm_cvtsi64_si128(i64::from_le_bytes(bytes));
        _mm_unpacklo_epi8(bytes, bytes)
    };
    Scales {
        scale: times(half(block, 0), doubled(scales)),
        min: times(half(block, 2), doubled(mins)),
    }
}

#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn q6_k_scales(block: &[u8; 210]) -> Scales {
    Scales {
        scale: times(half(block, 208), load_128(block, 192)),
        min: _mm512_setzero_ps(),
    }
}

#[inline]
#[target_feature(enable = "avx512f,f16c")]
fn iq4_xs_scales(block: &[u8; 136]) -> Scales {
    let scales = unpack::Iq4Xs::scales(block).map(|scale| scale as u8);
    let scales = _mm_cvtsi64_si128(i64::from_le_bytes(scales));
    Scales {
        scale: times(half(block, 0), _mm_unpacklo_epi8(scales, scales)),
        min: _mm512_setzero_ps(),
    }
}

/// The 32 bytes at `at` twice, moved down by `count` bits and then by `step` more, and masked.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn runs(bytes: &[u8], at: usize, count: usize, step: i16, mask: i8) -> __m512i {
    let both = _mm512_broadcast_i64x4(load_256(bytes, at));
    let counts = join(_mm256_setzero_si256(), _mm256_set1_epi16(step));
    let counts = _mm512_add_epi16(counts, _mm512_set1_epi16(count as i16));
    _mm512_and_si512(_mm512_srlv_epi16(both, counts), _mm512_set1_epi8(mask))
}

/// Bit `bit` of each of the 32 bytes at `at`, then the next bit of each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn bits(bytes: &[u8], at: usize, bit: usize) -> u64 {
    let both = _mm512_broadcast_i64x4(load_256(bytes, at));
    let (first, second) = (
        _mm256_set1_epi8(1 << bit),
        _mm256_set1_epi8((2 << bit) as u8 as i8),
    );
    _mm512_test_epi8_mask(both, join(first, second))
}

/// Numbers of two bits: of each 32 bytes from `at`, first the lowest two, then the next.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn q2(block: &[u8], at: usize, i: usize) -> __m512i {
    runs(block, at + i / 2 * 32, i % 2 * 4, 2, 3)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn q3_k(block: &[u8; 110], i: usize) -> __m512i {
    raise(q2(block, 32, i), bits(block, 0, 2 * i), 4)
}

/// Numbers of four bits: of each 32 bytes from `at`, first the low halves, then the high ones.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn q4(block: &[u8], at: usize, i: usize) -> __m512i {
    runs(block, at + 32 * i, 0, 4, 15)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn q5_k(block: &[u8; 176], i: usize) -> __m512i {
    raise(q4(block, 48, i), bits(block, 16, 2 * i), 16)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn q6_k(block: &[u8; 210], i: usize) -> __m512i {
    let (half, upper) = (i / 2, i % 2);
    let low = load(block, half * 64);
    let low = if upper == 1 {
        _mm512_srli_epi16::<4>(low)
    } else {
        low
    };
    let low = _mm512_and_si512(low, _mm512_set1_epi8(15));
    let high = runs(block, 128 + half * 32, upper * 4, 2, 3);
    _mm512_or_si512(low, _mm512_slli_epi16::<4>(high))
}

/// Plain numbers of `SIZE` bytes, which `widen` takes sixteen of.
#[target_feature(enable = "avx512f")]
fn float<const SIZE: usize>(job: &mut Job, widen: impl Fn(&[u8]) -> __m512) {
    for (row, out) in job.weights.chunks_exact(job.row_bytes).zip(&mut *job.out) {
        let mut sums = [_mm512_setzero_ps(); 4];
        let mut pairs = row
            .chunks_exact(64 * SIZE)
            .zip(job.vector.x.chunks_exact(64));
        for (w, x) in &mut pairs {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = _mm512_fmadd_ps(widen(&w[16 * SIZE * i..]), load_floats(x, 16 * i), *sum);
            }
        }
        // The rest is padded with zeros.
        let done = job.vector.x.len() / 64 * 64;
        let (mut w, mut x) = ([0; 64 * 4], [0.0; 64]);
        w[..row.len() - done * SIZE].copy_from_slice(&row[done * SIZE..]);
        x[..job.vector.x.len() - done].copy_from_slice(&job.vector.x[done..]);
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = _mm512_fmadd_ps(widen(&w[16 * SIZE * i..]), load_floats(&x, 16 * i), *sum);
        }
        let [a, b, c, d] = sums;
        *out = _mm512_reduce_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)));
    }
}
