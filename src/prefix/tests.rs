//! Real wheels, installed with the machine's Python and then used.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    str::FromStr as _,
    sync::Mutex,
};

use super::*;
use crate::{
    lock::{Artifact, ArtifactKind, LockedPackage, LockedPython, LockedTree},
    progress::{Silent, Task},
    store::{
        hash_field,
        samples::{SampleWheel, TarEntry, tar_gz_of},
    },
    types::{Accelerator, Arch, Os, Sha256, Target, Version},
};

/// A Python 3 of this machine; `None` (with the reason printed) when there is none.
pub(crate) fn machine_python() -> Option<PathBuf> {
    let found = ["python3", "python"]
        .into_iter()
        .find_map(|name| which::which(name).ok());
    if found.is_none() {
        eprintln!("skipped: no python3 on PATH");
    }
    found
}

struct World {
    folder: tempfile::TempDir,
    home: Home,
    store: Store,
    python: PythonRuntime,
    lock: Lock,
    programs: BTreeMap<String, String>,
}

/// Progress that keeps notes.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Progress for Notes {
    fn task(&self, label: &str, total: Option<u64>) -> std::sync::Arc<dyn Task> {
        Silent.task(label, total)
    }
    fn expect(&self, _count: usize, _bytes: u64) {}
    fn step(&self, _text: &str) {}
    fn note(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

impl World {
    fn new() -> Option<Self> {
        Self::below("home")
    }

    fn below(home: &str) -> Option<Self> {
        let python = machine_python()?;
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path().join(home));
        let store = Store::of(&home);
        let cache = InterpreterCache::of(&home);
        let locked = lock_system_python(&python, &cache).unwrap();
        let python = PythonRuntime::of_lock(&locked, &store, &cache).unwrap();
        let lock = Lock {
            tool: "tool".to_owned(),
            version: Version::from_str("1").unwrap(),
            target: Target {
                os: Os::Linux,
                arch: Arch::X86_64,
                libc: None,
                macos: None,
            },
            accelerator: Accelerator::Cpu,
            python: locked,
            packages: Vec::new(),
            tree: None,
            programs: BTreeMap::new(),
            environment: BTreeMap::new(),
            manifest: String::new(),
        };
        Some(Self {
            folder,
            home,
            store,
            python,
            lock,
            programs: BTreeMap::new(),
        })
    }

    /// Puts a wheel into the store and the lock.
    fn add(&mut self, name: &str, wheel: &SampleWheel) {
        let archive = wheel.write(self.folder.path());
        self.store
            .add_wheel(&archive, &wheel.file_name(), &*Silent.task("", None))
            .unwrap();
        self.lock.packages.push(LockedPackage {
            name: PackageName::from_str(name).unwrap(),
            version: Version::from_str("1.0").unwrap(),
            artifact: Artifact {
                kind: ArtifactKind::Wheel,
                file_name: wheel.file_name(),
                url: format!("https://index.example/{}", wheel.file_name()),
                size: None,
                sha256: archive.sha256(),
            },
            direct: false,
            dependencies: Vec::new(),
        });
    }

    fn ensure_with(&self, progress: &dyn Progress) -> Result<Prefix, PrefixError> {
        let built = BTreeMap::new();
        let request = PrefixRequest {
            name: "0123abcd",
            lock: &self.lock,
            python: &self.python,
            built: &built,
            programs: &self.programs,
            compile: false,
        };
        Prefix::ensure(&self.home, &self.store, &request, progress)
    }

    fn ensure(&self) -> Prefix {
        self.ensure_with(&Silent).unwrap()
    }

    fn prefixes(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.home.prefixes()) else {
            return Vec::new();
        };
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

fn sample() -> SampleWheel {
    SampleWheel::new("my_pkg", "1.0")
        .file(
            "my_pkg/__init__.py",
            "import sys\nvalue = 42\n\ndef main():\n    print('value', value, *sys.argv[1:])\n",
        )
        .entry_points("[console_scripts]\nmy-pkg = my_pkg:main\n")
        .file(
            "my_pkg-1.0.data/scripts/brought",
            "#!python\nimport my_pkg\nprint('brought', my_pkg.value)\n",
        )
        .file("my_pkg-1.0.data/scripts/shell", "#!/bin/sh\necho shell\n")
        .file("my_pkg-1.0.data/purelib/pure.py", "x = 1\n")
        .file("my_pkg-1.0.data/platlib/plat.py", "x = 2\n")
        .file("my_pkg-1.0.data/headers/my.h", "int x;\n")
        .file("my_pkg-1.0.data/data/share/my/data.txt", "data\n")
}

fn run(program: &Path, args: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program).args(args).output().unwrap();
    assert!(
        status.success(),
        "{}: {}",
        program.display(),
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).unwrap().replace("\r\n", "\n")
}

