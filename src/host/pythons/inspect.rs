//! Whether a file is a usable interpreter, and which version.
//!
//! Starting an interpreter costs 10–50 ms, so files are asked first: the name of a pyenv folder,
//! conda's record of the package, the version header. Only what no file tells is started, with a
//! time limit.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr as _,
    thread,
    time::{Duration, Instant},
};

use super::{
    executable::{self, Executable, Machine},
    places::{Candidate, is_interpreter_name},
};
use crate::{
    host::{PythonOrigin, Unread, root::names},
    platform::access,
    types::{Arch, Version},
};

/// How long an interpreter may take to say its version.
const LIMIT: Duration = Duration::from_secs(1);

/// A file that is an interpreter of this machine's kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    /// The path to keep.
    pub(super) path: PathBuf,
    /// The file, links resolved: what makes two candidates the same.
    pub(super) real: PathBuf,
    pub(super) origin: PythonOrigin,
}

/// What an interpreter says, or files say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) version: Version,
    pub(super) freethreaded: bool,
}

/// Follows links and virtual environments to the interpreter behind a candidate. `None` for what
/// only has the name of one, such as the scripts that pyenv puts on PATH.
pub(super) fn identify(
    candidate: &Candidate,
    pyenv_versions: Option<&Path>,
    arch: Arch,
) -> Result<Option<Interpreter>, Unread> {
    let broken = |why: &dyn std::fmt::Display| Unread::new(candidate.path.display(), why);
    let mut real = match canonical(&candidate.path) {
        Ok(real) => real,
        // conda and the registry remember what was removed long ago.
        Err(_) if candidate.path.symlink_metadata().is_err() => return Ok(None),
        Err(error) => return Err(broken(&format!("a broken link: {error}"))),
    };
    // An environment may be made from another one's interpreter, but not for ever.
    for _ in 0..4 {
        let Some(home) = base_of_environment(&real) else {
            break;
        };
        let name = real.file_name().unwrap_or_default();
        let base = [
            name,
            "python3".as_ref(),
            "python".as_ref(),
            "python.exe".as_ref(),
        ]
        .iter()
        .find_map(|name| canonical(&home.join(name)).ok());
        match base {
            Some(base) => real = base,
            None => {
                return Err(broken(&format!(
                    "a virtual environment whose interpreter in `{}` is gone",
                    home.display()
                )));
            }
        }
    }
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    if !real.is_file() || !is_interpreter_name(&name) || base_of_environment(&real).is_some() {
        return Ok(None);
    }
    match executable::read(&real) {
        Ok(Executable::Program(machines)) if machines.contains(&Machine::Known(arch)) => {}
        Ok(Executable::Program(_)) => return Err(broken(&"built for another processor")),
        Ok(Executable::Script) => return Ok(None),
        Ok(Executable::Other) => return Err(broken(&"not a program")),
        Err(error) => return Err(broken(&error)),
    }
    if !access::may_execute(&real) {
        return Err(broken(&"this user may not run it"));
    }
    let origin = if prefix(&real).is_some_and(|prefix| prefix.join("conda-meta").is_dir()) {
        PythonOrigin::Conda
    } else if pyenv_versions
        .and_then(|versions| canonical(versions).ok())
        .is_some_and(|versions| real.starts_with(versions))
    {
        PythonOrigin::Pyenv
    } else {
        candidate.origin
    };
    let path = if candidate.keep_link {
        candidate.path.clone()
    } else {
        real.clone()
    };
    if path.to_str().is_none() {
        return Err(broken(&"its path is not valid Unicode"));
    }
    Ok(Some(Interpreter { path, real, origin }))
}

/// An absolute path without links and, on Windows, without the `\\?\` that few programs accept.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    let real = path.canonicalize()?;
    if cfg!(windows)
        && let Some(plain) = real.to_str().and_then(|text| text.strip_prefix(r"\\?\"))
        && plain.as_bytes().get(1) == Some(&b':')
    {
        return Ok(PathBuf::from(plain));
    }
    Ok(real)
}

/// The `home` of the virtual environment a file lies in (PEP 405: `pyvenv.cfg` beside the
/// executable or one folder up).
fn base_of_environment(executable: &Path) -> Option<PathBuf> {
    let folder = executable.parent()?;
    let config = [Some(folder), folder.parent()]
        .into_iter()
        .flatten()
        .find_map(|folder| std::fs::read_to_string(folder.join("pyvenv.cfg")).ok())?;
    config.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "home").then(|| PathBuf::from(value.trim()))
    })
}

