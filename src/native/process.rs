//! A process as a loader builds it: libraries are looked for, breadth first, each once, by name.
//!
//! The rules that all loaders share are here; where a name is looked for is the [`Finder`]'s. A
//! process is cheap to clone, so that a hundred modules can be tried on top of one start.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    image::Image,
    shelf::Shelf,
    symbols::{Symbols, Undefined},
};

/// Names of one library that are told; there may be thousands.
const TOLD: usize = 8;

/// Where a library was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Named by its path.
    Path,
    /// `DT_RPATH`, `DT_RUNPATH` or `LC_RPATH` of a library.
    OwnSearchPath,
    /// A variable such as `LD_LIBRARY_PATH`.
    Variable,
    /// A folder beside the library or the program, or added by the program.
    Beside,
    /// The system's folders, or its cache.
    System,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// A file.
    Found(PathBuf, Place),
    /// Part of the system, without a file of its own here.
    BuiltIn,
    /// Nothing; with files of the name that are for other processors.
    NotFound(Vec<PathBuf>),
    /// A file that is no library, at which the loader gives up.
    Broken(PathBuf),
}

/// How a system's loader looks for a library.
pub trait Finder: Sync {
    /// The file for a name that `chain[0]` asks for; after it in the chain come who loaded it, who
    /// loaded that, and so on to the program.
    fn find(&self, name: &str, chain: &[Arc<Image>], shelf: &Shelf) -> Lookup;

    /// A name as the loader compares it.
    fn folded(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Whether a symbol must come from the library that the file names for it; otherwise the
    /// first library that has it will do.
    fn symbols_are_bound(&self) -> bool;
}

/// A library that was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// As it was asked for.
    pub name: String,
    /// By whom.
    pub asked_by: PathBuf,
    /// Files of the name that are for other processors.
    pub other_machine: Vec<PathBuf>,
    /// The file of the name that is no library.
    pub broken: Option<PathBuf>,
}

/// A library that is too old (or another) for what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WrongVersion {
    /// The version that was asked for: `GLIBCXX_3.4.32`.
    pub version: String,
    /// The name of the library: `libstdc++.so.6`.
    pub name: String,
    /// The file that was loaded.
    pub library: PathBuf,
    /// Who asked.
    pub asked_by: PathBuf,
}

/// Symbols of one file that no library brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// The file.
    pub asked_by: PathBuf,
    /// The first of them.
    pub symbols: Vec<Undefined>,
    /// How many there are.
    pub count: usize,
}

/// What became of a load.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Files that came with it, itself first.
    pub files: Vec<PathBuf>,
    /// Libraries that were not found.
    pub missing: Vec<Missing>,
    /// Libraries without the versions that are asked of them.
    pub versions: Vec<WrongVersion>,
    /// Symbols that nothing brings.
    pub unresolved: Vec<Unresolved>,
}

impl Load {
    /// Whether the loader would be content.
    pub fn works(&self) -> bool {
        self.missing.is_empty() && self.versions.is_empty() && self.unresolved.is_empty()
    }
}

#[derive(Clone, Debug)]
struct Loaded {
    image: Arc<Image>,
    place: Place,
    loader: Option<usize>,
    /// What it asks for, by index.
    uses: Vec<usize>,
}

/// The libraries of a process.
#[derive(Clone)]
pub struct Process<'a> {
    finder: &'a dyn Finder,
    shelf: &'a Shelf,
    loaded: Vec<Loaded>,
    by_name: HashMap<String, usize>,
    by_file: HashMap<PathBuf, usize>,
    /// Symbols of these serve everybody.
    global: Vec<usize>,
    /// Files whose symbols were looked for already, and found.
    settled: HashSet<PathBuf>,
}

impl<'a> Process<'a> {
    /// A process of a program, with what that needs; of none, an empty one.
    pub fn start(finder: &'a dyn Finder, shelf: &'a Shelf, program: Option<&Path>) -> Self {
        let mut process = Self {
            finder,
            shelf,
            loaded: Vec::new(),
            by_name: HashMap::new(),
            by_file: HashMap::new(),
            global: Vec::new(),
            settled: HashSet::new(),
        };
        if let Some(program) = program {
            process.load_global(program);
        }
        process
    }

    /// Loads a file and all it needs.
    pub fn load(&mut self, path: &Path) -> Load {
        self.add(path).1
    }