/// Every file of RECORD is there with the content it states, and every file is in a RECORD.
fn check_records(prefix: &Prefix) {
    let site = prefix.site_packages();
    let mut listed = std::collections::BTreeSet::new();
    for entry in fs::read_dir(&site).unwrap() {
        let folder = entry.unwrap().path();
        if folder.extension().is_none_or(|e| e != "dist-info") {
            continue;
        }
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_path(folder.join("RECORD"))
            .unwrap();
        for row in reader.records() {
            let row = row.unwrap();
            let path = site.join(&row[0]);
            listed.insert(fs::canonicalize(&path).unwrap());
            if row[0].ends_with("/RECORD") {
                assert_eq!((&row[1], &row[2]), ("", ""));
                continue;
            }
            let content = fs::read(&path).unwrap();
            assert_eq!(row[1], hash_field(&Sha256::of(&content)), "{}", &row[0]);
            assert_eq!(row[2], content.len().to_string());
        }
    }
    for entry in walkdir::WalkDir::new(&site) {
        let entry = entry.unwrap();
        let cached = entry
            .path()
            .components()
            .any(|c| c.as_os_str() == "__pycache__");
        if entry.file_type().is_file() && !cached {
            let path = fs::canonicalize(entry.path()).unwrap();
            assert!(listed.contains(&path), "{}", path.display());
        }
    }
}

#[test]
fn a_wheel_is_installed_as_the_specification_says() {
    let Some(mut world) = World::new() else {
        return;
    };
    world.add("my-pkg", &sample());
    let prefix = world.ensure();
    check_records(&prefix);
    let python = prefix.python();
    let out = run(
        &python,
        &[
            "-c",
            "import my_pkg, pure, plat, sys; print(my_pkg.value, pure.x, plat.x); \
             print(sys.prefix); print(sys.prefix != sys.base_prefix)",
        ],
    );
    let expected = format!("42 1 2\n{}\nTrue\n", prefix.path().display());
    assert_eq!(out, expected);
    let out = run(
        &python,
        &[
            "-c",
            "import importlib.metadata as m; d = m.distribution('my-pkg'); \
             print(d.version, d.read_text('INSTALLER').strip()); \
             print(sum(1 for f in d.files if not f.locate().exists()))",
        ],
    );
    assert_eq!(out, "1.0 aienv\n0\n");
    assert_eq!(
        fs::read_to_string(prefix.path().join("share/my/data.txt")).unwrap(),
        "data\n"
    );
    let opened = Prefix::open(&world.home, "0123abcd").unwrap();
    assert_eq!(opened, prefix);
    assert_eq!(Prefix::names(&world.home), ["0123abcd"]);
    assert_eq!(world.ensure(), prefix);
}

#[test]
fn scripts_run_wherever_the_home_is() {
    let long = format!("{}/{}", "deep".repeat(20), "er".repeat(40));
    let mut homes = vec!["home", "a home with spaces/ünï"];
    if cfg!(unix) {
        homes.push(&long);
    }
    for home in homes {
        let Some(mut world) = World::below(home) else {
            return;
        };
        world.add("my-pkg", &sample());
        let prefix = world.ensure();
        let bin = prefix.bin();
        // The launcher of a script on Windows is this program, which is no aienv here.
        let start = |name: &str, args: &[&str]| {
            if cfg!(unix) {
                return run(&bin.join(name), args);
            }
            assert!(bin.join(format!("{name}.exe")).is_file());
            let script = bin.join(format!("{name}-script.py"));
            run(
                &prefix.python(),
                &[&[script.to_str().unwrap()], args].concat(),
            )
        };
        assert_eq!(start("my-pkg", &["a", "b c"]), "value 42 a b c\n");
        assert_eq!(start("brought", &[]), "brought 42\n");
        if cfg!(unix) {
            assert_eq!(start("shell", &[]), "shell\n");
        }
        assert!(!prefix.path().join(".launcher.exe").exists());
    }
}

