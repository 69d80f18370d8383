//! `config.toml` of the home, and the built-in `manifests/sources.toml`.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Origin, Setting, SettingsError, layer::Layer};

/// Where things come from by default; see the file.
const SOURCES: &str = include_str!("../../manifests/sources.toml");

/// Every key of `config.toml`, tables with a dot.
const KEYS: &[&str] = &[
    "index-url",
    "extra-index-urls",
    "offline",
    "python-preference",
    "manifests",
    "certificates",
    "timeout",
    "mirrors",
    "mirrors.torch",
    "mirrors.python",
    "mirrors.source",
];

/// `config.toml`. `docs/configuration.md` is its reference.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Config {
    index_url: Option<String>,
    extra_index_urls: Option<Vec<String>>,
    offline: Option<bool>,
    python_preference: Option<String>,
    /// Folders with manifests of the user's own, relative to the file.
    manifests: Option<Vec<PathBuf>>,
    /// A PEM file or a folder of them, relative to the file.
    certificates: Option<PathBuf>,
    /// Seconds.
    timeout: Option<u32>,
    mirrors: Mirrors,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Mirrors {
    torch: Option<String>,
    python: Option<String>,
    source: Option<String>,
}

/// The user's `config.toml`; a missing file says nothing.
pub(super) fn of_home(path: &Path) -> Result<Layer, SettingsError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Layer::default());
        }
        Err(source) => {
            return Err(SettingsError::Unreadable {
                path: path.to_owned(),
                source,
            });
        }
    };
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Layer, SettingsError> {
    let syntax = |error: toml::de::Error| SettingsError::Syntax {
        path: path.to_owned(),
        reason: error.to_string().trim_end().to_owned(),
    };
    let table: toml::Table = toml::from_str(text).map_err(syntax)?;
    unknown_keys(path, &table, "")?;
    let config: Config = toml::from_str(text).map_err(syntax)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    fn from<T>(path: &Path, value: Option<T>) -> Option<Setting<T>> {
        value.map(|value| Setting {
            value,
            origin: Origin::File(path.to_owned()),
        })
    }
    let one = |value: Option<String>| from(path, value.map(|value| vec![value]));
    Ok(Layer {
        index_url: from(path, config.index_url),
        extra_index_urls: from(path, config.extra_index_urls),
        torch: from(path, config.mirrors.torch),
        pythons: one(config.mirrors.python),
        sources: one(config.mirrors.source),
        offline: from(path, config.offline.map(|value| value.to_string())),
        python_preference: from(path, config.python_preference),
        manifest_folders: from(
            path,
            config
                .manifests
                .map(|paths| paths.iter().map(|path| folder.join(path)).collect()),
        ),
        certificates: from(
            path,
            config
                .certificates
                .map(|path| super::Certificates::at(folder.join(path))),
        ),
        proxy: None,
        timeout: from(path, config.timeout.map(|seconds| seconds.to_string())),
    })
}

/// serde would name the unknown key but not the one that was meant.
fn unknown_keys(path: &Path, table: &toml::Table, prefix: &str) -> Result<(), SettingsError> {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        if !KEYS.contains(&key.as_str()) {
            let nearest = KEYS
                .iter()
                .map(|known| (strsim::jaro_winkler(known, &key), known))
                .filter(|(likeness, _)| *likeness > 0.75)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            return Err(SettingsError::UnknownKey {
                path: path.to_owned(),
                key,
                nearest: nearest.map(|(_, known)| (*known).to_owned()),
            });
        }
        if let toml::Value::Table(inner) = value {
            unknown_keys(path, inner, &format!("{key}."))?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sources {
    index: One,
    torch: One,
    python: Several,
    source: Several,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    url: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    urls: Vec<String>,
}

/// The built-in defaults.
pub(super) fn built_in() -> Result<Layer, SettingsError> {
    let sources: Sources = toml::from_str(SOURCES).map_err(|error| SettingsError::Syntax {
        path: PathBuf::from("manifests/sources.toml"),
        reason: error.to_string(),
    })?;
    fn default<T>(value: T) -> Option<Setting<T>> {
        Some(Setting {
            value,
            origin: Origin::Default,
        })
    }
    Ok(Layer {
        index_url: default(sources.index.url),
        torch: default(sources.torch.url),
        pythons: default(sources.python.urls),
        sources: default(sources.source.urls),
        ..Layer::default()
    })
}
