//! Machines that are broken in one way each, and what the checks say of them. Each begins as a
//! healthy one.

#![allow(clippy::unwrap_used)]

mod amd;
mod around;
mod nvidia;
mod system;

use serde_json::json;

use super::{ALL, run};
use crate::{
    doctor::{
        Cause,
        machine::{Level, Machine, Verdict},
    },
    host::Host,
};

/// A saved host with a glibc of today.
fn host(gpus: serde_json::Value) -> Host {
    serde_json::from_value(json!({
        "schema": 1,
        "os": {
            "family": "linux", "id": "ubuntu", "name": "Ubuntu 24.04.3 LTS", "version": "24.04",
            "kernel": "6.8.0-85-generic",
            "libc": {"family": "glibc", "major": 2, "minor": 39}
        },
        "cpu": {
            "arch": "x86_64", "model": "AMD Ryzen 9 7950X", "cores": 32,
            "features": ["avx", "avx2", "f16c", "fma"]
        },
        "memory_bytes": 67_000_000_000_u64, "disk_free_bytes": 800_000_000_000_u64,
        "gpus": gpus
    }))
    .unwrap()
}

fn machine(host: Host) -> Machine {
    let value = json!({
        "schema": 1,
        "host": host,
        "user": {"groups": ["ada", "render", "video"]},
        "libraries": [{
            "name": "libstdc++.so.6", "path": "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
            "file": "/usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.33", "place": "system"
        }],
        "resources": {
            "memory_available": 50_000_000_000_u64, "swap": 2_000_000_000_u64,
            "killed_for_memory": 0,
            "shared_memory": {"free": 33_000_000_000_u64, "total": 33_000_000_000_u64},
            "disks": [
                {"what": "home", "path": "/home/ada/.local/share/aienv", "writable": true,
                 "space": {"free": 800_000_000_000_u64, "total": 1_000_000_000_000_u64,
                           "files": 60_000_000}},
                {"what": "temporary", "path": "/tmp", "writable": true,
                 "space": {"free": 33_000_000_000_u64, "total": 33_000_000_000_u64}}
            ]
        }
    });
    serde_json::from_value(value).unwrap()
}

/// An ordinary machine without a GPU.
fn plain() -> Machine {
    machine(host(json!([])))
}

/// A workstation with a GeForce RTX 4090 and a working driver.
fn nvidia() -> Machine {
    let mut machine = machine(host(json!([{
        "vendor": "nvidia", "name": "NVIDIA GeForce RTX 4090", "pci_id": "10de:2684",
        "pci_address": "0000:01:00.0", "compute_capability": [8, 9],
        "memory_bytes": 25_757_220_864_u64, "kernel_driver": "nvidia"
    }])));
    machine.host.nvidia = serde_json::from_value(json!({
        "version": "580.95.05", "kernel_version": "580.95.05", "cuda": [13, 0],
        "open_module": true
    }))
    .unwrap();
    machine.kernel.drivers = ["nvidia", "nvidia_uvm"].map(str::to_owned).into();
    machine.pci =
        serde_json::from_value(json!([{"address": "0000:01:00.0", "is_gpu": true}])).unwrap();
    machine.nodes = serde_json::from_value(json!([
        {"path": "/dev/nvidia-uvm", "allowed": true, "group": "root", "mode": "666"},
        {"path": "/dev/nvidia0", "allowed": true, "group": "root", "mode": "666"},
        {"path": "/dev/nvidiactl", "allowed": true, "group": "root", "mode": "666"}
    ]))
    .unwrap();
    for name in ["libcuda.so", "libnvidia-ml.so"] {
        let folder = "/usr/lib/x86_64-linux-gnu";
        let library = json!({
            "name": format!("{name}.1"), "path": format!("{folder}/{name}.1"),
            "file": format!("{folder}/{name}.580.95.05"), "place": "system"
        });
        machine
            .libraries
            .push(serde_json::from_value(library).unwrap());
    }
    machine.around.makes_device_files = true;
    machine
}