#[test]
fn two_at_once_and_a_killed_one_before() {
    let Some(mut world) = World::new() else {
        return;
    };
    world.add("my-pkg", &sample());
    let half = world.home.prefixes().join(".tmp-0123abcd");
    fs::create_dir_all(half.join("bin")).unwrap();
    fs::write(half.join("bin/python"), "half").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| check_records(&world.ensure()));
        }
    });
    assert_eq!(world.prefixes(), ["0123abcd"]);
    world.ensure().remove(&world.home).unwrap();
    assert!(world.prefixes().is_empty());

    fs::create_dir_all(half.join("bin")).unwrap();
    assert_eq!(Prefix::remove_leftovers(&world.home).unwrap(), 1);
    assert!(world.prefixes().is_empty());
}

#[test]
fn what_is_missing_or_damaged_leaves_nothing_behind() {
    let Some(mut world) = World::new() else {
        return;
    };
    world.add("my-pkg", &sample());
    let key = world.lock.packages[0].artifact.sha256;
    let entry = world.store.wheel(&key).unwrap();
    let module = entry.root.join("my_pkg/__init__.py");
    fs::remove_file(&module).unwrap();
    fs::write(&module, "").unwrap();
    let error = world.ensure_with(&Silent).unwrap_err();
    assert!(matches!(error, PrefixError::Damaged { .. }), "{error}");
    assert!(world.prefixes().is_empty());
    world.store.remove(entry.kind, &key).unwrap();
    let error = world.ensure_with(&Silent).unwrap_err();
    assert!(matches!(error, PrefixError::NotInStore { .. }), "{error}");
    assert!(world.prefixes().is_empty());
}

#[test]
fn packages_that_meet() {
    let Some(mut world) = World::new() else {
        return;
    };
    let one = SampleWheel::new("one", "1.0")
        .file("ns/__init__.py", "")
        .file("ns/one.py", "")
        .file("shared/x.py", "who = 'one'\n")
        .file("shared/y.py", "who = 'one'\n");
    let two = SampleWheel::new("two", "1.0")
        .file("ns/__init__.py", "")
        .file("ns/two.py", "")
        .file("shared/x.py", "who = 'two'\n")
        .file("shared/y.py", "who = 'two'\n");
    world.add("one", &one);
    world.add("two", &two);
    let notes = Notes::default();
    let prefix = world.ensure_with(&notes).unwrap();
    assert_eq!(
        *notes.0.lock().unwrap(),
        [format!(
            "`one` and `two` both bring `{}/shared/x.py` and 1 more; `two` wins",
            prefix.site_packages
        )]
    );
    check_records(&prefix);
    let out = run(
        &prefix.python(),
        &["-c", "import shared.x, ns.one, ns.two; print(shared.x.who)"],
    );
    assert_eq!(out, "two\n");

    world.add(
        "three",
        &SampleWheel::new("three", "1.0").file("ns", "a file"),
    );
    prefix.remove(&world.home).unwrap();
    let error = world.ensure_with(&Silent).unwrap_err();
    assert!(
        matches!(error, PrefixError::FileAndFolder { .. }),
        "{error}"
    );
}

#[test]
fn wheels_that_are_refused() {
    let cases = [
        (
            sample().file("my_pkg-1.0.data/data/pyvenv.cfg", "home = /evil\n"),
            "prefix.reserved",
        ),
        (
            sample().file("my_pkg-1.0.data/scripts/python3", "#!/bin/sh\n"),
            "prefix.reserved",
        ),
        (
            sample().file("my_pkg-1.0.data/elsewhere/x", "x"),
            "prefix.bad-wheel",
        ),
        (
            sample().entry_points("[console_scripts]\n../../x = my_pkg:main\n"),
            "prefix.bad-wheel",
        ),
        (
            sample().file("my_pkg-1.0.dist-info/WHEEL", "Wheel-Version: 2.0\n"),
            "prefix.wheel-version",
        ),
    ];
    for (wheel, code) in cases {
        let Some(mut world) = World::new() else {
            return;
        };
        world.add("my-pkg", &wheel);
        let error = world.ensure_with(&Silent).unwrap_err();
        assert_eq!(crate::error::UserError::code(&error), code, "{error}");
        assert!(world.prefixes().is_empty());
    }
}

