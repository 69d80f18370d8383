//! From the tables of facts to the needs that hold in one resolution: on this host, with the
//! accelerator build that is tried.

use super::{
    accelerators::{self, AcceleratorOption},
    needs::{AgreementId, HostFact, HostNeed, Needs, Origin},
    range::{VersionSet, release_and_locals, to_set},
};
use crate::{
    compat::{
        cuda::CudaFacts,
        extensions::{Agreement, BuiltWithTorch, ExtensionFacts},
        torch::TorchFacts,
    },
    host::Host,
    types::{Accelerator, Os, PackageName, Version, parse_requirement},
};

/// The tables that needs are gathered from.
pub struct Tables<'f> {
    /// Builds of torch.
    pub torch: &'f TorchFacts,
    /// Toolkits and drivers.
    pub cuda: &'f CudaFacts,
    /// What packages need and do not say.
    pub extensions: &'f ExtensionFacts,
}

impl Tables<'static> {
    /// The embedded tables.
    pub fn embedded() -> Self {
        Self {
            torch: TorchFacts::embedded(),
            cuda: CudaFacts::embedded(),
            extensions: ExtensionFacts::embedded(),
        }
    }
}

/// What the host has and what packages need beyond their metadata, on one accelerator build.
pub fn needs(host: &Host, option: &AcceleratorOption, tables: &Tables<'_>) -> Needs {
    let mut needs = Needs::on(&host.target());
    needs.host.extend(option.host.iter().cloned());
    let torch = name("torch");
    for need in &option.torch_needs {
        needs.add_host_need(torch.clone(), need.clone());
    }
    for agreement in &tables.extensions.agreement {
        agree(&mut needs, agreement, host, option, tables.torch);
    }
    if let Accelerator::Cuda(..) = option.accelerator {
        toolkits(&mut needs, host, tables);
    }
    for row in &tables.extensions.undeclared {
        if !row.holds_with(option.accelerator) {
            continue;
        }
        // A lint sees to it that they can be read.
        for requirement in row
            .requires
            .iter()
            .filter_map(|r| parse_requirement(r).ok())
        {
            needs.add_undeclared(row.package.clone(), to_set(&row.versions), requirement);
        }
    }
    needs
}

/// Packages that need not be installed with a build, because something else meets requirements on
/// them.
pub fn provided(option: &AcceleratorOption, facts: &ExtensionFacts) -> Vec<PackageName> {
    let rows = facts.provided.iter();
    rows.filter(|row| row.holds_with(option.accelerator))
        .map(|row| row.package.clone())
        .collect()
}

fn agree(
    needs: &mut Needs,
    agreement: &Agreement,
    host: &Host,
    option: &AcceleratorOption,
    torch: &TorchFacts,
) {
    let id = AgreementId::from(agreement.id.as_str());
    needs.add_agreement(id.clone(), &agreement.says, &agreement.rule);
    let os = host.os.family;
    for member in agreement.member.iter().filter(|member| member.holds_on(os)) {
        let origin = member.from_default_index().then_some(Origin::Default);
        let versions = to_set(&member.versions);
        needs.add_member(
            &id,
            member.package.clone(),
            versions,
            origin,
            member.values(),
        );
    }
    // On a Mac every build is for the same thing.
    if let Some(built) = &agreement.built_with_torch
        && os != Os::Macos
    {
        built_with_torch(needs, &id, built, host, option, torch);
    }
}

/// torch and what comes in the same builds: from a torch index they are of its build, from the
/// package index of the build that the table names for their torch.
fn built_with_torch(
    needs: &mut Needs,
    id: &AgreementId,
    built: &BuiltWithTorch,
    host: &Host,
    option: &AcceleratorOption,
    torch: &TorchFacts,
) {
    let of_index = built.value.of(option.accelerator);
    for package in &built.packages {
        let origin = Some(Origin::Torch);
        let value = [of_index.as_str()];
        needs.add_member(id, package.clone(), VersionSet::full(), origin, value);
    }
    let mut add = |package: &str, versions: VersionSet, build: Accelerator| {
        if built.packages.iter().any(|known| known.as_ref() == package) {
            let value = built.value.of(build);
            let origin = Some(Origin::Default);
            needs.add_member(id, name(package), versions, origin, [value.as_str()]);
        }
    };
    for release in &torch.torch {
        let Some(build) = release.default_build(host.os.family, host.cpu.arch) else {
            continue;
        };
        add("torch", accelerators::series(release, torch), build);
        for version in &release.version {
            let companions = [
                ("torchvision", Some(&version.torchvision)),
                ("torchaudio", version.torchaudio.as_ref()),
            ];
            for (package, companion) in companions {
                if let Some(companion) = companion {
                    add(package, release_and_locals(companion), build);
                }
            }
        }
    }
}

