//! Archives that are damaged or hostile: none is installed, none writes outside its folder, each is
//! one clear message that names the file.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Dialect, Dist, Failure, Run, Tree, Wheel, World, hostile, index_tool, tree_tool};

/// Installs the plain manifest of a tool, which must fail cleanly.
#[track_caller]
fn refused(world: &World, tool: &str) -> Run {
    let manifest = world.tool(tool);
    let run = world.aienv(&["install", &manifest]).fails(1);
    world.assert_not_installed(tool);
    world.assert_no_escape();
    run
}

#[test]
fn a_wrong_hash_is_never_installed() {
    let world = World::new();
    world
        .index()
        .speak(Dialect::FULL)
        .add(Wheel::command("tiny", "1.0"));
    world
        .index()
        .fail("tiny-1.0-py3-none-any.whl", Failure::WrongBytes);
    let run = refused(&world, "tiny").hints();
    run.names("tiny-1.0-py3-none-any.whl")
        .names_one_of(&["sha256", "sha-256", "digest", "hash"]);
}

#[test]
fn a_lock_with_another_hash_is_not_satisfied_by_what_the_index_has_now() {
    let world = World::new();
    world
        .index()
        .speak(Dialect::FULL)
        .add(Wheel::command("tiny", "1.0"));
    let manifest = world.tool("tiny");
    world.aienv(&["lock", &manifest, "-o", "pylock.toml"]).ok();
    // The same file name with other bytes, at the address that the lock holds.
    let locked = std::fs::read_to_string(world.work().join("pylock.toml")).unwrap();
    let digest = Dist::from(Wheel::command("tiny", "1.0"))
        .sha256()
        .to_string();
    assert!(locked.contains(&digest), "{locked}");
    let other = "0".repeat(64);
    let forged = locked
        .replace(&format!("\"{digest}\""), &format!("\"{other}\""))
        .replace(&format!("'{digest}'"), &format!("'{other}'"));
    assert_ne!(locked, forged);
    world.write("pylock.toml", forged);
    let run = world.aienv(&["install", "--lock", "./pylock.toml"]);
    run.fails(1).names("tiny-1.0");
    world.assert_not_installed("tiny");
}

#[test]
fn a_body_that_is_too_short_is_an_error() {
    let world = World::new();
    world
        .index()
        .speak(Dialect::FULL)
        .add(Wheel::command("tiny", "1.0"));
    world
        .index()
        .fail("tiny-1.0-py3-none-any.whl", Failure::Truncated(100));
    refused(&world, "tiny").names("tiny-1.0-py3-none-any.whl");
}

/// Publishes an archive that must be refused and tries to install it. The index tells the
/// metadata, so that the archive itself is looked at only when it is unpacked.
#[track_caller]
fn hostile_wheel(world: &World, dist: Dist) -> Run {
    world.index().speak(Dialect::FULL).add(dist);
    refused(world, "evil").names("evil-1.0-py3-none-any.whl")
}

#[test]
fn a_wheel_written_by_hand_is_as_good_as_any() {
    // The counter-proof for the tests below.
    let world = World::new();
    world.index().add(hostile::sound("evil"));
    let manifest = world.tool("evil");
    world.aienv(&["install", &manifest]).ok();
    world.shim("evil", &[]).ok().prints("evil 1.0");
}

#[test]
fn an_absolute_path_in_a_wheel_is_refused() {
    let world = World::new();
    let target = world.root().join("escaped.txt");
    hostile_wheel(
        &world,
        hostile::absolute_path("evil", &target.to_string_lossy()),
    );
    assert!(!target.exists());
}

#[test]
fn a_path_upwards_in_a_wheel_is_refused() {
    hostile_wheel(&World::new(), hostile::parent_path("evil"));
    hostile_wheel(&World::new(), hostile::backslash_path("evil"));
}

#[test]
fn a_link_out_of_a_wheel_is_refused() {
    let world = World::new();
    let outside = world.root().join("tmp");
    hostile_wheel(
        &world,
        hostile::symlink_out("evil", &outside.to_string_lossy()),
    );
    let world = World::new();
    hostile_wheel(&world, hostile::symlink_out("evil", "../../.."));
}

#[test]
fn a_bomb_stops_at_the_size_it_claims() {
    let world = World::new();
    hostile_wheel(&world, hostile::bomb("evil"));
    let biggest = world.home_files().into_iter().map(|path| {
        let path = world.home().root().join(path);
        path.symlink_metadata().map_or(0, |meta| meta.len())
    });
    assert!(
        biggest.max().unwrap_or(0) < 8 << 20,
        "the bomb was unpacked"
    );
}

#[test]
fn names_that_are_one_file_are_refused() {
    hostile_wheel(&World::new(), hostile::duplicate("evil"));
    hostile_wheel(&World::new(), hostile::case_colliding("evil"));
}

#[test]
fn damaged_archives_are_refused() {
    hostile_wheel(&World::new(), hostile::truncated("evil"));
    hostile_wheel(&World::new(), hostile::bad_crc("evil"));
    hostile_wheel(&World::new(), hostile::wrong_record("evil"));
    hostile_wheel(&World::new(), hostile::not_a_zip("evil"));
}

#[test]
fn damaged_archives_are_refused_when_their_metadata_has_to_be_looked_for() {
    for dist in [hostile::truncated("evil"), hostile::not_a_zip("evil")] {
        let world = World::new();
        world.index().speak(Dialect::MIRROR).add(dist);
        refused(&world, "evil").names("evil");
    }
}

#[test]
fn hostile_source_distributions_are_refused() {
    let world = World::new();
    let outside = world.root().join("tmp").to_string_lossy().into_owned();
    for dist in [
        hostile::sdist_parent_path("evil"),
        hostile::sdist_symlink_out("evil", &outside),
    ] {
        let world = World::new();
        world.index().add(dist);
        let manifest = index_tool("evil", "", "[packages]\nbuild = [\"evil\"]\n");
        let manifest = world.manifest("evil", &manifest);
        let run = world.aienv(&["install", &manifest]);
        run.fails(1).names("evil-1.0.tar.gz");
        world.assert_not_installed("evil");
        world.assert_no_escape();
    }
    world.assert_no_escape();
}

#[test]
fn hostile_source_trees_are_refused() {
    use support::tree::Entry;
    for entry in [
        Entry::file("../../../escaped.txt", "escaped"),
        Entry::symlink("door", "../../../.."),
        Entry::symlink("door", "/"),
        Entry::hard_link("door", "/etc/passwd"),
    ] {
        let world = World::new();
        let tree = Tree::new("acme/evil", "1.0").entry(entry);
        world.index().add_tree(&tree);
        let manifest = world.manifest("evil", &tree_tool("evil", &tree, 18_188, ""));
        world
            .aienv(&["install", &manifest])
            .fails(1)
            .names("acme/evil");
        world.assert_not_installed("evil");
        world.assert_no_escape();
    }
}

#[test]
fn a_source_tree_with_another_content_than_pinned_is_refused() {
    let world = World::new();
    let tree = Tree::new("acme/studio", "1.0");
    world.index().add_tree(&tree);
    let pinned = format!("tree-hash = \"{}\"\nrequirements", "0".repeat(64));
    let manifest = tree_tool("studio", &tree, 18_188, "").replacen("requirements", &pinned, 1);
    let manifest = world.manifest("studio", &manifest);
    let run = world.aienv(&["install", &manifest]).fails(1).hints();
    run.names("acme/studio").names_one_of(&["hash", "content"]);
    world.assert_not_installed("studio");
}
