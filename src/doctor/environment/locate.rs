//! Which environment a path means, read from its files: `pyvenv.cfg` (PEP 405), `conda-meta`, or
//! the folders of an installation.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    EnvironmentError,
    ask::{Answer, NoAnswer},
};
use crate::{
    platform::access::may_execute,
    types::{Os, PythonVersion, Version},
};

/// Lets an interpreter say what it is.
pub type Ask<'a> = &'a dyn Fn(&Path) -> Result<Answer, NoAnswer>;

/// What kind of environment it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A virtual environment.
    Venv,
    /// An environment of conda, mamba, pixi, or their base.
    Conda,
    /// A Python installation itself.
    Installation,
    /// The environment of a tool that aienv installed.
    Tool,
}

/// An environment, as far as its files tell.
#[derive(Clone, Debug)]
pub struct Environment {
    /// What kind it is.
    pub kind: Kind,
    /// Its folder.
    pub root: PathBuf,
    /// Its interpreter, which may be a link that leads nowhere.
    pub python: PathBuf,
    /// Version that its own files name.
    pub version: Option<Version>,
    /// The system it is for, by the form of its folders.
    pub os: Os,
    /// Its folders of packages, in the order in which Python looks through them.
    pub site_packages: Vec<PathBuf>,
    /// The folder of the interpreter a virtual environment was made from (`home`).
    pub base: Option<PathBuf>,
    /// A virtual environment lets packages of its base in.
    pub sees_base: bool,
    /// uv made it.
    pub by_uv: bool,
}

impl Environment {
    /// The environment that a path means: an interpreter, or the folder of an environment, or a
    /// folder that holds one as `.venv`. `ask` lets an interpreter say what it is, where files do
    /// not tell; without it, the folders around the interpreter have to do.
    ///
    /// # Errors
    /// There is nothing, or nothing that looks like an environment, or the interpreter says nothing.
    pub fn locate(given: &Path, ask: Option<Ask<'_>>) -> Result<Self, EnvironmentError> {
        let given = std::path::absolute(given).unwrap_or_else(|_| given.to_owned());
        // A link that leads nowhere is a broken environment, not an absent one.
        if given.symlink_metadata().is_err() {
            return Err(EnvironmentError::NotThere { path: given });
        }
        let found = if given.is_dir() {
            let below = [".venv", "venv", "env"].map(|name| given.join(name));
            [given.clone()]
                .iter()
                .chain(&below)
                .find_map(|root| Self::of_root(root, None))
        } else {
            Self::of_interpreter(&given).or_else(|| {
                let resolved = fs::canonicalize(&given).ok()?;
                Self::of_interpreter(&resolved)
            })
        };
        if let Some(environment) = found {
            return Ok(environment);
        }
        let python = match given.is_dir() {
            true => interpreter_in(&given),
            false => Some(given.clone()),
        };
        let none = || EnvironmentError::NoEnvironment {
            path: given.clone(),
        };
        let python = python.ok_or_else(none)?;
        match ask {
            Some(ask) if may_execute(&python) => {
                let answer = ask(&python).map_err(|why| EnvironmentError::Silent {
                    path: python.clone(),
                    why,
                })?;
                Self::of_answer(&answer)
            }
            _ => Self::of_folders(&python),
        }
        .ok_or_else(none)
    }

    /// An environment by its interpreter: PEP 405 looks for `pyvenv.cfg` beside it and one above.
    fn of_interpreter(python: &Path) -> Option<Self> {
        let folder = python.parent()?;
        [Some(folder), folder.parent()]
            .into_iter()
            .flatten()
            .find_map(|root| Self::of_root(root, Some(python)))
    }

    /// An environment by its folder.
    fn of_root(root: &Path, python: Option<&Path>) -> Option<Self> {
        let config = fs::read_to_string(root.join("pyvenv.cfg")).ok();
        let is_conda = root.join("conda-meta").is_dir();
        if config.is_none() && !is_conda {
            return None;
        }
        let os = system_of(root);
        let python = match python {
            Some(python) => python.to_owned(),
            None => interpreter_in(root).unwrap_or_else(|| match os {
                Os::Windows if is_conda => root.join("python.exe"),
                Os::Windows => root.join("Scripts").join("python.exe"),
                _ => root.join("bin").join("python"),
            }),
        };
        let mut environment = Self {
            kind: if config.is_some() {
                Kind::Venv
            } else {
                Kind::Conda
            },
            root: root.to_owned(),
            python,
            version: None,
            os,
            site_packages: Vec::new(),
            base: None,
            sees_base: false,
            by_uv: false,
        };
        match config {
            Some(config) => environment.read_config(&config),
            None => environment.version = conda_python(root),
        }
        let feature = environment.feature();
        environment.site_packages = site_packages(root, os, feature);
        Some(environment)
    }

    fn read_config(&mut self, config: &str) {
        for line in config.lines() {
            let Some((key, value)) = line.split_once('=') else {
                continue;
            };
            let value = value.trim();
            match key.trim().to_ascii_lowercase().as_str() {
                "home" => self.base = Some(PathBuf::from(value)),
                // virtualenv writes `version_info = 3.12.1.final.0`.
                "version" | "version_info" if self.version.is_none() => {
                    let numbers: Vec<&str> = value.split('.').take(3).collect();
                    self.version = numbers.join(".").parse().ok();
                }
                "include-system-site-packages" => {
                    self.sees_base = value.eq_ignore_ascii_case("true");
                }
                "uv" => self.by_uv = true,
                _ => {}
            }
        }
    }

