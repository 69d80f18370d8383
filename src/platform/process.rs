//! Processes of others: is it still the same one, and how is it asked to end.
//!
//! A process id is used again after its process has ended, so an id alone is never trusted: it is
//! kept together with an [`identity`], which no later process of the same id shares.

use std::{
    io::{self, Read},
    process::{Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// What became of a program that was given a time.
#[derive(Debug)]
pub struct Ended {
    /// How it ended; `None` when its time was over and it was ended.
    pub status: Option<ExitStatus>,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

/// Runs a program to its end, or ends it and all it started when `limit` has passed. Standard
/// input is empty; of each output stream the first `most` bytes are kept and the rest is read and
/// dropped.
///
/// # Errors
/// It cannot be started.
pub fn run_within(command: &mut Command, limit: Duration, most: u64) -> io::Result<Ended> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    lead_group(command);
    let mut child = command.spawn()?;
    let stdout = read_aside(child.stdout.take(), most);
    let stderr = read_aside(child.stderr.take(), most);
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if Instant::now() < deadline => thread::sleep(pause),
            None => {
                signal_group(child.id(), Signal::Kill);
                let _ = child.kill();
                child.wait()?;
                break None;
            }
        }
        // A quick answer is noticed at once, a slow one costs no processor time.
        pause = (pause * 2).min(Duration::from_millis(20));
    };
    // A grandchild may hold the pipe open; what came until then is enough.
    let patience = Duration::from_secs(1);
    Ok(Ended {
        status,
        stdout: stdout.recv_timeout(patience).unwrap_or_default(),
        stderr: stderr.recv_timeout(patience).unwrap_or_default(),
    })
}

fn read_aside(pipe: Option<impl Read + Send + 'static>, most: u64) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(most).read_to_end(&mut bytes);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        let _ = sender.send(bytes);
    });
    receiver
}

/// How a process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// As by Ctrl-C.
    Interrupt,
    /// Please end.
    Terminate,
    /// The terminal is gone.
    HangUp,
    /// Ended by the system, unasked.
    Kill,
}

/// Text that is the same for the life of a process and differs from that of any later process
/// with the same id; `None` when there is no such process (or only its remains are left).
pub fn identity(pid: u32) -> Option<String> {
    os::identity(pid)
}

/// Makes the command the leader of a process group of its own, so that a signal reaches it and
/// all it starts, and Ctrl-C in the terminal does not.
pub fn lead_group(command: &mut Command) {
    os::lead_group(command);
}

/// Sends a signal to a process started with [`lead_group`] and to all it started.
/// Whether there was anybody to send it to.
pub fn signal_group(pid: u32, signal: Signal) -> bool {
    os::signal_group(pid, signal)
}

/// The exit code a shell would show for this status: 128 plus the signal for a death by signal.
pub fn shell_code(status: std::process::ExitStatus) -> i32 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return 128 + signal;
    }
    status.code().unwrap_or(1)
}

/// The last lines of what a program printed, indented, for an error to show.
pub fn last_lines(printed: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(printed);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|line| format!("  {line}\n"))
        .collect()
}

#[cfg(unix)]
mod os {
    use std::{os::unix::process::CommandExt as _, process::Command};

    use super::Signal;

    #[cfg(target_os = "linux")]
    pub(super) fn identity(pid: u32) -> Option<String> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        super::start_in_stat(&stat).map(|ticks| format!("{}/{ticks}", boot.trim()))
    }

    #[cfg(target_os = "macos")]
    pub(super) fn identity(pid: u32) -> Option<String> {
        let pid = i32::try_from(pid).ok()?;
        let mut info = std::mem::MaybeUninit::<libc::proc_bsdinfo>::zeroed();
        let size = i32::try_from(size_of::<libc::proc_bsdinfo>()).ok()?;
        // SAFETY: the buffer is as large as is said.
        let written = unsafe {
            libc::proc_pidinfo(
                pid,
                libc::PROC_PIDTBSDINFO,
                0,
                info.as_mut_ptr().cast(),
                size,
            )
        };
        if written != size {
            return None;
        }
        // SAFETY: the call said that it filled the whole structure, which is plain numbers.
        let info = unsafe { info.assume_init() };
        (info.pbi_status != libc::SZOMB)
            .then(|| format!("{}.{}", info.pbi_start_tvsec, info.pbi_start_tvusec))
    }

    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    pub(super) fn identity(pid: u32) -> Option<String> {
        let pid = i32::try_from(pid).ok()?;
        // SAFETY: signal 0 only asks whether the process exists.
        (unsafe { libc::kill(pid, 0) } == 0).then(String::new)
    }

    pub(super) fn lead_group(command: &mut Command) {
        command.process_group(0);
    }

    pub(super) fn signal_group(pid: u32, signal: Signal) -> bool {
        let Some(group) = i32::try_from(pid).ok().filter(|&pid| pid > 1) else {
            return false;
        };
        let number = match signal {
            Signal::Interrupt => libc::SIGINT,
            Signal::Terminate => libc::SIGTERM,
            Signal::HangUp => libc::SIGHUP,
            Signal::Kill => libc::SIGKILL,
        };
        // SAFETY: the call takes two numbers; the group is never 0 or 1, which would mean this
        // process's own group or everybody.
        unsafe { libc::kill(-group, number) == 0 }
    }
}

