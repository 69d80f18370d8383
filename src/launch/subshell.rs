//! The user's own shell in the environment of a tool.
//!
//! The environment is set for the process, but the user's start-up files run after that and may
//! put another Python first on PATH (conda and pyenv do). An interactive shell is therefore told
//! once more when they are through: bash and zsh by start-up files of ours that read the user's
//! first, fish and PowerShell by an argument.

use std::{
    ffi::OsString,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use aienv_shim::LaunchRecord;

use super::{
    LaunchError,
    shell::{Shell, changes, posix_quoted},
};

/// The program of the user's shell.
pub fn program() -> PathBuf {
    let named = |variable| std::env::var_os(variable).filter(|value| !value.is_empty());
    let found: OsString = match Shell::detect() {
        Shell::Cmd => named("COMSPEC").unwrap_or_else(|| "cmd.exe".into()),
        Shell::Powershell if cfg!(windows) => {
            which::which("pwsh").map_or_else(|_| "powershell.exe".into(), Into::into)
        }
        _ => named("SHELL").unwrap_or_else(|| "/bin/sh".into()),
    };
    found.into()
}

/// Becomes a shell with the environment of a tool (on Windows: runs it).
///
/// # Errors
/// It could not be started.
pub fn enter(program: &Path, record: &LaunchRecord) -> Result<ExitCode, LaunchError> {
    let mut command = Command::new(program);
    record.environment.apply_to(&mut command);
    let shell = Shell::of_path(program).filter(|_| io::stdin().is_terminal());
    if let Some(shell) = shell {
        let current: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let code = changes(&record.environment, &current, Path::exists).render(shell)?;
        tell_again(&mut command, shell, &record.tool, &code)
            .map_err(LaunchError::io("write to", std::env::temp_dir()))?;
    }
    aienv_shim::replace(command).map_err(LaunchError::io("start", program))
}

/// Lets the shell run `code` after the user's start-up files.
fn tell_again(command: &mut Command, shell: Shell, tool: &str, code: &[u8]) -> io::Result<()> {
    let text = || String::from_utf8_lossy(code).into_owned();
    match shell {
        Shell::Bash if Path::new(command.get_program()).ends_with("bash") => {
            let folder = tempfile::Builder::new().prefix("aienv-").tempdir()?.keep();
            let file = folder.join("bashrc");
            std::fs::write(&file, bash_start_up(&folder, tool, code))?;
            command.arg("--rcfile").arg(file);
        }
        Shell::Zsh => {
            let folder = tempfile::Builder::new().prefix("aienv-").tempdir()?.keep();
            let (environment, start_up) = zsh_start_up(&folder, tool, code);
            std::fs::write(folder.join(".zshenv"), environment)?;
            std::fs::write(folder.join(".zshrc"), start_up)?;
            if let Some(before) = std::env::var_os("ZDOTDIR") {
                command.env("AIENV_ZDOTDIR", before);
            }
            command.env("ZDOTDIR", folder);
        }
        Shell::Fish => {
            command.args(["-C", &text()]);
        }
        Shell::Powershell => {
            command.args(["-NoExit", "-Command", &text()]);
        }
        Shell::Bash | Shell::Cmd => {}
    }
    Ok(())
}

/// The files remove themselves: nothing of aienv is left that could do it later.
fn removal(folder: &Path) -> Vec<u8> {
    [
        b"command rm -rf -- ",
        posix_quoted(folder.as_os_str()).as_slice(),
        b"\n",
    ]
    .concat()
}

fn bash_start_up(folder: &Path, tool: &str, code: &[u8]) -> Vec<u8> {
    [
        removal(folder).as_slice(),
        b"[ -r /etc/bash.bashrc ] && . /etc/bash.bashrc\n",
        b"[ -r ~/.bashrc ] && . ~/.bashrc\n",
        code,
        format!("PS1=\"({tool}) $PS1\"\n").as_bytes(),
    ]
    .concat()
}

fn zsh_start_up(folder: &Path, tool: &str, code: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let users = b"ZDOTDIR=${AIENV_ZDOTDIR:-$HOME}\n".as_slice();
    let source = |file| format!("[[ -r $ZDOTDIR/{file} ]] && . $ZDOTDIR/{file}\n").into_bytes();
    let environment = [
        users,
        &source(".zshenv"),
        b"ZDOTDIR=",
        &posix_quoted(folder.as_os_str()),
        b"\n",
    ];
    let start_up = [
        removal(folder).as_slice(),
        users,
        &source(".zshrc"),
        // Without one before, zsh falls back to the home folder by itself.
        b"[[ -n $AIENV_ZDOTDIR ]] || unset ZDOTDIR\nunset AIENV_ZDOTDIR\n",
        code,
        format!("PS1=\"({tool}) $PS1\"\n").as_bytes(),
    ]
    .concat();
    (environment.concat(), start_up)
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bash_hears_the_tool_after_the_users_own_files() {
        let Ok(bash) = which::which("bash") else {
            eprintln!("skipped: there is no bash");
            return;
        };
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("it's temporary");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(
            root.path().join(".bashrc"),
            "export WHO=user MORE=user; PS1='user> '\n",
        )
        .unwrap();
        let file = folder.join("bashrc");
        std::fs::write(
            &file,
            bash_start_up(&folder, "sketch", b"export WHO=tool\n"),
        )
        .unwrap();
        let output = Command::new(bash)
            .args(["--noprofile", "--rcfile"])
            .arg(&file)
            .args(["-i", "-c", "printf '%s|%s|%s' \"$WHO\" \"$MORE\" \"$PS1\""])
            .env("HOME", root.path())
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "tool|user|(sketch) user> "
        );
        assert!(!folder.exists());
    }
}
