//! Compares prompts with those that Python's Jinja makes of the same templates.
//!
//! `cargo run -p aienv-engine --example templates -- FOLDER` takes each `NAME.cases.json` that
//! `engine/checks/templates_reference.py` wrote. What Python renders has to come out equal, what a
//! template refuses has to be refused with its message. What Python cannot do may fail or not.

use std::path::Path;
use std::process::ExitCode;

use aienv_engine::chat::{Chat, Error, Template};
use serde_json::Value as Json;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: templates FOLDER");
        return ExitCode::from(2);
    };
    let mut names: Vec<_> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect(),
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&folder).display());
            return ExitCode::FAILURE;
        }
    };
    names.sort();
    let (mut equal, mut different, mut open) = (0, 0, 0);
    for path in &names {
        let file: Json = match std::fs::read(path).map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(file)) => file,
            _ => {
                println!("{}: not a list of cases", path.display());
                different += 1;
                continue;
            }
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let template =
            match Template::new(file["source"].as_str().unwrap_or_default(), "<s>", "</s>") {
                Ok(template) => template,
                Err(error) => {
                    println!("{name}: {error}");
                    different += 1;
                    continue;
                }
            };
        let mut rendered = 0;
        for (index, case) in file["cases"].as_array().into_iter().flatten().enumerate() {
            let outcome = template.render(&chat(&case["chat"]));
            rendered += usize::from(outcome.is_ok());
            match (case["expected"].as_str(), case["error"].as_str(), outcome) {
                (Some(expected), _, Ok(prompt)) if prompt == expected => equal += 1,
                (None, Some(expected), Err(Error::Refused(message))) if message == expected => {
                    equal += 1
                }
                (None, None, _) => open += 1,
                (expected, error, outcome) => {
                    different += 1;
                    println!("{name}, case {index}:");
                    println!("  expected {:?}", tail(&outcome, expected.or(error)).0);
                    println!("  got      {:?}", tail(&outcome, expected.or(error)).1);
                }
            }
        }
        if rendered == 0 {
            different += 1;
            println!("{name}: nothing could be rendered");
        }
    }
    println!("{equal} equal, {different} different, {open} that Python cannot render");
    if different == 0 && equal > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn chat(case: &Json) -> Chat {
    let list = |key: &str| case[key].as_array().cloned().unwrap_or_default();
    Chat {
        messages: list("messages"),
        tools: list("tools"),
        add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap_or(true),
        extra: case["extra"].as_object().cloned().unwrap_or_default(),
        now: "2026-03-05T14:07:09Z[UTC]".parse().ok(),
    }
}

/// Both texts from shortly before they differ.
fn tail(outcome: &Result<String, Error>, expected: Option<&str>) -> (String, String) {
    let expected: Vec<char> = expected.unwrap_or_default().chars().collect();
    let got: Vec<char> = match outcome {
        Ok(prompt) => prompt.chars().collect(),
        Err(error) => return (expected.iter().take(80).collect(), error.to_string()),
    };
    let same = expected
        .iter()
        .zip(&got)
        .take_while(|(a, b)| a == b)
        .count();
    let from = same.saturating_sub(40);
    let cut = |text: &[char]| text.iter().skip(from).take(120).collect();
    (cut(&expected), cut(&got))
}
