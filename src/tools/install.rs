//! From plans to installed tools.
//!
//! What all plans need is fetched once, together. Then each tool gets its prefix, its checks and,
//! as the last step, its generation and shims; up to that step nothing of an earlier install has
//! changed.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use super::{
    Manager, ReferenceError, ToolError,
    planning::{PlanOptions, Planned, Wanted},
    state::{ToolState, Wishes, write_atomically},
};
use crate::{
    build,
    catalog::{
        Loaded,
        manifest::{Check, Manifest},
    },
    fetch::{self, Download},
    launch::{self, record::Placement},
    lock::{ArtifactKind, Lock, LockedPython},
    platform::{LockFile, process},
    prefix::{InterpreterCache, Prefix, PrefixRequest, PythonRuntime},
    solve::Plan,
    store::{Entry, Kind},
    types::PackageName,
};

/// How to install.
#[derive(Clone, Debug, Default)]
pub struct InstallOptions {
    /// How to plan.
    pub plan: PlanOptions,
    /// Leave out the checks of the manifest.
    pub no_check: bool,
    /// Byte-compile the packages, for a faster first start.
    pub compile: bool,
}

/// What became of a tool.
#[derive(Clone, Debug)]
pub struct Installed {
    /// The tool.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Version now in use.
    pub version: String,
    /// Where it is.
    pub prefix: PathBuf,
    /// Generation now in use.
    pub generation: u32,
    /// Something changed.
    pub changed: bool,
    /// Commands that have a shim.
    pub commands: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

impl Manager {
    /// The installed state of a tool that needs nothing done: same manifest, same wishes, prefix
    /// in place.
    pub fn up_to_date(&self, wanted: &Wanted) -> Result<Option<Installed>, ToolError> {
        let Some(state) = ToolState::load(&self.home, wanted.name())? else {
            return Ok(None);
        };
        let Some(generation) = state.current() else {
            return Ok(None);
        };
        let same = state.wishes == wanted.wishes
            && self
                .kept_manifest(wanted.name())
                .is_some_and(|text| text == wanted.loaded.text);
        let prefix = self.home.prefixes().join(&generation.prefix);
        if !same || !prefix.is_dir() {
            return Ok(None);
        }
        let manifest = &wanted.loaded.manifest;
        Ok(Some(Installed {
            name: manifest.name.clone(),
            title: manifest.title.clone(),
            version: generation.version.to_string(),
            prefix,
            generation: generation.number,
            changed: false,
            commands: manifest.commands.keys().cloned().collect(),
            notes: Vec::new(),
        }))
    }

    /// Installs what was planned.
    pub fn install(
        &self,
        plans: &[Planned],
        options: &InstallOptions,
    ) -> Result<Vec<Installed>, ToolError> {
        for lock in plans.iter().map(|planned| &planned.plan.lock) {
            let here = self.host().target();
            if (lock.target.os, lock.target.arch) != (here.os, here.arch) {
                return Err(ToolError::PlanElsewhere {
                    tool: lock.tool.clone(),
                    made_for: lock.target.to_string(),
                    here: here.to_string(),
                });
            }
        }
        // Keeps the garbage collector of another process away from what is fetched here.
        let _hold = self.store().hold()?;
        self.fetch_locks(plans.iter().map(|planned| &planned.plan.lock))?;
        plans
            .iter()
            .map(|planned| self.install_one(planned, options))
            .collect()
    }

