//! Sets that resolve by version numbers and fail at run time: what a machine gets instead, and what
//! a refusal says.

#![allow(clippy::unwrap_used)]

mod support;

use aienv::{
    compat::gpus,
    host::{Gpu, Host},
    types::Libc,
};
use support::{Dialect, Wheel, World, host};

/// The manifest of a tool that is the package `painter`.
fn tool(more: &str) -> String {
    format!(
        r#"schema = 1
name = "painter"
title = "Painter"
summary = "A tool for a test"
homepage = "https://index.example/painter"
licence = "MIT"
category = "image"

[source.index]
package = "painter"

{more}

[commands.painter]
run = ["{{bin}}/painter"]
"#
    )
}

const EVERYWHERE: &str = "[accelerators.cpu]\n[accelerators.cuda]\n[accelerators.rocm]\n";

fn world(needs: &[&str]) -> World {
    let world = World::new();
    world.index().speak(Dialect::FULL);
    let painter = Wheel::command("painter", "1.0");
    world.index().add(
        needs
            .iter()
            .fold(painter, |wheel, need| wheel.requires(need)),
    );
    world
}

/// Publishes releases on the package index.
fn publish(world: &World, releases: &[&str]) {
    for release in releases {
        let (name, rest) = release.split_once(' ').unwrap();
        let (version, needs) = rest.split_once(" -> ").unwrap_or((rest, ""));
        let needs = needs.split(", ").filter(|need| !need.is_empty());
        world
            .index()
            .add(needs.fold(Wheel::library(name, version), |wheel, need| {
                wheel.requires(need)
            }));
    }
}

/// Publishes builds on the torch indexes: `torch 2.15.0` for `cu130 cpu`.
fn publish_builds(world: &World, name: &str, versions: &[(&str, &str)]) {
    for (version, builds) in versions {
        for build in builds.split(' ') {
            let version = format!("{version}+{build}");
            world
                .index()
                .add_torch(build, Wheel::library(name, &version));
        }
    }
}

fn card(name: &str) -> Gpu {
    let model = gpus::by_name(name).unwrap();
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

fn machine(driver: &str, cards: &[&str]) -> Host {
    let mut machine = host::linux_nvidia(driver, (13, 0), (8, 9));
    machine.gpus = cards.iter().map(|name| card(name)).collect();
    machine
}

fn radeon(name: &str) -> Host {
    let mut machine = host::linux_cpu();
    machine.gpus = vec![card(name)];
    machine
}

/// The build, and the versions that are planned for these packages; `-` where there is none.
#[track_caller]
fn planned(world: &World, manifest: &str, machine: &Host, packages: &[&str]) -> Vec<String> {
    let manifest = world.manifest("painter", manifest);
    let host = world.host(machine);
    let plan = world.aienv(&["plan", &manifest, "--host", &host, "--json", "--refresh"]);
    let plan = plan.ok().json();
    let locked = plan["packages"].as_array().unwrap();
    let version = |name: &&str| {
        let found = locked.iter().find(|package| package["name"] == **name);
        let version = found.and_then(|package| package["version"].as_str());
        version.unwrap_or("-").to_owned()
    };
    let build = plan["accelerator"].as_str().unwrap().to_owned();
    std::iter::once(build)
        .chain(packages.iter().map(version))
        .collect()
}

/// What a refused plan says.
#[track_caller]
fn refused(world: &World, manifest: &str, machine: &Host) -> String {
    let manifest = world.manifest("painter", manifest);
    let host = world.host(machine);
    let run = world.aienv(&["plan", &manifest, "--host", &host, "--refresh"]);
    run.fails(1).stderr().to_owned()
}

/// What is said of a plan.
#[track_caller]
fn told(world: &World, manifest: &str, machine: &Host) -> String {
    let manifest = world.manifest("painter", manifest);
    let host = world.host(machine);
    let run = world.aienv(&["plan", &manifest, "--host", &host, "--refresh"]);
    run.ok().stdout().to_owned()
}

#[track_caller]
fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
}

