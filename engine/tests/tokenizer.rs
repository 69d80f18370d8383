//! Small vocabularies of every kind (`engine/checks/make_small_vocabularies.py` makes them) against
//! the ids that llama.cpp gives for them, and vocabularies that nobody would make.

use std::path::Path;
use std::sync::Arc;

use aienv_engine::gguf::{File, Metadata, Strings};
use aienv_engine::sample::{Constraints, Grammar};
use aienv_engine::tokenizer::{Decode, Encode, Error, Tokenizer};
use proptest::prelude::*;

const NAMES: &[&str] = &[
    "bpe-gpt-2",
    "bpe-llama-bpe",
    "bpe-tekken",
    "spm",
    "unigram",
    "wordpiece",
];

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vocabularies")
}

fn metadata(name: &str) -> Metadata {
    let file = File::open(folder().join(format!("{name}.gguf"))).expect("it is in the repository");
    file.metadata().clone()
}

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::from_metadata(&metadata(name)).expect("it is sound")
}

fn streamed(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut decoder = tokenizer.decoder(true);
    let mut text: String = ids.iter().map(|&id| decoder.push(id)).collect();
    text.push_str(&decoder.finish());
    text
}

const WHOLE: Decode = Decode {
    special: true,
    clean: false,
};

#[test]
fn ids_are_those_of_the_reference() {
    for name in NAMES {
        let tokenizer = tokenizer(name);
        let rows = std::fs::read(folder().join(format!("{name}.ids.json"))).unwrap();
        let rows: Vec<(String, Vec<u32>, Vec<u32>)> = serde_json::from_slice(&rows).unwrap();
        assert!(rows.len() > 100);
        for (text, ids, special) in rows {
            assert_eq!(
                tokenizer.encode(&text, Encode::TEXT),
                ids,
                "{name}: {text:?}"
            );
            assert_eq!(
                tokenizer.encode(&text, Encode::PROMPT),
                special,
                "{name}: {text:?}"
            );
            assert_eq!(streamed(&tokenizer, &ids), tokenizer.decode(&ids, WHOLE));
        }
    }
}

#[test]
fn a_long_text_without_spaces_takes_no_longer_than_others() {
    for name in NAMES {
        let tokenizer = tokenizer(name);
        for unit in ["a", "ab", "é", "世", "\n", " "] {
            let text = unit.repeat(300_000 / unit.len());
            let ids = tokenizer.encode(&text, Encode::TEXT);
            if name.starts_with("bpe") || *name == "spm" {
                assert_eq!(tokenizer.decode(&ids, WHOLE), text, "{name}");
            }
        }
    }
}

#[test]
fn control_tokens_count_only_where_they_may() {
    let tokenizer = tokenizer("bpe-llama-bpe");
    let id = tokenizer.id("<|im_end|>").unwrap();
    assert!(tokenizer.is_end(id));
    let text = "x<|im_end|>";
    assert!(!tokenizer.encode(text, Encode::TEXT).contains(&id));
    let ids = tokenizer.encode(
        text,
        Encode {
            add_special: false,
            parse_special: true,
        },
    );
    assert_eq!(ids.last(), Some(&id));
    assert_eq!(tokenizer.decode(&ids, Decode::default()), "x");
    assert_eq!(tokenizer.decode(&ids, WHOLE), text);
}

#[test]
fn what_a_file_lacks_is_said() {
    let error = |change: &dyn Fn(&mut Metadata)| {
        let mut metadata = metadata("bpe-gpt-2");
        change(&mut metadata);
        Tokenizer::from_metadata(&metadata).unwrap_err()
    };
    let unknown = error(&|m| m.insert("tokenizer.ggml.pre", "no-such-kind"));
    assert!(matches!(&unknown, Error::Pre(name) if name == "no-such-kind"));
    assert!(unknown.to_string().contains("llama-bpe"));
    let unknown = error(&|m| m.insert("tokenizer.ggml.model", "rwkv"));
    assert!(matches!(unknown, Error::Model(name) if name == "rwkv"));
    let bad = Strings::from_iter(["a b", "ab"]);
    let merge = error(&|m| {
        m.insert(
            "tokenizer.ggml.merges",
            aienv_engine::gguf::Array::String(bad.clone()),
        )
    });
    assert!(matches!(merge, Error::Merge { index: 1, .. }));
    let short = error(&|m| m.insert("tokenizer.ggml.token_type", vec![1i32; 3]));
    assert!(matches!(short, Error::Short { len: 3, .. }));
    let scores = error(&|m| m.insert("tokenizer.ggml.scores", true));
    assert!(matches!(scores, Error::Metadata(_)));
    assert!(matches!(
        Tokenizer::from_metadata(&Metadata::default()),
        Err(Error::Missing("tokenizer.ggml.model"))
    ));
}

