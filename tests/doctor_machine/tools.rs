//! The installed tools, and what `--fix` does about those that are broken.

use crate::support::{Dialect, Wheel, World, host, world::test_python};

const TOOL: &str = r#"schema = 1
name = "painter"
title = "Painter"
summary = "A tool for a test"
homepage = "https://index.example/painter"
licence = "MIT"
category = "image"

[source.index]
package = "painter"

[accelerators.cpu]
[accelerators.cuda]

[commands.painter]
run = ["{bin}/painter"]
"#;

/// A world with a tool that needs torch.
fn world() -> World {
    let world = World::new();
    world.index().speak(Dialect::FULL);
    world
        .index()
        .add(Wheel::command("painter", "1.0").requires("torch>=2.6"));
    for build in ["cpu", "cu126"] {
        let version = format!("2.9.0+{build}");
        world
            .index()
            .add_torch(build, Wheel::library("torch", &version));
    }
    world
}

/// The findings about tools.
fn about_tools(run: &crate::support::Run) -> Vec<serde_json::Value> {
    let json = run.json();
    let findings = json["findings"].as_array().unwrap().iter();
    findings
        .filter(|finding| finding["check"] == "tools.installed")
        .cloned()
        .collect()
}

#[test]
fn an_environment_that_is_gone_or_damaged_is_made_anew() {
    let world = world();
    world
        .aienv(&["install", &world.manifest("painter", TOOL)])
        .ok();
    let healthy = world.aienv(&["doctor", "--json"]);
    assert_eq!(about_tools(&healthy), [] as [serde_json::Value; 0]);
    let fixed = world.aienv(&["doctor", "--fix", "--json"]);
    assert!(fixed.stdout.contains("needs mending"), "{}", fixed.stdout);
    assert!(
        healthy.stdout.contains("painter is whole"),
        "{}",
        healthy.stdout
    );

    std::fs::remove_dir_all(world.home().prefixes()).unwrap();
    let run = world.aienv(&["doctor", "--json"]);
    assert_eq!(run.code, Some(1));
    let found = about_tools(&run);
    assert!(
        found[0]["title"].as_str().unwrap().contains("is gone"),
        "{found:#?}"
    );
    assert_eq!(found[0]["fix"][0]["command"], "aienv repair painter");

    let fixed = world.aienv(&["doctor", "--fix", "--json"]);
    assert_eq!(
        about_tools(&fixed),
        [] as [serde_json::Value; 0],
        "{}",
        fixed.stderr
    );
    world.shim("painter", &[]).ok().prints("painter 1.0");

    // Only a thorough look, which `--fix` takes, finds a changed file.
    let module = world
        .home_files()
        .into_iter()
        .find(|path| path.starts_with("prefixes/") && path.ends_with("painter/__init__.py"))
        .unwrap();
    let module = world.home().root().join(module);
    std::fs::remove_file(&module).unwrap();
    std::fs::write(&module, "changed = True\n").unwrap();
    let fixed = world.aienv(&["doctor", "--fix", "--json"]);
    assert!(
        fixed.stdout.contains("whole again"),
        "{}\n{}",
        fixed.stdout,
        fixed.stderr
    );
    world.shim("painter", &[]).ok().prints("painter 1.0");
}

#[test]
fn a_build_for_another_machine_is_planned_anew_and_leads_back() {
    let world = world();
    let manifest = world.manifest("painter", TOOL);
    let machine = host::linux_nvidia("580.95.05", (13, 0), (8, 9));
    let python = test_python();
    let there = world.host(&host::with_python(machine, &python.path, &python.version));
    world
        .aienv(&["lock", &manifest, "--host", &there, "-o", "pylock.toml"])
        .ok();
    world.aienv(&["install", "--lock", "pylock.toml"]).ok();

    let run = world.aienv(&["doctor", "--json"]);
    if run.json()["machine"]["host"]["nvidia"].is_object() {
        // On a machine with a driver the build is right.
        return;
    }
    assert_eq!(run.code, Some(1));
    let found = about_tools(&run);
    assert!(
        found[0]["title"].as_str().unwrap().contains("cu126 build"),
        "{found:#?}"
    );
    let fixed = world.aienv(&["doctor", "--fix", "--json"]);
    assert!(fixed.stderr.contains("generation 2"), "{}", fixed.stderr);
    assert_eq!(about_tools(&fixed), [] as [serde_json::Value; 0]);
    let list = world.aienv(&["list", "--installed", "--json"]).ok();
    assert!(list.stdout.contains("\"cpu\""), "{}", list.stdout);
    world.aienv(&["rollback", "painter"]).ok();
    assert_eq!(about_tools(&world.aienv(&["doctor", "--json"])).len(), 1);
}

#[test]
fn what_cannot_be_mended_stays_a_problem_and_says_why() {
    let world = world();
    world
        .aienv(&["install", &world.manifest("painter", TOOL)])
        .ok();
    for folder in [world.home().prefixes(), world.home().store()] {
        std::fs::remove_dir_all(folder).unwrap();
    }
    let run = world.aienv(&["doctor", "--fix", "--offline", "--json"]);
    assert_eq!(run.code, Some(1));
    let found = about_tools(&run);
    let seen = found[0]["evidence"].as_array().unwrap();
    assert!(
        seen.iter()
            .any(|line| line.as_str().unwrap().contains("mending it failed")),
        "{found:#?}"
    );
    assert!(run.stderr.contains("error: "), "{}", run.stderr);
}

#[test]
fn a_damaged_record_is_told() {
    let world = world();
    world
        .aienv(&["install", &world.manifest("painter", TOOL)])
        .ok();
    std::fs::write(
        world.home().tool("painter").join("generations/1.toml"),
        "nonsense",
    )
    .unwrap();
    let run = world.aienv(&["doctor", "--json"]);
    assert_eq!(run.code, Some(1));
    let found = about_tools(&run);
    assert!(
        found[0]["title"]
            .as_str()
            .unwrap()
            .contains("cannot be read"),
        "{found:#?}"
    );
}
