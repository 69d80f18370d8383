//! The two that are compared: their command lines, caches and environments.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Result, measure, sets::Set};

/// The binary under test, as `cargo bench` built it.
pub const AIENV: &str = env!("CARGO_BIN_EXE_aienv");

/// One of the two.
pub trait Contestant {
    /// Requirements to lock file.
    fn resolve(&self) -> Command;
    /// Requirements to environment.
    fn install(&self) -> Command;
    /// Empties caches and removes the environment.
    fn forget_everything(&mut self) -> Result<()>;
    /// Removes the environment, keeps the caches.
    fn remove_environment(&mut self) -> Result<()>;
    /// How many packages the environment holds.
    fn installed(&self) -> Result<usize>;
}

/// aienv with a home of its own.
pub struct Aienv {
    home: PathBuf,
    manifest: PathBuf,
    python: PathBuf,
    /// Of the interpreter, such as `3.12`.
    python_version: String,
    index: Option<String>,
    torch_index: String,
}

impl Aienv {
    /// Writes the manifest of the set into `room`.
    pub fn new(
        room: &Path,
        set: &Set,
        python: &Path,
        index: Option<&str>,
        torch_index: &str,
    ) -> Result<Self> {
        let manifest = room.join("bench.toml");
        fs::write(&manifest, set.manifest())?;
        Ok(Self {
            home: room.join("home"),
            manifest,
            python: python.to_owned(),
            python_version: short_version(python)?,
            index: index.map(str::to_owned),
            torch_index: torch_index.to_owned(),
        })
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(AIENV);
        command
            .args([verb, "--quiet", "--python-preference", "system"])
            .args(["--python", &self.python_version])
            .env("AIENV_HOME", &self.home)
            .env("AIENV_TORCH_MIRROR", &self.torch_index)
            .env_remove("PIP_FIND_LINKS");
        // The interpreter that uv is given, first on PATH.
        let folder = self.python.parent().map(Path::to_owned);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = folder.into_iter().chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(path) {
            command.env("PATH", path);
        }
        if let Some(index) = &self.index {
            command.env("AIENV_INDEX_URL", index);
        }
        command
    }
}

impl Contestant for Aienv {
    fn resolve(&self) -> Command {
        let mut command = self.command("lock");
        command.arg(&self.manifest).arg("-o");
        command.arg(self.manifest.with_file_name("pylock.toml"));
        command
    }

    fn install(&self) -> Command {
        let mut command = self.command("install");
        // uv does not start what it installed.
        command.arg("--no-check").arg(&self.manifest);
        command
    }

    fn forget_everything(&mut self) -> Result<()> {
        remove_all(&self.home)
    }

    fn remove_environment(&mut self) -> Result<()> {
        let mut command = Command::new(AIENV);
        command
            .args(["remove", "--quiet", "--purge", "bench"])
            .env("AIENV_HOME", &self.home);
        measure::run(command)?;
        // The prefix may stay until the next collection; here it has to be made again.
        remove_all(&self.home.join("prefixes"))
    }

    fn installed(&self) -> Result<usize> {
        Ok(count_packages(&self.home.join("prefixes")))
    }
}

/// uv with a cache of its own.
pub struct Uv {
    program: PathBuf,
    cache: PathBuf,
    environment: PathBuf,
    requirements: PathBuf,
    python: PathBuf,
    index: Option<String>,
}

impl Uv {
    /// Writes the requirements of the set into `room`.
    pub fn new(
        room: &Path,
        set: &Set,
        python: &Path,
        index: Option<&str>,
        program: &Path,
    ) -> Result<Self> {
        let requirements = room.join("requirements.in");
        fs::write(&requirements, set.requirements.join("\n"))?;
        Ok(Self {
            program: program.to_owned(),
            cache: room.join("uv-cache"),
            environment: room.join("environment"),
            requirements,
            python: python.to_owned(),
            index: index.map(str::to_owned),
        })
    }

    fn configured<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("UV_CACHE_DIR", &self.cache)
            .env("UV_NO_CONFIG", "1")
            .env("UV_PYTHON_DOWNLOADS", "never")
            .env_remove("VIRTUAL_ENV");
        if let Some(index) = &self.index {
            command.env("UV_DEFAULT_INDEX", index);
        }
        command
    }
}

impl Contestant for Uv {
    fn resolve(&self) -> Command {
        let mut command = Command::new(&self.program);
        self.configured(&mut command)
            .args([
                "pip",
                "compile",
                "--quiet",
                "--only-binary",
                ":all:",
                "--python",
            ])
            .arg(&self.python)
            .arg("--output-file")
            .arg(self.requirements.with_extension("txt"))
            .arg("--generate-hashes")
            .arg("--upgrade")
            .arg(&self.requirements);
        command
    }

    /// Environment and packages in one process tree, since that is what aienv does.
    fn install(&self) -> Command {
        let mut command = if cfg!(windows) {
            let mut command = Command::new("cmd");
            command.args([
                "/c",
                "\"%UV%\" venv --quiet --python \"%PY%\" \"%ENV%\" && \"%UV%\" pip install \
                 --quiet --only-binary :all: --python \"%ENV%\" -r \"%REQ%\"",
            ]);
            command
        } else {
            let mut command = Command::new("/bin/sh");
            command.args([
                "-c",
                "\"$UV\" venv --quiet --python \"$PY\" \"$ENV\" && \"$UV\" pip install \
                 --quiet --only-binary :all: --python \"$ENV\" -r \"$REQ\"",
            ]);
            command
        };
        self.configured(&mut command)
            .env("UV", &self.program)
            .env("PY", &self.python)
            .env("ENV", &self.environment)
            .env("REQ", &self.requirements);
        command
    }

    fn forget_everything(&mut self) -> Result<()> {
        remove_all(&self.cache)?;
        remove_all(&self.environment)
    }

    fn remove_environment(&mut self) -> Result<()> {
        remove_all(&self.environment)
    }

    fn installed(&self) -> Result<usize> {
        Ok(count_packages(&self.environment))
    }
}

fn short_version(python: &Path) -> Result<String> {
    let code = "import sys; print('%d.%d' % sys.version_info[:2])";
    let output = Command::new(python).args(["-c", code]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Removes a folder, read-only parts included; one that is not there is removed already.
fn remove_all(folder: &Path) -> Result<()> {
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

fn count_packages(folder: &Path) -> usize {
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    let packages = entries.filter(|entry| {
        entry.file_type().is_dir() && entry.file_name().to_string_lossy().ends_with(".dist-info")
    });
    packages.count()
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
