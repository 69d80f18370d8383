//! How much of the numbers survives when they are quantised.

use aienv_engine::gguf::{File, TensorType};
use aienv_engine::quant::{QUANTIZABLE, QuantizeError, dequantize, quantize};
use proptest::prelude::*;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/types.gguf");

fn there_and_back(ty: TensorType, x: &[f32]) -> Vec<f32> {
    let mut blocks = vec![0; ty.row_bytes(x.len())];
    quantize(ty, x, &mut blocks).expect("finite numbers");
    let mut back = vec![0.0; x.len()];
    dequantize(ty, &blocks, &mut back);
    back
}

fn length(x: impl Iterator<Item = f32>) -> f64 {
    x.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// Length of the error, as a part of the length of the numbers.
fn error(x: &[f32], back: &[f32]) -> f64 {
    length(x.iter().zip(back).map(|(x, b)| x - b)) / length(x.iter().copied())
}

#[test]
fn errors_are_not_larger_than_those_of_the_reference() {
    let file = File::open(VECTORS).unwrap();
    let (tensor, bytes) = file.tensor("normal").unwrap();
    let mut normal = vec![0.0; tensor.elements() as usize];
    dequantize(tensor.ty, bytes, &mut normal);
    for ty in [TensorType::Q4_0, TensorType::Q8_0] {
        let (_, blocks) = file.tensor(&format!("{ty}.of_normal")).unwrap();
        let mut reference = vec![0.0; normal.len()];
        dequantize(ty, blocks, &mut reference);
        let ours = error(&normal, &there_and_back(ty, &normal));
        assert!(ours <= error(&normal, &reference), "{ty}: {ours}");
    }
    // What llama.cpp's own quantiser leaves on normally distributed weights: the difference of
    // files with F16 weights and the files it made of them.
    for (ty, reference) in [
        (TensorType::Q4_K, 0.0713),
        (TensorType::Q5_K, 0.0361),
        (TensorType::Q6_K, 0.0177),
        (TensorType::F16, 0.0003),
        (TensorType::BF16, 0.002),
        (TensorType::F32, 0.0),
    ] {
        let ours = error(&normal, &there_and_back(ty, &normal));
        assert!(ours <= reference, "{ty}: {ours}");
    }
}

#[test]
fn what_was_dequantised_is_quantised_without_much_loss() {
    let file = File::open(VECTORS).unwrap();
    for ty in [TensorType::Q8_0, TensorType::Q4_0] {
        let (tensor, blocks) = file.tensor(&format!("{ty}.of_normal")).unwrap();
        let mut x = vec![0.0; tensor.elements() as usize];
        dequantize(ty, blocks, &mut x);
        assert!(error(&x, &there_and_back(ty, &x)) < 1e-3, "{ty}");
    }
}

#[test]
fn what_is_not_finite_is_refused() {
    for ty in QUANTIZABLE {
        let mut x = [1.0; 256];
        x[200] = f32::NAN;
        let mut blocks = vec![0; ty.row_bytes(256)];
        let made = quantize(ty, &x, &mut blocks);
        if ty.block_len() == 1 {
            let mut back = [0.0; 256];
            dequantize(ty, &blocks, &mut back);
            assert!(made.is_ok() && back[200].is_nan() && back[0] == 1.0);
        } else {
            assert_eq!(made, Err(QuantizeError::NotFinite(200)));
        }
    }
    let other = quantize(TensorType::Q2_K, &[0.0; 256], &mut [0; 84]).unwrap_err();
    assert!(
        other
            .to_string()
            .contains("Q2_K cannot be made; possible are F32, F16")
    );
}

/// Numbers of all sizes, or all of one size, with zeros and repetitions.
fn any_numbers() -> impl Strategy<Value = Vec<f32>> {
    let wild = prop_oneof![
        4 => -1.0f32..1.0,
        2 => Just(0.0f32),
        1 => -1e4f32..1e4,
        1 => (-45i32..5, -1.0f32..1.0).prop_map(|(e, x)| x * 10f32.powi(e)),
    ];
    (prop::collection::vec(wild, 256), -6i32..3, any::<bool>()).prop_map(|(x, size, one_sign)| {
        let size = 10f32.powi(size);
        let sign = |x: f32| if one_sign { x.abs() } else { x };
        x.into_iter().map(|x| sign(x) * size).collect()
    })
}

proptest! {
    #[test]
    fn numbers_of_every_size_survive(x in any_numbers()) {
        let largest = x.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        for (ty, share) in [
            (TensorType::Q8_0, 1.0 / 127.0),
            (TensorType::Q4_0, 1.0 / 8.0),
            (TensorType::Q4_K, 1.0 / 15.0),
            (TensorType::Q5_K, 1.0 / 20.0),
            (TensorType::Q6_K, 1.0 / 32.0),
        ] {
            let back = there_and_back(ty, &x);
            prop_assert!(back.iter().all(|x| x.is_finite()), "{}", ty);
            // Scales are half-precision numbers, whose smallest step is 6e-8; what is beyond their
            // largest is cut off.
            let possible = largest < 65504.0 * 8.0;
            let bound = f64::from(largest * share + 128.0 * 6e-8) * 16.0;
            let error = length(x.iter().zip(&back).map(|(x, b)| x - b));
            prop_assert!(!possible || error <= bound, "{}: {} of {}", ty, error, bound);
        }
    }
}