/// The drivers and GPUs that libraries of a CUDA toolkit need.
fn toolkits(needs: &mut Needs, host: &Host, tables: &Tables<'_>) {
    for row in &tables.extensions.host_need {
        let toolkit = tables.cuda.toolkit.iter().find(|t| t.version == row.cuda);
        let Some(build) = toolkit.and_then(|toolkit| toolkit.build()) else {
            continue;
        };
        let mut add = |fact, wanted| {
            let need = HostNeed {
                versions: to_set(&row.versions),
                origin: None,
                fact,
                wanted,
                because: format!("made with CUDA {}", row.cuda),
            };
            needs.add_host_need(row.package.clone(), need);
        };
        if let Some(floor) = tables.cuda.floor(build, accelerators::driver_os(host)) {
            let wanted = VersionSet::higher_than(floor.clone());
            add(HostFact::NvidiaDriver, wanted);
        }
        // Later GPUs run what a library holds as PTX; what a toolkit has dropped is gone.
        let compiled = tables.cuda.architecture.iter().filter(|architecture| {
            let last = architecture.last_toolkit.as_ref();
            last.is_none_or(|last| row.cuda <= *last)
        });
        if let Some(oldest) = compiled.flat_map(|row| &row.capabilities).min() {
            let oldest = Version::new([u64::from(oldest.0), u64::from(oldest.1)]);
            add(HostFact::ComputeCapability, VersionSet::higher_than(oldest));
        }
    }
}

/// A package name of this program's own.
fn name(text: &str) -> PackageName {
    text.parse()
        .unwrap_or_else(|_| unreachable!("`{text}` is a package name"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn host(os: &str, arch: &str) -> Host {
        serde_json::from_value(serde_json::json!({
            "schema": 1,
            "os": {"family": os, "id": os, "name": os},
            "cpu": {"arch": arch, "cores": 4},
        }))
        .unwrap()
    }

    #[test]
    fn no_release_of_torch_contradicts_the_companions_made_for_it() {
        let tables = Tables::embedded();
        for (os, arch) in [
            ("linux", "x86_64"),
            ("linux", "aarch64"),
            ("windows", "x86_64"),
            ("macos", "aarch64"),
        ] {
            let option = AcceleratorOption::new(Accelerator::Cpu, None, String::new());
            let needs = needs(&host(os, arch), &option, &tables);
            for version in tables
                .torch
                .torch
                .iter()
                .flat_map(|release| &release.version)
            {
                let set = [
                    ("torch", Some(&version.version)),
                    ("torchvision", Some(&version.torchvision)),
                    ("torchaudio", version.torchaudio.as_ref()),
                ];
                for id in ["torch-build", "torch-major"].map(AgreementId::from) {
                    let values = set
                        .into_iter()
                        .filter_map(|(package, version)| Some((name(package), version?)))
                        .flat_map(|(package, version)| {
                            let members = needs.agreements(&package, version, Origin::Default);
                            let own = members.filter(|(of, _)| **of == id);
                            own.map(|(_, values)| values.clone()).collect::<Vec<_>>()
                        })
                        .fold(VersionSet::full(), |all, one| all.intersection(&one));
                    assert_ne!(
                        values,
                        VersionSet::empty(),
                        "torch {} on {os} {arch}: {id}",
                        version.version
                    );
                }
            }
        }
    }

    #[test]
    fn libraries_of_a_toolkit_ask_for_its_driver_and_for_gpus_it_compiles_for() {
        let tables = Tables::embedded();
        let build = Accelerator::Cuda(13, 0);
        let option = AcceleratorOption::new(build, None, String::new());
        let needs = needs(&host("linux", "x86_64"), &option, &tables);
        let wanted = |package: &str, version: &str, fact| {
            let version: Version = version.parse().unwrap();
            let mut found = Vec::new();
            for need in needs.of_host(&name(package), &version, Origin::Default) {
                if need.fact == fact {
                    found.push(need.wanted.clone());
                }
            }
            found
        };
        let least = |text: &str| vec![VersionSet::higher_than(text.parse::<Version>().unwrap())];
        for (package, version, driver, capability) in [
            ("nvidia-cublas", "13.4.1", "580", "7.5"),
            ("nvidia-cublas-cu12", "12.9.3", "525.60.13", "5.0"),
            ("nvidia-cublas-cu11", "11.11.3", "450.80.02", "3.5"),
        ] {
            assert_eq!(
                wanted(package, version, HostFact::NvidiaDriver),
                least(driver)
            );
            assert_eq!(
                wanted(package, version, HostFact::ComputeCapability),
                least(capability)
            );
        }
    }
}
