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
            nvidia("570.86.16", (12, 0)),
            "cu128",
            "2.11.0+cu128",
        ),
        // Driver number alone would choose cu132, which has no code for Pascal.
        (
            "GTX 10 with its last driver",
            nvidia("580.95.05", (6, 1)),
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

/// What a person reads of the plan for a machine.
#[track_caller]
fn told(world: &World, machine: &Host) -> String {
    let manifest = world.manifest("painter", TOOL);
    let host = world.host(machine);
    let run = world.aienv(&["plan", &manifest, "--host", &host]);
    run.ok().stdout().to_owned()
}

/// A card as its maker names it.
fn card(name: &str) -> Gpu {
    let model = aienv::compat::gpus::by_name(name).unwrap();
    Gpu {
        vendor: model.vendor,
        name: model.name,
        pci_id: None,
        pci_address: None,
        compute_capability: model.facts.compute_capability,
        gfx: model.facts.gfx,
        memory_bytes: model.facts.memory_bytes,
        integrated: model.facts.integrated,
        kernel_driver: None,
    }
}

/// A machine with these cards, in the order of their slots.
fn cards(driver: Option<&str>, names: &[&str]) -> Host {
    let mut machine = match driver {
        Some(driver) => nvidia(driver, (8, 6)),
        None => host::linux_cpu(),
    };
    machine.gpus = names.iter().map(|name| card(name)).collect();
    machine
}

#[test]
fn the_driver_must_know_the_gpu() {
    let world = world();
    for (gpu, driver, build, words) in [
        (
            "RTX 5090",
            "550.54.14",
            "cpu",
            "does not know the GeForce RTX 5090",
        ),
        (
            "RTX 5090",
            "570.86.16",
            "cu128",
            "has code for the GeForce RTX 5090",
        ),
        ("GTX 1080 Ti", "580.95.05", "cu126", "has code for"),
        ("GTX 1080 Ti", "590.44.01", "cpu", "580 is the last branch"),
        (
            "Tesla K80",
            "470.42.01",
            "cu118",
            "has code for the Tesla K80",
        ),
        ("Tesla K80", "535.54.03", "cpu", "470 is the last branch"),
    ] {
        let machine = cards(Some(driver), &[gpu]);
        assert_eq!(planned(&world, &machine).0, build, "{gpu} with {driver}");
        let text = told(&world, &machine);
        assert!(
            text.contains(words),
            "{gpu} with {driver}: {words:?} in\n{text}"
        );
    }
}

#[test]
fn of_two_cards_the_better_decides_and_the_other_is_hidden_where_it_must_be() {
    let world = world();
    let both = cards(Some("580.95.05"), &["GTX 1060 6GB", "RTX 4090"]);
    let text = told(&world, &both);
    for part in [
        "cu130",
        "GeForce GTX 1060 6GB is left out",
        "compute capability 6.1",
        "CUDA_VISIBLE_DEVICES=1",
        "CUDA_DEVICE_ORDER=PCI_BUS_ID",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let equal = cards(Some("580.95.05"), &["RTX 3090", "RTX 4090"]);
    let text = told(&world, &equal);
    assert!(
        !text.contains("VISIBLE_DEVICES"),
        "both are served:\n{text}"
    );
}

#[test]
fn between_makers_the_better_card_decides() {
    let world = world();
    let amd_first = cards(Some("580.95.05"), &["GTX 1050 Ti", "RX 7900 XTX"]);
    assert_eq!(planned(&world, &amd_first).0, "rocm7.14");
    let text = told(&world, &amd_first);
    assert!(text.contains("GeForce GTX 1050 Ti is left out"), "{text}");
    let nvidia_first = cards(Some("580.95.05"), &["RTX 4090", "RX 7900 XTX"]);
    assert_eq!(planned(&world, &nvidia_first).0, "cu130");
}

#[test]
fn graphics_in_the_processor_stay_out_of_the_way_of_the_card() {
    let world = world();
    let mut desktop = cards(None, &["RX 7900 XTX", "RX 7900 XTX"]);
    desktop.gpus[1].gfx = Some("gfx1036".to_owned());
    desktop.gpus[1].name = "AMD Radeon Graphics".to_owned();
    desktop.gpus[1].integrated = true;
    desktop.gpus[1].memory_bytes = None;
    let text = told(&world, &desktop);
    assert!(text.contains("HIP_VISIBLE_DEVICES=0"), "{text}");
    assert!(text.contains("rocm7.14 has no code for gfx1036"), "{text}");
}

#[test]
fn a_near_relative_runs_by_an_override_that_is_told() {
    let world = world();
    let machine = cards(None, &["RX 6700 XT"]);
    assert_eq!(planned(&world, &machine).0, "rocm7.14");
    let text = told(&world, &machine);
    for part in [
        "HSA_OVERRIDE_GFX_VERSION=10.3.0",
        "gfx1030",
        "AMD does not support it",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    // One that works for some is not chosen unasked.
    let mut desktop = cards(None, &["RX 6700 XT"]);
    desktop.gpus[0].gfx = Some("gfx1036".to_owned());
    assert_eq!(planned(&world, &desktop).0, "cpu");
    assert!(told(&world, &desktop).contains("--accel rocm"));
}

#[test]
fn without_the_render_group_the_plan_says_which_to_join() {
    let world = world();
    let mut machine = cards(None, &["RX 7900 XTX"]);
    machine.amd = Some(aienv::host::AmdDriver {
        version: None,
        kfd_accessible: false,
        render_accessible: false,
    });
    let text = told(&world, &machine);
    assert!(text.contains("rocm7.14"), "{text}");
    assert!(
        text.contains("sudo usermod -aG render,video $USER"),
        "{text}"
    );
}

#[test]
fn an_unknown_gpu_is_taken_by_its_capability_or_explained() {
    let world = world();
    let mut machine = nvidia("580.95.05", (8, 9));
    machine.gpus[0].name = "NVIDIA Something New".to_owned();
    machine.gpus[0].pci_id = Some("10de:ffff".to_owned());
    assert_eq!(planned(&world, &machine).0, "cu130");
    machine.gpus[0].compute_capability = None;
    let text = told(&world, &machine);
    assert!(
        text.contains("compute capability that is not known"),
        "{text}"
    );
}

#[test]
fn a_jetson_and_a_grace_are_not_the_same() {
    let world = world();
    let on_arm = |name: &str| {
        let mut machine = host::linux_arm();
        let with = cards(Some("580.95.05"), &[name]);
        (machine.gpus, machine.nvidia) = (with.gpus, with.nvidia);
        machine
    };
    assert_eq!(planned(&world, &on_arm("GB10")).0, "cu130");
    let mut orin = on_arm("Jetson Orin NX 16GB");
    orin.nvidia.as_mut().unwrap().version = Some("540.4".parse().unwrap());
    for board in [on_arm("Jetson Nano"), orin] {
        let text = told(&world, &board);
        assert!(text.contains("comes with JetPack"), "{text}");
    }
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
    let amd = world.host(&amd("gfx1100"));
    let manifest = world.manifest("painter", TOOL);
    let arguments = [
        "plan",
        &manifest,
        "--host",
        &amd,
        "--torch-mirror",
        "http://127.0.0.1:9/whl/",
    ];
    let run = world.aienv(&arguments).ok();
    let said = "the index that has builds for the GPU does not answer";
    assert!(run.stdout().contains(said), "{}", run.stdout());
    // The default build of 2.15 is CUDA 13.2, of 2.9 12.8, of 2.7 12.6.
    assert_eq!(unreachable(&host::linux_cpu()), "2.15.0");
    assert_eq!(unreachable(&nvidia("570.26", (8, 9))), "2.9.0");
    assert_eq!(unreachable(&nvidia("580.95.05", (6, 1))), "2.7.1");
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

#[test]
fn windows_and_wsl_get_cuda_from_the_torch_index() {
    let world = world();
    let mut windows = host::windows();
    let rtx = cards(Some("580.95.05"), &["RTX 4090"]);
    (windows.gpus, windows.nvidia) = (rtx.gpus, rtx.nvidia);
    assert_eq!(
        planned(&world, &windows),
        ("cu130".to_owned(), "2.15.0+cu130".to_owned())
    );
    // The driver's number is the Windows one there, and so are the numbers it is compared with:
    // 527.41 is enough for CUDA 12 on Linux, on Windows 528.33 is.
    let newer = TOOL.replace(
        "[accelerators.cpu]",
        "[packages]\nconstraints = [\"torch>=2.9\"]\n\n[accelerators.cpu]",
    );
    let manifest = world.manifest("painter", &newer);
    let build = |machine: &Host| {
        let file = world.host(machine);
        let run = world.aienv(&["plan", &manifest, "--host", &file, "--json"]);
        run.ok().json()["accelerator"].as_str().unwrap().to_owned()
    };
    let mut wsl = cards(Some("527.41"), &["RTX 4090"]);
    assert_eq!(build(&wsl), "cu128");
    wsl.surroundings.wsl = Some(2);
    assert_eq!(build(&wsl), "cpu");
    wsl.nvidia = cards(Some("528.33"), &[]).nvidia;
    wsl.gpus[0].kernel_driver = Some("dxgkrnl".to_owned());
    assert_eq!(build(&wsl), "cu128");
    wsl.surroundings.wsl = Some(1);
    let text = told(&world, &wsl);
    assert!(text.contains("WSL 1 gives programs no GPU"), "{text}");
}

#[test]
fn intel_gpus_that_torch_is_made_for_get_its_build() {
    let world = world();
    let xpu = Wheel::library("torch", "2.15.0+xpu");
    world.index().add_torch("xpu", xpu);
    let with_xpu = TOOL.replace("[accelerators.mps]", "[accelerators.xpu]");
    let manifest = world.manifest("painter", &with_xpu);
    for (name, build) in [
        ("Arc A770", "xpu"),
        ("Arc B580", "xpu"),
        ("Arc Graphics (Meteor Lake)", "xpu"),
        ("UHD Graphics 630", "cpu"),
    ] {
        let file = world.host(&cards(None, &[name]));
        let run = world.aienv(&["plan", &manifest, "--host", &file, "--json"]);
        assert_eq!(run.ok().json()["accelerator"], build, "{name}");
    }
}

#[test]
fn on_arm_the_builds_are_others() {
    let world = world();
    let on_arm = |name: &str| {
        let mut machine = host::linux_arm();
        let with = cards(Some("580.95.05"), &[name]);
        (machine.gpus, machine.nvidia) = (with.gpus, with.nvidia);
        machine
    };
    assert_eq!(planned(&world, &on_arm("GH200")).0, "cu130");
    // What x86-64 builds have code for, those for Arm may not.
    let machine = on_arm("Tesla T4");
    assert_eq!(planned(&world, &machine).0, "cpu");
    let text = told(&world, &machine);
    assert!(text.contains("the Tesla T4 has 7.5"), "{text}");
}
