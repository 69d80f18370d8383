//! Questions about plans: `aienv why` and `aienv what-if`.

#![allow(clippy::unwrap_used)]

mod support;

use aienv::{host::Host, types::Libc};
use support::{Dialect, Wheel, World, host};

fn world() -> World {
    let world = World::new();
    world.index().speak(Dialect::FULL);
    world
        .index()
        .add(Wheel::command("tiny", "1.0").requires("middle"))
        .add(Wheel::library("middle", "1.0").requires("deep<2"))
        .add(Wheel::library("deep", "1.5"))
        .add(Wheel::library("deep", "2.0"));
    world
}

#[test]
fn why_tells_the_way_to_a_package_and_what_holds_it_back() {
    let world = world();
    let manifest = world.tool("tiny");
    let run = world.aienv(&["why", &manifest, "deep"]).ok();
    for part in [
        "deep 1.5",
        "tiny needs middle",
        "middle needs deep<2",
        "2.0 exists; against it",
        "middle 1.0 needs deep <2",
    ] {
        assert!(
            run.stdout().contains(part),
            "{part:?} is missing in:\n{}",
            run.stdout()
        );
    }
    let json = world
        .aienv(&["why", &manifest, "deep", "--json"])
        .ok()
        .json();
    assert_eq!(json["newest"], "2.0");
    assert_eq!(json["chain"][2]["by"], "middle");
}

#[test]
fn why_says_so_when_a_package_is_not_needed() {
    let world = world();
    let run = world.aienv(&["why", &world.tool("tiny"), "elsewhere"]);
    run.fails(1).names("does not need elsewhere").hints();
}

#[test]
fn what_if_plans_for_hardware_that_is_not_there() {
    let world = world();
    for (build, release) in [("cpu", "2.15.0"), ("cu126", "2.14.1"), ("cu130", "2.15.0")] {
        let version = format!("{release}+{build}");
        world
            .index()
            .add_torch(build, Wheel::library("torch", &version));
    }
    world
        .index()
        .add(Wheel::command("painter", "1.0").requires("torch"));
    let manifest = world.manifest(
        "painter",
        &support::index_tool("painter", "", "[accelerators.cuda]\n"),
    );
    let on = |gpu: &str, driver: &str| {
        let run = world.aienv(&["what-if", &manifest, "--gpu", gpu, "--driver", driver]);
        run.ok().stdout().to_owned()
    };
    assert!(on("RTX 3060", "580.95.05").contains("cu130"));
    assert!(on("GTX 1080 Ti", "580.95.05").contains("cu126"));
    world
        .aienv(&["what-if", &manifest, "--gpu", "RTX 3061", "--driver", "580"])
        .fails(2)
        .names("RTX 3060");
    world
        .aienv(&["what-if", &manifest, "--gpu", "580", "--driver", "390"])
        .fails(2)
        .names("`580` is the name of more than one GPU")
        .names("say which: `GeForce GTX 580`, `Radeon RX 580`");
}

/// A tool for CUDA and processors, and the builds of torch it may get.
fn painter(world: &World) -> String {
    for (build, release) in [
        ("cpu", "2.15.0"),
        ("cu126", "2.9.0"),
        ("cu128", "2.9.0"),
        ("cu130", "2.15.0"),
    ] {
        let version = format!("{release}+{build}");
        world
            .index()
            .add_torch(build, Wheel::library("torch", &version));
    }
    world
        .index()
        .add(Wheel::command("painter", "1.0").requires("torch"));
    let more = "[accelerators.cuda]\n[accelerators.mps]\n";
    world.manifest("painter", &support::index_tool("painter", "", more))
}

