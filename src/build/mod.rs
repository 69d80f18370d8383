//! Wheels from source distributions (PEP 517), for the packages a manifest allows by name.
//!
//! The source is unpacked into a folder that is thrown away; the backend runs in an environment
//! of its own, resolved and linked like any other prefix, without network unless asked for. The
//! wheel goes to the store under the hash of its inputs — source, Python, platform — so it is
//! built once per machine.

mod error;
mod hook;
mod pyproject;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

pub use error::BuildError;
pub use pyproject::{BuildSystem, BuildSystemError};

use crate::{
    fetch::{Download, FetchError, Fetched},
    home::Home,
    index::PackageIndex,
    lock::{Artifact, ArtifactKind, Lock, LockedPackage, LockedPython},
    prefix::{Prefix, PrefixRequest, PythonRuntime},
    progress::{Progress, Silent},
    solve::{Needs, Problem, PythonCandidate, ResolveError, resolve},
    store::{Entry, Store, VerifiedFile, unpack_source},
    types::{Accelerator, PythonVersion, Requirement, Sha256, Target, Version, parse_requirement},
};

/// Fetches what the store lacks.
pub type Fetch<'a> = &'a dyn Fn(Vec<Download>) -> Result<Vec<Fetched>, FetchError>;

/// Builds wheels for one interpreter.
pub struct Builder<'a> {
    /// Where things are.
    pub home: &'a Home,
    /// Where the result goes.
    pub store: &'a Store,
    /// Where backends come from.
    pub index: &'a dyn PackageIndex,
    /// How they are fetched.
    pub fetch: Fetch<'a>,
    /// The interpreter.
    pub python: &'a LockedPython,
    /// The same, ready to be used.
    pub runtime: &'a PythonRuntime,
    /// The platform.
    pub target: Target,
    /// Where progress goes.
    pub progress: &'a dyn Progress,
    /// Let the backend use the network.
    pub network: bool,
}

/// The key of a built wheel in the store: source, Python feature release, platform.
pub fn key(source: &Sha256, python: &Version, target: &Target) -> Sha256 {
    let python =
        PythonVersion::of(python).map_or_else(|| python.to_string(), |short| short.to_string());
    Sha256::of(format!(
        "wheel 1\n{source}\n{python}\n{}\n",
        target.triple()
    ))
}

