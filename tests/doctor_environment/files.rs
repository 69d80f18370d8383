//! Files that are missing, cut, changed or not allowed.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;

use crate::{
    fixtures::tells,
    support::{Venv, Wheel},
};

#[test]
fn a_removed_module_is_told_with_its_package() {
    let venv = Venv::new();
    venv.install(&Wheel::library("helper", "1.0").module("helper/core.py", "x = 1\n"));
    fs::remove_file(venv.file("helper/core.py")).unwrap();
    let found = venv.has("environment-files-damaged", &[]);
    tells(&found, "helper==1.0");
    tells(&found, "core.py");
}

#[test]
fn cut_files_are_told_and_edited_ones_noted() {
    let venv = Venv::new();
    let code = "def f():\n    return [1,\n            2]\n";
    venv.install(&Wheel::library("helper", "1.0").module("helper/core.py", code));
    // Edited: still Python.
    fs::write(venv.file("helper/core.py"), code.replace('2', "3")).unwrap();
    venv.is_healthy(&[]).prints("files of helper were edited");
    // Cut in the middle: no longer Python.
    fs::write(venv.file("helper/core.py"), &code[..25]).unwrap();
    tells(&venv.has_live("environment-files-damaged", &[]), "core.py");
    // Cut to nothing, as a full disk leaves it.
    fs::write(venv.file("helper/core.py"), "").unwrap();
    tells(&venv.has("environment-files-damaged", &[]), "core.py");
}

#[test]
fn what_images_leave_out_is_not_missed() {
    let venv = Venv::new();
    let wheel = Wheel::library("helper", "1.0")
        .module("helper/tests/test_it.py", "x")
        .module("helper/include/it.h", "x")
        .module("helper/__pycache__/it.cpython-312.pyc", "x");
    venv.install(&wheel);
    for gone in ["helper/tests", "helper/include", "helper/__pycache__"] {
        fs::remove_dir_all(venv.file(gone)).unwrap();
    }
    venv.is_healthy(&[]);
}

#[test]
fn a_change_inside_a_large_file_is_found_by_looking_deeper() {
    let venv = Venv::new();
    venv.install(&Wheel::library("helper", "1.0").ballast("helper/model.bin", 600_000));
    let path = venv.file("helper/model.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[300_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    venv.is_healthy(&["--no-run"]);
    venv.has("environment-files-damaged", &["--deep"]);
}

#[cfg(unix)]
#[test]
fn files_of_another_user_are_told() {
    let venv = Venv::new();
    venv.install(&Wheel::library("helper", "1.0"));
    let file = venv.file("helper/__init__.py");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&file).is_ok() {
        // The superuser reads everything.
        venv.is_healthy(&[]);
        return;
    }
    tells(
        &venv.has("environment-files-damaged", &[]),
        "cannot be read",
    );
}

#[test]
fn two_versions_over_each_other_are_told() {
    let venv = Venv::new();
    venv.install(&Wheel::library("helper", "1.0"))
        .install(&Wheel::library("helper", "2.0"));
    tells(&venv.has("environment-files-damaged", &[]), "two versions");
}
