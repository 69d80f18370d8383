//! Where Linux looks for a library: `ld.so(8)` of glibc, and the simpler rules of musl.
//!
//! A name with a slash is a path. Any other is looked for in, one after the other:
//!
//! 1. `DT_RPATH` of the library that asks, of the one that loaded it, and so on to the program;
//!    left out when the asking library has a `DT_RUNPATH`;
//! 2. `LD_LIBRARY_PATH`;
//! 3. `DT_RUNPATH` of the library that asks, and of no other;
//! 4. `ld.so.cache`, then the default folders.
//!
//! A file for another processor is passed over; one that is no library at all ends the search with
//! an error. musl asks `LD_LIBRARY_PATH` first, then the search paths (both kinds alike) of all in
//! the chain, then its list of folders.

use std::{
    ffi::OsStr,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    image::{Image, Machine},
    ld_cache::LdCache,
    process::{Finder, Lookup, Place},
    shelf::Shelf,
};

/// Folders below a searched one that hold builds for newer processors.
const HWCAPS: &[&str] = &["x86-64-v4", "x86-64-v3", "x86-64-v2"];

/// The loader of a Linux system.
#[derive(Clone, Debug, Default)]
pub struct Glibc {
    /// The folders of `LD_LIBRARY_PATH`.
    pub library_path: Vec<PathBuf>,
    /// `ld.so.cache`.
    pub cache: LdCache,
    /// Folders that are searched last.
    pub default_folders: Vec<PathBuf>,
    /// musl's order.
    pub is_musl: bool,
}

impl Glibc {
    /// The loader of this machine, with a value of `LD_LIBRARY_PATH`.
    pub fn of_machine(library_path: &OsStr, machine: Machine, is_musl: bool) -> Self {
        let default_folders = if is_musl {
            musl_folders(machine)
        } else {
            let multiarch = match machine {
                Machine::X86_64 => "x86_64-linux-gnu",
                Machine::Aarch64 => "aarch64-linux-gnu",
                Machine::X86 => "i386-linux-gnu",
                Machine::Arm => "arm-linux-gnueabihf",
                Machine::Other => "",
            };
            let lib = match machine {
                Machine::X86 | Machine::Arm => "lib",
                _ => "lib64",
            };
            [
                format!("/lib/{multiarch}"),
                format!("/usr/lib/{multiarch}"),
                format!("/{lib}"),
                format!("/usr/{lib}"),
                "/lib".to_owned(),
                "/usr/lib".to_owned(),
            ]
            .map(PathBuf::from)
            .to_vec()
        };
        Self {
            library_path: folders(library_path),
            cache: match is_musl {
                true => LdCache::default(),
                false => LdCache::read(Path::new("/etc/ld.so.cache")),
            },
            default_folders,
            is_musl,
        }
    }

    fn musl(
        &self,
        name: &str,
        chain: &[Arc<Image>],
        search: &mut Search<'_>,
    ) -> ControlFlow<Lookup> {
        search.folders(&self.library_path, Place::Variable, name)?;
        for image in chain {
            let both = image.rpath.iter().chain(&image.runpath);
            let own: Vec<PathBuf> = both.map(|folder| expanded(folder, image)).collect();
            search.folders(&own, Place::OwnSearchPath, name)?;
        }
        search.folders(&self.default_folders, Place::System, name)
    }

    fn glibc(
        &self,
        name: &str,
        chain: &[Arc<Image>],
        search: &mut Search<'_>,
    ) -> ControlFlow<Lookup> {
        let asker = chain.first();
        if asker.is_none_or(|asker| asker.runpath.is_empty()) {
            for image in chain {
                let own: Vec<PathBuf> = image.rpath.iter().map(|f| expanded(f, image)).collect();
                search.folders(&own, Place::OwnSearchPath, name)?;
            }
        }
        search.folders(&self.library_path, Place::Variable, name)?;
        if let Some(asker) = asker {
            let own: Vec<PathBuf> = asker.runpath.iter().map(|f| expanded(f, asker)).collect();
            search.folders(&own, Place::OwnSearchPath, name)?;
        }
        let only_own = asker.is_some_and(|asker| asker.no_default_folders);
        let is_default = |path: &Path| {
            let folder = path.parent().unwrap_or(path);
            self.default_folders.iter().any(|known| known == folder)
        };
        for entry in self.cache.of(name) {
            let path = Path::new(&entry.path);
            if !(only_own && is_default(path)) {
                search.file(path, Place::System)?;
            }
        }
        if only_own {
            return ControlFlow::Continue(());
        }
        search.folders(&self.default_folders, Place::System, name)
    }
}

