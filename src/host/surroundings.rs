//! Containers and WSL: told by the marks that engines and the Windows kernel leave behind.

use super::{Env, Surroundings, root::Root};

/// What is around the process (Linux).
pub(super) fn detect(root: &Root, env: Env<'_>) -> Surroundings {
    Surroundings {
        container: container(root, env),
        wsl: wsl(root),
    }
}

/// The container engine, most specific mark first: Kubernetes runs its pods in one of the others.
fn container(root: &Root, env: Env<'_>) -> Option<String> {
    let named = |name: &str| Some(name.to_owned());
    let cgroup = root.read("/proc/1/cgroup").unwrap_or_default();
    if env("KUBERNETES_SERVICE_HOST").is_some()
        || root.exists("/var/run/secrets/kubernetes.io")
        || cgroup.contains("kubepods")
    {
        return named("kubernetes");
    }
    if root.exists("/run/.containerenv") || cgroup.contains("libpod") {
        return named("podman");
    }
    if root.exists("/.dockerenv") || cgroup.contains("/docker/") || cgroup.contains("/docker-") {
        return named("docker");
    }
    // systemd's convention: the manager writes its own name.
    let declared = root
        .word("/run/systemd/container")
        .or_else(|| env("container")?.into_string().ok())
        .filter(|name| !name.is_empty());
    if declared.is_some() {
        return declared;
    }
    if cgroup.contains("/lxc/") || cgroup.contains("lxc.payload") {
        return named("lxc");
    }
    None
}

/// WSL by its kernel's name; a custom WSL 2 kernel may have another name but has `/dev/dxg`.
fn wsl(root: &Root) -> Option<u8> {
    let release = root
        .word("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .to_lowercase();
    if release.contains("wsl2") || release.contains("microsoft-standard") || root.exists("/dev/dxg")
    {
        Some(2)
    } else if release.contains("microsoft") {
        Some(1)
    } else if root.exists("/usr/lib/wsl/lib") && root.exists("/run/WSL") {
        Some(2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::host::root::fixture::Tree;

    fn of(files: &[(&str, &str)]) -> Surroundings {
        detect(&Tree::new(files).root, &|_| None)
    }

    fn container_of(files: &[(&str, &str)]) -> Option<String> {
        of(files).container
    }

    #[test]
    fn containers_are_named_by_their_marks() {
        assert_eq!(
            container_of(&[("/proc/1/cgroup", "0::/init.scope\n")]),
            None
        );
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("/.dockerenv", "")], "docker"),
            (&[("/proc/1/cgroup", "5:cpu:/docker/0f3a\n")], "docker"),
            (
                &[("/proc/1/cgroup", "0::/system.slice/docker-0f3a.scope\n")],
                "docker",
            ),
            (
                &[("/run/.containerenv", "engine=\"podman-4.9.4\"\n")],
                "podman",
            ),
            (
                &[("/proc/1/cgroup", "1:name=systemd:/libpod_parent\n")],
                "podman",
            ),
            (&[("/proc/1/cgroup", "0::/lxc/box\n")], "lxc"),
            (&[("/run/systemd/container", "lxc\n")], "lxc"),
            (
                &[("/run/systemd/container", "systemd-nspawn\n")],
                "systemd-nspawn",
            ),
            (
                &[
                    ("/.dockerenv", ""),
                    ("/proc/1/cgroup", "3:cpu:/kubepods/besteffort/pod1\n"),
                ],
                "kubernetes",
            ),
            (
                &[("/var/run/secrets/kubernetes.io/serviceaccount/token", "x")],
                "kubernetes",
            ),
        ];
        for (files, name) in cases {
            assert_eq!(container_of(files).as_deref(), Some(*name), "{files:?}");
        }
    }

    #[test]
    fn the_environment_can_name_the_container() {
        let tree = Tree::new(&[]);
        let found = detect(&tree.root, &|name| {
            (name == "container").then(|| OsString::from("flatpak"))
        });
        assert_eq!(found.container.as_deref(), Some("flatpak"));
    }

    #[test]
    fn wsl_one_and_two() {
        let release = "/proc/sys/kernel/osrelease";
        assert_eq!(of(&[(release, "6.1.0-28-amd64\n")]).wsl, None);
        assert_eq!(of(&[(release, "4.4.0-19041-Microsoft\n")]).wsl, Some(1));
        assert_eq!(
            of(&[(release, "5.15.167.4-microsoft-standard-WSL2\n")]).wsl,
            Some(2)
        );
        assert_eq!(
            of(&[(release, "6.9.0-custom\n"), ("/dev/dxg", "")]).wsl,
            Some(2)
        );
        assert_eq!(
            of(&[
                (release, "6.9.0-custom\n"),
                ("/usr/lib/wsl/lib/libcuda.so.1", ""),
                ("/run/WSL/1_interop", ""),
            ])
            .wsl,
            Some(2)
        );
    }
}
