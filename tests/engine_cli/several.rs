//! Several prompts at once.

use serde_json::{Value, json};

use super::model::{CONTEXT, changed, mute, speaking};
use super::support::{Run, World};

const PROMPTS: [&str; 5] = [
    "the local models",
    "the local tools",
    "plans",
    "the local models and tools",
    "plans",
];

/// `aienv generate MODEL` with exact products, which are the same on every processor.
fn generate(world: &World, model: &str, more: &[&[&str]]) -> Run {
    let args = ["generate", model, "--products", "exact"];
    world.aienv(&[&args[..], &more.concat()].concat())
}

/// Each prompt behind a `-p`.
fn prompts(texts: &[&'static str]) -> Vec<&'static str> {
    texts.iter().flat_map(|text| ["-p", text]).collect()
}

fn lines(run: &Run) -> Vec<Value> {
    let lines = run.stdout().lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What does not tell of time.
fn about(json: &Value) -> Value {
    let keys = [
        "ids",
        "text",
        "finish",
        "seed",
        "prompt_tokens",
        "reasoning",
        "calls",
    ];
    keys.iter().map(|&key| json[key].clone()).collect()
}

#[test]
fn each_answer_is_what_it_is_alone() {
    let world = World::new();
    let plain = speaking(&world);
    let chatty = changed(&world, "chatty.gguf", |mut writer| {
        let template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}\
                        {% if add_generation_prompt %}assistant:{% endif %}";
        writer.metadata.insert("tokenizer.chat_template", template);
        writer
    });
    world.write("prompts.txt", PROMPTS.join("\n\n") + "\n");
    let by_file = ["--file", "prompts.txt", "--each-line"];
    for (model, how) in [
        (&plain, &["--ignore-end", "-n", "14"][..]),
        (&chatty, &["--system", "Be brief.", "-n", "14"]),
        (&plain, &["--regex", "[a-z]{4,9} [0-9]{3}"]),
    ] {
        let how = [how, &["--seed", "3", "--json"]].concat();
        let alone: Vec<Value> = PROMPTS
            .iter()
            .map(|prompt| {
                about(
                    &generate(&world, model, &[&how, &["-p", prompt]])
                        .ok()
                        .json(),
                )
            })
            .collect();
        assert_ne!(alone[0], alone[2]);
        for more in [
            prompts(&PROMPTS),
            [
                &prompts(&PROMPTS)[..],
                &["--parallel", "2", "--threads", "1"],
            ]
            .concat(),
            by_file.to_vec(),
        ] {
            let run = generate(&world, model, &[&how, &more]).ok();
            let lines = lines(&run);
            let together: Vec<Value> = lines.iter().map(about).collect();
            assert_eq!(together, alone, "{model} {how:?} {more:?}");
            let asked: Vec<&str> = lines
                .iter()
                .map(|l| l["prompt"].as_str().unwrap())
                .collect();
            assert_eq!(asked, PROMPTS);
        }
    }
}

#[test]
fn texts_are_told_in_order_under_their_prompts() {
    let world = World::new();
    let model = speaking(&world);
    let how = ["--temp", "0", "-n", "9", "--ignore-end"];
    let json = generate(
        &world,
        &model,
        &[&how, &prompts(&PROMPTS[..3]), &["--json"]],
    )
    .ok();
    let parts: Vec<String> = lines(&json)
        .iter()
        .map(|line| {
            let (prompt, text) = (line["prompt"].as_str(), line["text"].as_str());
            let text = text.unwrap().trim_start();
            let end = if text.ends_with('\n') { "" } else { "\n" };
            format!("==> {} <==\n{text}{end}", prompt.unwrap())
        })
        .collect();
    let plain = generate(&world, &model, &[&how, &prompts(&PROMPTS[..3])]).ok();
    assert_eq!(plain.stdout(), parts.join("\n"));

    // Without a vocabulary, ids.
    let mute = mute("gemma3");
    let how = ["-n", "5", "--temp", "0"];
    let ids = ["--tokens", "1,2,3", "--tokens", "1,2,4,5"];
    let json = lines(&generate(&world, &mute, &[&how, &ids, &["--json"]]).ok());
    let alone = generate(&world, &mute, &[&how, &ids[2..], &["--json"]])
        .ok()
        .json();
    assert_eq!(json[1]["ids"], alone["ids"]);
    assert_eq!(json[1]["prompt"], json!([1, 2, 4, 5]));
    let words: Vec<String> = serde_json::from_value::<Vec<u32>>(alone["ids"].clone())
        .unwrap()
        .iter()
        .map(u32::to_string)
        .collect();
    let plain = generate(&world, &mute, &[&how, &ids]).ok();
    let wanted = format!("\n==> 1,2,4,5 <==\n{}\n", words.join(" "));
    assert!(plain.stdout().ends_with(&wanted), "{}", plain.stdout());
}

#[test]
fn a_prompt_without_an_answer_does_not_end_the_others() {
    let world = World::new();
    let model = speaking(&world);
    let long = "local ".repeat(CONTEXT + 1);
    world.write("prompts.txt", ["plans", &long, "tools"].join("\n"));
    let how = [
        "--file",
        "prompts.txt",
        "--each-line",
        "-n",
        "4",
        "--temp",
        "0",
    ];
    let run = generate(&world, &model, &[&how, &["--json"]]).fails(1);
    let lines = lines(&run);
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1]["error"]["code"], "model.prompt-too-long");
    assert_eq!(lines[1]["prompt"], long);
    for at in [0, 2] {
        assert_eq!(
            lines[at]["ids"].as_array().unwrap().len(),
            4,
            "{}",
            lines[at]
        );
    }
    let run = generate(&world, &model, &[&how]).fails(1);
    assert!(!run.stdout().contains("local") && run.stdout().contains("==> tools <=="));
    run.hints()
        .names("prompt 2 has no answer")
        .names(&format!("room for {CONTEXT}"));

    // One line is one line of JSON too, and none is none.
    world.write("one.txt", "plans\n");
    let one = ["--file", "one.txt", "--each-line", "-n", "4", "--json"];
    let run = generate(&world, &model, &[&one]).ok();
    assert_eq!(run.stdout().lines().count(), 1);
    world.write("one.txt", "\n");
    let run = generate(&world, &model, &[&one]).ok();
    assert_eq!(run.stdout(), "");
    for wrong in [
        &["-p", "x", "--each-line"][..],
        &["-p", "x", "-p", "y", "--parallel", "0"],
        &["-p", "x", "-p", "y", "--parallel", "65"],
        &["-p", "x", "--tokens", "1"],
    ] {
        generate(&world, &model, &[wrong]).fails(2);
    }
}

