//! `aienv host` as a user runs it: on this machine, whatever it is.

#![allow(clippy::unwrap_used)]

use aienv::{host::Host, types::Os};
use assert_cmd::Command;

fn aienv(home: &std::path::Path) -> Command {
    let mut command = Command::cargo_bin("aienv").unwrap();
    command.env("AIENV_HOME", home);
    command
}

#[test]
fn the_json_is_a_host_and_reads_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("not yet there");
    let output = aienv(&home).args(["host", "--json"]).output().unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
    assert!(!home.exists(), "looking at the machine writes nothing");

    let file = folder.path().join("box.json");
    std::fs::write(&file, &output.stdout).unwrap();
    let host = Host::load(&file).unwrap();
    let again = serde_json::to_string_pretty(&host).unwrap() + "\n";
    assert_eq!(again, String::from_utf8(output.stdout).unwrap());

    assert!(host.cpu.cores >= 1);
    assert!(host.memory_bytes.unwrap() > 1 << 20);
    assert!(host.disk_free_bytes.is_some());
    let family = match std::env::consts::OS {
        "macos" => Os::Macos,
        "windows" => Os::Windows,
        _ => Os::Linux,
    };
    assert_eq!(host.os.family, family);
    assert!(host.target().to_string().contains(std::env::consts::ARCH));
    if cfg!(target_env = "gnu") && family == Os::Linux {
        assert!(host.os.libc.is_some());
    }
    for python in &host.pythons {
        assert!(python.path.is_absolute() && python.path.is_file());
    }
}

#[test]
fn interpreters_are_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let output = aienv(folder.path())
        .args(["host", "--json"])
        .output()
        .unwrap();
    let host: Host = serde_json::from_slice(&output.stdout).unwrap();
    for python in &host.pythons {
        let answer = std::process::Command::new(&python.path)
            .args(["-c", "import platform; print(platform.python_version())"])
            .output()
            .unwrap();
        let version = String::from_utf8(answer.stdout).unwrap();
        assert_eq!(
            version.trim().trim_end_matches('+'),
            python.version.to_string(),
            "{}",
            python.path.display()
        );
    }
}

#[test]
fn an_empty_environment_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = aienv(folder.path());
    // Windows programs need the system's own variables to start at all.
    for (name, _) in std::env::vars_os() {
        if !cfg!(windows) || matches!(name.to_str(), Some("PATH" | "USERPROFILE")) {
            command.env_remove(&name);
        }
    }
    command.env("AIENV_HOME", folder.path());
    let output = command.arg("host").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for name in ["System", "Processor", "Memory", "Disk", "GPU", "Python"] {
        assert!(text.contains(name), "{name} is missing in\n{text}");
    }
}
