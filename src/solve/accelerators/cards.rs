//! Which GPU of a machine is the best for AI.
//!
//! Cards come before graphics built into a processor. Between cards the memory bandwidth decides:
//! it is what generating text and most of image generation wait for, and it tells a dual-chip card
//! of 2014 from a small one of today, which memory alone or age alone do not. Where the bandwidth of
//! one is not known, none is compared by it; then the compute capability decides among NVIDIA's
//! GPUs, and the memory between makers.

use std::cmp::Reverse;

use crate::{
    compat::gpus::{self, GpuFacts},
    host::{Gpu, GpuVendor, Host},
};

/// What the tables know of a GPU, by its PCI id, else by its name.
pub fn facts_of(gpu: &Gpu) -> Option<GpuFacts> {
    let by_id = gpu.pci_id.as_deref().and_then(|id| {
        let (vendor, device) = id.split_once(':')?;
        let number = |text| u16::from_str_radix(text, 16).ok();
        gpus::by_pci(number(vendor)?, number(device)?, None)
    });
    // An id may be known by its chip only, and the name then says more.
    let by_name = || gpus::by_name(&gpu.name).ok().map(|model| model.facts);
    match by_id {
        Some(facts) if facts.bandwidth.is_some() => Some(facts),
        by_id => by_name().or(by_id),
    }
}

/// The places of a host's GPUs, best first.
pub fn ranked(host: &Host) -> Vec<usize> {
    let bandwidths: Vec<Option<u32>> = host
        .gpus
        .iter()
        .map(|gpu| facts_of(gpu).and_then(|facts| facts.bandwidth))
        .collect();
    // What is built into a processor is behind every card, whatever its bandwidth.
    let cards = || {
        host.gpus
            .iter()
            .zip(&bandwidths)
            .filter(|(gpu, _)| !gpu.integrated)
    };
    let all_known = cards().all(|(_, bandwidth)| bandwidth.is_some());
    let one_maker = cards().all(|(gpu, _)| gpu.vendor == GpuVendor::Nvidia);
    let mut places: Vec<usize> = (0..host.gpus.len()).collect();
    places.sort_by_key(|&at| {
        let gpu = &host.gpus[at];
        let bandwidth = bandwidths[at].filter(|_| all_known);
        let capability = gpu.compute_capability.filter(|_| one_maker || all_known);
        (
            gpu.integrated,
            Reverse(bandwidth),
            Reverse(capability),
            Reverse(gpu.memory_bytes),
            gpu.vendor != GpuVendor::Nvidia,
        )
    });
    places
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        compat::gpus::by_name,
        host::{Cpu, OsInfo, SCHEMA},
        types::{Arch, Os},
    };

    fn gpu(name: &str) -> Gpu {
        let model = by_name(name).unwrap();
        Gpu {
            vendor: model.vendor,
            name: model.name,
            pci_id: None,
            pci_address: None,
            compute_capability: model.facts.compute_capability,
            gfx: model.facts.gfx,
            memory_bytes: model.facts.memory_bytes,
            integrated: model.facts.integrated,
            kernel_driver: None,
        }
    }

    fn best(gpus: Vec<Gpu>) -> String {
        let host = Host {
            schema: SCHEMA,
            os: OsInfo {
                family: Os::Linux,
                id: "debian".to_owned(),
                name: "Debian".to_owned(),
                version: "13".to_owned(),
                kernel: None,
                libc: None,
                rosetta: false,
            },
            cpu: Cpu {
                arch: Arch::X86_64,
                model: None,
                cores: 8,
                features: Vec::new(),
            },
            memory_bytes: None,
            disk_free_bytes: None,
            gpus,
            npus: Vec::new(),
            nvidia: None,
            amd: None,
            surroundings: Default::default(),
            pythons: Vec::new(),
            unread: Vec::new(),
        };
        host.gpus[ranked(&host)[0]].name.clone()
    }

    #[test]
    fn the_card_that_computes_fastest_comes_first() {
        for (names, wanted) in [
            (&["Tesla K80", "RTX 3060"][..], "GeForce RTX 3060"),
            (&["GTX 1650", "Tesla P40"], "Tesla P40"),
            (&["RTX 4060", "RX 7900 XTX"], "Radeon RX 7900 XTX"),
            (&["RX 6600", "RTX 4090"], "GeForce RTX 4090"),
            (&["Radeon 780M", "RTX 3050 8GB"], "GeForce RTX 3050 8GB"),
        ] {
            assert_eq!(best(names.iter().map(|n| gpu(n)).collect()), wanted);
            assert_eq!(best(names.iter().rev().map(|n| gpu(n)).collect()), wanted);
        }
    }

    #[test]
    fn an_unknown_card_is_compared_by_what_its_driver_tells() {
        let mut unknown = gpu("RTX 4090");
        unknown.name = "NVIDIA GeForce RTX 9999".to_owned();
        unknown.compute_capability = Some((14, 0));
        assert_eq!(
            best(vec![gpu("RTX 5090"), unknown]),
            "NVIDIA GeForce RTX 9999"
        );
    }
}