#[test]
fn a_question_without_a_driver_is_answered_with_the_lowest_that_will_do() {
    let world = world();
    let manifest = painter(&world);
    let machine = world.host(&host::linux_cpu());
    let ask = |gpus: &[&str]| {
        let mut arguments = vec!["what-if", &manifest, "--host", &machine, "--json"];
        arguments.extend(gpus.iter().flat_map(|gpu| ["--gpu", gpu]));
        world.aienv(&arguments).ok().json()
    };
    let answer = ask(&["RTX 3060"]);
    assert_eq!(answer["assumed_driver"], "525.60.13");
    assert_eq!(answer["then"]["accelerator"], "cu128");
    assert_eq!(answer["now"]["accelerator"], "cpu");
    assert_eq!(answer["now"]["torch"], "2.15.0+cpu");
    assert_eq!(answer["now_error"], serde_json::Value::Null);
    // Of two cards, the driver knows both.
    let answer = ask(&["RTX 3060", "RTX 5090"]);
    assert_eq!(answer["assumed_driver"], "570.86.16");
    assert_eq!(answer["then"]["accelerator"], "cu128");
    // No driver runs any build on it; the newest that knows it shows why.
    let answer = ask(&["Tesla K80"]);
    assert_eq!(answer["assumed_driver"], "470.42.01");
    assert_eq!(answer["then"]["accelerator"], "cpu");
}

#[test]
fn what_would_change_is_told() {
    let world = world();
    let manifest = painter(&world);
    let settings = world.snapshot_settings();
    let ask = |machine: &Host, changes: &[&str]| {
        let machine = world.host(machine);
        let mut arguments = vec!["what-if", &manifest, "--host", &machine];
        arguments.extend(changes);
        world.aienv(&arguments).ok().stdout().to_owned()
    };
    let old = host::linux_nvidia("550.54.14", (12, 4), (8, 6));
    settings.bind(|| {
        insta::assert_snapshot!("what_if_driver", ask(&old, &["--driver", "580"]));
        insta::assert_snapshot!("what_if_gpu", ask(&host::linux_cpu(), &["--gpu", "4090"]));
        insta::assert_snapshot!("what_if_same", ask(&host::linux_cpu(), &["--no-gpu"]));
    });
    let gpu_only = std::fs::read_to_string(world.work().join("painter.toml")).unwrap();
    world.manifest("painter", &gpu_only.replace("[accelerators.cpu]", ""));
    settings.bind(|| {
        insta::assert_snapshot!(
            "what_if_no_plan_now",
            ask(&host::linux_cpu(), &["--gpu", "4090"])
        );
    });
}

#[test]
fn the_system_can_be_another_too() {
    let world = world();
    world
        .index()
        .add(Wheel::command("painter", "1.0").requires("torch"));
    for (release, tag) in [
        ("2.11.0", "macosx_11_0_arm64"),
        ("2.15.0", "macosx_14_0_arm64"),
    ] {
        let torch = Wheel::library("torch", release).tag(&format!("py3-none-{tag}"));
        world.index().add(torch);
    }
    for (release, tag) in [
        ("1.0", "manylinux_2_28_x86_64"),
        ("2.0", "manylinux_2_34_x86_64"),
    ] {
        let deep = Wheel::library("native", release).tag(&format!("py3-none-{tag}"));
        world.index().add(deep);
    }
    world
        .index()
        .add(Wheel::command("tool", "1.0").requires("native"));
    let manifest = world.manifest(
        "painter",
        &support::index_tool("painter", "", "[accelerators.mps]\n"),
    );
    let mut mac = host::macos_arm();
    mac.os.version = "12.7".to_owned();
    let mac = world.host(&mac);
    let answer = world
        .aienv(&[
            "what-if", &manifest, "--host", &mac, "--macos", "15", "--json",
        ])
        .ok()
        .json();
    assert_eq!(answer["now"]["torch"], "2.11.0");
    assert_eq!(answer["then"]["packages"][1]["version"], "2.15.0");
    let mut old = host::linux_cpu();
    old.os.libc = Some(Libc::Glibc {
        major: 2,
        minor: 31,
    });
    let old = world.host(&old);
    let tool = world.tool("tool");
    let answer = world
        .aienv(&[
            "what-if", &tool, "--host", &old, "--glibc", "2.35", "--json",
        ])
        .ok()
        .json();
    assert_eq!(answer["then"]["packages"][0]["version"], "2.0");
    for (change, version, part) in [
        ("--macos", "15", "does not run macOS"),
        ("--glibc", "2", "not a version of the GNU C library"),
        ("--driver", "580", "no NVIDIA GPU"),
        ("--gpu", "M3", "Apple"),
        ("--gpu", "Voodoo 2", "no GPU named"),
    ] {
        world
            .aienv(&["what-if", &tool, "--host", &old, change, version])
            .fails(2)
            .names(part)
            .hints();
    }
    world.aienv(&["what-if", &tool]).fails(2).names("--gpu");
}
