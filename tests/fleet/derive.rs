//! The pages of the torch wheel indexes, derived where these cannot be reached: releases and
//! builds from the facts, Pythons and tags from the wheels of the same version on the default
//! index, requirements from their metadata, with the CUDA libraries of the build in place of the
//! default one's. `torch-indexes.toml` says what else is needed, and what is left out.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use aienv::{
    compat::torch::{Platform, TorchFacts, TorchRelease},
    index::{CoreMetadata, DistFile, IndexError, IndexId, PackageIndex, Releases, file_name},
    types::{Accelerator, Arch, Os, PackageName, Requirement, Version},
};
use serde::Deserialize;

const DATA: &str = include_str!("torch-indexes.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    companions: Vec<PackageName>,
    triton: BTreeMap<String, Triton>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Triton {
    name: PackageName,
    before: PackageName,
    since: Version,
}

/// Answers for the torch indexes out of what the default index says.
pub struct Derived {
    rules: Rules,
    facts: &'static TorchFacts,
    /// Derived file → the file of the default index it was made from, and the build.
    made: Mutex<HashMap<String, (DistFile, Accelerator)>>,
}

impl Derived {
    /// With nothing derived yet.
    pub fn new() -> Self {
        Self {
            rules: toml::from_str(DATA).unwrap(),
            facts: TorchFacts::embedded(),
            made: Mutex::default(),
        }
    }

    /// The page of a package on the index of one build.
    pub fn releases(
        &self,
        default: &dyn PackageIndex,
        build: Accelerator,
        package: &PackageName,
    ) -> Result<Arc<Releases>, IndexError> {
        let triton = self.rules.triton.get(build.kind());
        let is_triton = triton.is_some_and(|t| t.name == *package || t.before == *package);
        let source = if is_triton {
            "triton".parse().unwrap()
        } else if package.as_ref() == "torch" || self.rules.companions.contains(package) {
            package.clone()
        } else {
            return Err(not_there(build, package));
        };
        let listed = default.releases(&IndexId::Default, &source)?;
        let mut releases = Releases::default();
        for (version, files) in &listed.versions {
            for file in files {
                let has = if is_triton {
                    self.facts
                        .torch
                        .iter()
                        .any(|release| has_build(release, build, file))
                } else {
                    let release = self.release_of(package, version);
                    release.is_some_and(|release| has_build(release, build, file))
                };
                if has && !version.any_prerelease() {
                    let (version, file) = self.file(build, package, version, file, is_triton);
                    releases.versions.entry(version).or_default().push(file);
                }
            }
        }
        if releases.versions.is_empty() {
            return Err(not_there(build, package));
        }
        Ok(Arc::new(releases))
    }

    /// The release of torch that a version of it or of a companion was made with: the first one
    /// that the facts name it for.
    fn release_of(
        &self,
        package: &PackageName,
        version: &Version,
    ) -> Option<&'static TorchRelease> {
        let mut oldest_first = self.facts.torch.iter().rev();
        oldest_first.find(|release| {
            release.version.iter().any(|patch| match package.as_ref() {
                "torch" => patch.version == *version,
                "torchvision" => patch.torchvision == *version,
                _ => patch.torchaudio.as_ref() == Some(version),
            })
        })
    }

    /// A file of the default index as the torch index would have it.
    fn file(
        &self,
        build: Accelerator,
        package: &PackageName,
        version: &Version,
        file: &DistFile,
        is_triton: bool,
    ) -> (Version, DistFile) {
        let mut parts: Vec<String> = file.file_name.split('-').map(str::to_owned).collect();
        parts[0] = package.as_ref().replace('-', "_");
        if !is_triton {
            parts[1] = format!("{version}+{build}");
        }
        let file_name = parts.join("-");
        let (version, kind) = file_name::parse(&file_name, package).unwrap();
        let made = DistFile {
            kind,
            file_name: file_name.clone(),
            ..file.clone()
        };
        self.made
            .lock()
            .unwrap()
            .insert(file_name, (file.clone(), build));
        (version, made)
    }

    /// The metadata of a derived file; `None` for any other.
    pub fn metadata(
        &self,
        default: &dyn PackageIndex,
        file: &DistFile,
    ) -> Option<Result<Arc<CoreMetadata>, IndexError>> {
        let made = self.made.lock().unwrap().get(&file.file_name).cloned();
        let (from, build) = made?;
        Some(default.metadata(&from).and_then(|metadata| {
            let (name, version) = file.name_and_version().unwrap();
            let mut needs = CoreMetadata {
                name,
                version,
                ..(*metadata).clone()
            };
            if needs.name.as_ref() == "torch" {
                needs.requires_dist = self.needs_of_torch(default, &needs, build)?;
            }
            Ok(Arc::new(needs))
        }))
    }

    /// What torch itself requires in this build.
    fn needs_of_torch(
        &self,
        default: &dyn PackageIndex,
        of: &CoreMetadata,
        build: Accelerator,
    ) -> Result<Vec<Requirement>, IndexError> {
        let own = of.requires_dist.iter().filter(|r| !is_cuda_library(r));
        let mut needs: Vec<Requirement> = own.cloned().collect();
        match build {
            Accelerator::Cuda(major, minor) => {
                let cuda = Version::new([u64::from(major), u64::from(minor)]);
                needs.extend(self.cuda_libraries(default, &cuda, &of.version)?);
            }
            Accelerator::Rocm(..) | Accelerator::Xpu => {
                let triton = &self.rules.triton[build.kind()];
                let renamed = if of.version >= triton.since {
                    &triton.name
                } else {
                    &triton.before
                };
                for requirement in needs.iter_mut().filter(|r| r.name.as_ref() == "triton") {
                    requirement.name.clone_from(renamed);
                }
            }
            Accelerator::Cpu | Accelerator::Mps => needs.retain(|r| r.name.as_ref() != "triton"),
        }
        Ok(needs)
    }

    /// The libraries that the nearest release with default builds for a CUDA version requires.
    fn cuda_libraries(
        &self,
        default: &dyn PackageIndex,
        cuda: &Version,
        torch: &Version,
    ) -> Result<Vec<Requirement>, IndexError> {
        let name: PackageName = "torch".parse().unwrap();
        let listed = default.releases(&IndexId::Default, &name)?;
        let made_for = |version: &&Version| {
            let release = self.release_of(&name, version);
            release.is_some_and(|release| release.default_cuda().as_ref() == Some(cuda))
        };
        let made_for: Vec<&Version> = listed.versions.keys().filter(made_for).collect();
        // The first that is not older, else the last there is.
        let last = made_for.len().saturating_sub(1);
        let at = made_for
            .partition_point(|version| *version < torch)
            .min(last);
        let Some(model) = made_for.get(at) else {
            return Ok(Vec::new());
        };
        let mut files = listed.versions[*model].iter();
        let linux = Platform {
            os: Os::Linux,
            arch: Arch::X86_64,
        };
        let file = files.find(|file| platforms(file).contains(&linux)).unwrap();
        let metadata = default.metadata(file)?;
        let libraries = metadata.requires_dist.iter().filter(|r| is_cuda_library(r));
        Ok(libraries.cloned().collect())
    }
}

