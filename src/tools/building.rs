//! The index as planning sees it: usually the client, and two things it cannot do alone.
//!
//! A torch index that is out of reach is found out once, before any request waits for it. And
//! some source distributions tell what they need only when they are built: old ones compute their requirements in code. For the packages a plan may build,
//! the answer is had by building the wheel; the store keeps it, so the install that follows finds
//! it done.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Manager, reach::Answer};
use crate::{
    build::{BuildError, Builder},
    index::{CoreMetadata, DistFile, IndexError, IndexId, PackageIndex, Releases},
    lock::{Artifact, ArtifactKind, LockedPackage},
    prefix::{InterpreterCache, PythonRuntime},
    solve::PythonCandidate,
    types::{PackageName, Sha256, Target},
};

/// An index, with builds where it cannot answer by itself.
pub struct BuildingIndex<'a> {
    /// Who builds.
    pub manager: &'a Manager,
    /// Who answers.
    pub index: &'a dyn PackageIndex,
    /// The interpreter that builds run on.
    pub python: Option<&'a PythonCandidate>,
    /// The platform the plan is for.
    pub target: Target,
    /// Packages that may be built.
    pub allowed: BTreeSet<PackageName>,
    /// Let builds use the network.
    pub network: bool,
    /// One build at a time: a build uses all cores itself.
    pub building: Mutex<()>,
}

impl BuildingIndex<'_> {
    /// A search for ways out asks about packages that nobody has allowed to be built.
    fn may_build(&self, file: &DistFile) -> bool {
        file.name_and_version()
            .is_some_and(|(name, _)| self.allowed.contains(&name))
    }

    fn built(&self, file: &DistFile, reason: &str) -> Result<CoreMetadata, IndexError> {
        let bad = |reason: String| IndexError::BadMetadata {
            file: file.file_name.clone(),
            reason,
        };
        let python = self.python.ok_or_else(|| bad(reason.to_owned()))?;
        let (name, version) = file
            .name_and_version()
            .ok_or_else(|| bad("its name is no distribution's".to_owned()))?;
        let package = LockedPackage {
            name,
            version,
            artifact: Artifact {
                kind: ArtifactKind::Sdist,
                file_name: file.file_name.clone(),
                url: file.url.clone(),
                size: file.size,
                sha256: self.index.digest(file)?,
            },
            direct: false,
            dependencies: Vec::new(),
        };
        let _alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = self
            .build(&package, python)
            .map_err(|error| bad(described(&error)))?;
        let digest = package.artifact.sha256.to_string();
        let source = self.manager.home().cache().join("downloads").join(digest);
        Ok(CoreMetadata {
            file_size: source.metadata().ok().map(|file| file.len()),
            ..metadata
        })
    }

    fn build(
        &self,
        package: &LockedPackage,
        python: &PythonCandidate,
    ) -> Result<CoreMetadata, BuildError> {
        let manager = self.manager;
        let cache = InterpreterCache::of(manager.home());
        if let Some(download) = manager.python_download(&python.python) {
            manager
                .fetch(vec![download])
                .map_err(|source| BuildError::fetch(package, source))?;
        }
        let runtime = PythonRuntime::of_lock(&python.python, manager.store(), &cache)?;
        let builder = Builder {
            home: manager.home(),
            store: manager.store(),
            index: self.index,
            fetch: &|downloads| manager.fetch(downloads),
            python: &python.python,
            runtime: &runtime,
            target: self.target,
            progress: manager.progress(),
            network: self.network,
        };
        let entry = builder.ensure(package)?;
        let metadata = entry.root.join(&entry.dist_info).join("METADATA");
        read(&metadata, package)
    }
}

fn read(path: &Path, package: &LockedPackage) -> Result<CoreMetadata, BuildError> {
    let bytes = std::fs::read(path).map_err(BuildError::io("read", path))?;
    CoreMetadata::parse(&bytes).map_err(|answer| BuildError::BadAnswer {
        package: package.name.to_string(),
        answer,
    })
}

/// An error with its causes in one line.
fn described(error: &BuildError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl PackageIndex for BuildingIndex<'_> {
    fn releases(
        &self,
        index: &IndexId,
        package: &PackageName,
    ) -> Result<Arc<Releases>, IndexError> {
        if matches!(index, IndexId::Torch(_)) && !self.is_at_hand() {
            let base = &self.manager.settings.torch.value;
            let sample = base.below("cpu/torch/").to_string();
            // One brief question instead of every request waiting for a host that is out of reach.
            if !self.manager.answers(&[sample], Answer::Any) {
                return Err(IndexError::Unreachable {
                    index: format!("the torch wheel index `{base}`"),
                });
            }
        }
        self.index.releases(index, package)
    }

    fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
        match self.index.metadata(file) {
            Err(IndexError::NeedsBuild { reason, .. }) if self.may_build(file) => {
                self.built(file, &reason).map(Arc::new)
            }
            answer => answer,
        }
    }

    fn digest(&self, file: &DistFile) -> Result<Sha256, IndexError> {
        self.index.digest(file)
    }

    fn is_at_hand(&self) -> bool {
        self.index.is_at_hand()
    }

    fn prefetch_releases(&self, index: &IndexId, package: &PackageName) {
        self.index.prefetch_releases(index, package);
    }

    fn prefetch_metadata(&self, file: &DistFile) {
        self.index.prefetch_metadata(file);
    }
}
