//! Where Windows looks for the libraries of a Python module.
//!
//! CPython (3.8 and later) opens a module with `LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR` and
//! `LOAD_LIBRARY_SEARCH_DEFAULT_DIRS`: the folder of the module, the folder of the program, those
//! that packages added (`os.add_dll_directory`), and `System32`; `PATH` is not among them. A
//! library that is loaded under the same name already is taken before any of these. Names of API
//! sets (`api-ms-win-…`) are no files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    image::Image,
    process::{Finder, Lookup, Place},
    shelf::Shelf,
};

/// The loader of Windows.
#[derive(Clone, Debug, Default)]
pub struct Windows {
    /// The folder of the program.
    pub program: Option<PathBuf>,
    /// Folders that packages added.
    pub added: Vec<PathBuf>,
    /// `System32`; where it cannot be seen, a library that is nowhere else counts as part of it.
    pub system: Option<PathBuf>,
}

impl Finder for Windows {
    fn find(&self, name: &str, chain: &[Arc<Image>], shelf: &Shelf) -> Lookup {
        let folded = self.folded(name);
        if folded.starts_with("api-ms-win-") || folded.starts_with("ext-ms-") {
            return Lookup::BuiltIn;
        }
        // The module that is being opened: the program is last and no module.
        let modules = chain.len().saturating_sub(1).max(1);
        let module = chain.get(..modules).and_then(<[_]>::last);
        let own = module.and_then(|image| image.path.parent());
        let beside = own
            .into_iter()
            .chain(self.program.as_deref())
            .chain(self.added.iter().map(PathBuf::as_path))
            .map(|folder| (folder, Place::Beside));
        let system = self.system.as_deref().map(|folder| (folder, Place::System));
        let mut other_machine = Vec::new();
        for (folder, place) in beside.chain(system) {
            let Some(path) = in_folder(folder, name, &folded) else {
                continue;
            };
            match shelf.image(&path) {
                None => return Lookup::Broken(path),
                Some(image) if image.runs_on(shelf.machine()) => return Lookup::Found(path, place),
                Some(_) => other_machine.push(path),
            }
        }
        match self.system {
            None => Lookup::BuiltIn,
            Some(_) => Lookup::NotFound(other_machine),
        }
    }

    fn folded(&self, name: &str) -> String {
        name.to_ascii_lowercase()
    }

    fn symbols_are_bound(&self) -> bool {
        true
    }
}

/// A file of a folder whatever the case of its name, also on file systems that tell cases apart.
fn in_folder(folder: &Path, name: &str, folded: &str) -> Option<PathBuf> {
    [name, folded]
        .into_iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}
