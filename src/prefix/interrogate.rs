//! What an interpreter of the machine is: asked once by running it, remembered by path, size and
//! modification time.
//!
//! The interpreter runs isolated (`-I`) and without `site` (`-S`), so neither the user's
//! environment nor a broken package can interfere. A virtual environment is resolved to the
//! interpreter it was made from, since an environment of an environment would die with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use super::error::RuntimeError;
use crate::{
    platform::process::run_within,
    types::{PythonVersion, Sha256, Version},
};

/// How long an interpreter may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer that are read.
const MAX_ANSWER: u64 = 1 << 20;
/// The oldest feature release that aienv makes environments for.
pub const OLDEST: PythonVersion = PythonVersion::new(3, 9);

const QUESTION: &str = r#"
import json, os, platform, struct, sys, sysconfig
try:
    libc = platform.libc_ver()
except Exception:
    libc = ("", "")
print(json.dumps({
    "implementation": sys.implementation.name,
    "version": platform.python_version().rstrip("+"),
    "executable": getattr(sys, "_base_executable", None) or sys.executable,
    "base_prefix": sys.base_prefix,
    "platform": sys.platform,
    "machine": platform.machine(),
    "libc": list(libc),
    "pointer_bits": struct.calcsize("P") * 8,
    "ext_suffix": sysconfig.get_config_var("EXT_SUFFIX") or "",
    "abi_flags": getattr(sys, "abiflags", ""),
    "freethreaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
}))
"#;

/// What an interpreter said about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterpreterFacts {
    /// `cpython`, `pypy` …
    pub implementation: String,
    /// Full version.
    pub version: Version,
    /// The interpreter itself, links resolved; of a virtual environment, its base.
    pub executable: PathBuf,
    /// Where it is installed.
    pub base_prefix: PathBuf,
    /// `sys.platform`.
    pub platform: String,
    /// `platform.machine()`.
    pub machine: String,
    /// C library and its version as the interpreter was linked; both may be empty.
    pub libc: (String, String),
    /// 64, or 32.
    pub pointer_bits: u32,
    /// Suffix of extension modules: `.cpython-312-x86_64-linux-gnu.so`.
    pub ext_suffix: String,
    /// `sys.abiflags`.
    pub abi_flags: String,
    /// Built without the global interpreter lock.
    pub freethreaded: bool,
}

impl InterpreterFacts {
    /// The feature release.
    pub fn feature_release(&self) -> PythonVersion {
        PythonVersion::of(&self.version).unwrap_or(PythonVersion::new(0, 0))
    }
}

/// What is remembered about a file: facts and digest belong to this size and time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Memory {
    size: u64,
    modified_ns: u128,
    #[serde(default)]
    facts: Option<InterpreterFacts>,
    #[serde(default)]
    sha256: Option<Sha256>,
}

/// Remembers interpreters in a folder of the cache. Losing the folder costs only time.
#[derive(Clone, Debug)]
pub struct InterpreterCache {
    folder: PathBuf,
}

impl InterpreterCache {
    /// The cache of a home.
    pub fn of(home: &crate::home::Home) -> Self {
        Self {
            folder: home.cache().join("pythons"),
        }
    }

    /// What the interpreter at this path is, if it is one that environments can be made with.
    pub fn interrogate(&self, path: &Path) -> Result<InterpreterFacts, RuntimeError> {
        let path = base_of_environment(path);
        let mut memory = self.recall(&path)?;
        let facts = match memory.facts.take() {
            Some(facts) => facts,
            None => {
                let facts = ask(&path, PATIENCE)?;
                memory.facts = Some(facts.clone());
                self.remember(&path, &memory);
                facts
            }
        };
        check(&path, &facts)?;
        Ok(facts)
    }

    /// The digest of an executable; read only when size or time are not the remembered ones.
    pub fn digest(&self, path: &Path) -> Result<Sha256, RuntimeError> {
        let mut memory = self.recall(path)?;
        if let Some(sha256) = memory.sha256 {
            return Ok(sha256);
        }
        let sha256 = fs::File::open(path)
            .and_then(Sha256::of_reader)
            .map_err(|source| unreadable(path, source))?;
        memory.sha256 = Some(sha256);
        self.remember(path, &memory);
        Ok(sha256)
    }

