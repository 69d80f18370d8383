//! From tools that are wanted to plans.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use super::{
    Manager, ReferenceError, ToolError,
    building::BuildingIndex,
    requirements::{self, Stated},
    state::Wishes,
};
use crate::{
    catalog::{
        Loaded, Origin,
        manifest::{Source, TreeSource},
    },
    fetch::{Download, Fetched},
    host::Host,
    index::PackageIndex,
    lock::{LockedPython, LockedTree},
    prefix::{InterpreterCache, lock_system_python},
    solve::{
        AcceleratorRequest, Plan, Request, SolveError, Supposed, TreeRequirements, Why, buildable,
        exactly, fitting_pythons, parse_requirement, plan, present, supposed, why,
    },
    store::Kind,
    types::{PackageName, PythonVersion, Requirement, Sha256, Version},
};

/// Wheels from this size on are reused when the store has a version that fits: the second tool's
/// torch is then nearly free, while small packages stay current.
const WORTH_SHARING: u64 = 20_000_000;

/// How to plan.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// `--accel`.
    pub accelerator: Option<AcceleratorRequest>,
    /// `--python`.
    pub python: Option<PythonVersion>,
    /// `--host`: plan for this machine rather than the one we are on.
    pub host: Option<Host>,
    /// Packages that may be built besides those of the manifest.
    pub build: BTreeSet<PackageName>,
    /// Build nothing.
    pub only_wheels: bool,
    /// Let builds of source distributions use the network.
    pub build_network: bool,
    /// Ignore what the store holds.
    pub fresh: bool,
}

/// A tool that is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Its manifest.
    pub loaded: Loaded,
    /// What the user asked for beyond the manifest.
    pub wishes: Wishes,
    /// Versions that must stay (`aienv add` keeps the torch family).
    pub pins: BTreeMap<PackageName, Version>,
}

impl Wanted {
    /// A tool as its manifest has it.
    pub fn new(loaded: Loaded) -> Self {
        Self {
            loaded,
            wishes: Wishes::default(),
            pins: BTreeMap::new(),
        }
    }

    /// A version that is wanted of this tool, if it is one whose version can be chosen.
    pub(super) fn checked(
        &self,
        version: Option<Version>,
    ) -> Result<Option<Version>, ReferenceError> {
        let manifest = &self.loaded.manifest;
        match &manifest.source {
            Source::Tree(tree) if version.is_some() => Err(ReferenceError::Tree {
                title: manifest.title.clone(),
                version: tree.version.clone(),
            }),
            _ => Ok(version),
        }
    }

    /// How a command names this tool, without a version.
    fn reference(&self) -> String {
        let Origin::File { path } = &self.loaded.origin else {
            return self.name().to_owned();
        };
        let here = std::env::current_dir().ok();
        match here.and_then(|here| path.strip_prefix(here).ok()) {
            Some(below) => format!("./{}", below.display()),
            None => path.display().to_string(),
        }
    }

    /// The tool's name.
    pub fn name(&self) -> &str {
        &self.loaded.manifest.name
    }
}

/// A tool and its plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// What was wanted.
    pub wanted: Wanted,
    /// The plan.
    pub plan: Plan,
}

impl Manager {
    /// Plans several tools together: what the first needs, the next prefer.
    pub fn plan_all(
        &self,
        wanted: &[Wanted],
        options: &PlanOptions,
    ) -> Result<Vec<Planned>, ToolError> {
        let here = options.host.is_none();
        let host = match &options.host {
            Some(host) => host,
            None => self.host(),
        };
        let mut preferences = if options.fresh || !here {
            BTreeMap::new()
        } else {
            self.held_versions()
        };
        let mut plans: Vec<Planned> = Vec::new();
        for wanted in wanted {
            self.progress.step(&format!("Resolving {}", wanted.name()));
            let mut plan = self.plan_one(wanted, options, host, preferences.clone())?;
            if here && let LockedPython::System { path, .. } = &plan.lock.python {
                plan.lock.python = lock_system_python(path, &InterpreterCache::of(&self.home))?;
            }
            for package in &plan.lock.packages {
                let known: &mut Vec<Version> = preferences.entry(package.name.clone()).or_default();
                if !known.contains(&package.version) {
                    known.insert(0, package.version.clone());
                }
            }
            plans.push(Planned {
                wanted: wanted.clone(),
                plan,
            });
        }
        Ok(plans)
    }

