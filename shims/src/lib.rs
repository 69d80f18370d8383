//! The launch record and the launcher that replaces itself with the tool.
//!
//! A shim `bin/<command>` is the aienv binary under another name. Started under that name, it
//! reads the record `bin/.launch/<command>`, puts the environment in order and becomes the tool:
//! no manifest is parsed, no Python runs, nothing is forked (Unix). Everything that costs time was
//! done when the tool was installed; what is left is one small file, a few `stat` calls and
//! `execve`. That is why this crate has no dependencies: it is on the way of every start of every
//! tool.
//!
//! - [`LaunchRecord`] is the record and its text format.
//! - [`Environment`] says what changes in the environment, [`Environment::apply`] does it.
//! - [`Endpoint`] is where a service will listen.
//! - [`exec`] becomes the tool, [`run_if_shim`] finds out whether it should.

mod endpoint;
mod environment;
mod exec;
mod record;
mod shim;
mod text;

pub use endpoint::{Endpoint, PortBusy, is_free};
pub use environment::Environment;
pub use exec::{StartError, command, exec, replace};
pub use record::{FORMAT, InterpreterCheck, LaunchRecord, RecordError, RecordProblem, Service};
pub use shim::run_if_shim;

/// On Windows a launcher `name.exe` with a script `name-script.py` beside it starts the script with
/// the `python.exe` beside them: how the scripts of an environment are commands there.
pub const SCRIPT_SUFFIX: &str = "-script.py";

/// Folder below `bin/` that holds the launch records.
pub const RECORDS_DIR: &str = ".launch";
