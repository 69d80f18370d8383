//! What both comparisons with uv need: the programs, the index, an empty torch index, clean folders.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use super::Result;

/// The binary under test, as `cargo bench` built it.
pub const AIENV: &str = env!("CARGO_BIN_EXE_aienv");

/// The CPython on PATH.
pub fn interpreter() -> Result<PathBuf> {
    let code = "import os, sys; print(os.path.realpath(sys._base_executable))";
    for name in ["python3", "python"] {
        if let Ok(output) = Command::new(name).args(["-c", code]).output()
            && output.status.success()
        {
            return Ok(String::from_utf8(output.stdout)?.trim().into());
        }
    }
    Err("no `python3` on PATH".into())
}

/// Installs uv from the package index into an environment that goes away with the benchmark.
pub fn provide_uv(folder: &Path, python: &Path) -> Result<PathBuf> {
    let environment = folder.join("uv-environment");
    let check = |status: std::process::ExitStatus, what: &str| {
        if status.success() {
            Ok(())
        } else {
            Err(format!("{what} failed"))
        }
    };
    let status = Command::new(python)
        .args(["-m", "venv"])
        .arg(&environment)
        .status()?;
    check(status, "python -m venv")?;
    let programs = environment.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let status = Command::new(programs.join("python"))
        .args(["-m", "pip", "install", "--quiet", "uv"])
        .status()?;
    check(status, "pip install uv")?;
    Ok(programs.join(format!("uv{}", std::env::consts::EXE_SUFFIX)))
}

/// The index that the environment or pip is configured for; uv does not read pip's files, so it
/// is handed to both.
pub fn configured_index(python: &Path) -> Option<String> {
    for name in [
        "AIENV_INDEX_URL",
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
        "PIP_INDEX_URL",
    ] {
        if let Some(url) = std::env::var(name).ok().filter(|url| !url.is_empty()) {
            return Some(url);
        }
    }
    let arguments = ["-m", "pip", "config", "get", "global.index-url"];
    let output = Command::new(python).args(arguments).output().ok()?;
    let url = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !url.is_empty()).then_some(url)
}

/// A URL as it may be shown.
pub fn without_credentials(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

/// What a program says of its version.
pub fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    output.map_or_else(
        |error| error.to_string(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// Removes a folder, read-only parts included; one that is not there is removed already.
pub fn remove_all(folder: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(folder).into_iter().flatten() {
        if entry.file_type().is_dir() || cfg!(windows) && entry.file_type().is_file() {
            let mut permissions = entry.metadata()?.permissions();
            if permissions.readonly() {
                make_writable(&mut permissions);
                fs::set_permissions(entry.path(), permissions)?;
            }
        }
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn make_writable(permissions: &mut fs::Permissions) {
    use std::os::unix::fs::PermissionsExt as _;
    permissions.set_mode(permissions.mode() | 0o200);
}

#[cfg(not(unix))]
#[expect(
    clippy::permissions_set_readonly_false,
    reason = "only Unix has modes to widen"
)]
fn make_writable(permissions: &mut fs::Permissions) {
    permissions.set_readonly(false);
}

/// A torch index that has nothing, so that torch comes from the index that uv asks as well and
/// both install the same build. It answers at once, until the program ends.
pub fn empty_torch_index() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/whl/", listener.local_addr()?);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            );
        }
    });
    Ok(url)
}
