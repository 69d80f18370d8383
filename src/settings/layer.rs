//! One place's settings as raw text, and the merge of all places.

use std::{path::PathBuf, time::Duration};

use super::{
    Certificates, Environment, Origin, Overrides, PythonPreference, Setting, Settings,
    SettingsError, SourceUrl, UrlTemplate, config, pip,
};
use crate::home::Home;

/// What one place says. Text is checked only after the merge, so that a wrong value in a place
/// that is overridden does no harm.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) index_url: Option<Setting<String>>,
    pub(super) extra_index_urls: Option<Setting<Vec<String>>>,
    pub(super) torch: Option<Setting<String>>,
    pub(super) pythons: Option<Setting<Vec<String>>>,
    pub(super) sources: Option<Setting<Vec<String>>>,
    pub(super) offline: Option<Setting<String>>,
    pub(super) python_preference: Option<Setting<String>>,
    pub(super) manifest_folders: Option<Setting<Vec<PathBuf>>>,
    pub(super) certificates: Option<Setting<Certificates>>,
    pub(super) proxy: Option<Setting<String>>,
    pub(super) timeout: Option<Setting<String>>,
}

impl Layer {
    /// This layer, with `weaker` where it says nothing.
    pub(super) fn or(self, weaker: Self) -> Self {
        Self {
            index_url: self.index_url.or(weaker.index_url),
            extra_index_urls: self.extra_index_urls.or(weaker.extra_index_urls),
            torch: self.torch.or(weaker.torch),
            pythons: self.pythons.or(weaker.pythons),
            sources: self.sources.or(weaker.sources),
            offline: self.offline.or(weaker.offline),
            python_preference: self.python_preference.or(weaker.python_preference),
            manifest_folders: self.manifest_folders.or(weaker.manifest_folders),
            certificates: self.certificates.or(weaker.certificates),
            proxy: self.proxy.or(weaker.proxy),
            timeout: self.timeout.or(weaker.timeout),
        }
    }

    fn of_command_line(overrides: &Overrides) -> Self {
        let text = |option: &'static str, value: &Option<String>| {
            value.clone().map(|value| Setting {
                value,
                origin: Origin::CommandLine(option),
            })
        };
        let one = |setting: Setting<String>| Setting {
            value: vec![setting.value],
            origin: setting.origin,
        };
        Self {
            index_url: text("--index-url", &overrides.index_url),
            extra_index_urls: (!overrides.extra_index_urls.is_empty()).then(|| Setting {
                value: overrides.extra_index_urls.clone(),
                origin: Origin::CommandLine("--extra-index-url"),
            }),
            torch: text("--torch-mirror", &overrides.torch_mirror),
            pythons: text("--python-mirror", &overrides.python_mirror).map(one),
            sources: text("--source-mirror", &overrides.source_mirror).map(one),
            offline: text("--offline", &overrides.offline.then(|| "true".to_owned())),
            python_preference: overrides.python_preference.map(|preference| Setting {
                value: match preference {
                    PythonPreference::Managed => "managed",
                    PythonPreference::System => "system",
                }
                .to_owned(),
                origin: Origin::CommandLine("--python-preference"),
            }),
            ..Self::default()
        }
    }

    fn of_environment(environment: &Environment) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|name| {
                Some(Setting {
                    value: environment.text(name)?,
                    origin: Origin::Environment(name),
                })
            })
        };
        let one = |setting: Setting<String>| Setting {
            value: vec![setting.value],
            origin: setting.origin,
        };
        let words = |setting: Setting<String>| Setting {
            value: setting.value.split_whitespace().map(index_word).collect(),
            origin: setting.origin,
        };
        Self {
            index_url: first(&[
                "AIENV_INDEX_URL",
                "UV_DEFAULT_INDEX",
                "UV_INDEX_URL",
                "PIP_INDEX_URL",
            ])
            .map(|setting| Setting {
                value: index_word(&setting.value),
                origin: setting.origin,
            }),
            extra_index_urls: first(&[
                "AIENV_EXTRA_INDEX_URL",
                "UV_INDEX",
                "UV_EXTRA_INDEX_URL",
                "PIP_EXTRA_INDEX_URL",
            ])
            .map(words),
            torch: first(&["AIENV_TORCH_MIRROR"]),
            pythons: first(&["AIENV_PYTHON_MIRROR"]).map(one),
            sources: first(&["AIENV_SOURCE_MIRROR"]).map(one),
            offline: first(&["AIENV_OFFLINE"]),
            python_preference: first(&["AIENV_PYTHON_PREFERENCE"]),
            manifest_folders: environment.get("AIENV_MANIFESTS").map(|list| Setting {
                value: std::env::split_paths(list)
                    .filter(|path| !path.as_os_str().is_empty())
                    .collect(),
                origin: Origin::Environment("AIENV_MANIFESTS"),
            }),
            certificates: certificates(environment),
            proxy: first(&["PIP_PROXY"]),
            timeout: first(&[
                "AIENV_HTTP_TIMEOUT",
                "UV_HTTP_TIMEOUT",
                "PIP_TIMEOUT",
                "PIP_DEFAULT_TIMEOUT",
            ]),
        }
    }
}

/// uv lets an index be named in front: `company=https://index.example/simple`.
fn index_word(word: &str) -> String {
    match word.split_once('=') {
        Some((name, url)) if !name.contains(['/', ':', '?']) => url.to_owned(),
        _ => word.to_owned(),
    }
}

