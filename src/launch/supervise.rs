//! Starting a service and staying with it.
//!
//! The service leads a process group of its own and reads nothing from the terminal. In the
//! foreground its output goes through aienv to the terminal and to the log, and Ctrl-C and
//! requests to end are passed on to the whole group; the second and third Ctrl-C are passed on as
//! well, the fourth kills. Detached, it writes to the log by itself and outlives aienv.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read, Write},
    process::{Child, ExitCode, ExitStatus, Stdio},
    sync::mpsc,
    time::Duration,
};

use aienv_shim::{Endpoint, LaunchRecord, Service, StartError, is_free};
use tokio::{sync::oneshot, time::Instant};

use super::{
    LaunchError, Mode, StartOptions, health, logs,
    services::{self, Running},
};
use crate::{
    home::Home,
    platform::process::{self, Signal, shell_code},
    progress::Progress,
};

/// Times Ctrl-C is passed on before the service is killed.
const PATIENT_INTERRUPTS: u32 = 3;

/// Lines of the log that an error shows.
const TAIL: usize = 20;

/// How long the last output of a service that has ended is waited for. A process it left behind
/// may hold the pipe open for ever.
const LAST_OUTPUT: Duration = Duration::from_secs(1);

/// Starts a service and stays until it ends (foreground) or is ready (detached).
pub(super) fn run(
    home: &Home,
    record: &LaunchRecord,
    service: &Service,
    arguments: &[OsString],
    options: StartOptions,
    progress: &dyn Progress,
) -> Result<ExitCode, LaunchError> {
    let lock = services::lock(home)?;
    let others = services::running(home)?;
    let same = |other: &&Running| other.tool == record.tool && other.command == record.command;
    if let Some(other) = others.iter().find(same).filter(|_| !options.another) {
        progress.note(&format!(
            "{} runs already: {} (process {}; `--another` starts a second one)",
            other.title, other.url, other.pid
        ));
        return Ok(ExitCode::SUCCESS);
    }
    // A service that is still starting does not listen yet, but its port is promised.
    let free = |port| is_free(port) && !others.iter().any(|other| other.port == port);
    let endpoint = Endpoint::choose(service, arguments, free).map_err(StartError::PortBusy)?;
    if let Some(wanted) = endpoint.instead_of {
        progress.note(&format!(
            "port {wanted} is in use, {} starts on port {}",
            record.title, endpoint.port
        ));
    }
    let instance = services::free_instance(&others, &record.tool);
    let log_path = logs::path(home, &instance);
    let log = logs::begin(&log_path)?;
    let mut child = spawn(record, arguments, &endpoint, options.mode, &log)?;
    let running = Running {
        instance,
        tool: record.tool.clone(),
        title: record.title.clone(),
        command: record.command.clone(),
        pid: child.id(),
        identity: process::identity(child.id()).unwrap_or_default(),
        host: endpoint.reach().to_owned(),
        port: endpoint.port,
        health: service.health.clone(),
        url: endpoint.url(&service.page),
        log: log_path,
        started_at: jiff::Timestamp::now(),
        ready: false,
    };
    if let Err(error) = running.save(home) {
        // A service nobody knows of could not be stopped.
        process::signal_group(running.pid, Signal::Kill);
        let _ = child.wait();
        return Err(error);
    }
    drop(lock);
    let watch = Watch {
        home,
        running,
        start_seconds: service.start_seconds.max(1),
        mode: options.mode,
        progress,
    };
    // On a thread of its own because the caller may be inside an asynchronous runtime already.
    std::thread::scope(|scope| scope.spawn(|| watch.stay(child, log)).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn spawn(
    record: &LaunchRecord,
    arguments: &[OsString],
    endpoint: &Endpoint,
    mode: Mode,
    log: &File,
) -> Result<Child, LaunchError> {
    let mut command = aienv_shim::command(record, arguments, Some(endpoint))?;
    command.stdin(Stdio::null());
    match mode {
        Mode::Foreground => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
        Mode::Detached => {
            let copy = || log.try_clone().map_err(LaunchError::Runtime);
            command.stdout(copy()?).stderr(copy()?)
        }
    };
    process::lead_group(&mut command);
    let failed = |source| StartError::Program {
        tool: record.tool.clone(),
        path: record.program.clone(),
        source,
    };
    Ok(command.spawn().map_err(failed)?)
}

struct Watch<'a> {
    home: &'a Home,
    running: Running,
    start_seconds: u64,
    mode: Mode,
    progress: &'a dyn Progress,
}

/// Why watching ended.
enum End {
    Exited(ExitStatus),
    Ready,
    Left,
}

impl Watch<'_> {
    fn stay(mut self, mut child: Child, log: File) -> Result<ExitCode, LaunchError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(LaunchError::Runtime)?;
        let (writing, written) = mpsc::channel::<()>();
        if let Some(output) = child.stdout.take() {
            copy(output, io::stdout(), &log, writing.clone());
        }
        if let Some(output) = child.stderr.take() {
            copy(output, io::stderr(), &log, writing.clone());
        }
        drop(writing);
        let (tell, exited) = oneshot::channel();
        std::thread::spawn(move || {
            let _ = tell.send(child.wait());
        });
        match runtime.block_on(self.watch(exited))? {
            End::Exited(status) => {
                // Both copies are done when their ends of the channel are gone.
                let _ = written.recv_timeout(LAST_OUTPUT);
                self.ended(status)
            }
            End::Ready => Ok(ExitCode::SUCCESS),
            End::Left => {
                let Running { title, tool, .. } = &self.running;
                self.progress.note(&format!(
                    "{title} goes on starting; `aienv logs -f {tool}` shows how far it is"
                ));
                Ok(ExitCode::from(130))
            }
        }
    }

    async fn watch(
        &mut self,
        mut exited: oneshot::Receiver<io::Result<ExitStatus>>,
    ) -> Result<End, LaunchError> {
        let mut signals = Signals::listen().map_err(LaunchError::Runtime)?;
        let patience = Duration::from_secs(self.start_seconds);
        let mut slow = Instant::now() + patience;
        let mut interrupts = 0;
        let (host, path) = (self.running.host.clone(), self.running.health.clone());
        let mut answer = std::pin::pin!(answer(&host, self.running.port, &path));
        loop {
            tokio::select! {
                status = &mut exited => {
                    let status = status.map_err(io::Error::other).flatten();
                    return status.map(End::Exited).map_err(LaunchError::Runtime);
                }
                () = &mut answer, if !self.running.ready => {
                    self.is_ready();
                    if self.mode == Mode::Detached {
                        return Ok(End::Ready);
                    }
                }
                () = tokio::time::sleep_until(slow), if !self.running.ready => {
                    slow += patience;
                    self.progress.note(&format!(
                        "{} has not answered on port {} yet, still waiting",
                        self.running.title, self.running.port
                    ));
                }
                signal = signals.next() => {
                    if self.mode == Mode::Detached {
                        return Ok(End::Left);
                    }
                    interrupts += u32::from(signal == Signal::Interrupt);
                    let signal = match interrupts > PATIENT_INTERRUPTS {
                        true => Signal::Kill,
                        false => signal,
                    };
                    process::signal_group(self.running.pid, signal);
                }
            }
        }
    }

    fn is_ready(&mut self) {
        self.running.ready = true;
        let Running { title, url, .. } = &self.running;
        self.progress.note(&format!("{title} is ready: {url}"));
        if let Err(error) = self.running.save(self.home) {
            tracing::warn!("{error}");
        }
    }

    fn ended(&self, status: ExitStatus) -> Result<ExitCode, LaunchError> {
        // What it started and left behind goes with it: workers that hold GPU memory, mostly.
        process::signal_group(self.running.pid, Signal::Terminate);
        self.running.forget(self.home);
        let Running { tool, title, .. } = &self.running;
        let early = !self.running.ready;
        if early && self.mode == Mode::Detached {
            return Err(LaunchError::EndedEarly {
                tool: tool.clone(),
                title: title.clone(),
                how: how(status),
                tail: logs::tail(&self.running.log, TAIL),
            });
        }
        // `--help` ends early too, and well. What it wrote is on the terminal already.
        if early && !status.success() && !is_interrupt(status) {
            self.progress.note(&format!(
                "{title} ended before it was ready ({})",
                how(status)
            ));
        }
        Ok(ExitCode::from(
            u8::try_from(shell_code(status)).unwrap_or(1),
        ))
    }
}

