//! What a solution is, without a solver: every combination of interpreter and versions is tried.
//!
//! Nothing here uses the resolver's own sets of versions, its reading of file names or its
//! treatment of markers; only the two libraries that read specifiers and markers are shared.

use std::collections::{BTreeMap, BTreeSet};

use aienv::{
    solve::{Resolution, marker_environment},
    types::{ExtraName, MarkerEnvironment, PackageName, Requirement, Version},
};
use pep508_rs::VersionOrUrl;

use super::{TARGET, Universe};

/// Versions by package.
pub type Chosen = BTreeMap<PackageName, Version>;

/// A solution on one interpreter.
#[derive(Clone, Debug)]
pub struct Found {
    /// Place among the candidate interpreters.
    pub python: usize,
    /// Versions by package.
    pub chosen: Chosen,
}

/// A requirement that is reached.
struct Active {
    requirement: Requirement,
    /// It is a package's requirement on itself.
    own: bool,
}

/// Who may ask for a pre-release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mention {
    /// The tool's own requirements and constraints.
    Stated,
    /// Any requirement of the universe.
    Anybody,
}

impl Universe {
    /// Every solution.
    pub fn brute_force(&self, roots: &[&str], mention: Mention) -> Vec<Found> {
        let names: BTreeSet<_> = self.metadata.keys().map(|(name, _)| name).collect();
        let names: Vec<&PackageName> = names.into_iter().collect();
        let mut found = Vec::new();
        for python in 0..self.python_versions().len() {
            let mut tried = Found {
                python,
                chosen: Chosen::new(),
            };
            self.enumerate(roots, mention, &names, &mut tried, &mut found);
        }
        found
    }

    fn enumerate(
        &self,
        roots: &[&str],
        mention: Mention,
        names: &[&PackageName],
        tried: &mut Found,
        found: &mut Vec<Found>,
    ) {
        let Some((name, rest)) = names.split_first() else {
            if self.is_solution(roots, mention, tried) {
                found.push(tried.clone());
            }
            return;
        };
        self.enumerate(roots, mention, rest, tried, found);
        for (_, version) in self.metadata.keys().filter(|(of, _)| of == *name) {
            tried.chosen.insert((*name).clone(), version.clone());
            self.enumerate(roots, mention, rest, tried, found);
            tried.chosen.remove(*name);
        }
    }

    /// What was found by a resolution.
    pub fn found(&self, resolution: &Resolution) -> Found {
        let python = resolution.python.version();
        let packages = resolution.packages.iter();
        Found {
            python: self
                .python_versions()
                .iter()
                .position(|candidate| candidate == python)
                .unwrap(),
            chosen: packages
                .map(|(name, package)| (name.clone(), package.version.clone()))
                .collect(),
        }
    }

    /// Whether every requirement is met and nothing is there that nobody asked for.
    pub fn is_solution(&self, roots: &[&str], mention: Mention, found: &Found) -> bool {
        self.fits(roots, mention, found)
            .is_some_and(|reached| reached.len() == found.chosen.len())
    }

    /// The packages reached from the roots, if all that is reached fits together.
    pub fn fits(
        &self,
        roots: &[&str],
        mention: Mention,
        found: &Found,
    ) -> Option<BTreeSet<PackageName>> {
        let python = &self.python_versions()[found.python];
        let active = self.active(roots, python, &found.chosen)?;
        for name in active.keys() {
            let version = &found.chosen[name];
            let fits = self.is_installable(name, version, python)
                && active[name]
                    .iter()
                    .all(|one| admits(&one.requirement, version))
                && self.is_admissible(roots, mention, &active[name], name, version)
                && self.fits_host(name, version);
            if !fits {
                return None;
            }
        }
        self.agree_with_each_other(&found.chosen, active.keys())
            .then(|| active.into_keys().collect())
    }

