//! Intel GPUs, integrated and discrete, bound to `i915` or `xe`.

use super::pci::PciDevice;
use crate::{
    compat::gpus,
    host::{Gpu, GpuVendor, root::Root},
};

/// Every Intel processor has its own GPU at this address; a card is never there.
const INTEGRATED: &str = "0000:00:02.0";

/// Intel's GPUs.
pub(super) fn detect(root: &Root, devices: &[PciDevice]) -> Vec<Gpu> {
    devices
        .iter()
        .filter(|device| device.vendor == gpus::INTEL)
        .map(|device| {
            let integrated = device.address == INTEGRATED;
            Gpu {
                vendor: GpuVendor::Intel,
                name: device.name(root, "Intel"),
                pci_id: Some(device.id()),
                pci_address: Some(device.address.clone()),
                compute_capability: None,
                gfx: None,
                memory_bytes: (!integrated)
                    .then(|| own_memory(root, device).or(device.facts().memory_bytes))
                    .flatten(),
                integrated,
                kernel_driver: device.driver.clone(),
            }
        })
        .collect()
}

/// The card's memory where the driver tells it: `xe` per tile, some builds of `i915` in all.
fn own_memory(root: &Root, device: &PciDevice) -> Option<u64> {
    let folder = device.folder();
    let tiles: u64 = root
        .list(&folder)
        .iter()
        .filter(|name| name.starts_with("tile"))
        .filter_map(|tile| root.number(&format!("{folder}/{tile}/physical_vram_size_bytes")))
        .sum();
    if tiles > 0 {
        return Some(tiles);
    }
    root.list(&format!("{folder}/drm"))
        .iter()
        .find_map(|card| root.number(&format!("{folder}/drm/{card}/lmem_total_bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{gpu::pci, root::fixture::Tree};

    #[test]
    fn integrated_and_discrete() {
        let tree = Tree::new(&[
            ("/sys/bus/pci/devices/0000:00:02.0/class", "0x030000\n"),
            ("/sys/bus/pci/devices/0000:00:02.0/vendor", "0x8086\n"),
            ("/sys/bus/pci/devices/0000:00:02.0/device", "0xa780\n"),
            ("/sys/bus/pci/devices/0000:00:02.0/uevent", "DRIVER=i915\n"),
            ("/sys/bus/pci/devices/0000:03:00.0/class", "0x030000\n"),
            ("/sys/bus/pci/devices/0000:03:00.0/vendor", "0x8086\n"),
            ("/sys/bus/pci/devices/0000:03:00.0/device", "0xe20b\n"),
            ("/sys/bus/pci/devices/0000:03:00.0/uevent", "DRIVER=xe\n"),
            // Several sizes are sold under this id; only the driver knows.
            ("/sys/bus/pci/devices/0000:04:00.0/class", "0x030000\n"),
            ("/sys/bus/pci/devices/0000:04:00.0/vendor", "0x8086\n"),
            ("/sys/bus/pci/devices/0000:04:00.0/device", "0x56a0\n"),
            (
                "/sys/bus/pci/devices/0000:04:00.0/tile0/physical_vram_size_bytes",
                "0x400000000\n",
            ),
            // Its NPU is no GPU.
            ("/sys/bus/pci/devices/0000:00:0b.0/class", "0x120000\n"),
            ("/sys/bus/pci/devices/0000:00:0b.0/vendor", "0x8086\n"),
            ("/sys/bus/pci/devices/0000:00:0b.0/device", "0x7d1d\n"),
        ]);
        let gpus = detect(&tree.root, &pci::scan(&tree.root));
        let told: Vec<_> = gpus
            .iter()
            .map(|gpu| {
                (
                    gpu.name.as_str(),
                    gpu.integrated,
                    gpu.kernel_driver.as_deref(),
                    gpu.memory_bytes,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("Intel UHD Graphics 770", true, Some("i915"), None),
                ("Intel Arc B580", false, Some("xe"), Some(12 << 30)),
                ("Intel Arc A770", false, None, Some(16 << 30)),
            ]
        );
    }
}
