//! Small universes of packages in memory, written in a line, with a brute-force solver beside
//! (`oracle`).
#![allow(clippy::unwrap_used, dead_code)]

#[path = "oracle.rs"]
mod oracle;

#[allow(unused_imports)] // the scenarios do not need them
pub use oracle::{Found, Mention};

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use aienv::{
    index::{
        CoreMetadata, DistFile, DistKind, IndexError, IndexId, PackageIndex, Releases, file_name,
    },
    lock::LockedPython,
    solve::{
        AgreementId, HostFact, HostNeed, HostValue, Needs, Problem, PythonCandidate, Resolution,
        ResolveError, resolve, to_set,
    },
    types::{
        Accelerator, Arch, ExtraName, Libc, Os, PackageName, Requirement, Sha256, Target, Version,
        VersionSpecifiers,
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
#[derive(Clone, Default)]
pub struct Universe {
    metadata: BTreeMap<(PackageName, Version), CoreMetadata>,
    yanked: BTreeSet<(PackageName, Version)>,
    /// Tags of the wheels of a release. One without any is a source distribution.
    wheels: BTreeMap<(PackageName, Version), Vec<String>>,
    /// Packages given by URL, with the version that the URL names.
    direct: BTreeMap<PackageName, Version>,
    /// Source distributions are not built.
    only_wheels: bool,
    prereleases: BTreeSet<PackageName>,
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

/// As it is written, so that a failing random one can be read and made a scenario.
impl fmt::Debug for Universe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, version), metadata) in &self.metadata {
            let release = (name.clone(), version.clone());
            write!(f, "\n    {name} {version}")?;
            if self.yanked.contains(&release) {
                f.write_str(" yanked")?;
            }
            for tag in self.wheels.get(&release).into_iter().flatten() {
                write!(f, " {tag}")?;
            }
            for (at, need) in metadata.requires_dist.iter().enumerate() {
                write!(f, "{}{need}", if at == 0 { " -> " } else { ", " })?;
            }
            if let Some(python) = &metadata.requires_python {
                write!(f, " ~ {python}")?;
            }
        }
        let list = |name: &str, items: Vec<String>| match items.is_empty() {
            true => String::new(),
            false => format!("\n    {name}: {}", items.join(", ")),
        };
        let texts = |all: &[Requirement]| all.iter().map(ToString::to_string).collect();
        let names = |all: &BTreeSet<PackageName>| all.iter().map(ToString::to_string).collect();
        let members = self.members.iter();
        let needs = self.host_needs.iter();
        let forgotten = self.undeclared.iter();
        for line in [
            list("constraints", texts(&self.constraints)),
            list("overrides", texts(&self.overrides)),
            list("prereleases", names(&self.prereleases)),
            list(
                "tool",
                self.primary.iter().map(ToString::to_string).collect(),
            ),
            list(
                "agreements",
                members
                    .map(|(id, name, of, value)| format!("{name}{of} {id} {value}"))
                    .collect(),
            ),
            list(
                "host needs",
                needs
                    .map(|(name, of, _, wanted)| format!("{name}{of} {wanted}"))
                    .collect(),
            ),
            list(
                "host",
                self.host.values().map(ToString::to_string).collect(),
            ),
            list(
                "undeclared",
                forgotten
                    .map(|(name, of, needs)| format!("{name}{of} -> {needs}"))
                    .collect(),
            ),
        ] {
            f.write_str(&line)?;
        }
        match self.only_wheels {
            true => f.write_str("\n    only wheels"),
            false => Ok(()),
        }
    }
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
    /// `name version [yanked] [wheel-tag …] [-> needs, needs; marker] [~ requires-python]`,
    /// releases separated by `;` where a new release begins with a name and a version.
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
            for word in &words[2..] {
                match *word {
                    "yanked" => world.yank(words[0], words[1]),
                    tag => world.wheel(words[0], words[1], tag),
                }
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
        // A release of the tool must have the extra it is asked for (`tests/ways.rs`); here all have.
        let provides_extra = ["x", "y", "all"]
            .iter()
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

    /// Withdraws a release.
    pub fn yank(&mut self, name: &str, version: &str) {
        self.yanked
            .insert((name.parse().unwrap(), version.parse().unwrap()));
    }

    /// A release has a wheel with this tag.
    pub fn wheel(&mut self, name: &str, version: &str, tag: &str) {
        let release = (name.parse().unwrap(), version.parse().unwrap());
        self.wheels.entry(release).or_default().push(tag.to_owned());
    }

    /// Nothing is built from source.
    pub fn only_wheels(mut self) -> Self {
        self.only_wheels = true;
        self
    }

    /// Pre-releases of these packages are fine.
    pub fn prereleases(mut self, names: &[&str]) -> Self {
        self.prereleases = names.iter().map(|name| name.parse().unwrap()).collect();
        self
    }

    /// A release of the universe is what its URL names, see [`url`](Self::url).
    pub fn direct(mut self, name: &str, version: &str) -> Self {
        self.direct
            .insert(name.parse().unwrap(), version.parse().unwrap());
        self
    }

    /// The URL of the source distribution of a release.
    pub fn url(name: &str, version: &str) -> String {
        format!("https://files.example/{name}-{version}.tar.gz")
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

    /// Whether an override speaks of a package.
    pub fn is_overridden(&self, name: &PackageName) -> bool {
        self.overrides.iter().any(|one| one.name == *name)
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
            direct: self
                .direct
                .iter()
                .map(|(name, version)| {
                    let file = self.files(name, version).remove(0);
                    (name.clone(), (version.clone(), file))
                })
                .collect(),
            build: match self.only_wheels {
                true => BTreeSet::new(),
                false => self.metadata.keys().map(|(name, _)| name.clone()).collect(),
            },
            prereleases: self.prereleases.clone(),
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
}

impl Universe {
    /// The files of a release.
    fn files(&self, name: &PackageName, version: &Version) -> Vec<DistFile> {
        let release = (name.clone(), version.clone());
        let names = match self.wheels.get(&release) {
            None => vec![format!("{name}-{version}.tar.gz")],
            Some(tags) => {
                let stem = name.as_dist_info_name();
                let wheel = |tag| format!("{stem}-{version}-{tag}.whl");
                tags.iter().map(wheel).collect()
            }
        };
        let file = |file_name: String| DistFile {
            url: format!("https://files.example/{file_name}"),
            kind: match file_name::parse(&file_name, name) {
                Some((_, kind)) => kind,
                None => DistKind::Sdist,
            },
            sha256: Some(Sha256::of(&file_name)),
            size: None,
            requires_python: None,
            yanked: self.yanked.contains(&release).then(String::new),
            metadata_file: None,
            file_name,
        };
        names.into_iter().map(file).collect()
    }
}

impl PackageIndex for Universe {
    fn releases(
        &self,
        _index: &IndexId,
        package: &PackageName,
    ) -> Result<Arc<Releases>, IndexError> {
        let releases = self.metadata.keys().filter(|(name, _)| name == package);
        let versions: BTreeMap<_, _> = releases
            .map(|(name, version)| (version.clone(), self.files(name, version)))
            .collect();
        if versions.is_empty() {
            return Err(IndexError::NotFound {
                package: package.clone(),
                index: "the universe".to_owned(),
            });
        }
        Ok(Arc::new(Releases { versions }))
    }

    fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
        let (_, metadata) = self
            .metadata
            .iter()
            .find(|((name, version), _)| self.files(name, version).contains(file))
            .unwrap();
        Ok(Arc::new(metadata.clone()))
    }
}
