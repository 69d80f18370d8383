//! Questions about plans: `aienv why` and `aienv what-if`.

#![allow(clippy::unwrap_used)]

mod support;

use support::{Dialect, Wheel, World};

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
    world
        .aienv(&["what-if", &manifest, "--gpu", "RTX 3060"])
        .fails(2)
        .names("--driver");
}
