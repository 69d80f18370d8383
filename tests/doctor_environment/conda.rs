//! Environments of conda.

use std::fs;

use crate::{
    fixtures::{numpy, tells},
    support::{Library, Venv, Wheel, environment::torch, world::test_python},
};

fn conda(packages: &[(&str, &str, &str)]) -> Venv {
    let venv = Venv::new();
    fs::remove_file(venv.root.join("pyvenv.cfg")).unwrap();
    let meta = venv.root.join("conda-meta");
    fs::create_dir_all(&meta).unwrap();
    let python = ("python", test_python().version.as_str(), "h0_cpython");
    for (name, version, build) in packages.iter().chain([&python]) {
        let record = serde_json::json!({
            "name": name,
            "version": version,
            "build": build,
            "channel": "https://conda.example/conda-forge",
            "paths_data": { "paths": [
                { "_path": format!("lib/{name}.txt"), "path_type": "hardlink",
                  "size_in_bytes": 3, "sha256_in_prefix": "0".repeat(64) }
            ] },
        });
        fs::write(venv.root.join(format!("lib/{name}.txt")), "abc").unwrap();
        let file = meta.join(format!("{name}-{version}-{build}.json"));
        fs::write(file, record.to_string()).unwrap();
    }
    venv
}

#[test]
fn packages_of_the_users_own_folder_come_first_in_conda_environments() {
    let mut venv = conda(&[]);
    venv.install_by(&numpy("2.2.6"), "conda");
    let lib = format!(
        "user/.local/lib/python{}/site-packages",
        test_python().feature
    );
    let user = venv.world.root().join(lib);
    fs::create_dir_all(user.join("numpy")).unwrap();
    fs::write(user.join("numpy/__init__.py"), "__version__ = '1.19'\n").unwrap();
    let found = venv.has_read("outside-packages-leak-in", &[]);
    tells(&found, "hides 2.2.6");
    venv.world.env("PYTHONNOUSERSITE", "1");
    venv.is_healthy(&["--no-run"])
        .prints("the conda environment");
}

#[test]
fn files_are_compared_with_condas_own_lists() {
    let venv = conda(&[("libsomething", "1.0", "h1_0")]);
    // What pip's list says of a package that conda installed is from before conda changed it.
    venv.install_by(&Wheel::library("helper", "1.0"), "conda");
    fs::write(venv.file("helper/__init__.py"), "x = 2\n").unwrap();
    venv.is_healthy(&["--no-run"]);
    fs::write(venv.root.join("lib/libsomething.so"), "").unwrap();
    let meta = venv.root.join("conda-meta/libsomething-1.0-h1_0.json");
    let text = fs::read_to_string(&meta).unwrap();
    fs::write(&meta, text.replace("libsomething.txt", "libsomething.so.1")).unwrap();
    let found = venv.has_read("environment-files-damaged", &[]);
    tells(&found, "libsomething.so.1");
    tells(&found, "conda install -p");
    tells(&found, "--force-reinstall -c conda-forge libsomething=1.0");
}

#[test]
fn two_openmp_runtimes_that_refuse_each_other_are_told() {
    let venv = conda(&[]);
    let runtime = Library::new("libiomp5.so").bytes();
    fs::write(venv.root.join("lib/libiomp5.so"), &runtime).unwrap();
    venv.is_healthy(&["--no-run"]);
    venv.install(&torch("2.2.0", None).module("torch/lib/libiomp5.so", runtime));
    let found = venv.has_read("duplicate-openmp-runtime", &[]);
    tells(&found, "nomkl");
}