    /// Loads a file whose symbols, with those of all it needs, serve everybody from then on
    /// (`RTLD_GLOBAL`).
    pub fn load_global(&mut self, path: &Path) -> Load {
        let (root, load) = self.add(path);
        if let Some(root) = root {
            let scope = self.scope_of(root);
            self.global.extend(scope);
        }
        load
    }

    /// Where a program's own request for a name (`dlopen("libcuda.so.1")`) ends.
    pub fn look_up(&self, name: &str) -> Option<(PathBuf, Place)> {
        if let Some(index) = self.by_name.get(&self.finder.folded(name)) {
            let found = &self.loaded[*index];
            return Some((found.image.path.clone(), found.place));
        }
        let chain: Vec<_> = self
            .loaded
            .iter()
            .take(1)
            .map(|l| l.image.clone())
            .collect();
        match self.finder.find(name, &chain, self.shelf) {
            Lookup::Found(path, place) => Some((path, place)),
            _ => None,
        }
    }

    /// Where the request of a library, which need not be loaded, for a name would end.
    pub fn find_for(&self, name: &str, asker: &Arc<Image>) -> Option<(PathBuf, Place)> {
        if let Some(index) = self.by_name.get(&self.finder.folded(name)) {
            let found = &self.loaded[*index];
            return Some((found.image.path.clone(), found.place));
        }
        let program = self.loaded.first().map(|loaded| Arc::clone(&loaded.image));
        let chain: Vec<_> = [Arc::clone(asker)].into_iter().chain(program).collect();
        match self.finder.find(name, &chain, self.shelf) {
            Lookup::Found(path, place) => Some((path, place)),
            _ => None,
        }
    }

    /// The library that is loaded under a name.
    pub fn loaded_as(&self, name: &str) -> Option<&Arc<Image>> {
        let index = self.by_name.get(&self.finder.folded(name))?;
        Some(&self.loaded[*index].image)
    }

    /// Every library with the place it was found in, in the order of loading.
    pub fn libraries(&self) -> impl Iterator<Item = (&Image, Place)> {
        self.loaded.iter().map(|l| (&*l.image, l.place))
    }

    fn add(&mut self, path: &Path) -> (Option<usize>, Load) {
        let mut load = Load::default();
        let file = self.shelf.real(path).unwrap_or_else(|| path.to_owned());
        if let Some(known) = self.by_file.get(&file) {
            return (Some(*known), load);
        }
        let Some(image) = self.shelf.image(path) else {
            load.missing.push(Missing {
                name: path.display().to_string(),
                asked_by: path.to_owned(),
                other_machine: Vec::new(),
                broken: Some(path.to_owned()),
            });
            return (None, load);
        };
        if !image.runs_on(self.shelf.machine()) {
            load.missing.push(Missing {
                name: path.display().to_string(),
                asked_by: path.to_owned(),
                other_machine: vec![path.to_owned()],
                broken: None,
            });
            return (None, load);
        }
        // A library opened by a module is found by that module's and the program's search path.
        let loader = (!self.loaded.is_empty()).then_some(0);
        let first = self.loaded.len();
        let root = self.insert(image, file, Place::Path, loader);
        let mut waiting = VecDeque::from([root]);
        while let Some(index) = waiting.pop_front() {
            self.add_needed(index, &mut waiting, &mut load);
        }
        let new = first..self.loaded.len();
        load.files = self.loaded[new.clone()]
            .iter()
            .map(|loaded| loaded.image.path.clone())
            .collect();
        self.check_versions(new.clone(), &mut load);
        // With a library missing, its symbols are missing too, which says nothing new.
        if load.missing.is_empty() {
            self.check_symbols(root, new, &mut load);
        }
        (Some(root), load)
    }

    fn insert(
        &mut self,
        image: Arc<Image>,
        file: PathBuf,
        place: Place,
        loader: Option<usize>,
    ) -> usize {
        let index = self.loaded.len();
        self.by_name
            .entry(self.finder.folded(&image.name()))
            .or_insert(index);
        self.by_file.insert(file, index);
        self.loaded.push(Loaded {
            image,
            place,
            loader,
            uses: Vec::new(),
        });
        index
    }

