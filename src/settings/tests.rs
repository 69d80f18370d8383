//! Tests of the merge, against folders that stand in for the machine.

#![allow(clippy::unwrap_used)]

use std::{collections::HashMap, ffi::OsString, fs, path::Path};

use super::*;
use crate::error::UserError as _;

struct Machine {
    folder: tempfile::TempDir,
    variables: HashMap<String, OsString>,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut variables = HashMap::new();
        for name in ["HOME", "USERPROFILE"] {
            variables.insert(name.to_owned(), folder.path().join("user").into());
        }
        Self { folder, variables }
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn set(&mut self, name: &str, value: impl AsRef<Path>) {
        self.variables
            .insert(name.to_owned(), value.as_ref().as_os_str().to_owned());
    }

    fn load(&self, overrides: &Overrides) -> Result<Settings, SettingsError> {
        let environment = Environment {
            variables: self.variables.clone(),
            #[cfg(not(windows))]
            root: self.folder.path().to_owned(),
        };
        load(
            &Home::at(self.folder.path().join("home")),
            overrides,
            &environment,
        )
    }
}

#[test]
fn strongest_place_wins_and_is_remembered() {
    let mut machine = Machine::new();
    let none = Overrides::default();
    assert_eq!(machine.load(&none).unwrap().index.origin, Origin::Default);

    let user = machine.folder.path().join("pip-user.conf");
    machine.file(
        "pip-user.conf",
        "[global]\nindex_url = https://u:secret@pip.example/simple#x\nextra-index-url =\n  https://a.example/simple\n  https://b.example/simple\ntimeout = 7\n",
    );
    machine.set("PIP_CONFIG_FILE", &user);
    let settings = machine.load(&none).unwrap();
    assert_eq!(
        settings.index.value.to_string(),
        "https://pip.example/simple/"
    );
    assert_eq!(settings.index.value.login().unwrap().password, "secret");
    assert_eq!(settings.index.origin, Origin::File(user));
    assert_eq!(settings.extra_indexes.value.len(), 2);
    assert_eq!(settings.timeout.value, Duration::from_secs(7));
    assert!(!format!("{settings:?}").contains("secret"));

    machine.file(
        "home/config.toml",
        "index-url = \"https://config.example/\"\n",
    );
    let settings = machine.load(&none).unwrap();
    assert_eq!(settings.index.value.to_string(), "https://config.example/");
    assert_eq!(settings.extra_indexes.value.len(), 2);

    machine.set("PIP_INDEX_URL", "https://pip-env.example/");
    machine.set("UV_DEFAULT_INDEX", "main=https://uv.example/simple");
    machine.set(
        "UV_INDEX",
        "x=https://one.example/ https://two.example/s?a=b",
    );
    let settings = machine.load(&none).unwrap();
    assert_eq!(
        settings.index.value.to_string(),
        "https://uv.example/simple/"
    );
    assert_eq!(
        settings.index.origin,
        Origin::Environment("UV_DEFAULT_INDEX")
    );
    assert_eq!(
        settings.extra_indexes.value[0].to_string(),
        "https://one.example/"
    );

    let overrides = Overrides {
        index_url: Some("https://cli.example/simple".to_owned()),
        offline: true,
        ..Overrides::default()
    };
    let settings = machine.load(&overrides).unwrap();
    assert_eq!(
        settings.index.value.to_string(),
        "https://cli.example/simple/"
    );
    assert!(settings.offline.value);
}

#[cfg(target_os = "linux")]
#[test]
fn pip_files_in_order_and_null_device() {
    let mut machine = Machine::new();
    let none = Overrides::default();
    machine.file(
        "etc/pip.conf",
        "[global]\nindex-url = https://etc.example/\n",
    );
    let index = |machine: &Machine| machine.load(&none).unwrap().index.value.to_string();
    assert_eq!(index(&machine), "https://etc.example/");
    machine.file(
        "user/.config/pip/pip.conf",
        "[install]\nindex-url = https://install.example/\n[global]\nindex-url = https://global.example/\n",
    );
    assert_eq!(index(&machine), "https://install.example/");
    machine.set("PIP_CONFIG_FILE", "/dev/null");
    assert!(machine.load(&none).unwrap().index.origin == Origin::Default);
}

#[test]
fn wrong_values_name_their_place() {
    let mut machine = Machine::new();
    let none = Overrides::default();
    machine.file(
        "home/config.toml",
        "[mirrors]\npyhton = \"https://x.example/\"\n",
    );
    let error = machine.load(&none).unwrap_err();
    assert_eq!(error.code(), "settings.unknown-key");
    assert_eq!(error.hint().unwrap(), "did you mean `mirrors.python`?");

    machine.file("home/config.toml", "index-url = [\n");
    assert_eq!(machine.load(&none).unwrap_err().code(), "settings.syntax");

    machine.file("home/config.toml", "offline = true\n");
    machine.set("AIENV_INDEX_URL", "ftp://me:secret@index.example/");
    let error = machine.load(&none).unwrap_err();
    let text = format!("{error} {}", error.hint().unwrap());
    assert!(text.contains("AIENV_INDEX_URL"), "{text}");
    assert!(!text.contains("secret"), "{text}");

    machine.set("AIENV_INDEX_URL", "https://index.example/");
    machine.set("AIENV_OFFLINE", "perhaps");
    assert_eq!(machine.load(&none).unwrap_err().code(), "settings.value");
    machine.set("AIENV_OFFLINE", "0");
    let settings = machine.load(&none).unwrap();
    assert!(!settings.offline.value);
    assert_eq!(
        settings.offline.origin,
        Origin::Environment("AIENV_OFFLINE")
    );
}

#[test]
fn defaults_are_complete() {
    let settings = Machine::new().load(&Overrides::default()).unwrap();
    assert!(settings.torch.value.to_string().ends_with('/'));
    assert!(settings.pythons.value.len() >= 2);
    assert!(
        settings.sources.value[0]
            .fill("owner/name", "0123")
            .unwrap()
            .to_string()
            .contains("owner/name")
    );
}
