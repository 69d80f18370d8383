//! What users told pip: its configuration files.
//!
//! Places and their order are those of pip's documentation: the system's files, then the user's,
//! then `PIP_CONFIG_FILE`, later ones stronger; a null device as `PIP_CONFIG_FILE` switches files
//! off. Only keys that say where packages are and how to reach them count: `index-url`,
//! `extra-index-url`, `cert`, `proxy`, `timeout`, from `[global]` and `[install]`, the latter
//! stronger. The file inside a virtual environment is left out: an environment that happens to be
//! active does not shape what aienv installs elsewhere.

use std::path::{Path, PathBuf};

use configparser::ini::Ini;

use super::{Certificates, Environment, Origin, Setting, SettingsError, layer::Layer};

/// All pip configuration files merged.
pub(super) fn layer(environment: &Environment) -> Result<Layer, SettingsError> {
    let mut merged = Layer::default();
    for path in files(environment) {
        // A file that this user may not read was not meant for this user.
        if let Ok(text) = std::fs::read_to_string(&path) {
            merged = parse(&path, text)?.or(merged);
        }
    }
    Ok(merged)
}

/// The files in rising strength.
fn files(environment: &Environment) -> Vec<PathBuf> {
    let special = environment.get("PIP_CONFIG_FILE").map(PathBuf::from);
    let null = if cfg!(windows) { "nul" } else { "/dev/null" };
    if special
        .as_ref()
        .is_some_and(|path| path.as_os_str().eq_ignore_ascii_case(null))
    {
        return Vec::new();
    }
    let mut files = system_files(environment);
    files.extend(user_files(environment));
    files.extend(special);
    files
}

#[cfg(windows)]
fn system_files(environment: &Environment) -> Vec<PathBuf> {
    environment
        .get("ProgramData")
        .map(|folder| PathBuf::from(folder).join("pip").join("pip.ini"))
        .into_iter()
        .collect()
}

#[cfg(not(windows))]
fn system_files(environment: &Environment) -> Vec<PathBuf> {
    let below_root = |path: &str| environment.root.join(path.trim_start_matches('/'));
    if cfg!(target_os = "macos") {
        return vec![below_root("/Library/Application Support/pip/pip.conf")];
    }
    let folders = environment
        .text("XDG_CONFIG_DIRS")
        .unwrap_or_else(|| "/etc/xdg".to_owned());
    let mut files: Vec<PathBuf> = folders
        .split(':')
        .filter(|folder| !folder.is_empty())
        .map(|folder| below_root(folder).join("pip").join("pip.conf"))
        .collect();
    files.push(below_root("/etc/pip.conf"));
    files
}

fn user_files(environment: &Environment) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let home = environment.home();
    if cfg!(windows) {
        files.extend(home.map(|home| home.join("pip").join("pip.ini")));
        files.extend(
            environment
                .get("APPDATA")
                .map(|folder| PathBuf::from(folder).join("pip").join("pip.ini")),
        );
        return files;
    }
    let Some(home) = home else { return files };
    files.push(home.join(".pip").join("pip.conf"));
    let library = home.join("Library").join("Application Support").join("pip");
    if cfg!(target_os = "macos") && library.is_dir() {
        files.push(library.join("pip.conf"));
    } else {
        let config = environment
            .get("XDG_CONFIG_HOME")
            .map_or_else(|| home.join(".config"), PathBuf::from);
        files.push(config.join("pip").join("pip.conf"));
    }
    files
}

fn parse(path: &Path, text: String) -> Result<Layer, SettingsError> {
    let mut ini = Ini::new();
    ini.set_multiline(true);
    // pip knows no comments behind a value: `#` and `;` may be part of a URL.
    ini.set_inline_comment_symbols(Some(&[]));
    let sections = ini.read(text).map_err(|reason| SettingsError::Syntax {
        path: path.to_owned(),
        reason,
    })?;
    let find = |wanted: &str| {
        ["install", "global"].into_iter().find_map(|section| {
            let (_, value) = sections
                .get(section)?
                .iter()
                .find(|(key, _)| key.trim_start_matches('-').replace('_', "-") == wanted)?;
            let value = value.as_deref()?.trim();
            (!value.is_empty()).then(|| Setting {
                value: value.to_owned(),
                origin: Origin::File(path.to_owned()),
            })
        })
    };
    Ok(Layer {
        index_url: find("index-url"),
        extra_index_urls: find("extra-index-url").map(|setting| Setting {
            value: setting
                .value
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            origin: setting.origin,
        }),
        certificates: find("cert").map(|setting| Setting {
            value: Certificates::at(PathBuf::from(setting.value)),
            origin: setting.origin,
        }),
        proxy: find("proxy"),
        timeout: find("timeout").or_else(|| find("default-timeout")),
        ..Layer::default()
    })
}
