//! The `aienv` binary: a shim when it is called by a tool's name, the command line otherwise.

use std::process::ExitCode;

fn main() -> ExitCode {
    // A shim is this very binary under the tool's name; nothing else may run before this check,
    // because it is on the path of every start of every tool.
    if let Some(code) = aienv_shim::run_if_shim() {
        return code;
    }
    aienv::cli::main()
}
