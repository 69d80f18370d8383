//! The interpreter below a prefix: a standalone build in the store, or one of the machine.

use std::path::{Path, PathBuf};

use super::{error::RuntimeError, interrogate::InterpreterCache};
use crate::{
    lock::LockedPython,
    store::Store,
    types::{PythonVersion, Sha256, Version},
};

/// An interpreter that a prefix can be made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PythonRuntime {
    /// The interpreter itself, not a virtual environment's.
    pub executable: PathBuf,
    /// Full version.
    pub version: Version,
    /// Built without the global interpreter lock.
    pub freethreaded: bool,
}

impl PythonRuntime {
    /// The feature release.
    pub fn feature_release(&self) -> PythonVersion {
        PythonVersion::of(&self.version).unwrap_or(PythonVersion::new(0, 0))
    }

    /// The interpreter a lock names. A managed one must be in the store already; one of the
    /// machine must be the very executable that was locked.
    pub fn of_lock(
        python: &LockedPython,
        store: &Store,
        cache: &InterpreterCache,
    ) -> Result<Self, RuntimeError> {
        match python {
            LockedPython::Managed {
                version, sha256, ..
            } => Ok(Self {
                executable: managed_executable(version, sha256, store)?,
                version: version.clone(),
                freethreaded: false,
            }),
            LockedPython::System { path, .. } => {
                check_runtime(python, store, cache)?;
                let facts = cache.interrogate(path)?;
                Ok(Self {
                    executable: path.clone(),
                    version: facts.version,
                    freethreaded: facts.freethreaded,
                })
            }
        }
    }
}

/// An interpreter of the machine as a lock names it: its version and the digest of the executable.
pub fn lock_system_python(
    path: &Path,
    cache: &InterpreterCache,
) -> Result<LockedPython, RuntimeError> {
    let facts = cache.interrogate(path)?;
    Ok(LockedPython::System {
        version: facts.version,
        sha256: Some(cache.digest(&facts.executable)?),
        path: facts.executable,
    })
}

/// Whether the interpreter a lock names is still there and still the same. Costs one `stat` and a
/// small read as long as it is.
pub fn check_runtime(
    python: &LockedPython,
    store: &Store,
    cache: &InterpreterCache,
) -> Result<(), RuntimeError> {
    match python {
        LockedPython::Managed {
            version, sha256, ..
        } => managed_executable(version, sha256, store).map(|_| ()),
        LockedPython::System {
            version,
            path,
            sha256,
        } => {
            // A lock from another machine names no digest; there the version is all there is.
            let same = match sha256 {
                Some(sha256) => cache.digest(path)? == *sha256,
                None => cache.interrogate(path)?.version == *version,
            };
            if same {
                return Ok(());
            }
            Err(RuntimeError::Changed { path: path.clone() })
        }
    }
}

fn managed_executable(
    version: &Version,
    sha256: &Sha256,
    store: &Store,
) -> Result<PathBuf, RuntimeError> {
    let root = store.files_of(crate::store::Kind::Python, sha256);
    let release = PythonVersion::of(version).unwrap_or(PythonVersion::new(0, 0));
    let executable = if cfg!(windows) {
        root.join("python.exe")
    } else {
        root.join(format!("bin/python{release}"))
    };
    if executable.is_file() {
        return Ok(executable);
    }
    Err(RuntimeError::NotInStore {
        version: version.clone(),
    })
}