#[test]
fn direct_packages_programs_and_trees() {
    let Some(mut world) = World::new() else {
        return;
    };
    let program = if cfg!(windows) {
        "carrier/bin/tool-v7.exe"
    } else {
        "carrier/bin/tool-v7"
    };
    let carrier = SampleWheel::new("carrier", "1.0").file(program, "#!/bin/sh\necho tool\n");
    world.add("carrier", &carrier);
    world.lock.packages[0].direct = true;
    world
        .programs
        .insert("tool".to_owned(), "carrier/bin/tool-*".to_owned());
    let archive = world.folder.path().join("tree.tar.gz");
    let entries = [
        TarEntry::File("top/main.py", b"print('tree')\n", 0o644),
        TarEntry::File("top/sub/run.sh", b"#!/bin/sh\n", 0o755),
    ];
    fs::write(&archive, tar_gz_of(&entries, 6, 0)).unwrap();
    let tree = world
        .store
        .add_tree(&archive, "tree", None, &*Silent.task("", None))
        .unwrap();
    world.lock.tree = Some(LockedTree {
        repository: "owner/name".to_owned(),
        commit: "c".repeat(40),
        url: "https://source.example/archive".to_owned(),
        tree_hash: tree.key,
    });
    let prefix = world.ensure();
    check_records(&prefix);
    let direct = prefix
        .site_packages()
        .join("carrier-1.0.dist-info/direct_url.json");
    let direct: serde_json::Value = serde_json::from_slice(&fs::read(direct).unwrap()).unwrap();
    assert_eq!(
        direct["archive_info"]["hashes"]["sha256"],
        world.lock.packages[0].artifact.sha256.to_string()
    );
    let main = prefix.tree().join("main.py");
    assert_eq!(run(&prefix.python(), &[main.to_str().unwrap()]), "tree\n");
    #[cfg(unix)]
    assert_eq!(run(&prefix.bin().join("tool"), &[]), "tool\n");

    world
        .programs
        .insert("other".to_owned(), "carrier/none-*".to_owned());
    prefix.remove(&world.home).unwrap();
    let error = world.ensure_with(&Silent).unwrap_err();
    assert!(matches!(error, PrefixError::Program { found: 0, .. }));
}

#[test]
fn a_changed_interpreter_is_noticed() {
    let Some(world) = World::new() else { return };
    let cache = InterpreterCache::of(&world.home);
    check_runtime(&world.lock.python, &world.store, &cache).unwrap();
    let LockedPython::System { version, .. } = &world.lock.python else {
        panic!("a system interpreter")
    };
    let copy = world.folder.path().join("python-copy");
    fs::copy(&world.python.executable, &copy).unwrap();
    let locked = LockedPython::System {
        version: version.clone(),
        path: copy.clone(),
        sha256: Some(cache.digest(&copy).unwrap()),
    };
    check_runtime(&locked, &world.store, &cache).unwrap();
    fs::remove_file(&copy).unwrap();
    fs::write(&copy, "another").unwrap();
    let error = check_runtime(&locked, &world.store, &cache).unwrap_err();
    assert!(matches!(error, RuntimeError::Changed { .. }));
    fs::remove_file(&copy).unwrap();
    let error = check_runtime(&locked, &world.store, &cache).unwrap_err();
    assert!(matches!(error, RuntimeError::Gone { .. }));
}

#[test]
fn modules_are_compiled_when_asked() {
    let Some(mut world) = World::new() else {
        return;
    };
    world.add("my-pkg", &sample());
    let built = BTreeMap::new();
    let request = PrefixRequest {
        name: "compiled",
        lock: &world.lock,
        python: &world.python,
        built: &built,
        programs: &world.programs,
        compile: true,
    };
    let prefix = Prefix::ensure(&world.home, &world.store, &request, &Silent).unwrap();
    let out = run(
        &prefix.python(),
        &[
            "-c",
            "import my_pkg, os; print(os.path.exists(my_pkg.__cached__)); \
             print(my_pkg.main.__code__.co_filename == my_pkg.__file__)",
        ],
    );
    assert_eq!(out, "True\nTrue\n");
}
