//! Starting tools: launch records, shims, services, sanitised environments.
//!
//! Installing a tool ends here: [`record::build`] turns its manifest and the place it was
//! installed to into launch records, [`shims::install`] writes them and the shims that read them.
//! Starting it begins here: [`load`] reads the records back, [`choose`] finds the command that is
//! meant and [`start`] starts it. What a start does to the environment is decided once, in
//! [`rules`], and applied by the shim's own code, so that `bin/<command>`, `aienv run`,
//! `aienv shell` and `aienv env` cannot differ.
//!
//! ```text
//! bin/<command>                    the shim: a hard link to the aienv binary
//! bin/.launch/<command>            the record it reads
//! bin/.launch/.tools/<tool>/       records of every command of a tool, taken names included
//! bin/.launch/.shim-<digest>       the aienv binary the shims are links to
//! run/<tool>.{json,log,log.1}      a running service: its state and its output
//! ```

mod error;
pub mod health;
pub mod logs;
pub mod record;
mod records;
pub mod rules;
pub mod services;
pub mod shell;
pub mod shims;
pub mod subshell;
mod supervise;

use std::{ffi::OsString, process::ExitCode};

pub use aienv_shim::LaunchRecord;
pub use error::LaunchError;
pub use records::{choose, installed_tools, load, of_command};

use crate::{home::Home, progress::Progress};

/// Who a service's output goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The terminal and the log; aienv stays until the service ends.
    #[default]
    Foreground,
    /// The log alone; aienv ends once the service is ready.
    Detached,
}

/// How a command is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartOptions {
    /// Who a service's output goes to.
    pub mode: Mode,
    /// Start a service although it runs already.
    pub another: bool,
}

/// Starts a command of an installed tool.
///
/// A plain command replaces this process (on Windows: runs as a child) and this function does not
/// return. A service is watched: its output is kept, its readiness is told through `progress`.
///
/// # Errors
/// It could not be started, or a service ended before it was ready.
pub fn start(
    home: &Home,
    record: &LaunchRecord,
    arguments: &[OsString],
    options: StartOptions,
    progress: &dyn Progress,
) -> Result<ExitCode, LaunchError> {
    // The tool has the terminal from here on.
    progress.clear();
    match &record.service {
        Some(service) => supervise::run(home, record, service, arguments, options, progress),
        None if options.mode == Mode::Detached || options.another => {
            Err(LaunchError::NotAService {
                tool: record.tool.clone(),
                command: record.command.clone(),
            })
        }
        None => Ok(aienv_shim::exec(record, arguments)?),
    }
}
