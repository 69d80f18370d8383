//! NVIDIA drivers that would change what a machine can run.

use std::collections::BTreeSet;

use crate::{
    compat::{
        cuda::{Architecture, Capability, CudaFacts},
        torch::TorchFacts,
    },
    host::{GpuVendor, Host},
    types::{Os, Version},
};

/// Drivers worth trying in place of a machine's own: newer ones, lowest first, then the last branch
/// for a card that newer drivers have left behind. None where there is no card of NVIDIA's.
pub fn worth_trying(host: &Host) -> Vec<Version> {
    let os = host.os.family;
    let facts = CudaFacts::embedded();
    let cards = generations(host);
    let current = host.nvidia.as_ref();
    let current = current.and_then(|nvidia| nvidia.version.as_ref());
    // What runs a build, and what knows a card.
    let builds = TorchFacts::embedded().cuda_builds(host.cpu.arch);
    let floors = builds
        .into_iter()
        .filter_map(|build| facts.floor(build, os));
    let first = cards.iter().filter_map(|card| card.lowest_driver(os));
    let newer: BTreeSet<&Version> = floors
        .chain(first)
        .filter(|driver| current.is_none_or(|current| *driver > current))
        .filter(|driver| cards.iter().any(|card| knows(driver, card, os)))
        .collect();
    let last = cards.iter().filter_map(|card| card.last_branch);
    let older: BTreeSet<u16> = last
        .filter(|last| current.is_some_and(|current| branch(current) > u64::from(*last)))
        .collect();
    let older = older.into_iter().rev();
    let older = older.map(|last| Version::new([u64::from(last)]));
    let all = newer.into_iter().cloned().chain(older);
    all.map(|driver| of_branch(&driver, os)).collect()
}

/// A driver that is named by its branch alone (`580`), as the newest of the branch that came with a
/// toolkit. No driver is called `580`, and as a version it would be older than all of its branch.
pub fn of_branch(driver: &Version, os: Os) -> Version {
    if driver.release().len() > 1 {
        return driver.clone();
    }
    let toolkits = CudaFacts::embedded().toolkit.iter();
    let drivers = toolkits.filter_map(|toolkit| match os {
        Os::Windows => toolkit.windows.as_ref(),
        _ => toolkit.linux.as_ref(),
    });
    let newest = drivers
        .filter(|known| branch(known) == branch(driver))
        .max();
    newest.unwrap_or(driver).clone()
}

/// Those of the drivers that know every card of a machine; all of them where none does.
pub fn for_every_card(host: &Host, drivers: Vec<Version>) -> Vec<Version> {
    let os = host.os.family;
    let cards = generations(host);
    let every = |driver: &&Version| cards.iter().all(|card| knows(driver, card, os));
    let knowing: Vec<Version> = drivers.iter().filter(every).cloned().collect();
    match knowing.is_empty() {
        true => drivers,
        false => knowing,
    }
}

/// The last branch for the cards of a machine, where newer drivers have left all of them behind.
pub fn last_branch(host: &Host) -> Option<Version> {
    let last = generations(host).into_iter().map(|card| card.last_branch);
    let last = last.collect::<Option<Vec<_>>>()?.into_iter().max()?;
    Some(of_branch(&Version::new([u64::from(last)]), host.os.family))
}

/// The generations of the NVIDIA cards of a machine, as far as they are known.
fn generations(host: &Host) -> Vec<&'static Architecture> {
    let facts = CudaFacts::embedded();
    let gpus = host.gpus.iter();
    gpus.filter(|gpu| gpu.vendor == GpuVendor::Nvidia)
        .filter_map(|gpu| gpu.compute_capability)
        .filter_map(|(major, minor)| facts.architecture(Capability(major, minor)))
        .collect()
}

/// Whether a driver is neither too old nor too new for a card.
fn knows(driver: &Version, card: &Architecture, os: Os) -> bool {
    card.lowest_driver(os).is_none_or(|lowest| lowest <= driver)
        && card
            .last_branch
            .is_none_or(|last| branch(driver) <= u64::from(last))
}

/// The branch of a driver: 580 of 580.95.05.
fn branch(driver: &Version) -> u64 {
    driver.release().first().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A Linux machine with cards of these capabilities.
    fn machine(driver: Option<&str>, capabilities: &[(u16, u16)]) -> Host {
        let gpus: Vec<_> = capabilities
            .iter()
            .map(|(major, minor)| {
                serde_json::json!({
                    "vendor": "nvidia", "name": "card", "compute_capability": [major, minor]
                })
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "schema": 1,
            "os": {"family": "linux", "id": "debian", "name": "Debian"},
            "cpu": {"arch": "x86_64", "cores": 8},
            "gpus": gpus,
            "nvidia": driver.map(|driver| serde_json::json!({"version": driver})),
        }))
        .unwrap()
    }

    fn told(drivers: &[Version]) -> String {
        let drivers: Vec<_> = drivers.iter().map(ToString::to_string).collect();
        drivers.join(" ")
    }

    #[test]
    fn newer_drivers_up_to_the_last_that_knows_the_card() {
        for (driver, card, worth) in [
            (Some("550.54.14"), (8, 6), "580.65.6"),
            (Some("580.95.5"), (8, 6), ""),
            // Newer drivers have left Pascal behind.
            (Some("590.44.1"), (6, 1), "580.65.6"),
            (Some("550.54.14"), (3, 7), "470.42.1"),
            // Blackwell is unknown to the driver that CUDA 12 needs.
            (None, (12, 0), "570.86.16 580.65.6"),
        ] {
            let worth_trying = worth_trying(&machine(driver, &[card]));
            assert_eq!(told(&worth_trying), worth, "{driver:?} {card:?}");
        }
    }

    #[test]
    fn a_branch_is_a_driver_of_it() {
        for (driver, os, meant) in [
            ("580", Os::Linux, "580.65.6"),
            ("580", Os::Windows, "580.88"),
            ("580.95.5", Os::Linux, "580.95.5"),
            ("999", Os::Linux, "999"),
        ] {
            let meant: Version = meant.parse().unwrap();
            assert_eq!(of_branch(&driver.parse().unwrap(), os), meant);
        }
    }

    #[test]
    fn one_driver_for_all_cards_if_there_is_one() {
        let both = machine(None, &[(12, 0), (6, 1)]);
        let drivers = for_every_card(&both, worth_trying(&both));
        assert_eq!(told(&drivers), "570.86.16 580.65.6");
        let none = machine(None, &[(12, 0), (3, 7)]);
        let all = worth_trying(&none);
        assert_eq!(for_every_card(&none, all.clone()), all);
        assert_eq!(
            last_branch(&machine(None, &[(3, 7)])),
            "470.42.1".parse().ok()
        );
        assert_eq!(last_branch(&both), None);
        assert_eq!(last_branch(&machine(None, &[])), None);
    }
}
