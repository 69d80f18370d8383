//! `bin/<command>`: the tool itself, in a clean environment.

use std::process::Command;

use aienv_shim::InterpreterCheck;

use crate::support::{aienv_binary, facts, record, stderr, world};

#[test]
fn arguments_reach_the_tool_as_they_were_typed() {
    let world = world();
    world.install(&record("hello", "print"));
    let arguments = ["a b", "", "--flag=ü ◉", "*", "\"quoted\"", "100%", "--"];
    let output = world.shim("hello").args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(42), "{}", stderr(&output));
    assert_eq!(facts(&output, "argument"), arguments);
}

#[test]
fn the_environment_is_clean_and_the_tools_own() {
    let world = world();
    let mut hello = record("hello", "print");
    let set = &mut hello.environment.set;
    set.push(("OWN".into(), "from the tool".into()));
    let defaults = &mut hello.environment.defaults;
    defaults.push(("SOFT".into(), "tool".into()));
    defaults.push(("SOFT_TOO".into(), "tool".into()));
    let folder = world.root.path().join("work here");
    std::fs::create_dir(&folder).unwrap();
    hello.folder = Some(folder.clone());
    world.install(&hello);
    let output = world
        .shim("hello")
        .env("PYTHONPATH", "/stray")
        .env("PYTHONHOME", "/stray")
        .env("LD_LIBRARY_PATH", "/usr/local/cuda/lib64")
        .env("CUDA_HOME", "/usr/local/cuda")
        .env("CONDA_PREFIX_1", "/conda")
        .env("VIRTUAL_ENV", "/venv")
        .env("SOFT", "user")
        .env("HF_HOME", "/models")
        .output()
        .unwrap();
    for gone in [
        "PYTHONPATH",
        "PYTHONHOME",
        "CUDA_HOME",
        "CONDA_PREFIX_1",
        "VIRTUAL_ENV",
    ] {
        assert!(facts(&output, gone).is_empty(), "{gone}");
    }
    if cfg!(target_os = "linux") {
        assert!(facts(&output, "LD_LIBRARY_PATH").is_empty());
    }
    for (name, value) in [
        ("PYTHONNOUSERSITE", "1"),
        ("OWN", "from the tool"),
        ("SOFT", "user"),
        ("SOFT_TOO", "tool"),
        ("HF_HOME", "/models"),
    ] {
        assert_eq!(facts(&output, name), [value], "{name}");
    }
    // Windows has it in either spelling.
    let path = [facts(&output, "PATH"), facts(&output, "Path")].concat();
    assert!(path[0].starts_with("/prefix/bin"), "{path:?}");
    let here = std::path::PathBuf::from(&facts(&output, "folder")[0]);
    assert_eq!(here.canonicalize().unwrap(), folder.canonicalize().unwrap());
}

#[test]
fn a_shim_is_found_on_path_and_through_a_link() {
    let world = world();
    world.install(&record("hello", "print"));
    if cfg!(unix) {
        let output = Command::new("/bin/sh")
            .args(["-c", "hello 'on path'; exit $?"])
            .env("PATH", world.home.bin())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(42), "{}", stderr(&output));
        assert_eq!(facts(&output, "argument"), ["on path"]);
    }
    #[cfg(unix)]
    {
        let link = world.root.path().join("hi");
        std::os::unix::fs::symlink(world.home.bin().join("hello"), &link).unwrap();
        let output = Command::new(link).arg("by link").output().unwrap();
        assert_eq!(
            facts(&output, "argument"),
            ["by link"],
            "{}",
            stderr(&output)
        );
    }
}

