//! From a tool and a machine to a plan: the accelerator builds in order, each a resolution.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::VersionOrUrl;

use super::{
    Choice, Plan, SolveError,
    accelerators::{self, AcceleratorOption, AcceleratorRequest},
    problem::{Problem, PythonCandidate},
    resolve::{Resolution, ResolveError, resolve},
};
use crate::{
    catalog::manifest::{AcceleratorKind, Manifest, Source},
    compat::torch::TorchFacts,
    host::Host,
    index::{DistFile, DistKind, PackageIndex},
    lock::{Artifact, ArtifactKind, Lock, LockedPackage, LockedTree},
    types::{Accelerator, PackageName, PythonVersion, Requirement, Version, parse_requirement},
};

/// Interpreters in the order of preference when a manifest states none.
const TESTED: [PythonVersion; 6] = [
    PythonVersion::new(3, 12),
    PythonVersion::new(3, 13),
    PythonVersion::new(3, 11),
    PythonVersion::new(3, 10),
    PythonVersion::new(3, 14),
    PythonVersion::new(3, 9),
];

/// What is asked of the solver.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The tool.
    pub manifest: &'a Manifest,
    /// Its text, which the lock keeps.
    pub manifest_text: &'a str,
    /// The machine.
    pub host: &'a Host,
    /// Every interpreter that may be used, in any order.
    pub pythons: Vec<PythonCandidate>,
    /// The source tree with the requirements read from it, for tools that are one.
    pub tree: Option<TreeRequirements>,
    /// `--accel`.
    pub accelerator: Option<AcceleratorRequest>,
    /// `--python`.
    pub python: Option<PythonVersion>,
    /// Packages that may be built besides those of the manifest.
    pub build: BTreeSet<PackageName>,
    /// Build nothing, whatever the manifest allows.
    pub only_wheels: bool,
    /// Requirements added by the user (`aienv add`).
    pub added: Vec<Requirement>,
    /// Constraints from outside the manifest (`-c` files of a source tree).
    pub constraints: Vec<Requirement>,
    /// Versions to keep, exactly (`aienv add` keeps the torch family).
    pub pins: BTreeMap<PackageName, Version>,
    /// Versions to take if they are allowed, before newer ones.
    pub preferences: BTreeMap<PackageName, Vec<Version>>,
}

/// A source tree and what it requires.
#[derive(Clone, Debug)]
pub struct TreeRequirements {
    /// The tree.
    pub tree: LockedTree,
    /// What its requirement files say.
    pub requirements: Vec<Requirement>,
}

/// One try at a plan, without looking for ways out.
pub(super) fn attempt(request: &Request<'_>, index: &dyn PackageIndex) -> Result<Plan, SolveError> {
    let manifest = request.manifest;
    let facts = TorchFacts::embedded();
    let pythons = fitting_pythons(request)?;
    let choices = accelerators::choices(request.host, manifest, request.accelerator, facts);
    let mut notes = Vec::new();
    let mut unreachable: Option<String> = None;
    let mut first_failure = None;
    for option in &choices.options {
        if option.torch_index.is_some() && unreachable.is_some() {
            continue;
        }
        let problem = problem(request, facts, option, pythons.clone())?;
        match resolve(&problem, index, &manifest.name) {
            Ok(resolution) => {
                if let Some(why) = &unreachable {
                    notes.push(format!("{why}; planned with the default index"));
                }
                if option.kind == AcceleratorKind::Cpu && !request.host.gpus.is_empty() {
                    notes.extend(choices.rejected.iter().cloned());
                }
                return finish(request, option, &problem, resolution, facts, notes);
            }
            Err(ResolveError::Index(error))
                if option.torch_index.is_some() && error.is_unreachable() =>
            {
                unreachable = Some(error.to_string());
            }
            Err(ResolveError::Index(error)) => return Err(error.into()),
            Err(ResolveError::Unsatisfiable(explanation)) => {
                first_failure.get_or_insert(explanation);
            }
        }
    }
    match first_failure {
        Some(explanation) => Err(SolveError::NoSolution {
            tool: manifest.name.clone(),
            explanation,
        }),
        None => Err(SolveError::NoAccelerator {
            tool: manifest.name.clone(),
            rejected: choices
                .rejected
                .into_iter()
                .chain(choices.absent.into_iter().map(str::to_owned))
                .chain(unreachable)
                .collect(),
            way_out: None,
        }),
    }
}

