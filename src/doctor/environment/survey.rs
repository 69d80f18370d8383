//! Whether the compiled files of an environment would load, by the model of the loader.
//!
//! Two processes are tried, since what a module meets depends on what was imported before it: the
//! bare interpreter, and the interpreter after `import torch`, whose libraries most extensions
//! share by name.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use rayon::prelude::*;

use super::{Compiled, Environment, Inventory, Subject, Variables};
use crate::{
    native::{
        Finder, Machine, Missing, Process, Shelf, Unresolved, WrongVersion, glibc::Glibc,
        macos::Macos, windows::Windows,
    },
    types::{Arch, Os},
};

/// One thing that keeps files from loading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A library is not found; with the environment's own copies of it, which are elsewhere.
    Missing(Missing, Vec<PathBuf>),
    /// A library lacks a version.
    Version(WrongVersion),
    /// No library has the symbols.
    Unresolved(Unresolved),
}

impl Fault {
    /// The file that asks for what is not there.
    pub fn asked_by(&self) -> &Path {
        match self {
            Self::Missing(missing, _) => &missing.asked_by,
            Self::Version(version) => &version.asked_by,
            Self::Unresolved(unresolved) => &unresolved.asked_by,
        }
    }

    /// The same with the paths of files as they are written down elsewhere: search paths of
    /// libraries climb (`torch/lib/../../nvidia/cublas/lib`).
    fn tidied(mut self) -> Self {
        match &mut self {
            Self::Missing(missing, _) => {
                missing.asked_by = tidied(&missing.asked_by);
                missing.broken = missing.broken.as_deref().map(tidied);
                missing.other_machine = missing.other_machine.iter().map(|p| tidied(p)).collect();
            }
            Self::Version(wrong) => {
                wrong.asked_by = tidied(&wrong.asked_by);
                wrong.library = tidied(&wrong.library);
            }
            Self::Unresolved(unresolved) => unresolved.asked_by = tidied(&unresolved.asked_by),
        }
        self
    }

    /// Faults of one key have one root: a library that one package misses, a library that is too
    /// old, a file whose symbols are nowhere.
    fn key(&self, inventory: &Inventory) -> (u8, String, PathBuf) {
        match self {
            Self::Missing(missing, _) => {
                let asker = &missing.asked_by;
                let owner = inventory.owner(asker).map(PathBuf::from);
                let folder = || asker.parent().unwrap_or(asker).to_owned();
                (0, missing.name.clone(), owner.unwrap_or_else(folder))
            }
            Self::Version(wrong) => (1, wrong.version.clone(), wrong.library.clone()),
            Self::Unresolved(unresolved) => (2, String::new(), unresolved.asked_by.clone()),
        }
    }
}

/// A fault, and the compiled files it keeps from loading.
#[derive(Clone, Debug)]
pub struct Trouble<'a> {
    /// What is wrong.
    pub fault: Fault,
    /// Files that do not load for it, the asking one among them.
    pub files: Vec<&'a Compiled>,
}

/// The environment as its loader sees it.
pub struct Survey<'a> {
    subject: &'a Subject<'a>,
    finder: Box<dyn Finder + 'a>,
    shelf: Shelf,
}

impl<'a> Survey<'a> {
    /// Prepares the loader that programs of the environment would have.
    pub fn of(subject: &'a Subject<'a>) -> Self {
        let environment = &subject.environment;
        let preferred = match subject.host.cpu.arch {
            Arch::X86_64 => Machine::X86_64,
            Arch::Aarch64 => Machine::Aarch64,
        };
        let image = crate::native::Image::read(&environment.python, preferred).ok();
        let machine = image
            .as_ref()
            .and_then(|image| image.machines.first().copied())
            .unwrap_or(preferred);
        let is_musl = image
            .and_then(|image| image.interpreter)
            .is_some_and(|loader| loader.contains("ld-musl"));
        Self {
            subject,
            finder: finder(environment, &subject.variables, machine, is_musl),
            shelf: Shelf::new(machine),
        }
    }

