//! Small universes of packages in memory, written in a line, with a brute-force solver beside.
#![allow(clippy::unwrap_used, dead_code)]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aienv::{
    index::{CoreMetadata, DistFile, DistKind, IndexError, IndexId, PackageIndex, Releases},
    lock::LockedPython,
    solve::{
        AgreementId, HostFact, HostNeed, HostValue, Needs, Problem, PythonCandidate, Resolution,
        ResolveError, marker_environment, resolve, to_set,
    },
    types::{
        Accelerator, Arch, ExtraName, Libc, MarkerEnvironment, Os, PackageName, Requirement,
        Sha256, Target, Version, VersionSpecifiers,
    },
};

const TARGET: Target = Target {
    os: Os::Linux,
    arch: Arch::X86_64,
    libc: Some(Libc::Glibc {
        major: 2,
        minor: 36,
    }),
    macos: None,
};

/// Versions by package name.
pub type Solution = BTreeMap<String, String>;

/// Packages in memory, and how they are asked for.
#[derive(Clone, Debug, Default)]
pub struct Universe {
    metadata: BTreeMap<(PackageName, Version), CoreMetadata>,
    yanked: BTreeSet<(PackageName, Version)>,
    pythons: Vec<Version>,
    primary: Option<PackageName>,
    constraints: Vec<Requirement>,
    overrides: Vec<Requirement>,
    preferences: BTreeMap<PackageName, Vec<Version>>,
    /// Agreement, package, its versions, value.
    members: Vec<(String, PackageName, VersionSpecifiers, String)>,
    host: BTreeMap<HostFact, Version>,
    /// Package, its versions, what it needs of the host.
    host_needs: Vec<(PackageName, VersionSpecifiers, HostFact, VersionSpecifiers)>,
    undeclared: Vec<(PackageName, VersionSpecifiers, Requirement)>,
}

/// `a 2.0, b 1.5` as a solution.
pub fn solution(text: &str) -> Solution {
    let pair = |item: &str| {
        let (name, version) = item.trim().split_once(' ').unwrap();
        (name.to_owned(), version.to_owned())
    };
    text.split(", ").map(pair).collect()
}

/// The versions of a resolution.
pub fn versions(resolution: &Resolution) -> Solution {
    resolution
        .packages
        .iter()
        .map(|(name, p)| (name.to_string(), p.version.to_string()))
        .collect()
}

impl Universe {
    /// `name version [yanked] [-> needs, needs; marker] [~ requires-python]`, releases separated by
    /// `;` where a new release begins with a name and a version.
    pub fn parse(text: &str) -> Self {
        let mut world = Self::default();
        let mut releases: Vec<String> = Vec::new();
        for piece in text.split("; ") {
            let mut words = piece.split_whitespace();
            let begins = words.next().is_some()
                && words
                    .next()
                    .is_some_and(|word| word.parse::<Version>().is_ok());
            match releases.last_mut() {
                Some(last) if !begins => *last = format!("{last}; {piece}"),
                _ => releases.push(piece.to_owned()),
            }
        }
        for release in releases {
            let (release, python) = release.split_once(" ~ ").unwrap_or((&release, ""));
            let (head, needs) = release.split_once(" -> ").unwrap_or((release, ""));
            let words: Vec<_> = head.split_whitespace().collect();
            let needs: Vec<String> = needs
                .split(", ")
                .filter(|n| !n.is_empty())
                .map(str::to_owned)
                .collect();
            world.release(words[0], words[1], &needs, python);
            if words.get(2) == Some(&"yanked") {
                world
                    .yanked
                    .insert((words[0].parse().unwrap(), words[1].parse().unwrap()));
            }
        }
        world
    }

    /// Adds a release.
    pub fn release(&mut self, name: &str, version: &str, needs: &[String], python: &str) {
        let name: PackageName = name.parse().unwrap();
        let version: Version = version.parse().unwrap();
        let requires_dist: Vec<Requirement> =
            needs.iter().map(|need| need.parse().unwrap()).collect();
        let provides_extra = ["x", "y", "all"]
            .iter()
            .filter(|extra| {
                needs
                    .iter()
                    .any(|need| need.contains(&format!("extra == '{extra}'")))
            })
            .map(|extra| extra.parse::<ExtraName>().unwrap())
            .collect();
        self.metadata.insert(
            (name.clone(), version.clone()),
            CoreMetadata {
                name,
                version,
                requires_dist,
                requires_python: (!python.is_empty()).then(|| python.parse().unwrap()),
                provides_extra,
                file_size: None,
            },
        );
    }

    pub fn pythons(mut self, versions: &[&str]) -> Self {
        self.pythons = versions.iter().map(|v| v.parse().unwrap()).collect();
        self
    }

    pub fn primary(mut self, name: &str) -> Self {
        self.primary = Some(name.parse().unwrap());
        self
    }

    pub fn constraints(mut self, texts: &[&str]) -> Self {
        self.constraints = texts.iter().map(|t| t.parse().unwrap()).collect();
        self
    }