/// The interpreters a request may get, most wanted first.
pub fn fitting_pythons(request: &Request<'_>) -> Result<Vec<PythonCandidate>, SolveError> {
    let needs = &request.manifest.python;
    let mut fitting: Vec<_> = request
        .pythons
        .iter()
        .filter(|candidate| {
            needs.requires.contains(candidate.version())
                && request
                    .python
                    .is_none_or(|p| PythonVersion::of(candidate.version()) == Some(p))
        })
        .cloned()
        .collect();
    let rank = |candidate: &PythonCandidate| {
        let short = PythonVersion::of(candidate.version());
        let order = if needs.prefer.is_empty() {
            &TESTED[..]
        } else {
            &needs.prefer[..]
        };
        let tested = TESTED
            .iter()
            .position(|p| Some(*p) == short)
            .unwrap_or(TESTED.len());
        let wanted = order
            .iter()
            .position(|p| Some(*p) == short)
            .unwrap_or(order.len());
        (wanted, tested)
    };
    // Stable, so of two equal versions the one offered first stays first.
    fitting.sort_by(|a, b| {
        rank(a)
            .cmp(&rank(b))
            .then_with(|| b.version().cmp(a.version()))
    });
    let mut seen = BTreeSet::new();
    fitting.retain(|candidate| seen.insert(candidate.version().clone()));
    fitting.truncate(64);
    if fitting.is_empty() {
        let have: BTreeSet<_> = request
            .pythons
            .iter()
            .map(PythonCandidate::version)
            .collect();
        let range = &needs.requires;
        let needs = match request.python {
            Some(python) if range.is_empty() => format!("Python {python} (asked for)"),
            Some(python) => format!("Python {python} (asked for) within {range}"),
            None => format!("Python {range}"),
        };
        return Err(SolveError::NoPython {
            tool: request.manifest.name.clone(),
            needs,
            have: if have.is_empty() {
                "none".to_owned()
            } else {
                let have: Vec<_> = have.iter().map(ToString::to_string).collect();
                have.join(", ")
            },
            way_out: None,
        });
    }
    Ok(fitting)
}

fn problem(
    request: &Request<'_>,
    facts: &TorchFacts,
    option: &AcceleratorOption,
    pythons: Vec<PythonCandidate>,
) -> Result<Problem, SolveError> {
    let manifest = request.manifest;
    let place = format!("the manifest of {}", manifest.name);
    let parse_all = |texts: &[String]| -> Result<Vec<Requirement>, SolveError> {
        texts.iter().map(|text| parse(text, &place)).collect()
    };
    let needs = &manifest.accelerators[&option.kind];
    let mut requirements = Vec::new();
    let mut primary = None;
    if let Source::Index(source) = &manifest.source {
        let extras: Vec<_> = source.extras.iter().chain(&needs.extras).cloned().collect();
        let extras = if extras.is_empty() {
            String::new()
        } else {
            format!("[{}]", extras.join(","))
        };
        // Some tools have a package of their own per accelerator (onnxruntime-gpu).
        let package = needs.package.as_ref().unwrap_or(&source.package);
        let requirement = parse(&format!("{package}{extras} {}", source.version), &place)?;
        primary = Some(requirement.name.clone());
        requirements.push(requirement);
    }
    requirements.extend(parse_all(&manifest.packages.requires)?);
    requirements.extend(parse_all(&needs.requires)?);
    for program in manifest.programs.values() {
        requirements.push(parse(&program.package, &place)?);
    }
    requirements.extend(
        request
            .tree
            .iter()
            .flat_map(|tree| tree.requirements.iter().cloned()),
    );
    requirements.extend(request.added.iter().cloned());
    let mut constraints = parse_all(&manifest.packages.constraints)?;
    constraints.extend(request.constraints.iter().cloned());
    for (name, version) in &request.pins {
        constraints.push(parse(
            &format!("{name}=={version}"),
            "the pins of this tool",
        )?);
    }
    let overrides = parse_all(&manifest.packages.overrides)?;
    let mut direct = BTreeMap::new();
    for requirement in requirements.iter().chain(&constraints).chain(&overrides) {
        if let Some(VersionOrUrl::Url(url)) = &requirement.version_or_url {
            let found = direct_file(requirement, url.as_str())?;
            direct.insert(requirement.name.clone(), found);
        }
    }
    let names = |texts: &[String]| {
        texts
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect::<BTreeSet<_>>()
    };
    let mut build = if request.only_wheels {
        BTreeSet::new()
    } else {
        names(&manifest.packages.build)
    };
    build.extend(request.build.iter().cloned());
    let mut exclusions = BTreeMap::new();
    if let (false, Ok(torch)) = (option.excluded_torch.is_empty(), "torch".parse()) {
        exclusions.insert(torch, option.excluded_torch.clone());
    }
    let linux = request.host.os.family == crate::types::Os::Linux;
    Ok(Problem {
        primary,
        requirements,
        constraints,
        overrides,
        direct,
        build,
        prereleases: names(&manifest.packages.prereleases),
        target: request.host.target(),
        pythons,
        accelerator: option.accelerator,
        torch_index: option.torch_index.clone(),
        torch_family: facts.family.clone(),
        exclusions,
        default_cuda: if linux {
            accelerators::default_cuda(facts)
        } else {
            BTreeMap::new()
        },
        preferences: request.preferences.clone(),
    })
}

