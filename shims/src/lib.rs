//! The launch record and the launcher that replaces itself with the tool.

use std::process::ExitCode;

/// Folder below `bin/` that holds the launch records.
pub const RECORDS_DIR: &str = ".launch";

/// When this process was started under the name of a shim, becomes the tool; `None` otherwise.
pub fn run_if_shim() -> Option<ExitCode> {
    None
}
