//! NVIDIA GPUs: the kernel's files and the libraries' answer brought together.
//!
//! Any part may be missing: a card bound to `nouveau` has only its PCI id, a container without the
//! GPU has `/proc` and `/sys` but no library, WSL has a library but no PCI device.

use std::{collections::BTreeMap, str::FromStr as _};

#[cfg(any(test, not(any(target_os = "macos", windows))))]
use crate::platform::access;
use crate::{
    compat::gpus,
    host::{Gpu, GpuVendor, NvidiaDriver, Unread, root::Root},
    types::Version,
};

use super::pci::PciDevice;

/// What the libraries said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    /// Version of the user-space driver.
    pub(super) driver: Option<String>,
    /// Highest CUDA version it supports.
    pub(super) cuda: Option<(u16, u16)>,
    pub(super) gpus: Vec<AnsweredGpu>,
    pub(super) unread: Vec<Unread>,
}

/// One GPU as NVML sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AnsweredGpu {
    pub(super) name: Option<String>,
    pub(super) pci_address: Option<String>,
    /// Vendor and device.
    pub(super) pci: Option<(u16, u16)>,
    pub(super) compute_capability: Option<(u16, u16)>,
    pub(super) memory_bytes: Option<u64>,
    /// It has no memory of its own.
    pub(super) shared_memory: bool,
}

/// What the kernel module says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kernel {
    /// Version of the loaded module.
    pub(super) version: Option<String>,
    /// The open flavour.
    pub(super) open: Option<bool>,
    /// Model names by PCI address.
    pub(super) models: BTreeMap<String, String>,
}

/// GPUs and driver.
#[derive(Debug, PartialEq)]
pub(super) struct Nvidia {
    pub(super) gpus: Vec<Gpu>,
    pub(super) driver: Option<NvidiaDriver>,
}

#[cfg(any(test, not(any(target_os = "macos", windows))))]
impl Kernel {
    /// Reads `/proc/driver/nvidia`.
    pub(super) fn read(root: &Root) -> Self {
        let banner = root.read("/proc/driver/nvidia/version").unwrap_or_default();
        let line = banner
            .lines()
            .find(|line| line.starts_with("NVRM version:"))
            .unwrap_or_default();
        let is_version = |word: &&str| {
            word.contains('.') && word.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        };
        let version = line
            .split_whitespace()
            .find(is_version)
            .map(str::to_owned)
            .or_else(|| root.word("/sys/module/nvidia/version"));
        let mut models = BTreeMap::new();
        for address in root.list("/proc/driver/nvidia/gpus") {
            let path = format!("/proc/driver/nvidia/gpus/{address}/information");
            let text = root.read(&path).unwrap_or_default();
            let model = text
                .lines()
                .find_map(|line| line.strip_prefix("Model:"))
                .map(str::trim)
                .filter(|model| !model.is_empty() && *model != "Unknown");
            if let Some(model) = model {
                models.insert(address.to_lowercase(), model.to_owned());
            }
        }
        Self {
            version,
            open: (!line.is_empty()).then(|| line.contains("Open Kernel Module")),
            models,
        }
    }
}

/// Whether loading NVIDIA's libraries can tell anything: on most machines without an NVIDIA GPU
/// not even the attempt is made.
#[cfg(any(test, not(any(target_os = "macos", windows))))]
pub(super) fn is_likely(root: &Root, devices: &[PciDevice]) -> bool {
    devices.iter().any(|device| device.vendor == gpus::NVIDIA)
        || [
            "/proc/driver/nvidia/version",
            "/dev/nvidiactl",
            // WSL 2 passes every GPU through this device.
            "/dev/dxg",
            // Jetson boards have no PCI GPU.
            "/dev/nvmap",
        ]
        .iter()
        .any(|path| root.exists(path))
}

/// Brings together what kernel and libraries said.
pub(super) fn combine(
    root: &Root,
    devices: &[PciDevice],
    kernel: Kernel,
    answer: Option<Answer>,
    unread: &mut Vec<Unread>,
) -> Nvidia {
    let mut answer = answer.unwrap_or_default();
    unread.append(&mut answer.unread);
    let ours = |device: &&PciDevice| device.vendor == gpus::NVIDIA;
    let mut gpus: Vec<Gpu> = answer
        .gpus
        .iter()
        .map(|answered| {
            let device = devices
                .iter()
                .filter(ours)
                .find(|d| Some(&d.address) == answered.pci_address.as_ref());
            merged(answered, device)
        })
        .collect();
    for device in devices.iter().filter(ours) {
        if !gpus
            .iter()
            .any(|gpu| gpu.pci_address.as_ref() == Some(&device.address))
        {
            gpus.push(untold(root, device, &kernel));
        }
    }
    let user_space = answer.driver.clone();
    #[cfg(any(test, not(any(target_os = "macos", windows))))]
    let user_space = user_space.or_else(|| {
        kernel.version.as_ref()?;
        library_version(root)
    });
    #[cfg(any(test, not(any(target_os = "macos", windows))))]
    check_device_node(root, &kernel, unread);
    let known = kernel.version.is_some() || answer.driver.is_some() || answer.cuda.is_some();
    let driver = known.then(|| NvidiaDriver {
        version: user_space.as_deref().and_then(version),
        kernel_version: kernel.version.as_deref().and_then(version),
        cuda: answer.cuda,
        open_module: kernel.open,
    });
    Nvidia { gpus, driver }
}

