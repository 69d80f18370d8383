//! Conversations through a pipe.

use serde_json::Value;

use super::model::speaking;
use super::support::{Run, World};

/// What `aienv chat` says to these lines.
fn chat(world: &World, more: &[&str], lines: &str) -> Run {
    let model = speaking(world);
    let args = [
        "chat",
        &model,
        "--products",
        "exact",
        "--temp",
        "0",
        "-n",
        "12",
    ];
    let output = assert_cmd::Command::from_std(world.command(&[&args[..], more].concat()))
        .write_stdin(lines)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run {
        what: "aienv chat".to_owned(),
        code: output.status.code(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

fn saved(world: &World, name: &str) -> Vec<(String, String)> {
    let json = std::fs::read(world.work().join(name)).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let text = |message: &Value, key: &str| message[key].as_str().unwrap().to_owned();
    let messages = json["messages"].as_array().unwrap().iter();
    messages
        .map(|message| (text(message, "role"), text(message, "content")))
        .collect()
}

#[test]
fn each_line_is_answered_and_the_conversation_is_kept() {
    let world = World::new();
    let lines = "hello\nwhat \\\nmodels\n/save one.json\n/reset\nhello\n/save two.json\n";
    let run = chat(&world, &[], lines).ok();
    let one = saved(&world, "one.json");
    let roles: Vec<&str> = one.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
    assert_eq!(one[2].1, "what \nmodels");
    assert!(!one[1].1.is_empty());
    // After a reset all is as at the beginning.
    assert_eq!(saved(&world, "two.json"), one[..2]);
    // Answers are data; nothing else is.
    let answers = [&one[1].1, &one[3].1, &one[1].1];
    let all: Vec<&str> = answers.iter().map(|text| text.as_str()).collect();
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(words(run.stdout()), words(&all.join("\n")));
    assert!(!world.home_files().contains(&"chat-history".to_owned()));
}

#[test]
fn the_system_prompt_can_be_given_and_changed() {
    let world = World::new();
    let lines = "\"\"\"a\nb\"\"\"\n/save one.json\n/system Be long.\n/save two.json\n/system\n/save \
                 three.json\n/exit\nnot said\n";
    chat(&world, &["--system", "Be brief."], lines).ok();
    let system = |text: &str| ("system".to_owned(), text.to_owned());
    let one = saved(&world, "one.json");
    assert_eq!(one[0], system("Be brief."));
    assert_eq!(one[1], ("user".to_owned(), "a\nb".to_owned()));
    assert_eq!(one.len(), 3);
    assert_eq!(saved(&world, "two.json")[0], system("Be long."));
    assert_eq!(saved(&world, "three.json"), one[1..]);
}

#[test]
fn long_conversations_go_on() {
    let world = World::new();
    let lines = "The quick brown fox jumps over the lazy dog.\n".repeat(12);
    let run = chat(&world, &["--context", "64", "-v"], &lines).ok();
    // Each answer tells twice how fast it was.
    assert_eq!(
        run.stderr.matches("tokens at").count(),
        24,
        "{}",
        run.stderr
    );
    let too_long = "The quick brown fox jumps over the lazy dog. ".repeat(12);
    chat(&world, &["--context", "64"], &too_long)
        .fails(1)
        .names("prompt has")
        .hints();
}

#[test]
fn commands_that_cannot_be_done_are_told() {
    let world = World::new();
    chat(&world, &[], "/sing\n")
        .fails(1)
        .names("no command `/sing`")
        .hints();
    chat(&world, &[], "/save\n").fails(1).names("needs a file");
    world.write("there.json", "precious");
    chat(&world, &[], "/save there.json\n")
        .fails(1)
        .names("there.json");
    chat(&world, &[], "/help\n").ok().names("/reset");
    chat(&world, &[], "").ok();
}

#[test]
fn a_command_with_too_much_behind_it_is_told_so() {
    let world = World::new();
    let run = chat(&world, &[], "/reset now\n");
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("/reset takes nothing behind it"),
        "{}",
        run.stderr
    );
    let run = chat(&world, &[], "/save a.json\n/save a.json\n");
    assert!(run.stderr.contains("not there yet"), "{}", run.stderr);
}
