//! Asking the package index what it says of torch, to compare it with the table of facts.

use std::collections::{BTreeMap, BTreeSet};

use super::{Manager, reach::Answer as Reach};
use crate::{
    compat::{
        published::{
            Needed, Needs, Published, PublishedCompanion, PublishedTorch, PublishedWheel, platform,
        },
        torch::{Platform, TorchFacts, TorchRelease},
    },
    index::{DistFile, IndexError, IndexId, PackageIndex, Releases},
    solve::marker_environment,
    types::{Accelerator, Arch, Os, PackageName, PythonVersion, Target, Version},
};

/// What the indexes say, and what could not be asked.
pub struct Answer {
    /// What they say.
    pub published: Published,
    /// Sentences: what was left out, and why.
    pub skipped: Vec<String>,
}

/// The packages whose metadata ties them to a torch.
const COMPANIONS: [&str; 3] = ["torchvision", "torchaudio", "xformers"];

/// Asks the package index for everything that the table says of torch, and the torch wheel indexes
/// where they answer.
///
/// # Errors
/// The package index cannot be read.
pub fn ask(manager: &Manager, facts: &TorchFacts) -> Result<Answer, IndexError> {
    let (index, progress) = (manager.index(), manager.progress());
    let mut published = Published::default();
    let torch = package("torch");
    let names: Vec<PackageName> = COMPANIONS.iter().map(|name| package(name)).collect();
    let source_only = facts.source_only.iter().map(|row| row.package.clone());
    for name in [&torch].into_iter().chain(&names) {
        index.prefetch_releases(&IndexId::Default, name);
    }
    progress.step("Reading what the index says of torch");
    let releases = index.releases(&IndexId::Default, &torch)?;
    published.torch = releases_of_torch(index, facts, &releases)?;
    for name in names.into_iter().chain(source_only) {
        progress.step(&format!("Reading what the index says of {name}"));
        let known = companions(index, facts, &name)?;
        published.companions.insert(name, known);
    }
    let mut skipped = Vec::new();
    progress.step("Asking the torch wheel indexes");
    if let Err(reason) = builds(manager, facts, &mut published) {
        skipped.push(format!("the torch wheel indexes: {reason}"));
    }
    Ok(Answer { published, skipped })
}

fn package(name: &str) -> PackageName {
    name.parse()
        .unwrap_or_else(|_| unreachable!("`{name}` is a package name"))
}

/// Whether a version is one that people get without asking for it.
fn is_final(version: &Version) -> bool {
    !version.is_pre() && !version.is_dev() && !version.is_local()
}

fn current(files: &[DistFile]) -> Vec<&DistFile> {
    files.iter().filter(|file| file.yanked.is_none()).collect()
}

/// Final releases of torch, with the metadata of those that the table has.
fn releases_of_torch(
    index: &dyn PackageIndex,
    facts: &TorchFacts,
    releases: &Releases,
) -> Result<BTreeMap<Version, PublishedTorch>, IndexError> {
    let mut found = BTreeMap::new();
    let mut wanted: Vec<(Version, Platform, &TorchRelease, &DistFile)> = Vec::new();
    for (version, files) in &releases.versions {
        let files = current(files);
        if files.is_empty() || !is_final(version) {
            continue;
        }
        let wheels = files.iter().filter_map(|file| tags(file)).collect();
        if let Some(release) = facts
            .torch
            .iter()
            .find(|release| release.version.iter().any(|row| row.version == *version))
        {
            let platforms = release.default.keys().filter(|at| at.os != Os::Macos);
            for at in platforms {
                if let Some(file) = wheel_for(&files, *at) {
                    wanted.push((version.clone(), *at, release, file));
                }
            }
        }
        let metadata = BTreeMap::new();
        found.insert(version.clone(), PublishedTorch { wheels, metadata });
    }
    for (_, _, _, file) in &wanted {
        index.prefetch_metadata(file);
    }
    for (version, at, release, file) in wanted {
        let needs = needs(index, file, at, release)?;
        if let Some(torch) = found.get_mut(&version) {
            torch.metadata.insert(at, needs);
        }
    }
    Ok(found)
}

fn tags(file: &DistFile) -> Option<PublishedWheel> {
    let tags = file.wheel()?;
    PublishedWheel::read(tags.pythons(), tags.abis(), tags.platforms())
}

/// A wheel that a platform would install; for the newest Python, with the last build number.
fn wheel_for<'f>(files: &[&'f DistFile], at: Platform) -> Option<&'f DistFile> {
    files
        .iter()
        .filter_map(|file| {
            let wheel = tags(file).filter(|wheel| wheel.platform == at && !wheel.free_threaded)?;
            let build = file.wheel().and_then(|tags| tags.build_number());
            Some(((wheel.python, build), *file))
        })
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, file)| file)
}

