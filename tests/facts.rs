//! `aienv catalog facts`: the table of torch releases beside what an index says.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Dialect, Failure, Run, Wheel, World};

/// A table of one release, small enough to be published here.
const TABLE: &str = r#"
schema = 1
as-of = "2026-11-21"
family = ["torch", "torchvision", "torchaudio", "triton", "xformers"]

[sources]
test = "made for a test"

[[torch]]
release = "2.14"
requires-python = ">=3.11"
python = ["3.11", "3.12"]
free-threaded = ["3.12"]
default = { linux-x86_64 = "cu130", windows-x86_64 = "cpu", macos-aarch64 = "mps" }
rocm = ["rocm7.2"]
glibc = { x86_64 = "2.28" }
macos = { aarch64 = "14.0" }
libraries = { cuda = "13.0.3", cudnn = "9.24.0.43" }
source = "test"
[torch.builds]
cu130 = ["7.5", "8.0"]
[[torch.version]]
version = "2.14.1"
released = "2026-09-30"
triton = "3.8.0"
triton-below = "3.12"
torchvision = "0.29.1"
torchaudio = "2.11.0"
xformers = "0.0.35"

[[companion]]
package = "torchaudio"
versions = "==2.11.*"
default-cuda = "13.0"
source = "test"

[[source-only]]
package = "flash-attn"
source = "test"
"#;

/// A wheel of torch 2.14.1 with what the table says it needs.
fn torch(version: &str, tag: &str) -> Wheel {
    Wheel::library("torch", version)
        .tag(tag)
        .requires_python(">=3.11")
        .requires("cuda-toolkit[cublas,cudart]==13.0.3 ; platform_system == 'Linux'")
        .requires("nvidia-cudnn-cu13==9.24.0.43 ; platform_system == 'Linux'")
        .requires("triton~=3.8.0 ; platform_system == 'Linux' and python_version < '3.12'")
        .requires("numpy")
}

/// An index that says what the table says.
fn world() -> World {
    let world = World::new();
    let index = world.index();
    index.speak(Dialect::FULL);
    for python in ["cp311-cp311", "cp312-cp312", "cp312-cp312t"] {
        for platform in ["manylinux_2_28_x86_64", "win_amd64", "macosx_14_0_arm64"] {
            index.add(torch("2.14.1", &format!("{python}-{platform}")));
        }
    }
    // Nobody gets a release candidate without asking.
    index.add(torch("2.16.0rc1", "cp311-cp311-manylinux_2_28_x86_64"));
    let companion =
        |name, version| Wheel::library(name, version).tag("cp311-cp311-manylinux_2_28_x86_64");
    index
        .add(companion("torchvision", "0.29.0").requires("torch==2.14.0"))
        .add(companion("torchvision", "0.29.1").requires("torch>=2.14.0"))
        .add(companion("torchvision", "0.29.2").requires("torch>=2.14.0"))
        .add(companion("torchaudio", "2.11.0"))
        .add(companion("xformers", "0.0.35").requires("torch>=2.10"));
    for platform in ["manylinux_2_28_x86_64", "win_amd64"] {
        let tag = format!("cp311-cp311-{platform}");
        index.add_torch("cu130", torch("2.14.1+cu130", &tag));
    }
    index.add_torch(
        "rocm7.2",
        torch("2.14.1+rocm7.2", "cp311-cp311-manylinux_2_28_x86_64"),
    );
    world
}

/// The comparison with a table.
fn compare(world: &World, table: &str) -> Run {
    let file = world.write("torch.toml", table);
    world.aienv(&[
        "catalog",
        "facts",
        "--refresh",
        "--table",
        file.to_str().unwrap(),
    ])
}

/// Asserts that exactly these facts disagree, and that the exit code says so.
#[track_caller]
fn disagrees(world: &World, table: &str, expected: &[&str]) {
    let run = compare(world, table);
    let lines: Vec<&str> = run
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .collect();
    assert_eq!(lines, expected, "{}{}", run.stdout, run.stderr);
    assert_eq!(run.code, Some(i32::from(!expected.is_empty())));
}

#[test]
fn a_table_that_is_right_agrees() {
    let world = world();
    let run = compare(&world, TABLE).ok();
    assert!(!run.stdout.contains("disagree"), "{}", run.stdout);
    run.clone().prints("torch 2.14.1  5 facts agree");
    assert!(run.stderr.contains("0 disagree"), "{}", run.stderr);
    // Nothing is downloaded for it but metadata.
    let wheels = world.index().requests();
    let whole = wheels
        .iter()
        .filter(|request| request.path.ends_with(".whl") && request.range.is_none());
    assert_eq!(whole.count(), 0);
}