    /// Fetches what the store lacks for locks whose prefix is not there, each artifact once.
    pub(super) fn fetch_locks<'l>(
        &self,
        locks: impl IntoIterator<Item = &'l Lock>,
    ) -> Result<(), ToolError> {
        let mut downloads: Vec<Download> = Vec::new();
        for lock in locks {
            if self.home.prefixes().join(lock.prefix_name()).is_dir() {
                continue;
            }
            downloads.extend(self.python_download(&lock.python));
            downloads.extend(lock.tree.as_ref().map(Download::of_tree));
            downloads.extend(
                lock.packages
                    .iter()
                    .map(Download::of_package)
                    .filter(|download| {
                        // A wheel that was built before needs no source.
                        !self.built_already(lock, download)
                    }),
            );
        }
        // The same file may be wanted by several tools.
        let mut seen = HashSet::new();
        downloads.retain(|download| seen.insert(download.urls.clone()));
        self.fetch(downloads)?;
        Ok(())
    }

    fn built_already(&self, lock: &Lock, download: &Download) -> bool {
        let fetch::Wanted::File(source) = download.wanted else {
            return false;
        };
        let key = build::key(&source, lock.python.version(), &lock.target);
        self.store().has(Kind::Built, &key)
    }

    fn install_one(
        &self,
        planned: &Planned,
        options: &InstallOptions,
    ) -> Result<Installed, ToolError> {
        let lock = &planned.plan.lock;
        let wanted = &planned.wanted;
        let manifest = &wanted.loaded.manifest;
        let _lock = self.lock_tool(&manifest.name)?;
        let mut state = match ToolState::load(&self.home, &manifest.name)? {
            Some(state) => state,
            None => ToolState::new(&manifest.name),
        };
        let first = state.generations.is_empty();
        let unchanged = state
            .current()
            .is_some_and(|g| g.prefix == lock.prefix_name());
        // What is in use has been checked before, unless its prefix is about to be made anew.
        let checked = unchanged && Prefix::open(&self.home, &lock.prefix_name()).is_some();
        let prefix = self.make_prefix(lock, options)?;
        self.make_data(manifest)?;
        if !options.no_check && !checked {
            self.check(manifest, lock, &prefix)?;
        }
        state.wishes = wanted.wishes.clone();
        self.keep_manifest(&wanted.loaded)?;
        let number = if unchanged {
            state.save(&self.home)?;
            state.current
        } else {
            state.advance(&self.home, lock)?
        };
        let taken = self.write_shims(manifest, lock, &prefix, number)?;
        let mut notes = Vec::new();
        if !unchanged {
            notes.extend(planned.plan.notes.iter().cloned());
            let ways = planned.plan.ways_to_a_gpu();
            notes.extend(ways.map(|way| format!("the GPU would be used with {}", way.text)));
        }
        notes.extend(taken);
        if first {
            notes.extend(manifest.notes.iter().cloned());
        }
        Ok(Installed {
            name: manifest.name.clone(),
            title: manifest.title.clone(),
            version: lock.version.to_string(),
            prefix: prefix.path().to_owned(),
            generation: number,
            changed: !unchanged,
            commands: manifest.commands.keys().cloned().collect(),
            notes,
        })
    }

    /// The prefix of a lock, built if it is not there.
    pub(super) fn make_prefix(
        &self,
        lock: &Lock,
        options: &InstallOptions,
    ) -> Result<Prefix, ToolError> {
        let name = lock.prefix_name();
        if let Some(prefix) = Prefix::open(&self.home, &name) {
            return Ok(prefix);
        }
        let runtime = PythonRuntime::of_lock(
            &lock.python,
            self.store(),
            &InterpreterCache::of(&self.home),
        )?;
        let built = self.built_wheels(lock, &runtime, options)?;
        let request = PrefixRequest {
            name: &name,
            lock,
            python: &runtime,
            built: &built,
            programs: &lock.programs,
            compile: options.compile,
        };
        Ok(Prefix::ensure(
            &self.home,
            self.store(),
            &request,
            &*self.progress,
        )?)
    }

