//! Plans for machines nobody here owns: which build each gets, and what a refusal says.

#![allow(clippy::unwrap_used)]

mod support;

use aienv::{
    host::{Gpu, GpuVendor, Host, NvidiaDriver},
    solve::Change,
};
use support::{Dialect, Wheel, World, host};

/// A tool that needs torch, and torch in the builds its index really has.
fn world() -> World {
    let world = World::new();
    world.index().speak(Dialect::FULL);
    world
        .index()
        .add(Wheel::command("painter", "1.0").requires("torch>=2.6"));
    for (build, releases) in [
        ("cpu", &["2.6.0", "2.9.0", "2.14.1", "2.15.0"][..]),
        ("cu118", &["2.6.0", "2.7.1"]),
        ("cu126", &["2.6.0", "2.9.0", "2.14.1"]),
        ("cu128", &["2.7.1", "2.9.0", "2.11.0"]),
        ("cu130", &["2.9.0", "2.14.1", "2.15.0"]),
        ("cu132", &["2.14.1", "2.15.0"]),
        ("rocm6.4", &["2.9.0"]),
        ("rocm7.2", &["2.11.0", "2.14.1"]),
        ("rocm7.14", &["2.14.1", "2.15.0"]),
    ] {
        for release in releases {
            let version = format!("{release}+{build}");
            world
                .index()
                .add_torch(build, Wheel::library("torch", &version));
        }
    }
    for release in ["2.6.0", "2.7.1", "2.9.0", "2.14.1", "2.15.0"] {
        world.index().add(Wheel::library("torch", release));
    }
    world
}

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
[accelerators.rocm]
[accelerators.mps]

[commands.painter]
run = ["{bin}/painter"]
"#;

/// The build and the torch that a machine gets.
#[track_caller]
fn planned(world: &World, machine: &Host) -> (String, String) {
    let manifest = world.manifest("painter", TOOL);
    let host = world.host(machine);
    let plan = world
        .aienv(&["plan", &manifest, "--host", &host, "--json"])
        .ok()
        .json();
    let packages = plan["packages"].as_array().unwrap();
    let torch = packages
        .iter()
        .find(|package| package["name"] == "torch")
        .unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    (text(&plan["accelerator"]), text(&torch["version"]))
}

fn nvidia(driver: &str, capability: (u16, u16)) -> Host {
    host::linux_nvidia(driver, (12, 0), capability)
}

fn amd(gfx: &str) -> Host {
    let mut machine = host::linux_cpu();
    machine.gpus.push(Gpu {
        vendor: GpuVendor::Amd,
        name: "Radeon of a test".to_owned(),
        pci_id: None,
        pci_address: None,
        compute_capability: None,
        gfx: Some(gfx.to_owned()),
        memory_bytes: Some(16 << 30),
        integrated: false,
        kernel_driver: Some("amdgpu".to_owned()),
    });
    machine
}

#[test]
fn each_machine_gets_the_build_that_runs_on_it() {
    let world = world();
    for (what, machine, build, torch) in [
        ("no GPU", host::linux_cpu(), "cpu", "2.15.0+cpu"),
        (
            "new card, new driver",
            nvidia("595.45.04", (8, 9)),
            "cu132",
            "2.15.0+cu132",
        ),
        (
            "new card, a driver of CUDA 13.0",
            nvidia("580.95.05", (8, 9)),
            "cu130",
            "2.15.0+cu130",
        ),
        (
            "RTX 40 with a driver of 12.8",
            nvidia("570.26", (8, 9)),
            "cu128",
            "2.11.0+cu128",
        ),
        (
            "RTX 50 with a driver of 12.8",
            nvidia("570.26", (12, 0)),
            "cu128",
            "2.11.0+cu128",
        ),
        // Driver number alone would choose cu132, which has no code for Pascal.
        (
            "GTX 10 with a new driver",
            nvidia("595.45.04", (6, 1)),
            "cu126",
            "2.14.1+cu126",
        ),
        (
            "driver 470 runs no CUDA 12",
            nvidia("470.42.01", (8, 6)),
            "cu118",
            "2.7.1+cu118",
        ),
        ("RX 7900 XTX", amd("gfx1100"), "rocm7.14", "2.15.0+rocm7.14"),
        ("Radeon VII", amd("gfx906"), "rocm7.2", "2.14.1+rocm7.2"),
        (
            "an AMD GPU without kernels",
            amd("gfx803"),
            "cpu",
            "2.15.0+cpu",
        ),
        ("Apple silicon", host::macos_arm(), "mps", "2.15.0"),
        ("Windows", host::windows(), "cpu", "2.15.0"),
    ] {
        assert_eq!(
            planned(&world, &machine),
            (build.to_owned(), torch.to_owned()),
            "{what}"
        );
    }
}

