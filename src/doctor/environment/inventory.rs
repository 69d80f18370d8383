//! The files of an environment: what packages say they brought, and what is there.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    Environment,
    installed::{Brought, Installed, module_of},
};
use crate::{native::Shelf, types::PackageName};

/// A compiled file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// Where it is.
    pub path: PathBuf,
    /// The package that brought it.
    pub package: Option<PackageName>,
    /// The module whose import leads to it: the first folder below the folder of packages.
    pub module: Option<String>,
}

/// The files of an environment.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// What each package brought, conda's packages under their own names.
    pub brought: BTreeMap<String, Vec<Brought>>,
    /// Who brought a file; several names where packages overwrite each other.
    pub owners: HashMap<PathBuf, Vec<String>>,
    /// Compiled files that are there, sorted by path.
    pub compiled: Vec<Compiled>,
    /// Number of files and folders that are there.
    pub count: usize,
}

impl Inventory {
    /// Reads the lists, and walks through the folders of packages.
    pub fn read(environment: &Environment, installed: &Installed) -> Self {
        let packages: Vec<_> = installed.iter().collect();
        let mut brought: BTreeMap<String, Vec<Brought>> = packages
            .par_iter()
            .filter(|package| !package.is_conda() && !package.is_distribution())
            .filter_map(|package| Some((package.name.to_string(), package.files()?)))
            .collect();
        for package in installed.conda.values() {
            // A package of pip of the same name has replaced conda's; its list is the one that
            // holds.
            brought
                .entry(package.name.clone())
                .or_insert_with(|| package.files(&environment.root));
        }
        let mut owners: HashMap<PathBuf, Vec<String>> = HashMap::new();
        for (name, files) in &brought {
            for file in files {
                owners
                    .entry(file.path.clone())
                    .or_default()
                    .push(name.clone());
            }
        }
        let mut inventory = Self {
            brought,
            owners,
            compiled: Vec::new(),
            count: 0,
        };
        for site in &environment.site_packages {
            inventory.walk(site);
        }
        inventory
    }

    fn walk(&mut self, site: &Path) {
        let mut found = Vec::new();
        for entry in walkdir::WalkDir::new(site).into_iter().flatten() {
            self.count += 1;
            let name = entry.file_name().to_string_lossy();
            if !entry.file_type().is_dir() && is_compiled_name(&name) {
                found.push(entry.into_path());
            }
        }
        found.sort();
        // A linker script, or a text that ends in `.so`, is none.
        let is_compiled: Vec<bool> = found
            .par_iter()
            .map(|path| Shelf::looks_like_image(path) || is_cut(path))
            .collect();
        let compiled = found.into_iter().zip(is_compiled);
        for path in compiled.filter_map(|(path, is)| is.then_some(path)) {
            let owner = self.owners.get(&path).and_then(|names| names.first());
            self.compiled.push(Compiled {
                package: owner.and_then(|name| name.parse().ok()),
                module: module_of(&path, site),
                path,
            });
        }
    }

    /// Compiled files by the name that others ask for: the file's own name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Compiled> {
        let name = name.to_lowercase();
        self.compiled.iter().filter(move |compiled| {
            let own = compiled.path.file_name().unwrap_or_default();
            own.to_string_lossy().to_lowercase() == name
        })
    }

    /// Who brought a file.
    pub fn owner(&self, path: &Path) -> Option<&str> {
        Some(self.owners.get(path)?.first()?.as_str())
    }
}

/// Whether a file is too short to begin like anything.
fn is_cut(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.len() < 4)
}

/// Whether a name is that of a library or a compiled module: `x.so`, `libx.so.1.2`, `x.pyd`.
pub fn is_compiled_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    if [".so", ".pyd", ".dll", ".dylib"]
        .iter()
        .any(|ending| lower.ends_with(ending))
    {
        return true;
    }
    lower.split_once(".so.").is_some_and(|(_, version)| {
        !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    })
}

#[cfg(test)]
mod tests {
    use super::is_compiled_name;

    #[test]
    fn names_of_libraries() {
        for name in [
            "_C.so",
            "libcudart.so.12",
            "libx.so.1.2.3",
            "X.PYD",
            "c10.dll",
            "a.dylib",
        ] {
            assert!(is_compiled_name(name), "{name}");
        }
        for name in [
            "x.so.py",
            "libx.so.hash",
            "so",
            "x.sox",
            "libx.so.",
            "README",
        ] {
            assert!(!is_compiled_name(name), "{name}");
        }
    }
}