/// The installation an interpreter belongs to.
fn prefix(executable: &Path) -> Option<&Path> {
    let folder = executable.parent()?;
    if cfg!(windows) {
        Some(folder)
    } else {
        folder.parent()
    }
}

/// What files tell. Only of an installation whose standard library is there; a damaged one has to
/// prove itself by running.
pub(super) fn from_files(executable: &Path) -> Option<Told> {
    let prefix = prefix(executable)?;
    let told = from_conda(prefix)
        .or_else(|| from_folder_name(prefix))
        .or_else(|| from_header(prefix, executable))?;
    has_standard_library(prefix, &told).then_some(told)
}

/// `conda-meta/python-3.11.7-h955ad1f_0.json`.
fn from_conda(prefix: &Path) -> Option<Told> {
    names(&prefix.join("conda-meta")).iter().find_map(|name| {
        let rest = name.strip_prefix("python-")?.strip_suffix(".json")?;
        let (version, build) = rest.split_once('-')?;
        if !version.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        Some(Told {
            version: Version::from_str(version).ok()?,
            freethreaded: build.contains('t') && build.contains("_cp3"),
        })
    })
}

/// pyenv names a folder after what is in it: `3.11.7`, `3.13.0t`, `3.15.0b1`. A folder of another
/// tool with such a name means the same.
fn from_folder_name(prefix: &Path) -> Option<Told> {
    let name = prefix.file_name()?.to_str()?;
    let (number, freethreaded) = match name.strip_suffix('t') {
        Some(number) => (number, true),
        None => (name, false),
    };
    // `3.12` may be a name somebody gave; `3.12-dev` moves.
    if number.split('.').count() != 3 {
        return None;
    }
    let version = Version::from_str(number).ok()?;
    (version.release().len() == 3 && version.epoch() == 0).then_some(Told {
        version,
        freethreaded,
    })
}

/// `PY_VERSION` of `patchlevel.h`, in the include folder of the version the file name says.
fn from_header(prefix: &Path, executable: &Path) -> Option<Told> {
    let (header, freethreaded) = if cfg!(windows) {
        let name = executable.file_stem()?.to_str()?;
        (
            prefix.join("include").join("patchlevel.h"),
            name.ends_with('t'),
        )
    } else {
        let name = executable.file_name()?.to_str()?;
        if !name.contains('.') {
            return None;
        }
        let header = prefix.join("include").join(name).join("patchlevel.h");
        (header, name.ends_with('t'))
    };
    let text = std::fs::read_to_string(header).ok()?;
    Some(Told {
        version: header_version(&text)?,
        freethreaded,
    })
}

/// `#define PY_VERSION "3.11.7"`; a `+` marks a build from between two releases.
fn header_version(header: &str) -> Option<Version> {
    header.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() != Some("#define") || words.next() != Some("PY_VERSION") {
            return None;
        }
        let text = words.next()?.trim_matches('"').trim_end_matches('+');
        Version::from_str(text).ok()
    })
}

fn has_standard_library(prefix: &Path, told: &Told) -> bool {
    if cfg!(windows) {
        return prefix.join("Lib").join("os.py").is_file();
    }
    let [major, minor, ..] = told.version.release() else {
        return false;
    };
    let flag = if told.freethreaded { "t" } else { "" };
    ["lib", "lib64"].iter().any(|lib| {
        prefix
            .join(lib)
            .join(format!("python{major}.{minor}{flag}"))
            .join("os.py")
            .is_file()
    })
}

/// Starts the interpreter and asks. `Ok(None)` when it is no CPython.
pub(super) fn ask(executable: &Path) -> Result<Option<Told>, String> {
    ask_within(executable, LIMIT)
}

fn ask_within(executable: &Path, limit: Duration) -> Result<Option<Told>, String> {
    const QUESTION: &str = "import sys\n\
        print(sys.implementation.name, sys.version.split()[0], 'free-threading' in sys.version)";
    // Isolated, without site: nothing of the user's is imported.
    let mut child = Command::new(executable)
        .args(["-I", "-S", "-c", QUESTION])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < limit => thread::sleep(Duration::from_millis(1)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!(
                    "did not say its version within {} ms",
                    limit.as_millis()
                ));
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let mut said = String::new();
    let mut complaint = String::new();
    if let Some(mut output) = child.stdout.take() {
        let _ = output.read_to_string(&mut said);
    }
    if let Some(mut output) = child.stderr.take() {
        let _ = output.read_to_string(&mut complaint);
    }
    if !status.success() {
        let last = complaint.lines().rfind(|line| !line.trim().is_empty());
        return Err(match last {
            Some(line) => format!("does not start: {}", line.trim()),
            None => format!("does not start: {status}"),
        });
    }
    understand(&said).ok_or_else(|| format!("answered `{}`", said.trim()))
}

