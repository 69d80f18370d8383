//! Model files shown, checked, converted and evaluated.

use std::path::Path;

use aienv_engine::gguf::{Array, File, TensorType, Value, Writer};

use super::model::{changed, error, mute, numbers, speaking, vocabulary};
use super::support::World;

#[test]
fn show_tells_what_a_model_is_and_needs() {
    let world = World::new();
    let show = |file: &str| world.aienv(&["gguf", "show", file]).ok().stdout;
    insta::assert_snapshot!("model", show(&speaking(&world)));
    insta::assert_snapshot!("without_tokenizer", show(&mute("gpt-oss")));
    insta::assert_snapshot!("encoder", show(&mute("bert")));
    insta::assert_snapshot!("vocabulary", show(&vocabulary("spm")));
    let json = world.aienv(&["gguf", "show", &mute("qwen3moe"), "--json"]);
    let json = json.ok().json();
    assert_eq!(json["architecture"], "qwen3moe");
    assert_eq!(json["config"]["experts"]["count"], 4);
    let memory = &json["memory"];
    let part = |name: &str| memory[name].as_u64().unwrap();
    assert_eq!(
        part("total"),
        part("weights") + part("cache") + part("compute")
    );
}

#[test]
fn check_finds_what_is_wrong() {
    let world = World::new();
    let check = |file: &str| world.aienv(&["gguf", "check", file]);
    check(&speaking(&world)).ok();
    check(&vocabulary("unigram")).ok();
    let shape = changed(&world, "shape.gguf", |mut writer| {
        writer.metadata.insert("llama.embedding_length", 128u32);
        writer
    });
    check(&shape)
        .fails(1)
        .prints("model: tensor `token_embd.weight`");
    let template = changed(&world, "template.gguf", |mut writer| {
        let template = "{% for m in messages %}{{ m.content }}";
        writer.metadata.insert("tokenizer.chat_template", template);
        writer
    });
    check(&template).fails(1).prints("template: ");
    let pre = changed(&world, "pre.gguf", |mut writer| {
        writer.metadata.insert("tokenizer.ggml.pre", "of-tomorrow");
        writer
    });
    check(&pre).fails(1).prints("`of-tomorrow`").hints();
    let run = world.aienv(&["gguf", "check", &pre, "--json"]);
    assert_eq!(run.code, Some(1));
    let json = run.json();
    assert_eq!(json["sound"], false);
    assert_eq!(json["findings"][0]["about"], "tokenizer");
    let mut writer = Writer::default();
    writer.declare("numbers", &[4], TensorType::F32).unwrap();
    let mut body = writer.begin(Vec::new()).unwrap();
    for number in [1.0, f32::NAN, f32::INFINITY, 2.0] {
        body.append(&number.to_le_bytes()).unwrap();
    }
    let file = world.write("numbers.gguf", body.finish().unwrap());
    check(file.to_str().unwrap())
        .fails(1)
        .prints("`numbers` has 2 of 4 numbers");
}

