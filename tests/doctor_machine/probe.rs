//! The probe, with driver libraries that the tests compile themselves.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::support::{Run, World};

/// Compiles a library of this folder, once for all tests.
fn compiled(name: &str, cell: &'static OnceLock<PathBuf>) -> &'static Path {
    cell.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/doctor_machine")
            .join(name);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("doctor-machine");
        std::fs::create_dir_all(&folder).unwrap();
        let library = folder.join(format!("{name}.so"));
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let status = Command::new(compiler)
            .args(["--edition", "2024", "--crate-type", "cdylib", "-O", "-o"])
            .args([&library, &source])
            .status()
            .unwrap();
        assert!(status.success(), "{name} does not compile");
        library
    })
}

fn cuda() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    compiled("fake_cuda.rs", &LIBRARY)
}

fn hip() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    compiled("fake_hip.rs", &LIBRARY)
}

/// A world in which the loader finds a library under these names.
fn world(library: &Path, names: &[&str]) -> World {
    let mut world = World::new();
    let folder = world.root().join("drivers");
    std::fs::create_dir_all(&folder).unwrap();
    for name in names {
        std::fs::copy(library, folder.join(name)).unwrap();
    }
    world.env("LD_LIBRARY_PATH", folder);
    world
}

fn probe(world: &mut World, plan: &str, limit: &str) -> (Run, serde_json::Value) {
    world.env("FAKE_GPU", plan);
    let run = world.aienv(&["doctor", "--probe", "--probe-limit", limit, "--json"]);
    let json = run.json();
    (run, json)
}

fn cuda_world() -> World {
    world(cuda(), &["libcuda.so.1"])
}

/// The findings of a check.
fn findings<'j>(json: &'j serde_json::Value, check: &str) -> Vec<&'j serde_json::Value> {
    let findings = json["findings"].as_array().unwrap();
    findings.iter().filter(|f| f["check"] == check).collect()
}

#[track_caller]
fn problem<'j>(json: &'j serde_json::Value, check: &str) -> &'j serde_json::Value {
    let found = findings(json, check);
    assert_eq!(found.len(), 1, "{json:#}");
    assert_eq!(found[0]["level"], "problem");
    assert_eq!(json["healthy"], false);
    found[0]
}

