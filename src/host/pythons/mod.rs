//! Python interpreters of the machine that an environment can be built on.
//!
//! Candidates come from PATH, pyenv, conda, Homebrew and the Windows registry. Each is followed
//! to the real program: pyenv's shims are scripts and lead nowhere, a virtual environment leads to
//! the interpreter it was made from, and links that meet are one interpreter. Only CPython 3.9 and
//! later is offered.

mod executable;
mod inspect;
mod places;

use std::{
    cmp::Reverse,
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use inspect::{Interpreter, Told};

use super::{Env, FoundPython, PythonOrigin, Unread, root::Root};
use crate::types::{Arch, PythonVersion};

/// The oldest release with anything to install for it.
const OLDEST: PythonVersion = PythonVersion::new(3, 9);

/// How many interpreters are asked at once.
const AT_ONCE: usize = 8;

/// Every usable interpreter, best first; what is broken goes to the second list.
pub(super) fn detect(root: &Root, env: Env<'_>, arch: Arch) -> (Vec<FoundPython>, Vec<Unread>) {
    let mut unread = Vec::new();
    let mut seen = HashSet::new();
    let mut interpreters = Vec::new();
    let home = env("HOME").map(std::path::PathBuf::from);
    let pyenv = places::pyenv_versions(env, home.as_deref());
    for candidate in places::candidates(root, env) {
        match inspect::identify(&candidate, pyenv.as_deref(), arch) {
            Ok(Some(interpreter)) => {
                if seen.insert(interpreter.real.clone()) {
                    interpreters.push(interpreter);
                }
            }
            Ok(None) => {}
            Err(problem) => unread.push(problem),
        }
    }
    let mut pythons = Vec::new();
    for (interpreter, told) in ask_all(interpreters) {
        match told {
            Ok(Some(told)) => pythons.extend(usable(interpreter, told)),
            Ok(None) => {}
            Err(why) => unread.push(Unread::new(interpreter.path.display(), why)),
        }
    }
    sort(&mut pythons);
    (pythons, unread)
}

fn usable(interpreter: Interpreter, told: Told) -> Option<FoundPython> {
    let feature = PythonVersion::of(&told.version)?;
    (feature >= OLDEST).then_some(FoundPython {
        path: interpreter.path,
        version: told.version,
        origin: interpreter.origin,
        freethreaded: told.freethreaded,
    })
}

/// An interpreter and what it answered, or why it did not.
type Answered = (Interpreter, Result<Option<Told>, String>);

/// Takes from files what they tell and starts the others, several at once.
fn ask_all(interpreters: Vec<Interpreter>) -> Vec<Answered> {
    let (mut answered, silent): (Vec<Answered>, Vec<Interpreter>) = interpreters
        .into_iter()
        .map(|interpreter| {
            let told = inspect::from_files(&interpreter.real);
            (interpreter, told)
        })
        .fold(
            (Vec::new(), Vec::new()),
            |mut lists, (interpreter, told)| {
                match told {
                    Some(told) => lists.0.push((interpreter, Ok(Some(told)))),
                    None => lists.1.push(interpreter),
                }
                lists
            },
        );
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..silent.len().min(AT_ONCE) {
            scope.spawn(|| {
                while let Some(interpreter) = silent.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = inspect::ask(&interpreter.real);
                    if let Ok(mut results) = results.lock() {
                        results.push((interpreter.clone(), answer));
                    }
                }
            });
        }
    });
    answered.extend(results.into_inner().unwrap_or_default());
    answered
}