/// The ids and results that a file of the engine's tests carries.
pub fn results(path: &str) -> (String, Vec<f32>) {
    let file = File::open(path).unwrap();
    let ids = match file.metadata().get("test.tokens") {
        Some(Value::Array(Array::I32(ids))) => ids.iter().map(i32::to_string).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    match file.metadata().get("test.expected") {
        Some(Value::Array(Array::F32(expected))) => (ids.join(","), expected.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn eval_writes_the_scores_that_other_implementations_give() {
    let world = World::new();
    for name in [
        "llama",
        "gemma3",
        "gpt-oss",
        "qwen2moe",
        "phi3",
        "starcoder2",
    ] {
        let model = mute(name);
        let (ids, expected) = results(&model);
        let args = [
            "gguf", "eval", &model, "--tokens", &ids, "--logits", "out.f32",
        ];
        world.aienv(&[&args[..], &["--cache", "f32"]].concat()).ok();
        let exact = numbers(&world.work().join("out.f32"));
        assert!(error(&exact, &expected) < 1e-11, "{name}");
        world.aienv(&args).ok();
        let half = numbers(&world.work().join("out.f32"));
        assert!(error(&half, &expected) < 2e-6, "{name}");
        world
            .aienv(&[&args[..], &["--products", "quantised"]].concat())
            .ok();
        let quantised = numbers(&world.work().join("out.f32"));
        assert!(error(&quantised, &expected) < 0.01, "{name}");
    }
    let args = [
        "gguf",
        "eval",
        &mute("bert"),
        "--tokens",
        "1,2",
        "--logits",
        "no.f32",
    ];
    world.aienv(&args).fails(1).names("vectors");
    assert!(!world.work().join("no.f32").exists());
}

/// Some tokens of the speaking model's vocabulary.
const TOKENS: &str = "0,361,572,521";

#[test]
fn a_smaller_model_is_written_and_says_nearly_the_same() {
    let world = World::new();
    let model = speaking(&world);
    let scores = |model: &str| {
        let args = [
            "gguf", "eval", model, "--tokens", TOKENS, "--logits", "out.f32",
        ];
        world.aienv(&args).ok();
        numbers(&world.work().join("out.f32"))
    };
    let before = scores(&model);
    // About twice what each type's steps cost with these weights.
    for (ty, worst) in [
        ("q8_0", 3e-4),
        ("Q6_K", 3e-3),
        ("Q4_K", 0.05),
        ("Q4_0", 0.05),
        ("BF16", 1e-4),
    ] {
        let out = format!("{ty}.gguf");
        world
            .aienv(&["gguf", "quantize", &model, &out, "--type", ty])
            .ok();
        world.aienv(&["gguf", "check", &out]).ok();
        let off = error(&scores(&out), &before);
        assert!(off > 0.0 && off < worst, "{ty}: {off}");
    }
    // Keys and values in blocks cost as little.
    let args = ["gguf", "eval", &model, "--tokens", TOKENS, "--logits"];
    let blocks = ["out.f32", "--cache", "q8_0"];
    world.aienv(&[&args[..], &blocks].concat()).ok();
    let off = error(&numbers(&world.work().join("out.f32")), &before);
    assert!(off > 0.0 && off < 4e-4, "q8_0 cache: {off}");
    let json = world
        .aienv(&["gguf", "show", "Q4_K.gguf", "--json"])
        .ok()
        .json();
    let types = json["types"].as_array().unwrap().iter();
    let types: Vec<(&str, u64)> = types
        .map(|share| {
            (
                share["type"].as_str().unwrap(),
                share["tensors"].as_u64().unwrap(),
            )
        })
        .collect();
    // The scores' matrix gets more bits, norms stay.
    assert_eq!(types, [("Q4_K", 8), ("Q6_K", 1), ("F32", 3)]);
    // The number of threads changes no byte.
    let args = [
        "gguf",
        "quantize",
        &model,
        "one.gguf",
        "--type",
        "Q4_K",
        "--threads",
        "1",
    ];
    world.aienv(&args).ok();
    let bytes = |name: &str| std::fs::read(world.work().join(name)).unwrap();
    assert_eq!(bytes("one.gguf"), bytes("Q4_K.gguf"));
}

#[test]
fn quantize_overwrites_only_when_told_and_leaves_nothing_behind() {
    let world = World::new();
    let model = speaking(&world);
    let there = world.write("there.gguf", "precious");
    let args = ["gguf", "quantize", &model, "there.gguf", "--type", "Q8_0"];
    world.aienv(&args).fails(1).names("there already").hints();
    assert_eq!(std::fs::read(&there).unwrap(), b"precious");
    world.aienv(&[&args[..], &["--force"]].concat()).ok();
    File::open(&there).unwrap();
    world
        .aienv(&["gguf", "quantize", &model, "x.gguf", "--type", "IQ2_XXS"])
        .fails(2)
        .names("cannot be made; possible are");
    world
        .aienv(&[
            "gguf",
            "quantize",
            &vocabulary("spm"),
            "x.gguf",
            "--type",
            "Q8_0",
        ])
        .fails(1)
        .names("no weights");
    world
        .aienv(&[
            "gguf",
            "quantize",
            &model,
            "no/folder/x.gguf",
            "--type",
            "Q8_0",
        ])
        .fails(1)
        .names("cannot write");
    let mut left: Vec<_> = std::fs::read_dir(world.work())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["speaking.gguf", "there.gguf"]);
}

#[test]
fn nonsense_foretells_worse_than_even_chances() {
    let world = World::new();
    let model = speaking(&world);
    let text = "The quick brown fox jumps over the lazy dog. ".repeat(30);
    world.write("text.txt", text);
    let args = [
        "gguf",
        "perplexity",
        &model,
        "text.txt",
        "--context",
        "64",
        "--json",
    ];
    let json = world.aienv(&args).ok().json();
    let perplexity = json["perplexity"].as_f64().unwrap();
    // Even chances would have the number of tokens.
    assert!((600.0..10_000.0).contains(&perplexity), "{json}");
    assert!(json["windows"].as_u64().unwrap() > 2, "{json}");
    let args = [
        "gguf",
        "perplexity",
        &model,
        "text.txt",
        "--context",
        "5000",
    ];
    world.aienv(&args).fails(1).names("tokens").hints();
}

#[test]
fn files_that_are_no_models_are_refused() {
    let world = World::new();
    std::fs::create_dir(world.work().join("folder")).unwrap();
    world.write("empty.gguf", "");
    world.write("text.gguf", "This is no model, only a text.");
    let whole = std::fs::read(speaking(&world)).unwrap();
    world.write("cut.gguf", &whole[..whole.len() - 1000]);
    world.write("header.gguf", &whole[..3000]);
    for (file, word) in [
        ("missing.gguf", "missing.gguf"),
        ("folder", "folder"),
        ("empty.gguf", "empty.gguf"),
        ("text.gguf", "GGUF"),
        ("cut.gguf", "download may have been cut off"),
        ("header.gguf", "cannot hold"),
    ] {
        for command in [
            &["gguf", "show", file][..],
            &["gguf", "check", file],
            &["gguf", "tokenize", file, "x"],
            &["gguf", "eval", file, "--tokens", "1", "--logits", "out"],
            &["gguf", "quantize", file, "out", "--type", "Q8_0"],
            &["generate", file, "-p", "x"],
            &["chat", file],
        ] {
            world.aienv(command).fails(1).names(word);
        }
        assert!(!Path::new(&world.work().join("out")).exists());
    }
}

#[test]
fn nothing_is_written_over_the_model_itself() {
    let world = World::new();
    let model = speaking(&world);
    let before = std::fs::read(&model).unwrap();
    let link = world.work().join("link.gguf");
    std::fs::hard_link(&model, &link).unwrap();
    for place in [model.as_str(), link.to_str().unwrap()] {
        let eval = ["gguf", "eval", &model, "--tokens", "1", "--logits", place];
        world.aienv(&eval).fails(2).hints();
        let quantize = [
            "gguf", "quantize", &model, place, "--type", "Q8_0", "--force",
        ];
        world.aienv(&quantize).fails(2).hints();
        assert!(std::fs::read(&model).unwrap() == before, "{place}");
    }
}

#[test]
fn names_in_a_file_tell_the_terminal_nothing() {
    let world = World::new();
    let evil = changed(&world, "evil.gguf", |mut writer| {
        writer
            .metadata
            .insert("general.name", "\u{1b}[2Jnice\nproblem none");
        writer
            .metadata
            .insert("tokenizer.ggml.pre", "\u{1b}]0;own\u{7}");
        let template = "{{ raise_exception('\u{1b}[31mno') }}";
        writer.metadata.insert("tokenizer.chat_template", template);
        writer
            .declare("\u{1b}[31mred", &[4], TensorType::F32)
            .unwrap();
        writer
    });
    for command in ["show", "check"] {
        let run = world.aienv(&["gguf", command, &evil]);
        let all = format!("{}{}", run.stdout, run.stderr);
        assert!(!all.contains(['\u{1b}', '\u{7}']), "{all:?}");
        assert!(all.contains("\\u{1b}"), "{all:?}");
    }
    let shown = world.aienv(&["gguf", "show", &evil]).ok().stdout;
    assert!(shown.contains("[2Jnice\\nproblem none"), "{shown}");
}

#[test]
fn results_that_are_not_numbers_are_errors() {
    let world = World::new();
    let text = world.work().join("text.txt");
    std::fs::write(&text, "one two three four five six seven eight nine ten").unwrap();
    // The file ends with the weights of the last norm, the first of which is made no number.
    let broken = changed(&world, "broken.gguf", |writer| writer);
    let mut bytes = std::fs::read(&broken).unwrap();
    let norm = bytes.len() - 256 * 4;
    bytes[norm..norm + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&broken, bytes).unwrap();
    let text = text.to_string_lossy();
    let measure = ["gguf", "perplexity", &broken, &text, "--context", "4"];
    world.aienv(&measure).fails(1).hints();
    world.aienv(&["embed", &broken, "hello"]).fails(1).hints();
    world.aienv(&["embed", &broken, "hello", "--json"]).fails(1);
}
