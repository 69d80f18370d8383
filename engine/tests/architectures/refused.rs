//! Models and batches that must be refused, each with a message that helps.

use std::path::Path;
use std::sync::Arc;

use aienv_engine::gguf::{File, Metadata, TensorType, Value, Writer};
use aienv_engine::model::{Batch, BatchToken, Config, Context, ContextOptions, Model, SEQUENCES};
use aienv_engine::ops::{KvType, Products};
use aienv_engine::threads::Pool;
use proptest::prelude::*;

use crate::case::{Case, folder};

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(Path::new(name).with_extension("gguf"))).unwrap()
}

/// The file with every `from` made `to`, which is as long.
fn changed(name: &str, from: &str, to: &str) -> String {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes(name);
    let places: Vec<usize> = (0..bytes.len() - from.len())
        .filter(|&at| bytes[at..].starts_with(from.as_bytes()))
        .collect();
    assert!(!places.is_empty(), "{from} is not in the file");
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    let file = File::from_bytes(bytes).unwrap();
    Model::load(file).unwrap_err().to_string()
}

/// The metadata of a model with one value changed, or taken away.
fn config(name: &str, key: &str, value: Option<Value>) -> Result<Config, String> {
    let file = File::from_bytes(bytes(name)).unwrap();
    let pairs = file.metadata().iter();
    let mut metadata: Metadata = pairs
        .filter(|(k, _)| *k != key)
        .map(|(k, v)| (k.to_owned(), v.clone()))
        .collect();
    if let Some(value) = value {
        metadata.insert(key, value);
    }
    Config::from_metadata(&metadata).map_err(|error| error.to_string())
}

#[test]
fn unknown_architectures() {
    let error = config("llama", "general.architecture", Some("mamba".into())).unwrap_err();
    assert!(
        error.contains("`mamba`") && error.contains("llama, qwen2"),
        "{error}"
    );
    assert!(error.contains("gpt-oss"), "{error}");
    let error = config("llama", "general.architecture", None).unwrap_err();
    assert!(error.contains("general.architecture"), "{error}");
}

#[test]
fn metadata_that_cannot_be() {
    for (name, key, value, says) in [
        ("llama", "llama.block_count", None, "llama.block_count"),
        (
            "llama",
            "llama.block_count",
            Some(Value::U32(0)),
            "must be 1 to",
        ),
        (
            "llama",
            "llama.block_count",
            Some(Value::U64(1 << 40)),
            "at most",
        ),
        (
            "llama",
            "llama.block_count",
            Some("two".into()),
            "must be a whole number",
        ),
        (
            "llama",
            "llama.embedding_length",
            Some(Value::U64(u64::MAX)),
            "at most",
        ),
        (
            "llama",
            "llama.attention.head_count",
            Some(Value::U32(0)),
            "heads",
        ),
        (
            "llama",
            "llama.attention.head_count",
            Some(vec![4u32].into()),
            "2 layers",
        ),
        (
            "llama",
            "llama.attention.head_count_kv",
            Some(Value::U32(3)),
            "divisor",
        ),
        (
            "llama",
            "llama.attention.layer_norm_rms_epsilon",
            None,
            "epsilon",
        ),
        (
            "llama",
            "llama.attention.layer_norm_rms_epsilon",
            Some(Value::F32(-1e-5)),
            "0 or more",
        ),
        (
            "llama",
            "llama.attention.key_length",
            Some(Value::U32(0)),
            "at least 1",
        ),
        (
            "llama",
            "llama.rope.dimension_count",
            Some(Value::U32(18)),
            "even number",
        ),
        (
            "llama",
            "llama.rope.dimension_count",
            Some(Value::U32(7)),
            "even number",
        ),
        (
            "llama",
            "llama.rope.freq_base",
            Some(Value::F32(f32::NAN)),
            "finite",
        ),
        (
            "llama",
            "llama.rope.freq_base",
            Some(Value::F32(-1.0)),
            "greater than 1",
        ),
        (
            "llama",
            "llama.rope.scaling.type",
            Some("dynamic".into()),
            "`dynamic`",
        ),
        ("llama", "llama.vocab_size", None, "vocab_size"),
        (
            "mixtral",
            "llama.expert_used_count",
            Some(Value::U32(5)),
            "at most 4",
        ),
        (
            "dots1",
            "dots1.expert_gating_func",
            Some(Value::U32(3)),
            "function 3",
        ),
        (
            "glm4moe",
            "glm4moe.nextn_predict_layers",
            Some(Value::U32(2)),
            "less than the 2 layers",
        ),
        (
            "deepseek3",
            "deepseek2.attention.kv_lora_rank",
            None,
            "kv_lora_rank",
        ),
        (
            "deepseek3",
            "deepseek2.attention.key_length",
            Some(Value::U32(48)),
            "40 with a short vector of 32",
        ),
        (
            "deepseek3",
            "deepseek2.attention.head_count_kv",
            Some(Value::U32(4)),
            "that all heads share",
        ),
        (
            "deepseek3",
            "deepseek2.expert_group_count",
            Some(Value::U32(3)),
            "divisor of the 4 experts",
        ),
        (
            "deepseek3",
            "deepseek2.expert_group_count",
            Some(Value::U32(4)),
            "enough for 2 experts",
        ),
        ("gpt-oss", "gpt-oss.expert_count", None, "expert_count"),
        (
            "bert",
            "tokenizer.ggml.token_type_count",
            None,
            "token_type_count",
        ),
        ("bert", "bert.pooling_type", Some(Value::U32(4)), "pooling"),
        (
            "gemma3",
            "gemma3.attention.sliding_window_pattern",
            Some(vec![true].into()),
            "3 layers",
        ),
    ] {
        let error = config(name, key, value.clone()).unwrap_err();
        assert!(error.contains(says), "{key} = {value:?}: {error}");
    }
}