/// Newest feature release first, but every release before any preview; the usual build before the
/// free-threaded one, the newer before the older, and what is on PATH before what is not.
fn sort(pythons: &mut [FoundPython]) {
    pythons.sort_by_cached_key(|python| {
        let place = match python.origin {
            PythonOrigin::Path => 0,
            PythonOrigin::Pyenv | PythonOrigin::Homebrew | PythonOrigin::Registry => 1,
            PythonOrigin::Conda => 2,
        };
        (
            python.version.any_prerelease(),
            Reverse(PythonVersion::of(&python.version)),
            python.freethreaded,
            Reverse(python.version.clone()),
            place,
            python.path.clone(),
        )
    });
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        ffi::OsString,
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
        path::{Path, PathBuf},
    };

    use super::{places::variables, *};
    use crate::host::root::fixture::Tree;

    const ARCH: Arch = Arch::X86_64;

    /// A machine's folders, with interpreters that files tell about and none can be started.
    struct Machine(Tree);

    impl Machine {
        fn new() -> Self {
            Self(Tree::new(&[("/home/me/", ""), ("/usr/bin/", "")]))
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.root.path(path)
        }

        fn executable(&self, path: &str, bytes: &[u8]) {
            self.0.write(path, bytes);
            let full = self.at(path);
            fs::set_permissions(full, fs::Permissions::from_mode(0o755)).unwrap();
        }

        /// An installation with its standard library.
        fn install(&self, prefix: &str, feature: &str) {
            self.executable(
                &format!("{prefix}/bin/python{feature}"),
                &executable::elf_for(ARCH),
            );
            self.link(
                &format!("python{feature}"),
                &format!("{prefix}/bin/python3"),
            );
            self.0
                .write(&format!("{prefix}/lib/python{feature}/os.py"), b"");
        }

        fn header(&self, prefix: &str, feature: &str, version: &str) {
            self.0.write(
                &format!("{prefix}/include/python{feature}/patchlevel.h"),
                format!("#define PY_VERSION \"{version}\"\n").as_bytes(),
            );
        }

        fn link(&self, to: &str, from: &str) {
            let from = self.at(from);
            fs::create_dir_all(from.parent().unwrap()).unwrap();
            symlink(to, from).unwrap();
        }

        fn detect(&self, path: &[&str]) -> (Vec<FoundPython>, Vec<Unread>) {
            let folders = path.iter().map(|folder| self.at(folder));
            let env = [
                ("PATH", std::env::join_paths(folders).unwrap()),
                ("HOME", OsString::from(self.at("/home/me"))),
            ];
            detect(&self.0.root, &variables(&env), ARCH)
        }

        fn told(&self, path: &[&str]) -> Vec<(String, String, PythonOrigin)> {
            let (pythons, unread) = self.detect(path);
            assert_eq!(unread, []);
            let top = self.at("/").canonicalize().unwrap();
            pythons
                .into_iter()
                .map(|python| {
                    let path = python.path.canonicalize().unwrap();
                    let path = Path::new("/").join(path.strip_prefix(&top).unwrap());
                    (
                        path.display().to_string(),
                        python.version.to_string(),
                        python.origin,
                    )
                })
                .collect()
        }
    }

    fn entry(path: &str, version: &str, origin: PythonOrigin) -> (String, String, PythonOrigin) {
        (path.to_owned(), version.to_owned(), origin)
    }

    #[test]
    fn pyenv_is_found_behind_its_shims_and_once() {
        let machine = Machine::new();
        machine.install("/home/me/.pyenv/versions/3.11.7", "3.11");
        machine.install("/home/me/.pyenv/versions/3.13.0t", "3.13t");
        machine.install("/home/me/.pyenv/versions/3.8.18", "3.8");
        machine.executable("/home/me/.pyenv/shims/python3", b"#!/usr/bin/env bash\n");
        machine.link(
            "../../home/me/.pyenv/versions/3.11.7/bin/python3.11",
            "/usr/bin/python3",
        );
        assert_eq!(
            machine.told(&["/home/me/.pyenv/shims", "/usr/bin"]),
            [
                entry(
                    "/home/me/.pyenv/versions/3.13.0t/bin/python3.13t",
                    "3.13.0",
                    PythonOrigin::Pyenv
                ),
                entry(
                    "/home/me/.pyenv/versions/3.11.7/bin/python3.11",
                    "3.11.7",
                    PythonOrigin::Pyenv
                ),
            ]
        );
        assert!(machine.detect(&[]).0[0].freethreaded);
    }

    #[test]
    fn a_virtual_environment_leads_to_what_it_was_made_from() {
        let machine = Machine::new();
        machine.install("/usr", "3.12");
        machine.header("/usr", "3.12", "3.12.3");
        // Made by copying, as on file systems without links.
        machine.executable("/home/me/env/bin/python3", &executable::elf_for(ARCH));
        machine.0.write(
            "/home/me/env/pyvenv.cfg",
            format!(
                "home = {}\nversion = 3.12.3\n",
                machine.at("/usr/bin").display()
            )
            .as_bytes(),
        );
        assert_eq!(
            machine.told(&["/home/me/env/bin"]),
            [entry("/usr/bin/python3.12", "3.12.3", PythonOrigin::Path)]
        );
    }

    #[test]
    fn conda_and_its_environments() {
        let machine = Machine::new();
        machine.install("/home/me/miniforge3", "3.12");
        machine.install("/home/me/miniforge3/envs/old", "3.10");
        for (prefix, record) in [
            (
                "/home/me/miniforge3",
                "python-3.12.4-h194c7f8_0_cpython.json",
            ),
            (
                "/home/me/miniforge3/envs/old",
                "python-3.10.14-h955ad1f_1.json",
            ),
        ] {
            machine
                .0
                .write(&format!("{prefix}/conda-meta/{record}"), b"{}");
        }
        assert_eq!(
            machine.told(&["/home/me/miniforge3/bin"]),
            [
                entry(
                    "/home/me/miniforge3/bin/python3.12",
                    "3.12.4",
                    PythonOrigin::Conda
                ),
                entry(
                    "/home/me/miniforge3/envs/old/bin/python3.10",
                    "3.10.14",
                    PythonOrigin::Conda
                ),
            ]
        );
    }

    #[test]
    fn homebrew_is_kept_by_the_link_that_lasts() {
        let machine = Machine::new();
        machine.install("/opt/homebrew/Cellar/python@3.13/3.13.1", "3.13");
        machine.link(
            "../Cellar/python@3.13/3.13.1",
            "/opt/homebrew/opt/python@3.13",
        );
        machine.link(
            "../opt/python@3.13/bin/python3",
            "/opt/homebrew/bin/python3",
        );
        let (pythons, unread) = machine.detect(&["/opt/homebrew/bin"]);
        assert_eq!(unread, []);
        assert_eq!(pythons.len(), 1);
        assert_eq!(pythons[0].origin, PythonOrigin::Homebrew);
        assert!(
            pythons[0]
                .path
                .starts_with(machine.at("/opt/homebrew/opt/python@3.13/bin"))
        );
    }

    #[test]
    fn releases_come_before_previews() {
        let machine = Machine::new();
        for (version, feature) in [
            ("3.15.0b1", "3.15"),
            ("3.13.0", "3.13"),
            ("3.13.2", "3.13"),
            ("3.9.18", "3.9"),
        ] {
            machine.install(&format!("/home/me/.pyenv/versions/{version}"), feature);
        }
        let versions: Vec<String> = machine.told(&[]).into_iter().map(|told| told.1).collect();
        assert_eq!(versions, ["3.13.2", "3.13.0", "3.9.18", "3.15.0b1"]);
    }

    #[test]
    fn the_unusable_is_told_with_its_reason() {
        let machine = Machine::new();
        // No standard library and no program behind the head: it cannot be started.
        machine.executable("/usr/bin/python3.12", &executable::elf_for(ARCH));
        machine.executable("/usr/bin/python3.11", &executable::elf_for(Arch::Aarch64));
        machine.executable("/usr/bin/python3.10", b"no program at all");
        machine.link("/nowhere/python3.9", "/usr/bin/python3.9");
        let (pythons, unread) = machine.detect(&["/usr/bin"]);
        assert_eq!(pythons, []);
        let reason = |name: &str| {
            unread
                .iter()
                .find(|problem| problem.what.ends_with(name))
                .map(|problem| problem.why.clone())
                .unwrap()
        };
        assert!(reason("python3.9").contains("broken link"));
        assert!(reason("python3.10").contains("not a program"));
        assert!(reason("python3.11").contains("another processor"));
        assert!(!reason("python3.12").is_empty());
    }
}
