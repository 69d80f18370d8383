//! Where macOS looks for a library: `dyld(1)`.
//!
//! Names are paths. `@loader_path` is the folder of the library that asks, `@executable_path` that
//! of the program, and `@rpath` stands for each `LC_RPATH` of the library that asks, of the one
//! that loaded it, and so on to the program. `DYLD_LIBRARY_PATH` comes before all of that, by the
//! last part of the name. The system's own libraries are in a cache and no files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    image::Image,
    process::{Finder, Lookup, Place},
    shelf::Shelf,
};

/// The loader of macOS.
#[derive(Clone, Debug, Default)]
pub struct Macos {
    /// The folders of `DYLD_LIBRARY_PATH`.
    pub library_path: Vec<PathBuf>,
    /// The program.
    pub program: Option<PathBuf>,
}

impl Macos {
    fn expanded(&self, name: &str, asker: Option<&Image>) -> PathBuf {
        let folder = |path: Option<&Path>| path.and_then(Path::parent).map(Path::to_owned);
        let below = |base: Option<PathBuf>, rest: &str| {
            base.unwrap_or_default().join(rest.trim_start_matches('/'))
        };
        if let Some(rest) = name.strip_prefix("@loader_path") {
            return below(folder(asker.map(|image| image.path.as_path())), rest);
        }
        if let Some(rest) = name.strip_prefix("@executable_path") {
            return below(folder(self.program.as_deref()), rest);
        }
        PathBuf::from(name)
    }
}

impl Finder for Macos {
    fn find(&self, name: &str, chain: &[Arc<Image>], shelf: &Shelf) -> Lookup {
        let leaf = Path::new(name).file_name().unwrap_or_default();
        let mut places: Vec<(PathBuf, Place)> = self
            .library_path
            .iter()
            .map(|folder| (folder.join(leaf), Place::Variable))
            .collect();
        match name.strip_prefix("@rpath/") {
            Some(rest) => {
                for image in chain {
                    let folders = image.runpath.iter();
                    places.extend(folders.map(|folder| {
                        (
                            self.expanded(folder, Some(image)).join(rest),
                            Place::OwnSearchPath,
                        )
                    }));
                }
            }
            None => {
                let asker = chain.first().map(AsRef::as_ref);
                places.push((self.expanded(name, asker), Place::Path));
            }
        }
        let mut other_machine = Vec::new();
        for (path, place) in places {
            if !path.is_file() {
                continue;
            }
            match shelf.image(&path) {
                None => return Lookup::Broken(path),
                Some(image) if image.runs_on(shelf.machine()) => return Lookup::Found(path, place),
                Some(_) => other_machine.push(path),
            }
        }
        let is_system = ["/usr/lib/", "/System/"]
            .iter()
            .any(|folder| name.starts_with(folder));
        match is_system {
            true => Lookup::BuiltIn,
            false => Lookup::NotFound(other_machine),
        }
    }

    fn symbols_are_bound(&self) -> bool {
        true
    }
}
