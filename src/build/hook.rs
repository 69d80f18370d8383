//! Calls the hooks of a build backend (PEP 517), each in a process of its own.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    process::{Command, Stdio},
};

use serde::de::DeserializeOwned;

use super::BuildSystem;
use crate::{platform, prefix::Prefix};

const SCRIPT: &str = include_str!("hook.py");
/// File below the workspace that holds everything the hooks printed.
pub const LOG: &str = "build.log";
/// Lines of output that go into an error.
const SHOWN: usize = 20;

/// What calls of one build have in common.
pub struct Call<'a> {
    /// The backend.
    pub system: &'a BuildSystem,
    /// A folder for scripts, answers and logs.
    pub workspace: &'a Path,
    /// The source tree; the current folder of every hook.
    pub source: &'a Path,
    /// Whether hooks may use the network.
    pub network: bool,
}

/// A hook failed.
#[derive(Debug)]
pub struct HookError {
    /// The end of what it printed.
    pub output: String,
    /// Why it could not be run or its answer not be read.
    pub source: Option<io::Error>,
}

impl From<io::Error> for HookError {
    fn from(source: io::Error) -> Self {
        Self {
            output: String::new(),
            source: Some(source),
        }
    }
}

impl Call<'_> {
    /// Calls one hook and reads its answer.
    pub fn run<T: DeserializeOwned>(
        &self,
        environment: &Prefix,
        hook: &str,
        arguments: &serde_json::Value,
    ) -> Result<T, HookError> {
        let script = self.workspace.join("hook.py");
        fs::write(&script, SCRIPT)?;
        let result = self.workspace.join("answer.json");
        let log_path = self.workspace.join(LOG);
        let log = File::options().create(true).append(true).open(&log_path)?;
        let call = serde_json::json!({
            "backend": self.system.backend,
            "backend_path": self.system.backend_path,
            "hook": hook,
            "arguments": arguments,
            "result": result,
        });
        let mut child = self
            .command(environment, &script)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(call.to_string().as_bytes())?;
        }
        if !child.wait()?.success() {
            return Err(HookError {
                output: last_lines(&log_path),
                source: None,
            });
        }
        let answer = fs::read_to_string(&result)?;
        serde_json::from_str(&answer).map_err(|error| HookError {
            output: last_lines(&log_path),
            source: Some(io::Error::new(io::ErrorKind::InvalidData, error)),
        })
    }

    fn command(&self, environment: &Prefix, script: &Path) -> Command {
        let mut command = Command::new(environment.python());
        // Isolated: neither the user's packages nor PYTHON* variables reach the build.
        command.arg("-I").arg(script).current_dir(self.source);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let foreign = ["PYTHON", "PIP_", "UV_", "CONDA", "VIRTUAL_ENV"];
            if foreign.iter().any(|prefix| text.starts_with(prefix)) {
                command.env_remove(&name);
            }
        }
        let mut path = environment.bin().into_os_string();
        if let Some(inherited) = std::env::var_os("PATH") {
            path.push(if cfg!(windows) { ";" } else { ":" });
            path.push(inherited);
        }
        // 1980-01-01, the first time a zip can hold: the same source gives the same wheel.
        command
            .env("PATH", path)
            .env("SOURCE_DATE_EPOCH", "315532800");
        if !self.network {
            platform::without_network(&mut command);
        }
        command
    }
}

fn last_lines(log: &Path) -> String {
    platform::process::last_lines(&fs::read(log).unwrap_or_default(), SHOWN)
}
