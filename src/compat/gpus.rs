//! What a PCI id says about a GPU or NPU: model, chip, compute capability, gfx target, memory.
//!
//! The table (`manifests/compat/gpus.toml`) is for the cards whose driver does not tell: bound to
//! `nouveau` or `vfio-pci`, or with no driver at all; and for questions about cards that are not
//! here, by name ([`by_name`]). A model entry knows everything; a chip entry knows the instruction
//! set of whatever is sold with that chip. An id that is in neither is an unknown GPU: ids are
//! never compared for nearness, because neighbours are often different chips.

use std::{collections::HashMap, sync::LazyLock};

use jiff::civil::Date;
use serde::Deserialize;

pub use super::gpu_names::{Model, NotTold, by_name};
use super::{
    capability::Capability,
    source::{Legend, Sources},
};
use crate::types::GpuVendor;

const DATA: &str = include_str!("../../manifests/compat/gpus.toml");

/// The PCI vendor id of NVIDIA.
pub const NVIDIA: u16 = 0x10de;
/// The PCI vendor id of AMD's graphics.
pub const AMD: u16 = 0x1002;
/// The PCI vendor id of Intel.
pub const INTEL: u16 = 0x8086;

/// What the table knows of one GPU.
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
    /// Nominal memory in bytes; absent where one id or name is sold with several sizes, and for
    /// GPUs that use the machine's memory.
    pub memory_bytes: Option<u64>,
    /// Memory bandwidth in GB/s.
    pub bandwidth: Option<u32>,
    /// Whether it is built into a processor.
    pub integrated: bool,
    /// Intel: whether PyTorch's XPU build is validated on it; absent where nothing is known.
    pub xpu: Option<bool>,
}

/// What is known of a PCI device by its vendor, device and revision; `None` for an unknown one.
pub fn by_pci(vendor: u16, device: u16, revision: Option<u8>) -> Option<GpuFacts> {
    let table = &*TABLE;
    let exact = revision.and_then(|r| table.models.get(&(vendor, device, Some(r))));
    let model = exact.or_else(|| table.models.get(&(vendor, device, None)));
    let chip = table.chips.get(&(vendor, device));
    let mut facts = match (model, chip) {
        (None, None) => return None,
        (Some(model), _) => model.facts(),
        (None, Some(chip)) => GpuFacts {
            compute_capability: chip.compute_capability.map(|c| (c.0, c.1)),
            gfx: chip.gfx.clone(),
            integrated: chip.gfx.as_deref().is_some_and(is_integrated_gfx),
            ..GpuFacts::default()
        },
    };
    facts.chip = chip.map(|chip| chip.name.clone());
    if facts.integrated {
        facts.memory_bytes = None;
    }
    Some(facts)
}

/// Whether a gfx target belongs to a processor with built-in graphics.
pub fn is_integrated_gfx(gfx: &str) -> bool {
    GpuTable::embedded()
        .integrated_gfx
        .iter()
        .any(|known| known == gfx)
}

/// The name of a neural processing unit by its PCI id (`8086:7d1d`).
pub fn npu_by_pci(pci_id: &str) -> Option<&'static str> {
    let npus = &GpuTable::embedded().npus.list;
    let npu = npus
        .iter()
        .find(|npu| npu.pci.iter().any(|id| id == pci_id))?;
    Some(&npu.name)
}

/// The table of `manifests/compat/gpus.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuTable {
    /// Version of the file's form.
    pub schema: u32,
    /// Day the facts were read.
    pub as_of: Date,
    /// gfx targets of processors with built-in graphics.
    pub integrated_gfx: Vec<String>,
    /// What the source keys stand for.
    pub sources: Legend,
    /// Models by maker and generation.
    pub family: Vec<Family>,
    /// Chips with the ids that carry them.
    pub chips: Chips,
    /// Neural processing units.
    pub npus: Npus,
}

/// GPUs of one maker and generation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Family {
    /// `NVIDIA Kepler`
    pub name: String,
    /// Who made them.
    pub vendor: GpuVendor,
    /// Where this was read.
    pub source: Sources,
    /// The models.
    pub gpus: Vec<GpuEntry>,
}

/// One model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuEntry {
    /// Marketing name without the maker.
    pub name: String,
    /// NVIDIA compute capability.
    pub compute_capability: Option<Capability>,
    /// AMD instruction set.
    pub gfx: Option<String>,
    /// Nominal memory in GiB.
    pub memory_gib: Option<u64>,
    /// Memory bandwidth in GB/s.
    pub bandwidth: Option<u32>,
    /// Whether it is built into a processor.
    #[serde(default)]
    pub integrated: bool,
    /// Whether PyTorch's XPU build is validated on it.
    pub xpu: Option<bool>,
    /// PCI ids, `744c` or `744c:c8`.
    #[serde(default)]
    pub pci: Vec<String>,
}

impl GpuEntry {
    /// What is known of the model, its nominal memory included.
    pub(super) fn facts(&self) -> GpuFacts {
        GpuFacts {
            model: Some(self.name.clone()),
            chip: None,
            compute_capability: self.compute_capability.map(|c| (c.0, c.1)),
            gfx: self.gfx.clone(),
            memory_bytes: self.memory_gib.map(|gib| gib << 30),
            bandwidth: self.bandwidth,
            integrated: self.integrated || self.gfx.as_deref().is_some_and(is_integrated_gfx),
            xpu: self.xpu,
        }
    }
}

