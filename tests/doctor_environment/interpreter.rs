//! Interpreters that are gone, changed, or of another kind than the packages.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::{
    fixtures::tells,
    support::{Library, Venv, Wheel, world::test_python},
};

#[cfg(unix)]
#[test]
fn a_removed_interpreter_breaks_its_environments() {
    let venv = Venv::new();
    venv.install(&Wheel::library("helper", "1.0"));
    fs::remove_file(&venv.python).unwrap();
    symlink("/opt/python3.9/bin/python3.9", &venv.python).unwrap();
    let found = venv.has("venv-broken-by-python-upgrade", &[]);
    tells(&found, "/opt/python3.9/bin/python3.9");
    tells(&found, "-m venv --clear");
}

#[test]
fn packages_of_another_release_are_not_seen_by_an_upgraded_interpreter() {
    let venv = Venv::new();
    venv.install(&Wheel::library("helper", "1.0"));
    if cfg!(windows) {
        return;
    }
    // As after `brew upgrade`: the link leads to the new release, the packages stay.
    let old = venv.root.join("lib/python3.7/site-packages");
    fs::create_dir_all(old.parent().unwrap()).unwrap();
    fs::rename(&venv.site, &old).unwrap();
    let config = venv.root.join("pyvenv.cfg");
    let text = fs::read_to_string(&config).unwrap();
    let old_version = |line: &str| match line.starts_with("version") {
        true => "version = 3.7.9\n".to_owned(),
        false => format!("{line}\n"),
    };
    fs::write(&config, text.lines().map(old_version).collect::<String>()).unwrap();
    let found = venv.has_live("venv-broken-by-python-upgrade", &[]);
    tells(&found, "Python 3.7");
    tells(&found, &test_python().feature);
}

#[cfg(unix)]
#[test]
fn an_interpreter_that_may_not_be_executed_is_told() {
    let venv = Venv::new();
    fs::remove_file(&venv.python).unwrap();
    fs::copy(&test_python().path, &venv.python).unwrap();
    fs::set_permissions(&venv.python, fs::Permissions::from_mode(0o644)).unwrap();
    let found = venv.has("environment-files-damaged", &[]);
    tells(&found, "not executable");
}

#[cfg(unix)]
#[test]
fn an_interpreter_that_fails_at_start_is_told_with_what_it_said() {
    let venv = Venv::new();
    fs::remove_file(&venv.python).unwrap();
    let script = "#!/bin/sh\necho 'cannot open libpython3.99.so' >&2\nexit 127\n";
    fs::write(&venv.python, script).unwrap();
    fs::set_permissions(&venv.python, fs::Permissions::from_mode(0o755)).unwrap();
    let found = venv.has_live("venv-broken-by-python-upgrade", &[]);
    tells(&found, "libpython3.99.so");
}

#[cfg(target_os = "linux")]
#[test]
fn a_32_bit_interpreter_is_told_by_its_header() {
    let venv = Venv::new();
    fs::remove_file(&venv.python).unwrap();
    let mut bytes = Library::new("libx.so").bytes();
    // e_machine: 40 is 32-bit ARM.
    bytes[18..20].copy_from_slice(&40_u16.to_le_bytes());
    fs::write(&venv.python, bytes).unwrap();
    fs::set_permissions(&venv.python, fs::Permissions::from_mode(0o755)).unwrap();
    let found = venv.has("python-wrong-architecture", &[]);
    tells(&found, "32-bit");
}
