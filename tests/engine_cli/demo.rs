//! The demonstration model that is part of aienv.

use std::path::{Path, PathBuf};

use super::support::{Run, World};

const WHAT: &str = "aienv installs local-AI tools, each in an isolated environment that fits the \
                    machine, and runs them.";
const PLAN: &str = "`aienv plan TOOL` shows what would be installed, how big it is, and why. It \
                    installs nothing.";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo")
}

/// What `aienv chat --demo` says to these lines.
fn chat(world: &World, lines: &str) -> Run {
    let output = assert_cmd::Command::from_std(world.command(&["chat", "--demo"]))
        .write_stdin(lines)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run {
        what: "aienv chat --demo".to_owned(),
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// The first question of every fact, and its answer.
fn facts() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder().join("questions")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let facts = table.get("fact").and_then(toml::Value::as_array);
        for fact in facts.into_iter().flatten() {
            let first = fact["ask"].as_str().unwrap().lines().next().unwrap();
            let answer = fact["answer"].as_str().unwrap();
            found.push((first.to_owned(), answer.to_owned()));
        }
    }
    found
}

#[test]
fn it_answers_with_nothing_installed_and_says_what_it_is() {
    let world = World::new();
    let args = ["generate", "--demo", "-p", "What is aienv?", "--temp", "0"];
    let run = world.aienv(&args).ok();
    assert_eq!(run.stdout().trim(), WHAT);
    assert!(
        run.stderr.contains("tiny demonstration model"),
        "{}",
        run.stderr
    );
    let quiet = world.aienv(&[&args[..], &["--quiet"]].concat()).ok();
    assert_eq!((quiet.stdout().trim(), quiet.stderr.as_str()), (WHAT, ""));
    // Products without rounding agree.
    let exact = world.aienv(&[&args[..], &["--products", "exact"]].concat());
    assert_eq!(exact.ok().stdout().trim(), WHAT);
}

#[test]
fn a_conversation_answers_one_question_after_the_other() {
    let world = World::new();
    let run = chat(&world, "What is aienv?\nwhat does aienv plan do\n").ok();
    let answers: Vec<&str> = run
        .stdout()
        .lines()
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(answers, [WHAT, PLAN]);
}

#[test]
fn it_has_learned_what_its_folder_says() {
    let facts = facts();
    assert!(facts.len() > 150, "{} facts", facts.len());
    let lines: String = facts
        .iter()
        .map(|(question, _)| format!("{question}\n/reset\n"))
        .collect();
    let run = chat(&World::new(), &lines).ok();
    let answers: Vec<&str> = run
        .stdout()
        .lines()
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(answers.len(), facts.len());
    let wrong: Vec<_> = facts
        .iter()
        .zip(&answers)
        .filter(|((_, wanted), got)| wanted != *got)
        .collect();
    assert!(wrong.len() * 50 <= facts.len(), "{wrong:#?}");
}

#[test]
fn a_file_or_the_demonstration_and_no_system_prompt() {
    let world = World::new();
    for command in ["chat", "generate"] {
        world.aienv(&[command]).fails(2).names("--demo");
        world
            .aienv(&[command, "--demo", "model.gguf"])
            .fails(2)
            .names("cannot be used with");
    }
    world
        .aienv(&["generate", "--demo", "-p", "hello", "--system", "Be brief."])
        .fails(1)
        .names("takes no system prompt");
}

#[test]
fn its_file_is_sound() {
    let world = World::new();
    let file = folder().join("demo.gguf");
    let file = file.to_str().unwrap();
    world.aienv(&["gguf", "check", file]).ok();
    let about = world.aienv(&["gguf", "show", file, "--json"]).ok().json();
    assert_eq!(about["architecture"], "llama", "{about}");
    assert_eq!(about["name"], "aienv demo", "{about}");
}
