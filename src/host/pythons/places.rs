//! Where Python interpreters are kept. Only names are looked at here; whether a file is a usable
//! interpreter is decided in [`super::inspect`].

use std::path::{Path, PathBuf};

use crate::host::{
    Env, PythonOrigin,
    root::{Root, names},
};

/// A file that may be an interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) origin: PythonOrigin,
    /// Keep this path rather than the one its links lead to: it survives updates.
    pub(super) keep_link: bool,
}

impl Candidate {
    fn new(path: PathBuf, origin: PythonOrigin) -> Self {
        Self {
            path,
            origin,
            keep_link: false,
        }
    }
}

/// Every place, the stable names of Homebrew before the PATH that leads to the same files.
pub(super) fn candidates(root: &Root, env: Env<'_>) -> Vec<Candidate> {
    let home = home(env);
    let mut found = homebrew(root);
    found.extend(on_path(root, env));
    found.extend(pyenv(env, home.as_deref()));
    found.extend(conda(root, env, home.as_deref()));
    #[cfg(windows)]
    found.extend(registry());
    found
}

fn home(env: Env<'_>) -> Option<PathBuf> {
    ["HOME", "USERPROFILE"]
        .iter()
        .find_map(|name| env(name).filter(|value| !value.is_empty()))
        .map(PathBuf::from)
}

/// `python`, `python3`, `python3.12` or `python3.13t`, with `.exe` on Windows.
pub(super) fn is_interpreter_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = match (cfg!(windows), name.strip_suffix(".exe")) {
        (true, Some(stem)) => stem,
        (true, None) => return false,
        (false, _) => name.as_str(),
    };
    let Some(version) = name.strip_prefix("python") else {
        return false;
    };
    match version.split_once('.') {
        None => matches!(version, "" | "3"),
        Some((major, minor)) => {
            let minor = minor.strip_suffix('t').unwrap_or(minor);
            major == "3" && !minor.is_empty() && minor.bytes().all(|b| b.is_ascii_digit())
        }
    }
}

/// The interpreters in one folder of programs, by name.
fn in_folder(folder: &Path, origin: PythonOrigin) -> Vec<Candidate> {
    names(folder)
        .into_iter()
        .filter(|name| is_interpreter_name(name))
        .map(|name| Candidate::new(folder.join(name), origin))
        .collect()
}

/// The interpreters of an installation: in `bin`, or at its top on Windows.
fn in_prefix(prefix: &Path, origin: PythonOrigin) -> Vec<Candidate> {
    let folder = if cfg!(windows) {
        prefix.to_owned()
    } else {
        prefix.join("bin")
    };
    in_folder(&folder, origin)
}

fn on_path(root: &Root, env: Env<'_>) -> Vec<Candidate> {
    let path = env("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path)
        // A relative folder means another place for every caller.
        .filter(|folder| folder.is_absolute())
        .collect();
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    if cfg!(target_os = "macos") {
        // Without the developer tools, these names open a dialogue that offers to install them.
        folders.retain(|folder| folder != Path::new("/usr/bin"));
        folders.push(root.path("/Library/Developer/CommandLineTools/usr/bin"));
    }
    folders
        .iter()
        .flat_map(|folder| in_folder(folder, PythonOrigin::Path))
        .filter(|candidate| !is_store_stub(&candidate.path))
        .collect()
}

/// On Windows, empty files of these names open the Microsoft Store.
fn is_store_stub(path: &Path) -> bool {
    cfg!(windows) && path.metadata().map_or(true, |metadata| metadata.len() == 0)
}

/// The folder of pyenv's versions.
pub(super) fn pyenv_versions(env: Env<'_>, home: Option<&Path>) -> Option<PathBuf> {
    let root = env("PYENV_ROOT")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| {
            let home = home?;
            Some(if cfg!(windows) {
                home.join(".pyenv").join("pyenv-win")
            } else {
                home.join(".pyenv")
            })
        })?;
    Some(root.join("versions"))
}

fn pyenv(env: Env<'_>, home: Option<&Path>) -> Vec<Candidate> {
    let Some(versions) = pyenv_versions(env, home) else {
        return Vec::new();
    };
    names(&versions)
        .into_iter()
        .flat_map(|name| in_prefix(&versions.join(name), PythonOrigin::Pyenv))
        .collect()
}