/// A GPU that NVML knows.
fn merged(answered: &AnsweredGpu, device: Option<&PciDevice>) -> Gpu {
    let facts = answered
        .pci
        .and_then(|(vendor, device)| gpus::by_pci(vendor, device, None))
        .unwrap_or_default();
    let name = answered
        .name
        .clone()
        .or_else(|| facts.model.map(|model| format!("NVIDIA {model}")))
        .unwrap_or_else(|| "NVIDIA GPU".to_owned());
    Gpu {
        vendor: GpuVendor::Nvidia,
        name,
        pci_id: answered
            .pci
            .map(|(vendor, device)| format!("{vendor:04x}:{device:04x}")),
        pci_address: answered.pci_address.clone(),
        compute_capability: answered.compute_capability.or(facts.compute_capability),
        gfx: None,
        memory_bytes: answered.memory_bytes.or(facts.memory_bytes),
        integrated: answered.shared_memory,
        kernel_driver: device.and_then(|d| d.driver.clone()),
    }
}

/// A GPU that only the kernel knows.
fn untold(root: &Root, device: &PciDevice, kernel: &Kernel) -> Gpu {
    let facts = device.facts();
    Gpu {
        vendor: GpuVendor::Nvidia,
        name: kernel
            .models
            .get(&device.address)
            .cloned()
            .unwrap_or_else(|| device.name(root, "NVIDIA")),
        pci_id: Some(device.id()),
        pci_address: Some(device.address.clone()),
        compute_capability: facts.compute_capability,
        gfx: None,
        memory_bytes: facts.memory_bytes,
        integrated: false,
        kernel_driver: device.driver.clone(),
    }
}

fn version(text: &str) -> Option<Version> {
    Version::from_str(text.trim()).ok()
}

/// The version in the name of the installed library (`libnvidia-ml.so.580.95.05`), for when the
/// library itself refuses to answer, as after an update without a restart.
#[cfg(any(test, not(any(target_os = "macos", windows))))]
fn library_version(root: &Root) -> Option<String> {
    let arch = std::env::consts::ARCH;
    [
        format!("/usr/lib/{arch}-linux-gnu"),
        "/usr/lib64".to_owned(),
        "/usr/lib".to_owned(),
    ]
    .iter()
    .find_map(|folder| {
        root.list(folder).iter().find_map(|name| {
            let version = name.strip_prefix("libnvidia-ml.so.")?;
            version.contains('.').then(|| version.to_owned())
        })
    })
}