/// Reads a requirement, naming the place it stands in on failure.
pub fn parse(text: &str, place: &str) -> Result<Requirement, SolveError> {
    parse_requirement(text).map_err(|source| SolveError::BadRequirement {
        text: text.to_owned(),
        place: place.to_owned(),
        source,
    })
}

fn direct_file(requirement: &Requirement, url: &str) -> Result<(Version, DistFile), SolveError> {
    let bad = |why: &str| SolveError::BadUrl {
        requirement: requirement.to_string(),
        why: why.to_owned(),
    };
    if url.starts_with("git+") {
        return Err(bad(
            "git repositories cannot be installed from; name an archive or a wheel by URL",
        ));
    }
    let (version, file) = DistFile::from_url(url).map_err(|error| bad(&error.to_string()))?;
    if file.sha256.is_none() {
        return Err(bad(
            "a direct URL must end in `#sha256=…`, so that what is downloaded can be verified",
        ));
    }
    Ok((version, file))
}

fn finish(
    request: &Request<'_>,
    option: &AcceleratorOption,
    problem: &Problem,
    resolution: Resolution,
    facts: &TorchFacts,
    mut notes: Vec<String>,
) -> Result<Plan, SolveError> {
    let manifest = request.manifest;
    notes.extend(resolution.notes);
    let torch = resolution
        .packages
        .iter()
        .find(|(name, _)| name.as_ref() == "torch")
        .map(|(_, p)| &p.version);
    let accelerator = actual_accelerator(option, torch, facts);
    let mut choices = vec![
        Choice {
            what: "accelerator".to_owned(),
            chosen: accelerator.to_string(),
            why: option.why.clone(),
        },
        Choice {
            what: "python".to_owned(),
            chosen: resolution.python.version().to_string(),
            why: python_why(manifest, problem, &resolution.python),
        },
    ];
    let version = match &manifest.source {
        Source::Tree(tree) => parse_version(&tree.version),
        Source::Index(_) => problem
            .primary
            .as_ref()
            .and_then(|name| resolution.packages.get(name))
            .map_or_else(|| Version::new([0]), |package| package.version.clone()),
    };
    if let Some(package) = problem
        .primary
        .as_ref()
        .and_then(|name| resolution.packages.get(name))
    {
        let why = match &package.newer {
            Some(newer) => {
                let note = format!(
                    "{} {newer} exists, but does not work here or with its own requirements",
                    manifest.name
                );
                notes.push(note.clone());
                note
            }
            None => "the newest version".to_owned(),
        };
        choices.push(Choice {
            what: manifest.name.clone(),
            chosen: version.to_string(),
            why,
        });
    }
    if accelerator == Accelerator::Cpu
        && option.torch_index.is_none()
        && torch.is_some()
        && !problem.default_cuda.is_empty()
    {
        notes.push(
            "torch comes with its CUDA libraries (about 5 GB unpacked): the index of CPU builds is out of reach".to_owned(),
        );
    }
    let mut packages = Vec::new();
    let mut requested = BTreeMap::new();
    let mut newer = BTreeMap::new();
    for (name, package) in resolution.packages {
        let held = request.preferences.get(&name);
        if let (Some(newer), true) = (
            &package.newer,
            held.is_some_and(|v| v.contains(&package.version)),
        ) {
            notes.push(format!(
                "{name} {} is taken because it is already here; {newer} exists, and `--fresh` ignores what is here",
                package.version
            ));
        }
        packages.push(LockedPackage {
            artifact: artifact(&package.file)?,
            direct: problem.direct.contains_key(&name),
            dependencies: package.dependencies,
            version: package.version,
            name: name.clone(),
        });
        if let Some(version) = package.newer {
            newer.insert(name.clone(), version);
        }
        requested.insert(name, package.requested);
    }
    let lock = Lock {
        tool: manifest.name.clone(),
        version,
        target: problem.target,
        accelerator,
        python: resolution.python.python,
        packages,
        tree: request.tree.as_ref().map(|tree| tree.tree.clone()),
        programs: manifest
            .programs
            .iter()
            .map(|(name, program)| (name.clone(), program.path.clone()))
            .collect(),
        manifest: request.manifest_text.to_owned(),
    };
    Ok(Plan {
        lock,
        choices,
        requested,
        newer,
        notes,
    })
}

/// The accelerator that was really chosen: a default CUDA build names itself by its torch release.
fn actual_accelerator(
    option: &AcceleratorOption,
    torch: Option<&Version>,
    facts: &TorchFacts,
) -> Accelerator {
    let (Accelerator::Cuda(..), None, Some(torch)) =
        (option.accelerator, &option.torch_index, torch)
    else {
        return option.accelerator;
    };
    facts
        .torch
        .iter()
        .find(|release| torch.release().starts_with(release.release.release()))
        .map_or(option.accelerator, accelerators::default_build)
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

fn parse_version(text: &str) -> Version {
    text.parse().unwrap_or_else(|_| Version::new([0]))
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