#[test]
fn tensors_that_are_missing_or_too_many() {
    let error = changed("llama", "blk.1.ffn_up.weight", "blk.1.ffn_xx.weight");
    assert!(error.contains("no tensor `blk.1.ffn_up.weight`"), "{error}");
    // Queries that would be normalised, were the architecture another one.
    let error = changed("qwen3", "qwen3", "qwen2");
    assert!(
        error.contains("attn_q_norm") && error.contains("wrong"),
        "{error}"
    );
    let error = changed("gpt-oss", "attn_sinks", "attn_xxxxx");
    assert!(error.contains("blk.0.attn_sinks.weight"), "{error}");
}

#[test]
fn files_without_weights() {
    let file = File::from_bytes(bytes("llama")).unwrap();
    let writer = Writer::new(file.metadata().clone());
    let bytes = writer.begin(Vec::new()).unwrap().finish().unwrap();
    let error = Model::load(File::from_bytes(bytes).unwrap())
        .unwrap_err()
        .to_string();
    assert!(error.contains("vocabulary only"), "{error}");
}

#[test]
fn weights_of_whole_numbers() {
    let error = rewritten(
        "llama",
        |_| {},
        |name, ty| match name {
            "output_norm.weight" => TensorType::I32,
            _ => ty,
        },
    );
    assert!(
        error.contains("`output_norm.weight` is of type I32"),
        "{error}"
    );
}

#[test]
fn shapes_that_contradict_the_metadata() {
    for (key, value, says) in [
        (
            "llama.feed_forward_length",
            96u32,
            "`blk.0.ffn_gate.weight` has the shape [32, 64]",
        ),
        (
            "llama.attention.head_count_kv",
            4,
            "`blk.0.attn_k.weight` has the shape [32, 32]",
        ),
        ("llama.vocab_size", 49, "must have [32, 49]"),
        ("llama.block_count", 3, "no tensor `blk.2."),
        ("llama.block_count", 1, "blk.1."),
        (
            "llama.rope.dimension_count",
            8,
            "`rope_freqs.weight` has the shape [8]",
        ),
    ] {
        let error = with_count("llama", key, value);
        assert!(error.contains(says), "{key} = {value}: {error}");
    }
}

/// Why the model does not load with another count in its metadata.
fn with_count(name: &str, key: &str, value: u32) -> String {
    rewritten(name, |metadata| metadata.insert(key, value), |_, ty| ty)
}