/// A workstation with a Radeon RX 7900 XTX.
fn amd() -> Machine {
    let mut machine = machine(host(json!([{
        "vendor": "amd", "name": "AMD Radeon RX 7900 XTX", "pci_id": "1002:744c",
        "pci_address": "0000:03:00.0", "gfx": "gfx1100",
        "memory_bytes": 25_753_026_560_u64, "kernel_driver": "amdgpu"
    }])));
    machine.host.amd = serde_json::from_value(json!({
        "kfd_accessible": true, "render_accessible": true
    }))
    .unwrap();
    machine.kernel.drivers = ["amdgpu"].map(str::to_owned).into();
    machine.pci =
        serde_json::from_value(json!([{"address": "0000:03:00.0", "is_gpu": true}])).unwrap();
    machine.nodes = serde_json::from_value(json!([
        {"path": "/dev/kfd", "allowed": true, "group": "render", "mode": "660"},
        {"path": "/dev/dri/renderD128", "allowed": true, "group": "render", "mode": "660",
         "driver": "amdgpu", "address": "0000:03:00.0"}
    ]))
    .unwrap();
    machine
}

fn set(machine: &mut Machine, name: &str, value: &str) {
    machine
        .variables
        .values
        .insert(name.to_owned(), value.to_owned());
}

fn problems(machine: &Machine) -> Vec<Verdict> {
    at(machine, Level::Problem)
}

fn notes(machine: &Machine) -> Vec<Verdict> {
    at(machine, Level::Note)
}

fn at(machine: &Machine, level: Level) -> Vec<Verdict> {
    let mut verdicts = run(machine);
    verdicts.retain(|verdict| verdict.level == level);
    verdicts
}

/// The only problem, which is of this check and cause, and helps itself.
#[track_caller]
fn problem(machine: &Machine, check: &str, cause: Cause) -> Verdict {
    only(problems(machine), check, Some(cause))
}

/// The only note of this check.
#[track_caller]
fn note(machine: &Machine, check: &str, cause: Cause) -> Verdict {
    assert_eq!(problems(machine), []);
    let mut notes = notes(machine);
    notes.retain(|verdict| verdict.check == check);
    only(notes, check, Some(cause))
}

#[track_caller]
fn only(mut verdicts: Vec<Verdict>, check: &str, cause: Option<Cause>) -> Verdict {
    assert_eq!(verdicts.len(), 1, "{verdicts:#?}");
    let verdict = verdicts.remove(0);
    assert_eq!(verdict.check, check, "{verdict:#?}");
    assert_eq!(verdict.cause, cause, "{verdict:#?}");
    assert!(!verdict.explanation.is_empty(), "{verdict:#?}");
    verdict
}

/// The commands of a verdict, one per line.
fn commands(verdict: &Verdict) -> String {
    let commands = verdict.fix.iter().filter_map(|fix| fix.command.as_deref());
    commands.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_machines_that_everything_starts_from_are_healthy() {
    for machine in [plain(), nvidia(), amd()] {
        assert_eq!(problems(&machine), []);
        assert!(at(&machine, Level::Works).len() >= 3);
    }
}

#[test]
fn every_check_says_what_it_is() {
    let mut ids = std::collections::BTreeSet::new();
    for check in ALL {
        assert!(ids.insert(check.id), "{} twice", check.id);
        let (room, name) = check.id.split_once('.').unwrap();
        let is_word = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(is_word(room) && is_word(name), "{}", check.id);
        assert!(
            check.why.ends_with('.') && check.why.len() > 30,
            "{}",
            check.id
        );
        assert!(!check.looks_at.ends_with('.'), "{}", check.id);
    }
}

#[test]
fn findings_say_why_and_what_helps() {
    // Every broken machine of these tests at once would hide much; what is left must be whole.
    let mut machine = nvidia();
    machine.kernel.drivers.clear();
    machine.host.nvidia = None;
    machine.host.cpu.features.clear();
    set(&mut machine, "PYTHONHOME", "/opt/python");
    set(&mut machine, "CUDA_VISIBLE_DEVICES", "-1");
    machine.resources.disks[0].writable = false;
    let found = problems(&machine);
    assert!(found.len() >= 5, "{found:#?}");
    for verdict in found {
        assert!(!verdict.fix.is_empty(), "{verdict:#?}");
        assert!(!verdict.title.ends_with('.'), "{verdict:#?}");
        assert!(verdict.explanation.ends_with('.'), "{verdict:#?}");
        assert!((0.0..=1.0).contains(&verdict.confidence));
    }
}