#[test]
fn torchaudio_stays_with_the_cuda_it_was_made_for() {
    let world = world(&["torch", "torchaudio"]);
    publish_builds(
        &world,
        "torch",
        &[
            ("2.14.1", "cpu cu126 cu130 cu132"),
            ("2.15.0", "cpu cu130 cu132"),
        ],
    );
    // Its last release came with torch 2.11, before there was a cu132.
    publish_builds(&world, "torchaudio", &[("2.11.0", "cpu cu126 cu130")]);
    publish(
        &world,
        &["torch 2.14.1", "torch 2.15.0", "torchaudio 2.11.0"],
    );
    let tool = tool(EVERYWHERE);
    let wanted = &["torch", "torchaudio"];
    for (machine, expected) in [
        // cu132 runs natively and has the newest torch, but no torchaudio to go with it.
        (
            machine("595.45.04", &["RTX 4090"]),
            ["cu130", "2.15.0+cu130", "2.11.0+cu130"],
        ),
        (
            machine("580.95.05", &["GTX 1080 Ti"]),
            ["cu126", "2.14.1+cu126", "2.11.0+cu126"],
        ),
        (host::linux_cpu(), ["cpu", "2.15.0+cpu", "2.11.0+cpu"]),
    ] {
        assert_eq!(planned(&world, &tool, &machine, wanted), expected);
    }
    // Asked for by name, the build is refused with the reason.
    let manifest = world.manifest("painter", &tool);
    let host = world.host(&machine("595.45.04", &["RTX 4090"]));
    let run = world.aienv(&["plan", &manifest, "--host", &host, "--accel", "cu132"]);
    run.fails(1)
        .names("torchaudio 2.11.0 is made for CUDA 13.0")
        .names("torch 2.15.0 is made for CUDA 13.2")
        .names("must be made for the same CUDA version");
}

#[test]
fn without_the_torch_indexes_the_default_builds_agree_too() {
    let world = world(&["torch", "torchaudio"]);
    publish(
        &world,
        &["torch 2.14.1", "torch 2.15.0", "torchaudio 2.11.0"],
    );
    let manifest = world.manifest("painter", &tool(EVERYWHERE));
    for machine in [host::linux_cpu(), machine("595.45.04", &["RTX 4090"])] {
        let file = world.host(&machine);
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
        let packages = plan["packages"].as_array().unwrap();
        let torch = packages.iter().find(|p| p["name"] == "torch").unwrap();
        assert_eq!(torch["version"], "2.14.1", "made for 13.0 like torchaudio");
    }
}

#[test]
fn what_is_linked_to_another_major_version_of_cuda_is_not_put_beside_torch() {
    // xformers accepts every torch from 2.10 on, and is linked to the libraries of CUDA 12.
    let world = world(&["torch", "xformers"]);
    publish_builds(
        &world,
        "torch",
        &[("2.14.1", "cpu cu126 cu130"), ("2.15.0", "cpu cu130")],
    );
    publish(&world, &["xformers 0.0.35 -> torch>=2.10"]);
    let tool = tool(EVERYWHERE);
    let wanted = &["torch", "xformers"];
    assert_eq!(
        planned(&world, &tool, &machine("580.95.05", &["RTX 4090"]), wanted),
        ["cu126", "2.14.1+cu126", "0.0.35"]
    );
    let text = refused(&world, &tool, &host::linux_cpu());
    has(
        &text,
        &[
            "xformers 0.0.35 is built for CUDA 12",
            "is built for the processor",
        ],
    );
}

#[test]
fn bitsandbytes_must_have_a_library_for_the_cuda_of_torch() {
    let world = world(&["torch", "bitsandbytes"]);
    publish_builds(&world, "torch", &[("2.14.1", "cpu cu130 cu132")]);
    publish(&world, &["bitsandbytes 0.49.2", "bitsandbytes 0.47.0"]);
    let tool = tool(EVERYWHERE);
    let wanted = &["torch", "bitsandbytes"];
    let new = machine("595.45.04", &["RTX 4090"]);
    // 0.49 has a library for 13.0 and none for 13.2.
    assert_eq!(
        planned(&world, &tool, &new, wanted),
        ["cu130", "2.14.1+cu130", "0.49.2"]
    );
    publish(&world, &["bitsandbytes 0.50.2"]);
    assert_eq!(
        planned(&world, &tool, &new, wanted),
        ["cu132", "2.14.1+cu132", "0.50.2"]
    );
    assert_eq!(
        planned(&world, &tool, &host::linux_cpu(), wanted),
        ["cpu", "2.14.1+cpu", "0.50.2"]
    );
}

