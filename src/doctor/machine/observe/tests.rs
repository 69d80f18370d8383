//! Whole machines as trees of files, read and judged.

#![allow(clippy::unwrap_used)]

use std::ffi::OsString;

use serde_json::json;

use super::{
    libraries::tests::{ELF, install},
    observe,
};
use crate::{
    doctor::machine::{Level, Machine, checks},
    host::{Host, root::fixture::Tree},
};

const RELEASE: &str = "6.8.0-85-generic";

fn host(gpus: serde_json::Value, more: serde_json::Value) -> Host {
    let mut value = json!({
        "schema": 1,
        "os": {"family": "linux", "id": "ubuntu", "name": "Ubuntu 24.04", "kernel": RELEASE,
               "libc": {"family": "glibc", "major": 2, "minor": 39}},
        "cpu": {"arch": "x86_64", "cores": 8, "features": ["avx", "avx2"]},
        "memory_bytes": 34_359_738_368_u64, "gpus": gpus
    });
    value
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

/// What is on every machine: a C++ runtime, memory, a user.
fn tree(files: &[(&str, &str)]) -> Tree {
    let tree = Tree::new(files);
    let meminfo = "MemTotal: 33554432 kB\nMemAvailable: 30000000 kB\nSwapTotal: 2097148 kB\n";
    tree.write("/proc/meminfo", meminfo.as_bytes());
    tree.write(
        "/proc/self/status",
        b"Uid:\t1000\t1000\t1000\t1000\nGroups:\t44\n",
    );
    install(
        &tree,
        "/usr/lib/x86_64-linux-gnu",
        "libstdc++.so.6.0.33",
        "libstdc++.so.6",
    );
    tree
}

fn look(host: Host, tree: &Tree, set: &[(&str, &str)]) -> Machine {
    let env = |name: &str| {
        let found = set.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| OsString::from(value))
    };
    let home = tree.root.path("/home/ada/aienv");
    observe(host, &tree.root, &env, &home)
}

fn problems(machine: &Machine) -> Vec<String> {
    checks::run(machine)
        .into_iter()
        .filter(|verdict| verdict.level == Level::Problem)
        // How full this machine's own disk is, is not asked here.
        .filter(|verdict| verdict.check != "system.disk")
        .map(|verdict| format!("{}: {}", verdict.check, verdict.title))
        .collect()
}

fn nvidia_card() -> serde_json::Value {
    json!([{"vendor": "nvidia", "name": "NVIDIA GeForce RTX 4090", "pci_address": "0000:01:00.0",
            "compute_capability": [8, 9], "kernel_driver": "nvidia"}])
}

const CARD: &[(&str, &str)] = &[
    ("/sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n"),
    ("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n"),
];

#[test]
fn a_workstation_with_its_driver() {
    let files = [
        CARD,
        &[
            ("/sys/module/nvidia/version", "580.95.05\n"),
            ("/sys/module/nvidia_uvm/", ""),
            ("/dev/nvidiactl", ""),
            ("/dev/nvidia0", ""),
            ("/dev/nvidia-uvm", ""),
        ],
    ]
    .concat();
    let tree = tree(&files);
    for name in [
        "libcuda.so",
        "libnvidia-ml.so",
        "libnvidia-ptxjitcompiler.so",
    ] {
        let file = format!("{name}.580.95.05");
        install(
            &tree,
            "/usr/lib/x86_64-linux-gnu",
            &file,
            &format!("{name}.1"),
        );
    }
    let driver = json!({"nvidia": {
        "version": "580.95.05", "kernel_version": "580.95.05", "cuda": [13, 0]
    }});
    let machine = look(host(nvidia_card(), driver.clone()), &tree, &[]);
    assert_eq!(problems(&machine), [] as [String; 0]);
    let works = checks::run(&machine);
    assert!(
        works
            .iter()
            .any(|verdict| verdict.title.contains("both 580.95.05"))
    );

    // A folder of stubs in front, as a recipe for building images leaves it.
    tree.write("/usr/local/cuda/lib64/stubs/libcuda.so.1", ELF);
    let set = [("LD_LIBRARY_PATH", "/usr/local/cuda/lib64/stubs")];
    let machine = look(host(nvidia_card(), driver.clone()), &tree, &set);
    assert_eq!(
        problems(&machine),
        ["nvidia.libraries: programs get a stub instead of the driver's CUDA library"]
    );

    // The libraries are updated, the module is not yet.
    let old = json!({"nvidia": {"version": "580.95.05", "kernel_version": "575.64.03"}});
    let machine = look(host(nvidia_card(), old), &tree, &[]);
    assert_eq!(
        problems(&machine),
        ["nvidia.versions: the driver's libraries are 580.95.05, its kernel module 575.64.03"]
    );
}

