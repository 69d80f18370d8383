//! AMD GPUs, from the kernel driver alone: no ROCm installation is needed to know what a card is.
//!
//! `/sys/class/kfd/kfd/topology/nodes/*/properties` tells the gfx target of every GPU that
//! `amdgpu` offers for computing; `/sys/bus/pci` its memory and name. A card that `kfd` does not
//! list (another driver, no permission in a container) gets its gfx target from its PCI id.

use std::collections::BTreeMap;

use super::pci::PciDevice;
use crate::{
    compat::gpus,
    host::{AmdDriver, Gpu, GpuVendor, Unread, root::Root},
    platform::access,
};

/// GPUs and driver.
#[derive(Debug, PartialEq)]
pub(super) struct Amd {
    pub(super) gpus: Vec<Gpu>,
    pub(super) driver: Option<AmdDriver>,
}

/// AMD's GPUs and the state of its kernel driver.
pub(super) fn detect(root: &Root, devices: &[PciDevice], unread: &mut Vec<Unread>) -> Amd {
    let nodes = Node::read_all(root, unread);
    let devices: Vec<&PciDevice> = devices.iter().filter(|d| d.vendor == gpus::AMD).collect();
    let gpus: Vec<Gpu> = devices
        .iter()
        .map(|device| {
            let node = nodes.iter().find(|node| node.address == device.address);
            describe(root, device, node)
        })
        .collect();
    let bound: Vec<&&PciDevice> = devices
        .iter()
        .filter(|device| device.driver.as_deref() == Some("amdgpu"))
        .collect();
    let loaded = !bound.is_empty() || root.exists("/sys/module/amdgpu");
    let driver = loaded.then(|| {
        let mut render_nodes = bound.iter().filter_map(|device| render_node(root, device));
        let mut any = false;
        AmdDriver {
            version: root.word("/sys/module/amdgpu/version"),
            kfd_accessible: access::may_read_and_write(&root.path("/dev/kfd")),
            render_accessible: render_nodes.all(|node| {
                any = true;
                access::may_read_and_write(&root.path(&node))
            }) && any,
        }
    });
    Amd { gpus, driver }
}

fn describe(root: &Root, device: &PciDevice, node: Option<&Node>) -> Gpu {
    let facts = device.facts();
    let gfx = node.and_then(|node| node.gfx.clone()).or(facts.gfx);
    let integrated = gfx.as_deref().is_some_and(gpus::is_integrated_gfx)
        || node.is_some_and(|node| node.has_cpu_cores);
    let folder = device.folder();
    let own = root.number(&format!("{folder}/mem_info_vram_total"));
    let memory_bytes = if integrated {
        // A small part is set aside at start; the rest is what the driver may map.
        let mapped = root.number(&format!("{folder}/mem_info_gtt_total"));
        match (own, mapped) {
            (None, None) => None,
            (own, mapped) => Some(own.unwrap_or(0).saturating_add(mapped.unwrap_or(0))),
        }
    } else {
        own.or(facts.memory_bytes)
    };
    Gpu {
        vendor: GpuVendor::Amd,
        name: root
            .word(&format!("{folder}/product_name"))
            .map(|name| {
                if name.starts_with("AMD") {
                    name
                } else {
                    format!("AMD {name}")
                }
            })
            .or_else(|| libdrm_name(root, device))
            .unwrap_or_else(|| device.name(root, "AMD")),
        pci_id: Some(device.id()),
        pci_address: Some(device.address.clone()),
        compute_capability: None,
        gfx,
        memory_bytes,
        integrated,
        kernel_driver: device.driver.clone(),
    }
}

/// The name in libdrm's list, which knows the revisions of one device id apart:
/// `744C,⇥C8,⇥AMD Radeon RX 7900 XTX`.
fn libdrm_name(root: &Root, device: &PciDevice) -> Option<String> {
    let revision = device.revision?;
    let text = root.read("/usr/share/libdrm/amdgpu.ids").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ',').map(str::trim);
        let number = |field: Option<&str>| u32::from_str_radix(field?, 16).ok();
        (number(fields.next()) == Some(device.device.into())
            && number(fields.next()) == Some(revision.into()))
        .then(|| fields.next().map(str::to_owned))
        .flatten()
    })
}

