//! What a set of packages requires, followed from the tool's manifest: markers, extras, overrides
//! and constraints, by PEP 508's rules and without the solver.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use aienv::{
    catalog::manifest::{AcceleratorKind, AcceleratorNeeds, Manifest, Source},
    host::Host,
    index::CoreMetadata,
    types::{
        Arch, ExtraName, MarkerEnvironment, Os, PackageName, PythonVersion, Requirement, Version,
        parse_requirement,
    },
};
use pep508_rs::{MarkerEnvironmentBuilder, VersionOrUrl};

use super::{Kind, Violation};

/// A planned package: its version, where it comes from, what its file says.
pub struct Planned {
    pub version: Version,
    pub url: String,
    pub metadata: Arc<CoreMetadata>,
}

/// What is checked.
pub struct Question<'a> {
    pub manifest: &'a Manifest,
    pub kind: AcceleratorKind,
    pub host: &'a Host,
    pub python: &'a Version,
    /// What the source tree requires.
    pub tree: Vec<Requirement>,
    pub packages: &'a BTreeMap<PackageName, Planned>,
    /// What a version of a package requires and does not say.
    pub undeclared: &'a dyn Fn(&PackageName, &Version) -> Vec<Requirement>,
    /// Packages that need not be there, since another does what they do.
    pub provided: Vec<&'a str>,
}

/// What is wrong with the packages: requirements that nothing meets, packages nobody requires.
pub fn check(question: &Question<'_>) -> Vec<Violation> {
    let mut walk = Walk {
        question,
        environment: environment(question.host, question.python),
        overrides: by_name(&question.manifest.packages.overrides),
        constraints: by_name(&question.manifest.packages.constraints),
        found: Vec::new(),
        reached: BTreeSet::new(),
        queue: VecDeque::new(),
    };
    walk.follow_the_tool();
    walk.follow();
    let mut found = walk.found;
    for name in question.packages.keys() {
        if !walk.reached.iter().any(|(reached, _)| reached == name) {
            found.push(Violation::new(
                Kind::Unwanted,
                format!("nobody requires {name}"),
            ));
        }
    }
    found
}

struct Walk<'a> {
    question: &'a Question<'a>,
    environment: MarkerEnvironment,
    overrides: BTreeMap<PackageName, Vec<Requirement>>,
    constraints: BTreeMap<PackageName, Vec<Requirement>>,
    found: Vec<Violation>,
    /// Packages, and extras of them, that something requires.
    reached: BTreeSet<(PackageName, Option<ExtraName>)>,
    queue: VecDeque<(PackageName, Option<ExtraName>)>,
}

fn parse(text: &str) -> Requirement {
    parse_requirement(text).unwrap()
}

fn by_name(texts: &[String]) -> BTreeMap<PackageName, Vec<Requirement>> {
    let mut map: BTreeMap<PackageName, Vec<Requirement>> = BTreeMap::new();
    for requirement in texts.iter().map(|text| parse(text)) {
        map.entry(requirement.name.clone())
            .or_default()
            .push(requirement);
    }
    map
}