    pub fn overrides(mut self, texts: &[&str]) -> Self {
        self.overrides = texts.iter().map(|t| t.parse().unwrap()).collect();
        self
    }

    pub fn preferences(mut self, name: &str, versions: &[&str]) -> Self {
        let versions = versions.iter().map(|v| v.parse().unwrap()).collect();
        self.preferences.insert(name.parse().unwrap(), versions);
        self
    }

    /// Versions of a package have one of these values (`x|y`) in an agreement.
    pub fn agree(mut self, id: &str, name: &str, versions: &str, value: &str) -> Self {
        let versions = versions.parse().unwrap();
        let name = name.parse().unwrap();
        self.members
            .push((id.to_owned(), name, versions, value.to_owned()));
        self
    }

    /// What the host has.
    pub fn host(mut self, fact: HostFact, version: &str) -> Self {
        self.host.insert(fact, version.parse().unwrap());
        self
    }

    /// What versions of a package need of the host.
    pub fn host_need(mut self, name: &str, versions: &str, fact: HostFact, wanted: &str) -> Self {
        self.host_needs.push((
            name.parse().unwrap(),
            versions.parse().unwrap(),
            fact,
            wanted.parse().unwrap(),
        ));
        self
    }

    /// What versions of a package need and their metadata does not say.
    pub fn undeclared(mut self, name: &str, versions: &str, requirement: &str) -> Self {
        self.undeclared.push((
            name.parse().unwrap(),
            versions.parse().unwrap(),
            requirement.parse().unwrap(),
        ));
        self
    }

    fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for (fact, version) in &self.host {
            let value = HostValue {
                version: version.clone(),
                owner: "this machine".to_owned(),
            };
            needs.host.insert(*fact, value);
        }
        for (name, versions, fact, wanted) in &self.host_needs {
            needs.add_host_need(
                name.clone(),
                HostNeed {
                    versions: to_set(versions),
                    origin: None,
                    fact: *fact,
                    wanted: to_set(wanted),
                    because: String::new(),
                },
            );
        }
        for (id, name, versions, value) in &self.members {
            let id = AgreementId::from(id.as_str());
            needs.add_agreement(id.clone(), "is made for {value}", "members must be alike");
            let values = value.split('|');
            needs.add_member(&id, name.clone(), to_set(versions), None, values);
        }
        for (name, versions, requirement) in &self.undeclared {
            needs.add_undeclared(name.clone(), to_set(versions), requirement.clone());
        }
        needs
    }

    fn python_versions(&self) -> Vec<Version> {
        if self.pythons.is_empty() {
            vec!["3.12.4".parse().unwrap()]
        } else {
            self.pythons.clone()
        }
    }

    fn problem(&self, roots: &[&str]) -> Problem {
        Problem {
            primary: self.primary.clone(),
            requirements: roots.iter().map(|root| root.parse().unwrap()).collect(),
            constraints: self.constraints.clone(),
            overrides: self.overrides.clone(),
            direct: BTreeMap::new(),
            build: self.metadata.keys().map(|(name, _)| name.clone()).collect(),
            prereleases: BTreeSet::new(),
            target: TARGET,
            pythons: self
                .python_versions()
                .into_iter()
                .map(|version| PythonCandidate {
                    python: LockedPython::System {
                        version,
                        path: "python".into(),
                        sha256: None,
                    },
                    freethreaded: false,
                })
                .collect(),
            accelerator: Accelerator::Cpu,
            torch_index: None,
            torch_family: BTreeSet::new(),
            needs: self.needs(),
            preferences: self.preferences.clone(),
        }
    }

    /// Resolves; the error is what a person would read.
    pub fn resolve(&self, roots: &[&str]) -> Result<Resolution, String> {
        resolve(&self.problem(roots), self, "the test").map_err(|error| match error {
            ResolveError::Unsatisfiable(explanation) => explanation.to_string(),
            ResolveError::Index(error) => error.to_string(),
        })
    }

    /// Like [`resolve`](Self::resolve), the versions only.
    pub fn solve(&self, roots: &[&str]) -> Result<Solution, String> {
        self.resolve(roots).map(|resolution| versions(&resolution))
    }

    /// Whether a resolution meets every requirement and holds nothing that nobody asked for.
    pub fn is_solution(&self, roots: &[&str], resolution: &Resolution) -> bool {
        let python = resolution.python.version();
        let chosen: BTreeMap<PackageName, Version> = resolution
            .packages
            .iter()
            .map(|(n, p)| (n.clone(), p.version.clone()))
            .collect();
        self.reached(roots, python, &chosen)
            .is_some_and(|reached| reached == chosen.keys().cloned().collect())
    }

    /// Every solution, by trying every combination of interpreter and versions.
    pub fn brute_force(&self, roots: &[&str]) -> Vec<Solution> {
        let names: Vec<PackageName> = {
            let all: BTreeSet<_> = self.metadata.keys().map(|(name, _)| name.clone()).collect();
            all.into_iter().collect()
        };
        let mut found = Vec::new();
        for python in self.python_versions() {
            let mut chosen = BTreeMap::new();
            self.enumerate(roots, &python, &names, &mut chosen, &mut found);
        }
        found
    }

    fn enumerate(
        &self,
        roots: &[&str],
        python: &Version,
        names: &[PackageName],
        chosen: &mut BTreeMap<PackageName, Version>,
        found: &mut Vec<Solution>,
    ) {
        let Some((name, rest)) = names.split_first() else {
            if let Some(reached) = self.reached(roots, python, chosen) {
                let picked = chosen.iter().filter(|(name, _)| reached.contains(name));
                found.push(
                    picked
                        .map(|(n, v)| (n.to_string(), v.to_string()))
                        .collect(),
                );
            }
            return;
        };
        self.enumerate(roots, python, rest, chosen, found);
        for (_, version) in self.metadata.keys().filter(|(of, _)| of == name) {
            chosen.insert(name.clone(), version.clone());
            self.enumerate(roots, python, rest, chosen, found);
            chosen.remove(name);
        }
    }

    /// The packages reached from the roots if all that is reached is consistent.
    fn reached(
        &self,
        roots: &[&str],
        python: &Version,
        chosen: &BTreeMap<PackageName, Version>,
    ) -> Option<BTreeSet<PackageName>> {
        let environment = marker_environment(&TARGET, python);
        let mut reached = BTreeSet::new();
        let mut agreed: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut done: BTreeSet<(PackageName, Option<ExtraName>)> = BTreeSet::new();
        let mut todo: Vec<Requirement> = roots
            .iter()
            .map(|root| root.parse::<Requirement>().unwrap())
            .filter(|root| root.marker.evaluate(&environment, &[]))
            .collect();
        while let Some(requirement) = todo.pop() {
            let version = chosen.get(&requirement.name)?;
            let metadata = &self.metadata[&(requirement.name.clone(), version.clone())];
            if !admits(&requirement, version)
                || metadata
                    .requires_python
                    .as_ref()
                    .is_some_and(|requires| !requires.contains(python))
            {
                return None;
            }
            if !self.fits_host(&requirement.name, version) {
                return None;
            }
            let members = self.members.iter();
            for (id, _, _, value) in
                members.filter(|(_, name, of, _)| *name == requirement.name && of.contains(version))
            {
                let values: BTreeSet<&str> = value.split('|').collect();
                let left = agreed.entry(id).or_insert_with(|| values.clone());
                left.retain(|value| values.contains(value));
                if left.is_empty() {
                    return None;
                }
            }
            reached.insert(requirement.name.clone());
            let parts = std::iter::once(None).chain(requirement.extras.iter().cloned().map(Some));
            for part in parts {
                if done.insert((requirement.name.clone(), part.clone())) {
                    let forgotten = self.undeclared.iter();
                    let forgotten = forgotten
                        .filter(|(name, of, _)| *name == requirement.name && of.contains(version))
                        .map(|(_, _, requirement)| requirement);
                    let stated = metadata.requires_dist.iter().chain(forgotten);
                    todo.extend(needs(stated, part.as_ref(), &environment));
                }
            }
        }
        Some(reached)
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
}