/// Chips with the ids that carry them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chips {
    /// Where this was read.
    pub source: Sources,
    /// One line per chip.
    pub list: Vec<ChipEntry>,
}

/// One chip.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChipEntry {
    /// Who made it.
    pub vendor: GpuVendor,
    /// `AD102`
    pub name: String,
    /// NVIDIA compute capability.
    pub compute_capability: Option<Capability>,
    /// AMD instruction set.
    pub gfx: Option<String>,
    /// PCI ids of the cards that carry it.
    pub pci: Vec<String>,
}

/// Neural processing units.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Npus {
    /// Where this was read.
    pub source: Sources,
    /// One line per unit.
    pub list: Vec<NpuEntry>,
}

/// One neural processing unit.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NpuEntry {
    /// Its name.
    pub name: String,
    /// PCI ids, `vendor:device`.
    pub pci: Vec<String>,
}

impl GpuTable {
    /// The embedded table.
    pub fn embedded() -> &'static Self {
        static TABLE: LazyLock<GpuTable> = LazyLock::new(|| {
            // The file is part of the program and a test reads it; it cannot be wrong at run time.
            GpuTable::read(DATA).unwrap_or_else(|error| unreachable!("gpus.toml: {error}"))
        });
        &TABLE
    }

    /// A table from the text of such a file.
    ///
    /// # Errors
    /// The text is not a table of this form.
    pub fn read(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Every model with its maker.
    pub fn models(&self) -> impl Iterator<Item = (GpuVendor, &GpuEntry)> {
        self.family
            .iter()
            .flat_map(|family| family.gpus.iter().map(|gpu| (family.vendor, gpu)))
    }
}

/// The PCI vendor id of a maker; Apple's GPUs are on no such bus.
fn vendor_id(vendor: GpuVendor) -> Option<u16> {
    match vendor {
        GpuVendor::Nvidia => Some(NVIDIA),
        GpuVendor::Amd => Some(AMD),
        GpuVendor::Intel => Some(INTEL),
        GpuVendor::Apple => None,
    }
}

/// The table by id.
struct ById {
    models: HashMap<(u16, u16, Option<u8>), &'static GpuEntry>,
    chips: HashMap<(u16, u16), &'static ChipEntry>,
}

/// Built on the first question: most machines have a driver that answers everything.
static TABLE: LazyLock<ById> = LazyLock::new(|| {
    let table = GpuTable::embedded();
    let mut by_id = ById {
        models: HashMap::new(),
        chips: HashMap::new(),
    };
    for (vendor, gpu) in table.models() {
        let Some(vendor) = vendor_id(vendor) else {
            continue;
        };
        for (device, revision) in gpu.pci.iter().filter_map(|id| parse_id(id)) {
            by_id.models.insert((vendor, device, revision), gpu);
        }
    }
    for chip in &table.chips.list {
        let Some(vendor) = vendor_id(chip.vendor) else {
            continue;
        };
        for (device, _) in chip.pci.iter().filter_map(|id| parse_id(id)) {
            by_id.chips.insert((vendor, device), chip);
        }
    }
    by_id
});

/// `744c` or `744c:c8`: device and perhaps revision.
pub(super) fn parse_id(text: &str) -> Option<(u16, Option<u8>)> {
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
    fn models_chips_and_strangers() {
        let rtx = by_pci(NVIDIA, 0x2684, Some(0xa1)).unwrap();
        assert_eq!(rtx.model.as_deref(), Some("GeForce RTX 4090"));
        assert_eq!(rtx.chip.as_deref(), Some("AD102"));
        assert_eq!(rtx.compute_capability, Some((8, 9)));
        assert_eq!(rtx.memory_bytes, Some(24 << 30));
        assert_eq!(rtx.bandwidth, Some(1008));

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

    #[test]
    fn old_and_built_in_gpus_are_known() {
        let k80 = by_pci(NVIDIA, 0x102d, None).unwrap();
        assert_eq!(k80.model.as_deref(), Some("Tesla K80"));
        assert_eq!(k80.compute_capability, Some((3, 7)));
        // Its memory is the machine's, whatever the name is usually sold with.
        let spark = by_pci(NVIDIA, 0x2e12, None).unwrap();
        assert!(spark.integrated);
        assert_eq!(spark.memory_bytes, None);
        let lunar_lake = by_pci(INTEL, 0x64a0, None).unwrap();
        assert!(lunar_lake.integrated);
        assert_eq!(lunar_lake.xpu, Some(true));
        assert_eq!(by_pci(INTEL, 0x9bc5, None).unwrap().xpu, Some(false));
        assert!(!by_pci(INTEL, 0xe20b, None).unwrap().integrated);
        assert_eq!(npu_by_pci("8086:643e"), Some("Intel NPU (Lunar Lake)"));
        assert_eq!(npu_by_pci("8086:0000"), None);
    }
}
