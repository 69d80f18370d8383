//! What is installed in an environment: `*.dist-info`, `*.egg-info` and `conda-meta`, read and not
//! asked of any installer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rayon::prelude::*;
use serde::Deserialize;

use crate::types::{PackageName, Requirement, Version, parse_requirement};

/// A file that a package brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Where it is, or was.
    pub path: PathBuf,
    /// Its size, where that was written down.
    pub size: Option<u64>,
    /// Its SHA-256, where that was written down.
    pub sha256: Option<[u8; 32]>,
}

/// An installed Python package.
#[derive(Clone, Debug)]
pub struct Package {
    /// Name.
    pub name: PackageName,
    /// Version; absent where it is none that Python knows.
    pub version: Option<Version>,
    /// The folder (or file) that says so.
    pub info: PathBuf,
    /// The folder of packages it is in.
    pub site: PathBuf,
    /// Who installed it (`pip`, `uv`, `conda` …), where that was written down.
    pub installer: Option<String>,
    /// What it needs.
    pub requires: Vec<Requirement>,
}

impl Package {
    /// Name and version for a person.
    pub fn spelled(&self) -> String {
        match &self.version {
            Some(version) => format!("{} {version}", self.name),
            None => self.name.to_string(),
        }
    }

    /// Whether conda installed it, whose packages are listed in `conda-meta`.
    pub fn is_conda(&self) -> bool {
        self.installer.as_deref() == Some("conda")
    }

    /// Whether the system's package manager installed it. It checks its files by lists of its own;
    /// `RECORD` is from before they were stripped.
    pub fn is_distribution(&self) -> bool {
        let of_system = self.site.starts_with("/usr") && !self.site.starts_with("/usr/local");
        of_system
            || matches!(
                self.installer.as_deref(),
                Some("debian" | "rpm" | "portage")
            )
    }

    /// The files it brought, as its `RECORD` lists them; `None` where it has none.
    pub fn files(&self) -> Option<Vec<Brought>> {
        let bytes = fs::read(self.info.join("RECORD")).ok()?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(&bytes[..]);
        let mut files = Vec::new();
        for row in reader.records().flatten() {
            let Some(path) = row.get(0).filter(|path| !path.is_empty()) else {
                continue;
            };
            let digest = row.get(1).and_then(|field| field.strip_prefix("sha256="));
            files.push(Brought {
                path: joined(&self.site, path),
                size: row.get(2).and_then(|size| size.parse().ok()),
                sha256: digest.and_then(|encoded| {
                    let encoded = encoded.trim_end_matches('=');
                    URL_SAFE_NO_PAD.decode(encoded).ok()?.try_into().ok()
                }),
            });
        }
        Some(files)
    }

    /// The names by which its modules are imported: `torch`, `PIL`.
    pub fn modules(&self) -> BTreeSet<String> {
        let names = self.files().unwrap_or_default();
        names
            .iter()
            .filter_map(|file| module_of(&file.path, &self.site))
            .collect()
    }
}

/// The module that a file below a folder of packages belongs to: its first folder, or itself.
pub fn module_of(file: &Path, site: &Path) -> Option<String> {
    let below = file.strip_prefix(site).ok()?;
    let mut parts = below.components();
    let first = parts.next()?.as_os_str().to_str()?;
    let name = if parts.next().is_some() {
        first
    } else {
        let (stem, ending) = first.split_once('.')?;
        let is_code = ending == "py" || ending.ends_with("so") || ending.ends_with("pyd");
        is_code.then_some(stem)?
    };
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    (is_name && name != "__pycache__").then(|| name.to_owned())
}

/// A path of `RECORD`, which may climb out of its folder, without the climbing.
fn joined(site: &Path, relative: &str) -> PathBuf {
    let mut path = site.to_owned();
    for part in relative.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    path
}

/// A package of conda, Python's or not.
#[derive(Clone, Debug, Deserialize)]
pub struct CondaPackage {
    /// Name, as conda spells it: `pytorch`, `libstdcxx-ng`.
    pub name: String,
    /// Version.
    pub version: String,
    /// Build: `py3.12_cuda12.4_cudnn9.1.0_0`, `cpu_generic_py311h…`.
    #[serde(default)]
    pub build: String,
    /// Where it came from.
    #[serde(default)]
    pub channel: String,
    #[serde(default)]
    paths_data: CondaPaths,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct CondaPaths {
    #[serde(default)]
    paths: Vec<CondaPath>,
}

#[derive(Clone, Debug, Deserialize)]
struct CondaPath {
    #[serde(rename = "_path")]
    path: String,
    #[serde(default)]
    path_type: String,
    #[serde(default)]
    size_in_bytes: Option<u64>,
    #[serde(default)]
    sha256_in_prefix: Option<String>,
}

impl CondaPackage {
    /// The files it brought. Sizes are those of the archive: where conda wrote the environment's
    /// path into a file, neither size nor digest is known.
    pub fn files(&self, root: &Path) -> Vec<Brought> {
        self.paths_data
            .paths
            .iter()
            .filter(|path| path.path_type != "directory")
            .map(|path| {
                let digest = path.sha256_in_prefix.as_deref();
                let digest = digest.and_then(|text| hex::decode(text).ok()?.try_into().ok());
                Brought {
                    path: joined(root, &path.path),
                    size: digest.and(path.size_in_bytes),
                    sha256: digest,
                }
            })
            .collect()
    }

