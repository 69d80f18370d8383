//! Settings: what the user said, anywhere, merged into one value.
//!
//! Strongest first: the command line, environment variables, `config.toml` in the home, pip's
//! configuration files, and the defaults in `manifests/sources.toml`. A list (extra indexes) is
//! taken whole from the strongest place that has one. People have already told pip or uv where
//! their index is, so their variables and files are read too. Every setting remembers where it
//! came from, because a diagnosis has to say which file or variable to change.
//!
//! Loading reads a handful of small files and touches no network.

mod config;
mod layer;
mod location;
mod pip;

use std::{collections::HashMap, ffi::OsString, fmt, path::PathBuf, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

pub use location::{BadUrl, Login, SourceUrl, UrlTemplate, take_login, without_login};

use crate::{error::UserError, home::Home};

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An option of the command line, such as `--index-url`.
    CommandLine(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// A configuration file.
    File(PathBuf),
    /// Built in.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(option) => write!(f, "`{option}`"),
            Self::Environment(variable) => write!(f, "the environment variable `{variable}`"),
            Self::File(path) => write!(f, "`{}`", path.display()),
            Self::Default => f.write_str("the built-in defaults"),
        }
    }
}

/// Which Python a tool gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PythonPreference {
    /// A standalone build that aienv keeps; one of the machine's when that cannot be had.
    #[default]
    Managed,
    /// One that is found on the machine.
    System,
}

impl FromStr for PythonPreference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "managed" => Ok(Self::Managed),
            "system" => Ok(Self::System),
            _ => Err("it is either `managed` or `system`".to_owned()),
        }
    }
}

/// What the command line says; the rest comes from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--index-url`.
    pub index_url: Option<String>,
    /// `--extra-index-url`, in order.
    pub extra_index_urls: Vec<String>,
    /// `--offline`.
    pub offline: bool,
    /// `--refresh`.
    pub refresh: bool,
    /// `--python-preference`.
    pub python_preference: Option<PythonPreference>,
    /// `--torch-mirror`.
    pub torch_mirror: Option<String>,
    /// `--python-mirror`.
    pub python_mirror: Option<String>,
    /// `--source-mirror`.
    pub source_mirror: Option<String>,
}

/// Everything that can be set, merged.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The default package index.
    pub index: Setting<SourceUrl>,
    /// Further indexes; asked before the default one, in this order.
    pub extra_indexes: Setting<Vec<SourceUrl>>,
    /// Base of the torch wheel indexes: `<base><accelerator>/<package>/`.
    pub torch: Setting<SourceUrl>,
    /// Standalone CPython builds, in the order they are tried: `<base><build>/<file>`.
    pub pythons: Setting<Vec<SourceUrl>>,
    /// Archives of source trees, in the order they are tried.
    pub sources: Setting<Vec<UrlTemplate>>,
    /// Use only what is already here.
    pub offline: Setting<bool>,
    /// Ask the index again, whatever the cache says.
    pub refresh: bool,
    /// Which Python a tool gets.
    pub python_preference: Setting<PythonPreference>,
    /// Folders with manifests of the user's own.
    pub manifest_folders: Setting<Vec<PathBuf>>,
    /// Certificates that replace the system's: a PEM file or a folder of them.
    pub certificates: Option<Setting<Certificates>>,
    /// A proxy for everything, when `HTTP_PROXY` and its family say nothing.
    pub proxy: Option<Setting<SourceUrl>>,
    /// How long a silent connection is waited for.
    pub timeout: Setting<Duration>,
    /// The netrc file, where there is one.
    pub netrc: Option<PathBuf>,
}

/// Where trusted certificates are, instead of the system's store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// A file of PEM certificates.
    pub file: Option<PathBuf>,
    /// Folders of PEM files, as OpenSSL reads them.
    pub folders: Vec<PathBuf>,
}

/// A setting cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A configuration file cannot be read.
    #[error("cannot read `{path}`")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A configuration file is not in its format.
    #[error("`{path}` cannot be understood: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What and where.
        reason: String,
    },
    /// A key that does not exist.
    #[error("`{path}` has an unknown key `{key}`")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key, with its table.
        key: String,
        /// The nearest one that exists.
        nearest: Option<String>,
    },
    /// A value that makes no sense.
    #[error("the {what} from {origin} cannot be used: {reason}")]
    Value {
        /// What is set, such as `index URL`.
        what: &'static str,
        /// Where.
        origin: Origin,
        /// What is wrong with it, without secrets.
        reason: String,
    },
}

impl UserError for SettingsError {
    fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "settings.unreadable",
            Self::Syntax { .. } => "settings.syntax",
            Self::UnknownKey { .. } => "settings.unknown-key",
            Self::Value { .. } => "settings.value",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => Some("check the permissions of the file".to_owned()),
            Self::Syntax { path, .. } if path.extension().is_some_and(|e| e != "toml") => Some(
                "this is pip's configuration; mend it, or set PIP_CONFIG_FILE to another file"
                    .to_owned(),
            ),
            Self::Syntax { .. } => None,
            Self::UnknownKey { nearest, .. } => nearest
                .as_ref()
                .map(|nearest| format!("did you mean `{nearest}`?")),
            Self::Value { origin, .. } => Some(format!("change {origin}")),
        }
    }

    fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Value {
                origin: Origin::CommandLine(_),
                ..
            }
        )
    }
}

/// The variables settings are read from; the process's own, or a map in tests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    variables: HashMap<String, OsString>,
    /// Where absolute paths such as `/etc/pip.conf` are looked up; `/` but in tests.
    #[cfg(not(windows))]
    pub(crate) root: PathBuf,
}

impl Environment {
    fn of_process() -> Self {
        Self {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .collect(),
            #[cfg(not(windows))]
            root: PathBuf::from("/"),
        }
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&OsString> {
        self.variables.get(name).filter(|value| !value.is_empty())
    }

    /// Like [`get`](Self::get), as text.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        Some(self.get(name)?.to_string_lossy().into_owned())
    }

    /// The user's home folder.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        let name = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        self.get(name).map(PathBuf::from)
    }
}

impl Settings {
    /// Reads and merges everything.
    ///
    /// # Errors
    /// [`SettingsError`] names the file, variable or option that is wrong.
    pub fn load(home: &Home, overrides: &Overrides) -> Result<Self, SettingsError> {
        layer::load(home, overrides, &Environment::of_process())
    }

    /// Settings without environment variables or pip files: the built-in defaults, the `config.toml`
    /// of this home and the overrides.
    /// For tests and for planning with a fixed configuration.
    ///
    /// # Errors
    /// When an override is wrong.
    pub fn isolated(home: &Home, overrides: &Overrides) -> Result<Self, SettingsError> {
        let nowhere = Environment {
            variables: HashMap::new(),
            #[cfg(not(windows))]
            root: home.root().join("no-such-root"),
        };
        layer::load(home, overrides, &nowhere)
    }
}
