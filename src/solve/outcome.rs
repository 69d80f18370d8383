//! From a resolution to the plan: the lock, and the reasons for what was chosen.

use std::collections::BTreeMap;

use super::{
    Choice, Plan, Request, SolveError,
    accelerators::{self, AcceleratorOption},
    problem::{Problem, PythonCandidate},
    resolve::{Resolution, ResolvedPackage},
};
use crate::{
    catalog::manifest::{Manifest, Source},
    compat::torch::TorchFacts,
    index::{DistFile, DistKind},
    lock::{Artifact, ArtifactKind, Lock, LockedPackage},
    types::{Accelerator, Os, PackageName, PythonVersion, Version},
};

/// What a resolution was made for.
pub struct Asked<'a> {
    /// The request.
    pub request: &'a Request<'a>,
    /// The accelerator build that was tried.
    pub option: &'a AcceleratorOption,
    /// The problem that was resolved.
    pub problem: &'a Problem,
    /// The facts about torch builds.
    pub facts: &'a TorchFacts,
}

/// The plan of a resolution; `notes` come first.
pub fn plan_of(
    asked: &Asked<'_>,
    resolution: Resolution,
    mut notes: Vec<String>,
) -> Result<Plan, SolveError> {
    let Asked {
        request, problem, ..
    } = asked;
    let manifest = request.manifest;
    notes.extend(resolution.notes.iter().cloned());
    let accelerator = asked.accelerator(&resolution);
    let choices = asked.choices(&resolution, accelerator);
    notes.extend(asked.option.notes.iter().cloned());
    let visibility = accelerators::visibility(
        request.host,
        manifest,
        asked.option,
        accelerator,
        torch(&resolution),
        asked.facts,
    );
    notes.extend(visibility.notes);
    notes.extend(asked.remarks(&resolution, accelerator));
    let version = asked.version(&resolution);
    let mut packages = Vec::new();
    let mut requested = BTreeMap::new();
    let mut newer = BTreeMap::new();
    for (name, package) in resolution.packages {
        newer.extend(package.newer.map(|version| (name.clone(), version)));
        requested.insert(name.clone(), package.requested);
        packages.push(LockedPackage {
            artifact: artifact(&package.file)?,
            direct: problem.direct.contains_key(&name),
            dependencies: package.dependencies,
            version: package.version,
            name,
        });
    }
    let programs = manifest.programs.iter();
    let lock = Lock {
        tool: manifest.name.clone(),
        version,
        target: problem.target,
        accelerator,
        python: resolution.python.python,
        packages,
        tree: request.tree.as_ref().map(|tree| tree.tree.clone()),
        programs: programs
            .map(|(name, program)| (name.clone(), program.path.clone()))
            .collect(),
        environment: visibility.environment,
        manifest: request.manifest_text.to_owned(),
    };
    Ok(Plan {
        lock,
        choices,
        requested,
        newer,
        notes,
        ways: Vec::new(),
    })
}