fn needs<'r>(
    requirements: impl Iterator<Item = &'r Requirement>,
    extra: Option<&ExtraName>,
    environment: &MarkerEnvironment,
) -> Vec<Requirement> {
    let holds = |requirement: &&Requirement| match extra {
        None => requirement.marker.evaluate(environment, &[]),
        Some(extra) => requirement
            .marker
            .evaluate(environment, std::slice::from_ref(extra)),
    };
    requirements.filter(holds).cloned().collect()
}

fn admits(requirement: &Requirement, version: &Version) -> bool {
    match &requirement.version_or_url {
        Some(pep508_rs::VersionOrUrl::VersionSpecifier(specifiers)) => specifiers.contains(version),
        _ => true,
    }
}

impl PackageIndex for Universe {
    fn releases(
        &self,
        _index: &IndexId,
        package: &PackageName,
    ) -> Result<Arc<Releases>, IndexError> {
        let mut releases = Releases::default();
        for (name, version) in self.metadata.keys().filter(|(name, _)| name == package) {
            let file = DistFile {
                file_name: format!("{name}-{version}.tar.gz"),
                url: format!("https://files.example/{name}-{version}.tar.gz"),
                kind: DistKind::Sdist,
                sha256: Some(Sha256::of(format!("{name} {version}"))),
                size: None,
                requires_python: None,
                yanked: self
                    .yanked
                    .contains(&(name.clone(), version.clone()))
                    .then(String::new),
                metadata_file: None,
            };
            releases.versions.insert(version.clone(), vec![file]);
        }
        if releases.versions.is_empty() {
            return Err(IndexError::NotFound {
                package: package.clone(),
                index: "the universe".to_owned(),
            });
        }
        Ok(Arc::new(releases))
    }

    fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
        let found = self
            .metadata
            .values()
            .find(|m| file.file_name == format!("{}-{}.tar.gz", m.name, m.version))
            .unwrap();
        Ok(Arc::new(found.clone()))
    }
}
