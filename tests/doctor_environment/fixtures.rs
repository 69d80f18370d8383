//! Machines and packages that environments are made of.

use aienv::{host::Host, types::Arch};

use crate::support::{Library, Venv, Wheel, host, world::test_python};

/// A machine with an NVIDIA GPU, of this processor.
pub fn with_gpu(driver: &str, cuda: (u16, u16), capability: (u16, u16)) -> Host {
    let mut host = host::linux_nvidia(driver, cuda, capability);
    if cfg!(target_arch = "aarch64") {
        host.cpu.arch = Arch::Aarch64;
    }
    host
}

/// The file of a host, and the option that names it.
pub fn on(venv: &Venv, host: &Host) -> [String; 2] {
    ["--host".to_owned(), venv.world.host(host)]
}

pub fn words(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

/// The ending of compiled modules for the interpreter of the tests, without the system's part.
pub fn module_file(name: &str) -> String {
    let tag = test_python().feature.replace('.', "");
    format!("{name}.cpython-{tag}-x86_64-linux-gnu.so")
}

/// A numpy of some version, as much of it as an import needs.
pub fn numpy(version: &str) -> Wheel {
    Wheel::library("numpy", version)
}

/// A package that is one compiled module.
#[cfg(target_os = "linux")]
pub fn compiled(name: &str, version: &str, module: &Library) -> Wheel {
    let import = format!("from . import _C\n__version__ = {version:?}\n");
    Wheel::new(name, version)
        .platlib()
        .module(&format!("{name}/__init__.py"), import)
        .module(&format!("{name}/{}", module_file("_C")), module.bytes())
}

pub fn text(finding: &serde_json::Value, key: &str) -> String {
    match &finding[key] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[track_caller]
pub fn tells(finding: &serde_json::Value, words: &str) {
    assert!(
        finding.to_string().contains(words),
        "no `{words}` in {finding:#}"
    );
}
