//! The two resolvers: their command lines, their caches, how their answers are read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use aienv::types::Version;
use serde::Deserialize;

use super::{
    Result,
    measure::{self, Sample},
    programs::remove_all,
    sets::Set,
};

/// Versions by normalised name.
pub type Solution = BTreeMap<String, Version>;

/// What a resolver says.
#[derive(Debug)]
pub enum Answer {
    /// There is a solution.
    Solved(Solution),
    /// There is none; its words.
    Refused(String),
}

impl Answer {
    /// The solution, if there is one.
    pub fn solution(&self) -> Option<&Solution> {
        match self {
            Self::Solved(solution) => Some(solution),
            Self::Refused(_) => None,
        }
    }
}

/// What is the same for all sets.
pub struct Place {
    /// Folder for everything that is written.
    pub folder: PathBuf,
    /// The aienv program.
    pub aienv: PathBuf,
    /// The uv program.
    pub uv: PathBuf,
    /// The index for both, when it is not their default.
    pub index: Option<String>,
    /// A torch index that has nothing, so that torch comes from the same index for both.
    pub torch_index: String,
}

/// One of the two.
pub trait Resolver {
    /// The name for people.
    fn name(&self) -> &'static str;
    /// Resolves a set, with further constraints of the form `name==version`.
    fn resolve(&self, set: &Set, pins: &[String]) -> Result<(Answer, Sample)>;
    /// Empties the caches.
    fn forget(&self) -> Result<()>;
}

/// aienv with a home of its own.
pub struct Aienv<'p> {
    place: &'p Place,
    home: PathBuf,
    python: PathBuf,
}

impl<'p> Aienv<'p> {
    /// On one interpreter.
    pub fn new(place: &'p Place, python: &Path) -> Self {
        Self {
            home: place.folder.join("home"),
            python: python.to_owned(),
            place,
        }
    }
}

#[derive(Deserialize)]
struct PyLock {
    #[serde(default)]
    packages: Vec<PyLockPackage>,
    tool: PyLockTool,
}

#[derive(Deserialize)]
struct PyLockPackage {
    name: String,
    version: Version,
}

#[derive(Deserialize)]
struct PyLockTool {
    aienv: PyLockAienv,
}

#[derive(Deserialize)]
struct PyLockAienv {
    python: PyLockPython,
}

#[derive(Deserialize)]
struct PyLockPython {
    path: PathBuf,
}

impl Resolver for Aienv<'_> {
    fn name(&self) -> &'static str {
        "aienv"
    }

    fn resolve(&self, set: &Set, pins: &[String]) -> Result<(Answer, Sample)> {
        let manifest = self.place.folder.join("set.toml");
        let lock = self.place.folder.join("pylock.toml");
        fs::write(&manifest, set.manifest(pins)?)?;
        let mut command = Command::new(&self.place.aienv);
        command
            .args(["lock", "--quiet", "--python-preference", "system"])
            .args(["--python", &set.python, "--output"])
            .args([&lock, &manifest])
            .env("AIENV_HOME", &self.home)
            .env("AIENV_TORCH_MIRROR", &self.place.torch_index)
            .env_remove("PIP_FIND_LINKS");
        // The interpreter that uv is given, first on PATH.
        let folder = self.python.parent().map(Path::to_owned);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = folder.into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(path)?);
        if let Some(index) = &self.place.index {
            command.env("AIENV_INDEX_URL", index);
        }
        let (sample, said) = measure::run(command)?;
        if let Some(said) = said {
            return Ok((Answer::Refused(said), sample));
        }
        let lock: PyLock = toml::from_str(&fs::read_to_string(lock)?)?;
        if lock.tool.aienv.python.path != self.python {
            let (got, wanted) = (lock.tool.aienv.python.path, &self.python);
            return Err(format!("aienv took {} and not {wanted:?}", got.display()).into());
        }
        let packages = lock.packages.into_iter().map(|p| (p.name, p.version));
        Ok((Answer::Solved(packages.collect()), sample))
    }

    fn forget(&self) -> Result<()> {
        remove_all(&self.home)
    }
}

/// uv with a cache of its own.
pub struct Uv<'p> {
    place: &'p Place,
    cache: PathBuf,
    python: PathBuf,
}

impl<'p> Uv<'p> {
    /// On one interpreter.
    pub fn new(place: &'p Place, python: &Path) -> Self {
        Self {
            cache: place.folder.join("uv-cache"),
            python: python.to_owned(),
            place,
        }
    }

    fn file(&self, name: &str, lines: &[String]) -> Result<PathBuf> {
        let path = self.place.folder.join(name);
        fs::write(&path, lines.join("\n"))?;
        Ok(path)
    }
}

impl Resolver for Uv<'_> {
    fn name(&self) -> &'static str {
        "uv"
    }

    fn resolve(&self, set: &Set, pins: &[String]) -> Result<(Answer, Sample)> {
        let requirements = self.file("requirements.in", &set.requirements)?;
        let constraints: Vec<_> = set.constraints.iter().chain(pins).cloned().collect();
        let output = self.place.folder.join("requirements.txt");
        let mut command = Command::new(&self.place.uv);
        command
            .args(["pip", "compile", "--quiet", "--upgrade", "--no-header"])
            .args(["--no-annotate", "--generate-hashes"])
            .args(["--only-binary", ":all:", "--python"])
            .arg(&self.python)
            .arg("--constraints")
            .arg(self.file("constraints.in", &constraints)?)
            .arg("--overrides")
            .arg(self.file("overrides.in", &set.overrides)?)
            .arg("--output-file")
            .arg(&output)
            .arg(requirements)
            .env("UV_CACHE_DIR", &self.cache)
            .env("UV_NO_CONFIG", "1")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env_remove("VIRTUAL_ENV");
        if let Some(index) = &self.place.index {
            command.env("UV_DEFAULT_INDEX", index);
        }
        let (sample, said) = measure::run(command)?;
        if let Some(said) = said {
            return Ok((Answer::Refused(said), sample));
        }
        let mut solution = Solution::new();
        let text = fs::read_to_string(output)?;
        for line in text.lines().filter(|line| !line.starts_with([' ', '#'])) {
            let line = line.trim_end_matches(['\\', ' ']);
            let (name, version) = line
                .split_once("==")
                .ok_or_else(|| format!("uv wrote `{line}`"))?;
            solution.insert(name.to_owned(), version.parse()?);
        }
        Ok((Answer::Solved(solution), sample))
    }

    fn forget(&self) -> Result<()> {
        remove_all(&self.cache)
    }
}

/// A solution as constraints that leave no other.
pub fn pins(solution: &Solution) -> Vec<String> {
    let pin = |(name, version): (&String, &Version)| format!("{name}=={version}");
    solution.iter().map(pin).collect()
}
