//! Packages from outside that come first.

use std::fs;

use crate::{
    fixtures::{numpy, tells},
    support::{Venv, world::test_python},
};

#[test]
fn packages_of_pythonpath_are_told() {
    let mut venv = Venv::new();
    venv.install(&numpy("2.2.6"));
    let outside = venv.world.root().join("outside");
    fs::create_dir_all(outside.join("numpy")).unwrap();
    fs::write(outside.join("numpy/__init__.py"), "__version__ = '1.19'\n").unwrap();
    venv.world.env("PYTHONPATH", &outside);
    let found = venv.has("outside-packages-leak-in", &[]);
    tells(&found, "PYTHONPATH");
    tells(&found, "hides 2.2.6");
    venv.world.env_remove("PYTHONPATH");
    venv.is_healthy(&[]);
}

#[cfg(target_os = "linux")]
#[test]
fn packages_of_the_users_own_folder_are_told_where_they_are_let_in() {
    let lib = format!(".local/lib/python{}/site-packages", test_python().feature);
    let own_numpy = |venv: &Venv| {
        let user = venv.world.root().join("user").join(&lib);
        fs::create_dir_all(user.join("numpy")).unwrap();
        fs::write(user.join("numpy/__init__.py"), "__version__ = '1.19'\n").unwrap();
    };
    // The usual kind shuts it out.
    let venv = Venv::new();
    venv.install(&numpy("2.2.6"));
    own_numpy(&venv);
    venv.is_healthy(&[]);
    let mut venv = Venv::with(&["--system-site-packages"]);
    venv.install(&numpy("2.2.6"));
    own_numpy(&venv);
    let found = venv.has("outside-packages-leak-in", &[]);
    tells(&found, "PYTHONNOUSERSITE");
    venv.world.env("PYTHONNOUSERSITE", "1");
    venv.is_healthy(&["--no-run"]);
}
