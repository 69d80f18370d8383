//! Finding out whether this process is a shim, and of what.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{LaunchRecord, RECORDS_DIR, exec::exec};

/// When this process was started under the name of a shim, becomes the tool; `None` otherwise.
///
/// A name that begins with `aienv` and has no launch record is the manager itself, however its
/// file was renamed. Any other name without a record is an error told on standard error, with
/// exit code 127.
pub fn run_if_shim() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let argv0 = own_name(arguments.next()?);
    let name = command_name(&argv0)?;
    if name.eq_ignore_ascii_case("aienv") {
        return None;
    }
    let record = match find_record(&argv0, name) {
        Ok(record) => record,
        Err(problem) => return Some(fail(&problem, 126, "run `aienv repair --all`")),
    };
    let Some(record) = record else {
        #[cfg(windows)]
        if let Some(code) = script::run_beside(Path::new(&argv0), name, arguments) {
            return Some(code);
        }
        if name.to_string_lossy().starts_with("aienv") {
            return None;
        }
        let name = name.display();
        let message = format!("`{name}` is a shim of aienv, but its launch record is missing");
        let hint = "run `aienv repair` for the tool it belongs to, or remove this file";
        return Some(fail(&message, 127, hint));
    };
    let arguments: Vec<OsString> = arguments.collect();
    Some(exec(&record, &arguments).unwrap_or_else(|error| {
        let mut message = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            message = format!("{message}\n  cause: {source}");
        }
        fail(&message, error.exit_code(), &error.hint())
    }))
}

/// The name this process was started under. On Unix that is the first argument, which knows the
/// links that led here. On Windows it is whatever was typed, even without the folder; the system
/// knows the file's whole name there.
fn own_name(argv0: OsString) -> OsString {
    if !cfg!(windows) {
        return argv0;
    }
    std::env::current_exe().map_or(argv0, PathBuf::into_os_string)
}

fn fail(message: &str, code: u8, hint: &str) -> ExitCode {
    eprintln!("error: {message}\n   hint: {hint}");
    ExitCode::from(code)
}

/// Scripts of an environment on Windows: `name.exe` starts `name-script.py` with `python.exe`, all
/// three in one folder.
#[cfg(windows)]
mod script {
    use std::{
        ffi::{OsStr, OsString},
        path::Path,
        process::{Command, ExitCode},
    };

    use super::fail;
    use crate::{SCRIPT_SUFFIX, exec::replace};

    /// Runs the script beside `launcher`; `None` if there is none.
    pub(super) fn run_beside(
        launcher: &Path,
        name: &OsStr,
        arguments: impl Iterator<Item = OsString>,
    ) -> Option<ExitCode> {
        let mut file_name = name.to_owned();
        file_name.push(SCRIPT_SUFFIX);
        let script = launcher.with_file_name(file_name);
        if !script.is_file() {
            return None;
        }
        let python = launcher.with_file_name("python.exe");
        let mut command = Command::new(&python);
        command.arg(&script).args(arguments);
        Some(replace(command).unwrap_or_else(|error| {
            let message = format!("`{}` could not be started: {error}", python.display());
            fail(
                &message,
                126,
                "run `aienv repair` for the tool it belongs to",
            )
        }))
    }
}

/// The name a program was started under, without the ending of executables.
fn command_name(argv0: &OsStr) -> Option<&OsStr> {
    let path = Path::new(argv0);
    match path.extension() {
        Some(ending) if cfg!(windows) && ending.eq_ignore_ascii_case("exe") => path.file_stem(),
        _ => path.file_name(),
    }
}

/// The record of the shim this process is. The message of a record that cannot be read.
fn find_record(argv0: &OsStr, name: &OsStr) -> Result<Option<LaunchRecord>, String> {
    for path in candidates(argv0, name) {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                return LaunchRecord::parse(&text).map(Some).map_err(|error| {
                    format!("the launch record `{}` is damaged: {error}", path.display())
                });
            }
            Err(error) if is_absence(&error) => {}
            Err(error) => {
                let path = path.display();
                return Err(format!(
                    "the launch record `{path}` cannot be read: {error}"
                ));
            }
        }
    }
    Ok(None)
}

fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Where the record may be, likeliest first: beside the shim as it was called (a path, or found on
/// PATH the way the shell did), then beside the file that really runs, for links to a shim.
fn candidates(argv0: &OsStr, name: &OsStr) -> impl Iterator<Item = PathBuf> {
    let beside = |folder: &Path, name: &OsStr| folder.join(RECORDS_DIR).join(name);
    let called: Vec<PathBuf> = match Path::new(argv0).parent() {
        Some(folder) if !folder.as_os_str().is_empty() => vec![beside(folder, name)],
        _ => std::env::var_os("PATH")
            .iter()
            .flat_map(std::env::split_paths)
            .map(|folder| beside(&folder, name))
            .collect(),
    };
    called.into_iter().chain(std::iter::from_fn({
        let mut asked = false;
        move || {
            if std::mem::replace(&mut asked, true) {
                return None;
            }
            let file = std::env::current_exe().ok()?.canonicalize().ok()?;
            Some(beside(file.parent()?, command_name(file.as_os_str())?))
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(command_name("/a b/hello".as_ref()), Some("hello".as_ref()));
        assert_eq!(command_name("hello.py".as_ref()), Some("hello.py".as_ref()));
        assert_eq!(command_name("".as_ref()), None);
        let exe = if cfg!(windows) { "hello" } else { "hello.exe" };
        assert_eq!(command_name("hello.exe".as_ref()), Some(exe.as_ref()));
    }
}
