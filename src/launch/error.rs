//! What can go wrong between an installed tool and a running one.

use std::{io, path::PathBuf};

use aienv_shim::{RecordError, StartError};

use crate::error::UserError;

/// A tool could not be made ready to start, started, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No launch record of such a tool.
    #[error("the tool `{tool}` is not installed")]
    NotInstalled {
        /// The name that was given.
        tool: String,
        /// The nearest names that are.
        near: Vec<String>,
    },
    /// No shim of that name.
    #[error("no installed tool has a command `{command}`")]
    NoCommand {
        /// The name that was given.
        command: String,
    },
    /// The tool has several commands, none of which is the default.
    #[error("`{tool}` has no default command")]
    NoDefault {
        /// The tool.
        tool: String,
        /// Its commands.
        commands: Vec<String>,
    },
    /// Only services can be detached or started twice.
    #[error("`{command}` of `{tool}` is not a service")]
    NotAService {
        /// The tool.
        tool: String,
        /// The command.
        command: String,
    },
    /// A launch record is not what aienv writes.
    #[error("the launch record `{path}` cannot be used")]
    Record {
        /// The record.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: RecordError,
    },
    /// A placeholder of a manifest is not known or has no value for this tool.
    #[error("`{text}` of the command `{command}` has the placeholder `{{{placeholder}}}`, {why}")]
    Placeholder {
        /// The command.
        command: String,
        /// The text.
        text: String,
        /// The placeholder.
        placeholder: String,
        /// Why it has no value.
        why: &'static str,
    },
    /// A command without a program, or whose name cannot be a file name.
    #[error("the command `{command}` of `{tool}` {why}")]
    BadCommand {
        /// The tool.
        tool: String,
        /// The command.
        command: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A value that a launch record cannot carry: it has a NUL byte, or a name with `=`.
    #[error("the environment or the paths of `{command}` hold something no program can be given")]
    Unwritable {
        /// The command.
        command: String,
        /// What is wrong.
        #[source]
        source: RecordError,
    },
    /// The tool could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A service ended before it answered.
    #[error("{title} ended before it was ready ({how})")]
    EndedEarly {
        /// The tool.
        tool: String,
        /// Its name as people know it.
        title: String,
        /// Exit code or signal.
        how: String,
        /// The last lines it wrote.
        tail: String,
    },
    /// A file or folder could not be read or written.
    #[error("cannot {doing} `{path}`")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The service did not end, not even when killed.
    #[error("`{tool}` (process {pid}) could not be stopped")]
    WillNotStop {
        /// The tool.
        tool: String,
        /// The process.
        pid: u32,
    },
    /// A value cannot be written in the language of a shell.
    #[error("the value of `{name}` has a line break, which {shell} cannot express")]
    Unquotable {
        /// The variable.
        name: String,
        /// The shell.
        shell: &'static str,
    },
    /// The asynchronous runtime could not be set up.
    #[error("the service cannot be watched")]
    Runtime(#[source] io::Error),
}

impl LaunchError {
    /// An adapter for `map_err`.
    pub(crate) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}

impl UserError for LaunchError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotInstalled { .. } => "launch.not-installed",
            Self::NoCommand { .. } => "launch.no-command",
            Self::NoDefault { .. } => "launch.no-default",
            Self::NotAService { .. } => "launch.not-a-service",
            Self::Record { .. } => "launch.record",
            Self::Placeholder { .. } => "launch.placeholder",
            Self::BadCommand { .. } => "launch.bad-command",
            Self::Unwritable { .. } => "launch.unwritable",
            Self::Start(StartError::PortBusy(_)) => "launch.port-busy",
            Self::Start(_) => "launch.start",
            Self::EndedEarly { .. } => "launch.ended-early",
            Self::Io { .. } => "launch.io",
            Self::WillNotStop { .. } => "launch.will-not-stop",
            Self::Unquotable { .. } => "launch.unquotable",
            Self::Runtime(_) => "launch.runtime",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotInstalled { tool, near } if near.is_empty() => Some(format!(
                "`aienv install {tool}` installs it; `aienv list --installed` shows what is \
                     there"
            )),
            Self::NotInstalled { near, .. } => Some(format!("did you mean {}?", listed(near))),
            Self::NoCommand { .. } => {
                Some("`aienv list --installed` shows what is installed".to_owned())
            }
            Self::NoDefault { commands, .. } => Some(format!("name one of {}", listed(commands))),
            Self::NotAService { .. } => {
                Some("leave out `--detach` and `--another`, which are for services".to_owned())
            }
            Self::Record { .. } => Some("run `aienv repair` for the tool".to_owned()),
            Self::Start(error) => Some(error.hint()),
            Self::EndedEarly { tool, tail, .. } => Some(match tail.is_empty() {
                true => format!("`aienv logs {tool}` shows what it wrote"),
                false => format!("the last lines of `aienv logs {tool}` are:\n{tail}"),
            }),
            Self::Placeholder { .. }
            | Self::BadCommand { .. }
            | Self::Unwritable { .. }
            | Self::Io { .. }
            | Self::WillNotStop { .. }
            | Self::Unquotable { .. }
            | Self::Runtime(_) => None,
        }
    }

    fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::NotInstalled { .. }
                | Self::NoCommand { .. }
                | Self::NoDefault { .. }
                | Self::NotAService { .. }
        )
    }
}

/// `` `a`, `b` or `c` ``.
fn listed(names: &[String]) -> String {
    let mut quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.pop() {
        Some(last) if quoted.is_empty() => last,
        Some(last) => format!("{} or {last}", quoted.join(", ")),
        None => String::new(),
    }
}
