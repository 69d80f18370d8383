//! Texts continued and messages answered.

use serde_json::Value;

use super::model::{changed, mute, speaking, vocabulary};
use super::support::World;

/// `aienv generate MODEL --json` with exact products, which are the same on every processor.
fn generate(world: &World, model: &str, more: &[&str]) -> Value {
    let args = ["generate", model, "--json", "--products", "exact"];
    world.aienv(&[&args[..], more].concat()).ok().json()
}

fn text(json: &Value) -> &str {
    json["text"].as_str().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_text_on_any_number_of_threads() {
    let world = World::new();
    let model = speaking(&world);
    let prompt = ["-p", "the local models", "-n", "24", "--ignore-end"];
    for chosen in [&["--temp", "0"][..], &["--temp", "1", "--seed", "7"]] {
        let answers: Vec<Value> = ["1", "2", "3"]
            .iter()
            .map(|threads| {
                let more = [&prompt[..], chosen, &["--threads", threads]].concat();
                generate(&world, &model, &more)
            })
            .collect();
        assert_eq!(answers[0]["ids"].as_array().unwrap().len(), 24);
        assert!(!text(&answers[0]).is_empty());
        for other in &answers[1..] {
            assert_eq!(answers[0]["ids"], other["ids"]);
            assert_eq!(answers[0]["text"], other["text"]);
        }
    }
    let seeded = |seed| {
        let more = [&prompt[..], &["--temp", "1", "--seed", seed]].concat();
        generate(&world, &model, &more)["ids"].clone()
    };
    assert_ne!(seeded("7"), seeded("8"));
}

#[test]
fn ids_are_continued_with_and_without_a_vocabulary() {
    let world = World::new();
    let model = speaking(&world);
    let by_text = generate(
        &world,
        &model,
        &[
            "-p",
            "the local models",
            "-n",
            "9",
            "--temp",
            "0",
            "--ignore-end",
        ],
    );
    let ids = world.aienv(&["gguf", "tokenize", &model, "the local models"]);
    let ids = ids.ok().stdout().trim().to_owned();
    let by_ids = generate(
        &world,
        &model,
        &["--tokens", &ids, "-n", "9", "--temp", "0", "--ignore-end"],
    );
    assert_eq!(by_text["ids"], by_ids["ids"]);
    assert_eq!(by_text["text"], by_ids["text"]);
    assert_eq!(by_ids["finish"], "length");
    let mute = mute("gemma2");
    let args = ["--tokens", "1,2,3", "-n", "5", "--temp", "0"];
    let json = generate(&world, &mute, &args);
    let ids: Vec<u64> = serde_json::from_value(json["ids"].clone()).unwrap();
    assert_eq!(ids.len(), 5);
    assert_eq!(text(&json), "");
    // Without --json there is no text to print, so the ids are.
    let plain = world
        .aienv(&[&["generate", &mute][..], &args].concat())
        .ok();
    let printed: Vec<u64> = plain
        .stdout()
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect();
    assert_eq!(printed, ids);
    world
        .aienv(&["generate", &mute, "-p", "x"])
        .fails(1)
        .names("no tokenizer");
    world
        .aienv(&["generate", &mute, "--tokens", "1,4000000"])
        .fails(2)
        .names("no token 4000000");
}

#[test]
fn a_bias_forbids_a_token_or_forces_it() {
    let world = World::new();
    let model = mute("gemma2");
    let ids = |more: &[&str]| {
        let args = [
            "--tokens",
            "1,2,3",
            "-n",
            "4",
            "--temp",
            "0",
            "--ignore-end",
        ];
        let json = generate(&world, &model, &[&args, more].concat());
        serde_json::from_value::<Vec<u64>>(json["ids"].clone()).unwrap()
    };
    let first = ids(&[])[0];
    let forbidden = ids(&["--logit-bias", &format!("{first}=-inf")]);
    assert!(!forbidden.contains(&first), "{first}: {forbidden:?}");
    let forced = ids(&["--logit-bias", "5=1e9", "--logit-bias", "6=1.5"]);
    assert_eq!(forced, [5; 4]);
    for (wrong, said) in [
        ("4000000=1", "no token 4000000"),
        ("5", "a token's id"),
        ("5=nan", "a token's id"),
        ("-1=2", "a token's id"),
    ] {
        let bias = format!("--logit-bias={wrong}");
        let run = world.aienv(&["generate", &model, "--tokens", "1", &bias]);
        run.fails(2).names(said);
    }
}

#[test]
fn stop_strings_end_the_text_before_them() {
    let world = World::new();
    let model = speaking(&world);
    let args = ["-p", "plans", "-n", "40", "--temp", "0"];
    let whole = generate(&world, &model, &args);
    let whole = text(&whole);
    // From the middle, so that the text that is left is not empty; borders of tokens are unlikely
    // to be those of the string.
    let chars: Vec<char> = whole.chars().collect();
    let stop: String = chars[chars.len() / 2..][..3].iter().collect();
    let stopped = generate(&world, &model, &[&args[..], &["--stop", &stop]].concat());
    assert_eq!(stopped["finish"], "stop");
    assert_eq!(text(&stopped), &whole[..whole.find(&stop).unwrap()]);
    // Streamed, it is the same text.
    let args = [
        "generate",
        &model,
        "--products",
        "exact",
        "-p",
        "plans",
        "-n",
        "40",
        "--temp",
        "0",
    ];
    let streamed = world.aienv(&[&args[..], &["--stop", &stop]].concat()).ok();
    assert_eq!(streamed.stdout().trim(), text(&stopped).trim());
}

#[test]
fn output_follows_a_schema_a_grammar_or_a_pattern() {
    let world = World::new();
    let model = speaking(&world);
    let schema = r#"{"type": "object", "properties": {"works": {"type": "boolean"},
        "kind": {"enum": ["tool", "model"]}}, "required": ["works", "kind"],
        "additionalProperties": false}"#;
    world.write("schema.json", schema);
    for (seed, mode) in [("1", "--raw"), ("2", "--chat"), ("3", "--raw")] {
        let args = [
            "-p",
            "x",
            "--json-schema",
            "schema.json",
            "--seed",
            seed,
            mode,
        ];
        let json = generate(&world, &model, &args);
        assert_eq!(json["finish"], "stop", "{json}");
        let value: Value = serde_json::from_str(text(&json)).unwrap();
        assert!(value["works"].is_boolean(), "{value}");
        assert!(["tool", "model"].contains(&value["kind"].as_str().unwrap()));
        assert_eq!(value.as_object().unwrap().len(), 2);
    }
    let args = ["-p", "x", "--regex", "[0-9]{3}-(yes|no)", "--seed", "4"];
    let json = generate(&world, &model, &args);
    let (digits, rest) = text(&json).split_once('-').unwrap();
    assert!(digits.len() == 3 && digits.parse::<u32>().is_ok() && ["yes", "no"].contains(&rest));
    world.write(
        "grammar.lark",
        "start: WORD (\" \" WORD)?\nWORD: \"local\" | \"models\"\n",
    );
    let json = generate(
        &world,
        &model,
        &["-p", "x", "--grammar", "grammar.lark", "--seed", "5"],
    );
    let words: Vec<&str> = text(&json).split(' ').collect();
    assert!(words.len() <= 2 && words.iter().all(|word| ["local", "models"].contains(word)));
    for (file, content, word) in [
        ("bad.json", "{", "is no JSON schema"),
        ("odd.json", r#"{"type": "colour"}"#, "cannot be used"),
    ] {
        world.write(file, content);
        world
            .aienv(&["generate", &model, "-p", "x", "--json-schema", file])
            .fails(1)
            .names(word);
    }
}

