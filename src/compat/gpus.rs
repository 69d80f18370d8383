//! What a PCI id says about a GPU or NPU: model, chip, compute capability, gfx target, memory.
//!
//! The table (`manifests/compat/gpus.toml`) is for the cards whose driver does not tell: bound to
//! `nouveau` or `vfio-pci`, or with no driver at all. A model entry knows everything; a chip entry
//! knows the instruction set of whatever is sold with that chip. An id that is in neither is an
//! unknown GPU: ids are never compared for nearness, because neighbours are often different chips.

use std::{collections::HashMap, sync::LazyLock};

use serde::Deserialize;

use crate::types::GpuVendor;

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

/// A GPU model as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Who made it.
    pub vendor: GpuVendor,
    /// Marketing name without the maker: `GeForce RTX 3060`.
    pub name: String,
    /// What is known of it.
    pub facts: GpuFacts,
}

/// The model a person means: any case, with or without the maker and the series name
/// (`rtx 3060`, `NVIDIA GeForce RTX 3060`). The error holds the nearest names.
///
/// # Errors
/// No model of the table has this name.
pub fn by_name(text: &str) -> Result<Model, Vec<String>> {
    let wanted = folded(text);
    let mut entries: Vec<&Entry> = TABLE.models.values().collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.dedup_by(|a, b| a.name == b.name);
    if let Some(entry) = entries.iter().find(|entry| folded(&entry.name) == wanted) {
        return Ok(Model {
            vendor: entry.vendor.gpu_vendor(),
            name: entry.name.clone(),
            facts: GpuFacts {
                model: Some(entry.name.clone()),
                chip: None,
                compute_capability: entry
                    .compute_capability
                    .as_deref()
                    .and_then(parse_capability),
                gfx: entry.gfx.clone(),
                memory_bytes: entry.memory_gib.map(|gib| gib << 30),
            },
        });
    }
    let mut near: Vec<(f64, &str)> = entries
        .iter()
        .map(|entry| {
            (
                strsim::jaro_winkler(&folded(&entry.name), &wanted),
                entry.name.as_str(),
            )
        })
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    Err(near
        .into_iter()
        .take(3)
        .map(|(_, name)| name.to_owned())
        .collect())
}

/// A name without maker, series and spelling: `GeForce RTX 3060 Ti` is `rtx3060ti`.
fn folded(name: &str) -> String {
    name.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !["nvidia", "geforce", "amd", "radeon", "intel"].contains(word))
        .collect()
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
    fn gpu_vendor(self) -> GpuVendor {
        match self {
            Self::Nvidia => GpuVendor::Nvidia,
            Self::Amd => GpuVendor::Amd,
            Self::Intel => GpuVendor::Intel,
        }
    }

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
    fn a_model_is_found_however_it_is_spelled() {
        for name in ["RTX 3060", "rtx3060", "NVIDIA GeForce RTX 3060"] {
            let model = by_name(name).unwrap();
            assert_eq!(model.name, "GeForce RTX 3060");
            assert_eq!(model.facts.compute_capability, Some((8, 6)));
        }
        let nearest = by_name("RTX 3061").unwrap_err();
        assert!(
            nearest.iter().any(|name| name.contains("3060")),
            "{nearest:?}"
        );
    }

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