#[test]
fn output_follows_a_grammar() {
    for name in ["bpe-llama-bpe", "spm"] {
        let constraints = Constraints::new(Arc::new(tokenizer(name))).unwrap();
        let tokenizer = tokenizer(name);
        let mut digits = constraints
            .start(&Grammar::Regex("[0-9]{2,3}".to_owned()))
            .unwrap();
        let mut text = String::new();
        while !digits.complete() || text.len() < 3 {
            assert!(text.len() < 3);
            digits.prepare().unwrap();
            let ids = 0..tokenizer.len() as u32;
            let id = ids
                .clone()
                .find(|&id| digits.allows(id) && !tokenizer.is_end(id))
                .unwrap();
            assert!(!digits.allows(tokenizer.id("<|im_start|>").unwrap()));
            digits.accept(id).unwrap();
            text.push_str(std::str::from_utf8(tokenizer.piece(id, false)).unwrap());
        }
        assert!(text.bytes().all(|byte| byte.is_ascii_digit()), "{text}");
        digits.prepare().unwrap();
        assert!(digits.allows(tokenizer.special().eos.unwrap()));

        let schema = serde_json::json!({"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": false});
        let mut object = constraints.start(&Grammar::JsonSchema(schema)).unwrap();
        for id in tokenizer.encode("{\"a\": true}", Encode::TEXT) {
            if tokenizer.piece(id, false) == b" " && !object.complete() && name == "spm" {
                continue;
            }
            object.accept(id).unwrap();
        }
        assert!(object.complete());
        assert!(constraints.start(&Grammar::Regex("(".to_owned())).is_err());
        // A schema that nothing satisfies, since it goes round in a circle.
        let circle = Grammar::JsonSchema(serde_json::json!({"$ref": "#"}));
        let error = constraints.start(&circle).unwrap().prepare().unwrap_err();
        let told = error.to_string();
        assert!(!told.contains(['\n', '<']), "{told}");
    }
}

/// Metadata with any values under the keys that matter.
fn arbitrary() -> impl Strategy<Value = Metadata> {
    let model = prop_oneof!["gpt2", "llama", "bert", "t5", "gemma4"];
    let pre = prop_oneof![
        "default",
        "llama-bpe",
        "tekken",
        "deepseek-llm",
        "superbpe",
        "kimi-k2"
    ];
    let token = prop_oneof![
        "[abĠé▁ ]{0,4}",
        "<0x[0-9A-F]{2}>",
        "<\\|[a-c]\\|>",
        Just("</s>".to_owned()),
        Just("<|end|>".to_owned()),
    ];
    (
        model,
        pre,
        prop::collection::vec(token, 1..40),
        prop::collection::vec(-1i32..8, 40),
        prop::collection::vec(prop_oneof![4 => -9f32..9.0, 1 => prop::num::f32::ANY], 40),
        prop::collection::vec("[abĠé▁]{1,2} [abĠé▁]{1,2}", 0..20),
        prop::collection::vec(0u32..50, 4),
        prop::collection::vec(any::<u8>(), 0..64),
        any::<[bool; 4]>(),
    )
        .prop_map(
            |(model, pre, tokens, types, scores, merges, ids, charsmap, flags)| {
                let strings = |list: &[String]| {
                    aienv_engine::gguf::Array::String(list.iter().map(String::as_str).collect())
                };
                let mut metadata = Metadata::default();
                let mut set = |key: &str, value: aienv_engine::gguf::Value| {
                    metadata.insert(format!("tokenizer.ggml.{key}"), value);
                };
                set("model", model.as_str().into());
                set("pre", pre.as_str().into());
                set("tokens", strings(&tokens).into());
                set("merges", strings(&merges).into());
                set("token_type", types.into());
                set("scores", scores.into());
                for (key, id) in ["bos", "eos", "unknown", "seperator"].iter().zip(ids) {
                    set(&format!("{key}_token_id"), id.into());
                }
                set("add_bos_token", flags[0].into());
                set("add_space_prefix", flags[1].into());
                set("remove_extra_whitespaces", flags[2].into());
                if flags[3] {
                    set("precompiled_charsmap", charsmap.into());
                }
                metadata
            },
        )
}

proptest! {
    #[test]
    fn odd_vocabularies_do_no_harm(metadata in arbitrary(), texts in prop::collection::vec("\\PC{0,20}|[ab é▁\n<|>]{0,20}", 4)) {
        if let Ok(tokenizer) = Tokenizer::from_metadata(&metadata) {
            for text in &texts {
                for how in [Encode::TEXT, Encode::PROMPT] {
                    let ids = tokenizer.encode(text, how);
                    prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.len()));
                    prop_assert_eq!(streamed(&tokenizer, &ids), tokenizer.decode(&ids, WHOLE));
                    tokenizer.decode(&ids, Decode { special: false, clean: true });
                }
            }
        }
    }

    #[test]
    fn any_text_survives_byte_level_vocabularies(text in "\\PC{0,60}|[\\x00-\\x7f]{0,60}") {
        for name in ["bpe-gpt-2", "bpe-llama-bpe", "spm"] {
            // What SentencePiece writes for a space is a space afterwards.
            prop_assume!(name != "spm" || !text.contains('▁'));
            let tokenizer = tokenizer(name);
            let ids = tokenizer.encode(&text, Encode::TEXT);
            prop_assert_eq!(tokenizer.decode(&ids, WHOLE), text.as_str());
        }
    }
}