/// How the scripts of an environment are programs on Windows. The stand-in for Python is a shim that
/// tells what it was given.
#[cfg(windows)]
#[test]
fn a_launcher_starts_the_script_beside_it() {
    let world = world();
    world.install(&record("python", "print"));
    let scripts = world.home.bin();
    std::fs::copy(aienv_binary(), scripts.join("hello.exe")).unwrap();
    let script = scripts.join("hello-script.py");
    std::fs::write(&script, "").unwrap();
    let script = script.to_str().unwrap();
    let output = Command::new(scripts.join("hello.exe"))
        .args(["a b", "\"c\""])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(42), "{}", stderr(&output));
    assert_eq!(facts(&output, "argument"), [script, "a b", "\"c\""]);

    // As typed at a prompt: without folder and ending.
    let output = Command::new("cmd")
        .args(["/c", "hello", "typed"])
        .env("PATH", &scripts)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(42), "{}", stderr(&output));
    assert_eq!(facts(&output, "argument"), [script, "typed"]);
}

#[test]
fn a_missing_record_is_told_with_what_to_do() {
    let world = world();
    world.install(&record("hello", "print"));
    std::fs::remove_file(world.home.launch_records().join("hello")).unwrap();
    let output = world.shim("hello").output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    let said = stderr(&output);
    assert!(
        said.contains("`hello`") && said.contains("aienv repair"),
        "{said}"
    );
}

#[test]
fn a_damaged_record_is_told() {
    let world = world();
    world.install(&record("hello", "print"));
    let path = world.home.launch_records().join("hello");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    let output = world.shim("hello").output().unwrap();
    assert_eq!(output.status.code(), Some(126));
    assert!(stderr(&output).contains("cut off"), "{}", stderr(&output));
}

#[test]
fn an_aienv_under_another_name_is_still_aienv() {
    let world = world();
    let name = format!("aienv-0.1{}", std::env::consts::EXE_SUFFIX);
    let renamed = world.root.path().join(name);
    std::fs::copy(aienv_binary(), &renamed).unwrap();
    let output = Command::new(renamed).arg("--version").output().unwrap();
    assert!(output.status.success());
}

#[test]
fn an_interpreter_that_changed_is_noticed() {
    let world = world();
    let python = world.root.path().join("python3");
    std::fs::write(&python, "one").unwrap();
    let mut hello = record("hello", "print");
    hello.check = Some(InterpreterCheck::of(&python).unwrap());
    world.install(&hello);
    let output = world.shim("hello").output().unwrap();
    assert_eq!(output.status.code(), Some(42), "{}", stderr(&output));

    std::fs::write(&python, "another").unwrap();
    let output = world.shim("hello").output().unwrap();
    assert_eq!(output.status.code(), Some(126));
    assert!(
        stderr(&output).contains("has changed"),
        "{}",
        stderr(&output)
    );

    std::fs::remove_file(&python).unwrap();
    let output = world.shim("hello").output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    let said = stderr(&output);
    assert!(
        said.contains("is gone") && said.contains("aienv repair hello"),
        "{said}"
    );
}

#[test]
fn a_program_that_is_gone_is_told() {
    let world = world();
    let mut hello = record("hello", "print");
    hello.program = world.root.path().join("gone");
    world.install(&hello);
    let output = world.shim("hello").output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    assert!(
        stderr(&output).contains("aienv repair hello"),
        "{}",
        stderr(&output)
    );
}

#[cfg(unix)]
mod unix {
    use std::{
        ffi::OsString,
        os::unix::{ffi::OsStringExt as _, process::ExitStatusExt as _},
    };

    use super::*;

    fn shell(script: &str) -> aienv::launch::LaunchRecord {
        let mut hello = record("hello", "");
        hello.program = "/bin/sh".into();
        hello.arguments = ["-c", script, "sh"].map(OsString::from).into();
        hello
    }

    #[test]
    fn a_death_by_signal_is_the_shims_own() {
        let world = world();
        world.install(&shell("kill -TERM $$"));
        let status = world.shim("hello").status().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGTERM));
    }

    #[test]
    fn the_process_is_replaced_and_bytes_are_kept() {
        let world = world();
        world.install(&shell("echo $$; printf %s \"$1\""));
        let bytes = b"\xff\n\x01\xfe".to_vec();
        let child = world
            .shim("hello")
            .arg(OsString::from_vec(bytes.clone()))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut expected = format!("{}\n", child.id()).into_bytes();
        expected.extend(bytes);
        assert_eq!(child.wait_with_output().unwrap().stdout, expected);
    }
}
