//! The table of torch releases beside what the package index says of them.
//!
//! A table ages: a release comes out, a default build moves to the next CUDA, a companion gets a
//! patch. Every fact of `torch.toml` that file names and metadata can show is compared here. What
//! a build holds code for cannot be seen without downloading it, and is not compared.

use std::{collections::BTreeSet, fmt::Display};

use serde::Serialize;

use super::{
    published::{Needs, Published, PublishedTorch, exactly},
    torch::{Platform, TorchFacts, TorchRelease, TorchVersion},
};
use crate::types::{Accelerator, Arch, Os, PythonVersion, Version};

/// A fact, as the table has it and as the index has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// What it is about: `torch 2.15`, `torch 2.14.1`.
    pub about: String,
    /// The fact: `triton`, `default linux-x86_64`.
    pub fact: String,
    /// What the table says.
    pub table: String,
    /// What the index says.
    pub index: String,
    /// Whether that is the same.
    pub agrees: bool,
}

/// NVIDIA's libraries that the table names.
const LIBRARIES: [&str; 4] = ["cudnn", "cusparselt", "nccl", "nvshmem"];

/// Collects comparisons about one thing.
struct About<'c> {
    about: String,
    found: &'c mut Vec<Comparison>,
}

impl About<'_> {
    fn add(&mut self, fact: &str, table: String, index: String, agrees: bool) {
        self.found.push(Comparison {
            about: self.about.clone(),
            fact: fact.to_owned(),
            table,
            index,
            agrees,
        });
    }

    fn same<T: PartialEq>(&mut self, fact: &str, table: &T, index: &T, text: fn(&T) -> String) {
        self.add(fact, text(table), text(index), table == index);
    }
}

/// Compares the package index with the table.
pub fn compare(facts: &TorchFacts, published: &Published) -> Vec<Comparison> {
    let mut found = Vec::new();
    for release in &facts.torch {
        if let Some(torch) = release
            .version
            .first()
            .and_then(|newest| published.torch.get(&newest.version))
        {
            let mut about = About {
                about: format!("torch {}", release.release),
                found: &mut found,
            };
            wheels(release, torch, &mut about);
            defaults(release, torch, &mut about);
        }
        for row in &release.version {
            let mut about = About {
                about: format!("torch {}", row.version),
                found: &mut found,
            };
            version(facts, (release, row), published, &mut about);
        }
    }
    unknown_releases(facts, published, &mut found);
    for row in &facts.source_only {
        if let Some(versions) = published.companions.get(&row.package) {
            let wheels = versions
                .values()
                .filter(|version| version.has_wheel)
                .count();
            found.push(Comparison {
                about: row.package.to_string(),
                fact: "wheels".to_owned(),
                table: "none".to_owned(),
                index: counted(wheels),
                agrees: wheels == 0,
            });
        }
    }
    builds(facts, published, &mut found);
    found
}

fn counted(wheels: usize) -> String {
    match wheels {
        0 => "none".to_owned(),
        count => format!("{count} versions with wheels"),
    }
}

/// Pythons, platforms and floors: what file names tell.
fn wheels(release: &TorchRelease, torch: &PublishedTorch, about: &mut About<'_>) {
    let pythons = |platform: Option<Platform>, free_threaded: bool| -> BTreeSet<PythonVersion> {
        torch
            .wheels
            .iter()
            .filter(|wheel| wheel.free_threaded == free_threaded)
            .filter(|wheel| platform.is_none_or(|platform| wheel.platform == platform))
            .map(|wheel| wheel.python)
            .collect()
    };
    let platforms: BTreeSet<Platform> = torch.wheels.iter().map(|wheel| wheel.platform).collect();
    let listed: BTreeSet<Platform> = release.default.keys().copied().collect();
    about.same("platforms", &listed, &platforms, list);
    let everywhere = platforms
        .iter()
        .map(|platform| pythons(Some(*platform), false))
        .reduce(|all, these| all.intersection(&these).copied().collect())
        .unwrap_or_default();
    about.same("python", &release.python, &everywhere, list);
    let linux = Platform {
        os: Os::Linux,
        arch: Arch::X86_64,
    };
    let further: BTreeSet<_> = pythons(Some(linux), false)
        .difference(&everywhere)
        .copied()
        .collect();
    about.same(
        "python-linux-x86_64",
        &release.python_linux_x86_64,
        &further,
        list,
    );
    about.same(
        "free-threaded",
        &release.free_threaded,
        &pythons(None, true),
        list,
    );
    for (os, name, floors) in [
        (Os::Linux, "glibc", &release.glibc),
        (Os::Macos, "macos", &release.macos),
    ] {
        for (arch, suffix) in [(Arch::X86_64, "x86_64"), (Arch::Aarch64, "aarch64")] {
            // Some Pythons ask for more than others; the table has the lowest.
            let floor = torch
                .wheels
                .iter()
                .filter(|wheel| wheel.platform == Platform { os, arch } && !wheel.free_threaded)
                .filter(|wheel| release.python.contains(&wheel.python))
                .filter_map(|wheel| wheel.floor.clone())
                .min();
            let fact = format!("{name} {suffix}");
            about.same(&fact, &floors.get(arch).cloned(), &floor, known);
        }
    }
}

