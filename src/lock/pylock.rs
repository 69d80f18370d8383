//! The lock as a `pylock.toml` (PEP 751).
//!
//! Everything another installer needs stands in the standard tables; what only aienv knows
//! (accelerator, interpreter, source tree) stands in `[tool.aienv]`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Artifact, ArtifactKind, Lock, LockedPackage, LockedPython, LockedTree};
use crate::{
    error::UserError,
    types::{
        Accelerator, Arch, Os, PackageName, PythonVersion, Sha256, Target, Version,
        VersionSpecifiers,
    },
};

/// A lock file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Not TOML, or not of the form PEP 751 lays down.
    #[error("this is not a pylock file")]
    Form(#[source] Box<toml::de::Error>),
    /// A version of the format that is not known.
    #[error("lock-version `{0}` is not known here; aienv reads 1.x")]
    UnknownVersion(String),
    /// Written by another program.
    #[error("this lock was not written by aienv (it has no `[tool.aienv]` table)")]
    Foreign,
    /// A package without a usable file.
    #[error("the lock's package `{package}` {why}")]
    BadPackage {
        /// Its name.
        package: String,
        /// What is wrong.
        why: String,
    },
}

impl UserError for LockError {
    fn code(&self) -> &'static str {
        match self {
            Self::Form(_) => "lock.form",
            Self::UnknownVersion(_) => "lock.version",
            Self::Foreign => "lock.foreign",
            Self::BadPackage { .. } => "lock.package",
        }
    }

    fn hint(&self) -> Option<String> {
        Some("write the lock anew with `aienv lock TOOL -o FILE`".to_owned())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pylock {
    lock_version: String,
    #[serde(default)]
    environments: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    requires_python: Option<VersionSpecifiers>,
    created_by: String,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default)]
    tool: Tool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Package {
    name: PackageName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    dependencies: Vec<Dependency>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archive: Option<File>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sdist: Option<File>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    wheels: Vec<File>,
}

#[derive(Serialize, Deserialize)]
struct Dependency {
    name: PackageName,
}

#[derive(Serialize, Deserialize)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    hashes: BTreeMap<String, String>,
}

#[derive(Default, Serialize, Deserialize)]
struct Tool {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aienv: Option<Aienv>,
}

#[derive(Serialize, Deserialize)]
struct Aienv {
    tool: String,
    version: Version,
    accelerator: Accelerator,
    target: Target,
    python: LockedPython,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tree: Option<LockedTree>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    programs: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(default)]
    manifest: String,
}

impl Lock {
    /// The text of the `pylock.toml`.
    pub fn to_pylock(&self) -> String {
        let pylock = Pylock {
            lock_version: "1.0".to_owned(),
            environments: vec![environment(&self.target)],
            requires_python: requires_python(self.python.version()),
            created_by: "aienv".to_owned(),
            packages: self.packages.iter().map(Package::from).collect(),
            tool: Tool {
                aienv: Some(Aienv {
                    tool: self.tool.clone(),
                    version: self.version.clone(),
                    accelerator: self.accelerator,
                    target: self.target,
                    python: self.python.clone(),
                    tree: self.tree.clone(),
                    programs: self.programs.clone(),
                    environment: self.environment.clone(),
                    manifest: self.manifest.clone(),
                }),
            },
        };
        // Every field is a string, a number or a table of these.
        toml::to_string(&pylock)
            .unwrap_or_else(|error| unreachable!("a lock is plain data: {error}"))
    }

    /// Reads a `pylock.toml` that aienv wrote.
    pub fn from_pylock(text: &str) -> Result<Self, LockError> {
        let pylock: Pylock =
            toml::from_str(text).map_err(|error| LockError::Form(Box::new(error)))?;
        if pylock.lock_version.split('.').next() != Some("1") {
            return Err(LockError::UnknownVersion(pylock.lock_version));
        }
        let aienv = pylock.tool.aienv.ok_or(LockError::Foreign)?;
        let packages = pylock
            .packages
            .into_iter()
            .map(LockedPackage::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tool: aienv.tool,
            version: aienv.version,
            target: aienv.target,
            accelerator: aienv.accelerator,
            python: aienv.python,
            packages,
            tree: aienv.tree,
            programs: aienv.programs,
            environment: aienv.environment,
            manifest: aienv.manifest,
        })
    }
}

impl From<&LockedPackage> for Package {
    fn from(package: &LockedPackage) -> Self {
        let artifact = &package.artifact;
        let file = File {
            name: Some(artifact.file_name.clone()),
            url: artifact.url.clone(),
            size: artifact.size,
            hashes: [("sha256".to_owned(), artifact.sha256.to_string())].into(),
        };
        let dependencies = package
            .dependencies
            .iter()
            .cloned()
            .map(|name| Dependency { name });
        let mut this = Self {
            name: package.name.clone(),
            version: Some(package.version.clone()),
            dependencies: dependencies.collect(),
            archive: None,
            sdist: None,
            wheels: Vec::new(),
        };
        match (package.direct, artifact.kind) {
            // `archive` has no name; it is the last segment of the URL.
            (true, _) => this.archive = Some(File { name: None, ..file }),
            (false, ArtifactKind::Sdist) => this.sdist = Some(file),
            (false, ArtifactKind::Wheel) => this.wheels.push(file),
        }
        this
    }
}

impl TryFrom<Package> for LockedPackage {
    type Error = LockError;

