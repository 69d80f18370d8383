//! Rows of weights times vectors.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use super::Activations;
use super::activations::Vector;
use crate::gguf::TensorType;

/// Rows that go together through a vector, so that what is loaded of it serves them all.
const MAX_ROWS: usize = 4;
/// Bytes of weights that are expected to stay in a second-level cache.
const CACHED: usize = 256 << 10;

/// What products are computed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kernels {
    /// Code for every processor.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, VL) and its instructions for whole numbers (VNNI).
    Avx512Vnni,
    /// 64-bit ARM.
    Neon,
    /// 64-bit ARM with instructions for sums of products of bytes.
    NeonDot,
}

impl Kernels {
    /// All kernels that this processor can run; the last is the fastest.
    pub fn available() -> &'static [Kernels] {
        static AVAILABLE: OnceLock<Vec<Kernels>> = OnceLock::new();
        AVAILABLE.get_or_init(detect)
    }

    /// The fastest kernels for this processor.
    pub fn best() -> Kernels {
        Kernels::available()
            .last()
            .copied()
            .unwrap_or(Kernels::Portable)
    }
}

fn detect() -> Vec<Kernels> {
    #[allow(unused_mut)]
    let mut available = vec![Kernels::Portable];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
    {
        available.push(Kernels::Avx2);
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni")
        {
            available.push(Kernels::Avx512Vnni);
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        available.push(Kernels::Neon);
        if std::arch::is_aarch64_feature_detected!("dotprod") {
            available.push(Kernels::NeonDot);
        }
    }
    available
}

/// Rows to be multiplied by one vector.
struct Job<'a> {
    weights: &'a [u8],
    row_bytes: usize,
    vector: Vector<'a>,
    /// One for each row.
    out: &'a mut [f32],
}

/// Multiplies rows of weights by vectors: `out[v * rows + r]` becomes the product of row `r` and
/// vector `v`.
///
/// `weights` are whole rows of `ty` as they lie in a file, each as long as the vectors. A result
/// depends on its row and its vector alone, not on which others are computed in the same call, so
/// that work can be divided among threads in any way.
///
/// # Panics
/// The lengths of `weights`, `vectors` and `out` do not go together: a mistake of the caller, who
/// must have compared the tensor's shape with the model's.
pub fn multiply(ty: TensorType, weights: &[u8], vectors: &Activations, out: &mut [f32]) {
    multiply_with(Kernels::best(), ty, weights, vectors, out);
}

/// As [`multiply`], with kernels of one's choice: for tests and measurements.
///
/// # Panics
/// As [`multiply`], and if the processor cannot run the kernels.
pub fn multiply_with(
    kernels: Kernels,
    ty: TensorType,
    weights: &[u8],
    vectors: &Activations,
    out: &mut [f32],
) {
    let (len, count) = (vectors.vector_len(), vectors.count());
    assert!(count > 0 && len.is_multiple_of(ty.block_len()));
    let row_bytes = ty.row_bytes(len);
    let rows = weights.len() / row_bytes;
    assert!(weights.len() == rows * row_bytes && out.len() == rows * count);
    assert!(Kernels::available().contains(&kernels));
    if rows == 0 {
        return;
    }
    // So many rows that they stay in the cache while all vectors pass.
    let at_once = (CACHED / row_bytes)
        .next_multiple_of(MAX_ROWS)
        .max(MAX_ROWS);
    for (i, weights) in weights.chunks(row_bytes * at_once).enumerate() {
        for v in 0..count {
            let out = &mut out[v * rows + i * at_once..][..weights.len() / row_bytes];
            let vector = vectors.vector(v);
            let job = Job {
                weights,
                row_bytes,
                vector,
                out,
            };
            run(kernels, ty, job);
        }
    }
}

fn run(kernels: Kernels, ty: TensorType, mut job: Job) {
    let done = match kernels {
        Kernels::Portable => false,
        // SAFETY: the caller has made sure that the kernels are among the available ones, and so
        // that the processor has the features that the function is compiled for.
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx2 => unsafe { avx2::multiply(ty, &mut job) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Kernels::Avx512Vnni => unsafe { avx512::multiply(ty, &mut job) },
        // SAFETY: every 64-bit ARM processor has what these need.
        #[cfg(target_arch = "aarch64")]
        Kernels::Neon => unsafe { neon::multiply::<false>(ty, &mut job) },
        // SAFETY: the caller has made sure that these are available, that is, that the processor
        // has the instructions.
        #[cfg(target_arch = "aarch64")]
        Kernels::NeonDot => unsafe { neon::multiply::<true>(ty, &mut job) },
        // Never available on other processors.
        #[allow(unreachable_patterns)]
        _ => false,
    };
    if !done {
        portable::multiply(ty, &mut job);
    }
}

/// The last blocks of a row, fewer than a super-block, with zero bytes after them. Zero bytes are a
/// block of some finite numbers in every type, and are multiplied by zeros.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn padded_rest<const BYTES: usize>(row: &[u8], index: usize) -> [u8; BYTES] {
    let mut padded = [0; BYTES];
    let rest = &row[(index * BYTES).min(row.len())..];
    padded[..rest.len()].copy_from_slice(rest);
    padded
}
