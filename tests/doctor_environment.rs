//! `aienv doctor --python` and `aienv doctor TOOL`: environments that are really broken, found with
//! their cause, and healthy ones left alone.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::{PermissionsExt as _, symlink};

use aienv::{host::Host, types::Arch};
use support::{
    Library, Venv, Wheel, World,
    environment::{first_finding, torch},
    host,
    world::test_python,
};

/// A machine with an NVIDIA GPU, of this processor.
fn with_gpu(driver: &str, cuda: (u16, u16), capability: (u16, u16)) -> Host {
    let mut host = host::linux_nvidia(driver, cuda, capability);
    if cfg!(target_arch = "aarch64") {
        host.cpu.arch = Arch::Aarch64;
    }
    host
}

/// The file of a host, and the option that names it.
fn on(venv: &Venv, host: &Host) -> [String; 2] {
    ["--host".to_owned(), venv.world.host(host)]
}

fn words(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

/// The ending of compiled modules for the interpreter of the tests, without the system's part.
fn module_file(name: &str) -> String {
    let tag = test_python().feature.replace('.', "");
    format!("{name}.cpython-{tag}-x86_64-linux-gnu.so")
}

/// A numpy of some version, as much of it as an import needs.
fn numpy(version: &str) -> Wheel {
    Wheel::library("numpy", version)
}

/// A package that is one compiled module.
#[cfg(target_os = "linux")]
fn compiled(name: &str, version: &str, module: &Library) -> Wheel {
    let import = format!("from . import _C\n__version__ = {version:?}\n");
    Wheel::new(name, version)
        .platlib()
        .module(&format!("{name}/__init__.py"), import)
        .module(&format!("{name}/{}", module_file("_C")), module.bytes())
}

fn text(finding: &serde_json::Value, key: &str) -> String {
    match &finding[key] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[track_caller]
fn tells(finding: &serde_json::Value, words: &str) {
    assert!(
        finding.to_string().contains(words),
        "no `{words}` in {finding:#}"
    );
}

// ---- healthy --------------------------------------------------------------------------------------

#[test]
fn an_empty_environment_and_one_with_packages_are_healthy() {
    let venv = Venv::new();
    venv.is_healthy(&[]);
    venv.install(&Wheel::library("helper", "1.0"))
        .install(&numpy("2.2.6"))
        .install(&torch("2.9.1", None))
        .install(&Wheel::command("tiny", "1.0").requires("helper>=1"));
    venv.is_healthy(&["--no-run"]);
    venv.is_healthy(&[])
        .prints("imports work: numpy, torch")
        .prints("torch computes on cpu");
    venv.is_healthy(&["--deep"]);
}

#[test]
fn an_environment_is_named_by_interpreter_folder_or_project() {
    let venv = Venv::new();
    venv.install(&Wheel::library("helper", "1.0"));
    let project = venv.world.work();
    fs::rename(&venv.root, project.join(".venv")).unwrap();
    let python = match cfg!(windows) {
        true => ".venv/Scripts/python.exe",
        false => ".venv/bin/python",
    };
    for name in [".", ".venv", python] {
        let run = venv
            .world
            .aienv(&["doctor", "--json", "--no-run", "--python", name]);
        let subject = run.ok().json()["subject"].as_str().unwrap().to_owned();
        assert!(subject.contains(".venv"), "{name}: {subject}");
    }
}

#[test]
fn a_python_installation_is_looked_at_too() {
    let venv = Venv::new();
    let python = test_python().path.to_str().unwrap();
    let run = venv.world.aienv(&["doctor", "--json", "--python", python]);
    let answer = run.json();
    assert!(
        answer["subject"].as_str().unwrap().contains("installation"),
        "{answer:#}"
    );
}

#[test]
fn what_is_no_environment_is_wrong_usage() {
    let world = World::new();
    world
        .aienv(&["doctor", "--python", "nowhere"])
        .fails(2)
        .hints()
        .names("nowhere");
    world.write("note.txt", "x");
    world
        .aienv(&["doctor", "--python", "note.txt"])
        .fails(2)
        .names("note.txt");
    world.aienv(&["doctor", "--python", "."]).fails(2).hints();
    world
        .aienv(&["doctor", "nothing"])
        .fails(2)
        .names("nothing");
}

// ---- interpreter ----------------------------------------------------------------------------------

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

// ---- files ----------------------------------------------------------------------------------------

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

// ---- packages -------------------------------------------------------------------------------------

#[test]
fn a_torchvision_for_another_torch_is_told_with_the_set_that_fits() {
    let venv = Venv::new();
    venv.install(&torch("2.9.1", None))
        .install(&Wheel::library("torchvision", "0.19.0").requires("torch==2.4.0"));
    let found = venv.has("torch-companion-mismatch", &[]);
    tells(&found, "torch==2.4.0");
    let command = text(&found["fix"][0], "command");
    assert!(
        command.contains("torch==2.9.1 torchvision==0.24.1"),
        "{command}"
    );
    assert!(command.contains("/cpu"), "{command}");
}

#[test]
fn a_torchvision_of_another_build_is_told() {
    let venv = Venv::new();
    let vision = "__version__ = '0.24.1+cpu'\nif f() > 0:\n    cuda = f()\n";
    venv.install(&torch("2.9.1", Some("12.8")))
        .install(&Wheel::library("torchvision", "0.24.1").module("torchvision/version.py", vision));
    let found = venv.has("torch-companion-mismatch", &[]);
    tells(&found, "a build for cpu, torch one for cu128");
}

#[test]
fn two_onnxruntimes_are_told_with_the_one_that_won() {
    let venv = Venv::new();
    let runtime = |name: &str, version: &str, size| {
        Wheel::new(name, version)
            .module(
                "onnxruntime/__init__.py",
                format!("__version__ = '{version}'\n"),
            )
            .ballast("onnxruntime/capi/onnxruntime_pybind11_state.so", size)
    };
    venv.install(&runtime("onnxruntime-gpu", "1.20.1", 900))
        .install(&runtime("onnxruntime", "1.19.2", 700));
    let found = venv.has("onnxruntime-cpu-and-gpu-both-installed", &[]);
    tells(&found, "that of onnxruntime\"");
    let command = text(&found["fix"][0], "command");
    assert!(command.contains("uninstall"), "{command}");
    assert!(
        command.contains("install") && command.ends_with("onnxruntime-gpu==1.20.1"),
        "{command}"
    );
}

#[test]
fn cuda_libraries_of_another_release_than_torchs_are_told() {
    let venv = Venv::new();
    let torch = torch("2.9.1", Some("12.8"))
        .requires("nvidia-cublas-cu12==12.8.4.1; platform_system != 'None'");
    let cublas = Wheel::new("nvidia-cublas-cu12", "12.1.3.1")
        .module("nvidia/cublas/__init__.py", "")
        .module("nvidia/cublas/lib/README", "x");
    venv.install(&torch).install(&cublas);
    let found = venv.has("mixed-cuda-wheels", &[]);
    tells(&found, "12.1.3.1 is installed");
    tells(&found, "nvidia-cublas-cu12==12.8.4.1");
    // A later one of the same CUDA serves as well.
    let venv = Venv::new();
    let later =
        Wheel::new("nvidia-cublas-cu12", "12.9.1.4").module("nvidia/cublas/__init__.py", "");
    venv.install(&torch).install(&later);
    venv.is_healthy(&[]).prints("is not met");
    // None at all.
    let venv = Venv::new();
    venv.install(&torch);
    let found = venv.has("cuda-runtime-libs-missing", &[]);
    tells(&found, "install --python");
    tells(&found, "nvidia-cublas-cu12==12.8.4.1");
}

#[test]
fn bitsandbytes_without_a_library_for_the_cuda_is_told() {
    let venv = Venv::new();
    let bnb = Wheel::library("bitsandbytes", "0.42.0")
        .module("bitsandbytes/libbitsandbytes_cuda118.so", "x")
        .module("bitsandbytes/libbitsandbytes_cuda121.so", "x");
    venv.install(&torch("2.9.1", Some("12.8"))).install(&bnb);
    let found = venv.has("bitsandbytes-no-binary-for-platform", &[]);
    tells(&found, "CUDA 12.8");
    tells(&found, "11.8, 12.1");
    // A later release takes the nearest of the major version.
    let bnb = Wheel::library("bitsandbytes", "0.50.0")
        .module("bitsandbytes/libbitsandbytes_cuda126.so", "x")
        .module(
            "bitsandbytes/cextension.py",
            "def _find_cuda_libs():\n    pass\n",
        );
    let venv = Venv::new();
    venv.install(&torch("2.9.1", Some("12.8"))).install(&bnb);
    venv.is_healthy(&[]);
}

#[test]
fn requirements_that_are_not_met_are_a_note() {
    let venv = Venv::new();
    venv.install(&Wheel::library("helper", "1.0").requires("other>=2"))
        .install(&Wheel::library("other", "1.0"));
    venv.is_healthy(&[]).prints("is not met");
}

// ---- torch and the machine ------------------------------------------------------------------------

#[test]
fn a_cpu_torch_on_a_machine_with_a_gpu_is_told_with_the_build_that_fits() {
    let venv = Venv::new();
    venv.install(&torch("2.9.1", None));
    let gpu = on(&venv, &with_gpu("580.95.05", (13, 0), (8, 9)));
    let found = venv.has("torch-cpu-build", &words(&gpu));
    let command = text(&found["fix"][0], "command");
    assert!(command.contains("torch==2.9.1"), "{command}");
    assert!(command.contains("/cu130"), "{command}");
    // An older driver takes another build.
    let gpu = on(&venv, &with_gpu("550.54.14", (12, 4), (8, 9)));
    let found = venv.has("torch-cpu-build", &words(&gpu));
    assert!(
        text(&found["fix"][0], "command").contains("/cu12"),
        "{found:#}"
    );
    // Without a GPU it is what it should be.
    let mut none = host::linux_cpu();
    none.cpu.arch = with_gpu("580.95.05", (13, 0), (8, 9)).cpu.arch;
    venv.is_healthy(&words(&on(&venv, &none)));
}

#[test]
fn a_build_that_the_driver_or_the_gpu_cannot_run_is_told() {
    let venv = Venv::new();
    venv.install(&torch("2.9.1", Some("13.0")));
    let old_driver = on(&venv, &with_gpu("550.54.14", (12, 4), (8, 9)));
    let found = venv.has_read("driver-too-old-for-cuda", &words(&old_driver));
    tells(&found, "550.54.14");
    if cfg!(target_arch = "aarch64") {
        return;
    }
    let pascal = on(&venv, &with_gpu("580.95.05", (13, 0), (6, 1)));
    let found = venv.has_read("gpu-arch-dropped-by-wheel", &words(&pascal));
    assert!(
        text(&found["fix"][0], "command").contains("/cu126"),
        "{found:#}"
    );
    let venv = Venv::new();
    venv.install(&torch("2.6.0", Some("12.4")));
    let blackwell = on(&venv, &with_gpu("580.95.05", (13, 0), (12, 0)));
    let found = venv.has_read("gpu-arch-too-new-for-wheel", &words(&blackwell));
    tells(&found, "compute capability 12.0");
}

#[test]
fn a_gpu_that_does_not_answer_is_explained_by_what_torch_says() {
    let venv = Venv::new();
    venv.install(&torch("2.9.1", Some("12.8")));
    let gpu = on(&venv, &with_gpu("580.95.05", (13, 0), (8, 9)));
    let run = venv.doctor(&[&["--json"], &words(&gpu)[..]].concat());
    assert_eq!(run.code, Some(1));
    let first = run.json()["findings"][0].clone();
    assert_eq!(
        first["title"], "torch does not compute on cuda",
        "{first:#}"
    );
    tells(&first, "Found no NVIDIA driver on your system");
}

// ---- outside packages -----------------------------------------------------------------------------

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

// ---- compiled files -------------------------------------------------------------------------------

#[cfg(target_os = "linux")]
mod compiled_files {
    use super::*;

    /// A NumPy whose interface lies where NumPy 2 has it.
    fn with_interface(module: Library, path: &str) -> Library {
        module.text("interface", path).calls("PyCapsule_GetPointer")
    }

    /// The same, compiled with NumPy's own headers, which ask for the interface at import.
    fn with_headers(module: Library, path: &str) -> Library {
        with_interface(module, path).text("refusal", "_ARRAY_API is not PyCapsule object")
    }

    #[test]
    fn compiled_packages_that_find_what_they_need_are_healthy() {
        let venv = Venv::new();
        let base = Library::new("libhelperbase.so.1").function("base");
        let linked = base.build(&venv.world.work());
        let module = with_interface(Library::module("_C.so"), "numpy._core._multiarray_umath")
            .calls("base")
            .needs(&linked)
            .runpath("$ORIGIN/../helper.libs");
        let wheel = compiled("helper", "1.0", &module)
            .module("helper.libs/libhelperbase.so.1", base.bytes());
        venv.install(&numpy("2.2.6")).install(&wheel);
        venv.is_healthy(&["--no-run"])
            .prints("2 compiled files find what they need");
        venv.is_healthy(&[]);
    }

    #[test]
    fn an_extension_for_numpy_1_under_numpy_2_is_told() {
        let old = with_headers(Library::module("_C.so"), "numpy.core._multiarray_umath");
        let venv = Venv::new();
        venv.install(&numpy("1.26.4"))
            .install(&compiled("oldext", "0.3", &old));
        venv.is_healthy(&[]);
        let venv = Venv::new();
        venv.install(&numpy("2.2.6"))
            .install(&compiled("oldext", "0.3", &old));
        let found = venv.has("numpy2-abi", &[]);
        tells(&found, "oldext");
        tells(&found, "numpy<2");
        // One that knows both.
        let both = old.text("newer", "numpy._core._multiarray_umath");
        let venv = Venv::new();
        venv.install(&numpy("2.2.6"))
            .install(&compiled("newext", "1.0", &both));
        venv.is_healthy(&[]);
        // One that asks when it first gets an array, which may be never.
        let late = with_interface(Library::module("_C.so"), "numpy.core._multiarray_umath");
        let venv = Venv::new();
        venv.install(&numpy("2.2.6"))
            .install(&compiled("lateext", "1.0", &late));
        venv.is_healthy(&[]).prints("lateext was made for NumPy 1");
    }

    /// A module that needs a library which its wheel brings beside it.
    fn with_library(venv: &Venv) -> Wheel {
        let base = Library::new("libhelperbase.so.1").function("base");
        let linked = base.build(&venv.world.work());
        let module = Library::module("_C.so")
            .calls("base")
            .needs(&linked)
            .runpath("$ORIGIN/../helper.libs");
        compiled("helper", "1.0", &module).module("helper.libs/libhelperbase.so.1", base.bytes())
    }

    #[test]
    fn a_removed_library_is_told_with_the_package_to_install_again() {
        let venv = Venv::new();
        venv.install(&with_library(&venv));
        venv.is_healthy(&[]);
        fs::remove_file(venv.file("helper.libs/libhelperbase.so.1")).unwrap();
        let found = venv.has("environment-files-damaged", &[]);
        tells(&found, "libhelperbase.so.1");
        tells(&found, "helper==1.0");
    }

    #[test]
    fn a_cut_library_is_told() {
        let venv = Venv::new();
        venv.install(&with_library(&venv));
        let path = venv.file("helper.libs/libhelperbase.so.1");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 3]).unwrap();
        tells(
            &venv.has("environment-files-damaged", &[]),
            "libhelperbase.so.1",
        );
    }

    #[test]
    fn a_library_that_nobody_has_is_told_and_one_that_no_import_needs_is_not() {
        let venv = Venv::new();
        let nowhere = Library::new("libaienvnowhere.so.9").function("lost");
        let nowhere = nowhere.build(&venv.world.work());
        let module = Library::module("_C.so").calls("lost").needs(&nowhere);
        venv.install(&compiled("helper", "1.0", &module));
        let found = venv.has("native-library-missing", &[]);
        tells(&found, "libaienvnowhere.so.9");
        tells(&found, "_C.");

        // The same module, which the package imports only if it can.
        let venv = Venv::new();
        let wheel = Wheel::library("helper", "1.0").platlib();
        let wheel = wheel.module(&format!("helper/{}", module_file("_C")), module.bytes());
        venv.install(&wheel);
        venv.is_healthy(&[]);
    }

    #[test]
    fn missing_display_libraries_are_those_of_opencv() {
        let venv = Venv::new();
        let gl = Library::new("libGL.so.1.aienv").soname(Some("libGLX.so.77"));
        let gl = gl.function("glx").build(&venv.world.work());
        let module = Library::module("_C.so").calls("glx").needs(&gl);
        let opencv = Wheel::new("opencv-python", "4.10.0")
            .platlib()
            .module("cv2/__init__.py", "from . import _C\n")
            .module(&format!("cv2/{}", module_file("_C")), module.bytes());
        venv.install(&opencv);
        let found = venv.has("libgl-missing", &[]);
        tells(&found, "opencv-python-headless");
    }

    #[test]
    fn a_module_for_another_python_is_told() {
        let venv = Venv::new();
        let module = Library::module("_C.so");
        let wheel = Wheel::new("helper", "1.0")
            .platlib()
            .module("helper/__init__.py", "")
            .module("helper/_C.cpython-37m-x86_64-linux-gnu.so", module.bytes());
        venv.install(&wheel);
        let found = venv.has("wrong-environment-used", &[]);
        tells(&found, "Python 3.7");
    }

    #[test]
    fn an_extension_for_another_torch_is_told_with_the_readable_symbol() {
        let venv = Venv::new();
        let c10 = |function: &str| Library::new("libc10.so").function(function);
        let old = c10("_ZN3c106detail14torchCheckFailEPKcS2_jRKSs");
        let linked = old.build(&venv.world.work());
        let module = Library::module("_C.so")
            .calls("_ZN3c106detail14torchCheckFailEPKcS2_jRKSs")
            .needs(&linked)
            .runpath("$ORIGIN/../torch/lib");
        let torch =
            |library: &Library| torch("2.9.1", None).module("torch/lib/libc10.so", library.bytes());
        venv.install(&torch(&old))
            .install(&compiled("flash_attn", "2.5.6", &module));
        venv.is_healthy(&[]);
        let venv = Venv::new();
        let new = c10("_ZN3c106detail14torchCheckFailEPKcS2_jRKNSt7__cxx1112basic_string");
        venv.install(&torch(&new))
            .install(&compiled("flash_attn", "2.5.6", &module));
        let found = venv.has("extension-built-for-other-torch", &[]);
        tells(&found, "c10::detail::torchCheckFail(char const*");
        tells(&found, "flash_attn");
    }

    /// NVIDIA's layout: a library that finds another one by `DT_RUNPATH`, which the variable
    /// precedes.
    fn nvidia(venv: &Venv) -> Wheel {
        let link = Library::new("libnvJitLink.so.12")
            .function("__nvJitLinkCreate_12_8")
            .function("__nvJitLinkComplete_12_8");
        let linked = link.build(&venv.world.work());
        let sparse = Library::module("_C.so")
            .calls("__nvJitLinkComplete_12_8")
            .needs(&linked)
            .runpath("$ORIGIN/../nvidia/nvjitlink/lib");
        compiled("sparse", "1.0", &sparse)
            .module("nvidia/nvjitlink/lib/libnvJitLink.so.12", link.bytes())
    }

    #[test]
    fn an_older_library_that_a_variable_puts_first_is_told_with_both_paths() {
        let mut venv = Venv::new();
        venv.install(&nvidia(&venv));
        venv.is_healthy(&[]);
        let toolkit = venv.world.root().join("cuda-12.1/lib64");
        Library::new("libnvJitLink.so.12")
            .function("__nvJitLinkCreate_12_1")
            .build(&toolkit);
        venv.world.env("LD_LIBRARY_PATH", &toolkit);
        let found = venv.has("ld-library-path-shadows-wheel-libs", &[]);
        tells(&found, "cuda-12.1/lib64/libnvJitLink.so.12");
        tells(&found, "nvidia/nvjitlink/lib/libnvJitLink.so.12");
        assert_eq!(found["fix"][0]["command"], "unset LD_LIBRARY_PATH");
    }

    #[test]
    fn a_library_that_torch_lacks_is_told_though_torch_is_what_asks() {
        let venv = Venv::new();
        let solver = Library::new("libcudnn.so.9").function("cudnnCreate");
        let linked = solver.build(&venv.world.work());
        let python = Library::module("_C.so")
            .calls("cudnnCreate")
            .needs(&linked)
            .runpath("$ORIGIN/lib/../../nvidia/cudnn/lib");
        let torch = torch("2.9.1", Some("12.8"))
            .module(&format!("torch/{}", module_file("_C")), python.bytes())
            .module("torch/uses.py", "from . import _C\n");
        let import =
            Wheel::library("user", "1.0").module("user/__init__.py", "import torch.uses\n");
        venv.install(&torch).install(&import);
        let found = venv.has_read("cuda-runtime-libs-missing", &[]);
        tells(&found, "libcudnn.so.9");
        // Of the two that exist, the one for torch's CUDA.
        tells(&found, "nvidia-cudnn-cu12");
        let cudnn = Wheel::new("nvidia-cudnn-cu12", "9.10.2")
            .module("nvidia/cudnn/lib/libcudnn.so.9", solver.bytes());
        venv.install(&cudnn);
        venv.is_healthy(&[]);
    }

    #[test]
    fn parts_of_different_cuda_releases_are_one_problem() {
        let venv = Venv::new();
        let link = |minor: u32| {
            let symbol = format!("__nvJitLinkComplete_12_{minor}");
            Library::new("libnvJitLink.so.12").versioned(&symbol, "libnvJitLink.so.12")
        };
        let linked = link(4).build(&venv.world.work());
        let sparse = Library::module("_C.so")
            .calls("__nvJitLinkComplete_12_4")
            .needs(&linked)
            .runpath("$ORIGIN/../nvidia/nvjitlink/lib");
        let torch = torch("2.6.0", Some("12.4")).requires("nvidia-nvjitlink-cu12==12.4.127");
        let nvidia = |version: &str, minor| {
            Wheel::new("nvidia-nvjitlink-cu12", version).module(
                "nvidia/nvjitlink/lib/libnvJitLink.so.12",
                link(minor).bytes(),
            )
        };
        venv.install(&torch)
            .install(&compiled("sparse", "1.0", &sparse))
            .install(&nvidia("12.1.105", 1));
        let found = venv.has("mixed-cuda-wheels", &[]);
        tells(&found, "__nvJitLinkComplete_12_4");
        tells(&found, "nvidia-nvjitlink-cu12==12.4.127");
        let run = venv.doctor(&["--json"]);
        let all = run.json()["findings"].as_array().unwrap().clone();
        let problems = all.iter().filter(|finding| finding["level"] == "problem");
        assert_eq!(problems.count(), 1, "{all:#?}");
    }

    #[test]
    fn a_stub_of_the_driver_that_comes_first_is_told() {
        let mut venv = Venv::new();
        venv.install(&torch("2.9.1", Some("12.8")));
        let stubs = venv.world.root().join("cuda/lib64/stubs");
        Library::new("libcuda.so.1")
            .function("cuInit")
            .build(&stubs);
        venv.world.env("LD_LIBRARY_PATH", &stubs);
        let found = venv.has("ld-library-path-shadows-wheel-libs", &[]);
        tells(&found, "stub");
        tells(&found, "lib64/stubs/libcuda.so.1");
    }

    #[test]
    fn a_cxx_library_without_the_version_is_told() {
        let venv = Venv::new();
        let newer = Library::new("libstdc++.so.6").versioned("fresh", "GLIBCXX_3.9.99");
        let newer = newer.build(&venv.world.work());
        let module = Library::module("_C.so").calls("fresh").needs(&newer);
        venv.install(&compiled("helper", "1.0", &module));
        let found = venv.has("libstdcxx-too-old", &[]);
        tells(&found, "GLIBCXX_3.9.99");
        let newer = Library::new("libc.so.6").versioned("fresh", "GLIBC_2.99");
        let newer = newer.build(&venv.world.work().join("c"));
        let module = Library::module("_C.so").calls("fresh").needs(&newer);
        let venv = Venv::new();
        venv.install(&compiled("helper", "1.0", &module));
        tells(&venv.has("glibc-too-old", &[]), "GLIBC_2.99");
    }

    #[test]
    fn an_engine_for_another_cuda_than_torchs_is_told_where_there_is_a_gpu() {
        let venv = Venv::new();
        let cublas = Library::new("libcublas.so.13").function("cublas");
        let cublas = cublas.build(&venv.world.work());
        let provider = Library::new("libonnxruntime_providers_cuda.so")
            .calls("cublas")
            .needs(&cublas);
        let runtime = Wheel::new("onnxruntime-gpu", "1.27.0")
            .module("onnxruntime/__init__.py", "__version__ = '1.27.0'\n")
            .module(
                "onnxruntime/capi/libonnxruntime_providers_cuda.so",
                provider.bytes(),
            );
        venv.install(&torch("2.9.1", Some("12.8")))
            .install(&runtime);
        venv.is_healthy(&[]);
        let gpu = on(&venv, &with_gpu("580.95.05", (13, 0), (8, 9)));
        let found = venv.has_read("engine-cuda-cudnn-mismatch", &words(&gpu));
        tells(&found, "made for CUDA 13, and CUDA 12 is installed");
        // Installed, in a folder where the loader does not look.
        let library = Library::new("libcublas.so.13").function("cublas").bytes();
        let cublas = Wheel::new("nvidia-cublas", "13.0.2")
            .module("nvidia/cu13/lib/libcublas.so.13", library);
        venv.install(&cublas);
        venv.has_read("cuda-libs-not-on-loader-path", &words(&gpu));
    }
}

