//! Real source distributions (PEP 625, 643), built in memory.
//!
//! The default one carries its own PEP 517 backend, written with nothing but the standard library,
//! so that building it needs no network. [`Sdist::setuptools`] makes one that needs setuptools,
//! for the live tests.

use std::fmt::Write as _;

use super::{
    dist::{Dist, escaped, normalised},
    tree::{Entry, tar_gz},
};

/// The backend. It zips `src/` and writes the metadata that `spec.json` asks for.
const BACKEND: &str = r#""""A build backend (PEP 517) of the standard library alone."""
import base64
import hashlib
import json
import os
import zipfile

with open("spec.json", encoding="utf-8") as file:
    SPEC = json.load(file)
STEM = SPEC["stem"]


def get_requires_for_build_wheel(config_settings=None):
    return SPEC["dynamic_build_requires"]


def _metadata():
    return {
        f"{STEM}.dist-info/METADATA": SPEC["metadata"].encode(),
        f"{STEM}.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: backend 1\n"
            b"Root-Is-Purelib: true\nTag: py3-none-any\n"
        ),
        f"{STEM}.dist-info/entry_points.txt": SPEC["entry_points"].encode(),
    }


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    for path, data in _metadata().items():
        target = os.path.join(metadata_directory, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "wb") as file:
            file.write(data)
    return f"{STEM}.dist-info"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    exec(SPEC["during_build"], {"__name__": "during_build"})
    files = {}
    for folder, _, names in os.walk("src"):
        for name in sorted(names):
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                files[os.path.relpath(path, "src").replace(os.sep, "/")] = file.read()
    files.update(_metadata())
    record = ""
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
        record += f"{path},sha256={digest.decode()},{len(data)}\n"
    record += f"{STEM}.dist-info/RECORD,,\n"
    files[f"{STEM}.dist-info/RECORD"] = record.encode()
    name = f"{STEM}-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return name
"#;

/// A source distribution under construction.
#[derive(Clone, Debug)]
pub struct Sdist {
    name: String,
    version: String,
    requires: Vec<String>,
    requires_python: Option<String>,
    build_requires: Vec<String>,
    dynamic_build_requires: Vec<String>,
    entry_points: Vec<(String, String)>,
    modules: Vec<(String, Vec<u8>)>,
    during_build: String,
    dynamic: bool,
    setuptools: bool,
}