    /// What was read of libraries.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// The bare interpreter with what the user has loaded into everything.
    pub fn bare(&self) -> Process<'_> {
        let python = &self.subject.environment.python;
        // The loader goes by the file itself, and so do its search paths.
        let python = self.shelf.real(python);
        let mut process = Process::start(&*self.finder, &self.shelf, python.as_deref());
        for library in self.subject.variables.folders("LD_PRELOAD") {
            if library.is_file() {
                process.load_global(&library);
            }
        }
        process
    }

    /// The interpreter after `import torch`: the libraries that torch makes global, then its own
    /// module.
    pub fn after_torch(&self) -> Option<Process<'_>> {
        self.torch().map(|(process, _)| process)
    }

    /// The same, and whether torch's module loads at all.
    fn torch(&self) -> Option<(Process<'_>, bool)> {
        let torch = self.subject.installed.get("torch")?.site.join("torch");
        let mut process = self.bare();
        let global = torch.join("lib").join("libtorch_global_deps.so");
        if global.is_file() {
            process.load_global(&global);
        }
        let module = self.subject.inventory.compiled.iter().find(|compiled| {
            let name = compiled.path.file_name().unwrap_or_default();
            compiled.path.parent() == Some(&torch) && name.to_string_lossy().starts_with("_C.")
        })?;
        let works = process.load(&module.path).works();
        Some((process, works))
    }

    /// Everything that does not load whatever was imported before, by root.
    pub fn troubles(&self) -> Vec<Trouble<'a>> {
        let bare = self.bare();
        let torch = self.torch();
        let found: Vec<(&Compiled, Vec<Fault>)> = self
            .subject
            .inventory
            .compiled
            .par_iter()
            .filter_map(|compiled| {
                let faults = self.faults(compiled, &bare, torch.as_ref());
                (!faults.is_empty()).then_some((compiled, faults))
            })
            .collect();
        let mut troubles: BTreeMap<_, Trouble<'a>> = BTreeMap::new();
        for (compiled, faults) in found {
            for fault in faults {
                troubles
                    .entry(fault.key(&self.subject.inventory))
                    .or_insert_with(|| Trouble {
                        fault,
                        files: Vec::new(),
                    })
                    .files
                    .push(compiled);
            }
        }
        troubles.into_values().collect()
    }

    fn faults(
        &self,
        compiled: &Compiled,
        bare: &Process<'_>,
        torch: Option<&(Process<'_>, bool)>,
    ) -> Vec<Fault> {
        let path = &compiled.path;
        let mut load = bare.clone().load(path);
        // What came with a torch that does not load is in the model and would not be in a process.
        if !load.works()
            && let Some((process, works)) = torch
            && (*works || !self.has_loaded(process, path))
        {
            load = process.clone().load(path);
        }
        if load.works() {
            return Vec::new();
        }
        let missing = load.missing.into_iter().map(|missing| {
            let copies = self.copies(&missing.name);
            Fault::Missing(missing, copies)
        });
        missing
            .chain(load.versions.into_iter().map(Fault::Version))
            .chain(load.unresolved.into_iter().map(Fault::Unresolved))
            .map(Fault::tidied)
            .filter(|fault| self.is_judged(fault))
            .collect()
    }

    fn has_loaded(&self, process: &Process<'_>, path: &Path) -> bool {
        let path = self.shelf.real(path);
        let mut loaded = process.libraries();
        path.is_some() && loaded.any(|(image, _)| self.shelf.real(&image.path) == path)
    }

    /// Without an interpreter that can be read, nothing can be said of Python's own symbols.
    fn is_judged(&self, fault: &Fault) -> bool {
        match fault {
            Fault::Unresolved(unresolved) => {
                let is_python = |name: &str| {
                    let name = name.trim_start_matches('_');
                    name.starts_with("Py")
                };
                self.shelf.image(&self.subject.environment.python).is_some()
                    || !unresolved
                        .symbols
                        .iter()
                        .all(|symbol| is_python(&symbol.name))
            }
            _ => true,
        }
    }

    /// The environment's own files that answer to a name.
    pub fn copies(&self, name: &str) -> Vec<PathBuf> {
        self.subject
            .inventory
            .compiled
            .iter()
            .filter(|compiled| {
                let own = compiled.path.file_name().unwrap_or_default();
                own.to_string_lossy() == name
                    || self
                        .shelf
                        .image(&compiled.path)
                        .is_some_and(|image| image.soname.as_deref() == Some(name))
            })
            .map(|compiled| compiled.path.clone())
            .collect()
    }
}

/// A path without its climbing, where that leads to the same file: links can make a difference.
fn tidied(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                tidy.pop();
            }
            part => tidy.push(part),
        }
    }
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    match real(&tidy) == real(path) {
        true => tidy,
        false => path.to_owned(),
    }
}

/// The loader of the environment's system.
fn finder(
    environment: &Environment,
    variables: &Variables,
    machine: Machine,
    is_musl: bool,
) -> Box<dyn Finder> {
    match environment.os {
        Os::Linux => {
            let path = variables.get("LD_LIBRARY_PATH").unwrap_or_default();
            Box::new(Glibc::of_machine(path, machine, is_musl))
        }
        Os::Macos => Box::new(Macos {
            library_path: variables.folders("DYLD_LIBRARY_PATH"),
            program: std::fs::canonicalize(&environment.python).ok(),
        }),
        Os::Windows => Box::new(Windows {
            program: base_folder(environment),
            added: added_folders(environment),
            system: variables
                .get("SystemRoot")
                .map(|root| Path::new(root).join("System32"))
                .filter(|folder| folder.is_dir()),
        }),
    }
}

/// The folder of the program that runs: a virtual environment starts the one it was made from.
fn base_folder(environment: &Environment) -> Option<PathBuf> {
    let own = environment.python.parent().map(Path::to_owned);
    environment.base.clone().or(own)
}

/// The folders that packages of Windows add to the search when they are imported: torch's, those
/// that repaired wheels bring (`numpy.libs`), and conda's own.
fn added_folders(environment: &Environment) -> Vec<PathBuf> {
    let mut folders = vec![environment.root.join("Library").join("bin")];
    folders.extend(base_folder(environment).map(|base| base.join("DLLs")));
    for site in &environment.site_packages {
        folders.push(site.join("torch").join("lib"));
        let entries = std::fs::read_dir(site).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path()).filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.ends_with(".libs") && path.is_dir()
        }));
    }
    folders.retain(|folder| folder.is_dir());
    folders
}
