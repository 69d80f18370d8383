//! From blocks to 32-bit floating point.

use half::{bf16, f16};

use super::unpack::{Format, Unpacked, with_format};
use crate::gguf::TensorType;

/// Turns whole blocks into numbers.
///
/// # Panics
/// `blocks` and `out` do not have the same number of whole blocks: a mistake of the caller, since
/// the reader of files makes sure that every tensor is whole rows of whole blocks.
pub fn dequantize(ty: TensorType, blocks: &[u8], out: &mut [f32]) {
    assert!(
        out.len().is_multiple_of(ty.block_len()) && blocks.len() == ty.row_bytes(out.len()),
        "{} bytes of {ty} are not {} numbers",
        blocks.len(),
        out.len()
    );
    with_format!(ty, F => quantised::<F>(blocks, out), _ => match ty {
        TensorType::F32 => each(blocks, out, f32::from_le_bytes),
        TensorType::F16 => each(blocks, out, |bytes| f16::from_le_bytes(bytes).to_f32()),
        TensorType::BF16 => each(blocks, out, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        TensorType::F64 => each(blocks, out, |bytes| f64::from_le_bytes(bytes) as f32),
        TensorType::I8 => each(blocks, out, |bytes| i8::from_le_bytes(bytes).into()),
        TensorType::I16 => each(blocks, out, |bytes| i16::from_le_bytes(bytes).into()),
        TensorType::I32 => each(blocks, out, |bytes| i32::from_le_bytes(bytes) as f32),
        TensorType::I64 => each(blocks, out, |bytes| i64::from_le_bytes(bytes) as f32),
        quantised => unreachable!("{quantised} has a format"),
    })
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], convert: impl Fn([u8; N]) -> f32) {
    let (bytes, _) = bytes.as_chunks::<N>();
    for (out, &bytes) in out.iter_mut().zip(bytes) {
        *out = convert(bytes);
    }
}

fn quantised<F: Format>(blocks: &[u8], out: &mut [f32]) {
    let mut unpacked = Unpacked::new();
    let (len, bytes) = (F::TYPE.block_len(), F::TYPE.block_bytes());
    for (block, out) in blocks.chunks_exact(bytes).zip(out.chunks_exact_mut(len)) {
        F::unpack(block, &mut unpacked);
        let subs = out.chunks_exact_mut(F::SUB);
        for (j, (out, q)) in subs.zip(unpacked.q.chunks_exact(F::SUB)).enumerate() {
            let (scale, min) = (unpacked.scale[j], unpacked.min[j]);
            for (out, &q) in out.iter_mut().zip(q) {
                *out = if F::MINS {
                    scale * f32::from(q) - min
                } else {
                    scale * f32::from(q)
                };
            }
        }
    }
}
