//! What is installed: one `tool.toml` per tool, with its generations.
//!
//! A generation is one lock made real. Upgrading, adding a package or changing the accelerator
//! makes another generation and moves the pointer; rolling back moves the pointer alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    home::Home,
    lock::{Lock, LockError},
    types::{Accelerator, PythonVersion, Version},
};

/// Generations kept for rolling back, the current one included.
pub const KEPT: usize = 3;

const SCHEMA: u32 = 1;

/// The record of an installed tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ToolState {
    /// Version of the file's form.
    schema: u32,
    /// The tool's name.
    pub name: String,
    /// Number of the generation in use.
    pub current: u32,
    /// `upgrade` leaves it alone.
    #[serde(default)]
    pub pinned: bool,
    /// What the user asked for, kept for upgrades.
    #[serde(default)]
    pub wishes: Wishes,
    /// Newest last.
    #[serde(default)]
    pub generations: Vec<Generation>,
}

/// Choices of the user that outlive one generation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wishes {
    /// `--accel`, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// The version behind `==` of `TOOL==VERSION`; an upgrade keeps to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// `--python`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<PythonVersion>,
    /// Requirements added with `aienv add`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Packages allowed to be built, besides the manifest's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub build: Vec<String>,
}

/// One installed lock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Generation {
    /// Counts up from 1 and is never reused.
    pub number: u32,
    /// Name of the prefix.
    pub prefix: String,
    /// Version of the tool.
    pub version: Version,
    /// Its accelerator build.
    pub accelerator: Accelerator,
    /// When it was installed.
    pub created: Timestamp,
    /// What the user had asked for; rolling back takes these up again.
    #[serde(default)]
    pub wishes: Wishes,
}

/// The record of a tool cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// A file operation failed.
    #[error("cannot {action} `{path}`")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The record is damaged.
    #[error("the record of an installed tool, `{path}`, is damaged")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A record of a newer aienv.
    #[error("`{path}` was written by a newer aienv (schema {schema})")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        schema: u32,
    },
    /// The lock of a generation is damaged.
    #[error("the lock `{path}` is damaged")]
    Lock {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: LockError,
    },
}

impl ToolState {
    /// A tool that has no generation yet.
    pub fn new(name: &str) -> Self {
        Self {
            schema: SCHEMA,
            name: name.to_owned(),
            current: 0,
            pinned: false,
            wishes: Wishes::default(),
            generations: Vec::new(),
        }
    }

    /// The record of a tool; `None` when it is not installed.
    pub fn load(home: &Home, name: &str) -> Result<Option<Self>, StateError> {
        let path = home.tool(name).join("tool.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(StateError::Io {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        let state: Self = toml::from_str(&text).map_err(|source| StateError::Damaged {
            path: path.clone(),
            source: Box::new(source),
        })?;
        if state.schema > SCHEMA {
            return Err(StateError::Newer {
                path,
                schema: state.schema,
            });
        }
        Ok(Some(state))
    }

    /// Every installed tool, by name. Damaged records are errors of their own entry.
    pub fn load_all(home: &Home) -> Result<Vec<Self>, StateError> {
        let path = home.tools();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => {
                return Err(StateError::Io {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        let mut all = Vec::new();
        for name in names {
            all.extend(Self::load(home, &name)?);
        }
        Ok(all)
    }

    /// Writes the record in one step.
    pub fn save(&self, home: &Home) -> Result<(), StateError> {
        let path = home.tool(&self.name).join("tool.toml");
        // Strings, numbers and tables of these.
        let text =
            toml::to_string(self).unwrap_or_else(|error| unreachable!("plain data: {error}"));
        write_atomically(&path, &text)
    }

    /// The generation in use.
    pub fn current(&self) -> Option<&Generation> {
        self.generation(self.current)
    }

    /// A generation by number.
    pub fn generation(&self, number: u32) -> Option<&Generation> {
        self.generations
            .iter()
            .find(|generation| generation.number == number)
    }

    /// The generation before the current one.
    pub fn previous(&self) -> Option<&Generation> {
        self.generations
            .iter()
            .filter(|g| g.number < self.current)
            .max_by_key(|g| g.number)
    }

    /// Adds a generation with its lock, makes it the current one and saves all of it.
    pub fn advance(&mut self, home: &Home, lock: &Lock) -> Result<u32, StateError> {
        let number = self.generations.iter().map(|g| g.number).max().unwrap_or(0) + 1;
        write_atomically(&self.lock_file(home, number), &lock.to_pylock())?;
        self.generations.push(Generation {
            number,
            prefix: lock.prefix_name(),
            version: lock.version.clone(),
            accelerator: lock.accelerator,
            created: Timestamp::now(),
            wishes: self.wishes.clone(),
        });
        self.current = number;
        let surplus = self.generations.len().saturating_sub(KEPT);
        let dropped: Vec<_> = self.generations.drain(..surplus).collect();
        self.save(home)?;
        for generation in dropped {
            // Only a leftover file: nothing refers to it any more.
            let _ = fs::remove_file(self.lock_file(home, generation.number));
        }
        Ok(number)
    }

    /// The lock of a generation.
    pub fn lock(&self, home: &Home, number: u32) -> Result<Lock, StateError> {
        let path = self.lock_file(home, number);
        let text = fs::read_to_string(&path).map_err(|source| StateError::Io {
            action: "read",
            path: path.clone(),
            source,
        })?;
        Lock::from_pylock(&text).map_err(|source| StateError::Lock { path, source })
    }

    fn lock_file(&self, home: &Home, number: u32) -> PathBuf {
        home.tool(&self.name)
            .join("generations")
            .join(format!("{number}.toml"))
    }
}

/// Writes a file beside its place and renames it there, so that it is whole or not there.
pub fn write_atomically(path: &Path, text: &str) -> Result<(), StateError> {
    let failed = |source| StateError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}
