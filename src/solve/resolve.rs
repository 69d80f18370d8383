//! One resolution: a [`Problem`] in, versions and files out.

use std::collections::{BTreeMap, BTreeSet};

use pubgrub::{DependencyProvider, PubGrubError};

use super::{
    candidates::CandidateSource,
    crawl::Crawl,
    expand::{Expander, Part},
    explain::Explanation,
    package::Participant,
    plan::Requested,
    problem::{Problem, PythonCandidate},
    provider::{Provider, root_version},
    range::{VersionSet, pinned},
};
use crate::{
    index::{DistFile, IndexError, PackageIndex},
    types::{ExtraName, PackageName, Requirement, Version},
};

/// What a [`Problem`] resolves to.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The interpreter.
    pub python: PythonCandidate,
    /// The packages by name.
    pub packages: BTreeMap<PackageName, ResolvedPackage>,
    /// Things worth telling.
    pub notes: Vec<String>,
}

/// One resolved package.
#[derive(Clone, Debug)]
pub struct ResolvedPackage {
    /// Version.
    pub version: Version,
    /// The file that is installed.
    pub file: DistFile,
    /// The newest version there is, if this is not it.
    pub newer: Option<Version>,
    /// Packages of the resolution that it depends on.
    pub dependencies: Vec<PackageName>,
    /// What asked for it.
    pub requested: Vec<Requested>,
}

/// Why a resolution has no result.
#[derive(Debug)]
pub enum ResolveError {
    /// The requirements cannot be met together.
    Unsatisfiable(Box<Explanation>),
    /// The index could not be asked.
    Index(IndexError),
}

/// Resolves a problem. `asker` names who states the requirements of the problem.
pub fn resolve(
    problem: &Problem,
    index: &dyn PackageIndex,
    asker: &str,
) -> Result<Resolution, ResolveError> {
    let source = CandidateSource::new(problem, index);
    let expander = Expander::new(problem);
    let provider = Provider::new(problem, index, &source, &expander);
    // An expander of its own: what the crawl happens to meet must not influence the result.
    let ahead = Expander::new(problem);
    let crawl = Crawl::new(index, &source, &ahead);
    let solve = || {
        loop {
            let outcome = pubgrub::resolve(&provider, Participant::Root, root_version());
            match outcome {
                // A pre-release or a withdrawn release may be asked for by what is looked at after
                // the solver has learned to do without it.
                Err(PubGrubError::NoSolution(_)) if expander.admission.came_late() => {}
                Err(error) => return Err(failure(error, &provider)),
                Ok(selected) => {
                    let selected = selected.into_iter().collect();
                    let sound = withdrawn_are_pinned(problem, index, &source, &expander, &selected)
                        .map_err(ResolveError::Index)?;
                    if sound || !expander.admission.be_strict() {
                        return Ok(selected);
                    }
                }
            }
        }
    };
    let outcome = if index.is_at_hand() {
        solve()
    } else {
        crawl.during(&problem.requirements, solve)
    };
    extract(problem, index, &source, &expander, &outcome?, asker)
}

/// Whether each withdrawn release of a solution is pinned by a requirement of that solution. The
/// one that pinned it may belong to a version that was given up later.
fn withdrawn_are_pinned(
    problem: &Problem,
    index: &dyn PackageIndex,
    source: &CandidateSource<'_>,
    expander: &Expander<'_>,
    selected: &Selected,
) -> Result<bool, IndexError> {
    let at = chosen_python(problem, selected);
    let mut unpinned = BTreeSet::new();
    for (name, version) in packages_of(selected) {
        let candidates = source.of(name)?;
        if source.is_withdrawn(name, &candidates, version)
            && !expander.admission.is_stated(name, version)
        {
            unpinned.insert(name);
        }
    }
    if unpinned.is_empty() {
        return Ok(true);
    }
    let own = expander.expand(&problem.requirements, Part::Base, 1 << at);
    remove_pinned(&mut unpinned, None, own.into_iter().flatten());
    for (name, version) in packages_of(selected) {
        let candidates = source.of(name)?;
        let Some((file, _)) = source.file(name, &candidates, version, at) else {
            continue;
        };
        let metadata = index.metadata(file)?;
        let extras = extras_of(selected, name);
        for part in std::iter::once(Part::Base).chain(extras.iter().map(Part::Extra)) {
            let needs = expander.of_package(&metadata, version, part, 1 << at);
            remove_pinned(&mut unpinned, Some(name), needs.into_iter().flatten());
        }
    }
    Ok(unpinned.is_empty())
}

/// Leaves out what these dependencies pin; what a package says of itself is no reason to take it.
fn remove_pinned(
    unpinned: &mut BTreeSet<&PackageName>,
    by: Option<&PackageName>,
    dependencies: impl Iterator<Item = (Participant, VersionSet)>,
) {
    for (participant, set) in dependencies {
        if let Participant::Package(name) = &participant
            && Some(name) != by
            && pinned(&set).is_some()
        {
            unpinned.remove(name);
        }
    }
}