/// The default builds and their libraries: what metadata tells.
fn defaults(release: &TorchRelease, torch: &PublishedTorch, about: &mut About<'_>) {
    for (platform, needs) in &torch.metadata {
        if platform.os == Os::Macos {
            continue;
        }
        let built = match needs.cuda() {
            Some(cuda) => super::cuda::accelerator(&cuda).unwrap_or(Accelerator::Cpu),
            None => Accelerator::Cpu,
        };
        let fact = format!("default {platform}");
        let table = release.default_build(platform.os, platform.arch);
        about.same(&fact, &table, &Some(built), known);
    }
    let linux = Platform {
        os: Os::Linux,
        arch: Arch::X86_64,
    };
    let Some(needs) = torch.metadata.get(&linux) else {
        return;
    };
    about.same(
        "requires-python",
        &Some(release.requires_python.clone()),
        &needs.requires_python,
        known,
    );
    let library = |name: &str| release.libraries.get(name).cloned();
    about.same("library cuda", &library("cuda"), &needs.cuda(), known);
    for name in LIBRARIES {
        about.same(
            &format!("library {name}"),
            &library(name),
            &needs.library(name),
            known,
        );
    }
}

/// A patch release: that it is there, its triton and its companions.
fn version(
    facts: &TorchFacts,
    (release, row): (&TorchRelease, &TorchVersion),
    published: &Published,
    about: &mut About<'_>,
) {
    let there = published.torch.get(&row.version);
    let index = if there.is_some() {
        "has it"
    } else {
        "lacks it"
    };
    about.add(
        "release",
        "has it".to_owned(),
        index.to_owned(),
        there.is_some(),
    );
    let Some(torch) = there else {
        return;
    };
    let linux = Platform {
        os: Os::Linux,
        arch: Arch::X86_64,
    };
    if let Some(needs) = torch.metadata.get(&linux) {
        triton(release, row, needs, about);
    }
    let companions = [
        ("torchvision", Some(&row.torchvision)),
        ("torchaudio", row.torchaudio.as_ref()),
        ("xformers", row.xformers.as_ref()),
    ];
    for (name, version) in companions {
        companion(facts, row, (name, version), published, about);
    }
}

/// Its triton, and the Pythons that have one.
fn triton(release: &TorchRelease, row: &TorchVersion, needs: &Needs, about: &mut About<'_>) {
    let pythons: BTreeSet<PythonVersion> = release
        .python
        .iter()
        .copied()
        .filter(|python| row.triton_below.is_none_or(|below| *python < below))
        .collect();
    let table = format!("{} for Python {}", row.triton, list(&pythons));
    match needs.of("triton") {
        Some(needed) => about.add(
            "triton",
            table,
            format!("{} for Python {}", needed.versions, list(&needed.pythons)),
            needed.versions.contains(&row.triton) && needed.pythons == pythons,
        ),
        None => about.add("triton", table, "none".to_owned(), false),
    }
}