    /// All requirements that are reached, by package; `None` when one is not there at all.
    fn active(
        &self,
        roots: &[&str],
        python: &Version,
        chosen: &Chosen,
    ) -> Option<BTreeMap<PackageName, Vec<Active>>> {
        let environment = marker_environment(&TARGET, python);
        let mut active: BTreeMap<PackageName, Vec<Active>> = BTreeMap::new();
        let mut done = BTreeSet::new();
        let roots: Vec<Requirement> = roots.iter().map(|root| root.parse().unwrap()).collect();
        let with = |by: Option<&PackageName>, requirements: Vec<Requirement>| {
            let by = by.cloned();
            requirements.into_iter().map(move |requirement| Active {
                own: by.as_ref() == Some(&requirement.name),
                requirement,
            })
        };
        let stated = self.stated(roots.iter(), None, &environment);
        let mut todo: Vec<Active> = with(None, stated).collect();
        while let Some(one) = todo.pop() {
            let requirement = &one.requirement;
            let name = requirement.name.clone();
            let version = chosen.get(&name)?;
            let parts = std::iter::once(None).chain(requirement.extras.iter().cloned().map(Some));
            for part in parts.filter(|part| done.insert((name.clone(), part.clone()))) {
                let metadata = &self.metadata[&(name.clone(), version.clone())];
                let forgotten = self.undeclared.iter();
                let forgotten = forgotten
                    .filter(|(of, versions, _)| *of == name && versions.contains(version))
                    .map(|(_, _, requirement)| requirement);
                let all = metadata.requires_dist.iter().chain(forgotten);
                let stated = self.stated(all, part.as_ref(), &environment);
                todo.extend(with(Some(&name), stated));
            }
            active.entry(name).or_default().push(one);
        }
        for constraint in &self.constraints {
            if constraint.marker.evaluate(&environment, &[])
                && let Some(requirements) = active.get_mut(&constraint.name)
            {
                requirements.push(Active {
                    requirement: constraint.clone(),
                    own: false,
                });
            }
        }
        Some(active)
    }