#[test]
fn of_two_cards_the_newer_decides() {
    let world = world();
    let mut machine = nvidia("595.45.04", (6, 1));
    machine.gpus.extend(nvidia("595.45.04", (8, 9)).gpus);
    assert_eq!(planned(&world, &machine).0, "cu132");
}

#[test]
fn a_card_without_a_driver_is_told_and_the_processor_used() {
    let world = world();
    let mut machine = nvidia("595.45.04", (8, 9));
    machine.nvidia = None;
    let manifest = world.manifest("painter", TOOL);
    let file = world.host(&machine);
    let run = world.aienv(&["plan", &manifest, "--host", &file]).ok();
    assert!(
        run.stdout().contains("has no working NVIDIA driver"),
        "{}",
        run.stdout()
    );
}

#[test]
fn without_the_torch_index_the_default_builds_still_fit_the_machine() {
    let world = world();
    let unreachable = |machine: &Host| {
        let manifest = world.manifest("painter", TOOL);
        let file = world.host(machine);
        let run = world.aienv(&[
            "plan",
            &manifest,
            "--host",
            &file,
            "--json",
            "--torch-mirror",
            "http://127.0.0.1:9/whl/",
        ]);
        let plan = run.ok().json();
        let torch = plan["packages"]
            .as_array()
            .unwrap()
            .iter()
            .find(|p| p["name"] == "torch")
            .unwrap();
        torch["version"].as_str().unwrap().to_owned()
    };
    // The default build of 2.15 is CUDA 13.2, of 2.9 12.8, of 2.7 12.6.
    assert_eq!(unreachable(&host::linux_cpu()), "2.15.0");
    assert_eq!(unreachable(&nvidia("570.26", (8, 9))), "2.9.0");
    assert_eq!(unreachable(&nvidia("595.45.04", (6, 1))), "2.7.1");
}

#[test]
fn a_refusal_names_a_change_that_was_tried() {
    let world = world();
    let gpu_only = TOOL.replace("[accelerators.cpu]\n", "");
    let manifest = world.manifest("painter", &gpu_only);
    let old = world.host(&nvidia("390.46", (8, 6)));
    let run = world.aienv(&["plan", &manifest, "--host", &old]);
    run.fails(1)
        .names("390.46")
        .names("driver 455.23 or newer: painter")
        .hints();
    // With the driver it names, it works.
    let new = world.host(&nvidia("455.23", (8, 6)));
    world.aienv(&["plan", &manifest, "--host", &new]).ok();

    let run = world.aienv(&["plan", &manifest, "--host", &world.host(&host::linux_cpu())]);
    run.fails(1).names("no NVIDIA GPU");
}

#[test]
fn a_refusal_in_json_carries_its_ways_out() {
    let world = world();
    let gpu_only = TOOL.replace("[accelerators.cpu]\n", "");
    let manifest = world.manifest("painter", &gpu_only);
    let old = world.host(&nvidia("390.46", (8, 6)));
    let run = world.aienv(&["plan", &manifest, "--host", &old, "--json"]);
    let error = &run.fails(1).json()["error"];
    assert_eq!(error["code"], "solve.no-accelerator");
    let way = &error["ways"][0];
    assert_eq!(
        way["change"],
        serde_json::json!({"kind": "driver", "value": "455.23"})
    );
    assert_eq!(way["result"]["accelerator"], "cu118");
    assert_eq!(way["result"]["version"], "1.0");
    let change: Change = serde_json::from_value(way["change"].clone()).unwrap();
    // The change applied is a machine that gets the plan.
    let machine = nvidia("390.46", (8, 6));
    let changed = world.host(&change.host(&machine));
    let plan = world.aienv(&["plan", &manifest, "--host", &changed, "--json"]);
    assert_eq!(plan.ok().json()["accelerator"], "cu118");
}

#[test]
fn the_driver_is_spelled_as_its_maker_does() {
    let version = "580.95.05".parse().unwrap();
    assert_eq!(NvidiaDriver::spelled(&version), "580.95.05");
}
