//! Everything that can be wrong with what aienv is given: each is one clear message that names the
//! thing and says what to do, an exit code of 1 or 2, and nothing half-installed.
//!
//! The tests assert meaning, not sentences: wording may change without them.

#![allow(clippy::unwrap_used)]

mod support;

use aienv::types::Arch;
use support::{Dialect, Failure, Run, Sdist, Wheel, World, host, index_tool, world::test_python};

/// Installs the plain manifest of a tool, which must fail cleanly.
#[track_caller]
fn refused(world: &World, tool: &str) -> Run {
    let manifest = world.tool(tool);
    let run = world.aienv(&["install", &manifest]).fails(1);
    world.assert_not_installed(tool);
    world.assert_no_escape();
    run
}

/// A failure whose exit code may be either: what was typed or written is wrong.
#[track_caller]
fn wrong(run: Run) -> Run {
    let code = run.code.unwrap_or(1).clamp(1, 2);
    run.fails(code)
}

/// The same, with a hint.
#[track_caller]
fn mistake(run: Run) -> Run {
    wrong(run).hints()
}

// ---- names and files ------------------------------------------------------------------------

#[test]
fn an_unknown_tool_offers_the_nearest_names() {
    let world = World::new();
    for command in ["plan", "install", "info"] {
        let run = world.aienv(&[command, "jupyterlap"]);
        mistake(run).names("jupyterlap").names("jupyterlab");
    }
    assert!(
        world.index().requests().is_empty(),
        "no index is asked for a typing mistake"
    );
    world.assert_not_installed("jupyterlap");
}

#[test]
fn an_unknown_command_or_option_is_wrong_usage() {
    let world = World::new();
    world.aienv(&["instal", "rembg"]).fails(2).names("install");
    world
        .aienv(&["plan", "rembg", "--jsno"])
        .fails(2)
        .names("--json");
    world.aienv(&["plan"]).fails(2);
}

#[test]
fn a_missing_manifest_is_named() {
    let world = World::new();
    mistake(world.aienv(&["install", "./nowhere.toml"])).names("nowhere.toml");
}

#[test]
fn broken_toml_is_shown_with_file_and_line() {
    let world = World::new();
    let text = index_tool("tiny", "", "").replace("title = ", "title = = ");
    let manifest = world.manifest("tiny", &text);
    let run = world.aienv(&["install", &manifest]);
    wrong(run)
        .names("tiny.toml")
        .names_one_of(&["line 3", ":3:"]);
    world.assert_not_installed("tiny");
}

#[test]
fn a_manifest_that_is_not_text_is_named() {
    let world = World::new();
    world.write("tiny.toml", [0xff, 0xfe, 0x00, 0x80, 0x0a]);
    let run = world.aienv(&["plan", "./tiny.toml"]);
    wrong(run).names("tiny.toml");
}

#[test]
fn an_unknown_key_names_the_nearest_right_one() {
    let world = World::new();
    for (wrong, right) in [
        ("sumary = ", "summary"),
        ("licenced = ", "licence"),
        ("homepag = ", "homepage"),
    ] {
        let line = format!("{right} = ");
        let text = index_tool("tiny", "", "").replace(&line, wrong);
        let manifest = world.manifest("tiny", &text);
        let key = wrong.trim_end_matches(" = ");
        mistake(world.aienv(&["install", &manifest]))
            .names(key)
            .names(right);
        // What lint finds is its result, so it goes to standard output.
        let lint = world.aienv(&["catalog", "lint", &manifest]);
        assert_eq!(lint.code, Some(1));
        lint.prints(key).prints(right);
    }
    let nested = index_tool("tiny", "extra = []", "");
    let manifest = world.manifest("tiny", &nested);
    mistake(world.aienv(&["plan", &manifest]))
        .names("extra")
        .names("extras");
    world.assert_not_installed("tiny");
}

#[test]
fn values_of_a_manifest_that_make_no_sense_are_refused() {
    let world = World::new();
    world.index().add(Wheel::command("tiny", "1.0"));
    for (right, bad, named) in [
        ("name = \"tiny\"", "name = \"../tiny\"", "../tiny"),
        ("schema = 1", "schema = 999", "999"),
        (
            "package = \"tiny\"",
            "package = \"tiny\"\nversion = \"newest\"",
            "newest",
        ),
        ("[commands.tiny]", "[commands.\"../../tiny\"]", "../../tiny"),
        (
            "category = \"development\"",
            "category = \"developmnt\"",
            "development",
        ),
    ] {
        let manifest = world.manifest("tiny", &index_tool("tiny", "", "").replace(right, bad));
        let run = world.aienv(&["install", &manifest]);
        wrong(run).names(named);
        world.assert_not_installed("tiny");
    }
}

