//! Installed tools.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    fixtures::tells,
    support::{Wheel, World, environment::first_finding, index_tool, world::test_python},
};

/// A world with an installed tool.
fn installed() -> World {
    let world = World::new();
    install(&world);
    world
}

fn install(world: &World) {
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("helper>=1"))
        .add(
            Wheel::library("helper", "1.4")
                .module("helper/core.py", "x = 1\n")
                .module("helper/data.json", "{}"),
        );
    let manifest = index_tool("tiny", "", "[[checks]]\nimport = [\"helper.core\"]\n");
    let manifest = world.manifest("tiny", &manifest);
    world.aienv(&["install", &manifest]).ok();
}

fn site(world: &World) -> PathBuf {
    let found = world
        .aienv(&["doctor", "tiny", "--no-run", "--json"])
        .json();
    assert_eq!(found["subject"], "tiny 1.0");
    let prefixes = fs::read_dir(world.home().prefixes()).unwrap();
    let prefix = prefixes.flatten().next().unwrap().path();
    match cfg!(windows) {
        true => prefix.join("Lib/site-packages"),
        false => prefix.join(format!("lib/python{}/site-packages", test_python().feature)),
    }
}

#[track_caller]
fn has(world: &World, cause: &str) -> serde_json::Value {
    let mut found = serde_json::Value::Null;
    for options in [&["--no-run"][..], &[]] {
        let run = world.aienv(&[&["doctor", "tiny", "--json"], options].concat());
        found = first_finding(&run, cause);
        assert_eq!(found["fix"][0]["command"], "aienv repair tiny");
    }
    found
}

/// What doctor advises helps.
#[track_caller]
fn is_mended(world: &World) {
    world.aienv(&["repair", "tiny"]).ok();
    let run = world.aienv(&["doctor", "tiny"]).ok();
    run.prints("No problem was found");
}

#[test]
fn a_tool_is_healthy_whatever_surrounds_it() {
    let mut world = installed();
    let run = world.aienv(&["doctor", "tiny"]).ok();
    run.prints("2 packages are those of the lock")
        .prints("imports work: helper.core");
    // None of this reaches a tool when it starts.
    let outside = world.root().join("outside/helper");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("__init__.py"), "raise SystemExit(3)\n").unwrap();
    world.env("PYTHONPATH", outside.parent().unwrap());
    world.env("PYTHONHOME", "/nowhere");
    world.env("LD_LIBRARY_PATH", "/nowhere/stubs");
    world.aienv(&["doctor", "tiny"]).ok();
}

#[test]
fn removed_and_changed_files_are_told_and_mended() {
    let world = installed();
    let site = site(&world);
    remove(&site.join("helper/core.py"));
    tells(&has(&world, "environment-files-damaged"), "core.py");
    is_mended(&world);
    // In an environment that is never changed, an edited file is damage.
    let data = site.join("helper/data.json");
    remove(&data);
    fs::write(&data, "[]").unwrap();
    tells(&has(&world, "environment-files-damaged"), "data.json");
    is_mended(&world);
}

#[test]
fn what_others_installed_or_removed_is_told_and_mended() {
    let world = installed();
    let site = site(&world);
    for member in Wheel::library("stranger", "9.0").members() {
        let path = site.join(&member.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, member.bytes).unwrap();
    }
    tells(
        &has(&world, "environment-files-damaged"),
        "stranger-9.0.dist-info",
    );
    is_mended(&world);
    // As `pip uninstall` leaves it.
    for gone in ["helper", "helper-1.4.dist-info"] {
        make_writable(&site.join(gone));
        fs::remove_dir_all(site.join(gone)).unwrap();
    }
    tells(
        &has(&world, "environment-files-damaged"),
        "helper-1.4.dist-info",
    );
    is_mended(&world);
    fs::write(site.join("extra.pth"), "import os\n").unwrap();
    tells(&has(&world, "environment-files-damaged"), "extra.pth");
    is_mended(&world);
}

#[test]
fn doctor_mends_a_tool_when_told_to() {
    let world = installed();
    let site = site(&world);
    remove(&site.join("helper/core.py"));
    fs::write(site.join("extra.pth"), "import os\n").unwrap();
    world
        .aienv(&["doctor", "tiny", "--fix"])
        .ok()
        .prints("No problem was found");
    assert!(site.join("helper/core.py").is_file());
    assert!(!site.join("extra.pth").exists());
    // Without a name every tool is looked at, also for what was added.
    fs::write(site.join("extra.pth"), "import os\n").unwrap();
    world.aienv(&["doctor", "--fix"]);
    assert!(!site.join("extra.pth").exists());
    // An environment of somebody else's is never changed.
    world.aienv(&["doctor", "--fix", "--python", "."]).fails(2);
}

#[test]
fn an_environment_that_was_deleted_is_told_and_mended() {
    let world = installed();
    let prefixes = world.home().prefixes();
    for entry in fs::read_dir(&prefixes).unwrap().flatten() {
        make_writable(&entry.path());
        fs::remove_dir_all(entry.path()).unwrap();
    }
    tells(&has(&world, "environment-files-damaged"), "is gone");
    is_mended(&world);
}

#[cfg(target_os = "linux")]
#[test]
fn a_changed_interpreter_is_told_and_mended() {
    use std::io::Write as _;

    let mut world = World::new();
    let python = world.own_python();
    install(&world);
    world.aienv(&["doctor", "tiny"]).ok();
    // Another build of the same version, as a distribution's update brings it.
    let mut file = fs::OpenOptions::new().append(true).open(&python).unwrap();
    file.write_all(b"another build").unwrap();
    drop(file);
    tells(&has(&world, "venv-broken-by-python-upgrade"), "has changed");
    is_mended(&world);
}

fn remove(path: &Path) {
    make_writable(path);
    fs::remove_file(path).unwrap();
}

/// Files of a prefix are read-only, which Windows minds when they are deleted.
fn make_writable(path: &Path) {
    for entry in walkdir::WalkDir::new(path).into_iter().flatten() {
        let mut permissions = entry.metadata().unwrap().permissions();
        if entry.file_type().is_file() && permissions.readonly() {
            #[allow(clippy::permissions_set_readonly_false)]
            permissions.set_readonly(false);
            fs::set_permissions(entry.path(), permissions).unwrap();
        }
    }
}
