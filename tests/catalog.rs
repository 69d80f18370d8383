//! `aienv list`, `search`, `info` and `catalog lint` as a user sees them.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use assert_cmd::Command;

/// A manifest of the user, small enough to be read in a snapshot.
const DEMO: &str = r#"schema = 1
name = "demo"
title = "Demo Studio"
summary = "Paints zebras on request"
homepage = "https://demo.example"
licence = "MIT"
category = "image"
tags = ["stripes"]
data = ["outputs"]
notes = ["Needs a steady hand."]

[source.index]
package = "demo-studio"
version = ">=2,<3"
extras = ["web"]

[python]
requires = ">=3.11,<3.14"
prefer = ["3.12", "3.11"]

[packages]
build = ["demo-helper"]

[accelerators.cpu]

[accelerators.cuda]
version = ">=12.6"
min-compute-capability = "7.5"
min-memory-gb = 6

[commands.demo]
run = ["{bin}/demo"]
summary = "Start the page"
default = true

[commands.demo.service]
port = 7860
health = "/health"
args = ["--port", "{port}"]

[commands.demo-python]
run = ["{python}"]
summary = "Python with Demo"

[programs.ffmpeg]
package = "imageio-ffmpeg"
path = "imageio_ffmpeg/binaries/ffmpeg-*"

[models]
checkpoints = "models/checkpoints"
"#;

struct World {
    home: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("manifests")).unwrap();
        Self { home }
    }

    fn with(self, file: &str, text: &str) -> Self {
        fs::write(self.manifests().join(file), text).unwrap();
        self
    }

    fn manifests(&self) -> std::path::PathBuf {
        self.home.path().join("manifests")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::cargo_bin("aienv").unwrap();
        command
            .args(args)
            .env("AIENV_HOME", self.home.path())
            .env_remove("AIENV_MANIFESTS")
            .env("NO_COLOR", "1")
            .current_dir(self.home.path());
        command
    }

    /// Exit code, standard output and standard error, with the home's path taken out.
    fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        let separator = std::path::MAIN_SEPARATOR;
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap()
                .replace(&self.home.path().display().to_string(), "[HOME]")
                .replace(&format!("[HOME]{separator}"), "[HOME]/")
                .replace(&format!("manifests{separator}"), "manifests/")
        };
        format!(
            "exit: {}\n----- stdout\n{}----- stderr\n{}",
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr)
        )
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        let output = self.command(args).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

#[test]
fn list_groups_every_tool_by_category() {
    let world = World::new();
    let output = world.command(&["list"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let headings: Vec<&str> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(' '))
        .collect();
    let expected = "image llm-serving chat audio vision training library development";
    assert_eq!(headings.join(" "), expected);
    let mut listed: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .collect();
    listed.sort_unstable();
    let rows = world.json(&["list", "--json"]);
    let names: Vec<&str> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].as_str().unwrap())
        .collect();
    assert!(names.len() >= 24, "{names:?}");
    assert_eq!(listed, names);
}

#[test]
fn list_one_category_with_a_tool_of_the_user() {
    let world = World::new().with("demo.toml", DEMO);
    insta::assert_snapshot!(world.run(&["list", "--category", "image"]));
    let rows = world.json(&["list", "-c", "image", "--json"]);
    let demo = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "demo")
        .unwrap();
    assert_eq!(demo["accelerators"], serde_json::json!(["cpu", "cuda"]));
    assert_eq!(demo["origin"]["kind"], "folder");
}

