//! Every tensor type and metadata type, in a file that another implementation wrote.

use aienv_engine::gguf::{Array, File, TensorType, Value};
use aienv_engine::quant::dequantize;

/// Written by `vectors.py` with the `gguf` package of the Python package index: for each type
/// random blocks, and what they mean.
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/types.gguf");

/// What the vectors hold: the types that models are made of.
const TYPES: [TensorType; 25] = [
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
    TensorType::IQ1_S,
    TensorType::IQ1_M,
    TensorType::IQ2_XXS,
    TensorType::IQ2_XS,
    TensorType::IQ2_S,
    TensorType::IQ3_XXS,
    TensorType::IQ3_S,
    TensorType::IQ4_NL,
    TensorType::IQ4_XS,
    TensorType::TQ1_0,
    TensorType::TQ2_0,
    TensorType::MXFP4,
];

#[test]
fn every_type_means_what_the_reference_says_to_the_last_bit() {
    let file = File::open(VECTORS).unwrap();
    for ty in TYPES {
        let (tensor, blocks) = file.tensor(&format!("{ty}.blocks")).unwrap();
        let (_, expected) = file.tensor(&format!("{ty}.values")).unwrap();
        assert_eq!(tensor.ty, ty);
        let mut values = vec![0.0; tensor.elements() as usize];
        dequantize(ty, blocks, &mut values);
        for (i, (value, expected)) in values.iter().zip(expected.as_chunks().0).enumerate() {
            let expected = f32::from_le_bytes(*expected);
            assert_eq!(
                value.to_bits(),
                expected.to_bits(),
                "{ty} {i}: {value} {expected}"
            );
        }
    }
}

#[test]
fn a_file_of_another_writer_is_read() {
    let file = File::open(VECTORS).unwrap();
    assert_eq!((file.version(), file.alignment()), (3, 64));
    let metadata = file.metadata();
    let expected: [(&str, Value); 18] = [
        ("general.architecture", "vectors".into()),
        ("general.alignment", 64u32.into()),
        ("number.u8", 200u8.into()),
        ("number.i8", (-100i8).into()),
        ("number.u16", 60_000u16.into()),
        ("number.i16", (-30_000i16).into()),
        ("number.u32", 4_000_000_000u32.into()),
        ("number.i32", (-2_000_000_000i32).into()),
        ("number.u64", ((1u64 << 63) + 1).into()),
        ("number.i64", (-(1i64 << 62)).into()),
        ("number.f32", 0.1f32.into()),
        ("number.f64", 0.1f64.into()),
        ("truth", true.into()),
        ("text", "naïve ☃".into()),
        (
            "array.strings",
            Array::String(["", "a", "ĠĊ"].into_iter().collect()).into(),
        ),
        ("array.i32", vec![1i32, -2, 3].into()),
        ("array.f32", vec![0.5f32, -0.25].into()),
        ("array.bool", vec![true, false].into()),
    ];
    assert_eq!(metadata.len(), expected.len());
    for (key, value) in expected {
        assert_eq!(metadata.get(key), Some(&value), "{key}");
    }
}
