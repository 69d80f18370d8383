//! PCI devices as Linux lists them under `/sys/bus/pci/devices`.

use crate::{
    compat::gpus::{self, GpuFacts},
    host::root::Root,
};

/// One PCI device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PciDevice {
    /// `0000:01:00.0`.
    pub(super) address: String,
    /// Class, subclass and interface: `0x030000` is a VGA controller.
    pub(super) class: u32,
    pub(super) vendor: u16,
    pub(super) device: u16,
    pub(super) revision: Option<u8>,
    /// The kernel driver bound to it.
    pub(super) driver: Option<String>,
}

impl PciDevice {
    /// Its folder in sysfs.
    pub(super) fn folder(&self) -> String {
        format!("/sys/bus/pci/devices/{}", self.address)
    }

    /// `10de:2684`.
    pub(super) fn id(&self) -> String {
        format!("{:04x}:{:04x}", self.vendor, self.device)
    }

    /// A display controller (class 3), or AMD's compute cards, which call themselves processing
    /// accelerators (class 0x12) as other makers' NPUs do.
    pub(super) fn is_gpu(&self) -> bool {
        let class = self.class >> 16;
        class == 0x03 || (class == 0x12 && self.vendor == gpus::AMD)
    }

    /// What the table knows of it.
    pub(super) fn facts(&self) -> GpuFacts {
        gpus::by_pci(self.vendor, self.device, self.revision).unwrap_or_default()
    }

    /// A name without a driver's help: the model by our table, else the machine's own list of PCI
    /// ids, else the chip, else the bare id.
    pub(super) fn name(&self, root: &Root, maker: &str) -> String {
        let facts = self.facts();
        let told = facts
            .model
            .or_else(|| listed_name(root, self.vendor, self.device))
            .or(facts.chip)
            .unwrap_or_else(|| format!("GPU {}", self.id()));
        if told.starts_with(maker) {
            told
        } else {
            format!("{maker} {told}")
        }
    }
}

/// Every GPU, in the order of PCI addresses.
pub(super) fn scan(root: &Root) -> Vec<PciDevice> {
    const DEVICES: &str = "/sys/bus/pci/devices";
    root.list(DEVICES)
        .into_iter()
        .filter_map(|address| {
            let folder = format!("{DEVICES}/{address}");
            let class = u32::try_from(root.number(&format!("{folder}/class"))?).ok()?;
            // Most devices end here, after one small read.
            if !matches!(class >> 16, 0x03 | 0x12) {
                return None;
            }
            let short = |name: &str| u16::try_from(root.number(&format!("{folder}/{name}"))?).ok();
            Some(PciDevice {
                class,
                vendor: short("vendor")?,
                device: short("device")?,
                revision: short("revision").and_then(|r| u8::try_from(r).ok()),
                driver: uevent(root, &folder, "DRIVER"),
                address,
            })
        })
        .filter(PciDevice::is_gpu)
        .collect()
}

/// A value of a device's `uevent` file.
pub(super) fn uevent(root: &Root, folder: &str, key: &str) -> Option<String> {
    let text = root.read(&format!("{folder}/uevent")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map(|value| value.trim().to_owned())
}

/// The name in the list of PCI ids that many distributions install; what is in brackets is the
/// name it is sold under.
fn listed_name(root: &Root, vendor: u16, device: u16) -> Option<String> {
    let text = ["/usr/share/hwdata/pci.ids", "/usr/share/misc/pci.ids"]
        .iter()
        .find_map(|path| root.read(path).ok())?;
    let vendor = format!("{vendor:04x}  ");
    let device = format!("\t{device:04x}  ");
    let name = text
        .lines()
        .skip_while(|line| !line.starts_with(&vendor))
        .skip(1)
        .take_while(|line| line.starts_with('\t') || line.starts_with('#'))
        .find_map(|line| line.strip_prefix(&device))?;
    let sold_as = name
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    Some(sold_as.map_or(name, |(name, _)| name).trim().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::host::root::fixture::Tree;

    const LIST: &str = "# comment\n10dd  Other\n\t2684  Wrong vendor\n10de  NVIDIA Corporation\n\
                        \t0fff  First\n\t\t10de 0001  A board\n\tfffe  XY100 [GeForce ZZ 1]\n\
                        1100  Next\n\tfffd  Wrong vendor\n";

    fn stranger(device: u16) -> PciDevice {
        PciDevice {
            address: "0000:01:00.0".to_owned(),
            class: 0x03_0000,
            vendor: gpus::NVIDIA,
            device,
            revision: None,
            driver: None,
        }
    }

    #[test]
    fn names_by_list_or_bare_id_but_never_by_likeness() {
        let tree = Tree::new(&[("/usr/share/misc/pci.ids", LIST)]);
        for (device, name) in [
            (0x2684, "NVIDIA GeForce RTX 4090"),
            (0xfffe, "NVIDIA GeForce ZZ 1"),
            (0xfffd, "NVIDIA GPU 10de:fffd"),
        ] {
            assert_eq!(stranger(device).name(&tree.root, "NVIDIA"), name);
        }
    }
}