    /// What is remembered, if the file is still the same one.
    fn recall(&self, path: &Path) -> Result<Memory, RuntimeError> {
        let metadata = fs::metadata(path).map_err(|source| unreadable(path, source))?;
        let modified = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let now = Memory {
            size: metadata.len(),
            modified_ns: modified.map_or(0, |age| age.as_nanos()),
            facts: None,
            sha256: None,
        };
        let remembered = fs::read(self.file(path))
            .ok()
            .and_then(|text| serde_json::from_slice::<Memory>(&text).ok())
            .filter(|m| (m.size, m.modified_ns) == (now.size, now.modified_ns));
        Ok(remembered.unwrap_or(now))
    }

    /// A cache that cannot be written is no error.
    fn remember(&self, path: &Path, memory: &Memory) {
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(&self.folder)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            serde_json::to_writer(&mut file, memory)?;
            file.persist(self.file(path))?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::debug!("the interpreter cache was not written: {error}");
        }
    }

    fn file(&self, path: &Path) -> PathBuf {
        let name = Sha256::of(path.as_os_str().as_encoded_bytes());
        self.folder.join(format!("{name}.json"))
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> RuntimeError {
    if source.kind() == std::io::ErrorKind::NotFound {
        RuntimeError::Gone {
            path: path.to_path_buf(),
        }
    } else {
        RuntimeError::NotRunnable {
            path: path.to_path_buf(),
            source,
        }
    }
}

/// The interpreter a virtual environment was made from (PEP 405: `home` in `pyvenv.cfg`); the path
/// itself when it is not in one.
fn base_of_environment(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..5 {
        let Some(base) = base_one_step(&path) else {
            break;
        };
        path = base;
    }
    // `pyenv` and the like put scripts on PATH; those stay as they are and answer for themselves.
    fs::canonicalize(&path).unwrap_or(path)
}

fn base_one_step(path: &Path) -> Option<PathBuf> {
    let folder = path.parent()?;
    let text = [Some(folder), folder.parent()]
        .into_iter()
        .flatten()
        .find_map(|place| fs::read_to_string(place.join("pyvenv.cfg")).ok())?;
    let home = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case("home")
            .then(|| PathBuf::from(value.trim()))
    })?;
    let own_name = path.file_name()?.to_owned();
    [
        own_name,
        "python3".into(),
        "python".into(),
        "python.exe".into(),
    ]
    .into_iter()
    .map(|name| home.join(name))
    .find(|candidate| candidate.is_file() && candidate != path)
}

/// Runs the interpreter.
fn ask(path: &Path, patience: Duration) -> Result<InterpreterFacts, RuntimeError> {
    let mut command = Command::new(path);
    command
        .args(["-I", "-S", "-c", QUESTION])
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .env_remove("__PYVENV_LAUNCHER__");
    let ended = run_within(&mut command, patience, MAX_ANSWER)
        .map_err(|source| unreadable(path, source))?;
    let Some(status) = ended.status else {
        return Err(RuntimeError::Hangs {
            path: path.to_path_buf(),
            seconds: patience.as_secs(),
        });
    };
    let fails = |said: &[u8]| RuntimeError::Fails {
        path: path.to_path_buf(),
        said: last_line(said),
    };
    if !status.success() {
        return Err(fails(&ended.stderr));
    }
    let mut facts: InterpreterFacts =
        serde_json::from_slice(&ended.stdout).map_err(|_| fails(&ended.stdout))?;
    facts.executable = fs::canonicalize(&facts.executable).unwrap_or(facts.executable);
    Ok(facts)
}

fn last_line(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("nothing")
        .trim()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect()
}