    /// The wheels of the lock's source distributions, built where the store lacks them.
    fn built_wheels(
        &self,
        lock: &Lock,
        runtime: &PythonRuntime,
        options: &InstallOptions,
    ) -> Result<BTreeMap<PackageName, Entry>, ToolError> {
        let builder = build::Builder {
            home: &self.home,
            store: self.store(),
            index: self.index(),
            fetch: &|downloads| self.fetch(downloads),
            python: &lock.python,
            runtime,
            target: lock.target,
            progress: &*self.progress,
            network: options.plan.build_network,
        };
        lock.packages
            .iter()
            .filter(|package| package.artifact.kind == ArtifactKind::Sdist)
            .map(|package| Ok((package.name.clone(), builder.ensure(package)?)))
            .collect()
    }

    /// Creates the tool's own folders.
    fn make_data(&self, manifest: &Manifest) -> Result<(), ToolError> {
        let data = self.home.tool_data(&manifest.name);
        let folders = manifest
            .data
            .iter()
            .chain(manifest.models.values())
            .map(|folder| data.join(folder));
        for folder in folders.chain([data.clone(), self.home.models()]) {
            fs::create_dir_all(&folder).map_err(|source| ToolError::Io {
                action: "create",
                path: folder.clone(),
                source,
            })?;
        }
        Ok(())
    }

    /// Launch records and shims of a generation; what stands in the way is told.
    pub(super) fn write_shims(
        &self,
        manifest: &Manifest,
        lock: &Lock,
        prefix: &Prefix,
        generation: u32,
    ) -> Result<Vec<String>, ToolError> {
        let records = self.records(manifest, lock, prefix, generation)?;
        let executable = std::env::current_exe().map_err(|source| ToolError::Io {
            action: "find",
            path: "aienv".into(),
            source,
        })?;
        let taken = launch::shims::install(&self.home, &executable, &manifest.name, &records)?;
        Ok(taken.iter().map(ToString::to_string).collect())
    }

    fn records(
        &self,
        manifest: &Manifest,
        lock: &Lock,
        prefix: &Prefix,
        generation: u32,
    ) -> Result<Vec<launch::LaunchRecord>, ToolError> {
        let tree = lock.tree.as_ref().map(|_| prefix.tree());
        let system_python = match &lock.python {
            LockedPython::System { path, .. } => Some(path.as_path()),
            LockedPython::Managed { .. } => None,
        };
        let place = Placement {
            prefix: prefix.path(),
            python: &prefix.python(),
            bin: &prefix.bin(),
            site_packages: &prefix.site_packages(),
            tree: tree.as_deref(),
            data: &self.home.tool_data(&manifest.name),
            models: &self.home.models(),
            accelerator: lock.accelerator,
            environment: &lock.environment,
            generation: u64::from(generation),
            system_python,
            os: lock.target.os,
        };
        Ok(launch::record::build(manifest, &place)?)
    }

    /// Tries what the manifest says must work, each as a command of the tool would be started.
    fn check(&self, manifest: &Manifest, lock: &Lock, prefix: &Prefix) -> Result<(), ToolError> {
        for check in &manifest.checks {
            let run = match check {
                Check::Import(modules) => {
                    vec![
                        "{python}".to_owned(),
                        "-c".to_owned(),
                        format!("import {}", modules.join(", ")),
                    ]
                }
                Check::Run(words) => words.clone(),
            };
            let shown = match check {
                Check::Import(modules) => format!("import {}", modules.join(", ")),
                Check::Run(words) => words.join(" ").replace("{bin}/", ""),
            };
            self.progress.step(&format!(
                "Trying `{shown}` (a first start may take a while)"
            ));
            let mut probe = manifest.clone();
            probe.commands = [(
                "check".to_owned(),
                crate::catalog::manifest::Command::plain(run),
            )]
            .into();
            for record in self.records(&probe, lock, prefix, 0)? {
                let output = aienv_shim::command(&record, &[], None)
                    .map_err(launch::LaunchError::from)?
                    .stdin(std::process::Stdio::null())
                    .output()
                    .map_err(|source| ToolError::Io {
                        action: "run",
                        path: record.program.clone(),
                        source,
                    })?;
                if !output.status.success() {
                    return Err(ToolError::CheckFailed {
                        tool: manifest.name.clone(),
                        check: shown,
                        output: last_lines(&output),
                    });
                }
            }
        }
        Ok(())
    }

