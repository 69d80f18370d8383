//! Python environments that aienv did not make: real virtual environments with real wheels
//! unpacked into them, whole or broken on purpose.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Run, Wheel, World, wheel::Member, world::test_python};

/// An environment, in a world of its own.
pub struct Venv {
    /// Commands run in it; its variables reach the environment.
    pub world: World,
    /// The folder of the environment.
    pub root: PathBuf,
    /// Its folder of packages.
    pub site: PathBuf,
    /// Its interpreter.
    pub python: PathBuf,
}

impl Venv {
    /// A virtual environment without packages.
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// A virtual environment made with further options of `venv`.
    pub fn with(options: &[&str]) -> Self {
        let world = World::new();
        let root = world.root().join("env");
        let status = Command::new(&test_python().path)
            .args(["-I", "-m", "venv", "--without-pip"])
            .args(options)
            .arg(&root)
            .status()
            .unwrap();
        assert!(status.success());
        let (site, python) = match cfg!(windows) {
            true => (
                root.join("Lib/site-packages"),
                root.join("Scripts/python.exe"),
            ),
            false => {
                let lib = format!("lib/python{}/site-packages", test_python().feature);
                (root.join(lib), root.join("bin/python"))
            }
        };
        Self {
            world,
            root,
            site,
            python,
        }
    }

    /// Installs a wheel as pip would: its files, `INSTALLER`, `RECORD`.
    pub fn install(&self, wheel: &Wheel) -> &Self {
        self.install_by(wheel, "pip")
    }

    /// The same by another installer.
    pub fn install_by(&self, wheel: &Wheel, installer: &str) -> &Self {
        unpack(&wheel.members(), &self.site, installer);
        self
    }

    /// A file below the folder of packages.
    pub fn file(&self, path: &str) -> PathBuf {
        self.site.join(path)
    }

    /// `aienv doctor --python` on it.
    pub fn doctor(&self, options: &[&str]) -> Run {
        let python = self.root.to_str().unwrap().to_owned();
        let mut arguments = vec!["doctor", "--python", &python];
        arguments.extend(options);
        self.world.aienv(&arguments)
    }

    /// Asserts that doctor finds no problem.
    #[track_caller]
    pub fn is_healthy(&self, options: &[&str]) -> Run {
        self.doctor(options).ok().prints("No problem was found")
    }

    /// Asserts that doctor finds a problem with this cause first; gives the finding. With and
    /// without leave to start programs the answer is the same.
    #[track_caller]
    pub fn has(&self, cause: &str, options: &[&str]) -> serde_json::Value {
        let mut found = serde_json::Value::Null;
        for mode in [&["--no-run"][..], &[]] {
            found = self.has_in(mode, cause, options);
        }
        found
    }

    /// The same, only where programs may be started.
    #[track_caller]
    pub fn has_live(&self, cause: &str, options: &[&str]) -> serde_json::Value {
        self.has_in(&[], cause, options)
    }

    /// The same, only by reading.
    #[track_caller]
    pub fn has_read(&self, cause: &str, options: &[&str]) -> serde_json::Value {
        self.has_in(&["--no-run"], cause, options)
    }

    #[track_caller]
    fn has_in(&self, mode: &[&str], cause: &str, options: &[&str]) -> serde_json::Value {
        let mut arguments = vec!["--json"];
        arguments.extend(mode);
        arguments.extend(options);
        let run = self.doctor(&arguments);
        first_finding(&run, cause)
    }
}

/// Asserts that the first finding of an answer in JSON is a problem with this cause.
#[track_caller]
pub fn first_finding(run: &Run, cause: &str) -> serde_json::Value {
    assert_eq!(run.code, Some(1), "{}\n{}", run.stdout, run.stderr);
    let answer = run.json();
    assert_eq!(answer["healthy"], false);
    let first = answer["findings"][0].clone();
    assert_eq!(first["level"], "problem", "{answer:#}");
    assert_eq!(first["cause"], cause, "{answer:#}");
    let fixes = first["fix"].as_array().unwrap();
    assert!(!fixes.is_empty(), "nothing helps: {first:#}");
    first
}

fn unpack(members: &[Member], site: &Path, installer: &str) {
    let mut info = None;
    for member in members {
        let path = site.join(&member.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &member.bytes).unwrap();
        if member.path.ends_with(".dist-info/RECORD") {
            info = path.parent().map(Path::to_owned);
        }
    }
    fs::write(info.unwrap().join("INSTALLER"), format!("{installer}\n")).unwrap();
}

/// A torch that computes on processors, in Python: enough for what doctor tries.
pub fn torch(version: &str, cuda: Option<&str>) -> Wheel {
    let local = match cuda {
        Some(cuda) => format!("cu{}", cuda.replace('.', "")),
        None => "cpu".to_owned(),
    };
    let cuda = cuda.map_or("None".to_owned(), |cuda| format!("'{cuda}'"));
    let version_file = format!(
        "from typing import Optional\n__version__ = '{version}+{local}'\ndebug = False\n\
         cuda: Optional[str] = {cuda}\nhip: Optional[str] = None\n"
    );
    Wheel::new("torch", version)
        .module("torch/version.py", version_file)
        .module("torch/__init__.py", TORCH)
}

const TORCH: &str = r#"
from . import version
from .version import __version__

float32 = "float32"


class Tensor:
    def __init__(self, rows):
        self.rows = rows

    def reshape(self, height, width):
        flat = [number for row in self.rows for number in row]
        return Tensor([flat[i * width:(i + 1) * width] for i in range(height)])

    @property
    def T(self):
        return Tensor([list(column) for column in zip(*self.rows)])

    def __matmul__(self, other):
        columns = list(zip(*other.rows))
        return Tensor([[sum(a * b for a, b in zip(row, c)) for c in columns] for row in self.rows])

    def sum(self):
        return Tensor([[sum(map(sum, self.rows))]])

    def item(self):
        return float(self.rows[0][0])

    __float__ = item

    def numpy(self):
        import numpy
        return self


def arange(count, dtype=None, device="cpu"):
    return Tensor([list(range(count))])


class cuda:
    @staticmethod
    def is_available():
        return False

    @staticmethod
    def init():
        raise RuntimeError("Found no NVIDIA driver on your system.")


class backends:
    pass
"#;
