use serde_json::json;

use super::*;

#[test]
fn containers_without_the_gpu_they_were_made_for() {
    let mut machine = nvidia();
    machine.host.surroundings.container = Some("docker".to_owned());
    machine.host.nvidia = serde_json::from_value(json!({"kernel_version": "580.95.05"})).unwrap();
    machine.nodes.clear();
    machine
        .libraries
        .retain(|library| library.name == "libstdc++.so.6");
    let found = note(&machine, "container.gpu", Cause::ContainerNoGpuFlag);
    assert!(commands(&found).contains("--gpus all"));
    set(&mut machine, "NVIDIA_VISIBLE_DEVICES", "all");
    problem(&machine, "container.gpu", Cause::ContainerNoGpuFlag);
    set(&mut machine, "NVIDIA_VISIBLE_DEVICES", "void");
    note(&machine, "container.gpu", Cause::VisibleDevicesHideGpu);
}

#[test]
fn container_engines_without_the_toolkit() {
    let mut machine = nvidia();
    let engine = |toolkit, configured| {
        serde_json::from_value(json!({
            "name": "docker", "toolkit": toolkit, "configured": configured
        }))
        .unwrap()
    };
    machine.around.engine = engine(false, false);
    let found = note(&machine, "container.engine", Cause::ContainerToolkit);
    assert!(commands(&found).contains("apt install nvidia-container-toolkit"));
    machine.around.engine = engine(true, false);
    let found = note(&machine, "container.engine", Cause::ContainerToolkit);
    assert!(commands(&found).contains("nvidia-ctk runtime configure"));
    machine.around.engine = engine(true, true);
    assert_eq!(notes(&machine), []);
    let mut without_gpu = plain();
    without_gpu.around.engine = engine(false, false);
    assert!(
        !notes(&without_gpu)
            .iter()
            .any(|note| note.check == "container.engine")
    );
}

#[test]
fn shared_memory() {
    let mut machine = plain();
    machine.host.surroundings.container = Some("docker".to_owned());
    let space = |free: u64, total: u64| {
        serde_json::from_value(json!({"free": free << 20, "total": total << 20})).unwrap()
    };
    machine.resources.shared_memory = space(64, 64);
    let found = note(&machine, "container.shared-memory", Cause::ShmTooSmall);
    assert!(commands(&found).contains("--shm-size"));
    machine.resources.shared_memory = space(2, 64);
    problem(&machine, "container.shared-memory", Cause::ShmTooSmall);
    machine.host.surroundings.container = None;
    machine.resources.shared_memory = space(64, 64);
    assert_eq!(problems(&machine), []);
}

/// WSL 2 with the driver of Windows.
fn wsl() -> Machine {
    let mut machine = plain();
    machine.host.surroundings.wsl = Some(2);
    machine.host.nvidia =
        serde_json::from_value(json!({"version": "581.42", "cuda": [13, 0]})).unwrap();
    machine.nodes = serde_json::from_value(json!([{"path": "/dev/dxg", "allowed": true}])).unwrap();
    machine.around.wsl_libraries = ["libcuda.so.1", "libdxcore.so"].map(str::to_owned).to_vec();
    let library = json!({
        "name": "libcuda.so.1", "path": "/usr/lib/wsl/lib/libcuda.so.1",
        "file": "/usr/lib/wsl/lib/libcuda.so.1.1", "place": "system"
    });
    machine
        .libraries
        .push(serde_json::from_value(library).unwrap());
    machine
}

#[test]
fn wsl_and_the_driver_of_windows() {
    assert_eq!(problems(&wsl()), []);
    let mut machine = wsl();
    let library = machine
        .libraries
        .iter_mut()
        .find(|l| l.name == "libcuda.so.1")
        .unwrap();
    library.path = Some("/usr/lib/x86_64-linux-gnu/libcuda.so.1".to_owned());
    library.file = Some("/usr/lib/x86_64-linux-gnu/libcuda.so.535.183.01".to_owned());
    let found = problem(&machine, "nvidia.libraries", Cause::WslLibcudaNotOnPath);
    assert!(commands(&found).contains("apt purge"));
    let library = machine
        .libraries
        .iter_mut()
        .find(|l| l.name == "libcuda.so.1")
        .unwrap();
    (library.path, library.file) = (None, None);
    library.unseen = vec!["/usr/lib/wsl/lib/libcuda.so.1.1".to_owned()];
    let found = problem(&machine, "nvidia.libraries", Cause::WslLibcudaNotOnPath);
    assert!(commands(&found).contains("/etc/ld.so.conf.d"));
}

#[test]
fn wsl_without_a_way_to_the_gpu() {
    let mut machine = wsl();
    machine.nodes.clear();
    machine.host.nvidia = None;
    let found = problem(&machine, "wsl.gpu", Cause::WslTooOld);
    assert!(commands(&found).contains("wsl.exe --update"));
    machine.around.wsl_libraries.clear();
    note(&machine, "wsl.gpu", Cause::WslTooOld);
    machine.host.surroundings.wsl = Some(1);
    let found = note(&machine, "wsl.gpu", Cause::WslTooOld);
    assert!(commands(&found).contains("--set-version"));
}

#[test]
fn cards_of_intel() {
    let mut machine = machine(host(json!([{
        "vendor": "intel", "name": "Intel Arc B580", "pci_id": "8086:e20b",
        "pci_address": "0000:03:00.0", "memory_bytes": 12_884_901_888_u64, "kernel_driver": "xe"
    }])));
    machine.nodes = serde_json::from_value(json!([
        {"path": "/dev/dri/renderD128", "allowed": true, "group": "render",
         "driver": "xe", "address": "0000:03:00.0"}
    ]))
    .unwrap();
    let absent = json!({"name": "libze_loader.so.1"});
    machine
        .libraries
        .push(serde_json::from_value(absent).unwrap());
    assert_eq!(problems(&machine), []);
    let found = only(notes(&machine), "intel.driver", None);
    assert!(commands(&found).contains("libze1"));
    machine.nodes[0].allowed = false;
    let found = only(problems(&machine), "intel.driver", None);
    assert!(commands(&found).contains("usermod -aG render"));
    machine.host.gpus[0].kernel_driver = None;
    only(problems(&machine), "intel.driver", None);
}

#[test]
fn macs() {
    let mac = |version: &str, arch: &str, rosetta: bool| {
        let host = json!({
            "schema": 1,
            "os": {"family": "macos", "id": "macos", "name": "macOS", "version": version,
                   "rosetta": rosetta},
            "cpu": {"arch": arch, "cores": 8},
            "gpus": [{"vendor": "apple", "name": "Apple M1", "integrated": true}]
        });
        Machine {
            host: serde_json::from_value(host).unwrap(),
            libraries: Vec::new(),
            ..plain()
        }
    };
    assert_eq!(notes(&mac("15.1", "aarch64", false)), []);
    note(
        &mac("13.6", "aarch64", false),
        "apple.gpu",
        Cause::MacosTooOld,
    );
    problem(
        &mac("11.7", "aarch64", false),
        "apple.gpu",
        Cause::MacosTooOld,
    );
    note(
        &mac("15.1", "aarch64", true),
        "apple.gpu",
        Cause::PythonWrongArchitecture,
    );
    let intel = notes(&mac("13.6", "x86_64", false));
    assert!(
        intel.iter().any(|note| note.title.contains("Intel")),
        "{intel:#?}"
    );
}