    fn plan_one(
        &self,
        wanted: &Wanted,
        options: &PlanOptions,
        host: &Host,
        preferences: BTreeMap<PackageName, Vec<Version>>,
    ) -> Result<Plan, ToolError> {
        let (mut plan, notes) = self.ask(wanted, options, host, preferences, plan)?;
        plan.notes.splice(0..0, notes);
        Ok(plan)
    }

    /// The plan of a tool on another machine, and on the one that it is compared with.
    pub fn what_if(
        &self,
        wanted: &Wanted,
        options: &PlanOptions,
        now: &Host,
        then: &Host,
    ) -> Result<(Result<Plan, ToolError>, Supposed), ToolError> {
        self.progress.step(&format!("Resolving {}", wanted.name()));
        let options = PlanOptions {
            host: Some(then.clone()),
            ..options.clone()
        };
        let (supposed, notes) = self.ask(wanted, &options, then, BTreeMap::new(), supposed)?;
        let mut supposed = supposed;
        supposed.plan.notes.splice(0..0, notes);
        let present = self.ask(wanted, &options, now, BTreeMap::new(), present);
        Ok((present.map(|(plan, _)| plan), supposed))
    }

    /// Why one package of a tool's plan has its version.
    pub fn why(
        &self,
        wanted: &Wanted,
        options: &PlanOptions,
        package: &PackageName,
    ) -> Result<Why, ToolError> {
        self.progress.step(&format!("Resolving {}", wanted.name()));
        let host = options.host.as_ref().unwrap_or_else(|| self.host());
        let question = |request: &Request<'_>, index: &dyn PackageIndex| {
            let plan = plan(request, index)?;
            why(request, &plan, package, index)
        };
        let (why, _) = self.ask(wanted, options, host, BTreeMap::new(), question)?;
        Ok(why)
    }

    /// Puts a question to the solver; its answer, and notes on how the request came about.
    fn ask<T>(
        &self,
        wanted: &Wanted,
        options: &PlanOptions,
        host: &Host,
        preferences: BTreeMap<PackageName, Vec<Version>>,
        question: impl FnOnce(&Request<'_>, &dyn PackageIndex) -> Result<T, SolveError>,
    ) -> Result<(T, Vec<String>), ToolError> {
        let here = options.host.is_none();
        let manifest = &wanted.loaded.manifest;
        let mut notes = Vec::new();
        let pythons = self.python_candidates(host, here, &manifest.python.requires, &mut notes);
        let (tree, constraints) = self.tree_part(wanted, &mut notes)?;
        let wishes = &wanted.wishes;
        let reference = wanted.reference();
        let asked = wishes
            .accelerator
            .as_ref()
            .and_then(|text| text.parse().ok());
        let allowed = wishes.build.iter().filter_map(|name| name.parse().ok());
        let request = Request {
            manifest,
            manifest_text: &wanted.loaded.text,
            reference: here.then_some(&reference),
            host,
            pythons,
            tree,
            version: wishes.version.as_ref().map(exactly),
            accelerator: options.accelerator.or(asked),
            python: options.python.or(wishes.python),
            build: options.build.iter().cloned().chain(allowed).collect(),
            only_wheels: options.only_wheels,
            added: added(wanted)?,
            constraints,
            pins: wanted.pins.clone(),
            preferences,
            memory: &self.memory,
        };
        // Without any, the plan itself says what is missing.
        let fitting = fitting_pythons(&request).unwrap_or_default();
        let index = BuildingIndex {
            manager: self,
            index: self.index(),
            // Builds run here, whatever machine the plan is for.
            python: if here { fitting.first() } else { None },
            target: host.target(),
            allowed: buildable(&request),
            network: options.build_network,
            building: Mutex::default(),
        };
        Ok((question(&request, &index)?, notes))
    }

    /// The source tree of a tool that is one, with the constraints its files state.
    fn tree_part(
        &self,
        wanted: &Wanted,
        notes: &mut Vec<String>,
    ) -> Result<(Option<TreeRequirements>, Vec<Requirement>), ToolError> {
        let Source::Tree(source) = &wanted.loaded.manifest.source else {
            return Ok((None, Vec::new()));
        };
        let (tree, stated) = self.tree_requirements(source)?;
        notes.extend(stated.passed_over);
        let requirements = stated.requirements;
        Ok((
            Some(TreeRequirements { tree, requirements }),
            stated.constraints,
        ))
    }

    /// Large packages the store has unpacked, with their versions, newest first.
    fn held_versions(&self) -> BTreeMap<PackageName, Vec<Version>> {
        let mut held: BTreeMap<PackageName, Vec<Version>> = BTreeMap::new();
        for lock in self.installed_locks() {
            for package in lock.packages {
                let large = package
                    .artifact
                    .size
                    .is_some_and(|size| size >= WORTH_SHARING);
                if large && self.store().has_wheel(&package.artifact.sha256) {
                    let versions = held.entry(package.name).or_default();
                    if !versions.contains(&package.version) {
                        versions.push(package.version);
                    }
                }
            }
        }
        for versions in held.values_mut() {
            versions.sort_by(|a, b| b.cmp(a));
        }
        held
    }

    /// Whether an artifact is in the store.
    pub fn holds(&self, package: &crate::lock::LockedPackage) -> bool {
        self.store().has_wheel(&package.artifact.sha256)
    }

    /// The source tree, fetched if it is not in the store, and what its files require.
    fn tree_requirements(&self, source: &TreeSource) -> Result<(LockedTree, Stated), ToolError> {
        let (tree_hash, url) = self.ensure_tree(source)?;
        let entry = self
            .store()
            .tree(&tree_hash)
            .ok_or_else(|| ToolError::TreeGone {
                repository: source.repository.clone(),
            })?;
        let read = |name: &str| std::fs::read_to_string(entry.root.join(name)).ok();
        let stated = requirements::read_files(&source.requirements, &read).map_err(|error| {
            ToolError::Requirements {
                repository: source.repository.clone(),
                source: Box::new(error),
            }
        })?;
        let tree = LockedTree {
            repository: source.repository.clone(),
            commit: source.commit.clone(),
            url,
            tree_hash,
        };
        Ok((tree, stated))
    }

    /// Makes sure a tree is in the store; its content hash and where it comes from.
    fn ensure_tree(&self, source: &TreeSource) -> Result<(Sha256, String), ToolError> {
        let urls = self.tree_urls(source)?;
        let url = urls.first().cloned().unwrap_or_default();
        // A manifest without a content hash: what the commit gave the first time, it must give
        // again.
        let memory = self
            .home
            .cache()
            .join("trees")
            .join(format!("{}.sha256", source.commit));
        let remembered = || std::fs::read_to_string(&memory).ok()?.trim().parse().ok();
        let known: Option<Sha256> = source.tree_hash.or_else(remembered);
        if let Some(hash) = known
            && self.store().has(Kind::Tree, &hash)
        {
            return Ok((hash, url));
        }
        self.progress.step(&format!(
            "Fetching {} at {}",
            source.repository,
            &source.commit[..12]
        ));
        let download = Download {
            file_name: format!(
                "{}-{}.tar.gz",
                source.repository.replace('/', "-"),
                &source.commit[..12]
            ),
            urls,
            size: None,
            wanted: crate::fetch::Wanted::Tree(known),
        };
        let fetched = self.fetch(vec![download])?;
        let entry = fetched.first().and_then(Fetched::entry);
        let hash = entry
            .map(|entry| entry.key)
            .ok_or_else(|| ToolError::TreeGone {
                repository: source.repository.clone(),
            })?;
        super::state::write_atomically(&memory, &hash.to_string())?;
        Ok((hash, url))
    }

    fn tree_urls(&self, source: &TreeSource) -> Result<Vec<String>, ToolError> {
        let templates = &self.settings.sources.value;
        templates
            .iter()
            .map(|template| {
                let filled = template.fill(&source.repository, &source.commit);
                filled
                    .map(|url| url.url().to_string())
                    .map_err(|error| ToolError::TreeAddress {
                        repository: source.repository.clone(),
                        why: error.to_string(),
                    })
            })
            .collect()
    }
}

/// The requirements a user added to a tool.
fn added(wanted: &Wanted) -> Result<Vec<Requirement>, SolveError> {
    let place = format!("the packages added to {}", wanted.name());
    let texts = wanted.wishes.added.iter();
    texts.map(|text| parse_requirement(text, &place)).collect()
}
