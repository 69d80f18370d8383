//! From tools that are wanted to plans.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use super::{
    Manager, ToolError,
    building::BuildingIndex,
    requirements::{self, Stated},
    state::Wishes,
};
use crate::{
    catalog::{
        Loaded,
        manifest::{Source, TreeSource},
    },
    fetch::{Download, Fetched},
    host::Host,
    lock::{LockedPython, LockedTree},
    prefix::{InterpreterCache, lock_system_python},
    solve::{
        AcceleratorRequest, Plan, Request, TreeRequirements, fitting_pythons, parse_requirement,
        plan,
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
        let manifest = &wanted.loaded.manifest;
        let mut notes = Vec::new();
        let candidates = self.python_candidates(
            host,
            options.host.is_none(),
            &manifest.python.requires,
            &mut notes,
        );
        let (tree, constraints) = match &manifest.source {
            Source::Index(_) => (None, Vec::new()),
            Source::Tree(source) => {
                let (tree, stated) = self.tree_requirements(source)?;
                notes.extend(stated.passed_over);
                (
                    Some(TreeRequirements {
                        tree,
                        requirements: stated.requirements,
                    }),
                    stated.constraints,
                )
            }
        };
        let wishes = &wanted.wishes;
        let accelerator = match (options.accelerator, &wishes.accelerator) {
            (Some(asked), _) => Some(asked),
            (None, Some(text)) => text.parse().ok(),
            (None, None) => None,
        };
        let place = format!("the packages added to {}", manifest.name);
        let added = wishes
            .added
            .iter()
            .map(|text| parse_requirement(text, &place))
            .collect::<Result<Vec<Requirement>, _>>()?;
        let allowed = wishes.build.iter().filter_map(|name| name.parse().ok());
        let request = Request {
            manifest,
            manifest_text: &wanted.loaded.text,
            host,
            pythons: candidates,
            tree,
            accelerator,
            python: options.python.or(wishes.python),
            build: options.build.iter().cloned().chain(allowed).collect(),
            only_wheels: options.only_wheels,
            added,
            constraints,
            pins: wanted.pins.clone(),
            preferences,
        };
        // Without any, the plan itself says what is missing.
        let fitting = fitting_pythons(&request).unwrap_or_default();
        let index = BuildingIndex {
            manager: self,
            index: self.index(),
            // Builds run here, whatever machine the plan is for.
            python: if options.host.is_none() {
                fitting.first()
            } else {
                None
            },
            target: host.target(),
            network: options.build_network,
            building: Mutex::default(),
        };
        let mut plan = plan(&request, &index)?;
        plan.notes.splice(0..0, notes);
        Ok(plan)
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
