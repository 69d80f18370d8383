//! Small models: those of the engine's tests, and one with a vocabulary and random weights.

use std::path::{Path, PathBuf};

use aienv_engine::gguf::{File, TensorType, Writer};

use super::support::World;

/// The context of [`speaking`]'s models.
pub const CONTEXT: usize = 256;

/// A file of the engine's tests.
pub fn of_engine(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("engine/tests")
        .join(path);
    assert!(path.exists(), "{}", path.display());
    path.to_string_lossy().into_owned()
}

/// A model without a tokenizer.
pub fn mute(name: &str) -> String {
    of_engine(&format!("data/architectures/{name}.gguf"))
}

/// A vocabulary without weights.
pub fn vocabulary(name: &str) -> String {
    of_engine(&format!("vocabularies/{name}.gguf"))
}

/// Writes a llama model with the vocabulary `bpe-llama-bpe` and random weights of 16 bits, the same
/// every time. It speaks nonsense.
pub fn speaking(world: &World) -> String {
    let path = world.work().join("speaking.gguf");
    write(&path, |writer| writer);
    path.to_string_lossy().into_owned()
}

/// The same with a change made to what is written, called by another name.
pub fn changed(world: &World, name: &str, change: impl FnOnce(Writer) -> Writer) -> String {
    let path: PathBuf = world.work().join(name);
    write(&path, change);
    path.to_string_lossy().into_owned()
}

fn write(path: &Path, change: impl FnOnce(Writer) -> Writer) {
    const WIDTH: u64 = 256;
    let vocabulary = File::open(vocabulary("bpe-llama-bpe")).unwrap();
    let tokens = vocabulary.metadata().strings("tokenizer.ggml.tokens");
    let tokens = tokens.unwrap().unwrap().len() as u64;
    let mut writer = Writer::new(vocabulary.metadata().clone());
    for (key, value) in [
        ("context_length", CONTEXT as u32),
        ("embedding_length", WIDTH as u32),
        ("block_count", 1),
        ("feed_forward_length", WIDTH as u32),
        ("attention.head_count", 4),
        ("attention.head_count_kv", 2),
    ] {
        writer.metadata.insert(format!("llama.{key}"), value);
    }
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    writer.metadata.insert(epsilon, 1e-5f32);
    writer.metadata.insert("llama.rope.freq_base", 10_000f32);
    for (name, rows) in [
        ("token_embd", tokens),
        ("blk.0.attn_q", WIDTH),
        ("blk.0.attn_k", WIDTH / 2),
        ("blk.0.attn_v", WIDTH / 2),
        ("blk.0.attn_output", WIDTH),
        ("blk.0.ffn_gate", WIDTH),
        ("blk.0.ffn_up", WIDTH),
        ("blk.0.ffn_down", WIDTH),
        ("output", tokens),
    ] {
        let name = format!("{name}.weight");
        writer
            .declare(&name, &[WIDTH, rows], TensorType::F16)
            .unwrap();
    }
    for name in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"] {
        let name = format!("{name}.weight");
        writer.declare(&name, &[WIDTH], TensorType::F32).unwrap();
    }
    let mut body = change(writer)
        .begin(std::fs::File::create(path).unwrap())
        .unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    while let Some(tensor) = body.next().cloned() {
        let mut bytes = Vec::new();
        for _ in 0..tensor.elements() {
            match tensor.ty {
                // Between 1/16 and 1/8 and their negatives: about what trained matrices have.
                TensorType::F16 => {
                    let bits = 0x2c00 | random.u16(..0x0400) | random.u16(..2) << 15;
                    bytes.extend_from_slice(&bits.to_le_bytes());
                }
                _ => bytes.extend_from_slice(&1f32.to_le_bytes()),
            }
        }
        body.append(&bytes).unwrap();
    }
    body.finish().unwrap();
}

/// Little-endian numbers of a file.
pub fn numbers(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).unwrap();
    assert!(bytes.len().is_multiple_of(4));
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect()
}

/// Mean squared error over the mean square of what was wanted.
pub fn error(got: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(got.len(), wanted.len());
    let square = |x: f64| x * x;
    let pairs = got.iter().zip(wanted);
    let error: f64 = pairs
        .map(|(&a, &b)| square(f64::from(a) - f64::from(b)))
        .sum();
    error / wanted.iter().map(|&b| square(b.into())).sum::<f64>()
}