impl Builder<'_> {
    /// The wheel of a source distribution, built if it is not in the store.
    pub fn ensure(&self, package: &LockedPackage) -> Result<Entry, BuildError> {
        let key = key(
            &package.artifact.sha256,
            self.python.version(),
            &self.target,
        );
        if let Some(entry) = self.store.built(&key) {
            return Ok(entry);
        }
        self.progress
            .step(&format!("Building {} {}", package.name, package.version));
        let fetched = (self.fetch)(vec![Download::of_package(package)])
            .map_err(|source| BuildError::fetch(package, source))?;
        let builds = self.home.cache().join("builds");
        fs::create_dir_all(&builds).map_err(BuildError::io("create", &builds))?;
        let workspace =
            tempfile::tempdir_in(&builds).map_err(BuildError::io("create a folder in", &builds))?;
        let source = workspace.path().join("source");
        let output = workspace.path().join("output");
        for folder in [&source, &output] {
            fs::create_dir(folder).map_err(BuildError::io("create", folder))?;
        }
        let archive =
            fetched
                .first()
                .and_then(Fetched::file)
                .ok_or_else(|| BuildError::NotFetched {
                    package: package.name.to_string(),
                })?;
        unpack_source(archive, &package.artifact.file_name, &source)?;
        let wheel = self.build(package, workspace.path(), &source, &output)?;
        let path = output.join(&wheel);
        let archive = VerifiedFile::read(&path)?;
        let task = Silent.task(&wheel, None);
        Ok(self.store.add_built(&key, &archive, &wheel, &*task)?)
    }

    fn build(
        &self,
        package: &LockedPackage,
        workspace: &Path,
        source: &Path,
        output: &Path,
    ) -> Result<String, BuildError> {
        let pyproject = fs::read_to_string(source.join("pyproject.toml")).ok();
        let system =
            BuildSystem::read(pyproject.as_deref()).map_err(|error| BuildError::System {
                package: package.name.to_string(),
                source: Box::new(error),
            })?;
        let mut requires = system.requires.clone();
        let mut environment = self.environment(package, &requires)?;
        let call = hook::Call {
            system: &system,
            workspace,
            source,
            network: self.network,
        };
        let config = serde_json::json!({});
        let more = call.run(
            &environment,
            "get_requires_for_build_wheel",
            &serde_json::json!([config]),
        );
        let more: Option<Vec<String>> = self.answer(package, workspace, more)?;
        let before = requires.len();
        for text in more.into_iter().flatten() {
            let requirement = parse_requirement(&text).map_err(|_| BuildError::BadAnswer {
                package: package.name.to_string(),
                answer: text,
            })?;
            if !requires.contains(&requirement) {
                requires.push(requirement);
            }
        }
        if requires.len() > before {
            environment = self.environment(package, &requires)?;
        }
        let folder = output.display().to_string();
        let built = call.run(
            &environment,
            "build_wheel",
            &serde_json::json!([folder, config]),
        );
        let name: Option<String> = self.answer(package, workspace, built)?;
        let name = name.unwrap_or_default();
        if !is_wheel_of(&name, package) || !output.join(&name).is_file() {
            return Err(BuildError::BadAnswer {
                package: package.name.to_string(),
                answer: name,
            });
        }
        Ok(name)
    }

    /// A hook's answer, or the error with the end of its output; the whole output is kept.
    fn answer<T: serde::de::DeserializeOwned>(
        &self,
        package: &LockedPackage,
        workspace: &Path,
        ran: Result<T, hook::HookError>,
    ) -> Result<T, BuildError> {
        ran.map_err(|error| {
            let log = self
                .home
                .cache()
                .join("builds")
                .join(format!("{}.log", package.name));
            // Without the copy the message still has the last lines.
            let _ = fs::copy(workspace.join(hook::LOG), &log);
            BuildError::Backend {
                package: format!("{} {}", package.name, package.version),
                output: error.output,
                log,
                source: error.source,
            }
        })
    }

    /// An environment that holds what the backend requires.
    fn environment(
        &self,
        package: &LockedPackage,
        requires: &[Requirement],
    ) -> Result<Prefix, BuildError> {
        let lock = Lock {
            tool: format!("build of {}", package.name),
            version: package.version.clone(),
            target: self.target,
            accelerator: Accelerator::Cpu,
            python: self.python.clone(),
            packages: self.resolved(package, requires)?,
            tree: None,
            programs: BTreeMap::new(),
            environment: BTreeMap::new(),
            manifest: String::new(),
        };
        let downloads = lock.packages.iter().map(Download::of_package).collect();
        (self.fetch)(downloads).map_err(|source| BuildError::fetch(package, source))?;
        let request = PrefixRequest {
            name: &lock.prefix_name(),
            lock: &lock,
            python: self.runtime,
            built: &BTreeMap::new(),
            programs: &lock.programs,
            compile: false,
        };
        // Below the cache, where it may be thrown away: no tool ever runs in it.
        let home = Home::at(self.home.cache().join("builds"));
        Ok(Prefix::ensure(&home, self.store, &request, self.progress)?)
    }

    /// What the requirements of a build come to: wheels only.
    fn resolved(
        &self,
        package: &LockedPackage,
        requires: &[Requirement],
    ) -> Result<Vec<LockedPackage>, BuildError> {
        let problem = Problem {
            primary: None,
            requirements: requires.to_vec(),
            constraints: Vec::new(),
            overrides: Vec::new(),
            direct: BTreeMap::new(),
            build: BTreeSet::new(),
            prereleases: BTreeSet::new(),
            target: self.target,
            pythons: vec![PythonCandidate {
                python: self.python.clone(),
                freethreaded: self.runtime.freethreaded,
            }],
            accelerator: Accelerator::Cpu,
            torch_index: None,
            torch_family: BTreeSet::new(),
            needs: Needs::on(&self.target),
            preferences: BTreeMap::new(),
        };
        let name = package.name.to_string();
        let resolution =
            resolve(&problem, self.index, &format!("the build of {name}")).map_err(|error| {
                match error {
                    ResolveError::Unsatisfiable(explanation) => BuildError::Requirements {
                        package: name.clone(),
                        explanation: explanation.to_string(),
                    },
                    ResolveError::Index(source) => BuildError::Index {
                        package: name.clone(),
                        source,
                    },
                }
            })?;
        resolution
            .packages
            .into_iter()
            .map(|(name, resolved)| {
                let file = resolved.file;
                let sha256 = file.sha256.ok_or_else(|| BuildError::NoDigest {
                    file: file.file_name.clone(),
                })?;
                Ok(LockedPackage {
                    name,
                    version: resolved.version,
                    artifact: Artifact {
                        kind: ArtifactKind::Wheel,
                        file_name: file.file_name,
                        url: file.url,
                        size: file.size,
                        sha256,
                    },
                    direct: false,
                    dependencies: resolved.dependencies,
                })
            })
            .collect()
    }
}

/// Whether a file name is that of a wheel of this very package and version.
fn is_wheel_of(file_name: &str, package: &LockedPackage) -> bool {
    let Some(stem) = file_name.strip_suffix(".whl") else {
        return false;
    };
    if file_name.contains(['/', '\\']) {
        return false;
    }
    let mut parts = stem.split('-');
    let name = parts.next().and_then(|name| name.parse().ok());
    let version = parts.next().and_then(|version| version.parse().ok());
    name.as_ref() == Some(&package.name) && version.as_ref() == Some(&package.version)
}
