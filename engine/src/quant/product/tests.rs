//! All kernels against the portable ones.

use proptest::prelude::*;

use super::*;
use crate::quant::unpack::{Format, Unpacked, with_format};

/// How far a kernel's result may be from the portable one, as a part of the sum of the magnitudes
/// of all that is added up: both add the same exact numbers, in different orders.
const TOLERANCE: f64 = 1e-5;

/// Types with a kernel of their own.
const TYPES: [TensorType; 16] = [
    TensorType::F32,
    TensorType::F16,
    TensorType::BF16,
    TensorType::Q4_0,
    TensorType::Q4_1,
    TensorType::Q5_0,
    TensorType::Q5_1,
    TensorType::Q8_0,
    TensorType::Q2_K,
    TensorType::Q3_K,
    TensorType::Q4_K,
    TensorType::Q5_K,
    TensorType::Q6_K,
    TensorType::IQ4_NL,
    TensorType::IQ4_XS,
    TensorType::MXFP4,
];

/// Gives every block scales between 1/2 and 4, of either sign, so that each counts in a result.
fn tame(ty: TensorType, blocks: &mut [u8]) {
    let halves: &[usize] = match ty {
        TensorType::F16 | TensorType::Q4_0 | TensorType::Q5_0 | TensorType::Q8_0 => &[0],
        TensorType::IQ4_NL | TensorType::IQ4_XS => &[0],
        TensorType::Q4_1 | TensorType::Q5_1 | TensorType::Q4_K | TensorType::Q5_K => &[0, 2],
        TensorType::Q2_K => &[80, 82],
        TensorType::Q3_K => &[108],
        TensorType::Q6_K => &[208],
        _ => &[],
    };
    for block in blocks.chunks_exact_mut(ty.block_bytes()) {
        for at in halves {
            block[at + 1] = block[at + 1] & 0x87 | 0x38;
        }
        match ty {
            TensorType::MXFP4 => block[0] = 126 + block[0] % 3,
            // The upper byte of an exponent that is not extreme.
            TensorType::F32 => block[3] = block[3] & 0x80 | 0x3f,
            TensorType::BF16 => block[1] = block[1] & 0x80 | 0x3f,
            _ => {}
        }
    }
}

/// The sum of the magnitudes that make up each product.
fn magnitudes(ty: TensorType, weights: &[u8], vectors: &Activations, rows: usize) -> Vec<f64> {
    let row_bytes = weights.len() / rows;
    let mut all = Vec::new();
    for v in 0..vectors.count() {
        let x = vectors.vector(v).x;
        for row in weights.chunks_exact(row_bytes) {
            let mut sum = 0.0;
            for (block, x) in row
                .chunks_exact(ty.block_bytes())
                .zip(x.chunks(ty.block_len()))
            {
                let parts = |i| magnitude(ty, block, i);
                sum += x
                    .iter()
                    .enumerate()
                    .map(|(i, &x)| f64::from(x).abs() * parts(i))
                    .sum::<f64>();
            }
            all.push(sum);
        }
    }
    all
}

fn magnitude(ty: TensorType, block: &[u8], i: usize) -> f64 {
    let mut unpacked = Unpacked::new();
    with_format!(ty, F => {
        F::unpack(block, &mut unpacked);
        let (scale, min) = (unpacked.scale[i / F::SUB], unpacked.min[i / F::SUB]);
        (f64::from(scale) * f64::from(unpacked.q[i])).abs() + f64::from(min).abs()
    }, _ => {
        let mut value = [0.0];
        crate::quant::dequantize(ty, block, &mut value);
        f64::from(value[0]).abs()
    })
}

/// Compares all kernels with the portable ones, and results of many rows and vectors with those of
/// one.
fn check(ty: TensorType, weights: &[u8], x: &[f32], len: usize) {
    let mut vectors = Activations::new();
    vectors.set(x, len);
    let rows = weights.len() / ty.row_bytes(len);
    let mut expected = vec![f32::NAN; rows * vectors.count()];
    multiply_with(Kernels::Portable, ty, weights, &vectors, &mut expected);
    let magnitudes = magnitudes(ty, weights, &vectors, rows);
    for &kernels in Kernels::available() {
        let mut out = vec![f32::NAN; expected.len()];
        multiply_with(kernels, ty, weights, &vectors, &mut out);
        for ((out, expected), magnitude) in out.iter().zip(&expected).zip(&magnitudes) {
            // Near the end of the range of floats, the order decides what overflows.
            if (1e37..f64::INFINITY).contains(magnitude) {
                continue;
            }
            assert_eq!(out.is_finite(), expected.is_finite(), "{kernels:?} {ty}");
            let error = (f64::from(*out) - f64::from(*expected)).abs();
            assert!(
                !expected.is_finite() || error <= TOLERANCE * magnitude,
                "{kernels:?} {ty}: {out} is not {expected}; magnitude {magnitude}"
            );
        }
        let mut one = Activations::new();
        for (v, x) in x.chunks_exact(len).enumerate() {
            one.set(x, len);
            for (r, row) in weights.chunks_exact(ty.row_bytes(len)).enumerate() {
                let mut alone = [f32::NAN];
                multiply_with(kernels, ty, row, &one, &mut alone);
                assert_eq!(
                    alone[0].to_bits(),
                    out[v * rows + r].to_bits(),
                    "{kernels:?} {ty}"
                );
            }
        }
    }
}

/// Lengths with and without a rest, for every type.
fn lengths(ty: TensorType) -> &'static [usize] {
    match ty.block_len() {
        256 => &[256, 1024],
        32 => &[32, 64, 256, 288, 480, 896],
        _ => &[1, 7, 31, 64, 65, 300],
    }
}

#[test]
fn extreme_blocks_and_vectors_give_the_same_with_all_kernels() {
    for ty in TYPES {
        for &len in lengths(ty) {
            for byte in [0x00, 0xff, 0x80, 0x7f, 0x88, 0x0f] {
                for tamed in [true, false] {
                    let mut weights = vec![byte; 5 * ty.row_bytes(len)];
                    if tamed {
                        tame(ty, &mut weights);
                    }
                    let alternating = |i| if i % 2 == 0 { 1.0 } else { -1.0 };
                    let x: Vec<f32> = [1.0, -1.0]
                        .into_iter()
                        .flat_map(|sign| std::iter::repeat_n(sign, len))
                        .chain((0..len).map(alternating))
                        .collect();
                    check(ty, &weights, &x, len);
                }
            }
        }
    }
}

#[test]
fn this_processor_has_the_kernels_that_it_announces() {
    assert_eq!(Kernels::available()[0], Kernels::Portable);
    #[cfg(target_arch = "x86_64")]
    assert_eq!(
        Kernels::available().contains(&Kernels::Avx2),
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    );
}

/// Bytes that depend on `seed` alone.
fn random(mut seed: u64, count: usize) -> Vec<u8> {
    let next = |_| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 56) as u8
    };
    (0..count).map(next).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_blocks_and_vectors_give_the_same_with_all_kernels(
        seed in any::<u64>(),
        rows in 1usize..9,
        tamed in any::<bool>(),
    ) {
        for ty in TYPES {
            for &len in lengths(ty) {
                let mut weights = random(seed, rows * ty.row_bytes(len));
                if tamed {
                    tame(ty, &mut weights);
                }
                let x: Vec<f32> = random(!seed, 4 * len)
                    .chunks_exact(2)
                    .map(|x| f32::from(i16::from_le_bytes([x[0], x[1]])) / 32768.0)
                    .collect();
                check(ty, &weights, &x, len);
            }
        }
    }
}
