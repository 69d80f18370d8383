//! What a container or WSL gives, what a container engine of this machine could give, and whether
//! the services that some GPUs need are running.

use serde::{Deserialize, Serialize};

use crate::host::root::Root;

/// Around this process and beside it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Around {
    /// What the Windows driver gives to Linux programs under WSL: names in `/usr/lib/wsl/lib`.
    pub wsl_libraries: Vec<String>,
    /// The container engine of this machine, where there is one.
    pub engine: Option<Engine>,
    /// `nvidia-modprobe` is there with the right to make NVIDIA's device files when a program first
    /// needs them.
    pub makes_device_files: bool,
    /// The fabric manager of NVSwitch machines runs; absent where processes cannot be seen.
    pub fabric_manager: Option<bool>,
    /// Parts of the Visual C++ runtime that are missing (Windows).
    pub missing_vc_runtime: Vec<String>,
}

/// A container engine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Engine {
    /// `docker` or `podman`.
    pub name: String,
    /// NVIDIA's container toolkit is installed.
    pub toolkit: bool,
    /// The engine was told of it: a runtime in its configuration, or a list of devices (CDI).
    pub configured: bool,
}

impl Around {
    /// Reads what is around. Processes are only looked at with `switches`.
    pub(in crate::doctor) fn read(root: &Root, in_container: bool, switches: bool) -> Self {
        Self {
            wsl_libraries: root
                .list("/usr/lib/wsl/lib")
                .into_iter()
                .filter(|name| name.contains(".so"))
                .collect(),
            makes_device_files: has_set_user_id(&root.path("/usr/bin/nvidia-modprobe")),
            engine: (!in_container).then(|| engine(root)).flatten(),
            fabric_manager: (switches && !in_container).then(|| runs(root, "nv-fabricmanager")),
            missing_vc_runtime: missing_vc_runtime(),
        }
    }
}

/// Whether a program runs as its owner, whoever starts it.
#[cfg(unix)]
fn has_set_user_id(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let set_user_id = 0o4000;
    path.metadata()
        .is_ok_and(|data| data.permissions().mode() & set_user_id != 0)
}

#[cfg(not(unix))]
fn has_set_user_id(_path: &std::path::Path) -> bool {
    false
}

fn engine(root: &Root) -> Option<Engine> {
    let program = |name: &str| {
        ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/bin"]
            .iter()
            .any(|folder| root.exists(&format!("{folder}/{name}")))
    };
    let name = ["docker", "podman"]
        .into_iter()
        .find(|name| program(name))?;
    let devices = ["/etc/cdi", "/var/run/cdi"]
        .iter()
        .any(|folder| root.list(folder).iter().any(|file| file.contains("nvidia")));
    let configuration = root.read("/etc/docker/daemon.json").unwrap_or_default();
    Some(Engine {
        name: name.to_owned(),
        toolkit: program("nvidia-container-runtime-hook")
            || program("nvidia-container-toolkit")
            || program("nvidia-ctk"),
        configured: devices || name == "docker" && configuration.contains("nvidia"),
    })
}

/// Whether a process of this name runs. The kernel keeps fifteen letters of it.
fn runs(root: &Root, name: &str) -> bool {
    let kept = &name[..name.len().min(15)];
    root.list("/proc")
        .iter()
        .filter(|entry| entry.bytes().all(|byte| byte.is_ascii_digit()))
        .any(|id| root.word(&format!("/proc/{id}/comm")).as_deref() == Some(kept))
}

/// The libraries that compiled Python packages need from Microsoft's redistributable.
#[cfg(windows)]
fn missing_vc_runtime() -> Vec<String> {
    const NEEDED: &[&str] = &["vcruntime140.dll", "vcruntime140_1.dll", "msvcp140.dll"];
    let Some(root) = std::env::var_os("SystemRoot") else {
        return Vec::new();
    };
    let system = std::path::Path::new(&root).join("System32");
    // 64-bit Arm has no second part of the runtime.
    let needed = NEEDED
        .iter()
        .filter(|name| cfg!(target_arch = "x86_64") || **name != "vcruntime140_1.dll");
    needed
        .filter(|name| !system.join(name).is_file())
        .map(|name| (*name).to_owned())
        .collect()
}

#[cfg(not(windows))]
fn missing_vc_runtime() -> Vec<String> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::root::fixture::Tree;

    #[test]
    fn engines_and_their_toolkit() {
        let bare = Tree::new(&[("/usr/bin/docker", "")]);
        let around = Around::read(&bare.root, false, false);
        let engine = around.engine.clone().unwrap_or_default();
        assert_eq!(engine.name, "docker");
        assert!(!engine.toolkit && !engine.configured);
        assert_eq!(around.fabric_manager, None);
        assert_eq!(Around::read(&bare.root, true, true), Around::default());

        let ready = Tree::new(&[
            ("/usr/bin/docker", ""),
            ("/usr/bin/nvidia-ctk", ""),
            (
                "/etc/docker/daemon.json",
                "{\"runtimes\": {\"nvidia\": {}}}",
            ),
        ]);
        let engine = Around::read(&ready.root, false, false).engine;
        assert!(engine.is_some_and(|engine| engine.toolkit && engine.configured));
        let podman = Tree::new(&[("/usr/bin/podman", ""), ("/etc/cdi/nvidia.yaml", "")]);
        let engine = Around::read(&podman.root, false, false).engine;
        assert!(engine.is_some_and(|engine| engine.name == "podman" && engine.configured));
    }

    #[test]
    fn the_fabric_manager_is_known_by_its_shortened_name() {
        let tree = Tree::new(&[
            ("/proc/1/comm", "systemd\n"),
            ("/proc/812/comm", "nv-fabricmanage\n"),
        ]);
        assert_eq!(
            Around::read(&tree.root, false, true).fabric_manager,
            Some(true)
        );
        let without = Tree::new(&[("/proc/1/comm", "systemd\n")]);
        assert_eq!(
            Around::read(&without.root, false, true).fabric_manager,
            Some(false)
        );
    }

    #[test]
    fn the_libraries_of_wsl() {
        let tree = Tree::new(&[
            ("/usr/lib/wsl/lib/libcuda.so.1", ""),
            ("/usr/lib/wsl/lib/nvidia-smi", ""),
        ]);
        assert_eq!(
            Around::read(&tree.root, false, false).wsl_libraries,
            ["libcuda.so.1"]
        );
    }
}
