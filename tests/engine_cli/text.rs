//! Text to ids and back.

use serde_json::Value;

use super::model::{mute, of_engine, vocabulary};
use super::support::World;

#[test]
fn texts_become_the_ids_they_should_and_texts_again() {
    let world = World::new();
    for name in ["bpe-llama-bpe", "bpe-gpt-2", "spm", "unigram", "wordpiece"] {
        let rows = std::fs::read(of_engine(&format!("vocabularies/{name}.ids.json"))).unwrap();
        let rows: Vec<(String, Vec<u32>, Vec<u32>)> = serde_json::from_slice(&rows).unwrap();
        let vocabulary = vocabulary(name);
        for (i, (text, plain, special)) in rows.iter().take(12).enumerate() {
            let file = world.write("text.txt", text);
            let file = file.to_str().unwrap();
            let args = ["gguf", "tokenize", &vocabulary, "--file", file, "--json"];
            let ids = |run: Value| serde_json::from_value::<Vec<u32>>(run["ids"].clone()).unwrap();
            let got = ids(world.aienv(&args).ok().json());
            assert_eq!(&got, special, "{name}: {text:?}");
            let args = [&args[..], &["--no-special"]].concat();
            let got = ids(world.aienv(&args).ok().json());
            assert_eq!(&got, plain, "{name}: {text:?}");
            // What was lost in encoding (unknown characters, case, spaces) does not come back.
            if plain.is_empty() || !name.starts_with("bpe") || i > 6 {
                continue;
            }
            let ids: Vec<String> = plain.iter().map(u32::to_string).collect();
            let back = world.aienv(&["gguf", "detokenize", &vocabulary, &ids.join(",")]);
            assert_eq!(back.ok().stdout(), text, "{name}");
        }
    }
}

#[test]
fn ids_are_printed_as_other_commands_take_them() {
    let world = World::new();
    let vocabulary = vocabulary("bpe-llama-bpe");
    let run = world.aienv(&["gguf", "tokenize", &vocabulary, "the local models"]);
    let ids = run.ok().stdout().trim().to_owned();
    let plain = world.aienv(&["gguf", "detokenize", &vocabulary, &ids, "--no-special"]);
    assert_eq!(plain.ok().stdout(), "the local models");
    let all = world.aienv(&["gguf", "detokenize", &vocabulary, &ids, "--json"]);
    let all = all.ok().json()["text"].as_str().unwrap().to_owned();
    assert!(all.ends_with("the local models") && all.len() > 16, "{all}");
}

#[test]
fn what_is_no_text_or_id_is_refused() {
    let world = World::new();
    let vocabulary = vocabulary("spm");
    let detokenize = |ids| world.aienv(&["gguf", "detokenize", &vocabulary, ids]);
    detokenize("1,999999").fails(2).names("no token 999999");
    detokenize("1,two").fails(2).names("`two` is no token id");
    detokenize("").fails(2).names("no token id is given");
    let file = world.write("latin.txt", b"caf\xe9");
    let file = file.to_str().unwrap();
    world
        .aienv(&["gguf", "tokenize", &vocabulary, "--file", file])
        .fails(1)
        .names("not UTF-8");
    world
        .aienv(&["gguf", "tokenize", &vocabulary, "--file", "missing.txt"])
        .fails(1)
        .names("missing.txt");
    world
        .aienv(&["gguf", "tokenize", &mute("llama"), "text"])
        .fails(1)
        .names("tokenizer.ggml.model");
}