#[test]
fn modules_made_for_numpy_1_do_not_meet_numpy_2() {
    // Neither names an upper bound; torch 2.2 names no numpy at all.
    let world = world(&["h5py", "torch<2.3", "numpy"]);
    publish(
        &world,
        &[
            "numpy 1.26.4",
            "numpy 2.3.0",
            "h5py 3.10.0 -> numpy>=1.17",
            "torch 2.2.2",
        ],
    );
    let tool = tool("[accelerators.cpu]\n[accelerators.mps]\n");
    let mut intel = host::macos_arm();
    intel.cpu.arch = aienv::types::Arch::X86_64;
    intel.gpus.clear();
    assert_eq!(
        planned(&world, &tool, &intel, &["torch", "h5py", "numpy"]),
        ["cpu", "2.2.2", "3.10.0", "1.26.4"]
    );
    publish(&world, &["h5py 3.11.0 -> numpy>=1.17"]);
    let text = {
        publish(&world, &["painter 2.0 -> numpy>=2, torch<2.3"]);
        refused(
            &world,
            &tool.replace(
                "package = \"painter\"",
                "package = \"painter\"\nversion = \">=2\"",
            ),
            &intel,
        )
    };
    has(
        &text,
        &[
            "torch 2.2.2 uses the binary interface of numpy 1",
            "numpy 2.3.0 uses the binary interface of numpy 2",
            "fails beside numpy 2",
        ],
    );
}

#[test]
fn two_builds_of_onnx_runtime_are_never_installed_together() {
    let world = world(&["onnxruntime", "fast"]);
    publish(
        &world,
        &[
            "onnxruntime 1.31.1",
            "onnxruntime-gpu 1.31.1",
            "fast 2.0 -> onnxruntime-gpu",
            "fast 1.0 -> onnxruntime",
        ],
    );
    let tool = tool("[accelerators.cpu]");
    assert_eq!(
        planned(
            &world,
            &tool,
            &host::linux_cpu(),
            &["fast", "onnxruntime", "onnxruntime-gpu"]
        ),
        ["cpu", "1.0", "1.31.1", "-"]
    );
    let pinned = tool.replace(
        "[accelerators.cpu]",
        "[packages]\nconstraints = [\"fast>=2\"]\n\n[accelerators.cpu]",
    );
    let text = refused(&world, &pinned, &host::linux_cpu());
    has(&text, &["overwrite each other's files"]);
}

/// CUDA libraries by the names and versions they have on the package index.
const LIBRARIES: &[&str] = &[
    "nvidia-cublas 13.4.1",
    "nvidia-cublas-cu12 12.9.3",
    "nvidia-cuda-runtime 13.2.0",
    "nvidia-cuda-runtime-cu12 12.9.79",
    "nvidia-cudnn-cu12 9.28.0 -> nvidia-cublas-cu12",
    "nvidia-cudnn-cu12 8.9.7",
    "nvidia-cudnn-cu13 9.28.0 -> nvidia-cublas",
];