impl Walk<'_> {
    fn follow_the_tool(&mut self) {
        let manifest = self.question.manifest;
        // That the tool has no such kind is told elsewhere.
        let none = AcceleratorNeeds::default();
        let needs = manifest
            .accelerators
            .get(&self.question.kind)
            .unwrap_or(&none);
        let mut wanted = self.question.tree.clone();
        if let Source::Index(source) = &manifest.source {
            let package = needs.package.as_ref().unwrap_or(&source.package);
            let extras: Vec<_> = source.extras.iter().chain(&needs.extras).cloned().collect();
            wanted.push(parse(&format!(
                "{package}[{}] {}",
                extras.join(","),
                source.version
            )));
        }
        let stated = manifest.packages.requires.iter().chain(&needs.requires);
        wanted.extend(stated.map(|text| parse(text)));
        wanted.extend(
            manifest
                .programs
                .values()
                .map(|program| parse(&program.package)),
        );
        for requirement in wanted {
            self.require("the tool", &requirement, &[]);
        }
    }

    fn follow(&mut self) {
        while let Some((name, extra)) = self.queue.pop_front() {
            let Some(package) = self.question.packages.get(&name) else {
                continue;
            };
            let asker = format!("{name} {}", package.version);
            let extras: Vec<ExtraName> = extra.into_iter().collect();
            let metadata = Arc::clone(&package.metadata);
            for requirement in &metadata.requires_dist {
                self.require(&asker, requirement, &extras);
            }
            for requirement in (self.question.undeclared)(&name, &package.version) {
                self.require(&asker, &requirement, &[]);
            }
        }
    }

    /// A requirement that `asker` states, on the condition of these extras.
    fn require(&mut self, asker: &str, requirement: &Requirement, extras: &[ExtraName]) {
        if !requirement.marker.evaluate(&self.environment, extras) {
            return;
        }
        let replaced = self.overrides.get(&requirement.name).cloned();
        let stated = replaced.unwrap_or_else(|| vec![requirement.clone()]);
        if self.question.provided.contains(&requirement.name.as_ref()) {
            return;
        }
        for wanted in stated {
            if !wanted.marker.evaluate(&self.environment, &[]) && wanted != *requirement {
                continue;
            }
            self.meet(asker, &wanted);
            let all = requirement.extras.iter().chain(&wanted.extras);
            let parts = std::iter::once(None).chain(all.cloned().map(Some));
            for part in parts {
                if self.reached.insert((wanted.name.clone(), part.clone())) {
                    self.queue.push_back((wanted.name.clone(), part));
                }
            }
        }
    }

    fn meet(&mut self, asker: &str, wanted: &Requirement) {
        let Some(package) = self.question.packages.get(&wanted.name) else {
            let text = format!("{asker} requires {wanted}, which is missing");
            self.found.push(Violation::new(Kind::Missing, text));
            return;
        };
        if !admits(wanted, package) {
            let text = format!("{asker} requires {wanted}, planned is {}", package.version);
            self.found.push(Violation::new(Kind::Requirement, text));
        }
        for constraint in self.constraints.get(&wanted.name).into_iter().flatten() {
            if constraint.marker.evaluate(&self.environment, &[]) && !admits(constraint, package) {
                let text = format!("{constraint} holds, planned is {}", package.version);
                self.found.push(Violation::new(Kind::Constraint, text));
            }
        }
    }
}

fn admits(wanted: &Requirement, package: &Planned) -> bool {
    match &wanted.version_or_url {
        None => true,
        Some(VersionOrUrl::VersionSpecifier(range)) => range.contains(&package.version),
        Some(VersionOrUrl::Url(url)) => {
            let bare = |text: &str| text.split('#').next().unwrap_or_default().to_owned();
            bare(url.as_str()) == bare(&package.url)
        }
    }
}

/// What CPython on a host says of itself (PEP 508).
fn environment(host: &Host, python: &Version) -> MarkerEnvironment {
    let full = python.to_string();
    let short = PythonVersion::of(python).unwrap().to_string();
    let (os_name, sys_platform, system) = match host.os.family {
        Os::Linux => ("posix", "linux", "Linux"),
        Os::Macos => ("posix", "darwin", "Darwin"),
        Os::Windows => ("nt", "win32", "Windows"),
    };
    let machine = match (host.cpu.arch, host.os.family) {
        (Arch::X86_64, Os::Windows) => "AMD64",
        (Arch::X86_64, _) => "x86_64",
        (Arch::Aarch64, Os::Windows) => "ARM64",
        (Arch::Aarch64, Os::Macos) => "arm64",
        (Arch::Aarch64, Os::Linux) => "aarch64",
    };
    let builder = MarkerEnvironmentBuilder {
        implementation_name: "cpython",
        implementation_version: &full,
        os_name,
        platform_machine: machine,
        platform_python_implementation: "CPython",
        platform_release: "",
        platform_system: system,
        platform_version: "",
        python_full_version: &full,
        python_version: &short,
        sys_platform,
    };
    MarkerEnvironment::try_from(builder).unwrap()
}