#[test]
fn a_prompt_comes_from_a_file_or_standard_input_too() {
    let world = World::new();
    let model = speaking(&world);
    let args = ["--raw", "-n", "6", "--temp", "0"];
    let wanted = generate(&world, &model, &[&args[..], &["-p", "range"]].concat());
    world.write("prompt.txt", "range");
    let by_file = generate(
        &world,
        &model,
        &[&args[..], &["--file", "prompt.txt"]].concat(),
    );
    assert_eq!(by_file["ids"], wanted["ids"]);
    let all = ["generate", &model, "--json", "--products", "exact"];
    let command = world.command(&[&all[..], &args].concat());
    let output = assert_cmd::Command::from_std(command)
        .write_stdin("range")
        .output()
        .unwrap();
    let by_input: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(by_input["ids"], wanted["ids"]);
    world
        .aienv(&["generate", &model, "-p", "x", "--file", "prompt.txt"])
        .fails(2);
}

#[test]
fn a_file_with_a_template_answers_and_raw_goes_around_it() {
    let world = World::new();
    let model = changed(&world, "chatty.gguf", |mut writer| {
        let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
                        {% if add_generation_prompt %}assistant:{% endif %}";
        writer.metadata.insert("tokenizer.chat_template", template);
        writer
    });
    let prompt = |more: &[&str]| {
        let args = [&["-p", "hello", "-n", "1"][..], more].concat();
        generate(&world, &model, &args)["prompt_tokens"]
            .as_u64()
            .unwrap()
    };
    let (answered, raw) = (prompt(&[]), prompt(&["--raw"]));
    assert!(answered > raw && prompt(&["--system", "Be brief."]) > answered);
    let plain = speaking(&world);
    let json = generate(&world, &plain, &["-p", "hello", "-n", "1"]);
    assert_eq!(
        json["prompt_tokens"], raw,
        "without a template a text is continued"
    );
}

