//! GPUs by the registry's display class: one numbered key for each adapter ever installed.

use crate::{
    compat::gpus,
    host::{Gpu, GpuVendor},
};

/// One numbered key of the display class.
#[derive(Clone, Debug, Default)]
struct Adapter {
    description: String,
    /// `PCI\VEN_10DE&DEV_2684&SUBSYS_…`.
    device_id: String,
    memory_bytes: Option<u64>,
    /// Windows' own numbering: `32.0.15.8142`.
    #[cfg_attr(not(windows), expect(dead_code, reason = "only the registry tells it"))]
    driver_version: Option<String>,
}

/// The GPUs, and the version of NVIDIA's driver in NVIDIA's numbering.
#[cfg(windows)]
pub(super) fn read_registry(unread: &mut Vec<crate::host::Unread>) -> (Vec<Gpu>, Option<String>) {
    const CLASS: &str =
        r"SYSTEM\CurrentControlSet\Control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}";
    let adapters: Vec<Adapter> = match adapters(CLASS) {
        Ok(adapters) => adapters,
        Err(error) => {
            unread.push(crate::host::Unread::new(format!(r"HKLM\{CLASS}"), error));
            Vec::new()
        }
    };
    let nvidia = adapters
        .iter()
        .filter(|adapter| ids(&adapter.device_id).is_some_and(|(v, ..)| v == gpus::NVIDIA))
        .find_map(|adapter| nvidia_version(adapter.driver_version.as_deref()?));
    (gpus_of(&adapters), nvidia)
}

#[cfg(windows)]
fn adapters(class: &str) -> windows_registry::Result<Vec<Adapter>> {
    let class = windows_registry::LOCAL_MACHINE.open(class)?;
    let numbered = |name: &String| name.bytes().all(|b| b.is_ascii_digit());
    Ok(class
        .keys()?
        .filter(numbered)
        .filter_map(|name| {
            let key = class.open(name).ok()?;
            Some(Adapter {
                description: key.get_string("DriverDesc").ok()?,
                device_id: key.get_string("MatchingDeviceId").ok()?,
                memory_bytes: key.get_u64("HardwareInformation.qwMemorySize").ok(),
                driver_version: key.get_string("DriverVersion").ok(),
            })
        })
        .collect())
}

/// The adapters that are GPUs of a known maker; a remote or virtual display is none.
fn gpus_of(adapters: &[Adapter]) -> Vec<Gpu> {
    adapters
        .iter()
        .filter_map(|adapter| {
            let (vendor_id, device, revision) = ids(&adapter.device_id)?;
            let vendor = match vendor_id {
                gpus::NVIDIA => GpuVendor::Nvidia,
                gpus::AMD => GpuVendor::Amd,
                gpus::INTEL => GpuVendor::Intel,
                _ => return None,
            };
            let facts = gpus::by_pci(vendor_id, device, revision).unwrap_or_default();
            let integrated = match vendor {
                GpuVendor::Amd => facts.gfx.as_deref().is_some_and(gpus::is_integrated_gfx),
                // Intel's cards are all in the table; what is unknown is built in.
                GpuVendor::Intel => facts.model.is_none() || facts.integrated,
                _ => false,
            };
            Some(Gpu {
                vendor,
                name: adapter.description.clone(),
                pci_id: Some(format!("{vendor_id:04x}:{device:04x}")),
                pci_address: None,
                compute_capability: facts.compute_capability,
                gfx: facts.gfx,
                memory_bytes: adapter.memory_bytes.or(facts.memory_bytes),
                integrated,
                kernel_driver: None,
            })
        })
        .collect()
}

/// Vendor, device and, where given, revision out of a device id.
fn ids(device_id: &str) -> Option<(u16, u16, Option<u8>)> {
    let device_id = device_id.to_ascii_uppercase();
    let part = |prefix: &str| {
        device_id
            .split(['\\', '&'])
            .find_map(|part| part.strip_prefix(prefix).map(str::to_owned))
    };
    Some((
        u16::from_str_radix(&part("VEN_")?, 16).ok()?,
        u16::from_str_radix(&part("DEV_")?, 16).ok()?,
        part("REV_").and_then(|revision| u8::from_str_radix(&revision, 16).ok()),
    ))
}

/// NVIDIA's own version is in the last five digits of the one Windows uses:
/// `32.0.15.8142` is driver 581.42.
fn nvidia_version(windows: &str) -> Option<String> {
    let digits: String = windows.chars().filter(char::is_ascii_digit).collect();
    let five = digits.get(digits.len().checked_sub(5)?..)?;
    let (major, minor) = five.split_at(3);
    Some(format!("{}.{minor}", major.trim_start_matches('0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adapters_become_gpus() {
        let adapter = |description: &str, device_id: &str, memory_bytes| Adapter {
            description: description.to_owned(),
            device_id: device_id.to_owned(),
            memory_bytes,
            driver_version: None,
        };
        let gpus = gpus_of(&[
            adapter(
                "NVIDIA GeForce RTX 4090",
                r"PCI\VEN_10DE&DEV_2684&SUBSYS_16F510DE&REV_A1",
                Some(25_757_220_864),
            ),
            adapter("AMD Radeon(TM) Graphics", r"PCI\VEN_1002&DEV_164E", None),
            adapter(
                "AMD Radeon RX 7900 XTX",
                r"pci\ven_1002&dev_744c&rev_c8",
                None,
            ),
            adapter("Intel(R) UHD Graphics 770", r"PCI\VEN_8086&DEV_4680", None),
            adapter("Intel(R) Arc(TM) A750", r"PCI\VEN_8086&DEV_56A1", None),
            adapter(
                "Microsoft Basic Display Adapter",
                r"ROOT\BasicDisplay",
                None,
            ),
        ]);
        let told: Vec<_> = gpus
            .iter()
            .map(|gpu| {
                (
                    gpu.pci_id.as_deref().unwrap_or_default(),
                    gpu.integrated,
                    gpu.memory_bytes.map(|bytes| bytes >> 30),
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                ("10de:2684", false, Some(23)),
                ("1002:164e", true, None),
                ("1002:744c", false, Some(24)),
                ("8086:4680", true, None),
                ("8086:56a1", false, Some(8)),
            ]
        );
        assert_eq!(gpus[0].compute_capability, Some((8, 9)));
        assert_eq!(gpus[2].gfx.as_deref(), Some("gfx1100"));
    }

    #[test]
    fn nvidia_numbering() {
        assert_eq!(nvidia_version("32.0.15.8142").as_deref(), Some("581.42"));
        assert_eq!(nvidia_version("31.0.15.5222").as_deref(), Some("552.22"));
        assert_eq!(nvidia_version("1.2"), None);
    }
}
