//! The two that are compared: their command lines, caches and environments.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    Result,
    programs::{AIENV, remove_all},
    sets::Set,
    succeed,
};

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
        succeed(command)?;
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

fn count_packages(folder: &Path) -> usize {
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    let packages = entries.filter(|entry| {
        entry.file_type().is_dir() && entry.file_name().to_string_lossy().ends_with(".dist-info")
    });
    packages.count()
}