#[test]
fn a_kernel_update_that_left_the_module_behind() {
    let files = [
        CARD,
        &[
            (
                "/lib/modules/6.8.0-85-generic/modules.dep",
                "kernel/drivers/gpu/drm/nouveau/nouveau.ko.zst:\n",
            ),
            (
                "/lib/modules/6.8.0-84-generic/modules.dep",
                "updates/dkms/nvidia.ko.zst:\n",
            ),
            ("/usr/src/nvidia-580.95.05/dkms.conf", ""),
        ],
    ]
    .concat();
    let tree = tree(&files);
    let mut gpus = nvidia_card();
    gpus[0]["kernel_driver"] = serde_json::Value::Null;
    let machine = look(host(gpus, json!({})), &tree, &[]);
    assert_eq!(
        problems(&machine),
        ["nvidia.kernel-module: NVIDIA's module was not built for kernel 6.8.0-85-generic"]
    );
}

#[test]
fn a_radeon_on_a_kernel_without_kfd() {
    let tree = tree(&[
        ("/sys/bus/pci/devices/0000:03:00.0/class", "0x030000\n"),
        ("/sys/bus/pci/devices/0000:03:00.0/vendor", "0x1002\n"),
        ("/sys/module/amdgpu/", ""),
        ("/dev/dri/renderD128", ""),
        (
            "/sys/class/drm/renderD128/device/uevent",
            "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0\n",
        ),
    ]);
    let card = || {
        json!([{"vendor": "amd", "name": "AMD Radeon RX 7900 XTX", "gfx": "gfx1100",
                "pci_address": "0000:03:00.0", "kernel_driver": "amdgpu"}])
    };
    let machine = look(host(card(), json!({})), &tree, &[]);
    assert_eq!(
        problems(&machine),
        ["amd.device-access: amdgpu offers no computing on this kernel"]
    );
    tree.write("/dev/kfd", b"");
    let machine = look(host(card(), json!({})), &tree, &[]);
    assert_eq!(problems(&machine), [] as [String; 0]);
}

#[test]
fn wsl_with_a_linux_driver_in_it() {
    let tree = tree(&[("/dev/dxg", "")]);
    tree.write("/usr/lib/wsl/lib/libcuda.so.1", ELF);
    let wsl =
        || json!({"surroundings": {"wsl": 2}, "nvidia": {"version": "581.42", "cuda": [13, 0]}});
    let machine = look(host(json!([]), wsl()), &tree, &[]);
    assert_eq!(
        problems(&machine),
        ["nvidia.libraries: the loader does not find the driver that Windows provides"]
    );
    install(
        &tree,
        "/usr/lib/x86_64-linux-gnu",
        "libcuda.so.535.183.01",
        "libcuda.so.1",
    );
    let machine = look(host(json!([]), wsl()), &tree, &[]);
    assert_eq!(
        problems(&machine),
        ["nvidia.libraries: a Linux driver inside WSL hides the one that Windows provides"]
    );
    let set = [("LD_LIBRARY_PATH", "/usr/lib/wsl/lib")];
    let machine = look(host(json!([]), wsl()), &tree, &set);
    assert_eq!(problems(&machine), [] as [String; 0]);
}
