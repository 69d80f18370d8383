//! Becoming the tool.
//!
//! On Unix the process is replaced (`execve`), so that signals, exit code, process id and terminal
//! are the tool's own. Windows knows no such thing: the tool is a child there, in a job that ends
//! with this process, its exit code is passed on, and Ctrl-C is left to it.

use std::{
    ffi::OsString,
    fmt, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::UNIX_EPOCH,
};

use crate::{
    endpoint::{Endpoint, PortBusy, is_free},
    record::{InterpreterCheck, LaunchRecord},
};

/// A tool could not be started.
#[derive(Debug)]
pub enum StartError {
    /// The interpreter of the machine that the tool was installed with is gone.
    InterpreterGone {
        /// The tool.
        tool: String,
        /// Where it was.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The interpreter of the machine that the tool was installed with is another one now.
    InterpreterChanged {
        /// The tool.
        tool: String,
        /// The interpreter.
        path: PathBuf,
    },
    /// The folder it is to be started in cannot be entered.
    Folder {
        /// The tool.
        tool: String,
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The program could not be started.
    Program {
        /// The tool.
        tool: String,
        /// The program.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The port that the user asked for is in use.
    PortBusy(PortBusy),
}

impl StartError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::InterpreterGone { tool, .. }
            | Self::InterpreterChanged { tool, .. }
            | Self::Folder { tool, .. }
            | Self::Program { tool, .. } => format!("run `aienv repair {tool}`"),
            Self::PortBusy(_) => "give another port, or none to get a free one".to_owned(),
        }
    }

    /// The exit code by the shell's convention: 127 when it is not there, 126 when it is there
    /// but cannot run.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::InterpreterGone { .. } => 127,
            Self::Program { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::PortBusy(_) => 1,
            _ => 126,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InterpreterGone { tool, path, .. } => write!(
                f,
                "the Python that `{tool}` was installed with is gone: `{}`",
                path.display()
            ),
            Self::InterpreterChanged { tool, path } => write!(
                f,
                "the Python that `{tool}` was installed with has changed since: `{}`",
                path.display()
            ),
            Self::Folder { tool, path, .. } => write!(
                f,
                "the folder that `{tool}` starts in cannot be entered: `{}`",
                path.display()
            ),
            Self::Program { tool, path, .. } => write!(
                f,
                "the program of `{tool}` could not be started: `{}`",
                path.display()
            ),
            Self::PortBusy(busy) => busy.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InterpreterGone { source, .. }
            | Self::Folder { source, .. }
            | Self::Program { source, .. } => Some(source),
            Self::InterpreterChanged { .. } | Self::PortBusy(_) => None,
        }
    }
}

impl InterpreterCheck {
    /// Notes what an interpreter is like now.
    ///
    /// # Errors
    /// The file cannot be looked at.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        let modified = metadata.modified()?;
        let nanoseconds = match modified.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos().cast_signed(),
            Err(before) => -before.duration().as_nanos().cast_signed(),
        };
        Ok(Self {
            path: path.to_owned(),
            size: metadata.len(),
            modified: nanoseconds,
        })
    }
}

/// The command line and environment of a start; `endpoint` for services.
///
/// # Errors
/// The interpreter or the folder is not what it was.
pub fn command(
    record: &LaunchRecord,
    user_arguments: &[OsString],
    endpoint: Option<&Endpoint>,
) -> Result<Command, StartError> {
    if let Some(expected) = &record.check {
        let found =
            InterpreterCheck::of(&expected.path).map_err(|source| StartError::InterpreterGone {
                tool: record.tool.clone(),
                path: expected.path.clone(),
                source,
            })?;
        if found != *expected {
            return Err(StartError::InterpreterChanged {
                tool: record.tool.clone(),
                path: expected.path.clone(),
            });
        }
    }
    let mut command = Command::new(&record.program);
    command.args(&record.arguments);
    record.environment.apply_to(&mut command);
    if let (Some(service), Some(endpoint)) = (&record.service, endpoint) {
        command.args(service.arguments.iter().map(|value| endpoint.fill(value)));
        for (name, value) in &service.environment {
            command.env(name, endpoint.fill(value));
        }
    }
    command.args(user_arguments);
    if let Some(folder) = &record.folder {
        // Looked at here because a start that fails cannot say whether folder or program is missing.
        std::fs::metadata(folder).map_err(|source| StartError::Folder {
            tool: record.tool.clone(),
            path: folder.clone(),
            source,
        })?;
        command.current_dir(folder);
    }
    Ok(command)
}

/// Becomes the tool. Returns only if that failed or, on Windows, when the tool has ended.
///
/// A service gets the declared port, or the next free one, which is said on standard error.
///
/// # Errors
/// The tool could not be started.
pub fn exec(record: &LaunchRecord, user_arguments: &[OsString]) -> Result<ExitCode, StartError> {
    let endpoint = match &record.service {
        Some(service) => {
            Some(Endpoint::choose(service, user_arguments, is_free).map_err(StartError::PortBusy)?)
        }
        None => None,
    };
    if let Some(Endpoint {
        port,
        instead_of: Some(wanted),
        ..
    }) = &endpoint
    {
        eprintln!(
            "port {wanted} is in use, {} starts on port {port}",
            record.title
        );
    }
    let command = command(record, user_arguments, endpoint.as_ref())?;
    replace(command).map_err(|source| StartError::Program {
        tool: record.tool.clone(),
        path: record.program.clone(),
        source,
    })
}

/// Becomes a program: replaces this process (Unix), or runs it and ends with its exit code.
///
/// # Errors
/// It could not be started.
#[cfg(unix)]
pub fn replace(mut command: Command) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(command.exec())
}

/// Becomes a program: replaces this process (Unix), or runs it and ends with its exit code.
///
/// # Errors
/// It could not be started.
#[cfg(windows)]
pub fn replace(mut command: Command) -> io::Result<ExitCode> {
    use std::os::windows::io::AsRawHandle as _;

    use windows_sys::Win32::{
        Foundation::HANDLE,
        System::{
            Console::SetConsoleCtrlHandler,
            JobObjects::{
                AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
                JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
                JobObjectExtendedLimitInformation, SetInformationJobObject,
            },
        },
    };

    /// Says that Ctrl-C was handled: it went to the child as well, which decides what it means.
    unsafe extern "system" fn leave_it_to_the_child(_event: u32) -> windows_sys::core::BOOL {
        1
    }

    // SAFETY: the handler is a plain function that lives as long as the process.
    unsafe { SetConsoleCtrlHandler(Some(leave_it_to_the_child), 1) };
    let mut child = command.spawn()?;
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags =
        JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_SILENT_BREAKAWAY_OK;
    // SAFETY: null means an unnamed job with default security; the structure outlives the call and
    // its size is passed; the child's handle is open. The job's handle is left open on purpose:
    // the job ends the child when this process ends, however it ends.
    unsafe {
        let job: HANDLE = CreateJobObjectW(std::ptr::null(), std::ptr::null());
        if !job.is_null() {
            SetInformationJobObject(
                job,
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                u32::try_from(size_of_val(&limits)).unwrap_or(0),
            );
            AssignProcessToJobObject(job, child.as_raw_handle());
        }
    }
    let status = child.wait()?;
    // All 32 bits of the code are passed on, which `ExitCode` cannot.
    std::process::exit(status.code().unwrap_or(1))
}
