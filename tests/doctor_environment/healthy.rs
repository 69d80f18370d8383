//! What is looked at and found healthy, and what is no environment.

use std::fs;

use crate::{
    fixtures::numpy,
    support::{Venv, Wheel, World, environment::torch, world::test_python},
};

#[test]
fn an_empty_environment_and_one_with_packages_are_healthy() {
    let venv = Venv::new();
    venv.is_healthy(&[]);
    venv.install(&Wheel::library("helper", "1.0"))
        .install(&numpy("2.2.6"))
        .install(&torch("2.9.1", None))
        .install(&Wheel::command("tiny", "1.0").requires("helper>=1"));
    venv.is_healthy(&["--no-run"]);
    venv.is_healthy(&[])
        .prints("imports work: numpy, torch")
        .prints("torch computes on cpu");
    venv.is_healthy(&["--deep"]);
}

#[test]
fn an_environment_is_named_by_interpreter_folder_or_project() {
    let venv = Venv::new();
    venv.install(&Wheel::library("helper", "1.0"));
    let project = venv.world.work();
    fs::rename(&venv.root, project.join(".venv")).unwrap();
    let python = match cfg!(windows) {
        true => ".venv/Scripts/python.exe",
        false => ".venv/bin/python",
    };
    for name in [".", ".venv", python] {
        let run = venv
            .world
            .aienv(&["doctor", "--json", "--no-run", "--python", name]);
        let subject = run.ok().json()["subject"].as_str().unwrap().to_owned();
        assert!(subject.contains(".venv"), "{name}: {subject}");
    }
}

#[test]
fn a_python_installation_is_looked_at_too() {
    let venv = Venv::new();
    let python = test_python().path.to_str().unwrap();
    let run = venv.world.aienv(&["doctor", "--json", "--python", python]);
    let answer = run.json();
    assert!(
        answer["subject"].as_str().unwrap().contains("installation"),
        "{answer:#}"
    );
}

#[test]
fn what_is_no_environment_is_wrong_usage() {
    let world = World::new();
    world
        .aienv(&["doctor", "--python", "nowhere"])
        .fails(2)
        .hints()
        .names("nowhere");
    world.write("note.txt", "x");
    world
        .aienv(&["doctor", "--python", "note.txt"])
        .fails(2)
        .names("note.txt");
    world.aienv(&["doctor", "--python", "."]).fails(2).hints();
    world
        .aienv(&["doctor", "nothing"])
        .fails(2)
        .names("nothing");
}

#[test]
fn a_slip_of_the_pen_is_told_as_such() {
    let world = World::new();
    let run = world.aienv(&["doctor", "confyui"]);
    assert!(
        run.stderr.contains("no tool is called `confyui`"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("comfyui"), "{}", run.stderr);
    let run = world.aienv(&["doctor", "comfyui"]);
    assert!(
        run.stderr.contains("`comfyui` is not installed"),
        "{}",
        run.stderr
    );
}
