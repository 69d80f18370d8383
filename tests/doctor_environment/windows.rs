//! Environments of Windows, read on any system.

use std::fs;

use crate::{
    fixtures::{on, tells, words},
    support::{Venv, Wheel, environment::torch, foreign::Dll, host},
};

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