#[test]
fn broken_host_snapshots_and_locks_are_named() {
    let world = World::new();
    world.index().add(Wheel::command("tiny", "1.0"));
    let manifest = world.tool("tiny");
    for content in ["{ not json", "{}", "[]", ""] {
        world.write("box.json", content);
        let run = world.aienv(&["plan", &manifest, "--host", "./box.json"]);
        wrong(run).names("box.json");
    }
    for content in ["not = = toml", "lock-version = \"99.0\"\n", ""] {
        world.write("pylock.toml", content);
        let run = world.aienv(&["install", "--lock", "./pylock.toml"]);
        wrong(run).names("pylock.toml");
    }
    assert!(!world.home().prefixes().exists());
}

// ---- the index ------------------------------------------------------------------------------

#[track_caller]
fn bad_index(failure: Failure) -> Run {
    let world = World::new();
    world.index().add(Wheel::command("tiny", "1.0"));
    world.index().fail("/simple/tiny/", failure);
    let host = world.index().host();
    refused(&world, "tiny")
        .hints()
        .names_one_of(&[&host, "tiny"])
}

#[test]
fn a_package_that_the_index_lacks_is_named() {
    let world = World::new();
    refused(&world, "tiny")
        .names("tiny")
        .names(&world.index().host());
    bad_index(Failure::Status(404)).names("tiny");
}

#[test]
fn a_dependency_that_the_index_lacks_is_named_with_who_wants_it() {
    let world = World::new();
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("gone>=2"));
    refused(&world, "tiny").names("gone").names("tiny");
}

#[test]
fn refusals_of_the_index_are_told_with_their_status() {
    bad_index(Failure::Status(403)).names("403");
    bad_index(Failure::Status(500)).names("500");
    let later = Failure::RetryAfter {
        status: 429,
        seconds: 1,
    };
    bad_index(later).names("429");
}

#[test]
fn credentials_that_are_missing_or_wrong_are_never_shown() {
    let mut world = World::new();
    world.index().add(Wheel::command("tiny", "1.0"));
    world.index().require_credentials("ann", "right-s3cret");
    refused(&world, "tiny").hints().names("401");
    let url = world.index().simple_as("ann", "wrong-s3cret");
    world.env("AIENV_INDEX_URL", url);
    refused(&world, "tiny")
        .names("401")
        .never_says("wrong-s3cret");
    let manifest = world.tool("tiny");
    let run = world.aienv(&["-vv", "plan", &manifest]);
    assert_eq!(run.code, Some(1));
    run.names("GET")
        .names("[net.status]")
        .never_says("wrong-s3cret");
}

#[test]
fn a_page_that_is_no_index_is_recognised() {
    bad_index(Failure::LoginPage);
    bad_index(Failure::Garbage);
}

#[test]
fn a_file_that_the_index_states_no_digest_for_must_stay_what_it_was() {
    let world = World::new();
    world.index().speak(Dialect::LISTING);
    world.index().add(Wheel::command("tiny", "1.0"));
    let manifest = world.tool("tiny");
    world.aienv(&["lock", &manifest, "-o", "pylock.toml"]).ok();
    let other = Wheel::command("tiny", "1.0").module("tiny/other.py", "x = 1");
    world.index().add(other);
    std::fs::remove_dir_all(world.home().cache()).unwrap();
    let run = world.aienv(&["install", "--lock", "pylock.toml"]);
    run.fails(1).names("tiny-1.0-py3-none-any.whl");
    world.assert_not_installed("tiny");
}

#[test]
fn a_login_page_in_place_of_a_wheel_is_not_installed() {
    let world = World::new();
    world
        .index()
        .speak(Dialect::FULL)
        .add(Wheel::command("tiny", "1.0"));
    world
        .index()
        .fail("tiny-1.0-py3-none-any.whl", Failure::LoginPage);
    refused(&world, "tiny").names("tiny-1.0-py3-none-any.whl");
}

#[test]
fn no_network_is_one_message_that_names_the_index() {
    let mut world = World::new();
    world.index_mut().stop();
    let host = world.index().host();
    refused(&world, "tiny").hints().names(&host);
    let manifest = world.tool("tiny");
    world
        .aienv(&["plan", &manifest])
        .fails(1)
        .hints()
        .names(&host);
}

