//! The catalogue of tools: manifests that are part of the program, and the user's own.
//!
//! A manifest is one TOML file per tool ([`manifest`]; every key is explained in
//! `docs/manifest.md`). The ones in `manifests/` of this repository are embedded, so that a
//! binary alone knows its tools. A user adds tools in `manifests/` of aienv's home, in further
//! folders, or by giving a path; a manifest of the user takes the place of an embedded one of the
//! same name. A broken file of the user never hides the rest of the catalogue: it is kept as an
//! error and told where it matters ([`Catalog::broken`]).
//!
//! Names are compared folded: any case, and `-`, `_` and `.` alike.

mod embedded;
mod error;
mod finding;
pub mod manifest;
mod nearest;
mod read;
mod rules;
mod schema;
mod search;
mod text;

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use error::{CatalogError, InvalidManifest};
pub use finding::Finding;
pub use manifest::Manifest;
pub use read::read;

use crate::types::{Sha256, human_bytes};
use manifest::Source;
use nearest::{fold, nearest};

/// The most bytes a manifest file may have; the largest known has some four thousand.
const LARGEST_MANIFEST: u64 = 1024 * 1024;

/// Where a manifest came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// Part of this program.
    Embedded,
    /// A folder of the user's manifests.
    Folder {
        /// The file.
        path: PathBuf,
        /// It takes the place of an embedded manifest.
        overrides_embedded: bool,
    },
    /// A file given by its path.
    File {
        /// The file.
        path: PathBuf,
    },
}

impl Origin {
    /// The file, or what the embedded manifest of a tool is called.
    pub fn file(&self, name: &str) -> String {
        match self {
            Self::Embedded => format!("{name}.toml"),
            Self::Folder { path, .. } | Self::File { path } => path.display().to_string(),
        }
    }
}

/// A manifest with the text it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The manifest.
    pub manifest: Manifest,
    /// Its file, byte for byte; an install keeps a copy.
    pub text: String,
    /// Digest of the text.
    pub sha256: Sha256,
    /// Where it came from.
    pub origin: Origin,
}

impl Loaded {
    fn from_text(text: String, file: &str, origin: Origin) -> Result<Self, CatalogError> {
        match read(&text) {
            Ok(manifest) => Ok(Self {
                sha256: Sha256::of(&text),
                manifest,
                text,
                origin,
            }),
            Err(findings) => Err(CatalogError::Invalid(InvalidManifest {
                file: file.to_owned(),
                findings,
            })),
        }
    }

    /// Reads a manifest file.
    ///
    /// # Errors
    /// [`CatalogError::Unreadable`], [`CatalogError::TooLarge`] or [`CatalogError::Invalid`].
    pub fn from_file(path: &Path) -> Result<Self, CatalogError> {
        let origin = Origin::File {
            path: std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        };
        Self::from_text(read_text(path)?, &path.display().to_string(), origin)
    }

    /// Reads the text of a manifest that was kept: the copy an installed tool has in `file`.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`], under the name of the file.
    pub fn from_kept(text: String, file: &Path) -> Result<Self, CatalogError> {
        let origin = Origin::File {
            path: file.to_owned(),
        };
        Self::from_text(text, &file.display().to_string(), origin)
    }
}

