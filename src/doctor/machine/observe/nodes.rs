//! The device files that programs open to reach a GPU, and whether this user may.
//!
//! Permissions are one gate; a container's list of allowed devices is another, of which
//! permissions say nothing: opening fails although they allow it. With the older control groups
//! that list can be read; with the newer ones only opening tells. So inside a container the files
//! that do not wake a GPU are opened.

use std::fs::OpenOptions;

use serde::{Deserialize, Serialize};

use super::user::Groups;
use crate::{host::root::Root, platform::access};

/// A device file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// `/dev/kfd`.
    pub path: String,
    /// This user may read and write it, by its permissions.
    pub allowed: bool,
    /// The group it belongs to.
    pub group: Option<String>,
    /// Permission bits: `660`.
    pub mode: Option<String>,
    /// Why it could not be opened although permissions allow it.
    pub refused: Option<String>,
    /// The kernel driver behind it, for render nodes.
    pub driver: Option<String>,
    /// The PCI address behind it, for render nodes.
    pub address: Option<String>,
}

/// Files that can be opened without waking a GPU.
const QUIET: &[&str] = &["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/kfd"];

/// Reads the device files that are there. With `open` those that sleep through it are opened.
pub(in crate::doctor) fn read(root: &Root, groups: &Groups, open: bool) -> Vec<Node> {
    let mut paths: Vec<String> = ["/dev/kfd", "/dev/dxg", "/dev/nvmap"]
        .iter()
        .filter(|path| root.exists(path))
        .map(|path| (*path).to_owned())
        .collect();
    let is_nvidia = |name: &String| {
        name.strip_prefix("nvidia").is_some_and(|rest| {
            matches!(rest, "ctl" | "-uvm" | "-modeset")
                || !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())
        })
    };
    let nvidia = root.list("/dev").into_iter().filter(is_nvidia);
    paths.extend(nvidia.map(|name| format!("/dev/{name}")));
    let is_render = |name: &String| name.starts_with("renderD");
    let render = root.list("/dev/dri").into_iter().filter(is_render);
    paths.extend(render.map(|name| format!("/dev/dri/{name}")));
    paths
        .into_iter()
        .map(|path| one(root, groups, path, open))
        .collect()
}

fn one(root: &Root, groups: &Groups, path: String, open: bool) -> Node {
    let place = root.path(&path);
    let allowed = access::may_read_and_write(&place);
    let refused = (open && allowed && QUIET.contains(&path.as_str()))
        .then(|| OpenOptions::new().read(true).write(true).open(&place).err())
        .flatten()
        .map(|error| error.to_string());
    let (group, mode) = owner(&place);
    let card = path.strip_prefix("/dev/dri/").map(|name| {
        let folder = format!("/sys/class/drm/{name}/device/uevent");
        root.read(&folder).unwrap_or_default()
    });
    let told = |key: &str| {
        let text = card.as_deref()?;
        let value = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(value.trim().to_owned())
    };
    Node {
        driver: told("DRIVER="),
        address: told("PCI_SLOT_NAME="),
        path,
        allowed,
        group: group.map(|number| groups.name(number)),
        mode: mode.map(|bits| format!("{:o}", bits & 0o777)),
        refused,
    }
}

/// Group and permission bits.
#[cfg(unix)]
fn owner(path: &std::path::Path) -> (Option<u32>, Option<u32>) {
    use std::os::unix::fs::MetadataExt as _;
    match path.metadata() {
        Ok(data) => (Some(data.gid()), Some(data.mode())),
        Err(_) => (None, None),
    }
}

#[cfg(not(unix))]
fn owner(_path: &std::path::Path) -> (Option<u32>, Option<u32>) {
    (None, None)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::host::root::fixture::Tree;

    #[test]
    fn the_files_that_matter() {
        let tree = Tree::new(&[
            ("/dev/nvidia0", ""),
            ("/dev/nvidiactl", ""),
            ("/dev/nvidia-uvm", ""),
            ("/dev/nvidia-uvm-tools", ""),
            ("/dev/nvidia-caps/nvidia-cap1", ""),
            ("/dev/kfd", ""),
            ("/dev/dri/card0", ""),
            ("/dev/dri/renderD128", ""),
            (
                "/sys/class/drm/renderD128/device/uevent",
                "DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_SLOT_NAME=0000:03:00.0\n",
            ),
        ]);
        let nodes = read(&tree.root, &Groups::read(&tree.root), true);
        let paths: Vec<&str> = nodes.iter().map(|node| node.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/dev/kfd",
                "/dev/nvidia-uvm",
                "/dev/nvidia0",
                "/dev/nvidiactl",
                "/dev/dri/renderD128",
            ]
        );
        assert!(
            nodes
                .iter()
                .all(|node| node.allowed && node.refused.is_none())
        );
        let render = &nodes[4];
        assert_eq!(render.driver.as_deref(), Some("amdgpu"));
        assert_eq!(render.address.as_deref(), Some("0000:03:00.0"));
        assert!(render.mode.as_deref().is_some_and(|mode| mode.len() == 3));
    }
}