fn certificates(environment: &Environment) -> Option<Setting<Certificates>> {
    let file = environment.get("SSL_CERT_FILE").map(PathBuf::from);
    let folders: Vec<PathBuf> = environment
        .get("SSL_CERT_DIR")
        .map(|value| std::env::split_paths(value).collect())
        .unwrap_or_default();
    if file.is_some() || !folders.is_empty() {
        let name = if file.is_some() {
            "SSL_CERT_FILE"
        } else {
            "SSL_CERT_DIR"
        };
        return Some(Setting {
            value: Certificates { file, folders },
            origin: Origin::Environment(name),
        });
    }
    ["PIP_CERT", "REQUESTS_CA_BUNDLE"]
        .into_iter()
        .find_map(|name| {
            Some(Setting {
                value: Certificates::at(PathBuf::from(environment.get(name)?)),
                origin: Origin::Environment(name),
            })
        })
}

impl Certificates {
    /// A path that is either a PEM file or a folder of them.
    pub(super) fn at(path: PathBuf) -> Self {
        if path.is_dir() {
            Self {
                file: None,
                folders: vec![path],
            }
        } else {
            Self {
                file: Some(path),
                folders: Vec::new(),
            }
        }
    }
}

/// Reads all places and merges them.
pub(super) fn load(
    home: &Home,
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Settings, SettingsError> {
    let merged = Layer::of_command_line(overrides)
        .or(Layer::of_environment(environment))
        .or(config::of_home(&home.config_file())?)
        .or(pip::layer(environment)?)
        .or(config::built_in()?);
    let mut settings = check(merged, overrides.refresh, netrc(environment))?;
    // The home's own folder always counts; what is named elsewhere wins over it.
    settings.manifest_folders.value.insert(0, home.manifests());
    Ok(settings)
}

/// `$NETRC`, else the usual files that exist.
fn netrc(environment: &Environment) -> Option<PathBuf> {
    if let Some(path) = environment.get("NETRC") {
        return Some(PathBuf::from(path));
    }
    let home = environment.home()?;
    [".netrc", "_netrc"]
        .iter()
        .map(|name| home.join(name))
        .find(|path| path.is_file())
}

/// Text to values.
fn check(layer: Layer, refresh: bool, netrc: Option<PathBuf>) -> Result<Settings, SettingsError> {
    Ok(Settings {
        index: required("index URL", layer.index_url, |text| {
            SourceUrl::parse_base(text)
        })?,
        extra_indexes: list("extra index URL", layer.extra_index_urls, |text| {
            SourceUrl::parse_base(text)
        })?,
        torch: required("torch wheel index", layer.torch, |text| {
            SourceUrl::parse_base(text)
        })?,
        pythons: list("Python mirror", layer.pythons, |text| {
            SourceUrl::parse_base(text)
        })?,
        sources: list("source mirror", layer.sources, |text| {
            UrlTemplate::parse(text)
        })?,
        offline: optional("offline switch", layer.offline, boolean)?.unwrap_or(Setting {
            value: false,
            origin: Origin::Default,
        }),
        refresh,
        python_preference: optional("Python preference", layer.python_preference, |text| {
            text.parse::<PythonPreference>()
        })?
        .unwrap_or(Setting {
            value: PythonPreference::default(),
            origin: Origin::Default,
        }),
        manifest_folders: layer.manifest_folders.unwrap_or(Setting {
            value: Vec::new(),
            origin: Origin::Default,
        }),
        certificates: layer.certificates,
        proxy: optional("proxy", layer.proxy, proxy)?,
        timeout: optional("timeout", layer.timeout, seconds)?.unwrap_or(Setting {
            value: Duration::from_secs(30),
            origin: Origin::Default,
        }),
        netrc,
    })
}

fn optional<T, E: ToString>(
    what: &'static str,
    setting: Option<Setting<String>>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<Setting<T>>, SettingsError> {
    let Some(Setting { value, origin }) = setting else {
        return Ok(None);
    };
    match parse(value.trim()) {
        Ok(value) => Ok(Some(Setting { value, origin })),
        Err(error) => Err(SettingsError::Value {
            what,
            origin,
            reason: error.to_string(),
        }),
    }
}

fn required<T, E: ToString>(
    what: &'static str,
    setting: Option<Setting<String>>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Setting<T>, SettingsError> {
    optional(what, setting, parse)?.ok_or(SettingsError::Value {
        what,
        origin: Origin::Default,
        reason: "nothing is set".to_owned(),
    })
}

fn list<T, E: ToString>(
    what: &'static str,
    setting: Option<Setting<Vec<String>>>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Setting<Vec<T>>, SettingsError> {
    let Some(Setting { value, origin }) = setting else {
        return Ok(Setting {
            value: Vec::new(),
            origin: Origin::Default,
        });
    };
    let parsed: Result<Vec<T>, E> = value.iter().map(|text| parse(text)).collect();
    match parsed {
        Ok(value) => Ok(Setting { value, origin }),
        Err(error) => Err(SettingsError::Value {
            what,
            origin,
            reason: error.to_string(),
        }),
    }
}

fn boolean(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(true),
        "0" | "false" | "no" | "off" => Ok(false),
        _ => Err("write `true` or `false`"),
    }
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    match text.parse::<f64>() {
        Ok(seconds) if (1.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("write a number of seconds from 1 to 86400"),
    }
}

/// pip takes a proxy without a scheme.
fn proxy(text: &str) -> Result<SourceUrl, super::BadUrl> {
    if text.contains("://") {
        SourceUrl::parse(text)
    } else {
        SourceUrl::parse(&format!("http://{text}"))
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