    /// The requirements that hold, after the overrides.
    fn stated<'r>(
        &self,
        requirements: impl Iterator<Item = &'r Requirement>,
        extra: Option<&ExtraName>,
        environment: &MarkerEnvironment,
    ) -> Vec<Requirement> {
        let extras = extra.map_or(&[][..], std::slice::from_ref);
        let mut stated = Vec::new();
        for requirement in requirements.filter(|r| r.marker.evaluate(environment, extras)) {
            let overrides = self.overrides.iter();
            let mut overrides = overrides.filter(|o| o.name == requirement.name).peekable();
            if overrides.peek().is_none() {
                stated.push(requirement.clone());
            }
            for replacement in overrides.filter(|o| o.marker.evaluate(environment, &[])) {
                let mut replacement = replacement.clone();
                replacement.extras.extend(requirement.extras.clone());
                stated.push(replacement);
            }
        }
        stated
    }

    fn is_installable(&self, name: &PackageName, version: &Version, python: &Version) -> bool {
        let release = (name.clone(), version.clone());
        let requires = &self.metadata[&release].requires_python;
        let has_file = match self.wheels.get(&release) {
            None => !self.only_wheels,
            Some(tags) => tags.iter().any(|tag| is_for(tag, python)),
        };
        has_file && requires.as_ref().is_none_or(|r| r.contains(python))
    }

    /// Whether a withdrawn release is pinned, and a pre-release asked for or all there is.
    fn is_admissible(
        &self,
        roots: &[&str],
        mention: Mention,
        active: &[Active],
        name: &PackageName,
        version: &Version,
    ) -> bool {
        // What a package says of itself is no reason to take it.
        let others = || {
            active
                .iter()
                .filter(|one| !one.own)
                .map(|one| &one.requirement)
        };
        let withdrawn = self.yanked.contains(&(name.clone(), version.clone()));
        if withdrawn && !others().any(pins) {
            return false;
        }
        !version.any_prerelease()
            || self.welcomes_prereleases(roots, name)
            || match mention {
                Mention::Stated => false,
                Mention::Anybody => {
                    let all = self.metadata.values().flat_map(|m| &m.requires_dist);
                    let forgotten = self
                        .undeclared
                        .iter()
                        .map(|(_, _, requirement)| requirement);
                    let roots: Vec<Requirement> =
                        roots.iter().map(|root| root.parse().unwrap()).collect();
                    let own = roots.iter().chain(&self.constraints).chain(&self.overrides);
                    let mut of = all.chain(forgotten).chain(own).filter(|r| r.name == *name);
                    of.any(mentions_prerelease)
                }
            }
    }

    /// Whether pre-releases of a package count like other releases: by permission, because there
    /// is nothing else, or because the tool's own requirements name one.
    pub fn welcomes_prereleases(&self, roots: &[&str], name: &PackageName) -> bool {
        let mut versions = self.metadata.keys().filter(|(of, _)| of == name);
        self.prereleases.contains(name)
            || versions.all(|(_, version)| version.any_prerelease())
            || self
                .said_by_the_tool(roots, name)
                .iter()
                .any(mentions_prerelease)
    }

    /// What requirements, constraints and overrides of the tool say of a package on every one of
    /// the interpreters.
    fn said_by_the_tool(&self, roots: &[&str], name: &PackageName) -> Vec<Requirement> {
        let roots = roots
            .iter()
            .map(|root| root.parse::<Requirement>().unwrap());
        let overridden = self.overrides.iter().any(|o| o.name == *name);
        let own = roots.filter(|_| !overridden);
        let others = self.constraints.iter().chain(&self.overrides).cloned();
        let holds = |one: &Requirement| {
            self.python_versions().iter().all(|python| {
                one.marker
                    .evaluate(&marker_environment(&TARGET, python), &[])
            })
        };
        own.chain(others)
            .filter(|one| one.name == *name && holds(one))
            .collect()
    }

    /// Whether a solution holds no withdrawn release but those that the tool itself pins.
    pub fn is_plain(&self, roots: &[&str], found: &Found) -> bool {
        found.chosen.iter().all(|(name, version)| {
            let withdrawn = self.yanked.contains(&(name.clone(), version.clone()));
            !withdrawn || self.said_by_the_tool(roots, name).iter().any(pins)
        })
    }

    /// Whether the host has what a version of a package needs.
    fn fits_host(&self, name: &PackageName, version: &Version) -> bool {
        let needs = self.host_needs.iter();
        needs
            .filter(|(of, versions, _, _)| of == name && versions.contains(version))
            .all(|(_, _, fact, wanted)| {
                self.host
                    .get(fact)
                    .is_some_and(|value| wanted.contains(value))
            })
    }

    fn agree_with_each_other<'n>(
        &self,
        chosen: &Chosen,
        names: impl Iterator<Item = &'n PackageName>,
    ) -> bool {
        let mut agreed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for name in names {
            let members = self.members.iter();
            let of_this = members
                .filter(|(_, of, versions, _)| of == name && versions.contains(&chosen[name]));
            for (id, _, _, value) in of_this {
                let values: BTreeSet<&str> = value.split('|').collect();
                let left = agreed.entry(id).or_insert_with(|| values.clone());
                left.retain(|value| values.contains(value));
                if left.is_empty() {
                    return false;
                }
            }
        }
        true
    }

    /// The versions of a package that a resolver should take before `version`, if they fit.
    pub fn better(&self, roots: &[&str], name: &PackageName, version: &Version) -> Vec<Version> {
        let equal = self.welcomes_prereleases(roots, name);
        // A pre-release that only a dependency asks for comes after everything else.
        let rank = |version: &Version| (equal || !version.any_prerelease(), version.clone());
        let versions = self.metadata.keys().filter(|(of, _)| of == name);
        versions
            .map(|(_, other)| other.clone())
            .filter(|other| rank(other) > rank(version))
            .collect()
    }
}

/// Whether a wheel with a tag can be installed on 64-bit Linux with this CPython.
fn is_for(tag: &str, python: &Version) -> bool {
    let release = python.release();
    let own = format!("cp{}{}", release[0], release[1]);
    match tag.split('-').collect::<Vec<_>>()[..] {
        ["py3", "none", "any"] => true,
        [interpreter, abi, "manylinux_2_17_x86_64"] => interpreter == own && abi == own,
        [_, _, "win_amd64"] => false,
        _ => panic!("the oracle does not know `{tag}`"),
    }
}

fn specifiers(requirement: &Requirement) -> impl Iterator<Item = &pep440_rs::VersionSpecifier> {
    match &requirement.version_or_url {
        Some(VersionOrUrl::VersionSpecifier(specifiers)) => Some(specifiers.iter()),
        _ => None,
    }
    .into_iter()
    .flatten()
}

fn admits(requirement: &Requirement, version: &Version) -> bool {
    specifiers(requirement).all(|one| one.contains(version))
}

fn pins(requirement: &Requirement) -> bool {
    specifiers(requirement).any(|one| *one.operator() == pep440_rs::Operator::Equal)
}

fn mentions_prerelease(requirement: &Requirement) -> bool {
    specifiers(requirement)
        .any(|one| one.any_prerelease() && *one.operator() != pep440_rs::Operator::NotEqual)
}
