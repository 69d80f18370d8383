//! GPUs by name and id.

use std::collections::BTreeMap;

use super::{Findings, Tables, repeated};
use crate::{
    compat::{
        cuda::Capability,
        gpus::{GpuEntry, parse_id},
    },
    types::GpuVendor,
};

const TABLE: &str = "gpus.toml";

/// Checks `gpus.toml` against itself and `cuda.toml`.
pub(super) fn check(tables: &Tables, findings: &mut Findings) {
    let gpus = &tables.gpus;
    for name in repeated(gpus.models().map(|(_, gpu)| gpu.name.as_str())) {
        findings.add(TABLE, name, "stands twice");
    }
    for name in repeated(gpus.family.iter().map(|family| family.name.as_str())) {
        findings.add(TABLE, name, "stands twice");
    }
    let all = gpus.models().flat_map(|(vendor, gpu)| {
        let maker = maker(vendor);
        gpu.pci.iter().map(move |id| (maker, id.as_str()))
    });
    for (maker, id) in repeated(all) {
        findings.add(TABLE, format!("{maker} {id}"), "is the id of two models");
    }
    let chips = &gpus.chips.list;
    let ids = chips
        .iter()
        .flat_map(|chip| chip.pci.iter().map(|id| (maker(chip.vendor), id.as_str())));
    for (maker, id) in repeated(ids) {
        findings.add(TABLE, format!("{maker} {id}"), "is the id of two chips");
    }
    for (vendor, gpu) in gpus.models() {
        model(tables, vendor, gpu, findings);
    }
    for chip in chips {
        instruction_set(
            tables,
            &chip.name,
            chip.vendor,
            (chip.compute_capability, chip.gfx.as_deref()),
            findings,
        );
        for id in &chip.pci {
            findings.require(
                matches!(parse_id(id), Some((_, None))),
                TABLE,
                &chip.name,
                || format!("`{id}` is not a device id such as `2684`"),
            );
        }
    }
    agreement(tables, findings);
    for gfx in &gpus.integrated_gfx {
        let known = gpus.models().any(|(_, gpu)| gpu.gfx.as_ref() == Some(gfx))
            || chips.iter().any(|chip| chip.gfx.as_ref() == Some(gfx));
        findings.require(known, TABLE, gfx, || {
            "is built into processors, and no GPU has it".to_owned()
        });
    }
    for npu in &gpus.npus.list {
        let sound = npu.pci.iter().all(|id| {
            id.split_once(':')
                .is_some_and(|(vendor, device)| is_id(vendor) && is_id(device))
        });
        findings.require(sound && !npu.pci.is_empty(), TABLE, &npu.name, || {
            "its ids are not written `vendor:device`".to_owned()
        });
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 4 && u16::from_str_radix(text, 16).is_ok()
}

fn maker(vendor: GpuVendor) -> &'static str {
    match vendor {
        GpuVendor::Nvidia => "nvidia",
        GpuVendor::Amd => "amd",
        GpuVendor::Intel => "intel",
        GpuVendor::Apple => "apple",
    }
}

fn model(tables: &Tables, vendor: GpuVendor, gpu: &GpuEntry, findings: &mut Findings) {
    for id in &gpu.pci {
        findings.require(parse_id(id).is_some(), TABLE, &gpu.name, || {
            format!("`{id}` is not an id such as `744c` or `744c:c8`")
        });
    }
    findings.require(
        gpu.memory_gib != Some(0) && gpu.bandwidth != Some(0),
        TABLE,
        &gpu.name,
        || "has no memory or no bandwidth; leave out what is not known".to_owned(),
    );
    findings.require(
        gpu.xpu.is_none() || vendor == GpuVendor::Intel,
        TABLE,
        &gpu.name,
        || "has `xpu` and is not Intel's".to_owned(),
    );
    instruction_set(
        tables,
        &gpu.name,
        vendor,
        (gpu.compute_capability, gpu.gfx.as_deref()),
        findings,
    );
}

/// What runs on a GPU: a compute capability that some generation has, or a gfx target.
fn instruction_set(
    tables: &Tables,
    name: &str,
    vendor: GpuVendor,
    (capability, gfx): (Option<Capability>, Option<&str>),
    findings: &mut Findings,
) {
    let fits = match vendor {
        GpuVendor::Nvidia => capability.is_some() && gfx.is_none(),
        GpuVendor::Amd => capability.is_none() && gfx.is_some_and(|gfx| gfx.starts_with("gfx")),
        GpuVendor::Intel => capability.is_none() && gfx.is_none(),
        GpuVendor::Apple => false,
    };
    findings.require(fits, TABLE, name, || {
        "its maker's GPUs have another kind of instruction set".to_owned()
    });
    if let Some(capability) = capability {
        findings.require(
            tables.cuda.architecture(capability).is_some(),
            TABLE,
            name,
            || format!("compute capability {capability} belongs to no generation of cuda.toml"),
        );
    }
}

/// Models and the chips their ids stand for say the same.
fn agreement(tables: &Tables, findings: &mut Findings) {
    let chips = &tables.gpus.chips.list;
    let mut by_id = BTreeMap::new();
    for chip in chips {
        for (device, _) in chip.pci.iter().filter_map(|id| parse_id(id)) {
            by_id.insert((maker(chip.vendor), device), chip);
        }
    }
    for (vendor, gpu) in tables.gpus.models() {
        for (device, _) in gpu.pci.iter().filter_map(|id| parse_id(id)) {
            let Some(chip) = by_id.get(&(maker(vendor), device)) else {
                continue;
            };
            let same = (chip.compute_capability, &chip.gfx) == (gpu.compute_capability, &gpu.gfx);
            findings.require(same, TABLE, &gpu.name, || {
                format!("says something else than its chip {}", chip.name)
            });
        }
    }
}
