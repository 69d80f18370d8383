//! What was read before: one library is asked for by hundreds of others.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    image::{Image, Machine, looks_like_image},
    symbols::Symbols,
};

/// Libraries that were read, by path. Shared between threads.
#[derive(Debug)]
pub struct Shelf {
    machine: Machine,
    images: Mutex<HashMap<PathBuf, Option<Arc<Image>>>>,
    symbols: Mutex<HashMap<PathBuf, Option<Arc<Symbols>>>>,
    real: Mutex<HashMap<PathBuf, Option<PathBuf>>>,
    hwcaps: Mutex<HashMap<PathBuf, bool>>,
}

impl Shelf {
    /// An empty one, for processes of a processor.
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            images: Mutex::default(),
            symbols: Mutex::default(),
            real: Mutex::default(),
            hwcaps: Mutex::default(),
        }
    }

    /// The processor that processes here run on.
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// The file that a path leads to, links followed; `None` where there is none.
    pub fn real(&self, path: &Path) -> Option<PathBuf> {
        kept(&self.real, path, |path| std::fs::canonicalize(path).ok())
    }

    /// Whether a folder holds builds for newer processors.
    pub(super) fn has_hwcaps(&self, folder: &Path) -> bool {
        kept(&self.hwcaps, folder, |f| f.join("glibc-hwcaps").is_dir())
    }

    /// A library; `None` where there is none, or none that can be read.
    pub fn image(&self, path: &Path) -> Option<Arc<Image>> {
        kept(&self.images, path, |path| {
            Image::read(path, self.machine).ok().map(Arc::new)
        })
    }

    /// The symbols of a library.
    pub fn symbols(&self, path: &Path) -> Option<Arc<Symbols>> {
        kept(&self.symbols, path, |path| {
            Symbols::read(path, self.machine).ok().map(Arc::new)
        })
    }

    /// Whether a file begins like a library. Cheap, and not remembered.
    pub fn looks_like_image(path: &Path) -> bool {
        looks_like_image(path)
    }
}

fn kept<T: Clone>(
    shelf: &Mutex<HashMap<PathBuf, T>>,
    path: &Path,
    read: impl FnOnce(&Path) -> T,
) -> T {
    let lock = || shelf.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lock().get(path) {
        return known.clone();
    }
    // Read outside the lock: two threads may read one file, none waits for a large one.
    let found = read(path);
    lock().insert(path.to_owned(), found.clone());
    found
}
