//! Rows of weights times vectors.

mod portable;

use super::Activations;
use crate::gguf::TensorType;

/// Multiplies rows of weights by vectors: `out[v * rows + r]` becomes the product of row `r` and
/// vector `v`.
///
/// `weights` are whole rows of `ty` as they lie in a file, each as long as the vectors. A result
/// depends on its row and its vector alone, not on which others are computed in the same call.
///
/// # Panics
/// The lengths of `weights`, `vectors` and `out` do not go together: a mistake of the caller, who
/// must have compared the tensor's shape with the model's.
pub fn multiply(ty: TensorType, weights: &[u8], vectors: &Activations, out: &mut [f32]) {
    let (len, count) = (vectors.vector_len(), vectors.count());
    assert!(count > 0 && len.is_multiple_of(ty.block_len()));
    let row_bytes = ty.row_bytes(len);
    let rows = weights.len() / row_bytes;
    assert!(weights.len() == rows * row_bytes && out.len() == rows * count);
    if rows == 0 {
        return;
    }
    for (v, out) in out.chunks_exact_mut(rows).enumerate() {
        portable::multiply(ty, weights, vectors.vector(v), out);
    }
}