    /// The lock of a tool: one process changes a tool at a time.
    pub(super) fn lock_tool(&self, name: &str) -> Result<LockFile, ToolError> {
        let path = self.home.locks().join(format!("tool-{name}"));
        LockFile::acquire(&path).map_err(|source| ToolError::Io {
            action: "lock",
            path,
            source,
        })
    }

    fn manifest_path(&self, name: &str) -> PathBuf {
        self.home.tool(name).join("manifest.toml")
    }

    fn kept_manifest(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.manifest_path(name)).ok()
    }

    fn keep_manifest(&self, loaded: &Loaded) -> Result<(), ToolError> {
        Ok(write_atomically(
            &self.manifest_path(&loaded.manifest.name),
            &loaded.text,
        )?)
    }

    /// The manifest a tool was installed from.
    pub fn manifest_of(&self, state: &ToolState) -> Result<Loaded, ToolError> {
        Ok(Loaded::from_file(&self.manifest_path(&state.name))?)
    }

    /// What a lock file says, as a plan. How the tool is started is in the manifest the lock keeps,
    /// unless another is given.
    pub fn planned_from_lock(
        &self,
        path: &Path,
        manifest: Option<&str>,
    ) -> Result<Planned, ToolError> {
        let text = fs::read_to_string(path).map_err(|source| ToolError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        })?;
        let lock = Lock::from_pylock(&text).map_err(|source| ToolError::LockFile {
            path: path.to_owned(),
            source,
        })?;
        let here = self.host().target();
        if (lock.target.os, lock.target.arch) != (here.os, here.arch) {
            return Err(ToolError::LockElsewhere {
                path: path.to_owned(),
                made_for: lock.target.to_string(),
                here: here.to_string(),
            });
        }
        let wanted = match manifest {
            Some(reference) => {
                let wanted = self.wanted(reference)?;
                if wanted.wishes.version.is_some() {
                    let text = reference.to_owned();
                    return Err(ReferenceError::Locked { text }.into());
                }
                wanted
            }
            None if lock.manifest.is_empty() => self.wanted(&lock.tool)?,
            None => Wanted::new(Loaded::from_kept(lock.manifest.clone(), path)?),
        };
        let plan = Plan {
            lock,
            choices: Vec::new(),
            requested: BTreeMap::new(),
            newer: BTreeMap::new(),
            notes: Vec::new(),
            ways: Vec::new(),
        };
        Ok(Planned { wanted, plan })
    }

    /// Writes a lock file in one step.
    pub fn write_lock(&self, path: &Path, text: &str) -> Result<(), ToolError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(write_atomically(&path, text)?)
    }

    /// The wishes of an installed tool with those of the command line on top.
    pub fn wishes(
        &self,
        wanted: &Wanted,
        options: &PlanOptions,
        accelerator: Option<&str>,
    ) -> Result<Wishes, ToolError> {
        let mut wishes = ToolState::load(&self.home, wanted.name())?
            .map(|state| state.wishes)
            .unwrap_or_default();
        if wanted.wishes.version.is_some() {
            wishes.version = wanted.wishes.version.clone();
        }
        if let Some(accelerator) = accelerator {
            wishes.accelerator = Some(accelerator.to_owned());
        }
        if options.python.is_some() {
            wishes.python = options.python;
        }
        for package in &options.build {
            let name = package.to_string();
            if !wishes.build.contains(&name) {
                wishes.build.push(name);
            }
        }
        Ok(wishes)
    }
}

/// The end of what a program printed, indented.
fn last_lines(output: &std::process::Output) -> String {
    let text = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };
    process::last_lines(text, 15)
}