/// Whether environments can be made with it.
fn check(path: &Path, facts: &InterpreterFacts) -> Result<(), RuntimeError> {
    let path = path.to_path_buf();
    if facts.implementation != "cpython" {
        return Err(RuntimeError::NotCPython {
            path,
            implementation: facts.implementation.clone(),
        });
    }
    if facts.pointer_bits != 64 {
        return Err(RuntimeError::Not64Bit { path });
    }
    if facts.feature_release() < OLDEST {
        return Err(RuntimeError::TooOld {
            path,
            version: facts.version.clone(),
            oldest: OLDEST,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(folder: &Path) -> InterpreterCache {
        InterpreterCache::of(&crate::home::Home::at(folder.join("home")))
    }

    #[cfg(unix)]
    fn program(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("python3");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        crate::platform::set_executable(&path, true).unwrap();
        path
    }

    #[cfg(unix)]
    fn says(version: &str, implementation: &str, bits: u32) -> String {
        format!(
            "echo '{{\"implementation\":\"{implementation}\",\"version\":\"{version}\",\
             \"executable\":\"/x\",\"base_prefix\":\"/\",\"platform\":\"linux\",\
             \"machine\":\"x86_64\",\"libc\":[\"\",\"\"],\"pointer_bits\":{bits},\
             \"ext_suffix\":\"\",\"abi_flags\":\"\",\"freethreaded\":false}}'"
        )
    }

    #[cfg(unix)]
    #[test]
    fn unusable_interpreters_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |text: &str| {
            let path = program(folder.path(), text);
            let _ = fs::remove_dir_all(folder.path().join("home"));
            cache(folder.path()).interrogate(&path)
        };
        assert!(matches!(ask("exit 3"), Err(RuntimeError::Fails { .. })));
        assert!(matches!(ask("kill -9 $$"), Err(RuntimeError::Fails { .. })));
        assert!(matches!(ask("echo hello"), Err(RuntimeError::Fails { .. })));
        let error = ask("echo broken library >&2; exit 127").unwrap_err();
        assert!(error.to_string().contains("broken library"), "{error}");
        assert!(matches!(
            ask(&says("3.11.1", "pypy", 64)),
            Err(RuntimeError::NotCPython { .. })
        ));
        assert!(matches!(
            ask(&says("3.11.1", "cpython", 32)),
            Err(RuntimeError::Not64Bit { .. })
        ));
        assert!(matches!(
            ask(&says("3.8.1", "cpython", 64)),
            Err(RuntimeError::TooOld { .. })
        ));
        assert!(ask(&says("3.14.0rc1", "cpython", 64)).is_ok());
        let none = folder.path().join("none");
        assert!(matches!(
            cache(folder.path()).interrogate(&none),
            Err(RuntimeError::Gone { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn a_hanging_interpreter_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = program(folder.path(), "exec sleep 600");
        let error = ask(&path, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, RuntimeError::Hangs { .. }));
    }

    #[cfg(unix)]
    #[test]
    fn an_answer_is_remembered_until_the_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        let log = folder.path().join("log");
        let text = format!(
            "echo x >> {}\n{}",
            log.display(),
            says("3.12.1", "cpython", 64)
        );
        let path = program(folder.path(), &text);
        let first = cache.interrogate(&path).unwrap();
        assert_eq!(cache.interrogate(&path).unwrap(), first);
        assert_eq!(fs::read_to_string(&log).unwrap(), "x\n");
        let before = cache.digest(&path).unwrap();
        program(folder.path(), &says("3.13.0", "cpython", 64));
        assert_ne!(cache.digest(&path).unwrap(), before);
        assert_eq!(
            cache.interrogate(&path).unwrap().version.to_string(),
            "3.13.0"
        );
    }

    #[test]
    fn the_real_one_of_this_machine_and_a_venv_of_it() {
        let Some(python) = super::super::tests::machine_python() else {
            return;
        };
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path());
        let facts = cache.interrogate(&python).unwrap();
        assert!(facts.executable.is_absolute());
        assert!(facts.ext_suffix.ends_with(".so") || facts.ext_suffix.ends_with(".pyd"));
        let venv = folder.path().join("venv");
        fs::create_dir_all(venv.join("bin")).unwrap();
        let home = facts.executable.parent().unwrap();
        fs::write(
            venv.join("pyvenv.cfg"),
            format!("home = {}\n", home.display()),
        )
        .unwrap();
        let name = facts.executable.file_name().unwrap();
        fs::copy(&facts.executable, venv.join("bin").join(name)).unwrap();
        let inner = cache.interrogate(&venv.join("bin").join(name)).unwrap();
        assert_eq!(inner.executable, facts.executable);
    }
}
