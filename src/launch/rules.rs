//! What every start changes in the environment, whatever the tool.
//!
//! Kept, on purpose: `LD_PRELOAD` (set by allocators and proxies that the user chose, and by
//! absolute path), `CUDA_VISIBLE_DEVICES`, `HSA_OVERRIDE_GFX_VERSION`, `HF_HOME` and other knobs
//! that tools document, index and proxy settings. `VIRTUAL_ENV` is removed and not set anew:
//! installers take it as leave to write into that folder, and a prefix is never written to.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::types::{Accelerator, Os};

/// Variables that would lead a tool to code or settings of another environment.
pub const REMOVED: &[&str] = &[
    // Where Python finds modules, and switches that change what programs mean: without asserts,
    // without the script's own folder.
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "PYTHONEXECUTABLE",
    "PYTHONPLATLIBDIR",
    "PYTHONSAFEPATH",
    "PYTHONOPTIMIZE",
    "PYTHONINSPECT",
    "__PYVENV_LAUNCHER__",
    // Other environments that are active in the user's shell.
    "VIRTUAL_ENV",
    "VIRTUAL_ENV_PROMPT",
    "CONDA_PREFIX*",
    "CONDA_DEFAULT_ENV",
    "CONDA_PYTHON_EXE",
    "CONDA_PROMPT_MODIFIER",
    "CONDA_SHLVL",
    "PIPENV_ACTIVE",
    "POETRY_ACTIVE",
    // Installers told to write somewhere else.
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_USER",
    "PIP_PYTHON",
    "UV_PROJECT_ENVIRONMENT",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    // Libraries of another toolkit than the tool's wheels were built for.
    "DYLD_*",
    "CUDA_HOME",
    "CUDA_ROOT",
    "CUDA_PATH*",
    "CUDNN_PATH",
    "ROCM_HOME",
    "ROCM_PATH",
    "HIP_PATH*",
];

/// Libraries that come with a GPU driver. In containers `LD_LIBRARY_PATH` may be the only way to
/// them, so its folders that hold one stay and all others go.
pub const DRIVER_LIBRARIES: &[&str] = &[
    "libcuda.so.1",
    "libnvidia-ml.so.1",
    "libze_intel_gpu.so.1",
    "librocdxg.so",
];

/// Folders of the CUDA libraries that came as packages: `site-packages/nvidia/*/lib`, on Windows
/// `…/bin` and `…/bin/x86_64`. torch finds them by itself; programs such as CTranslate2 and ONNX
/// Runtime load them by name and need the loader's search path. Sorted; none unless the
/// accelerator is CUDA.
pub fn library_folders(site_packages: &Path, accelerator: Accelerator, os: Os) -> Vec<PathBuf> {
    if accelerator.kind() != "cuda" {
        return Vec::new();
    }
    let below: &[&str] = match os {
        Os::Windows => &["bin", "bin/x86_64"],
        Os::Linux | Os::Macos => &["lib"],
    };
    let Ok(entries) = std::fs::read_dir(site_packages.join("nvidia")) else {
        return Vec::new();
    };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .flat_map(|entry| below.iter().map(move |leaf| entry.path().join(leaf)))
        .filter(|folder| folder.is_dir())
        .collect();
    folders.sort();
    folders
}

/// The changes that are the same for every tool, without its own variables.
pub fn base(libraries: &[PathBuf], bin: &Path, os: Os) -> aienv_shim::Environment {
    let library_path = match os {
        Os::Windows => "PATH",
        Os::Linux | Os::Macos => "LD_LIBRARY_PATH",
    };
    let mut prepend = vec![(OsString::from("PATH"), bin.into())];
    prepend.extend(
        libraries
            .iter()
            .map(|folder| (library_path.into(), folder.into())),
    );
    aienv_shim::Environment {
        keep: match os {
            Os::Linux => vec![(
                "LD_LIBRARY_PATH".into(),
                DRIVER_LIBRARIES.iter().map(Into::into).collect(),
            )],
            Os::Macos | Os::Windows => Vec::new(),
        },
        remove: REMOVED.iter().map(Into::into).collect(),
        set: vec![("PYTHONNOUSERSITE".into(), "1".into())],
        defaults: Vec::new(),
        prepend,
    }
}