    /// The last part of its channel: `conda-forge`, `main`, `pytorch`.
    pub fn channel_name(&self) -> &str {
        let channel = self.channel.trim_end_matches('/');
        let mut parts = channel.rsplit('/');
        let last = parts.next().unwrap_or_default();
        // `…/conda-forge/linux-64` in older records.
        match last.contains('-') && (last.ends_with("64") || last == "noarch") {
            true => parts.next().unwrap_or(last),
            false => last,
        }
    }
}

/// Everything that is installed.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    /// Python packages; of one that is there several times, the one that Python takes.
    packages: BTreeMap<PackageName, Package>,
    /// Packages that are recorded more than once in one folder.
    pub twice: Vec<(Package, Package)>,
    /// Folders that an interrupted removal left (`~umpy`).
    pub leftovers: Vec<PathBuf>,
    /// Packages of conda, by name.
    pub conda: BTreeMap<String, CondaPackage>,
}

impl Installed {
    /// Reads the folders of packages, in the order Python looks through them, and `conda-meta` of
    /// a root.
    pub fn read(site_packages: &[PathBuf], conda_root: Option<&Path>) -> Self {
        let mut installed = Self::default();
        for site in site_packages {
            let (packages, leftovers) = read_site(site);
            installed.leftovers.extend(leftovers);
            for package in packages {
                match installed.packages.get(&package.name) {
                    None => {
                        installed.packages.insert(package.name.clone(), package);
                    }
                    Some(known) if known.site == package.site => {
                        installed.twice.push((known.clone(), package));
                    }
                    // Hidden by the same package in an earlier folder.
                    Some(_) => {}
                }
            }
        }
        if let Some(root) = conda_root {
            installed.conda = read_conda(root);
        }
        installed
    }

    /// A package by its normalised name.
    pub fn get(&self, name: &str) -> Option<&Package> {
        self.packages.get(&PackageName::from_str(name).ok()?)
    }

    /// The version of a package.
    pub fn version(&self, name: &str) -> Option<&Version> {
        self.get(name)?.version.as_ref()
    }

    /// Every package, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    /// Number of packages.
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }
}

fn read_site(site: &Path) -> (Vec<Package>, Vec<PathBuf>) {
    let mut names: Vec<String> = fs::read_dir(site)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    let leftovers = names
        .iter()
        .filter(|name| name.starts_with('~'))
        .map(|name| site.join(name))
        .collect();
    let packages = names
        .par_iter()
        .filter_map(|name| read_package(site, name))
        .collect();
    (packages, leftovers)
}

fn read_package(site: &Path, folder: &str) -> Option<Package> {
    let info = site.join(folder);
    let metadata = if folder.ends_with(".dist-info") {
        info.join("METADATA")
    } else if folder.ends_with(".egg-info") && info.is_dir() {
        info.join("PKG-INFO")
    } else if folder.ends_with(".egg-info") {
        info.clone()
    } else {
        return None;
    };
    if folder.starts_with('~') {
        return None;
    }
    let stem = folder.rsplit_once('.').map_or(folder, |(stem, _)| stem);
    let mut package = Package {
        name: PackageName::from_str(stem.split('-').next()?).ok()?,
        version: stem.split('-').nth(1).and_then(|text| text.parse().ok()),
        site: site.to_owned(),
        installer: fs::read_to_string(info.join("INSTALLER"))
            .ok()
            .map(|text| text.trim().to_lowercase()),
        requires: Vec::new(),
        info,
    };
    // What the file says is believed before the folder's name; without it the name has to do.
    let bytes = fs::read(metadata).unwrap_or_default();
    if let Ok((headers, _)) = mailparse::parse_headers(&bytes) {
        for header in headers {
            let value = || header.get_value().trim().to_owned();
            match header.get_key_ref().to_ascii_lowercase().as_str() {
                "name" => {
                    if let Ok(name) = PackageName::from_str(&value()) {
                        package.name = name;
                    }
                }
                "version" => package.version = value().parse().ok().or(package.version),
                "requires-dist" => package.requires.extend(parse_requirement(&value()).ok()),
                _ => {}
            }
        }
    }
    Some(package)
}

fn read_conda(root: &Path) -> BTreeMap<String, CondaPackage> {
    let files: Vec<PathBuf> = fs::read_dir(root.join("conda-meta"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .collect();
    files
        .par_iter()
        .filter_map(|path| {
            let package: CondaPackage = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
            Some((package.name.clone(), package))
        })
        .collect()
}
