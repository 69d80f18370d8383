//! Life after install: upgrade, add, rollback, repair, pin, remove.

use std::{collections::BTreeMap, fs};

use super::{
    InstallOptions, Installed, Manager, ToolError,
    planning::{Planned, Wanted},
    state::ToolState,
};
use crate::{
    compat::torch::TorchFacts,
    launch,
    lock::{ArtifactKind, Lock, LockedPython},
    platform::remove_tree,
    prefix::{InterpreterCache, Prefix, check_runtime},
    progress::{Progress as _, Silent},
    solve::{Plan, parse_requirement},
    store::Kind,
    types::{Sha256, Version},
};

/// What a removal left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The tool.
    pub name: String,
    /// The data folder that was kept, if there is one.
    pub kept_data: Option<std::path::PathBuf>,
}

impl Manager {
    /// What an upgrade would install: the current manifest of the catalogue, the same wishes.
    /// `version` takes the place of the version that was asked for before.
    pub fn upgrade_wanted(
        &self,
        state: &ToolState,
        version: Option<Version>,
    ) -> Result<Wanted, ToolError> {
        // A tool installed from a file keeps the manifest it was installed from.
        let loaded = match self.catalog().get(&state.name) {
            Some(loaded) => loaded.clone(),
            None => self.manifest_of(state)?,
        };
        let mut wanted = Wanted {
            loaded,
            wishes: state.wishes.clone(),
            pins: BTreeMap::new(),
        };
        if let Some(version) = wanted.checked(version)? {
            wanted.wishes.version = Some(version);
        }
        Ok(wanted)
    }

    /// The tool with more packages, its torch family as it is.
    pub fn add_wanted(&self, state: &ToolState, packages: &[String]) -> Result<Wanted, ToolError> {
        let loaded = self.manifest_of(state)?;
        let lock = self.current_lock(state)?;
        let family = &TorchFacts::embedded().family;
        let mut wishes = state.wishes.clone();
        for text in packages {
            let requirement = parse_requirement(text, "the command line")?;
            if family.contains(&requirement.name)
                && lock
                    .packages
                    .iter()
                    .any(|package| package.name == requirement.name)
            {
                return Err(ToolError::TorchProtected {
                    package: requirement.name.to_string(),
                    tool: state.name.clone(),
                });
            }
            let same = |known: &String| {
                parse_requirement(known, "the tool's record")
                    .is_ok_and(|known| known.name == requirement.name)
            };
            wishes.added.retain(|known| !same(known));
            wishes.added.push(text.clone());
        }
        let pins = lock
            .packages
            .iter()
            .filter(|package| family.contains(&package.name))
            .map(|package| (package.name.clone(), package.version.clone()))
            .collect();
        Ok(Wanted {
            loaded,
            wishes,
            pins,
        })
    }

    /// The lock of the generation in use.
    pub fn current_lock(&self, state: &ToolState) -> Result<Lock, ToolError> {
        Ok(state.lock(&self.home, state.current)?)
    }

    /// Makes an earlier generation the current one: the one before, or the one named.
    pub fn rollback(&self, name: &str, to: Option<u32>) -> Result<Installed, ToolError> {
        let _lock = self.lock_tool(name)?;
        let mut state = self.installed(name)?;
        let target = match to {
            Some(number) => state.generation(number),
            None => state.previous(),
        };
        let Some(target) = target.cloned() else {
            let tool = state.name;
            return Err(match to {
                Some(number) => ToolError::NoGeneration {
                    tool,
                    number,
                    kept: state.generations.iter().map(|g| g.number).collect(),
                },
                None => ToolError::NothingBefore { tool },
            });
        };
        state.current = target.number;
        state.wishes = target.wishes;
        self.restore(&mut state)
    }

    /// Makes the prefix of the current generation anew where it is damaged or gone, then its
    /// shims. `interpreter_changed` replans: a prefix belongs to the interpreter it was made for.
    pub fn repair(&self, name: &str, options: &InstallOptions) -> Result<Installed, ToolError> {
        let state = self.installed(name)?;
        let lock = self.current_lock(&state)?;
        let cache = InterpreterCache::of(&self.home);
        if matches!(lock.python, LockedPython::System { .. })
            && check_runtime(&lock.python, self.store(), &cache).is_err()
        {
            self.progress
                .note(&format!("the Python of {name} changed; planning it anew"));
            let wanted = Wanted {
                loaded: self.manifest_of(&state)?,
                wishes: state.wishes.clone(),
                pins: BTreeMap::new(),
            };
            let plans = self.plan_all(&[wanted], &options.plan)?;
            let mut installed = self.install(&plans, options)?;
            return installed.pop().ok_or_else(|| ToolError::NotInstalled {
                tool: name.to_owned(),
            });
        }
        let wanted = Wanted {
            loaded: self.manifest_of(&state)?,
            wishes: state.wishes.clone(),
            pins: BTreeMap::new(),
        };
        let damaged = self.discard_damage(name, &lock)?;
        let plan = Plan {
            lock,
            choices: Vec::new(),
            requested: BTreeMap::new(),
            newer: BTreeMap::new(),
            notes: Vec::new(),
            ways: Vec::new(),
        };
        let mut installed = self.install(&[Planned { wanted, plan }], options)?;
        let mut installed = installed.pop().ok_or_else(|| ToolError::NotInstalled {
            tool: name.to_owned(),
        })?;
        installed.changed = damaged;
        Ok(installed)
    }

