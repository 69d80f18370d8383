//! From a request and one accelerator build to the problem that is resolved.

use std::collections::{BTreeMap, BTreeSet};

use pep508_rs::VersionOrUrl;

use super::{
    Request, SolveError,
    accelerators::AcceleratorOption,
    gather::{self, Tables},
    problem::{Problem, PythonCandidate},
};
use crate::{
    catalog::manifest::{AcceleratorNeeds, Source},
    compat::torch::TorchFacts,
    index::DistFile,
    types::{PackageName, Requirement, Version, parse_requirement},
};

/// The problem of a request on one accelerator build.
pub fn problem(
    request: &Request<'_>,
    facts: &TorchFacts,
    option: &AcceleratorOption,
    pythons: Vec<PythonCandidate>,
) -> Result<Problem, SolveError> {
    let manifest = request.manifest;
    let place = format!("the manifest of {}", manifest.name);
    let needs = &manifest.accelerators[&option.kind];
    let (primary, requirements) = requirements(request, needs, &place)?;
    let mut constraints = parse_all(&manifest.packages.constraints, &place)?;
    constraints.extend(request.constraints.iter().cloned());
    for (name, version) in &request.pins {
        let text = format!("{name}=={version}");
        constraints.push(parse(&text, "the pins of this tool")?);
    }
    let mut overrides = parse_all(&manifest.packages.overrides, &place)?;
    let tables = Tables::embedded();
    for package in gather::provided(option, tables.extensions) {
        // What the manifest says of it counts more.
        if overrides.iter().all(|stated| stated.name != package) {
            overrides.push(never(&package, &place)?);
        }
    }
    let mut direct = BTreeMap::new();
    for requirement in requirements.iter().chain(&constraints).chain(&overrides) {
        if let Some(VersionOrUrl::Url(url)) = &requirement.version_or_url {
            let found = direct_file(requirement, url.as_str())?;
            direct.insert(requirement.name.clone(), found);
        }
    }
    let mut preferences = request.preferences.clone();
    // The tool itself is always the newest that works; what is shared is what lies below it.
    preferences.retain(|name, _| Some(name) != primary.as_ref());
    Ok(Problem {
        primary,
        requirements,
        constraints,
        overrides,
        direct,
        build: buildable(request),
        prereleases: names(&manifest.packages.prereleases),
        target: request.host.target(),
        pythons,
        accelerator: option.accelerator,
        torch_index: option.torch_index.clone(),
        torch_family: facts.family.clone(),
        needs: gather::needs(request.host, option, &tables),
        preferences,
    })
}

/// A requirement that holds nowhere: as an override it drops every requirement on a package.
fn never(package: &PackageName, place: &str) -> Result<Requirement, SolveError> {
    parse(&format!("{package}; python_version < '0'"), place)
}

/// Everything the tool requires, and the package that it is itself.
fn requirements(
    request: &Request<'_>,
    needs: &AcceleratorNeeds,
    place: &str,
) -> Result<(Option<PackageName>, Vec<Requirement>), SolveError> {
    let manifest = request.manifest;
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
        let requirement = parse(&format!("{package}{extras} {}", source.version), place)?;
        primary = Some(requirement.name.clone());
        requirements.push(requirement);
    }
    requirements.extend(parse_all(&manifest.packages.requires, place)?);
    requirements.extend(parse_all(&needs.requires, place)?);
    for program in manifest.programs.values() {
        requirements.push(parse(&program.package, place)?);
    }
    if let Some(tree) = &request.tree {
        requirements.extend(tree.requirements.iter().cloned());
    }
    requirements.extend(request.added.iter().cloned());
    Ok((primary, requirements))
}

/// The packages that a request allows to be built from source.
pub fn buildable(request: &Request<'_>) -> BTreeSet<PackageName> {
    let mut build = if request.only_wheels {
        BTreeSet::new()
    } else {
        names(&request.manifest.packages.build)
    };
    build.extend(request.build.iter().cloned());
    build
}

/// The package names of a list; lint has seen to it that they are names.
fn names(texts: &[String]) -> BTreeSet<PackageName> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn parse_all(texts: &[String], place: &str) -> Result<Vec<Requirement>, SolveError> {
    texts.iter().map(|text| parse(text, place)).collect()
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