// ---- conda ----------------------------------------------------------------------------------------

/// The folders of a conda environment with a Python, as conda writes them.
#[cfg(target_os = "linux")]
mod conda {
    use super::*;

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
}

// ---- Windows, from anywhere -----------------------------------------------------------------------

/// An environment of Windows, read on any system.
mod windows_layout {
    use support::foreign::Dll;

    use super::*;

    /// Functions of C10 as Microsoft's compiler names them.
    const WHAT: &str = "?what@Error@c10@@UEBAPEBDXZ";

    fn venv() -> Venv {
        let mut venv = Venv::new();
        fs::remove_dir_all(&venv.root).unwrap();
        venv.site = venv.root.join("Lib/site-packages");
        fs::create_dir_all(&venv.site).unwrap();
        Dll::new().write(&venv.root.join("Scripts"), "python.exe");
        fs::write(venv.root.join("pyvenv.cfg"), "home = \nversion = 3.12.1\n").unwrap();
        let system = venv.world.root().join("Windows");
        Dll::new()
            .exports("Sleep")
            .write(&system.join("System32"), "kernel32.dll");
        venv.world.env("SystemRoot", system);
        venv
    }

    /// A machine whose processor is that of the libraries.
    fn options(venv: &Venv) -> [String; 2] {
        on(venv, &host::windows())
    }

