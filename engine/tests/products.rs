//! Products of weights and vectors, against dequantised weights and exact arithmetic.

use aienv_engine::gguf::{File, TensorType};
use aienv_engine::quant::{Activations, dequantize, multiply};
use proptest::prelude::*;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/types.gguf");

/// Numbers between -1 and 1 that are the same in every run.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(step).collect()
}

#[test]
fn products_of_every_type_are_near_the_exact_ones() {
    let file = File::open(VECTORS).unwrap();
    for tensor in file
        .tensors()
        .iter()
        .filter(|t| t.name.ends_with(".blocks"))
    {
        let (ty, len, rows) = (tensor.ty, tensor.row_len(), tensor.rows());
        let weights = file.data(tensor).unwrap();
        let mut values = vec![0.0; len * rows];
        dequantize(ty, weights, &mut values);
        let x = numbers(3 * len);
        let mut vectors = Activations::new();
        vectors.set(&x, len);
        let mut out = vec![f32::NAN; 3 * rows];
        multiply(ty, weights, &vectors, &mut out);
        for (i, &product) in out.iter().enumerate() {
            let row = &values[i % rows * len..][..len];
            let x = &x[i / rows * len..][..len];
            let pairs = || {
                row.iter()
                    .zip(x)
                    .map(|(&w, &x)| (f64::from(w), f64::from(x)))
            };
            let exact: f64 = pairs().map(|(w, x)| w * x).sum();
            // Each number of a vector is off by up to half a step of 1/127 of the largest.
            let bound = match ty {
                TensorType::F32 | TensorType::F16 | TensorType::BF16 => 1e-5,
                _ => 0.5 / 127.0,
            } * pairs().map(|(w, _)| w.abs()).sum::<f64>();
            let error = (f64::from(product) - exact).abs();
            assert!(
                error <= bound,
                "{ty} {i}: {product} is not {exact} within {bound}"
            );
        }
    }
}

proptest! {
    #[test]
    fn no_blocks_do_harm(bytes in prop::collection::vec(any::<u8>(), 1024)) {
        for &ty in TensorType::ALL {
            let blocks = bytes.len() / ty.block_bytes();
            let weights = &bytes[..blocks * ty.block_bytes()];
            let mut values = vec![0.0; blocks * ty.block_len()];
            dequantize(ty, weights, &mut values);
            let mut vectors = Activations::new();
            vectors.set(&values, values.len());
            multiply(ty, weights, &vectors, &mut [0.0]);
        }
    }
}
