//! Real wheels (PEP 427), built in memory.

use std::{fmt::Write as _, io::Write as _};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::Digest as _;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::dist::{Dist, escaped, normalised};

/// A member of an archive.
#[derive(Clone, Debug)]
pub struct Member {
    /// Path inside the archive.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
    /// Unix permission bits.
    pub mode: u32,
}

/// A wheel under construction.
#[derive(Clone, Debug)]
pub struct Wheel {
    name: String,
    version: String,
    tag: String,
    build: Option<String>,
    requires: Vec<String>,
    extras: Vec<String>,
    requires_python: Option<String>,
    console: Vec<(String, String)>,
    gui: Vec<(String, String)>,
    members: Vec<Member>,
    purelib: bool,
    compression: CompressionMethod,
}

impl Wheel {
    /// A wheel for every Python 3 and platform, without any module yet.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            tag: "py3-none-any".to_owned(),
            build: None,
            requires: Vec::new(),
            extras: Vec::new(),
            requires_python: None,
            console: Vec::new(),
            gui: Vec::new(),
            members: Vec::new(),
            purelib: true,
            compression: CompressionMethod::Deflated,
        }
    }

    /// A wheel with one module that holds `__version__`, importable under the escaped name.
    pub fn library(name: &str, version: &str) -> Self {
        let module = format!("{}/__init__.py", escaped(name));
        Self::new(name, version).module(&module, format!("__version__ = {version:?}\n"))
    }

    /// A wheel with a console command of its own name. The command prints
    /// `<name> <version> <arguments as a JSON list>`, ends with the code given as
    /// `--exit-code N`. With `--print-env NAME` it prints that variable, with `--import NAME…` the
    /// versions of these modules.
    pub fn command(name: &str, version: &str) -> Self {
        let package = escaped(name);
        let module = format!(
            r#""""The command line of a test package."""
import json
import os
import sys

__version__ = {version:?}


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--print-env"]:
        print(os.environ.get(arguments[1], "<unset>"))
        return 0
    if arguments[:1] == ["--import"]:
        for module in arguments[1:]:
            print(module, __import__(module).__version__)
        return 0
    print({name:?}, __version__, json.dumps(arguments))
    if arguments[:1] == ["--exit-code"]:
        return int(arguments[1])
    return 0
"#
        );
        Self::new(name, version)
            .module(&format!("{package}/__init__.py"), module)
            .entry_point(name, &format!("{package}:main"))
    }

    /// Adds a `Requires-Dist` line (PEP 508).
    pub fn requires(mut self, requirement: &str) -> Self {
        self.requires.push(requirement.to_owned());
        self
    }

    /// Adds a `Provides-Extra` line with requirements that apply under it.
    pub fn extra(mut self, extra: &str, requirements: &[&str]) -> Self {
        self.extras.push(extra.to_owned());
        for requirement in requirements {
            let joined = match requirement.split_once(';') {
                Some((left, marker)) => {
                    format!(
                        "{} ; ({}) and extra == '{extra}'",
                        left.trim(),
                        marker.trim()
                    )
                }
                None => format!("{requirement} ; extra == '{extra}'"),
            };
            self.requires.push(joined);
        }
        self
    }

    /// Sets `Requires-Python`.
    pub fn requires_python(mut self, specifiers: &str) -> Self {
        self.requires_python = Some(specifiers.to_owned());
        self
    }

    /// Sets the compressed tag set: `cp311-cp311-manylinux_2_17_x86_64`.
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = tag.to_owned();
        self
    }

    /// Installs to `platlib` rather than `purelib`.
    pub fn platlib(mut self) -> Self {
        self.purelib = false;
        self
    }

    /// Sets the build number.
    pub fn build_number(mut self, build: &str) -> Self {
        self.build = Some(build.to_owned());
        self
    }

    /// Leaves members uncompressed, so that the wheel is as big as what it holds.
    pub fn stored(mut self) -> Self {
        self.compression = CompressionMethod::Stored;
        self
    }

    /// Adds a module or any other file of site-packages.
    pub fn module(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.member(path, bytes, 0o644)
    }

    /// Adds a file of site-packages with its executable bit set.
    pub fn executable(self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.member(path, bytes, 0o755)
    }

    /// Adds `size` bytes that do not compress, the same for the same path.
    pub fn ballast(self, path: &str, size: usize) -> Self {
        let bytes = noise(path, size);
        self.member(path, bytes, 0o644)
    }

    /// Adds a file of an install scheme: `data`, `headers`, `purelib`, `platlib` or `scripts`.
    pub fn scheme(self, scheme: &str, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let full = format!("{}.data/{scheme}/{path}", self.stem());
        let mode = if scheme == "scripts" { 0o755 } else { 0o644 };
        self.member(&full, bytes, mode)
    }

    /// Adds a script. A first line of `#!python` is to be rewritten by the installer.
    pub fn script(self, name: &str, text: &str) -> Self {
        self.scheme("scripts", name, text.as_bytes())
    }

    /// Adds a console command: `module:function`.
    pub fn entry_point(mut self, command: &str, target: &str) -> Self {
        self.console.push((command.to_owned(), target.to_owned()));
        self
    }

    /// Adds a command without a console window.
    pub fn gui_entry_point(mut self, command: &str, target: &str) -> Self {
        self.gui.push((command.to_owned(), target.to_owned()));
        self
    }

    fn member(mut self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.members.push(Member {
            path: path.to_owned(),
            bytes: bytes.into(),
            mode,
        });
        self
    }

    fn stem(&self) -> String {
        format!("{}-{}", escaped(&self.name), self.version)
    }

    /// The file name with all its tags.
    pub fn file_name(&self) -> String {
        let build = self.build.as_ref().map(|b| format!("-{b}"));
        format!(
            "{}{}-{}.whl",
            self.stem(),
            build.unwrap_or_default(),
            self.tag
        )
    }

    /// The `METADATA` file.
    pub fn metadata(&self) -> String {
        let mut text = format!(
            "Metadata-Version: 2.3\nName: {}\nVersion: {}\nSummary: Made for a test\n",
            self.name, self.version
        );
        if let Some(python) = &self.requires_python {
            let _ = writeln!(text, "Requires-Python: {python}");
        }
        for extra in &self.extras {
            let _ = writeln!(text, "Provides-Extra: {extra}");
        }
        for requirement in &self.requires {
            let _ = writeln!(text, "Requires-Dist: {requirement}");
        }
        text.push_str("\nA description with Requires-Dist: not-a-dependency in it.\n");
        text
    }

    fn wheel_file(&self) -> String {
        let mut parts = self.tag.splitn(3, '-');
        let mut set = || {
            parts
                .next()
                .unwrap_or("none")
                .split('.')
                .collect::<Vec<_>>()
        };
        let (pythons, abis, platforms) = (set(), set(), set());
        let mut text = format!(
            "Wheel-Version: 1.0\nGenerator: testkit 1\nRoot-Is-Purelib: {}\n",
            self.purelib
        );
        for python in &pythons {
            for abi in &abis {
                for platform in &platforms {
                    let _ = writeln!(text, "Tag: {python}-{abi}-{platform}");
                }
            }
        }
        if let Some(build) = &self.build {
            let _ = writeln!(text, "Build: {build}");
        }
        text
    }

    fn entry_points(&self) -> Option<String> {
        let mut text = String::new();
        for (section, points) in [
            ("console_scripts", &self.console),
            ("gui_scripts", &self.gui),
        ] {
            if !points.is_empty() {
                let _ = writeln!(text, "[{section}]");
                for (command, target) in points {
                    let _ = writeln!(text, "{command} = {target}");
                }
            }
        }
        (!text.is_empty()).then_some(text)
    }

    /// Every member in the order of the archive; `RECORD` last.
    pub fn members(&self) -> Vec<Member> {
        let info = format!("{}.dist-info", self.stem());
        let mut members = self.members.clone();
        let mut text = |name: &str, text: String| {
            members.push(Member {
                path: format!("{info}/{name}"),
                bytes: text.into_bytes(),
                mode: 0o644,
            });
        };
        text("METADATA", self.metadata());
        text("WHEEL", self.wheel_file());
        if let Some(points) = self.entry_points() {
            text("entry_points.txt", points);
        }
        let record = record(&members, &format!("{info}/RECORD"));
        members.push(Member {
            path: format!("{info}/RECORD"),
            bytes: record.into_bytes(),
            mode: 0o644,
        });
        members
    }

    /// The wheel.
    pub fn build(&self) -> Dist {
        let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for member in self.members() {
            let options = SimpleFileOptions::default()
                .compression_method(self.compression)
                .unix_permissions(member.mode);
            zip.start_file(&member.path, options).unwrap();
            zip.write_all(&member.bytes).unwrap();
        }
        self.dist(zip.finish().unwrap().into_inner())
    }

    /// The wheel's name and metadata around other bytes.
    pub fn dist(&self, bytes: Vec<u8>) -> Dist {
        Dist {
            project: normalised(&self.name),
            version: self.version.clone(),
            file_name: self.file_name(),
            bytes,
            metadata: Some(self.metadata()),
            requires_python: self.requires_python.clone(),
            yanked: None,
        }
    }
}

impl From<Wheel> for Dist {
    fn from(wheel: Wheel) -> Self {
        wheel.build()
    }
}

/// `RECORD` (PEP 376): path, digest, size; its own line has neither.
fn record(members: &[Member], own_path: &str) -> String {
    let mut text = String::new();
    for member in members {
        let digest = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&member.bytes));
        let _ = writeln!(
            text,
            "{},sha256={digest},{}",
            member.path,
            member.bytes.len()
        );
    }
    let _ = writeln!(text, "{own_path},,");
    text
}

/// Bytes that no compressor makes smaller, the same for the same seed.
pub fn noise(seed: &str, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 32);
    let mut counter = 0_u64;
    while bytes.len() < size {
        bytes.extend(sha2::Sha256::digest(format!("{seed}{counter}")));
        counter += 1;
    }
    bytes.truncate(size);
    bytes
}