#[cfg(windows)]
mod os {
    use std::{os::windows::process::CommandExt as _, process::Command};

    use windows_sys::Win32::{
        Foundation::{CloseHandle, FILETIME, STILL_ACTIVE},
        System::{
            Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent},
            Threading::{
                CREATE_NEW_PROCESS_GROUP, GetExitCodeProcess, GetProcessTimes, OpenProcess,
                PROCESS_QUERY_LIMITED_INFORMATION,
            },
        },
    };

    use super::Signal;

    pub(super) fn identity(pid: u32) -> Option<String> {
        let mut created = FILETIME::default();
        let mut others = [FILETIME::default(); 3];
        let [ended, kernel, user] = &mut others;
        let mut code = 0;
        // SAFETY: the handle is checked, used and closed here; the pointers are to live values.
        let known = unsafe {
            let process = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, pid);
            if process.is_null() {
                return None;
            }
            let known = GetExitCodeProcess(process, &raw mut code) != 0
                && GetProcessTimes(process, &raw mut created, ended, kernel, user) != 0;
            CloseHandle(process);
            known
        };
        (known && code == STILL_ACTIVE.cast_unsigned())
            .then(|| format!("{}.{}", created.dwHighDateTime, created.dwLowDateTime))
    }

    pub(super) fn lead_group(command: &mut Command) {
        command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    }

    pub(super) fn signal_group(pid: u32, signal: Signal) -> bool {
        if signal == Signal::Interrupt {
            // A group of its own does not hear Ctrl-C; Ctrl-Break is what can be sent to it.
            // SAFETY: the call takes two numbers.
            return unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, pid) != 0 };
        }
        // The system's own program is the one thing that ends a process with all it started.
        let Some(root) = std::env::var_os("SystemRoot") else {
            return false;
        };
        let mut command = Command::new(std::path::Path::new(&root).join("System32/taskkill.exe"));
        command.args(["/T", "/PID", &pid.to_string()]);
        if signal == Signal::Kill {
            command.arg("/F");
        }
        command.output().is_ok_and(|output| output.status.success())
    }
}

/// Start time in `/proc/<pid>/stat` (`proc_pid_stat(5)`, field 22); `None` for a process that has
/// ended but was not yet waited for. The name in field 2 may hold anything, so counting starts
/// after its closing parenthesis.
#[cfg(any(target_os = "linux", test))]
fn start_in_stat(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn start_times_are_read_past_any_name() {
        let stat = |state: &str| {
            format!("7 (a) S 1 (b) {state} 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 8242 9 9")
        };
        assert_eq!(start_in_stat(&stat("S")), Some(8242));
        assert_eq!(start_in_stat(&stat("Z")), None);
        assert_eq!(start_in_stat("7 (cut"), None);
    }

    #[test]
    fn a_process_keeps_its_identity_until_it_ends() {
        let own = identity(std::process::id()).unwrap();
        assert_eq!(identity(std::process::id()).as_deref(), Some(own.as_str()));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg("--list")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        assert!(child.wait().unwrap().success());
        assert_ne!(identity(pid), Some(own));
        assert_eq!(identity(u32::MAX - 7), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_program_is_given_its_time_and_no_more() {
        let shell = |script: &str, limit| {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", script]);
            run_within(&mut command, limit, 4).unwrap()
        };
        let hour = Duration::from_secs(3600);
        let ended = shell("echo abcdefgh; echo no >&2; exit 3", hour);
        assert_eq!(ended.status.unwrap().code(), Some(3));
        assert_eq!(
            (&ended.stdout[..], &ended.stderr[..]),
            (&b"abcd"[..], &b"no\n"[..])
        );
        // More than a pipe holds, from a child of the child.
        let ended = shell("(yes | head -c 1000000)", hour);
        assert!(ended.status.unwrap().success());
        let ended = shell("echo a; sleep 3600 & wait", Duration::from_millis(50));
        assert!(ended.status.is_none());
    }
}