/// A loaded module is of no use to a user who may not open its device.
#[cfg(any(test, not(any(target_os = "macos", windows))))]
fn check_device_node(root: &Root, kernel: &Kernel, unread: &mut Vec<Unread>) {
    const NODE: &str = "/dev/nvidiactl";
    if kernel.version.is_none() {
        return;
    }
    if !root.exists(NODE) {
        unread.push(Unread::new(
            NODE,
            "not there, though the kernel module is loaded: in a container, the GPU was not \
             passed through",
        ));
    } else if !access::may_read_and_write(&root.path(NODE)) {
        unread.push(Unread::new(NODE, "this user may not open it"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::host::{gpu::pci, root::fixture::Tree};

    const RTX_4090: &[(&str, &str)] = &[
        ("/sys/bus/pci/devices/0000:00:1f.0/class", "0x060100\n"),
        ("/sys/bus/pci/devices/0000:01:00.0/class", "0x030000\n"),
        ("/sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n"),
        ("/sys/bus/pci/devices/0000:01:00.0/device", "0x2684\n"),
        ("/sys/bus/pci/devices/0000:01:00.0/revision", "0xa1\n"),
    ];

    fn probe(tree: &Tree, answer: Option<Answer>) -> (Nvidia, Vec<Unread>) {
        let mut unread = Vec::new();
        let devices = pci::scan(&tree.root);
        let found = combine(
            &tree.root,
            &devices,
            Kernel::read(&tree.root),
            answer,
            &mut unread,
        );
        (found, unread)
    }

    fn with_module(banner: &str) -> Tree {
        let tree = Tree::new(RTX_4090);
        tree.write(
            "/sys/bus/pci/devices/0000:01:00.0/uevent",
            b"DRIVER=nvidia\nPCI_ID=10DE:2684\n",
        );
        tree.write("/proc/driver/nvidia/version", banner.as_bytes());
        tree
    }

    #[test]
    fn kernel_files_alone_tell_the_card_and_the_driver() {
        let tree = with_module(
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  \
             (dvs-builder@U22)\nGCC version:  gcc version 13.3.0\n",
        );
        tree.write(
            "/proc/driver/nvidia/gpus/0000:01:00.0/information",
            b"Model: \t\t NVIDIA GeForce RTX 4090\nIRQ:   \t\t 150\n",
        );
        tree.write("/usr/lib64/libnvidia-ml.so.1", b"");
        tree.write("/usr/lib64/libnvidia-ml.so.570.86.10", b"");
        let (found, unread) = probe(&tree, None);
        let gpu = &found.gpus[0];
        assert_eq!(gpu.name, "NVIDIA GeForce RTX 4090");
        assert_eq!(gpu.pci_id.as_deref(), Some("10de:2684"));
        assert_eq!(gpu.compute_capability, Some((8, 9)));
        assert_eq!(gpu.memory_bytes, Some(24 << 30));
        assert_eq!(gpu.kernel_driver.as_deref(), Some("nvidia"));
        let driver = found.driver.unwrap();
        assert_eq!(driver.kernel_version, Some("580.95.05".parse().unwrap()));
        // The library on disk is older than the module: a half-done update.
        assert_eq!(driver.version, Some("570.86.10".parse().unwrap()));
        assert_eq!(driver.open_module, Some(true));
        assert_eq!(driver.cuda, None);
        // No device node: what a container without the GPU looks like.
        assert_eq!(unread[0].what, "/dev/nvidiactl");
    }

    #[test]
    fn the_closed_module() {
        let tree = with_module(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May  2 2024\n",
        );
        tree.write("/dev/nvidiactl", b"");
        let (found, unread) = probe(&tree, None);
        let driver = found.driver.unwrap();
        assert_eq!(driver.open_module, Some(false));
        assert_eq!(driver.kernel_version, Some("470.256.02".parse().unwrap()));
        assert_eq!(driver.version, None);
        assert_eq!(unread, []);
    }

    #[test]
    fn nouveau_has_the_card_but_no_driver() {
        let tree = Tree::new(RTX_4090);
        tree.write(
            "/sys/bus/pci/devices/0000:01:00.0/uevent",
            b"DRIVER=nouveau\nPCI_ID=10DE:2684\n",
        );
        assert!(is_likely(&tree.root, &pci::scan(&tree.root)));
        let (found, unread) = probe(&tree, None);
        assert_eq!(found.driver, None);
        assert_eq!(found.gpus[0].kernel_driver.as_deref(), Some("nouveau"));
        assert_eq!(found.gpus[0].name, "NVIDIA GeForce RTX 4090");
        assert_eq!(found.gpus[0].compute_capability, Some((8, 9)));
        assert_eq!(unread, []);
    }

    #[test]
    fn the_library_knows_best_and_is_merged_by_address() {
        let tree = with_module("NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05\n");
        tree.write("/dev/nvidiactl", b"");
        let answer = Answer {
            driver: Some("580.95.05".to_owned()),
            cuda: Some((13, 0)),
            gpus: vec![AnsweredGpu {
                name: Some("NVIDIA GeForce RTX 4090".to_owned()),
                pci_address: Some("0000:01:00.0".to_owned()),
                pci: Some((0x10de, 0x2684)),
                compute_capability: Some((8, 9)),
                memory_bytes: Some(25_757_220_864),
                shared_memory: false,
            }],
            unread: Vec::new(),
        };
        let (found, _) = probe(&tree, Some(answer));
        assert_eq!(found.gpus.len(), 1);
        assert_eq!(found.gpus[0].memory_bytes, Some(25_757_220_864));
        assert_eq!(found.gpus[0].kernel_driver.as_deref(), Some("nvidia"));
        assert_eq!(found.driver.unwrap().cuda, Some((13, 0)));
    }

    #[test]
    fn wsl_has_a_library_but_no_pci_device() {
        let tree = Tree::new(&[("/dev/dxg", "")]);
        assert!(is_likely(&tree.root, &[]));
        let answer = Answer {
            driver: Some("581.42".to_owned()),
            gpus: vec![AnsweredGpu {
                name: Some("NVIDIA GeForce RTX 3060".to_owned()),
                pci: Some((0x10de, 0x2504)),
                memory_bytes: Some(12 << 30),
                ..AnsweredGpu::default()
            }],
            ..Answer::default()
        };
        let (found, unread) = probe(&tree, Some(answer));
        assert_eq!(found.gpus[0].compute_capability, Some((8, 6)));
        assert_eq!(found.driver.unwrap().kernel_version, None);
        assert_eq!(unread, []);
    }

    #[test]
    fn a_machine_without_nvidia() {
        let tree = Tree::new(&[]);
        assert!(!is_likely(&tree.root, &[]));
        let (found, unread) = probe(&tree, None);
        assert_eq!((found.gpus, found.driver, unread), (vec![], None, vec![]));
    }
}
