//! GPUs and NVSwitches on the PCI bus, as far as the bus itself tells of trouble.

use serde::{Deserialize, Serialize};

use crate::{compat::gpus, host::root::Root};

const DEVICES: &str = "/sys/bus/pci/devices";

/// A device of interest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PciDevice {
    /// `0000:01:00.0`.
    pub address: String,
    /// A display controller or accelerator, rather than an NVSwitch.
    pub is_gpu: bool,
    /// It does not answer: every byte it gives is 255, as from a slot without a card.
    pub silent: bool,
    /// The number of its first memory region that the firmware gave no address.
    pub unmapped_region: Option<usize>,
    /// How the IOMMU treats it: `identity`, `DMA`, `DMA-FQ`; absent without an IOMMU.
    pub iommu: Option<String>,
}

/// Reads the devices of NVIDIA and AMD.
pub(in crate::doctor) fn read(root: &Root) -> Vec<PciDevice> {
    root.list(DEVICES)
        .into_iter()
        .filter_map(|address| {
            let folder = format!("{DEVICES}/{address}");
            let class = root.number(&format!("{folder}/class"))? >> 8;
            let vendor = root.number(&format!("{folder}/vendor"))?;
            let nvidia = vendor == u64::from(gpus::NVIDIA);
            let is_gpu = matches!(class >> 8, 0x03 | 0x12);
            // NVSwitches are bridges of their own kind.
            let is_switch = nvidia && class == 0x0680;
            if !(is_gpu && (nvidia || vendor == u64::from(gpus::AMD)) || is_switch) {
                return None;
            }
            Some(PciDevice {
                is_gpu,
                silent: is_silent(root, &folder),
                unmapped_region: (nvidia && is_gpu)
                    .then(|| unmapped_region(root, &folder))
                    .flatten(),
                iommu: root.word(&format!("{folder}/iommu_group/type")),
                address,
            })
        })
        .collect()
}

/// The first four bytes of a device's configuration are its vendor and device.
fn is_silent(root: &Root, folder: &str) -> bool {
    std::fs::read(root.path(&format!("{folder}/config")))
        .is_ok_and(|bytes| bytes.len() >= 4 && bytes[..4] == [0xff; 4])
}

/// Every NVIDIA GPU has its registers in region 0 and a window to its memory in region 1. In
/// `resource` each line is start, end and flags; a region without an address is all zeros, or is
/// marked as not set.
fn unmapped_region(root: &Root, folder: &str) -> Option<usize> {
    const UNSET: u64 = 0x2000_0000;
    let text = root.read(&format!("{folder}/resource")).ok()?;
    let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
    text.lines().take(2).position(|line| {
        let fields: Vec<u64> = line.split_whitespace().filter_map(number).collect();
        match fields[..] {
            [start, end, flags] => (start, end, flags) == (0, 0, 0) || flags & UNSET != 0,
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::root::fixture::Tree;

    fn device(address: &str, class: &str, vendor: &str) -> Vec<(String, String)> {
        let file = |name: &str| format!("{DEVICES}/{address}/{name}");
        vec![
            (file("class"), class.to_owned()),
            (file("vendor"), vendor.to_owned()),
        ]
    }

    fn tree(files: &[Vec<(String, String)>]) -> Tree {
        let tree = Tree::new(&[]);
        for (path, text) in files.iter().flatten() {
            tree.write(path, text.as_bytes());
        }
        tree
    }

    #[test]
    fn gpus_and_switches_but_no_audio() {
        let tree = tree(&[
            device("0000:01:00.0", "0x030000", "0x10de"),
            device("0000:01:00.1", "0x040300", "0x10de"),
            device("0000:05:00.0", "0x068000", "0x10de"),
            device("0000:06:00.0", "0x120000", "0x1002"),
            device("0000:00:02.0", "0x030000", "0x8086"),
        ]);
        tree.write(
            "/sys/bus/pci/devices/0000:01:00.0/iommu_group/type",
            b"identity\n",
        );
        let found = read(&tree.root);
        let told: Vec<_> = found
            .iter()
            .map(|device| {
                (
                    device.address.as_str(),
                    device.is_gpu,
                    device.iommu.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("0000:01:00.0", true, Some("identity")),
                ("0000:05:00.0", false, None),
                ("0000:06:00.0", true, None),
            ]
        );
    }

    #[test]
    fn a_card_that_fell_off_and_one_without_addresses() {
        let tree = tree(&[
            device("0000:01:00.0", "0x030000", "0x10de"),
            device("0000:02:00.0", "0x030000", "0x10de"),
            device("0000:03:00.0", "0x030000", "0x10de"),
        ]);
        let folder = |n: u8, name: &str| format!("{DEVICES}/0000:0{n}:00.0/{name}");
        tree.write(&folder(1, "config"), &[0xff; 64]);
        tree.write(&folder(2, "config"), &[0xde, 0x10, 0x84, 0x26]);
        let mapped = "0x00000000a0000000 0x00000000a0ffffff 0x0000000000040200\n";
        let lines = |second: &str| format!("{mapped}{second}\n{mapped}");
        tree.write(&folder(2, "resource"), lines("0x0 0x0 0x0").as_bytes());
        tree.write(
            &folder(3, "resource"),
            lines("0x0000006000000000 0x00000067ffffffff 0x000000000014220c").as_bytes(),
        );
        let found = read(&tree.root);
        let told: Vec<_> = found
            .iter()
            .map(|d| (d.silent, d.unmapped_region))
            .collect();
        assert_eq!(told, [(true, None), (false, Some(1)), (false, None)]);
        tree.write(
            &folder(3, "resource"),
            lines("0x0000000000000000 0x00000007ffffffff 0x000000002014220c").as_bytes(),
        );
        assert_eq!(read(&tree.root)[2].unmapped_region, Some(1));
    }
}