    fn torch_with(function: &str) -> Wheel {
        torch("2.9.1", None).module(
            "torch/lib/c10.dll",
            Dll::new().exports(function).bytes("c10.dll"),
        )
    }

    fn extension(dll: &Dll) -> Wheel {
        Wheel::library("flash_attn", "2.5.6").module("flash_attn/_C.pyd", dll.bytes("_C.pyd"))
    }

    fn module() -> Dll {
        Dll::new()
            .imports("KERNEL32.dll", &["Sleep"])
            .imports("c10.dll", &[WHAT])
            .exports("PyInit__C")
    }

    #[test]
    fn a_windows_environment_is_healthy_when_its_dlls_are_found() {
        let venv = venv();
        venv.install(&torch_with(WHAT))
            .install(&extension(&module()));
        let options = options(&venv);
        venv.is_healthy(&[&["--no-run"], &words(&options)[..]].concat())
            .prints("2 compiled files find what they need");
    }

    #[test]
    fn a_missing_visual_c_runtime_is_told() {
        let venv = venv();
        let needy = module().imports("MSVCP140.dll", &["_Xlength_error"]);
        venv.install(&torch_with(WHAT)).install(&extension(&needy));
        let found = venv.has_read("windows-vc-runtime-missing", &words(&options(&venv)));
        tells(&found, "MSVCP140.dll");
        tells(&found, "VCRedist");
    }

