//! Ways out: what a refusal proposes, each proposal tried by the solver, and here once more.

#![allow(clippy::unwrap_used)]

mod support;

use aienv::{
    host::Host,
    solve::{Change, WayOut},
};
use support::{Dialect, Sdist, Wheel, World, host, index_tool};

fn world() -> World {
    let world = World::new();
    world.index().speak(Dialect::FULL);
    world
}

/// The ways of a refusal (or of a plan that leaves the GPU idle), from `--json`.
#[track_caller]
fn ways(run: support::Run) -> Vec<WayOut> {
    let json = run.json();
    let ways = match json.get("error") {
        Some(error) => error["ways"].clone(),
        None => json["ways"].clone(),
    };
    serde_json::from_value(ways).unwrap()
}

fn told(ways: &[WayOut]) -> Vec<String> {
    ways.iter()
        .map(|way| serde_json::to_string(&way.change).unwrap())
        .collect()
}

fn nvidia(driver: &str, capability: (u16, u16)) -> Host {
    host::linux_nvidia(driver, (12, 0), capability)
}

/// A tool for GPUs whose releases pin torch, in an index whose torch is what the facts say.
fn server(world: &World) -> String {
    for (release, torch) in [("0.8", "2.6.0"), ("0.9", "2.9.0"), ("1.0", "2.14.0")] {
        let wheel = Wheel::command("server", release).requires(&format!("torch=={torch}"));
        world.index().add(wheel);
        world.index().add(Wheel::library("torch", torch));
    }
    // From before it used torch: another program.
    world.index().add(Wheel::command("server", "0.1"));
    for (build, torch) in [
        ("cu118", "2.6.0"),
        ("cu126", "2.6.0"),
        ("cu126", "2.9.0"),
        ("cu128", "2.9.0"),
        ("cu130", "2.14.0"),
    ] {
        let wheel = Wheel::library("torch", &format!("{torch}+{build}"));
        world.index().add_torch(build, wheel);
    }
    let text = index_tool("server", "version = \">=1\"", "").replace(
        "[accelerators.cpu]",
        "[accelerators.cuda]\nversion = \">=13\"\nmin-compute-capability = \"7.0\"",
    );
    world.manifest("server", &text)
}

#[test]
fn an_older_release_that_runs_on_the_driver_comes_before_a_new_driver() {
    let world = world();
    let manifest = server(&world);
    let machine = world.host(&nvidia("550.54.14", (8, 6)));
    let run = world.aienv(&["plan", &manifest, "--host", &machine, "--json"]);
    let ways = ways(run.fails(1));
    assert_eq!(
        told(&ways),
        [
            r#"{"kind":"tool-version","value":"0.9"}"#,
            r#"{"kind":"driver","value":"580.65.06"}"#
        ]
    );
    let result = ways[0].result.as_ref().unwrap();
    assert_eq!(result.accelerator.to_string(), "cu128");
    // As a person would follow it.
    let run = world.aienv(&["plan", &format!("{manifest}==0.9"), "--host", &machine]);
    run.ok().prints("server 0.9").prints("cu128");
}