#[test]
fn list_of_an_unknown_category_is_wrong_usage() {
    let output = World::new()
        .command(&["list", "-c", "imag"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("image, llm-serving"));
}

#[test]
fn search_finds_and_forgives() {
    let world = World::new().with("demo.toml", DEMO);
    insta::assert_snapshot!(world.run(&["search", "zebrsa", "stripes"]));
    assert_eq!(
        world.json(&["search", "zebras", "--json"])[0]["name"],
        "demo"
    );
}

#[test]
fn search_that_finds_nothing_suggests() {
    let world = World::new();
    insta::assert_snapshot!(world.run(&["search", "muzik"]));
    insta::assert_snapshot!(world.run(&["search", "qqqqqq", "xxxxx"]));
}

#[test]
fn info_tells_everything() {
    let world = World::new().with("demo.toml", DEMO);
    insta::assert_snapshot!(world.run(&["info", "Demo_Studio"]));
    let info = world.json(&["info", "demo", "--json"]);
    assert_eq!(
        info["manifest"]["source"]["index"]["package"],
        "demo-studio"
    );
    assert_eq!(info["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn info_of_a_tree_in_a_file() {
    let (head, rest) = DEMO.split_once("[source.index]").unwrap();
    let (_, tail) = rest.split_once("[python]").unwrap();
    let tree = format!(
        "{head}[source.tree]\nrepository = \"owner/demo\"\nversion = \"1.2\"\n\
         commit = \"0123456789abcdef0123456789abcdef01234567\"\n[python]{tail}"
    );
    let world = World::new().with("tree.toml", &tree);
    insta::assert_snapshot!(world.run(&["info", "manifests/tree.toml"]));
}

#[test]
fn info_says_what_was_overridden() {
    let world = World::new().with("vllm.toml", &DEMO.replace("\"demo\"", "\"vllm\""));
    let shown = world.run(&["info", "vllm"]);
    assert!(
        shown.contains("manifests/vllm.toml, in place of the one that is part of aienv"),
        "{shown}"
    );
}

#[test]
fn info_of_no_tool() {
    insta::assert_snapshot!(World::new().run(&["info", "whisper"]));
    let shown = World::new().run(&["info", "./nothing.toml"]);
    assert!(shown.starts_with("exit: 1"), "{shown}");
    assert!(
        shown.contains("cannot read the manifest `./nothing.toml`"),
        "{shown}"
    );
    assert!(shown.contains("is taken for a file"), "{shown}");
}

#[test]
fn lint_of_the_catalogue_is_clean() {
    let output = World::new().command(&["catalog", "lint"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no problems"));
}

#[test]
fn lint_shows_every_problem_of_a_file() {
    let broken = DEMO
        .replace("licence", "license")
        .replace("[source.index]", "[source.indx]")
        .replace("{port}", "{prot}");
    let world = World::new().with("demo.toml", &broken);
    let file = Path::new("manifests").join("demo.toml");
    insta::assert_snapshot!(world.run(&["catalog", "lint", file.to_str().unwrap()]));
    let problems = world.json(&["catalog", "lint", "--json"]);
    assert_eq!(problems.as_array().unwrap().len(), 3);
    assert_eq!(problems[0]["line"], 6);
    // The rest of the catalogue still answers, and says what it left out.
    let shown = world.run(&["search", "rembg"]);
    assert!(shown.starts_with("exit: 0"), "{shown}");
    assert!(shown.contains("skipped: the manifest"), "{shown}");
}

#[test]
fn lint_finds_what_no_machine_can_satisfy() {
    let impossible = DEMO.replace(
        "[packages]\n",
        "[packages]\nrequires = [\"torch>=2.15\"]\nconstraints = [\"torch<2.14\"]\n",
    );
    let world = World::new().with("demo.toml", &impossible);
    let file = Path::new("manifests").join("demo.toml");
    insta::assert_snapshot!(world.run(&["catalog", "lint", file.to_str().unwrap()]));
    // Also where the whole catalogue is looked at.
    let problems = world.json(&["catalog", "lint", "--json"]);
    let line = impossible
        .lines()
        .position(|line| line.starts_with("constraints"));
    assert_eq!(problems[0]["line"], line.unwrap() + 1);
}

#[test]
fn a_configured_folder_wins_over_the_home() {
    let world = World::new().with("demo.toml", DEMO);
    let more = tempfile::tempdir().unwrap();
    fs::write(
        more.path().join("demo.toml"),
        DEMO.replace("zebras", "okapis"),
    )
    .unwrap();
    let output = world
        .command(&["info", "demo"])
        .env("AIENV_MANIFESTS", more.path())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("okapis"));
}
