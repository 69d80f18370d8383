//! The side that waits: starts the child, follows what it tells, and gives up in time.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use super::{Api, ApiReport, DeviceReport, Trouble, event::Event};

/// The hidden command that the child is started with.
pub const COMMAND: &str = "gpu-probe";

/// How long a killed process is waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// Tries one interface in a process of its own. `program` is the aienv binary; a call of the
/// driver may take `limit`. Never fails: what goes wrong is in the report.
pub fn run(program: &Path, api: Api, limit: Duration) -> ApiReport {
    let mut report = ApiReport {
        api,
        library: None,
        version: None,
        devices: Vec::new(),
        trouble: None,
    };
    let mut command = Command::new(program);
    command
        .args([COMMAND, api.name()])
        // So that the driver's compiler is at work rather than its cache.
        .env("CUDA_CACHE_DISABLE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    match command.spawn() {
        Ok(child) => follow(child, limit, &mut report),
        Err(error) => {
            let program = program.display();
            report.trouble = Some(Trouble::NotStarted {
                why: format!("{program}: {error}"),
            });
        }
    }
    report
}

fn follow(mut child: Child, limit: Duration, report: &mut ApiReport) {
    let events = events_of(child.stdout.take());
    let said = last_of(child.stderr.take());
    // Before the child's first word.
    let mut call = "start of the process".to_owned();
    loop {
        match events.recv_timeout(limit) {
            Ok(Event::Calling { call: next }) => call = next,
            Ok(Event::Done) => break,
            Ok(event) => take(event, report),
            Err(RecvTimeoutError::Timeout) => {
                let stuck = end(&mut child).is_none();
                fail(
                    Trouble::Hung {
                        call,
                        seconds: limit.as_secs(),
                        stuck,
                    },
                    report,
                );
                return;
            }
            Err(RecvTimeoutError::Disconnected) if report.trouble.is_some() => break,
            Err(RecvTimeoutError::Disconnected) => {
                let how = end(&mut child).map_or_else(|| "without a status".to_owned(), how);
                let said = said.recv_timeout(FAREWELL).unwrap_or_default();
                fail(Trouble::Crashed { call, how, said }, report);
                return;
            }
        }
    }
    // A driver library that does not let its process go is not worth waiting for.
    end(&mut child);
}

fn take(event: Event, report: &mut ApiReport) {
    match event {
        Event::Library { path } => report.library = Some(path),
        Event::Version { version } => report.version = Some(version),
        Event::Device { facts } => report.devices.push(DeviceReport {
            facts,
            measured: None,
            trouble: None,
        }),
        Event::Works { measured } => {
            if let Some(device) = report.devices.last_mut() {
                device.measured = Some(measured);
            }
        }
        Event::Fails { trouble } => {
            if let Some(device) = report.devices.last_mut() {
                device.trouble = Some(trouble);
            }
        }
        Event::Ends { trouble } => report.trouble = Some(trouble),
        Event::Calling { .. } | Event::Done => {}
    }
}

/// What ended the process belongs to the device that was being tried, if one was.
fn fail(trouble: Trouble, report: &mut ApiReport) {
    match report.devices.last_mut() {
        Some(device) if device.measured.is_none() && device.trouble.is_none() => {
            device.trouble = Some(trouble);
        }
        _ => report.trouble = Some(trouble),
    }
}

/// The child's lines as they come. The thread ends with the child's output.
fn events_of(output: Option<impl Read + Send + 'static>) -> Receiver<Event> {
    let (sender, events) = mpsc::channel();
    if let Some(output) = output {
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n') {
                let Ok(line) = line else { return };
                let event = Event::parse(&String::from_utf8_lossy(&line));
                if let Some(event) = event
                    && sender.send(event).is_err()
                {
                    return;
                }
            }
        });
    }
    events
}

/// The end of what the child writes to standard error, once it has ended.
fn last_of(output: Option<impl Read + Send + 'static>) -> Receiver<String> {
    const KEPT: usize = 2000;
    let (sender, said) = mpsc::channel();
    if let Some(mut output) = output {
        thread::spawn(move || {
            let mut kept = Vec::new();
            let mut part = [0; 1024];
            while let Ok(length @ 1..) = output.read(&mut part) {
                kept.extend_from_slice(&part[..length]);
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
            let _ = sender.send(String::from_utf8_lossy(&kept).trim().to_owned());
        });
    }
    said
}

/// Waits a moment for the child's own end, then ends it. `None` when it cannot be ended: a process
/// that waits inside the kernel is deaf to every signal.
fn end(child: &mut Child) -> Option<ExitStatus> {
    let wait = |child: &mut Child, patience: Duration| {
        let start = Instant::now();
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if start.elapsed() < patience => {
                    thread::sleep(Duration::from_millis(10));
                }
                _ => return None,
            }
        }
    };
    wait(child, Duration::from_millis(500)).or_else(|| {
        let _ = child.kill();
        wait(child, FAREWELL)
    })
}

fn how(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("signal {signal}");
    }
    match status.code() {
        Some(code) => format!("exit code {code}"),
        None => status.to_string(),
    }
}