impl Sdist {
    /// A source distribution with static metadata and its own backend.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            requires: Vec::new(),
            requires_python: None,
            build_requires: Vec::new(),
            dynamic_build_requires: Vec::new(),
            entry_points: Vec::new(),
            modules: Vec::new(),
            during_build: String::new(),
            dynamic: false,
            setuptools: false,
        }
    }

    /// One with a console command of its own name that prints `<name> <version> built`.
    pub fn command(name: &str, version: &str) -> Self {
        let package = escaped(name);
        let module = format!("def main():\n    print({name:?}, {version:?}, 'built')\n");
        Self::new(name, version)
            .module(&format!("{package}/__init__.py"), module)
            .entry_point(name, &format!("{package}:main"))
    }

    /// Adds a `Requires-Dist` line.
    pub fn requires(mut self, requirement: &str) -> Self {
        self.requires.push(requirement.to_owned());
        self
    }

    /// Sets `Requires-Python`.
    pub fn requires_python(mut self, specifiers: &str) -> Self {
        self.requires_python = Some(specifiers.to_owned());
        self
    }

    /// Dependencies are told by the build only: `PKG-INFO` says `Dynamic: Requires-Dist`.
    pub fn dynamic(mut self) -> Self {
        self.dynamic = true;
        self
    }

    /// Adds to `[build-system] requires`.
    pub fn build_requires(mut self, requirement: &str) -> Self {
        self.build_requires.push(requirement.to_owned());
        self
    }

    /// Adds to what the backend's `get_requires_for_build_wheel` answers.
    pub fn dynamic_build_requires(mut self, requirement: &str) -> Self {
        self.dynamic_build_requires.push(requirement.to_owned());
        self
    }

    /// Python code that the backend runs before it builds: a failure, an import, a connection.
    pub fn during_build(mut self, code: &str) -> Self {
        code.clone_into(&mut self.during_build);
        self
    }

    /// Adds a module.
    pub fn module(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.modules.push((path.to_owned(), bytes.into()));
        self
    }

    /// Adds a console command.
    pub fn entry_point(mut self, command: &str, target: &str) -> Self {
        self.entry_points
            .push((command.to_owned(), target.to_owned()));
        self
    }

    /// Uses setuptools, as most source distributions do. Building needs an index.
    pub fn setuptools(mut self) -> Self {
        self.setuptools = true;
        self
    }

    fn stem(&self) -> String {
        format!("{}-{}", escaped(&self.name), self.version)
    }

    fn metadata(&self, in_wheel: bool) -> String {
        let mut text = format!(
            "Metadata-Version: 2.2\nName: {}\nVersion: {}\nSummary: Made for a test\n",
            self.name, self.version
        );
        if let Some(python) = &self.requires_python {
            let _ = writeln!(text, "Requires-Python: {python}");
        }
        if self.dynamic && !in_wheel {
            text.push_str("Dynamic: Requires-Dist\n");
        } else {
            for requirement in &self.requires {
                let _ = writeln!(text, "Requires-Dist: {requirement}");
            }
        }
        text
    }

    fn pyproject(&self) -> String {
        let mut requires = self.build_requires.clone();
        if self.setuptools {
            requires.push("setuptools>=68".to_owned());
            let scripts: String = (self.entry_points.iter())
                .map(|(command, target)| format!("{command} = {target:?}\n"))
                .collect();
            return format!(
                "[build-system]\nrequires = {requires:?}\n\
                 build-backend = \"setuptools.build_meta\"\n\n\
                 [project]\nname = {:?}\nversion = {:?}\ndependencies = {:?}\n\n\
                 [project.scripts]\n{scripts}\n\
                 [tool.setuptools.packages.find]\nwhere = [\"src\"]\n",
                self.name, self.version, self.requires
            );
        }
        format!(
            "[build-system]\nrequires = {requires:?}\nbuild-backend = \"backend\"\n\
             backend-path = [\".\"]\n"
        )
    }

    fn spec(&self) -> String {
        let mut points = String::from("[console_scripts]\n");
        for (command, target) in &self.entry_points {
            let _ = writeln!(points, "{command} = {target}");
        }
        serde_json::json!({
            "stem": self.stem(),
            "metadata": self.metadata(true),
            "entry_points": points,
            "during_build": self.during_build,
            "dynamic_build_requires": self.dynamic_build_requires,
        })
        .to_string()
    }

    /// The files, without the top folder.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = vec![
            Entry::file("PKG-INFO", self.metadata(false)),
            Entry::file("pyproject.toml", self.pyproject()),
        ];
        if !self.setuptools {
            entries.push(Entry::file("backend.py", BACKEND));
            entries.push(Entry::file("spec.json", self.spec()));
        }
        for (path, bytes) in &self.modules {
            entries.push(Entry::file(&format!("src/{path}"), bytes.clone()));
        }
        entries
    }

    /// The source distribution, a `.tar.gz`.
    pub fn build(&self) -> Dist {
        self.dist(tar_gz(&self.stem(), &self.entries()))
    }

    /// The distribution's name and metadata around other bytes.
    pub fn dist(&self, bytes: Vec<u8>) -> Dist {
        Dist {
            project: normalised(&self.name),
            version: self.version.clone(),
            file_name: format!("{}.tar.gz", self.stem()),
            bytes,
            metadata: None,
            requires_python: self.requires_python.clone(),
            yanked: None,
        }
    }
}

impl From<Sdist> for Dist {
    fn from(sdist: Sdist) -> Self {
        sdist.build()
    }
}