fn is_interrupt(status: ExitStatus) -> bool {
    matches!(shell_code(status), 130 | 143)
}

fn how(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("exit code {code}"),
        // The standard library's words for a death by signal.
        None => status.to_string(),
    }
}

/// Returns once the service answers.
async fn answer(host: &str, port: u16, path: &str) {
    let mut pause = Duration::from_millis(50);
    while !health::is_up(health::status(host, port, path).await) {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// Copies output to the terminal and to the log until it ends; then lets go of `_writing`.
fn copy(
    mut from: impl Read + Send + 'static,
    mut terminal: impl Write + Send + 'static,
    log: &File,
    writing: mpsc::Sender<()>,
) {
    let log = log.try_clone();
    std::thread::spawn(move || {
        let _until_done = writing;
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            // A terminal or disk that is gone must not stop the service.
            let _ = terminal
                .write_all(&buffer[..count])
                .and_then(|()| terminal.flush());
            if let Ok(mut log) = log.as_ref() {
                let _ = log.write_all(&buffer[..count]);
            }
        }
    });
}

/// Signals that are meant for the service.
struct Signals {
    #[cfg(unix)]
    unix: [(Signal, tokio::signal::unix::Signal); 3],
    #[cfg(windows)]
    ctrl_c: tokio::signal::windows::CtrlC,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            unix: [
                (Signal::Interrupt, signal(SignalKind::interrupt())?),
                (Signal::Terminate, signal(SignalKind::terminate())?),
                (Signal::HangUp, signal(SignalKind::hangup())?),
            ],
        })
    }

    #[cfg(windows)]
    fn listen() -> io::Result<Self> {
        Ok(Self {
            ctrl_c: tokio::signal::windows::ctrl_c()?,
        })
    }

    #[cfg(unix)]
    async fn next(&mut self) -> Signal {
        let [(a, first), (b, second), (c, third)] = &mut self.unix;
        tokio::select! {
            _ = first.recv() => *a,
            _ = second.recv() => *b,
            _ = third.recv() => *c,
        }
    }

    #[cfg(windows)]
    async fn next(&mut self) -> Signal {
        self.ctrl_c.recv().await;
        Signal::Interrupt
    }
}
