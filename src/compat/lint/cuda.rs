//! Toolkits, drivers and GPU generations.

use super::{Findings, Tables, newest_first, repeated};
use crate::{
    compat::cuda::{Architecture, Capability, CudaFacts, Toolkit},
    types::{Os, Version},
};

const TABLE: &str = "cuda.toml";

/// Checks `cuda.toml`.
pub(super) fn check(tables: &Tables, findings: &mut Findings) {
    let cuda = &tables.cuda;
    newest_first(TABLE, cuda.toolkit.iter().map(|t| &t.version), findings);
    for os in [Os::Linux, Os::Windows] {
        newest_first(
            TABLE,
            cuda.toolkit.iter().filter_map(|t| driver(t, os)),
            findings,
        );
    }
    for toolkit in &cuda.toolkit {
        findings.require(toolkit.build().is_some(), TABLE, &toolkit.version, || {
            "is not a toolkit version such as `12.8`".to_owned()
        });
        findings.require(toolkit.linux.is_some(), TABLE, &toolkit.version, || {
            "has no Linux driver".to_owned()
        });
    }
    minor_compatibility(cuda, findings);
    architectures(cuda, findings);
    forward_compatibility(cuda, findings);
}

fn driver(toolkit: &Toolkit, os: Os) -> Option<&Version> {
    match os {
        Os::Linux => toolkit.linux.as_ref(),
        _ => toolkit.windows.as_ref(),
    }
}

fn minor_compatibility(cuda: &CudaFacts, findings: &mut Findings) {
    let rows = &cuda.minor_compatibility;
    newest_first(TABLE, rows.iter().map(|row| row.major), findings);
    newest_first(TABLE, rows.iter().map(|row| &row.linux), findings);
    newest_first(TABLE, rows.iter().map(|row| &row.windows), findings);
    for row in rows {
        let about = format!("minor compatibility of {}", row.major);
        let known = cuda.toolkit.iter().any(|t| t.version == row.since);
        findings.require(known, TABLE, &about, || {
            format!("its first toolkit {} is not in the table", row.since)
        });
        let newest = cuda
            .toolkit
            .iter()
            .find(|t| t.version.release().first() == Some(&u64::from(row.major)));
        let Some(newest) = newest else {
            findings.add(
                TABLE,
                &about,
                "no toolkit of this major version is in the table",
            );
            continue;
        };
        for (os, floor) in [(Os::Linux, &row.linux), (Os::Windows, &row.windows)] {
            let native = driver(newest, os);
            findings.require(native.is_none_or(|n| floor <= n), TABLE, &about, || {
                format!(
                    "its floor {floor} is above the driver of {}",
                    newest.version
                )
            });
        }
    }
}

fn architectures(cuda: &CudaFacts, findings: &mut Findings) {
    newest_first(
        TABLE,
        cuda.architecture
            .iter()
            .filter_map(|row| row.capabilities.first()),
        findings,
    );
    let all = cuda
        .architecture
        .iter()
        .flat_map(|row| row.capabilities.iter().copied());
    for capability in repeated(all) {
        findings.add(TABLE, capability, "belongs to two generations");
    }
    for row in &cuda.architecture {
        architecture(cuda, row, findings);
    }
}

fn architecture(cuda: &CudaFacts, row: &Architecture, findings: &mut Findings) {
    let Some(capability) = row.capabilities.first() else {
        findings.add(TABLE, &row.name, "has no compute capability");
        return;
    };
    let about = format!("{} {capability}", row.name);
    let mut require = |holds: bool, message: &str| {
        findings.require(holds, TABLE, &about, || message.to_owned());
    };
    require(
        row.last_toolkit
            .as_ref()
            .is_none_or(|last| row.first_toolkit <= *last),
        "its last toolkit is older than its first",
    );
    let oldest = cuda.toolkit.last().map(|t| &t.version);
    for toolkit in [Some(&row.first_toolkit), row.last_toolkit.as_ref()]
        .into_iter()
        .flatten()
    {
        let known = cuda.toolkit.iter().any(|t| t.version == *toolkit);
        require(
            known || oldest.is_some_and(|oldest| toolkit < oldest),
            "its toolkits are not in the table",
        );
    }
    if let Some(tegra) = &row.tegra {
        require(
            row.linux.is_none() && row.windows.is_none() && row.last_branch.is_none(),
            "Tegra GPUs have JetPack's driver and no other",
        );
        require(!tegra.boards.is_empty(), "names no board");
        let last = tegra.last_jetpack.as_ref();
        require(
            last.is_none_or(|last| tegra.first_jetpack <= *last),
            "its last JetPack is older than its first",
        );
        require(
            tegra.ordinary_wheels_since.as_ref().is_none_or(|since| {
                tegra.first_jetpack <= *since && last.is_none_or(|last| since <= last)
            }),
            "ordinary wheels cannot run under a JetPack that does not support it",
        );
        return;
    }
    require(row.linux.is_some(), "no Linux driver is known for it");
    require(
        row.last_branch.is_none() || row.last_toolkit.is_some(),
        "drivers have dropped it and toolkits have not",
    );
    for driver in [&row.linux, &row.windows].into_iter().flatten() {
        let branch = driver.release().first().copied().unwrap_or(0);
        require(
            row.last_branch.is_none_or(|last| branch <= u64::from(last)),
            "its first driver is newer than its last branch",
        );
    }
}

/// Whether some driver both runs a build and knows a GPU.
pub(super) fn reachable(cuda: &CudaFacts, floor: &Version, gpu: Capability) -> bool {
    let branch = floor.release().first().copied().unwrap_or(0);
    cuda.architecture(gpu)
        .is_none_or(|row| row.last_branch.is_none_or(|last| branch <= u64::from(last)))
}

fn forward_compatibility(cuda: &CudaFacts, findings: &mut Findings) {
    let packages = &cuda.forward_compatibility.package;
    newest_first(TABLE, packages.iter().map(|p| &p.toolkit), findings);
    for package in packages {
        let about = format!("compatibility package {}", package.toolkit);
        let build = super::super::cuda::accelerator(&package.toolkit);
        let floor = build.and_then(|build| cuda.floor(build, Os::Linux));
        let Some(floor) = floor else {
            findings.add(TABLE, about, "its toolkit is not in the table");
            continue;
        };
        findings.require(!package.branches.is_empty(), TABLE, &about, || {
            "names no driver branch".to_owned()
        });
        findings.require(package.branches.is_sorted(), TABLE, &about, || {
            "its branches are not in order".to_owned()
        });
        let needless = package
            .branches
            .iter()
            .find(|branch| Version::new([u64::from(**branch)]) >= *floor);
        if let Some(branch) = needless {
            findings.add(
                TABLE,
                about,
                format!("branch {branch} runs the toolkit without it"),
            );
        }
    }
}