impl Asked<'_> {
    /// The accelerator that was really chosen: a default CUDA build names itself by its torch.
    fn accelerator(&self, resolution: &Resolution) -> Accelerator {
        let option = self.option;
        let (Accelerator::Cuda(..), None, Some(torch)) =
            (option.accelerator, &option.torch_index, torch(resolution))
        else {
            return option.accelerator;
        };
        let host = self.request.host;
        accelerators::release_of(self.facts, torch).map_or(option.accelerator, |release| {
            accelerators::default_build(release, host.os.family, host.cpu.arch)
        })
    }

    /// The package the tool itself is.
    fn primary<'r>(&self, resolution: &'r Resolution) -> Option<&'r ResolvedPackage> {
        resolution.packages.get(self.problem.primary.as_ref()?)
    }

    /// The version of the tool.
    fn version(&self, resolution: &Resolution) -> Version {
        let version = match &self.request.manifest.source {
            Source::Tree(tree) => tree.version.parse().ok(),
            Source::Index(_) => self
                .primary(resolution)
                .map(|package| package.version.clone()),
        };
        version.unwrap_or_else(|| Version::new([0]))
    }

    fn choices(&self, resolution: &Resolution, accelerator: Accelerator) -> Vec<Choice> {
        let manifest = self.request.manifest;
        let choice = |what: &str, chosen: String, why: String| Choice {
            what: what.to_owned(),
            chosen,
            why,
        };
        let python = &resolution.python;
        let mut choices = vec![
            choice(
                "accelerator",
                accelerator.to_string(),
                self.option.why.clone(),
            ),
            choice(
                "python",
                python.version().to_string(),
                python_why(manifest, self.problem, python),
            ),
        ];
        if let Some(package) = self.primary(resolution) {
            let why = match &package.newer {
                _ if self.request.version.is_some() => "you asked for it".to_owned(),
                Some(newer) => too_new(&manifest.name, newer),
                None => "the newest version".to_owned(),
            };
            choices.push(choice(&manifest.name, package.version.to_string(), why));
        }
        choices
    }

    /// What a person should know of the outcome.
    fn remarks(&self, resolution: &Resolution, accelerator: Accelerator) -> Vec<String> {
        let mut remarks = Vec::new();
        let primary = self
            .primary(resolution)
            .and_then(|package| package.newer.as_ref())
            .filter(|_| self.request.version.is_none());
        remarks.extend(primary.map(|newer| too_new(&self.request.manifest.name, newer)));
        if accelerator == Accelerator::Cpu
            && self.option.torch_index.is_none()
            && torch(resolution).is_some()
            && self.request.host.os.family == Os::Linux
        {
            remarks.push(
                "torch comes with its CUDA libraries (about 5 GB unpacked): the index of CPU \
                 builds is out of reach"
                    .to_owned(),
            );
        }
        remarks.extend(resolution.packages.iter().filter_map(|(name, package)| {
            let held = self.problem.preferences.get(name)?;
            let newer = package.newer.as_ref()?;
            held.contains(&package.version)
                .then(|| kept(name, &package.version, newer))
        }));
        remarks
    }
}

fn torch(resolution: &Resolution) -> Option<&Version> {
    let mut packages = resolution.packages.iter();
    packages
        .find(|(name, _)| name.as_ref() == "torch")
        .map(|(_, package)| &package.version)
}

fn too_new(tool: &str, newer: &Version) -> String {
    format!("{tool} {newer} exists, but does not work here or with its own requirements")
}

fn kept(name: &PackageName, version: &Version, newer: &Version) -> String {
    format!(
        "{name} {version} is taken because it is already here; {newer} exists, and `--fresh` \
         ignores what is here"
    )
}

fn python_why(manifest: &Manifest, problem: &Problem, chosen: &PythonCandidate) -> String {
    let short = PythonVersion::of(chosen.version());
    let preferred = problem.pythons.first().map(|p| p.version()) == Some(chosen.version());
    if problem.pythons.len() == 1 {
        "the only one that fits and is at hand".to_owned()
    } else if preferred && manifest.python.prefer.first().copied() == short {
        format!("what {} is best tested on", manifest.title)
    } else if preferred {
        "the most widely supported of those at hand".to_owned()
    } else {
        "others lack wheels this tool needs".to_owned()
    }
}

fn artifact(file: &DistFile) -> Result<Artifact, SolveError> {
    Ok(Artifact {
        kind: match file.kind {
            DistKind::Wheel(_) => ArtifactKind::Wheel,
            DistKind::Sdist => ArtifactKind::Sdist,
        },
        file_name: file.file_name.clone(),
        url: file.url.clone(),
        size: file.size,
        sha256: file.sha256.ok_or_else(|| SolveError::NoDigest {
            file: file.file_name.clone(),
        })?,
    })
}
