//! What an interpreter says of itself: the little that files do not tell.
//!
//! It runs isolated (`-I`): neither the user's variables nor packages of the user's home reach it.
//! Its own start-up files (`*.pth`, `sitecustomize`) do run, since they decide where packages are.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde::Deserialize;

use crate::platform::process::{last_lines, run_within};

const QUESTION: &str = include_str!("ask.py");
/// A cold start from a slow disk takes seconds.
const PATIENCE: Duration = Duration::from_secs(20);
const MAX_ANSWER: u64 = 1 << 20;

/// What an interpreter says.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// Its own path, links kept.
    pub executable: PathBuf,
    /// `sys.prefix`.
    pub prefix: PathBuf,
    /// `sys.base_prefix`.
    pub base_prefix: PathBuf,
    /// `cpython`, `pypy` …
    pub implementation: String,
    /// Full version.
    pub version: String,
    /// 64, or 32.
    pub pointer_bits: u32,
    /// `platform.machine()`.
    pub machine: String,
    /// Where it looks for modules.
    pub path: Vec<PathBuf>,
    /// Where the user's own packages are, whether it looks there or not.
    pub user_site: Option<PathBuf>,
    /// The ending of compiled modules: `.cpython-312-x86_64-linux-gnu.so`.
    pub ext_suffix: String,
}

impl Answer {
    /// The folders of packages among those it looks through.
    pub fn site_packages(&self) -> Vec<PathBuf> {
        self.path
            .iter()
            .filter(|folder| {
                let name = folder.file_name().unwrap_or_default();
                (name == "site-packages" || name == "dist-packages") && folder.is_dir()
            })
            .cloned()
            .collect()
    }
}

/// Why an interpreter gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It could not be started.
    NotStarted(String),
    /// It ended with an error; the last lines of what it said.
    Failed(String),
    /// It did not end in time.
    Hung,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(why) => write!(f, "it cannot be started: {why}"),
            Self::Failed(said) => write!(f, "it fails: {}", said.trim()),
            Self::Hung => f.write_str("it does not answer"),
        }
    }
}

/// Asks an interpreter what it is.
///
/// # Errors
/// It cannot be started, fails, hangs, or says something else.
pub fn ask(python: &Path) -> Result<Answer, NoAnswer> {
    let mut command = Command::new(python);
    command
        .args(["-I", "-c", QUESTION])
        .env_remove("PYTHONHOME");
    let ended = run_within(&mut command, PATIENCE, MAX_ANSWER)
        .map_err(|error| NoAnswer::NotStarted(error.to_string()))?;
    let status = ended.status.ok_or(NoAnswer::Hung)?;
    let failed = |said: &[u8]| NoAnswer::Failed(last_lines(said, 6));
    if !status.success() {
        return Err(failed(&ended.stderr));
    }
    serde_json::from_slice(&ended.stdout).map_err(|_| failed(&ended.stdout))
}