/// A companion: the version the table names accepts this torch, and no newer one was made for it.
fn companion(
    facts: &TorchFacts,
    row: &TorchVersion,
    (name, version): (&str, Option<&Version>),
    published: &Published,
    about: &mut About<'_>,
) {
    let Some((package, versions)) = published
        .companions
        .iter()
        .find(|(package, _)| package.as_ref() == name)
    else {
        return;
    };
    let made_for_it = versions.iter().rev().find(|(_, companion)| {
        let only = companion.torch.as_ref().and_then(exactly);
        companion.has_wheel && only.as_ref() == Some(&row.version)
    });
    if let Some((newest, _)) = made_for_it {
        let agrees = version == Some(newest);
        about.add(
            name,
            known(&version),
            format!("{newest} is made for it"),
            agrees,
        );
        return;
    }
    let Some(version) = version else {
        about.add(
            name,
            known(&version),
            "none is made for it".to_owned(),
            true,
        );
        return;
    };
    let (index, agrees) = match versions.get(version) {
        None => ("lacks it".to_owned(), false),
        Some(companion) if !companion.has_wheel => ("has no wheel of it".to_owned(), false),
        Some(companion) => match &companion.torch {
            Some(torch) => (
                format!("it asks for torch {torch}"),
                torch.contains(&row.version),
            ),
            None => {
                let explained = facts
                    .companion
                    .iter()
                    .any(|known| known.package == *package && known.versions.contains(version));
                ("it asks for no torch".to_owned(), explained)
            }
        },
    };
    about.add(name, version.to_string(), index, agrees);
}

/// Releases that the index has and the table lacks, from the oldest of the table on.
fn unknown_releases(facts: &TorchFacts, published: &Published, found: &mut Vec<Comparison>) {
    let known_versions: BTreeSet<&Version> = facts
        .torch
        .iter()
        .flat_map(|release| release.version.iter().map(|row| &row.version))
        .collect();
    let Some(oldest) = known_versions.first() else {
        return;
    };
    for version in published.torch.keys() {
        if version > oldest && !known_versions.contains(version) {
            found.push(Comparison {
                about: format!("torch {version}"),
                fact: "release".to_owned(),
                table: "lacks it".to_owned(),
                index: "has it".to_owned(),
                agrees: false,
            });
        }
    }
}

/// The builds on the torch wheel indexes that were reached.
fn builds(facts: &TorchFacts, published: &Published, found: &mut Vec<Comparison>) {
    for (build, versions) in &published.builds {
        for release in &facts.torch {
            let on_index: BTreeSet<Platform> = versions
                .iter()
                .filter(|(version, _)| version.release().starts_with(release.release.release()))
                .flat_map(|(_, platforms)| platforms.iter().copied())
                .collect();
            let in_table = listed(release, *build);
            if on_index.is_empty() && in_table.is_empty() {
                continue;
            }
            let mut about = About {
                about: format!("torch {}", release.release),
                found,
            };
            about.same(&format!("build {build}"), &in_table, &on_index, list);
        }
    }
}

/// The platforms that the table says a build of a release exists for.
fn listed(release: &TorchRelease, build: Accelerator) -> BTreeSet<Platform> {
    let x86 = |os: Os| Platform {
        os,
        arch: Arch::X86_64,
    };
    match build {
        Accelerator::Cuda(..) => {
            let mut platforms = BTreeSet::new();
            if release.code(build, Arch::X86_64).is_some() {
                platforms.insert(x86(Os::Linux));
                if !release.not_on_windows.contains(&build) {
                    platforms.insert(x86(Os::Windows));
                }
            }
            if release.code(build, Arch::Aarch64).is_some() {
                platforms.insert(Platform {
                    os: Os::Linux,
                    arch: Arch::Aarch64,
                });
            }
            platforms
        }
        Accelerator::Rocm(..) if release.rocm.contains(&build) => [x86(Os::Linux)].into(),
        Accelerator::Xpu => release.xpu.clone(),
        _ => BTreeSet::new(),
    }
}

fn list<T: Display>(items: &BTreeSet<T>) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}

fn known<T: Display>(value: &Option<T>) -> String {
    value
        .as_ref()
        .map_or_else(|| "none".to_owned(), ToString::to_string)
}