fn read_text(path: &Path) -> Result<String, CatalogError> {
    let unreadable = |source| CatalogError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LARGEST_MANIFEST + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > LARGEST_MANIFEST {
        return Err(CatalogError::TooLarge {
            path: path.to_owned(),
            limit: human_bytes(LARGEST_MANIFEST),
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        CatalogError::Invalid(InvalidManifest {
            file: path.display().to_string(),
            findings: vec![Finding::new(
                &text,
                good..good + 1,
                "not valid TOML: the file is not UTF-8 text",
            )],
        })
    })
}

/// Every tool that is known by name.
#[derive(Debug)]
pub struct Catalog {
    entries: BTreeMap<String, Loaded>,
    broken: Vec<(PathBuf, CatalogError)>,
    files: usize,
}

impl Catalog {
    /// The embedded manifests alone.
    pub fn embedded() -> Self {
        let mut catalog = Self {
            entries: BTreeMap::new(),
            broken: Vec::new(),
            files: embedded::MANIFESTS.len(),
        };
        for (name, text) in embedded::MANIFESTS {
            let file = Origin::Embedded.file(name);
            match Loaded::from_text((*text).to_owned(), &file, Origin::Embedded) {
                Ok(loaded) => {
                    catalog.entries.insert((*name).to_owned(), loaded);
                }
                Err(error) => catalog.broken.push((PathBuf::from(file), error)),
            }
        }
        catalog
    }

    /// The embedded manifests, then every `*.toml` of the folders; a later folder wins. A folder
    /// that does not exist holds nothing.
    pub fn open(folders: &[PathBuf]) -> Self {
        let mut catalog = Self::embedded();
        for folder in folders {
            catalog.add_folder(folder);
        }
        catalog
    }

    fn add_folder(&mut self, folder: &Path) {
        let files = match manifests_in(folder) {
            Ok(files) => files,
            Err(error) => {
                self.broken.push((folder.to_owned(), error));
                return;
            }
        };
        self.files += files.len();
        let mut names: BTreeMap<String, PathBuf> = BTreeMap::new();
        for path in files {
            let loaded = match Loaded::from_file(&path) {
                Ok(loaded) => loaded,
                Err(error) => {
                    self.broken.push((path, error));
                    continue;
                }
            };
            let name = loaded.manifest.name.clone();
            if let Some(first) = names.get(&name) {
                let error = CatalogError::Duplicate {
                    name,
                    first: first.clone(),
                    second: path.clone(),
                };
                self.broken.push((path, error));
                continue;
            }
            names.insert(name.clone(), path.clone());
            let overrides_embedded = embedded::MANIFESTS.iter().any(|(n, _)| *n == name);
            let origin = Origin::Folder {
                path,
                overrides_embedded,
            };
            self.entries.insert(name, Loaded { origin, ..loaded });
        }
    }

    /// Every tool, by name.
    pub fn entries(&self) -> impl Iterator<Item = &Loaded> {
        self.entries.values()
    }

    /// How many manifests were read, good and broken, overridden ones too.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Files and folders that could not be used, with why. Empty is the usual.
    pub fn broken(&self) -> impl Iterator<Item = &CatalogError> {
        self.broken.iter().map(|(_, error)| error)
    }

    /// The same, to keep.
    pub fn into_broken(self) -> Vec<CatalogError> {
        self.broken.into_iter().map(|(_, error)| error).collect()
    }

    /// The tool with this name, or whose index package has this name. Folded.
    pub fn get(&self, name: &str) -> Option<&Loaded> {
        let name = fold(name);
        self.entries.get(&name).or_else(|| {
            self.entries.values().find(|loaded| {
                matches!(&loaded.manifest.source,
                    Source::Index(index) if fold(&index.package) == name)
            })
        })
    }

    /// The manifest a person means: the name of a tool or of its index package, or the path of a
    /// manifest file (anything with a path separator or ending in `.toml`).
    ///
    /// # Errors
    /// [`CatalogError::Unknown`] with the nearest names, or what is wrong with the file.
    pub fn resolve(&self, reference: &str) -> Result<Loaded, CatalogError> {
        if is_path(reference) {
            return Loaded::from_file(Path::new(reference));
        }
        // A broken file of the user must not quietly leave the embedded manifest in its place.
        let name = fold(reference);
        for (path, error) in &self.broken {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if stem.map(fold).as_deref() == Some(&name)
                && !matches!(error, CatalogError::Duplicate { .. })
            {
                return Loaded::from_file(path);
            }
        }
        self.get(reference)
            .cloned()
            .ok_or_else(|| CatalogError::Unknown {
                reference: reference.to_owned(),
                nearest: self.nearest(&name),
            })
    }

    /// At most three names that may have been meant by a folded name, likeliest first.
    fn nearest(&self, name: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let by_command = self.entries.values().filter(|loaded| {
            loaded
                .manifest
                .commands
                .keys()
                .any(|command| fold(command) == name)
        });
        names.extend(by_command.map(|loaded| loaded.manifest.name.clone()));
        names.extend(nearest(name, self.entries.keys().map(String::as_str)).map(str::to_owned));
        if name.len() >= 3 {
            let parts = self
                .entries
                .keys()
                .filter(|known| known.contains(name) || name.contains(known.as_str()));
            names.extend(parts.cloned());
        }
        let mut seen = std::collections::BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names.truncate(3);
        names
    }

    /// The tools that fit all the words, best first. Tolerates small slips of the hand.
    pub fn search(&self, words: &[String]) -> Vec<&Loaded> {
        search::search(self.entries().map(|loaded| &loaded.manifest), words)
            .into_iter()
            .filter_map(|manifest| self.entries.get(&manifest.name))
            .collect()
    }

    /// A word of the catalogue near to one of the words.
    pub fn suggest(&self, words: &[String]) -> Option<String> {
        search::suggest(self.entries().map(|loaded| &loaded.manifest), words)
    }
}

/// Whether a reference is the path of a file rather than a name.
pub fn is_path(reference: &str) -> bool {
    reference.contains(['/', std::path::MAIN_SEPARATOR])
        || Path::new(reference)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("toml"))
}

/// The manifest files of a folder, by name.
///
/// # Errors
/// [`CatalogError::UnreadableFolder`]; a folder that does not exist is empty instead.
fn manifests_in(folder: &Path) -> Result<Vec<PathBuf>, CatalogError> {
    let unreadable = |source| CatalogError::UnreadableFolder {
        path: folder.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