/// What a wheel needs on a platform, with the Pythons of its release.
fn needs(
    index: &dyn PackageIndex,
    file: &DistFile,
    at: Platform,
    release: &TorchRelease,
) -> Result<Needs, IndexError> {
    let metadata = index.metadata(file)?;
    let target = Target {
        os: at.os,
        arch: at.arch,
        libc: None,
        macos: None,
    };
    let environments: Vec<_> = release
        .python
        .iter()
        .map(|python| {
            let full = Version::new([u64::from(python.major), u64::from(python.minor), 0]);
            (*python, marker_environment(&target, &full))
        })
        .collect();
    let requires = metadata.requires_dist.iter().filter_map(|requirement| {
        let pythons: BTreeSet<PythonVersion> = environments
            .iter()
            .filter(|(_, environment)| requirement.marker.evaluate(environment, &[]))
            .map(|(python, _)| *python)
            .collect();
        (!pythons.is_empty()).then(|| Needed {
            package: requirement.name.clone(),
            versions: specifiers(requirement),
            pythons,
        })
    });
    Ok(Needs {
        requires_python: metadata.requires_python.clone(),
        requires: requires.collect(),
    })
}

fn specifiers(requirement: &crate::types::Requirement) -> crate::types::VersionSpecifiers {
    match &requirement.version_or_url {
        Some(pep508_rs::VersionOrUrl::VersionSpecifier(versions)) => versions.clone(),
        _ => crate::types::VersionSpecifiers::empty(),
    }
}

/// Final releases of a companion, from the oldest the table names on.
fn companions(
    index: &dyn PackageIndex,
    facts: &TorchFacts,
    name: &PackageName,
) -> Result<BTreeMap<Version, PublishedCompanion>, IndexError> {
    let releases = match index.releases(&IndexId::Default, name) {
        Ok(releases) => releases,
        Err(IndexError::NotFound { .. }) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let rows = || facts.torch.iter().flat_map(|release| &release.version);
    let oldest = match name.as_ref() {
        "torchvision" => rows().map(|row| &row.torchvision).min(),
        "torchaudio" => rows().filter_map(|row| row.torchaudio.as_ref()).min(),
        "xformers" => rows().filter_map(|row| row.xformers.as_ref()).min(),
        _ => None,
    };
    let mut found = BTreeMap::new();
    let mut wanted = Vec::new();
    for (version, files) in &releases.versions {
        let files = current(files);
        let old = oldest.is_some_and(|oldest| version < oldest);
        if files.is_empty() || !is_final(version) || old {
            continue;
        }
        let wheels: Vec<&DistFile> = files
            .into_iter()
            .filter(|file| file.wheel().is_some())
            .collect();
        let has_wheel = !wheels.is_empty();
        found.insert(
            version.clone(),
            PublishedCompanion {
                has_wheel,
                torch: None,
            },
        );
        if oldest.is_some()
            && let Some(file) = some_wheel(&wheels)
        {
            index.prefetch_metadata(file);
            wanted.push((version.clone(), file));
        }
    }
    for (version, file) in wanted {
        let metadata = index.metadata(file)?;
        let torch = metadata
            .requires_dist
            .iter()
            .find(|requirement| requirement.name.as_ref() == "torch");
        if let Some(companion) = found.get_mut(&version) {
            companion.torch = torch.map(specifiers);
        }
    }
    Ok(found)
}

/// A wheel for x86-64 Linux, else any.
fn some_wheel<'f>(wheels: &[&'f DistFile]) -> Option<&'f DistFile> {
    let linux = Platform {
        os: Os::Linux,
        arch: Arch::X86_64,
    };
    let is_linux = |file: &&&DistFile| {
        file.wheel().is_some_and(|tags| {
            tags.platforms()
                .any(|tag| platform(tag).is_some_and(|(at, _)| at == linux))
        })
    };
    wheels.iter().find(is_linux).or(wheels.first()).copied()
}

/// Which builds the torch wheel indexes have. All of them are one server: what one cannot answer,
/// the others are not asked.
fn builds(manager: &Manager, facts: &TorchFacts, published: &mut Published) -> Result<(), String> {
    let base = &manager.settings.torch.value;
    let sample = base.below("cpu/torch/").to_string();
    if !manager.answers(&[sample], Reach::Any) {
        return Err(format!("`{base}` does not answer"));
    }
    let torch = package("torch");
    let mut wanted: BTreeSet<Accelerator> = [Arch::X86_64, Arch::Aarch64]
        .into_iter()
        .flat_map(|arch| facts.cuda_builds(arch))
        .collect();
    wanted.extend(
        facts
            .torch
            .iter()
            .flat_map(|release| release.rocm.iter().copied()),
    );
    wanted.insert(Accelerator::Xpu);
    let index = manager.index();
    for build in &wanted {
        index.prefetch_releases(&IndexId::Torch(*build), &torch);
    }
    for build in wanted {
        let versions = match index.releases(&IndexId::Torch(build), &torch) {
            Ok(releases) => platforms_of(build, &releases),
            Err(IndexError::NotFound { .. }) => BTreeMap::new(),
            Err(error) => return Err(error.to_string()),
        };
        published.builds.insert(build, versions);
    }
    Ok(())
}

/// The platforms that an index has each version of its build for.
fn platforms_of(build: Accelerator, releases: &Releases) -> BTreeMap<Version, BTreeSet<Platform>> {
    let mut found: BTreeMap<Version, BTreeSet<Platform>> = BTreeMap::new();
    for (version, files) in &releases.versions {
        // Old wheels for Arm have no local version.
        let local = version
            .local()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(".");
        if version.is_pre() || version.is_dev() || !(local.is_empty() || local == build.to_string())
        {
            continue;
        }
        let platforms = current(files)
            .into_iter()
            .filter_map(|file| Some(tags(file)?.platform));
        found.entry(version.clone()).or_default().extend(platforms);
    }
    found
}