#[test]
fn an_older_release_is_not_put_on_a_toolkit_it_was_not_built_for() {
    let world = world();
    let manifest = server(&world);
    // The driver runs CUDA 11 alone; 0.8 has a torch for that, but is itself built for CUDA 12.
    let machine = world.host(&nvidia("470.42.01", (8, 6)));
    let run = world.aienv(&["plan", &manifest, "--host", &machine, "--json"]);
    assert_eq!(
        told(&ways(run.fails(1))),
        [r#"{"kind":"driver","value":"580.65.06"}"#]
    );
    world
        .aienv(&["plan", &format!("{manifest}==0.8"), "--host", &machine])
        .fails(1)
        .names("cu124")
        .names("NVIDIA driver 525.60.13 or newer: server 0.8");
}

#[test]
fn a_release_without_the_extra_for_the_gpu_is_no_way_to_it() {
    let world = world();
    for (release, has_extra) in [("0.9", false), ("1.0", true)] {
        let mut wheel = Wheel::command("writer", release);
        if has_extra {
            wheel = wheel.extra("cuda13", &["engine"]);
        }
        world.index().add(wheel);
    }
    let engine = Wheel::library("engine", "1.0").requires("no-such-package");
    world.index().add(engine);
    let gpu = "[accelerators.cuda]\nversion = \">=13\"\nextras = [\"cuda13\"]\n[accelerators.cpu]";
    let text = index_tool("writer", "version = \">=1\"", "").replace("[accelerators.cpu]", gpu);
    let manifest = world.manifest("writer", &text);
    let machine = world.host(&nvidia("580.95.05", (8, 6)));
    let run = world.aienv(&["plan", &manifest, "--host", &machine, "--json"]);
    assert_eq!(told(&ways(run.ok())), [""; 0]);
    world
        .aienv(&[
            "plan",
            &format!("{manifest}==0.9"),
            "--accel",
            "cuda",
            "--host",
            &machine,
        ])
        .fails(1)
        .names("writer[cuda13] 0.9 has no extra `cuda13`");
}

#[test]
fn a_card_no_release_runs_on_gets_no_way() {
    let world = world();
    let manifest = server(&world);
    let machine = world.host(&nvidia("580.95.05", (6, 1)));
    let run = world.aienv(&["plan", &manifest, "--host", &machine, "--json"]);
    assert_eq!(ways(run.fails(1)), []);
}

#[test]
fn a_plan_on_the_processor_says_what_would_bring_it_to_the_gpu() {
    let world = world();
    let manifest = server(&world);
    let text = std::fs::read_to_string(world.work().join("server.toml")).unwrap();
    let text = text.replace(
        "[accelerators.cuda]",
        "[accelerators.cpu]\n[accelerators.cuda]",
    );
    world.manifest("server", &text);
    let wheel = Wheel::library("torch", "2.14.0+cpu");
    world.index().add_torch("cpu", wheel);
    let machine = world.host(&nvidia("550.54.14", (8, 6)));
    let run = world
        .aienv(&["plan", &manifest, "--host", &machine, "--json"])
        .ok();
    assert_eq!(run.json()["accelerator"], "cpu");
    let found = ways(run);
    assert_eq!(
        told(&found),
        [
            r#"{"kind":"tool-version","value":"0.9"}"#,
            r#"{"kind":"driver","value":"580.65.06"}"#
        ]
    );
    // A card without any driver gets one proposed too.
    let mut bare = nvidia("550.54.14", (8, 6));
    bare.nvidia = None;
    let run = world.aienv(&["plan", &manifest, "--host", &world.host(&bare), "--json"]);
    let found = ways(run.ok());
    assert_eq!(told(&found), [r#"{"kind":"driver","value":"580.65.06"}"#]);
    let changed = found[0].change.host(&bare);
    let run = world.aienv(&["plan", &manifest, "--host", &world.host(&changed), "--json"]);
    let promised = found[0].result.as_ref().unwrap();
    let given = run.ok().json();
    assert_eq!(given["accelerator"], promised.accelerator.to_string());
    assert_eq!(given["version"], promised.version.to_string());
    // Asked for, the processor is no fallback.
    let run = world.aienv(&[
        "plan", &manifest, "--host", &machine, "--json", "--accel", "cpu",
    ]);
    assert_eq!(ways(run.ok()), []);
}

#[test]
fn options_that_stand_in_the_way_are_replaced_by_ones_that_work() {
    let world = world();
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("deep"))
        .add(Sdist::command("deep", "1.0").build());
    let manifest = world.manifest(
        "tiny",
        &index_tool("tiny", "", "[packages]\nbuild = [\"deep\"]\n"),
    );
    let run = world.aienv(&["plan", &manifest, "--only-wheels", "--json"]);
    assert_eq!(
        told(&ways(run.fails(1))),
        [r#"{"kind":"drop-only-wheels"}"#]
    );
    let run = world.aienv(&["plan", &manifest, "--accel", "cuda", "--json"]);
    let found = ways(run.fails(1));
    assert_eq!(told(&found), [r#"{"kind":"accelerator","value":"cpu"}"#]);
    world.aienv(&["plan", &manifest, "--accel", "cpu"]).ok();
    let run = world.aienv(&["plan", &manifest, "--python", "3.1", "--json"]);
    let found = ways(run.fails(1));
    let feature = &support::world::test_python().feature;
    assert_eq!(
        told(&found),
        [format!(r#"{{"kind":"python","value":"{feature}"}}"#)]
    );
    world.aienv(&["plan", &manifest, "--python", feature]).ok();
}

#[test]
fn a_permission_is_proposed_and_nothing_is_built_to_find_out() {
    let world = world();
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("plain"))
        .add(Sdist::command("plain", "1.0").build());
    let run = world.aienv(&["plan", &world.tool("tiny"), "--json"]);
    let found = ways(run.fails(1));
    assert_eq!(
        told(&found),
        [r#"{"kind":"allow-build","value":["plain"]}"#]
    );
    assert!(found[0].result.is_some());

    // What it needs shows only in a build, and nobody has allowed one yet.
    let sdist = Sdist::command("dynamic", "1.0")
        .dynamic()
        .during_build("open('/tmp/never', 'w')");
    world
        .index()
        .add(Wheel::command("other", "1.0").requires("dynamic"))
        .add(sdist);
    let run = world
        .aienv(&["plan", &world.tool("other"), "--json"])
        .fails(1);
    assert!(!run.stderr().contains("Building"), "{}", run.stderr());
    let found = ways(run);
    assert_eq!(
        told(&found),
        [r#"{"kind":"allow-build","value":["dynamic"]}"#]
    );
    assert_eq!(found[0].result, None);
    assert!(found[0].text.contains("may help"), "{}", found[0].text);
}

#[test]
fn a_torch_index_that_does_not_answer_is_named_as_what_is_missing() {
    let world = world();
    let manifest = server(&world);
    world
        .index()
        .add(Wheel::command("server", "1.1").requires("torch==2.14.0"));
    let machine = world.host(&nvidia("580.95.05", (12, 0)));
    world.index().withdraw("torch");
    let run = world.aienv(&[
        "plan",
        &manifest,
        "--host",
        &machine,
        "--json",
        "--torch-mirror",
        "http://127.0.0.1:9/whl/",
    ]);
    let found = ways(run.fails(1));
    let last = found.last().unwrap();
    assert_eq!(last.change, Change::TorchIndexes);
    assert_eq!(last.result, None);
    assert!(last.text.contains("--torch-mirror"), "{}", last.text);
}

#[test]
fn a_search_for_ways_downloads_no_wheel() {
    let world = World::new();
    // An index that states no digests: a plan downloads what it is made of, a question must not.
    world.index().speak(Dialect {
        hashes: false,
        ..Dialect::FULL
    });
    let manifest = server(&world);
    let machine = world.host(&nvidia("550.54.14", (8, 6)));
    world
        .aienv(&["plan", &manifest, "--host", &machine])
        .fails(1);
    for part in ["torch-2.9", "torch-2.14", "server-1.0"] {
        assert_eq!(world.index().bytes_of(part), 0, "{part}");
    }
}