    fn try_from(package: Package) -> Result<Self, LockError> {
        let bad = |why: &str| LockError::BadPackage {
            package: package.name.to_string(),
            why: why.to_owned(),
        };
        let version = package
            .version
            .clone()
            .ok_or_else(|| bad("has no version"))?;
        let mut files = package
            .wheels
            .iter()
            .map(|file| (file, ArtifactKind::Wheel))
            .chain(package.sdist.iter().map(|file| (file, ArtifactKind::Sdist)))
            .chain(
                package
                    .archive
                    .iter()
                    .map(|file| (file, archive_kind(&file.url))),
            );
        let (file, kind) = files.next().ok_or_else(|| bad("has no file"))?;
        if files.next().is_some() {
            return Err(bad("has more than one file; aienv locks exactly one"));
        }
        let sha256 = file
            .hashes
            .get("sha256")
            .ok_or_else(|| bad("has no sha256"))?;
        let file_name = match &file.name {
            Some(name) => name.clone(),
            None => last_segment(&file.url).to_owned(),
        };
        if file_name.is_empty() || file_name.contains(['/', '\\']) {
            return Err(bad("has a file without a proper name"));
        }
        Ok(Self {
            artifact: Artifact {
                kind,
                file_name,
                url: file.url.clone(),
                size: file.size,
                sha256: sha256
                    .parse::<Sha256>()
                    .map_err(|error| bad(&error.to_string()))?,
            },
            direct: package.archive.is_some(),
            dependencies: package
                .dependencies
                .iter()
                .map(|d| d.name.clone())
                .collect(),
            name: package.name.clone(),
            version,
        })
    }
}

fn last_segment(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

fn archive_kind(url: &str) -> ArtifactKind {
    if last_segment(url).ends_with(".whl") {
        ArtifactKind::Wheel
    } else {
        ArtifactKind::Sdist
    }
}

fn requires_python(version: &Version) -> Option<VersionSpecifiers> {
    let short = PythonVersion::of(version)?;
    format!("=={short}.*").parse().ok()
}

/// The PEP 508 marker of the machines a lock is for.
fn environment(target: &Target) -> String {
    let platform = match target.os {
        Os::Linux => "linux",
        Os::Macos => "darwin",
        Os::Windows => "win32",
    };
    let machine = match (target.os, target.arch) {
        (Os::Windows, Arch::X86_64) => "AMD64",
        (Os::Windows, Arch::Aarch64) => "ARM64",
        (Os::Macos, Arch::Aarch64) => "arm64",
        (_, Arch::X86_64) => "x86_64",
        (_, Arch::Aarch64) => "aarch64",
    };
    format!(
        "sys_platform == '{platform}' and platform_machine == '{machine}' and implementation_name == 'cpython'"
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::types::Libc;

    fn sample() -> Lock {
        let package = |name: &str, file: &str, kind, direct| LockedPackage {
            name: name.parse().unwrap(),
            version: "1.2".parse().unwrap(),
            artifact: Artifact {
                kind,
                file_name: file.to_owned(),
                url: format!("https://files.example/{file}"),
                size: Some(1234),
                sha256: Sha256::of(file),
            },
            direct,
            dependencies: vec!["other".parse().unwrap()],
        };
        Lock {
            tool: "demo".to_owned(),
            version: "1.2".parse().unwrap(),
            target: Target {
                os: Os::Linux,
                arch: Arch::X86_64,
                libc: Some(Libc::Glibc {
                    major: 2,
                    minor: 36,
                }),
                macos: None,
            },
            accelerator: Accelerator::Cuda(12, 8),
            python: LockedPython::System {
                version: "3.11.7".parse().unwrap(),
                path: "/usr/bin/python3.11".into(),
                sha256: Some(Sha256::of("python")),
            },
            packages: vec![
                package(
                    "demo",
                    "demo-1.2-py3-none-any.whl",
                    ArtifactKind::Wheel,
                    false,
                ),
                package("other", "other-1.2.tar.gz", ArtifactKind::Sdist, false),
                package(
                    "remote",
                    "remote-1.2-py3-none-any.whl",
                    ArtifactKind::Wheel,
                    true,
                ),
            ],
            tree: None,
            programs: [("ffmpeg".to_owned(), "x/ffmpeg-*".to_owned())].into(),
            environment: [("HIP_VISIBLE_DEVICES".to_owned(), "1".to_owned())].into(),
            manifest: "schema = 1\nname = \"demo\"\n".to_owned(),
        }
    }

    #[test]
    fn a_lock_survives_the_file() {
        let lock = sample();
        let text = lock.to_pylock();
        let read = Lock::from_pylock(&text).unwrap();
        assert_eq!(read, lock);
        assert_eq!(read.to_pylock(), text);
    }

    #[test]
    fn the_digest_ignores_where_files_are_but_not_what_they_are() {
        let lock = sample();
        let mut moved = lock.clone();
        moved.packages[0].artifact.url = "https://mirror.example/x.whl".to_owned();
        assert_eq!(moved.digest(), lock.digest());
        let mut other = lock.clone();
        other.packages[0].artifact.sha256 = Sha256::of("other bytes");
        assert_ne!(other.digest(), lock.digest());
    }

    #[test]
    fn bad_locks_are_told_apart() {
        let text = sample().to_pylock();
        assert!(matches!(Lock::from_pylock("]"), Err(LockError::Form(_))));
        let newer = text.replace("lock-version = \"1.0\"", "lock-version = \"2.0\"");
        assert!(matches!(
            Lock::from_pylock(&newer),
            Err(LockError::UnknownVersion(_))
        ));
        let foreign = text.replace("tool.aienv", "tool.other");
        assert!(matches!(
            Lock::from_pylock(&foreign),
            Err(LockError::Foreign)
        ));
        let unhashed = text.replacen("sha256 =", "md5 =", 1);
        assert!(matches!(
            Lock::from_pylock(&unhashed),
            Err(LockError::BadPackage { .. })
        ));
    }
}
