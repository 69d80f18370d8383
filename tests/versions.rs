//! A chosen version of a tool: `TOOL==VERSION` wherever a tool is named.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Dialect, Tree, Wheel, World, index_tool, tree_tool};

/// A catalogue with one tool, `tiny`, of which these versions were published.
fn world(versions: &[&str]) -> World {
    let mut world = World::new();
    world.index().speak(Dialect::FULL);
    for version in versions {
        world.index().add(Wheel::command("tiny", version));
    }
    let folder = world.work().join("manifests");
    std::fs::create_dir_all(&folder).unwrap();
    let text = index_tool("tiny", "version = \">=1\"", "");
    std::fs::write(folder.join("tiny.toml"), text).unwrap();
    world.env("AIENV_MANIFESTS", folder);
    world
}

#[test]
fn a_version_is_installed_kept_by_upgrades_and_let_go() {
    let world = world(&["1.0", "1.5", "2.0"]);
    world.aienv(&["install", "tiny==1.0"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 1.0");
    world
        .aienv(&["list", "--installed"])
        .ok()
        .prints("kept at 1.0");
    // Naming the tool without a version asks for nothing new.
    world.aienv(&["install", "tiny"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 1.0");
    for upgrade in [["upgrade", "tiny"], ["upgrade", "--all"]] {
        let run = world.aienv(&upgrade).ok();
        assert!(
            run.stderr().contains("tiny stays at 1.0") && run.stderr().contains("unpin"),
            "{}",
            run.stderr()
        );
        world.shim("tiny", &[]).ok().prints("tiny 1.0");
    }
    world.aienv(&["upgrade", "tiny==1.5"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 1.5");
    // Going back takes up what was asked for then.
    world.aienv(&["rollback", "tiny"]).ok();
    world
        .aienv(&["list", "--installed"])
        .ok()
        .prints("kept at 1.0");
    world.aienv(&["unpin", "tiny"]).ok();
    world.aienv(&["upgrade", "tiny"]).ok();
    world.shim("tiny", &[]).ok().prints("tiny 2.0");
    let json = world.aienv(&["list", "--installed", "--json"]).ok().json();
    assert!(json[0].get("kept_at").is_none());
}

#[test]
fn every_command_that_plans_takes_a_version() {
    let world = world(&["1.0", "2.0"]);
    for command in [
        &["plan", "tiny==1.0"][..],
        &["plan", "TINY == 1.0"],
        &["plan", "./manifests/tiny.toml==1.0"],
        &["why", "tiny==1.0", "tiny"],
        &["what-if", "tiny==1.0", "--no-gpu"],
        &["lock", "tiny==1.0"],
    ] {
        let run = world.aienv(command).ok();
        assert!(run.stdout().contains("1.0"), "{}", run.stdout());
        assert!(!run.stdout().contains("2.0 for"), "{}", run.stdout());
    }
    world.aienv(&["run", "--yes", "tiny==1.0"]).ok();
    world.aienv(&["run", "tiny==1.0"]).ok().prints("tiny 1.0");
    // Another version than the one that is there has to be installed first.
    let run = world.aienv(&["run", "tiny==2.0"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr().contains("nothing was installed"));
    world.shim("tiny", &[]).ok().prints("tiny 1.0");
}

#[test]
fn a_version_below_what_the_manifest_is_made_for_can_be_had_and_is_remarked_on() {
    let world = world(&["0.9", "1.0"]);
    world
        .aienv(&["plan", "tiny==0.9"])
        .ok()
        .prints("is about its versions >=1")
        .prints("you asked for it");
    let run = world.aienv(&["plan", "tiny==1.0"]).ok();
    assert!(!run.stdout().contains("is about its versions"));
}

#[test]
fn a_version_that_does_not_exist_names_the_nearest() {
    let world = world(&["1.0", "1.4", "2.0", "2.1rc1"]);
    world
        .aienv(&["install", "tiny==1.2"])
        .fails(1)
        .names("no tiny 1.2")
        .names("1.0, 1.4, 2.0");
    world
        .aienv(&["plan", "tiny==9"])
        .fails(1)
        .names("the nearest that exist: 2.0");
    world.assert_not_installed("tiny");
}

#[test]
fn nonsense_is_wrong_usage() {
    let world = world(&["1.0"]);
    for (reference, part) in [
        ("tiny>=1.0", "`tiny==1.2.3`"),
        ("tiny=1.0", "`tiny==1.2.3`"),
        ("tiny@1.0", "`tiny==1.2.3`"),
        ("tiny==", "not a version"),
        ("tiny==new", "`new`"),
        ("tiny==1.*", "`1.*`"),
        ("==1.0", "names no tool"),
    ] {
        for command in ["install", "plan", "upgrade"] {
            world.aienv(&[command, reference]).fails(2).names(part);
        }
    }
    world
        .aienv(&["install", "tyni==1.0"])
        .fails(2)
        .names("did you mean `tiny`");
    world.assert_not_installed("tiny");
}

#[test]
fn the_version_of_a_source_tree_cannot_be_chosen() {
    let world = World::new();
    let tree = Tree::new("owner/paint", "1.0");
    world.index().add_tree(&tree);
    let manifest = world.manifest("paint", &tree_tool("paint", &tree, 7861, ""));
    world
        .aienv(&["plan", &format!("{manifest}==0.9")])
        .fails(2)
        .names("source tree at a pinned commit")
        .names("1.0");
}

#[test]
fn a_lock_has_its_version_already() {
    let world = world(&["1.0"]);
    world.aienv(&["lock", "tiny", "-o", "pylock.toml"]).ok();
    world
        .aienv(&["install", "--lock", "pylock.toml", "tiny==1.0"])
        .fails(2)
        .names("the lock has one already");
}