fn packages_of(selected: &Selected) -> impl Iterator<Item = (&PackageName, &Version)> {
    selected
        .iter()
        .filter_map(|(participant, version)| match participant {
            Participant::Package(name) => Some((name, version)),
            _ => None,
        })
}

/// The place of the chosen interpreter among the candidates.
fn chosen_python(problem: &Problem, selected: &Selected) -> usize {
    let chosen = selected.get(&Participant::Python);
    let mut pythons = problem.pythons.iter();
    let at = pythons.position(|python| Some(python.version()) == chosen);
    at.unwrap_or(0)
}

fn failure(error: PubGrubError<Provider<'_>>, provider: &Provider<'_>) -> ResolveError {
    match error {
        PubGrubError::NoSolution(tree) => {
            ResolveError::Unsatisfiable(Box::new(Explanation::from_derivation(&tree, provider)))
        }
        PubGrubError::ErrorRetrievingDependencies { source, .. }
        | PubGrubError::ErrorChoosingVersion { source, .. }
        | PubGrubError::ErrorInShouldCancel(source) => ResolveError::Index(source),
    }
}

type Selected = BTreeMap<<Provider<'static> as DependencyProvider>::P, Version>;

fn extract(
    problem: &Problem,
    index: &dyn PackageIndex,
    source: &CandidateSource<'_>,
    expander: &Expander<'_>,
    selected: &Selected,
    asker: &str,
) -> Result<Resolution, ResolveError> {
    let at = chosen_python(problem, selected);
    let mut packages = BTreeMap::new();
    let mut requested: BTreeMap<PackageName, Vec<Requested>> = BTreeMap::new();
    let mut notes = Vec::new();
    record(
        &mut requested,
        asker,
        &problem.requirements,
        expander,
        &[],
        at,
    );
    for (name, version) in packages_of(selected) {
        let candidates = source.of(name).map_err(ResolveError::Index)?;
        let Some((file, _)) = source.file(name, &candidates, version, at) else {
            continue;
        };
        let metadata = index.metadata(file).map_err(ResolveError::Index)?;
        let extras = extras_of(selected, name);
        let unknown = |extra: &&ExtraName| !metadata.provides_extra.contains(extra);
        for extra in extras.iter().filter(unknown) {
            notes.push(format!("{name} {version} has no extra named `{extra}`"));
        }
        let forgotten = problem.needs.undeclared(name, version);
        let requirements: Vec<_> = metadata
            .requires_dist
            .iter()
            .chain(forgotten)
            .cloned()
            .collect();
        let needs = record(
            &mut requested,
            name.as_ref(),
            &requirements,
            expander,
            &extras,
            at,
        );
        let dependencies = needs
            .into_iter()
            .filter(|other| {
                other != name && selected.contains_key(&Participant::Package(other.clone()))
            })
            .collect();
        let newer = candidates
            .newest()
            .filter(|newest| *newest > version)
            .cloned();
        packages.insert(
            name.clone(),
            ResolvedPackage {
                version: version.clone(),
                file: DistFile {
                    size: file.size.or(metadata.file_size),
                    sha256: Some(index.digest(file).map_err(ResolveError::Index)?),
                    ..file.clone()
                },
                newer,
                dependencies,
                requested: Vec::new(),
            },
        );
    }
    for (name, package) in &mut packages {
        package.requested = requested.remove(name).unwrap_or_default();
    }
    Ok(Resolution {
        python: problem.pythons[at].clone(),
        packages,
        notes,
    })
}

/// The extras of a package that take part in a solution.
fn extras_of(selected: &Selected, name: &PackageName) -> Vec<ExtraName> {
    let extras = selected.keys().filter_map(|participant| match participant {
        Participant::Extra(of, extra) if of == name => Some(extra.clone()),
        _ => None,
    });
    extras.collect()
}

/// Notes who asks for what on interpreter `at`, and returns the names asked for, sorted.
fn record(
    requested: &mut BTreeMap<PackageName, Vec<Requested>>,
    by: &str,
    requirements: &[Requirement],
    expander: &Expander<'_>,
    extras: &[ExtraName],
    at: usize,
) -> Vec<PackageName> {
    let mut names = BTreeSet::new();
    let parts = std::iter::once(Part::Base).chain(extras.iter().map(Part::Extra));
    for part in parts {
        for requirement in requirements {
            let one = std::slice::from_ref(requirement);
            let Ok(dependencies) = expander.expand(one, part, 1 << at) else {
                continue;
            };
            if dependencies.is_empty() {
                continue;
            }
            names.insert(requirement.name.clone());
            let stated = Requested {
                by: by.to_owned(),
                requirement: without_marker(requirement),
            };
            let known = requested.entry(requirement.name.clone()).or_default();
            if !known.contains(&stated) {
                known.push(stated);
            }
        }
    }
    names.into_iter().collect()
}

fn without_marker(requirement: &Requirement) -> String {
    let mut bare = requirement.clone();
    bare.marker = crate::types::MarkerTree::TRUE;
    bare.to_string()
}