#[test]
fn an_index_address_that_is_none_is_named() {
    let mut world = World::new();
    world.env("AIENV_INDEX_URL", "htp:/not an address");
    let manifest = world.tool("tiny");
    let run = world.aienv(&["plan", &manifest]);
    wrong(run).names("not an address");
}

#[test]
fn a_torch_index_that_cannot_be_reached_is_said_in_the_plan_or_the_error() {
    let world = World::new();
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("torch>=2"));
    world.index().fail("/whl/cpu/torch/", Failure::Status(503));
    refused(&world, "tiny").names("torch");
}

// ---- the machine ----------------------------------------------------------------------------

/// Every write beyond one megabyte of a file fails, as on a full disk.
#[cfg(unix)]
#[test]
fn a_disk_that_takes_no_more_leaves_nothing_behind() {
    use std::os::unix::process::CommandExt as _;
    let world = World::new();
    world.index().add(
        Wheel::command("tiny", "1.0")
            .stored()
            .ballast("tiny/big.bin", 4 << 20),
    );
    let manifest = world.tool("tiny");
    let mut command = world.command(&["install", &manifest]);
    // SAFETY: signal and setrlimit are async-signal-safe and touch the child alone.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit {
                rlim_cur: 1 << 20,
                rlim_max: 1 << 20,
            };
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    world
        .finish(command)
        .fails(1)
        .names(&world.home().root().to_string_lossy());
    world.assert_not_installed("tiny");
    // With room again, the next run carries on.
    world.aienv(&["install", &manifest]).ok();
    world.shim("tiny", &[]).ok();
}

#[test]
fn a_home_that_cannot_be_made_is_named() {
    let mut world = World::new();
    world.index().add(Wheel::command("tiny", "1.0"));
    let file = world.write("file", "not a folder");
    world.env("AIENV_HOME", file.join("home"));
    let manifest = world.tool("tiny");
    let run = world.aienv(&["install", &manifest]).fails(1).hints();
    run.names(&file.to_string_lossy());
}

/// `/sys` takes no new folder even from root, which permission bits would not stop.
#[cfg(target_os = "linux")]
#[test]
fn a_home_that_is_read_only_is_named() {
    let mut world = World::new();
    world.index().add(Wheel::command("tiny", "1.0"));
    world.env("AIENV_HOME", "/sys/aienv-home");
    let manifest = world.tool("tiny");
    let run = world.aienv(&["install", &manifest]).fails(1).hints();
    run.names("/sys/aienv-home").names("AIENV_HOME");
}

#[test]
fn spaces_quotes_and_foreign_letters_in_paths_are_no_trouble() {
    let world = World::with_awkward_paths();
    world
        .index()
        .add(Wheel::command("tiny", "1.0").script("tiny-script", SCRIPT));
    let more = "[commands.tiny-script]\nrun = [\"{bin}/tiny-script\"]\n";
    let text = index_tool("tiny", "", more).replace(
        "run = [\"{bin}/tiny\"]",
        "run = [\"{bin}/tiny\"]\ndefault = true",
    );
    let manifest = world.manifest("mein wérkzeug", &text);
    world.aienv(&["install", &manifest]).ok();
    world.shim("tiny", &["ä b"]).ok().prints("tiny 1.0");
    world
        .aienv(&["run", "tiny", "x"])
        .ok()
        .prints("tiny 1.0 [\"x\"]");
    world
        .shim("tiny-script", &[])
        .ok()
        .prints("in a prefix: True");
}

/// A script whose first line has to be rewritten, to a path no `#!` line can hold as it is.
const SCRIPT: &str = "#!python\nimport sys\nprint('in a prefix:', sys.prefix != sys.base_prefix)\n";

#[test]
fn no_wheel_for_this_platform_names_package_and_platform() {
    let world = World::new();
    let python = test_python().feature.replace('.', "");
    let tag = format!("cp{python}-cp{python}-win_arm64");
    world.index().add(Wheel::command("tiny", "1.0").tag(&tag));
    let manifest = world.tool("tiny");
    let machine = host::with_python(
        host::linux_cpu(),
        &test_python().path,
        &test_python().version,
    );
    let snapshot = world.host(&machine);
    let run = world
        .aienv(&["plan", &manifest, "--host", &snapshot])
        .fails(1)
        .hints();
    run.names("tiny").names_one_of(&["wheel", "platform"]);
    world.assert_not_installed("tiny");
}