    #[test]
    fn a_function_that_torch_does_not_have_is_told_readably() {
        let venv = venv();
        venv.install(&torch_with("?other@c10@@YAXXZ"))
            .install(&extension(&module()));
        let found = venv.has_read("extension-built-for-other-torch", &words(&options(&venv)));
        tells(&found, "c10::Error::what");
    }

    #[test]
    fn a_32_bit_python_on_64_bit_windows_is_told() {
        let venv = venv();
        Dll::new()
            .machine(0x14c)
            .write(&venv.root.join("Scripts"), "python.exe");
        let found = venv.has_read("python-wrong-architecture", &words(&options(&venv)));
        tells(&found, "32-bit");
    }
}

// ---- tools ----------------------------------------------------------------------------------------

mod tools {
    use super::*;

    /// A world with an installed tool.
    fn installed() -> World {
        let world = World::new();
        install(&world);
        world
    }

    fn install(world: &World) {
        world
            .index()
            .add(Wheel::command("tiny", "1.0").requires("helper>=1"))
            .add(
                Wheel::library("helper", "1.4")
                    .module("helper/core.py", "x = 1\n")
                    .module("helper/data.json", "{}"),
            );
        let manifest = support::index_tool("tiny", "", "[[checks]]\nimport = [\"helper.core\"]\n");
        let manifest = world.manifest("tiny", &manifest);
        world.aienv(&["install", &manifest]).ok();
    }