    fn add_needed(&mut self, index: usize, waiting: &mut VecDeque<usize>, load: &mut Load) {
        let image = Arc::clone(&self.loaded[index].image);
        let mut chain = vec![Arc::clone(&image)];
        let mut loader = self.loaded[index].loader;
        while let Some(at) = loader {
            chain.push(Arc::clone(&self.loaded[at].image));
            loader = self.loaded[at].loader;
        }
        for needed in &image.needed {
            let name = self.finder.folded(&needed.name);
            if let Some(known) = self.by_name.get(&name) {
                let known = *known;
                self.loaded[index].uses.push(known);
                continue;
            }
            let mut missing = Missing {
                name: needed.name.clone(),
                asked_by: image.path.clone(),
                other_machine: Vec::new(),
                broken: None,
            };
            match self.finder.find(&needed.name, &chain, self.shelf) {
                Lookup::BuiltIn => continue,
                Lookup::Found(path, place) => {
                    if let Some(found) = self.shelf.image(&path) {
                        let file = self.shelf.real(&path).unwrap_or(path);
                        let found = match self.by_file.get(&file) {
                            Some(known) => *known,
                            None => {
                                let new = self.insert(found, file, place, Some(index));
                                waiting.push_back(new);
                                new
                            }
                        };
                        self.by_name.insert(name, found);
                        self.loaded[index].uses.push(found);
                        continue;
                    }
                    missing.broken = Some(path);
                }
                Lookup::Broken(path) => missing.broken = Some(path),
                Lookup::NotFound(other_machine) => missing.other_machine = other_machine,
            }
            if !needed.optional {
                load.missing.push(missing);
            }
        }
    }

    fn check_versions(&self, new: std::ops::Range<usize>, load: &mut Load) {
        let mut wrong = BTreeSet::new();
        for loaded in &self.loaded[new] {
            for want in loaded.image.wants.iter().filter(|want| !want.weak) {
                let Some(library) = self.loaded_as(&want.library) else {
                    continue;
                };
                // A library without any versions is taken as it is, with a warning.
                if !library.offers.is_empty() && !library.offers.contains(&want.version) {
                    wrong.insert(WrongVersion {
                        version: want.version.clone(),
                        name: want.library.clone(),
                        library: library.path.clone(),
                        asked_by: loaded.image.path.clone(),
                    });
                }
            }
        }
        load.versions.extend(wrong);
    }

    /// A library and all it needs, breadth first: where its symbols are looked for.
    fn scope_of(&self, root: usize) -> Vec<usize> {
        let mut scope = vec![root];
        let mut seen = HashSet::from([root]);
        let mut at = 0;
        while let Some(index) = scope.get(at).copied() {
            for used in &self.loaded[index].uses {
                if seen.insert(*used) {
                    scope.push(*used);
                }
            }
            at += 1;
        }
        scope
    }

    fn check_symbols(&mut self, root: usize, new: std::ops::Range<usize>, load: &mut Load) {
        let scope: Vec<Arc<Symbols>> = self
            .global
            .iter()
            .copied()
            .chain(self.scope_of(root))
            .filter_map(|index| self.shelf.symbols(&self.loaded[index].image.path))
            .collect();
        for index in new {
            let path = self.loaded[index].image.path.clone();
            if self.settled.contains(&path) {
                continue;
            }
            let Some(symbols) = self.shelf.symbols(&path) else {
                continue;
            };
            let mut unresolved = symbols
                .undefined
                .iter()
                .filter(|wanted| !self.is_resolved(wanted, &scope));
            let first: Vec<Undefined> = unresolved.by_ref().take(TOLD).cloned().collect();
            let count = first.len() + unresolved.count();
            if count == 0 {
                self.settled.insert(path);
            } else {
                load.unresolved.push(Unresolved {
                    asked_by: path,
                    symbols: first,
                    count,
                });
            }
        }
    }

    fn is_resolved(&self, wanted: &Undefined, scope: &[Arc<Symbols>]) -> bool {
        if self.finder.symbols_are_bound() {
            // A library that is part of the system, or names none, cannot be looked into.
            return wanted
                .library
                .as_deref()
                .and_then(|library| self.loaded_as(library))
                .and_then(|library| self.shelf.symbols(&library.path))
                .is_none_or(|symbols| {
                    symbols.exports.has(&wanted.name, None) || !symbols.exports.is_complete()
                });
        }
        let version = wanted.version.as_deref();
        scope
            .iter()
            .any(|symbols| symbols.exports.has(&wanted.name, version))
    }
}