#[test]
fn what_cannot_be_run_is_refused_with_the_reason() {
    let world = World::new();
    let model = speaking(&world);
    let fails = |model: &str, more: &[&str]| {
        let args = [&["generate", model, "-p", "x", "-n", "5"][..], more].concat();
        world.aienv(&args).fails(1)
    };
    fails(&vocabulary("bpe-llama-bpe"), &[]).names("vocabulary only");
    let unknown = changed(&world, "unknown.gguf", |mut writer| {
        writer.metadata.insert("general.architecture", "tomorrow");
        writer
    });
    fails(&unknown, &[])
        .names("`tomorrow`")
        .names("supported are");
    fails(&model, &["--memory", "10kB"]).names("weights alone do not fit");
    let needs = fails(&model, &["--memory", "2MB", "--context", "100000"]);
    needs.names("a context of").names("would fit").hints();
    fails(&model, &["--context", "1", "--raw"]).names("prompt has");
    // Its heads are too short for blocks of 32.
    let narrow = ["generate", &mute("llama"), "--tokens", "1"];
    world
        .aienv(&[&narrow[..], &["--cache", "q8_0"]].concat())
        .fails(1)
        .names("choose f16");
    let full = ["--context", "3", "--no-shift", "--ignore-end", "--raw"];
    fails(&model, &full).names("context of 3 tokens is full");
    world
        .aienv(&["generate", &model, "-p", "x", "--memory", "much"])
        .fails(2)
        .names("`much` is no size");
    let json = world.aienv(&["generate", "missing.gguf", "-p", "x", "--json"]);
    assert_eq!(json.json()["error"]["code"], "model.open");
}

/// Ctrl-C ends the output, not without handing over what there is.
#[cfg(unix)]
#[test]
fn what_there_is_at_an_interruption_is_printed() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;

    let world = World::new();
    let model = speaking(&world);
    let args = [
        "generate",
        &model,
        "-p",
        "x",
        "--raw",
        "--ignore-end",
        "-n",
        "1000000",
        "-v",
    ];
    let mut child = world
        .command(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    // Something has come, hence it is under way.
    let mut text = out.fill_buf().unwrap().to_vec();
    out.consume(text.len());
    assert!(!text.is_empty());
    // SAFETY: the process is this test's own child and has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    out.read_to_end(&mut text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("answer: "), "{told}");
    assert!(text.ends_with(b"\n"), "{text:?}");
}

#[test]
fn numbers_that_mean_nothing_are_refused() {
    let world = World::new();
    let model = speaking(&world);
    for wrong in [
        ["--temp", "nan"],
        ["--temp", "-1"],
        ["--top-p", "1.5"],
        ["--min-p", "-0.1"],
        ["--typical", "inf"],
        ["--repeat-penalty", "0"],
        ["--presence-penalty", "nan"],
        ["--dry", "-1"],
        ["--seed", "-1"],
        ["--threads", "0"],
        ["--threads", "100000"],
        ["--stop", ""],
    ] {
        let args = [
            &["generate", &model, "--tokens", "1", "-n", "1"][..],
            &wrong,
        ]
        .concat();
        let run = world.aienv(&args).fails(2);
        let named = format!("for '{} <", wrong[0]);
        assert!(run.stderr.contains(&named), "{wrong:?}: {}", run.stderr);
    }
    let negative = ["--presence-penalty", "-0.5", "--frequency-penalty", "-1"];
    world
        .aienv(
            &[
                &["generate", &model, "--tokens", "1", "-n", "1"][..],
                &negative,
            ]
            .concat(),
        )
        .ok();
}
