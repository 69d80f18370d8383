//! `aienv env`, `path`, `which`: read by real shells.

use std::{io::Write as _, path::PathBuf, process::Command};

use crate::support::{World, record, stderr, stdout, world};

const TRICKY: &str = "it's \"$HOME\" `id` \\ 100% é\nline two";

fn installed() -> World {
    let world = world();
    let mut hello = record("hello", "print");
    let environment = &mut hello.environment;
    environment.set.push(("TRICKY".into(), TRICKY.into()));
    environment.prepend[0].1 = "/a prefix's/bin".into();
    world.install(&hello);
    world
}

/// Evaluates the printed environment in a shell and gives what `TRICKY|PYTHONPATH|PATH` is then.
fn evaluated(shell: &str, language: &str, script: &str) -> Option<String> {
    let Ok(program) = which::which(shell) else {
        eprintln!("skipped: there is no {shell}");
        return None;
    };
    let world = installed();
    let exports = world
        .aienv(&["env", "hello", "--shell", language])
        .env("PYTHONPATH", "/stray")
        .output()
        .unwrap();
    assert!(exports.status.success(), "{}", stderr(&exports));
    let file = world.root.path().join("exports.ps1");
    let mut text = exports.stdout;
    text.extend(script.as_bytes());
    std::fs::File::create(&file)
        .unwrap()
        .write_all(&text)
        .unwrap();
    let output = Command::new(program)
        .arg(&file)
        .env("PYTHONPATH", "/stray")
        .env("PATH", "/users own:/bin:/usr/bin")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    Some(stdout(&output))
}

#[test]
fn every_shell_here_understands_the_exports() {
    let expected = format!("{TRICKY}||/a prefix's/bin:/users own:/bin:/usr/bin");
    let posix = "printf '%s|%s|%s' \"$TRICKY\" \"$PYTHONPATH\" \"$PATH\"\n";
    let mut tried = 0;
    for (shell, language, script) in [
        ("bash", "bash", posix),
        ("dash", "bash", posix),
        ("zsh", "zsh", posix),
        (
            "fish",
            "fish",
            "printf '%s|%s|%s' $TRICKY \"$PYTHONPATH\" (string join : $PATH)\n",
        ),
        (
            "pwsh",
            "powershell",
            "[Console]::Write(\"$env:TRICKY|$env:PYTHONPATH|$env:PATH\")\n",
        ),
    ] {
        if let Some(output) = evaluated(shell, language, script) {
            assert_eq!(output, expected, "{shell}");
            tried += 1;
        }
    }
    assert!(tried > 0 || cfg!(windows), "no shell to try");
}

#[test]
fn the_command_prompt_cannot_have_line_breaks() {
    let world = installed();
    let output = world
        .aienv(&["env", "hello", "--shell", "cmd"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("`TRICKY`"), "{}", stderr(&output));
}

#[test]
fn the_environment_is_data() {
    let world = installed();
    let output = world.aienv(&["env", "hello", "--json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["set"]["TRICKY"], TRICKY);
    assert_eq!(json["prepend_path"][0], "/a prefix's/bin");
}

#[test]
fn a_shell_has_the_environment() {
    let Ok(shell) = which::which("bash") else {
        eprintln!("skipped: there is no bash");
        return;
    };
    let world = installed();
    let mut child = world
        .aienv(&["shell", "hello", "--program", shell.to_str().unwrap()])
        .env("PYTHONPATH", "/stray")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all(b"printf %s \"$TRICKY|$PYTHONPATH\"; exit 7\n")
        .unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(stdout(&output), format!("{TRICKY}|"));
    assert_eq!(output.status.code(), Some(7));
    assert!(stderr(&output).contains("HELLO"));
}

#[test]
fn path_prints_the_folder_and_how_to_add_it_once() {
    let world = world();
    let output = world.aienv(&["path"]).output().unwrap();
    let bin: PathBuf = stdout(&output).trim_end().into();
    assert_eq!(bin, world.home.bin());
    assert!(stderr(&output).contains(".bashrc"), "{}", stderr(&output));
    let output = world.aienv(&["path"]).env("PATH", &bin).output().unwrap();
    assert_eq!(stderr(&output), "");
}

#[test]
fn which_tells_what_is_behind_a_command() {
    let world = installed();
    let output = world.aienv(&["which", "hello"]).output().unwrap();
    let said = stdout(&output);
    assert!(
        said.contains("hello (generation 1)") && said.contains("/prefix"),
        "{said}"
    );
    let output = world.aienv(&["which", "../hello"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let output = world.aienv(&["env", "helo"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("did you mean `hello`"),
        "{}",
        stderr(&output)
    );
}