#[test]
fn a_plan_for_another_kind_of_machine_is_not_installed_here() {
    let world = World::new();
    world.index().add(Wheel::command("tiny", "1.0"));
    let manifest = world.tool("tiny");
    let python = test_python();
    let mut machine = host::with_python(host::linux_cpu(), &python.path, &python.version);
    machine.cpu.arch = match std::env::consts::ARCH {
        "aarch64" => Arch::X86_64,
        _ => Arch::Aarch64,
    };
    let snapshot = world.host(&machine);
    world
        .aienv(&["install", &manifest, "--host", &snapshot])
        .fails(1)
        .hints()
        .names("another machine");
    world.assert_not_installed("tiny");
}

#[test]
fn an_accelerator_the_tool_has_no_build_for_is_told() {
    let world = World::new();
    world.index().add(Wheel::command("tiny", "1.0"));
    let manifest = world.tool("tiny");
    world
        .aienv(&["plan", &manifest, "--accel", "cuda"])
        .fails(1)
        .hints()
        .names("it has no cuda build, only cpu");
}

#[test]
fn a_c_library_that_is_too_old_is_told() {
    let world = World::new();
    let tag = "py3-none-manylinux_2_28_x86_64";
    world.index().add(Wheel::command("tiny", "1.0").tag(tag));
    let manifest = world.tool("tiny");
    let python = test_python();
    let old = host::with_python(host::old_glibc(), &python.path, &python.version);
    let snapshot = world.host(&old);
    let run = world
        .aienv(&["plan", &manifest, "--host", &snapshot])
        .fails(1);
    run.names("tiny")
        .names_one_of(&["glibc", "2.17", "manylinux"]);
    // The same on a machine of today is planned.
    let new = host::with_python(host::linux_cpu(), &python.path, &python.version);
    let snapshot = world.host(&new);
    world
        .aienv(&["plan", &manifest, "--host", &snapshot])
        .ok()
        .prints("tiny");
}

#[test]
fn a_set_that_cannot_be_satisfied_names_both_sides() {
    let world = World::new();
    world.index().add(
        Wheel::command("tiny", "1.0")
            .requires("left")
            .requires("right"),
    );
    world
        .index()
        .add(Wheel::library("left", "1.0").requires("common<2"));
    world
        .index()
        .add(Wheel::library("right", "1.0").requires("common>=2"));
    world
        .index()
        .add(Wheel::library("common", "1.0"))
        .add(Wheel::library("common", "2.0"));
    refused(&world, "tiny")
        .names("left")
        .names("right")
        .names("common");
}

#[test]
fn a_source_distribution_is_not_built_unless_allowed() {
    let world = World::new();
    world
        .index()
        .add(Sdist::command("tiny", "1.0").during_build("raise SystemExit('ran')"));
    refused(&world, "tiny")
        .hints()
        .names("tiny")
        .names_one_of(&["source", "wheel", "build"]);
}

#[test]
fn a_build_that_fails_shows_what_it_said() {
    let world = World::new();
    let code = "import sys; print('no compiler found here', file=sys.stderr); sys.exit(3)";
    world
        .index()
        .add(Sdist::command("tiny", "1.0").during_build(code));
    let text = index_tool("tiny", "", "[packages]\nbuild = [\"tiny\"]\n");
    let manifest = world.manifest("tiny", &text);
    let run = world.aienv(&["install", &manifest]).fails(1);
    run.names("tiny").names("no compiler found here");
    world.assert_not_installed("tiny");
}

#[test]
fn a_python_that_nobody_has_is_told_with_what_there_is() {
    let world = World::new();
    world.index().add(Wheel::command("tiny", "1.0"));
    let text = index_tool("tiny", "", "[python]\nrequires = \">=3.90\"\n");
    let manifest = world.manifest("tiny", &text);
    let run = world.aienv(&["install", &manifest]).fails(1).hints();
    run.names("python").names("3.90");
    world.assert_not_installed("tiny");
}

#[test]
fn a_package_for_another_python_is_told() {
    let world = World::new();
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires_python(">=3.90"));
    refused(&world, "tiny").names("tiny").names("3.90");
}

/// An interpreter on PATH that only fails, and no managed one to be had.
#[cfg(unix)]
#[test]
fn a_python_that_does_not_run_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut world = World::new();
    world.index().add(Wheel::command("tiny", "1.0"));
    let folder = world.root().join("broken");
    std::fs::create_dir(&folder).unwrap();
    let python = folder.join("python3");
    std::fs::write(&python, "#!/bin/sh\necho broken >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    world.env("PATH", folder);
    refused(&world, "tiny").hints().names("python");
}