/// `/dev/dri/renderD128` of a device.
fn render_node(root: &Root, device: &PciDevice) -> Option<String> {
    root.list(&format!("{}/drm", device.folder()))
        .into_iter()
        .find(|name| name.starts_with("renderD"))
        .map(|name| format!("/dev/dri/{name}"))
}

/// A GPU in the topology of `kfd`.
#[derive(Debug, PartialEq)]
struct Node {
    /// PCI address.
    address: String,
    gfx: Option<String>,
    /// The older way to tell an APU: processor and GPU are one node.
    has_cpu_cores: bool,
}

impl Node {
    fn read_all(root: &Root, unread: &mut Vec<Unread>) -> Vec<Self> {
        const NODES: &str = "/sys/class/kfd/kfd/topology/nodes";
        root.list(NODES)
            .into_iter()
            .filter_map(|name| {
                let path = format!("{NODES}/{name}/properties");
                match root.read(&path) {
                    Ok(text) => Self::parse(&text),
                    Err(error) => {
                        // Containers hide the nodes of GPUs that were not passed to them.
                        unread.push(Unread::new(path, error));
                        None
                    }
                }
            })
            .collect()
    }

    /// Lines of `name value`; `None` for a processor without a GPU.
    fn parse(properties: &str) -> Option<Self> {
        let values: BTreeMap<&str, u64> = properties
            .lines()
            .filter_map(|line| {
                let (name, value) = line.split_once(' ')?;
                Some((name, value.trim().parse().ok()?))
            })
            .collect();
        let value = |name: &str| values.get(name).copied().unwrap_or(0);
        if value("simd_count") == 0 {
            return None;
        }
        let location = value("location_id");
        Some(Self {
            address: format!(
                "{:04x}:{:02x}:{:02x}.{}",
                value("domain"),
                location >> 8 & 0xff,
                location >> 3 & 0x1f,
                location & 7
            ),
            gfx: gfx_target(value("gfx_target_version")),
            has_cpu_cores: value("cpu_cores_count") > 0,
        })
    }
}