/// `cpython 3.11.7 False`.
fn understand(answer: &str) -> Option<Option<Told>> {
    let mut words = answer.split_whitespace();
    let implementation = words.next()?;
    let version = words.next()?.trim_end_matches('+');
    let freethreaded = words.next()? == "True";
    if implementation != "cpython" {
        return Some(None);
    }
    let version = Version::from_str(version).ok()?;
    Some(Some(Told {
        version,
        freethreaded,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn headers() {
        let header = |text: &str| {
            format!("#define PY_MAJOR_VERSION 3\n#define PY_VERSION      \t\"{text}\"\n")
        };
        for (text, expected) in [
            ("3.11.7", "3.11.7"),
            ("3.15.0b1", "3.15.0b1"),
            ("3.14.0+", "3.14.0"),
        ] {
            assert_eq!(header_version(&header(text)), Some(version(expected)));
        }
        assert_eq!(header_version("nothing"), None);
    }

    #[test]
    fn folder_names() {
        let told = |name: &str| from_folder_name(Path::new(name));
        assert_eq!(told("/v/3.11.7").unwrap().version, version("3.11.7"));
        let free = told("/v/3.13.0t").unwrap();
        assert!(free.freethreaded);
        assert_eq!(free.version, version("3.13.0"));
        assert_eq!(told("/v/3.15.0b1").unwrap().version, version("3.15.0b1"));
        for name in [
            "/usr",
            "/v/3.12",
            "/v/3.14-dev",
            "/v/miniconda3-4.7.12",
            "/v/pypy3.10-7.3.17",
        ] {
            assert_eq!(told(name), None, "{name}");
        }
    }

    #[test]
    fn conda_records() {
        let folder = tempfile::tempdir().unwrap();
        let meta = folder.path().join("conda-meta");
        std::fs::create_dir(&meta).unwrap();
        for name in [
            "python-dateutil-2.9.0-py_0.json",
            "python_abi-3.12-5_cp312.json",
            "python-3.12.4-h194c7f8_0_cpython.json",
        ] {
            std::fs::write(meta.join(name), "{}").unwrap();
        }
        let told = from_conda(folder.path()).unwrap();
        assert_eq!(told.version, version("3.12.4"));
        assert!(!told.freethreaded);
        std::fs::remove_file(meta.join("python-3.12.4-h194c7f8_0_cpython.json")).unwrap();
        std::fs::write(meta.join("python-3.13.1-h9a34b6e_2_cp313t.json"), "{}").unwrap();
        assert!(from_conda(folder.path()).unwrap().freethreaded);
    }

    #[test]
    fn answers() {
        let told = understand("cpython 3.13.0rc2 True\n").unwrap().unwrap();
        assert_eq!(told.version, version("3.13.0rc2"));
        assert!(told.freethreaded);
        assert_eq!(understand("pypy 3.10.14 False\n"), Some(None));
        assert_eq!(understand("Segmentation fault"), None);
        assert_eq!(understand(""), None);
    }

    /// A program that behaves as the text says. Written by another process: a file that this one
    /// has had open for writing may be busy in a child of another test.
    #[cfg(unix)]
    fn program(folder: &Path, text: &str) -> PathBuf {
        let path = folder.join("python3");
        let status = Command::new("sh")
            .args(["-c", "printf '%s' \"$1\" > \"$0\" && chmod +x \"$0\""])
            .arg(&path)
            .arg(format!("#!/bin/sh\n{text}\n"))
            .status()
            .unwrap();
        assert!(status.success());
        path
    }

    #[cfg(unix)]
    #[test]
    fn interpreters_answer_break_or_hang() {
        let folder = tempfile::tempdir().unwrap();
        let long = Duration::from_secs(60);
        let good = program(folder.path(), "echo cpython 3.12.4 False");
        let told = ask_within(&good, long).unwrap().unwrap();
        assert_eq!(told.version, version("3.12.4"));

        let damaged = program(
            folder.path(),
            "echo Fatal Python error >&2; echo no encodings >&2; exit 1",
        );
        let why = ask_within(&damaged, long).unwrap_err();
        assert_eq!(why, "does not start: no encodings");

        let other = program(folder.path(), "echo hello");
        assert_eq!(ask_within(&other, long).unwrap_err(), "answered `hello`");

        let hanging = program(folder.path(), "exec sleep 600");
        let why = ask_within(&hanging, Duration::from_millis(20)).unwrap_err();
        assert!(why.contains("within 20 ms"), "{why}");

        assert!(ask_within(&folder.path().join("gone"), long).is_err());
    }
}