    fn site(world: &World) -> std::path::PathBuf {
        let found = world
            .aienv(&["doctor", "tiny", "--no-run", "--json"])
            .json();
        assert_eq!(found["subject"], "tiny 1.0");
        let prefixes = fs::read_dir(world.home().prefixes()).unwrap();
        let prefix = prefixes.flatten().next().unwrap().path();
        match cfg!(windows) {
            true => prefix.join("Lib/site-packages"),
            false => prefix.join(format!("lib/python{}/site-packages", test_python().feature)),
        }
    }

    #[track_caller]
    fn has(world: &World, cause: &str) -> serde_json::Value {
        let mut found = serde_json::Value::Null;
        for options in [&["--no-run"][..], &[]] {
            let run = world.aienv(&[&["doctor", "tiny", "--json"], options].concat());
            found = first_finding(&run, cause);
            assert_eq!(found["fix"][0]["command"], "aienv repair tiny");
        }
        found
    }

    /// What doctor advises helps.
    #[track_caller]
    fn is_mended(world: &World) {
        world.aienv(&["repair", "tiny"]).ok();
        let run = world.aienv(&["doctor", "tiny"]).ok();
        run.prints("No problem was found");
    }

    #[test]
    fn a_tool_is_healthy_whatever_surrounds_it() {
        let mut world = installed();
        let run = world.aienv(&["doctor", "tiny"]).ok();
        run.prints("2 packages are those of the lock")
            .prints("imports work: helper.core");
        // None of this reaches a tool when it starts.
        let outside = world.root().join("outside/helper");
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("__init__.py"), "raise SystemExit(3)\n").unwrap();
        world.env("PYTHONPATH", outside.parent().unwrap());
        world.env("PYTHONHOME", "/nowhere");
        world.env("LD_LIBRARY_PATH", "/nowhere/stubs");
        world.aienv(&["doctor", "tiny"]).ok();
    }

    #[test]
    fn removed_and_changed_files_are_told_and_mended() {
        let world = installed();
        let site = site(&world);
        remove(&site.join("helper/core.py"));
        tells(&has(&world, "environment-files-damaged"), "core.py");
        is_mended(&world);
        // In an environment that is never changed, an edited file is damage.
        let data = site.join("helper/data.json");
        remove(&data);
        fs::write(&data, "[]").unwrap();
        tells(&has(&world, "environment-files-damaged"), "data.json");
        is_mended(&world);
    }

    #[test]
    fn what_others_installed_or_removed_is_told_and_mended() {
        let world = installed();
        let site = site(&world);
        for member in Wheel::library("stranger", "9.0").members() {
            let path = site.join(&member.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, member.bytes).unwrap();
        }
        tells(
            &has(&world, "environment-files-damaged"),
            "stranger-9.0.dist-info",
        );
        is_mended(&world);
        // As `pip uninstall` leaves it.
        for gone in ["helper", "helper-1.4.dist-info"] {
            make_writable(&site.join(gone));
            fs::remove_dir_all(site.join(gone)).unwrap();
        }
        tells(
            &has(&world, "environment-files-damaged"),
            "helper-1.4.dist-info",
        );
        is_mended(&world);
        fs::write(site.join("extra.pth"), "import os\n").unwrap();
        tells(&has(&world, "environment-files-damaged"), "extra.pth");
        is_mended(&world);
    }

    #[test]
    fn doctor_mends_a_tool_when_told_to() {
        let world = installed();
        let site = site(&world);
        remove(&site.join("helper/core.py"));
        fs::write(site.join("extra.pth"), "import os\n").unwrap();
        world
            .aienv(&["doctor", "tiny", "--fix"])
            .ok()
            .prints("No problem was found");
        assert!(site.join("helper/core.py").is_file());
        assert!(!site.join("extra.pth").exists());
        // Without a name every tool is looked at, also for what was added.
        fs::write(site.join("extra.pth"), "import os\n").unwrap();
        world.aienv(&["doctor", "--fix"]);
        assert!(!site.join("extra.pth").exists());
        // An environment of somebody else's is never changed.
        world.aienv(&["doctor", "--fix", "--python", "."]).fails(2);
    }

    #[test]
    fn an_environment_that_was_deleted_is_told_and_mended() {
        let world = installed();
        let prefixes = world.home().prefixes();
        for entry in fs::read_dir(&prefixes).unwrap().flatten() {
            make_writable(&entry.path());
            fs::remove_dir_all(entry.path()).unwrap();
        }
        tells(&has(&world, "environment-files-damaged"), "is gone");
        is_mended(&world);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_changed_interpreter_is_told_and_mended() {
        use std::io::Write as _;

        let mut world = World::new();
        let python = world.own_python();
        install(&world);
        world.aienv(&["doctor", "tiny"]).ok();
        // Another build of the same version, as a distribution's update brings it.
        let mut file = fs::OpenOptions::new().append(true).open(&python).unwrap();
        file.write_all(b"another build").unwrap();
        drop(file);
        tells(&has(&world, "venv-broken-by-python-upgrade"), "has changed");
        is_mended(&world);
    }

    fn remove(path: &std::path::Path) {
        make_writable(path);
        fs::remove_file(path).unwrap();
    }

    /// Files of a prefix are read-only, which Windows minds when they are deleted.
    fn make_writable(path: &std::path::Path) {
        for entry in walkdir::WalkDir::new(path).into_iter().flatten() {
            let mut permissions = entry.metadata().unwrap().permissions();
            if entry.file_type().is_file() && permissions.readonly() {
                #[allow(clippy::permissions_set_readonly_false)]
                permissions.set_readonly(false);
                fs::set_permissions(entry.path(), permissions).unwrap();
            }
        }
    }
}