/// Whether a release has a build for the platform that a file of the default index is for.
fn has_build(release: &TorchRelease, build: Accelerator, file: &DistFile) -> bool {
    platforms(file)
        .iter()
        .any(|platform| match (build, platform.os) {
            (_, Os::Macos) => false,
            (Accelerator::Cpu, _) => true,
            (Accelerator::Cuda(..), Os::Windows) => {
                release.builds.contains_key(&build) && !release.not_on_windows.contains(&build)
            }
            (Accelerator::Cuda(..), Os::Linux) => release.code(build, platform.arch).is_some(),
            (Accelerator::Rocm(..), os) => {
                os == Os::Linux && platform.arch == Arch::X86_64 && release.rocm.contains(&build)
            }
            (Accelerator::Xpu, _) => release.xpu.contains(platform),
            (Accelerator::Mps, _) => false,
        })
}

/// The platforms a wheel is for.
fn platforms(file: &DistFile) -> Vec<Platform> {
    let tags = file.wheel().into_iter().flat_map(|tags| tags.platforms());
    tags.filter_map(|tag| {
        let arch = if tag.ends_with("x86_64") || tag.ends_with("amd64") {
            Arch::X86_64
        } else if tag.ends_with("aarch64") || tag.ends_with("arm64") {
            Arch::Aarch64
        } else {
            return None;
        };
        let os = match tag.split(['_', '1', '2']).next()? {
            "manylinux" | "linux" => Os::Linux,
            "win" => Os::Windows,
            "macosx" => Os::Macos,
            _ => return None,
        };
        Some(Platform { os, arch })
    })
    .collect()
}

fn is_cuda_library(requirement: &Requirement) -> bool {
    let name = requirement.name.as_ref();
    name.starts_with("nvidia-") || name.starts_with("cuda-")
}

fn not_there(build: Accelerator, package: &PackageName) -> IndexError {
    IndexError::NotFound {
        package: package.clone(),
        index: format!("the torch wheel index of {build}"),
    }
}