impl Finder for Glibc {
    fn find(&self, name: &str, chain: &[Arc<Image>], shelf: &Shelf) -> Lookup {
        let mut search = Search {
            shelf,
            other_machine: Vec::new(),
        };
        let end = if name.contains('/') {
            search.file(Path::new(name), Place::Path)
        } else if self.is_musl {
            self.musl(name, chain, &mut search)
        } else {
            self.glibc(name, chain, &mut search)
        };
        match end {
            ControlFlow::Break(found) => found,
            ControlFlow::Continue(()) => Lookup::NotFound(search.other_machine),
        }
    }

    fn symbols_are_bound(&self) -> bool {
        false
    }
}

/// One search; a step breaks when the search has ended.
struct Search<'a> {
    shelf: &'a Shelf,
    other_machine: Vec<PathBuf>,
}

impl Search<'_> {
    fn folders(&mut self, folders: &[PathBuf], place: Place, name: &str) -> ControlFlow<Lookup> {
        for folder in folders {
            if self.shelf.has_hwcaps(folder) {
                for level in HWCAPS {
                    let newer = folder.join("glibc-hwcaps").join(level).join(name);
                    self.file(&newer, place)?;
                }
            }
            self.file(&folder.join(name), place)?;
        }
        ControlFlow::Continue(())
    }

    fn file(&mut self, path: &Path, place: Place) -> ControlFlow<Lookup> {
        // A folder of that name is no library either, and is passed over.
        if !path.is_file() {
            return ControlFlow::Continue(());
        }
        match self.shelf.image(path) {
            None => ControlFlow::Break(Lookup::Broken(path.to_owned())),
            Some(image) if image.runs_on(self.shelf.machine()) => {
                ControlFlow::Break(Lookup::Found(path.to_owned(), place))
            }
            Some(_) => {
                self.other_machine.push(path.to_owned());
                ControlFlow::Continue(())
            }
        }
    }
}

/// The folders of a path list; an empty one is the folder the program runs in.
fn folders(list: &OsStr) -> Vec<PathBuf> {
    if list.is_empty() {
        return Vec::new();
    }
    // `ld.so` splits at semicolons too.
    let text = list.to_string_lossy();
    text.split([':', ';'])
        .map(|folder| if folder.is_empty() { "." } else { folder })
        .map(PathBuf::from)
        .collect()
}

/// A folder of a search path, with the tokens that name the library's own folder filled in.
fn expanded(folder: &str, image: &Image) -> PathBuf {
    if !folder.contains('$') {
        return PathBuf::from(folder);
    }
    let origin = image.path.parent().unwrap_or(Path::new("."));
    let origin = origin.to_string_lossy();
    let text = folder
        .replace("${ORIGIN}", &origin)
        .replace("$ORIGIN", &origin);
    PathBuf::from(text)
}

/// The folders of musl: from its list, or the ones built in.
fn musl_folders(machine: Machine) -> Vec<PathBuf> {
    let processor = match machine {
        Machine::Aarch64 => "aarch64",
        Machine::X86 => "i386",
        _ => "x86_64",
    };
    let list = std::fs::read_to_string(format!("/etc/ld-musl-{processor}.path"));
    match list {
        Ok(text) => text
            .split([':', '\n'])
            .map(str::trim)
            .filter(|folder| !folder.is_empty())
            .map(PathBuf::from)
            .collect(),
        Err(_) => ["/lib", "/usr/local/lib", "/usr/lib"]
            .map(PathBuf::from)
            .to_vec(),
    }
}