/// Why the model does not load with other metadata or other types of tensors of the same size.
fn rewritten(
    name: &str,
    change: impl Fn(&mut Metadata),
    ty: impl Fn(&str, TensorType) -> TensorType,
) -> String {
    let file = File::from_bytes(bytes(name)).unwrap();
    let mut writer = Writer::new(file.metadata().clone());
    change(&mut writer.metadata);
    for tensor in file.tensors() {
        let ty = ty(&tensor.name, tensor.ty);
        writer.declare(&tensor.name, &tensor.shape, ty).unwrap();
    }
    let mut body = writer.begin(Vec::new()).unwrap();
    for tensor in file.tensors() {
        body.append(file.data(tensor).unwrap()).unwrap();
    }
    let file = File::from_bytes(body.finish().unwrap()).unwrap();
    Model::load(file).unwrap_err().to_string()
}

#[test]
fn batches_that_cannot_be() {
    let case = Case::named("llama");
    let mut context = case.context(2, KvType::F16);
    context.eval(&Batch::all(&[1, 2, 3], 0, 0)).unwrap();
    let token = |token, position, sequence| BatchToken {
        token,
        position,
        sequence,
        output: true,
    };
    for (token, says) in [
        (token(48, 3, 0), "vocabulary has 48"),
        (token(1, 2, 0), "not after"),
        (token(1, 0, SEQUENCES), "no sequence"),
    ] {
        let mut batch = Batch::default();
        batch.push(token);
        let error = context.eval(&batch).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    for (positions, delta) in [(0..u32::MAX, -1), (0..1, 1), (2..3, i64::MAX), (1..2, -1)] {
        assert!(context.shift(0, positions, delta).is_err());
    }
    assert_eq!(context.len(0), 3);
    assert!(context.eval(&Batch::default()).unwrap().is_empty());

    let case = Case::named("bert");
    let mut context = case.context(1, KvType::F16);
    let error = context
        .hidden(&Batch::all(&[1, 2], 0, 63))
        .unwrap_err()
        .to_string();
    assert!(error.contains("64 positions"), "{error}");
}

/// Runs whatever loads. The numbers may be nonsense; nothing may panic.
fn run_if_it_loads(bytes: Vec<u8>) {
    let Ok(file) = File::from_bytes(bytes) else {
        return;
    };
    let Ok(model) = Model::load(file) else {
        return;
    };
    let options = ContextOptions {
        tokens: 8,
        kv: KvType::F16,
        products: Products::Exact,
        memory: Some(1 << 30),
    };
    let pool = Arc::new(Pool::new(1));
    let Ok(mut context) = Context::new(Arc::new(model), pool, &options) else {
        return;
    };
    let batch = Batch::all(&[1, 2, 3], 0, 0);
    if context.eval(&batch).is_ok() {
        let can_move = context.model().config().positions_can_move();
        assert_eq!(context.shift(0, 1..3, 4).is_ok(), can_move);
    } else {
        context.hidden(&batch).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn damaged_models_do_not_panic(
        which in 0usize..100,
        damage in proptest::collection::vec((0.0f64..1.0, any::<u8>(), any::<bool>()), 1..6),
    ) {
        let names: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
        let mut bytes = std::fs::read(&names[which % names.len()]).unwrap();
        // What describes the model lies before its first tensor; results stand in the middle of it.
        let last = b".weight";
        let head = (0..bytes.len() - 7).rfind(|&at| bytes[at..].starts_with(last)).unwrap() + 40;
        for (place, value, small) in damage {
            let at = (place * head as f64) as usize;
            bytes[at] = if small { bytes[at].wrapping_add(value % 3) } else { value };
        }
        run_if_it_loads(bytes);
    }

    /// Numbers of the configuration, where most damage is done.
    #[test]
    fn odd_numbers_do_not_panic(
        which in 0usize..100,
        key in 0usize..100,
        value in prop_oneof![any::<u32>(), 0u32..70, (0u32..32).prop_map(|b| 1 << b)],
    ) {
        let names: Vec<_> = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path()).collect();
        let mut bytes = std::fs::read(&names[which % names.len()]).unwrap();
        let file = File::from_bytes(bytes.clone()).unwrap();
        let keys: Vec<&str> = file
            .metadata()
            .iter()
            .filter(|(key, value)| {
                matches!(value, Value::U32(_) | Value::F32(_)) && !key.starts_with("test.")
            })
            .map(|(key, _)| key)
            .collect();
        let key = keys[key % keys.len()].as_bytes();
        let at = (0..bytes.len()).find(|&at| bytes[at..].starts_with(key)).unwrap();
        let at = at + key.len() + 4;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        run_if_it_loads(bytes);
    }
}