/// Conda installations by their usual folders and by what an active one says, with their
/// environments.
fn conda(root: &Root, env: Env<'_>, home: Option<&Path>) -> Vec<Candidate> {
    const NAMES: [&str; 5] = [
        "miniconda3",
        "anaconda3",
        "miniforge3",
        "mambaforge",
        "micromamba",
    ];
    let mut installations: Vec<PathBuf> = Vec::new();
    let executable = env("CONDA_EXE").filter(|value| !value.is_empty());
    // `<installation>/bin/conda`, on Windows `<installation>\Scripts\conda.exe`.
    installations.extend(
        executable
            .as_deref()
            .and_then(|path| Path::new(path).parent()?.parent().map(Path::to_owned)),
    );
    installations.extend(env("MAMBA_ROOT_PREFIX").map(PathBuf::from));
    for base in [home.map(Path::to_owned), Some(root.path("/opt"))]
        .into_iter()
        .flatten()
    {
        installations.extend(NAMES.map(|name| base.join(name)));
    }
    installations.push(root.path("/opt/conda"));
    let mut prefixes: Vec<PathBuf> = env("CONDA_PREFIX")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .into_iter()
        .collect();
    for installation in installations {
        let environments = installation.join("envs");
        prefixes.push(installation);
        prefixes.extend(
            names(&environments)
                .iter()
                .map(|name| environments.join(name)),
        );
    }
    if let Some(home) = home {
        // Where conda writes down every environment it made, one path a line.
        let list = home.join(".conda").join("environments.txt");
        let text = std::fs::read_to_string(list).unwrap_or_default();
        prefixes.extend(
            text.lines()
                .map(|line| PathBuf::from(line.trim()))
                .filter(|prefix| prefix.is_absolute()),
        );
    }
    prefixes
        .iter()
        .flat_map(|prefix| in_prefix(prefix, PythonOrigin::Conda))
        .collect()
}

/// Homebrew's `opt` links, which stay while the versioned folders they lead to come and go.
fn homebrew(root: &Root) -> Vec<Candidate> {
    [
        "/opt/homebrew/opt",
        "/usr/local/opt",
        "/home/linuxbrew/.linuxbrew/opt",
    ]
    .iter()
    .flat_map(|opt| {
        let folder = root.path(opt);
        names(&folder)
            .into_iter()
            .filter(|name| name.starts_with("python@3") || name == "python3")
            .flat_map(|name| in_folder(&folder.join(name).join("bin"), PythonOrigin::Homebrew))
            .collect::<Vec<_>>()
    })
    .map(|candidate| Candidate {
        keep_link: true,
        ..candidate
    })
    .collect()
}

/// PEP 514: `Software\Python\<company>\<tag>\InstallPath`, for the user and for the machine.
#[cfg(windows)]
fn registry() -> Vec<Candidate> {
    use windows_registry::{CURRENT_USER, LOCAL_MACHINE};

    let mut found = Vec::new();
    for hive in [CURRENT_USER, LOCAL_MACHINE] {
        let Ok(python) = hive.open(r"Software\Python") else {
            continue;
        };
        for company in python.keys().into_iter().flatten() {
            // The launcher's own key; PEP 514 reserves the name.
            if company == "PyLauncher" {
                continue;
            }
            let Ok(company) = python.open(&company) else {
                continue;
            };
            for tag in company.keys().into_iter().flatten() {
                let Ok(install) = company.open(format!(r"{tag}\InstallPath")) else {
                    continue;
                };
                let executable = install
                    .get_string("ExecutablePath")
                    .map(PathBuf::from)
                    .or_else(|_| {
                        install
                            .get_string("")
                            .map(|folder| PathBuf::from(folder).join("python.exe"))
                    });
                found.extend(executable.map(|path| Candidate::new(path, PythonOrigin::Registry)));
            }
        }
    }
    found
}

/// An environment of a test: a list of variables.
#[cfg(all(test, not(windows)))]
pub(super) fn variables<'a>(
    variables: &'a [(&'a str, std::ffi::OsString)],
) -> impl Fn(&str) -> Option<std::ffi::OsString> + Sync + 'a {
    move |name| {
        variables
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone())
    }
}

#[cfg(all(test, not(windows)))]
mod tests {
    use super::*;

    #[test]
    fn names_of_interpreters() {
        for name in [
            "python",
            "python3",
            "python3.9",
            "python3.14",
            "python3.13t",
        ] {
            assert!(is_interpreter_name(name), "{name}");
        }
        for name in [
            "python2",
            "python2.7",
            "python3-config",
            "python3.12-config",
            "python3.",
            "python3.t",
            "pythonw",
            "pypy3",
            "ipython3",
            "python-build",
        ] {
            assert!(!is_interpreter_name(name), "{name}");
        }
    }
}