    /// Removes the prefix of a lock if it is damaged, and what is damaged of it in the store (the
    /// two share their files), so that both are made anew. Whether anything was.
    fn discard_damage(&self, name: &str, lock: &Lock) -> Result<bool, ToolError> {
        let _lock = self.lock_tool(name)?;
        match Prefix::open(&self.home, &lock.prefix_name()) {
            Some(prefix) if prefix.damage()?.is_empty() && prefix.departures(lock)?.is_empty() => {
                return Ok(false);
            }
            _ => {}
        }
        self.progress
            .step(&format!("Looking for what is damaged in {name}"));
        let quiet = Silent.task("", None);
        for (kind, key) in entries_of(lock) {
            if !self.store().damage(kind, &key, &*quiet).is_empty() {
                self.store().remove(kind, &key)?;
            }
        }
        self.discard_prefix(&lock.prefix_name())?;
        Ok(true)
    }

    /// Points shims at the current generation, building its prefix if it is gone, and saves.
    fn restore(&self, state: &mut ToolState) -> Result<Installed, ToolError> {
        let lock = self.current_lock(state)?;
        let loaded = self.manifest_of(state)?;
        let manifest = &loaded.manifest;
        let _hold = self.store().hold()?;
        self.fetch_locks([&lock])?;
        let prefix = self.make_prefix(&lock, &InstallOptions::default())?;
        state.save(&self.home)?;
        let notes = self.write_shims(manifest, &lock, &prefix, state.current)?;
        Ok(Installed {
            name: manifest.name.clone(),
            title: manifest.title.clone(),
            version: lock.version.to_string(),
            prefix: prefix.path().to_owned(),
            generation: state.current,
            changed: true,
            commands: manifest.commands.keys().cloned().collect(),
            notes,
        })
    }

    /// Keeps a tool from being upgraded, or lets it go again, from a version that was asked for
    /// too.
    pub fn pin(&self, name: &str, pinned: bool) -> Result<ToolState, ToolError> {
        let _lock = self.lock_tool(name)?;
        let mut state = self.installed(name)?;
        state.pinned = pinned;
        if !pinned {
            state.wishes.version = None;
        }
        state.save(&self.home)?;
        Ok(state)
    }

    /// Removes a tool; its data folder only with `purge`.
    pub fn remove(&self, name: &str, purge: bool) -> Result<Removal, ToolError> {
        let state = self.installed(name)?;
        let name = state.name.clone();
        let _lock = self.lock_tool(&name)?;
        launch::shims::remove(&self.home, &name)?;
        let folder = self.home.tool(&name);
        let data = self.home.tool_data(&name);
        let io = |action, path: &std::path::Path| {
            let path = path.to_owned();
            move |source| ToolError::Io {
                action,
                path,
                source,
            }
        };
        // The record goes first: from then on the tool is not installed.
        fs::remove_file(folder.join("tool.toml")).map_err(io("remove", &folder))?;
        let _ = fs::remove_file(folder.join("manifest.toml"));
        let _ = remove_tree(&folder.join("generations"));
        let kept_data = if purge || is_empty(&data) {
            remove_tree(&folder).map_err(io("remove", &folder))?;
            None
        } else {
            Some(data)
        };
        self.drop_unused_prefixes(state.generations.iter().map(|g| g.prefix.as_str()))?;
        Ok(Removal { name, kept_data })
    }

    /// Removes those of the given prefixes that no tool uses any more.
    pub(super) fn drop_unused_prefixes<'p>(
        &self,
        prefixes: impl Iterator<Item = &'p str>,
    ) -> Result<(), ToolError> {
        let used: std::collections::BTreeSet<String> = ToolState::load_all(&self.home)?
            .into_iter()
            .flat_map(|tool| tool.generations.into_iter().map(|g| g.prefix))
            .collect();
        for prefix in prefixes.filter(|prefix| !used.contains(*prefix)) {
            self.discard_prefix(prefix)?;
        }
        Ok(())
    }

    pub(super) fn discard_prefix(&self, name: &str) -> Result<(), ToolError> {
        match Prefix::open(&self.home, name) {
            Some(prefix) => Ok(prefix.remove(&self.home)?),
            None => Ok(()),
        }
    }
}

/// Whether a folder holds no file, however many empty folders.
fn is_empty(folder: &std::path::Path) -> bool {
    !walkdir::WalkDir::new(folder)
        .into_iter()
        .flatten()
        .any(|entry| !entry.file_type().is_dir())
}

/// The store entries that a lock needs.
pub(super) fn entries_of(lock: &Lock) -> Vec<(Kind, Sha256)> {
    let mut entries = Vec::new();
    if let LockedPython::Managed { sha256, .. } = &lock.python {
        entries.push((Kind::Python, *sha256));
    }
    entries.extend(lock.tree.as_ref().map(|tree| (Kind::Tree, tree.tree_hash)));
    for package in &lock.packages {
        let digest = package.artifact.sha256;
        entries.push(match package.artifact.kind {
            ArtifactKind::Wheel => (Kind::Wheel, digest),
            ArtifactKind::Sdist => (
                Kind::Built,
                crate::build::key(&digest, lock.python.version(), &lock.target),
            ),
        });
    }
    entries
}