    /// An installation, by what its interpreter says.
    fn of_answer(answer: &Answer) -> Option<Self> {
        // The interpreter may have led on to an environment that files tell about.
        if let Some(known) = Self::of_interpreter(&answer.executable) {
            return Some(known);
        }
        Some(Self {
            kind: Kind::Installation,
            root: answer.prefix.clone(),
            python: answer.executable.clone(),
            version: Some(answer.version.parse().ok()?),
            os: system_of(&answer.prefix),
            // What the user installed for it comes first, and is what it is used with.
            site_packages: answer
                .user_site
                .iter()
                .filter(|folder| folder.is_dir())
                .cloned()
                .chain(answer.site_packages())
                .collect(),
            base: None,
            sees_base: false,
            by_uv: false,
        })
    }

    /// An installation, by the folders around its interpreter: `bin/python3.12` beside
    /// `lib/python3.12`, or `python.exe` beside `Lib`.
    fn of_folders(python: &Path) -> Option<Self> {
        let python = fs::canonicalize(python).ok()?;
        let folder = python.parent()?;
        let windows = folder.join("Lib").join("site-packages");
        let (root, os, version, site_packages) = if windows.is_dir() {
            (folder, Os::Windows, None, vec![windows])
        } else {
            let root = folder.parent()?;
            let lib = root.join("lib");
            let name = python.file_name()?.to_str()?;
            let (_, release) = versions_in(&lib)
                .into_iter()
                .find(|(known, _)| known == name)?;
            let own = format!("python{release}");
            let mut folders = vec![
                root.join("local/lib").join(&own).join("dist-packages"),
                lib.join(&own).join("site-packages"),
                lib.join(&own).join("dist-packages"),
                lib.join("python3").join("dist-packages"),
            ];
            folders.retain(|folder| folder.is_dir());
            let version = release.to_string().parse().ok();
            (root, system_of(root), version, folders)
        };
        Some(Self {
            kind: Kind::Installation,
            root: root.to_owned(),
            version,
            os,
            site_packages,
            base: None,
            sees_base: false,
            by_uv: false,
            python: python.clone(),
        })
    }

    /// Whether the system's package manager owns it, so that pip refuses to install into it
    /// (PEP 668).
    pub fn is_externally_managed(&self) -> bool {
        let lib = self.root.join("lib");
        self.kind == Kind::Installation
            && versions_in(&lib)
                .into_iter()
                .any(|(name, _)| lib.join(name).join("EXTERNALLY-MANAGED").is_file())
    }

    /// The feature release, where it is known.
    pub fn feature(&self) -> Option<PythonVersion> {
        PythonVersion::of(self.version.as_ref()?)
    }

    /// What to call it.
    pub fn title(&self) -> String {
        let kind = match self.kind {
            Kind::Venv => "the virtual environment",
            Kind::Conda => "the conda environment",
            Kind::Installation => "the Python installation",
            Kind::Tool => "the environment",
        };
        format!("{kind} `{}`", self.root.display())
    }
}

/// The form of an environment's folders: `Scripts` and `Lib`, or `bin` and `lib`.
fn system_of(root: &Path) -> Os {
    let is_windows = ["Scripts/python.exe", "python.exe", "Scripts/activate.bat"]
        .iter()
        .any(|file| root.join(file).is_file());
    let has_unix_python = ["bin/python", "bin/python3"]
        .iter()
        .any(|file| root.join(file).symlink_metadata().is_ok());
    match (is_windows && !has_unix_python, cfg!(target_os = "macos")) {
        (true, _) => Os::Windows,
        (false, true) => Os::Macos,
        (false, false) => Os::Linux,
    }
}

fn interpreter_in(root: &Path) -> Option<PathBuf> {
    [
        "bin/python",
        "bin/python3",
        "Scripts/python.exe",
        "python.exe",
    ]
    .iter()
    .map(|below| root.join(below))
    .find(|path| path.symlink_metadata().is_ok())
}

/// The folders of packages of an environment. Without a known version all of them are taken.
fn site_packages(root: &Path, os: Os, feature: Option<PythonVersion>) -> Vec<PathBuf> {
    if os == Os::Windows {
        return vec![root.join("Lib").join("site-packages")];
    }
    let mut folders = Vec::new();
    for lib in ["lib", "lib64"] {
        let lib = root.join(lib);
        // Most environments have `lib64` as a link to `lib`.
        if lib.is_symlink() {
            continue;
        }
        for (name, version) in versions_in(&lib) {
            if feature.is_none_or(|feature| feature == version) {
                folders.push(lib.join(name).join("site-packages"));
            }
        }
    }
    folders.retain(|folder| folder.is_dir());
    folders
}

/// The `python3.x` folders of a `lib` folder, sorted.
pub(super) fn versions_in(lib: &Path) -> Vec<(String, PythonVersion)> {
    let mut found: Vec<(String, PythonVersion)> = fs::read_dir(lib)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let version = name.strip_prefix("python")?.trim_end_matches('t').parse();
            Some((name, version.ok()?))
        })
        .collect();
    found.sort();
    found
}

/// Version of the Python package of a conda environment: `conda-meta/python-3.12.1-h….json`.
fn conda_python(root: &Path) -> Option<Version> {
    fs::read_dir(root.join("conda-meta"))
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .find_map(|name| {
            let rest = name.strip_prefix("python-")?;
            rest.split('-').next()?.parse().ok()
        })
}