/// `110000` is gfx1100, `90010` gfx90a: major, two digits of minor, two of stepping; the last two
/// are written in hexadecimal.
fn gfx_target(version: u64) -> Option<String> {
    if version == 0 {
        return None;
    }
    let (major, minor, stepping) = (version / 10000, version / 100 % 100, version % 100);
    Some(format!("gfx{major}{minor:x}{stepping:x}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::host::{gpu::pci, root::fixture::Tree};

    #[test]
    fn gfx_targets() {
        for (version, name) in [
            (110000, "gfx1100"),
            (110501, "gfx1151"),
            (100300, "gfx1030"),
            (120001, "gfx1201"),
            (90010, "gfx90a"),
            (90402, "gfx942"),
            (90012, "gfx90c"),
            (80003, "gfx803"),
        ] {
            assert_eq!(gfx_target(version).as_deref(), Some(name));
        }
        assert_eq!(gfx_target(0), None);
    }

    fn probe(tree: &Tree) -> (Amd, Vec<Unread>) {
        let mut unread = Vec::new();
        let found = detect(&tree.root, &pci::scan(&tree.root), &mut unread);
        (found, unread)
    }

    /// A workstation: processor with built-in graphics, and a card.
    fn workstation() -> Tree {
        Tree::new(&[
            ("/sys/bus/pci/devices/0000:03:00.0/class", "0x030000\n"),
            ("/sys/bus/pci/devices/0000:03:00.0/vendor", "0x1002\n"),
            ("/sys/bus/pci/devices/0000:03:00.0/device", "0x744c\n"),
            ("/sys/bus/pci/devices/0000:03:00.0/revision", "0xc8\n"),
            (
                "/sys/bus/pci/devices/0000:03:00.0/uevent",
                "DRIVER=amdgpu\n",
            ),
            (
                "/sys/bus/pci/devices/0000:03:00.0/mem_info_vram_total",
                "25753026560\n",
            ),
            ("/sys/bus/pci/devices/0000:03:00.0/drm/card1/", ""),
            ("/sys/bus/pci/devices/0000:03:00.0/drm/renderD128/", ""),
            ("/sys/bus/pci/devices/0000:0c:00.0/class", "0x030000\n"),
            ("/sys/bus/pci/devices/0000:0c:00.0/vendor", "0x1002\n"),
            ("/sys/bus/pci/devices/0000:0c:00.0/device", "0x164e\n"),
            ("/sys/bus/pci/devices/0000:0c:00.0/revision", "0xc1\n"),
            (
                "/sys/bus/pci/devices/0000:0c:00.0/uevent",
                "DRIVER=amdgpu\n",
            ),
            (
                "/sys/bus/pci/devices/0000:0c:00.0/mem_info_vram_total",
                "536870912\n",
            ),
            (
                "/sys/bus/pci/devices/0000:0c:00.0/mem_info_gtt_total",
                "16106127360\n",
            ),
            ("/sys/bus/pci/devices/0000:0c:00.0/drm/renderD129/", ""),
            (
                "/sys/class/kfd/kfd/topology/nodes/0/properties",
                "cpu_cores_count 32\nsimd_count 0\nlocation_id 0\ngfx_target_version 0\n",
            ),
            (
                "/sys/class/kfd/kfd/topology/nodes/1/properties",
                "cpu_cores_count 0\nsimd_count 192\nlocation_id 768\ndomain 0\n\
                 gfx_target_version 110000\nvendor_id 4098\ndevice_id 29772\n",
            ),
            (
                "/sys/class/kfd/kfd/topology/nodes/2/properties",
                "cpu_cores_count 0\nsimd_count 4\nlocation_id 3072\ndomain 0\n\
                 gfx_target_version 100306\n",
            ),
            ("/sys/module/amdgpu/version", "6.12.12\n"),
            ("/dev/kfd", ""),
            ("/dev/dri/renderD128", ""),
            ("/dev/dri/renderD129", ""),
            (
                "/usr/share/libdrm/amdgpu.ids",
                "# list\n\n1.0.0\n744C,\tCC,\tAMD Radeon RX 7900 XT\n\
                 744C,\tC8,\tAMD Radeon RX 7900 XTX\n",
            ),
        ])
    }

    #[test]
    fn a_card_beside_built_in_graphics() {
        let (found, unread) = probe(&workstation());
        let [card, built_in] = found.gpus.as_slice() else {
            panic!("{:?}", found.gpus)
        };
        assert_eq!(card.name, "AMD Radeon RX 7900 XTX");
        assert_eq!(card.gfx.as_deref(), Some("gfx1100"));
        assert_eq!(card.memory_bytes, Some(25_753_026_560));
        assert!(!card.integrated);
        assert_eq!(built_in.name, "AMD Raphael");
        assert_eq!(built_in.gfx.as_deref(), Some("gfx1036"));
        assert_eq!(built_in.memory_bytes, Some(536_870_912 + 16_106_127_360));
        assert!(built_in.integrated);
        assert_eq!(
            found.driver,
            Some(AmdDriver {
                version: Some("6.12.12".to_owned()),
                kfd_accessible: true,
                render_accessible: true,
            })
        );
        assert_eq!(unread, []);
    }

    #[test]
    fn missing_device_nodes_are_not_accessible() {
        let tree = workstation();
        std::fs::remove_file(tree.root.path("/dev/kfd")).unwrap();
        std::fs::remove_file(tree.root.path("/dev/dri/renderD129")).unwrap();
        let driver = probe(&tree).0.driver.unwrap();
        assert!(!driver.kfd_accessible);
        assert!(!driver.render_accessible);
    }

    #[test]
    fn without_the_kernel_driver_the_pci_id_tells() {
        let tree = Tree::new(&[
            // Instinct cards call themselves processing accelerators.
            ("/sys/bus/pci/devices/0000:83:00.0/class", "0x120000\n"),
            ("/sys/bus/pci/devices/0000:83:00.0/vendor", "0x1002\n"),
            ("/sys/bus/pci/devices/0000:83:00.0/device", "0x74a1\n"),
        ]);
        let (found, _) = probe(&tree);
        assert_eq!(found.driver, None);
        assert_eq!(found.gpus[0].name, "AMD Instinct MI300X");
        assert_eq!(found.gpus[0].gfx.as_deref(), Some("gfx942"));
        assert_eq!(found.gpus[0].memory_bytes, Some(192 << 30));
        assert_eq!(found.gpus[0].kernel_driver, None);
    }

    #[test]
    fn an_apu_of_the_older_topology_is_integrated() {
        let node = Node::parse(
            "cpu_cores_count 8\nsimd_count 32\nlocation_id 1024\ngfx_target_version 90000\n",
        )
        .unwrap();
        assert_eq!(node.address, "0000:04:00.0");
        assert!(node.has_cpu_cores);
    }
}