fn evidence(finding: &serde_json::Value) -> String {
    let lines = finding["evidence"].as_array().unwrap().iter();
    lines
        .map(|line| line.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_gpu_that_computes() {
    let (run, json) = probe(&mut cuda_world(), "count=2", "60");
    run.ok();
    let report = &json["probe"][0];
    assert_eq!(report["api"], "cuda");
    assert_eq!(report["version"], "13.0");
    assert!(
        report["library"]
            .as_str()
            .unwrap()
            .ends_with("libcuda.so.1")
    );
    let devices = report["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2);
    for (index, device) in devices.iter().enumerate() {
        assert_eq!(device["name"], format!("Fake GPU {index}"));
        assert_eq!(device["compute_capability"], serde_json::json!([8, 9]));
        assert_eq!(device["measured"]["kernel"], true);
        for rate in ["upload", "copy"] {
            assert!(device["measured"][rate].as_f64().unwrap() > 0.0);
        }
    }
    let works = json["works"].as_array().unwrap();
    let lines: Vec<_> = works
        .iter()
        .filter(|line| line["check"] == "probe.cuda")
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0]["title"]
            .as_str()
            .unwrap()
            .contains("its result is right")
    );
}

#[test]
fn failing_calls_are_named_with_their_codes() {
    for (plan, call, code, cause) in [
        ("cuInit=802", "cuInit", 802, "fabric-manager-not-running"),
        ("cuInit=999", "cuInit", 999, "nvidia-uvm-not-usable"),
        (
            "cuInit=34",
            "cuInit",
            34,
            "ld-library-path-shadows-wheel-libs",
        ),
        (
            "cuDevicePrimaryCtxRetain=46",
            "cuDevicePrimaryCtxRetain",
            46,
            "gpu-mode-restricts-access",
        ),
        (
            "cuModuleLoadData=221",
            "cuModuleLoadData",
            221,
            "cuda-runtime-libs-missing",
        ),
        ("cuMemAlloc_v2=2", "cuMemAlloc", 2, "vram-out-of-memory"),
        (
            "cuCtxSynchronize=719",
            "cuCtxSynchronize",
            719,
            "gpu-hardware-or-firmware-problem",
        ),
    ] {
        let (run, json) = probe(&mut cuda_world(), plan, "60");
        assert_eq!(run.code, Some(1), "{plan}");
        let finding = problem(&json, "probe.cuda");
        assert_eq!(finding["cause"], cause, "{plan}");
        let seen = evidence(finding);
        assert!(
            seen.contains(&format!("{call} failed with error {code} (CUDA_ERROR_")),
            "{seen}"
        );
        assert!(seen.contains("a text of the driver"), "{seen}");
        assert!(!finding["explanation"].as_str().unwrap().is_empty());
    }
}

#[test]
fn an_unknown_code_is_told_as_it_is() {
    let (_, json) = probe(&mut cuda_world(), "cuCtxSynchronize=4711", "60");
    let finding = problem(&json, "probe.cuda");
    assert!(finding["cause"].is_null());
    assert!(evidence(finding).contains("cuCtxSynchronize failed with error 4711"));
}

#[test]
fn one_bad_gpu_does_not_hide_the_others() {
    let (_, json) = probe(&mut cuda_world(), "count=2,cuLaunchKernel=719", "60");
    let devices = json["probe"][0]["devices"].as_array().unwrap();
    assert_eq!(devices.len(), 2);
    assert!(
        devices
            .iter()
            .all(|device| device["trouble"]["kind"] == "call")
    );
    assert_eq!(findings(&json, "probe.cuda").len(), 2);
}

#[test]
fn a_wrong_result_is_found() {
    let (_, json) = probe(&mut cuda_world(), "cuLaunchKernel=wrong", "60");
    let finding = problem(&json, "probe.cuda");
    assert!(
        finding["title"]
            .as_str()
            .unwrap()
            .contains("computes wrongly")
    );
    assert!(
        evidence(finding).contains("word 4711"),
        "{}",
        evidence(finding)
    );
}

#[test]
fn a_hanging_driver_does_not_hang_doctor() {
    for (plan, call) in [
        ("cuInit=hang", "cuInit"),
        ("cuCtxSynchronize=hang", "cuCtxSynchronize"),
    ] {
        let (run, json) = probe(&mut cuda_world(), plan, "1");
        assert_eq!(run.code, Some(1));
        let finding = problem(&json, "probe.cuda");
        assert!(finding["title"].as_str().unwrap().contains("hangs"));
        assert!(evidence(finding).contains(&format!("{call} did not come back within 1 s")));
    }
}

#[test]
fn a_crashing_driver_does_not_crash_doctor() {
    let (run, json) = probe(&mut cuda_world(), "cuMemAlloc_v2=abort", "60");
    assert_eq!(run.code, Some(1));
    let seen = evidence(problem(&json, "probe.cuda"));
    assert!(seen.contains("cuMemAlloc: signal 6"), "{seen}");
    assert!(seen.contains("assertion failed"), "{seen}");
}

#[test]
fn no_device_is_explained_by_what_hides_it() {
    let mut world = cuda_world();
    world.env("CUDA_VISIBLE_DEVICES", "-1");
    let (run, json) = probe(&mut world, "cuInit=100", "60");
    // This machine may have no NVIDIA GPU; then a driver that finds none is right.
    let gpus = json["machine"]["host"]["gpus"].as_array().unwrap();
    match gpus.iter().any(|gpu| gpu["vendor"] == "nvidia") {
        true => assert!(!findings(&json, "probe.cuda").is_empty()),
        false => {
            run.ok();
            assert!(findings(&json, "probe.cuda").is_empty());
        }
    }
}

#[test]
fn a_library_that_is_none_is_told_as_broken() {
    let mut world = World::new();
    let folder = world.root().join("drivers");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("libcuda.so.1"), "no library").unwrap();
    world.env("LD_LIBRARY_PATH", folder);
    let (_, json) = probe(&mut world, "", "60");
    let finding = problem(&json, "probe.cuda");
    assert!(finding["title"].as_str().unwrap().contains("does not load"));
    assert!(evidence(finding).contains("libcuda.so.1"));
}

#[test]
fn a_library_without_its_functions_is_told_as_such() {
    // The HIP one under the name of the CUDA one.
    let (_, json) = probe(&mut world(hip(), &["libcuda.so.1"]), "", "60");
    assert!(evidence(problem(&json, "probe.cuda")).contains("`cuInit` is not in"));
}

#[test]
fn hip_with_and_without_a_compiler() {
    for (names, kernel) in [
        (&["libamdhip64.so.7", "libhiprtc.so.7"][..], true),
        (&["libamdhip64.so.6"][..], false),
    ] {
        let (run, json) = probe(&mut world(hip(), names), "", "60");
        run.ok();
        let report = &json["probe"][1];
        assert_eq!(report["api"], "hip");
        assert_eq!(report["version"], "6.4");
        assert_eq!(report["devices"][0]["name"], "Fake Radeon");
        assert_eq!(report["devices"][0]["measured"]["kernel"], kernel);
    }
}

#[test]
fn hip_failures_are_named() {
    let names = ["libamdhip64.so.7", "libhiprtc.so.7"];
    let (_, json) = probe(&mut world(hip(), &names), "hipDeviceSynchronize=719", "60");
    let seen = evidence(problem(&json, "probe.hip"));
    assert!(seen.contains("hipDeviceSynchronize failed with error 719 (hipErrorLaunchFailure)"));
    let (_, json) = probe(&mut world(hip(), &names), "hiprtcCompileProgram=6", "60");
    let seen = evidence(problem(&json, "probe.hip"));
    assert!(seen.contains("no such target"), "{seen}");
}

#[test]
fn the_hidden_command_is_hidden() {
    let world = World::new();
    world.aienv(&["--help"]).ok().never_says("gpu-probe");
    world.aienv(&["gpu-probe", "vulkan"]).fails(2);
}

#[test]
fn without_a_driver_there_was_nothing_to_try() {
    if Path::new("/proc/driver/nvidia").exists() || Path::new("/dev/kfd").exists() {
        // This machine has one.
        return;
    }
    let world = World::new();
    let run = world.aienv(&["doctor", "--probe"]);
    assert!(
        run.stdout.contains("there was nothing to try"),
        "{}",
        run.stdout
    );
}