/// Where memory is short, fewer work at once, and what comes out is the same.
#[test]
fn little_memory_makes_no_difference() {
    let world = World::new();
    let model = mute("llama");
    let ids = [
        "--tokens", "1,2,3", "--tokens", "4,5", "--tokens", "6", "--json",
    ];
    let how = ["-n", "200", "--temp", "1", "--seed", "5", "--context", "64"];
    let wide = lines(&generate(&world, &model, &[&ids, &how]).ok());
    let about_all = |lines: &[Value]| lines.iter().map(about).collect::<Vec<_>>();
    // For one at a time, and for two.
    for memory in ["120kB", "250kB"] {
        let tight = generate(&world, &model, &[&ids, &how, &["--memory", memory]]).ok();
        assert_eq!(about_all(&lines(&tight)), about_all(&wide));
    }
    generate(&world, &model, &[&ids, &how, &["--memory", "10kB"]])
        .fails(1)
        .names("do not fit");
}

#[cfg(unix)]
mod interruptions {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::{Child, Stdio};

    use super::*;

    fn spawn(world: &World, args: &[&str]) -> Child {
        let mut command = world.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn interrupt(child: &Child) {
        // SAFETY: the process is this test's own child and has not been waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    }

    #[test]
    fn what_is_complete_is_told() {
        let world = World::new();
        let model = speaking(&world);
        // What is refused is through at once; what has no end never is.
        let long = "local ".repeat(CONTEXT + 1);
        let args = ["generate", &model, "--raw", "--ignore-end", "-n", "1000000"];
        let more = ["--json", "-p", &long, "-p", "plans", "-p", &long];
        let mut child = spawn(&world, &[&args[..], &more].concat());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        out.read_line(&mut text).unwrap();
        interrupt(&child);
        out.read_to_string(&mut text).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["error"]["code"], "model.prompt-too-long");
        }
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("2 of 3 prompts"), "{told}");
    }

    /// Even while the prompt is being evaluated.
    #[cfg(target_os = "linux")]
    #[test]
    fn json_is_printed_whenever_it_comes() {
        let world = World::new();
        let model = speaking(&world);
        let prompt = "local ".repeat(CONTEXT - 20);
        let args = ["generate", &model, "--raw", "--ignore-end", "-n", "1000000"];
        let child = spawn(&world, &[&args[..], &["--json", "-p", &prompt]].concat());
        let status = format!("/proc/{}/status", child.id());
        // Before it watches for Ctrl-C, that just ends it.
        let watches = || {
            let status = std::fs::read_to_string(&status).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
            caught & 1 << (libc::SIGINT - 1) != 0
        };
        while !watches() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        interrupt(&child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["finish"], "cancelled");
        let count = json["prompt_tokens"].as_u64().unwrap();
        assert!(count as usize > CONTEXT - 30, "{json}");
    }
}
