//! What a PCI id says about a GPU or NPU: model, chip, compute capability, gfx target, memory.
//!
//! The table (`manifests/compat/gpus.toml`) is for the cards whose driver does not tell: bound to
//! `nouveau` or `vfio-pci`, or with no driver at all. A model entry knows everything; a chip entry
//! knows the instruction set of whatever is sold with that chip. An id that is in neither is an
//! unknown GPU: ids are never compared for nearness, because neighbours are often different chips.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

/// The PCI vendor id of NVIDIA.
pub const NVIDIA: u16 = 0x10de;
/// The PCI vendor id of AMD's graphics.
pub const AMD: u16 = 0x1002;
/// The PCI vendor id of Intel.
pub const INTEL: u16 = 0x8086;

/// What the table knows of one PCI id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuFacts {
    /// Marketing name without the maker: `GeForce RTX 4090`.
    pub model: Option<String>,
    /// Chip: `AD102`, `Navi 31`.
    pub chip: Option<String>,
    /// NVIDIA compute capability `(major, minor)`.
    pub compute_capability: Option<(u16, u16)>,
    /// AMD instruction set: `gfx1100`.
    pub gfx: Option<String>,
    /// Nominal memory in bytes; absent where one id is sold with several sizes.
    pub memory_bytes: Option<u64>,
}

/// What is known of a PCI device by its vendor, device and revision; `None` for an unknown one.
pub fn by_pci(vendor: u16, device: u16, revision: Option<u8>) -> Option<GpuFacts> {
    let table = &*TABLE;
    let exact = revision.and_then(|r| table.models.get(&(vendor, device, Some(r))));
    let model = exact.or_else(|| table.models.get(&(vendor, device, None)));
    let chip = table.chips.get(&(vendor, device));
    if model.is_none() && chip.is_none() {
        return None;
    }
    let first = |f: fn(&Entry) -> Option<String>| model.and_then(f).or_else(|| chip.and_then(f));
    Some(GpuFacts {
        model: model.map(|m| m.name.clone()),
        chip: chip.map(|c| c.name.clone()),
        compute_capability: first(|e| e.compute_capability.clone())
            .and_then(|text| parse_capability(&text)),
        gfx: first(|e| e.gfx.clone()),
        memory_bytes: model.and_then(|m| m.memory_gib).map(|gib| gib << 30),
    })
}

/// Whether a gfx target belongs to a processor with built-in graphics.
pub fn is_integrated_gfx(gfx: &str) -> bool {
    TABLE.integrated_gfx.iter().any(|known| known == gfx)
}

/// The name of a neural processing unit by its PCI id (`8086:7d1d`).
pub fn npu_by_pci(pci_id: &str) -> Option<&'static str> {
    TABLE.npus.get(pci_id).map(String::as_str)
}

/// `8.9` as `(8, 9)`.
fn parse_capability(text: &str) -> Option<(u16, u16)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Vendor {
    Nvidia,
    Amd,
    Intel,
}

impl Vendor {
    fn id(self) -> u16 {
        match self {
            Self::Nvidia => NVIDIA,
            Self::Amd => AMD,
            Self::Intel => INTEL,
        }
    }
}

/// One model or chip.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    vendor: Vendor,
    name: String,
    compute_capability: Option<String>,
    gfx: Option<String>,
    memory_gib: Option<u64>,
    #[serde(default)]
    pci: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NpuEntry {
    name: String,
    pci: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "`schema` and `as_of` are for readers of the file")]
struct File {
    schema: u32,
    as_of: String,
    integrated_gfx: Vec<String>,
    gpus: Vec<Entry>,
    chips: Vec<Entry>,
    npus: Vec<NpuEntry>,
}

/// The file, indexed by id.
struct Table {
    models: HashMap<(u16, u16, Option<u8>), Entry>,
    chips: HashMap<(u16, u16), Entry>,
    integrated_gfx: Vec<String>,
    npus: HashMap<String, String>,
}

/// Built on the first question: most machines have a driver that answers everything.
static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let file: File = toml::from_str(include_str!("../../manifests/compat/gpus.toml"))
        .expect("the embedded GPU table is checked by a test");
    let mut table = Table {
        models: HashMap::new(),
        chips: HashMap::new(),
        integrated_gfx: file.integrated_gfx,
        npus: HashMap::new(),
    };
    for entry in file.gpus {
        for id in entry.pci.iter().filter_map(|id| parse_id(id)) {
            table
                .models
                .insert((entry.vendor.id(), id.0, id.1), entry.clone());
        }
    }
    for entry in file.chips {
        for id in entry.pci.iter().filter_map(|id| parse_id(id)) {
            table.chips.insert((entry.vendor.id(), id.0), entry.clone());
        }
    }
    for npu in file.npus {
        for id in npu.pci {
            table.npus.insert(id, npu.name.clone());
        }
    }
    table
});

/// `744c` or `744c:c8`: device and perhaps revision.
fn parse_id(text: &str) -> Option<(u16, Option<u8>)> {
    match text.split_once(':') {
        None => Some((u16::from_str_radix(text, 16).ok()?, None)),
        Some((device, revision)) => Some((
            u16::from_str_radix(device, 16).ok()?,
            Some(u8::from_str_radix(revision, 16).ok()?),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_line_of_the_table_is_sound() {
        let file: File = toml::from_str(include_str!("../../manifests/compat/gpus.toml")).unwrap();
        let mut seen = std::collections::HashSet::new();
        for (kind, entries) in [("model", &file.gpus), ("chip", &file.chips)] {
            for entry in entries {
                for id in &entry.pci {
                    let parsed = parse_id(id);
                    assert!(parsed.is_some(), "{}: `{id}`", entry.name);
                    assert!(
                        seen.insert((kind, entry.vendor.id(), parsed)),
                        "{}: `{id}` is listed twice",
                        entry.name
                    );
                }
                if let Some(capability) = &entry.compute_capability {
                    assert!(parse_capability(capability).is_some(), "{}", entry.name);
                }
                if let Some(gfx) = &entry.gfx {
                    assert!(gfx.starts_with("gfx"), "{}", entry.name);
                }
            }
        }
    }

    #[test]
    fn models_agree_with_their_chips() {
        for ((vendor, device, _), model) in &TABLE.models {
            if let Some(chip) = TABLE.chips.get(&(*vendor, *device)) {
                assert_eq!(
                    model.compute_capability, chip.compute_capability,
                    "{} and {}",
                    model.name, chip.name
                );
                assert_eq!(model.gfx, chip.gfx, "{} and {}", model.name, chip.name);
            }
        }
    }

    #[test]
    fn models_chips_and_strangers() {
        let rtx = by_pci(NVIDIA, 0x2684, Some(0xa1)).unwrap();
        assert_eq!(rtx.model.as_deref(), Some("GeForce RTX 4090"));
        assert_eq!(rtx.compute_capability, Some((8, 9)));
        assert_eq!(rtx.memory_bytes, Some(24 << 30));

        // One device id, three cards told apart by revision.
        let xtx = by_pci(AMD, 0x744c, Some(0xc8)).unwrap();
        assert_eq!(xtx.model.as_deref(), Some("Radeon RX 7900 XTX"));
        let some_navi31 = by_pci(AMD, 0x744c, None).unwrap();
        assert_eq!(some_navi31.model, None);
        assert_eq!(some_navi31.gfx.as_deref(), Some("gfx1100"));
        assert_eq!(some_navi31.memory_bytes, None);

        assert_eq!(by_pci(NVIDIA, 0xffff, None), None);
        assert!(is_integrated_gfx("gfx1103") && !is_integrated_gfx("gfx1100"));
    }
}