#[test]
fn what_the_wheels_say_otherwise_is_told() {
    let world = world();
    for (right, wrong, told) in [
        (
            "cudnn = \"9.24.0.43\"",
            "cudnn = \"9.1\"",
            "library cudnn: the table says `9.1`, the index `9.24.0.43`",
        ),
        (
            "requires-python = \">=3.11\"",
            "requires-python = \">=3.10\"",
            "requires-python: the table says `>=3.10`, the index `>=3.11`",
        ),
        (
            "free-threaded = [\"3.12\"]",
            "free-threaded = [\"3.11\"]",
            "free-threaded: the table says `3.11`, the index `3.12`",
        ),
        (
            "glibc = { x86_64 = \"2.28\" }",
            "glibc = { x86_64 = \"2.17\" }",
            "glibc x86_64: the table says `2.17`, the index `2.28`",
        ),
        (
            "macos = { aarch64 = \"14.0\" }",
            "macos = { aarch64 = \"11.0\" }",
            "macos aarch64: the table says `11.0`, the index `14.0`",
        ),
        (
            "windows-x86_64 = \"cpu\"",
            "windows-x86_64 = \"cu130\"",
            "default windows-x86_64: the table says `cu130`, the index `cpu`",
        ),
        (
            "triton-below = \"3.12\"\n",
            "",
            "triton: the table says `3.8.0 for Python 3.11, 3.12`, \
             the index `~=3.8.0 for Python 3.11`",
        ),
        (
            "triton = \"3.8.0\"",
            "triton = \"3.9.0\"",
            "triton: the table says `3.9.0 for Python 3.11`, the index `~=3.8.0 for Python 3.11`",
        ),
        (
            "torchvision = \"0.29.1\"",
            "torchvision = \"0.29.0\"",
            "torchvision: the table says `0.29.0`, the index `it asks for torch ==2.14.0`",
        ),
        (
            "xformers = \"0.0.35\"",
            "xformers = \"0.0.36\"",
            "xformers: the table says `0.0.36`, the index `lacks it`",
        ),
        (
            "rocm = [\"rocm7.2\"]",
            "rocm = [\"rocm7.2\", \"rocm7.1\"]",
            "build rocm7.1: the table says `linux-x86_64`, the index `none`",
        ),
    ] {
        assert!(TABLE.contains(right), "{right}");
        disagrees(&world, &TABLE.replacen(right, wrong, 1), &[told]);
    }
}

#[test]
fn what_came_out_since_is_found() {
    let world = world();
    let linux = "cp311-cp311-manylinux_2_28_x86_64";
    world
        .index()
        .add(torch("2.15.0", linux))
        .add(
            Wheel::library("xformers", "0.0.36")
                .tag(linux)
                .requires("torch==2.14.1"),
        )
        .add(Wheel::library("flash-attn", "3.0").tag(linux))
        .add_torch(
            "cu130",
            torch("2.14.1+cu130", "cp311-cp311-manylinux_2_28_aarch64"),
        );
    disagrees(
        &world,
        TABLE,
        &[
            "build cu130: the table says `linux-x86_64, windows-x86_64`, \
             the index `linux-x86_64, linux-aarch64, windows-x86_64`",
            "xformers: the table says `0.0.35`, the index `0.0.36 is made for it`",
            "release: the table says `lacks it`, the index `has it`",
            "wheels: the table says `none`, the index `1 versions with wheels`",
        ],
    );
    // Asked about one release, the others are not missing.
    let file = world.write("torch.toml", TABLE);
    let run = world.aienv(&[
        "catalog",
        "facts",
        "2.14",
        "--table",
        file.to_str().unwrap(),
    ]);
    assert!(!run.stdout.contains("lacks it"), "{}", run.stdout);
}

#[test]
fn a_release_that_was_withdrawn_is_found() {
    let world = world();
    let table = TABLE.replace(
        "[[companion]]",
        "[[torch.version]]\nversion = \"2.14.0\"\nreleased = \"2026-09-02\"\ntriton = \"3.8.0\"\n\
         torchvision = \"0.29.0\"\n\n[[companion]]",
    );
    disagrees(
        &world,
        &table,
        &["release: the table says `has it`, the index `lacks it`"],
    );
}

#[test]
fn torch_indexes_that_do_not_answer_are_left_out() {
    let world = world();
    for build in ["cpu", "cu130", "rocm7.2", "xpu"] {
        world
            .index()
            .fail(&format!("/whl/{build}/torch/"), Failure::Status(500));
    }
    let run = compare(&world, TABLE).ok();
    assert!(!run.stdout.contains("build cu130"), "{}", run.stdout);
    run.names("not compared: the torch wheel indexes");
}

#[test]
fn every_fact_is_in_the_json() {
    let world = world();
    let file = world.write("torch.toml", TABLE.replace("9.24.0.43", "9.1"));
    let run = world.aienv(&[
        "catalog",
        "facts",
        "--json",
        "--table",
        file.to_str().unwrap(),
    ]);
    assert_eq!(run.code, Some(1));
    let json = run.json();
    let facts = json["facts"].as_array().unwrap();
    let cudnn = facts
        .iter()
        .find(|fact| fact["fact"] == "library cudnn")
        .unwrap();
    assert_eq!(cudnn["about"], "torch 2.14");
    assert_eq!(cudnn["table"], "9.1");
    assert_eq!(cudnn["index"], "9.24.0.43");
    assert_eq!(cudnn["agrees"], false);
    let agreeing = facts.iter().filter(|fact| fact["agrees"] == true).count();
    assert_eq!(agreeing, facts.len() - 1);
    assert_eq!(json["skipped"].as_array().unwrap().len(), 0);
}

#[test]
fn questions_that_cannot_be_answered() {
    let world = world();
    world
        .aienv(&["catalog", "facts", "1.2"])
        .fails(2)
        .names("the table has no torch 1.2")
        .hints();
    world
        .aienv(&["catalog", "facts", "--table", "nowhere.toml"])
        .fails(2)
        .names("nowhere.toml");
    compare(&world, "schema = 1\nnonsense = true\n")
        .fails(2)
        .names("is not a table of torch releases");
    world.index().withdraw("torch");
    compare(&world, TABLE)
        .fails(1)
        .names("the package `torch` is not on");
    world.index().fail("/simple/torch/", Failure::LoginPage);
    compare(&world, TABLE).fails(1).names("not a package index");
}

#[test]
fn metadata_that_makes_no_sense_is_an_error_and_no_fact() {
    let world = world();
    world.index().add(
        Wheel::library("torch", "2.14.1")
            .tag("cp312-cp312-manylinux_2_28_x86_64")
            .requires("=== nothing"),
    );
    compare(&world, TABLE).fails(1).names("cannot be used");
}