#[test]
fn onnx_runtime_is_taken_for_the_cuda_that_driver_and_gpu_run() {
    let world = world(&["onnxruntime-gpu"]);
    publish(&world, LIBRARIES);
    publish(
        &world,
        &[
            "onnxruntime-gpu 1.26.0 -> nvidia-cuda-runtime-cu12~=12.0; extra == 'cuda', nvidia-cudnn-cu12~=9.0; extra == 'cudnn'",
            "onnxruntime-gpu 1.31.1 -> nvidia-cuda-runtime~=13.0; extra == 'cuda', nvidia-cudnn-cu13~=9.0; extra == 'cudnn'",
        ],
    );
    let tool = tool("[accelerators.cpu]\n[accelerators.cuda]");
    let wanted = &["onnxruntime-gpu", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12"];
    for (driver, card, expected) in [
        ("580.95.05", "RTX 3060", ["1.31.1", "9.28.0", "-"]),
        ("550.54.14", "RTX 3060", ["1.26.0", "-", "9.28.0"]),
        // The driver runs CUDA 13, whose libraries have no code for Pascal any more.
        ("580.95.05", "GTX 1080 Ti", ["1.26.0", "-", "9.28.0"]),
    ] {
        let plan = planned(&world, &tool, &machine(driver, &[card]), wanted);
        assert_eq!(plan[1..], expected, "{card} with {driver}");
    }
    // On the processor it needs none of them.
    let plan = planned(&world, &tool, &host::linux_cpu(), wanted);
    assert_eq!(plan, ["cpu", "1.31.1", "-", "-"]);
    let newest = tool.replace(
        "[accelerators.cpu]",
        "[packages]\nconstraints = [\"onnxruntime-gpu>=1.27\"]\n",
    );
    let text = refused(&world, &newest, &machine("550.54.14", &["RTX 3060"]));
    has(
        &text,
        &["made with CUDA 13.0, needs NVIDIA driver 580 or newer; this machine has 550.54.14"],
    );
}

#[test]
fn ctranslate2_gets_the_libraries_it_loads_by_name() {
    let world = world(&["ctranslate2"]);
    publish(&world, LIBRARIES);
    publish(&world, &["ctranslate2 4.8.5"]);
    let tool = tool("[accelerators.cpu]\n[accelerators.cuda]");
    let wanted = &["ctranslate2", "nvidia-cublas-cu12", "nvidia-cudnn-cu12"];
    let gpu = machine("550.54.14", &["RTX 3060"]);
    assert_eq!(
        planned(&world, &tool, &gpu, wanted)[1..],
        ["4.8.5", "12.9.3", "-"]
    );
    assert_eq!(
        planned(&world, &tool, &host::linux_cpu(), wanted)[1..],
        ["4.8.5", "-", "-"]
    );
    for (version, cudnn) in [("4.6.0", "9.28.0"), ("4.4.0", "8.9.7")] {
        publish(&world, &[&format!("ctranslate2 {version}")]);
        let older = tool.replace(
            "[accelerators.cpu]",
            &format!(
                "[packages]\nconstraints = [\"ctranslate2=={version}\"]\n\n[accelerators.cpu]"
            ),
        );
        assert_eq!(
            planned(&world, &older, &gpu, wanted)[1..],
            [version, "12.9.3", cudnn]
        );
    }
}

#[test]
fn importers_of_pkg_resources_get_a_setuptools_that_has_it() {
    let world = world(&["resemble-perth", "setuptools>=77"]);
    publish(
        &world,
        &[
            "resemble-perth 1.0.1",
            "setuptools 81.0.0",
            "setuptools 82.0.0",
        ],
    );
    let plan = planned(
        &world,
        &tool("[accelerators.cpu]"),
        &host::linux_cpu(),
        &["setuptools"],
    );
    assert_eq!(plan, ["cpu", "81.0.0"]);
}

#[test]
fn torch_for_rocm_keeps_the_triton_it_brings() {
    let world = world(&["torch", "whisper"]);
    let torch = Wheel::library("torch", "2.15.0+rocm7.14").requires("triton-rocm==3.9.0");
    world.index().add_torch("rocm7.14", torch);
    world
        .index()
        .add_torch("rocm7.14", Wheel::library("triton-rocm", "3.9.0"));
    world
        .index()
        .add_torch("cpu", Wheel::library("torch", "2.15.0+cpu"));
    publish(&world, &["whisper 1.0 -> triton>=2", "triton 3.9.0"]);
    let tool = tool(EVERYWHERE);
    let wanted = &["torch", "triton", "triton-rocm"];
    assert_eq!(
        planned(&world, &tool, &radeon("RX 7900 XTX"), wanted),
        ["rocm7.14", "2.15.0+rocm7.14", "-", "3.9.0"]
    );
    assert_eq!(
        planned(&world, &tool, &host::linux_cpu(), wanted),
        ["cpu", "2.15.0+cpu", "3.9.0", "-"]
    );
}

#[test]
fn a_torch_that_is_too_old_for_the_card_is_said_to_be() {
    let world = world(&["torch==2.6.*"]);
    publish_builds(
        &world,
        "torch",
        &[
            ("2.6.0", "cpu cu118 cu124 cu126"),
            ("2.7.1", "cpu cu118 cu126 cu128"),
            ("2.15.0", "cpu cu130 cu132"),
        ],
    );
    publish(&world, &["torch 2.6.0"]);
    let blackwell = machine("595.45.04", &["RTX 5090"]);
    let tool = tool("[accelerators.cuda]\n");
    let text = refused(&world, &tool, &blackwell);
    has(
        &text,
        &[
            "torch 2.6 is published for cu126, cu124, cu118, of which none has code for compute capability 12.0 (the GeForce RTX 5090)",
            "painter 1.0 needs torch",
        ],
    );
    // Where the processor will do, the plan says why the card will not.
    let with_cpu = tool.replace(
        "[accelerators.cuda]",
        "[accelerators.cuda]\n[accelerators.cpu]",
    );
    assert_eq!(planned(&world, &with_cpu, &blackwell, &[])[0], "cpu");
    has(
        &told(&world, &with_cpu, &blackwell),
        &[
            "no set of packages works on the GPU",
            "compute capability 12.0",
        ],
    );
    let rdna4 = tool.replace("cuda", "rocm");
    let text = refused(&world, &rdna4, &radeon("RX 9070 XT"));
    has(
        &text,
        &[
            "torch 2.6 is published for rocm",
            "none has code for gfx1201",
        ],
    );
}

#[test]
fn wheels_for_a_newer_system_are_said_to_be() {
    let world = world(&["kernel>=0.4"]);
    let wheel = |version: &str, tag: &str| {
        Wheel::library("kernel", version).tag(&format!("py3-none-{tag}"))
    };
    for tag in ["manylinux_2_34_x86_64", "macosx_14_0_arm64"] {
        world.index().add(wheel("0.4.0", tag));
        world.index().add(wheel("0.5.0", tag));
    }
    let tool = tool("[accelerators.cpu]\n[accelerators.mps]\n");
    let mut bionic = host::linux_cpu();
    bionic.os.libc = Some(Libc::Glibc {
        major: 2,
        minor: 27,
    });
    let text = refused(&world, &tool, &bionic);
    has(
        &text,
        &[
            "kernel 0.4.0 to 0.5.0 has wheels for glibc 2.34 or newer; this machine has 2.27",
            "painter 1.0 needs kernel >=0.4",
        ],
    );
    assert!(!text.contains("no version of kernel"), "{text}");
    let mut monterey = host::macos_arm();
    monterey.os.version = "12.7".to_owned();
    let text = refused(&world, &tool, &monterey);
    has(
        &text,
        &["has wheels for macOS 14.0 or newer; this machine has 12.7"],
    );
    // An older release that fits is taken, and the newer one is explained on demand.
    world.index().add(wheel("0.4.5", "manylinux_2_17_x86_64"));
    assert_eq!(
        planned(&world, &tool, &bionic, &["kernel"]),
        ["cpu", "0.4.5"]
    );
}

#[test]
fn an_older_macos_gets_the_torch_that_uses_its_gpu() {
    let world = world(&["torch"]);
    publish(&world, &["torch 2.4.1", "torch 2.8.0", "torch 2.15.0"]);
    let tool = tool("[accelerators.cpu]\n[accelerators.mps]\n");
    for (version, torch) in [("12.7", "2.4.1"), ("13.6", "2.8.0"), ("15.1", "2.15.0")] {
        let mut mac = host::macos_arm();
        mac.os.version = version.to_owned();
        assert_eq!(
            planned(&world, &tool, &mac, &["torch"]),
            ["mps", torch],
            "macOS {version}"
        );
    }
    let newest = tool.replace(
        "[accelerators.cpu]\n",
        "[packages]\nconstraints = [\"torch>=2.9\"]\n\n",
    );
    let mut ventura = host::macos_arm();
    ventura.os.version = "13.6".to_owned();
    has(
        &refused(&world, &newest, &ventura),
        &["torch 2.15.0, on the GPU of a Mac, needs macOS 14.0 or newer; this machine has 13.6"],
    );
}

#[test]
fn a_card_that_the_driver_does_not_hold_is_not_counted() {
    let world = world(&["torch"]);
    publish_builds(&world, "torch", &[("2.15.0", "cpu cu130")]);
    let manifest = world.manifest("painter", &tool(EVERYWHERE));
    let environment = |machine: &Host| {
        let host = world.host(machine);
        let run = world.aienv(&["plan", &manifest, "--host", &host, "--json", "--refresh"]);
        run.ok().json()["environment"].clone()
    };
    // Passed through to a virtual machine: CUDA numbers the cards without it.
    let mut away = machine("580.95.05", &["GTX 1060 6GB", "RTX 4090"]);
    away.gpus[0].kernel_driver = Some("vfio-pci".to_owned());
    assert_eq!(environment(&away), serde_json::json!({}));
    let three = {
        let mut three = machine("580.95.05", &["GTX 1060 6GB", "GTX 1060 6GB", "RTX 4090"]);
        three.gpus[0].kernel_driver = Some("vfio-pci".to_owned());
        three
    };
    assert_eq!(environment(&three)["CUDA_VISIBLE_DEVICES"], "1");
    // A driver that dropped a generation does not bind to its cards.
    let dropped = machine("595.45.04", &["GTX 1060 6GB", "RTX 4090"]);
    assert_eq!(environment(&dropped), serde_json::json!({}));
}
