//! Services that run: what is known about each is in `run/<instance>.json`.
//!
//! An instance is named after its tool; a second one of the same tool is `<tool>@2`. A file whose
//! process has ended (or whose process id belongs to another process by now) is removed by whoever
//! looks first, so nothing needs to keep the folder in order.

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{LaunchError, health, records};
use crate::{
    home::Home,
    platform::{
        LockFile,
        process::{self, Signal},
    },
};

/// How long a service has to end by itself.
const TIME_TO_END: Duration = Duration::from_secs(10);

/// How long the system has to end a killed process.
const TIME_TO_DIE: Duration = Duration::from_secs(5);

/// A service that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// Name of the instance: the tool, or `<tool>@2` and so on.
    pub instance: String,
    /// The tool.
    pub tool: String,
    /// The tool's name as people know it.
    pub title: String,
    /// The command of the tool.
    pub command: String,
    /// Process id; it leads a process group of its own.
    pub pid: u32,
    /// What tells this process from a later one of the same id ([`process::identity`]).
    pub identity: String,
    /// Address it is reached at from this machine.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path that answers once it is ready.
    pub health: String,
    /// Address people open.
    pub url: String,
    /// Its output.
    pub log: PathBuf,
    /// When it was started.
    pub started_at: jiff::Timestamp,
    /// Whether it has answered since.
    pub ready: bool,
}

/// How a running service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It has not answered yet.
    Starting,
    /// It answers.
    Ready,
    /// It has answered, but does not now.
    NotAnswering,
}

impl State {
    /// The state as people read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::NotAnswering => "not answering",
        }
    }
}

impl Running {
    /// Whether its process is still there.
    pub fn is_alive(&self) -> bool {
        process::identity(self.pid).is_some_and(|identity| identity == self.identity)
    }

    fn file(&self, home: &Home) -> PathBuf {
        home.run().join(format!("{}.json", self.instance))
    }

    /// Writes what is known to the instance's file.
    pub(super) fn save(&self, home: &Home) -> Result<(), LaunchError> {
        let path = self.file(home);
        let aside = home.run().join(format!(".{}.new", self.instance));
        serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .and_then(|text| std::fs::write(&aside, text))
            .and_then(|()| std::fs::rename(&aside, &path))
            .map_err(LaunchError::io("write", path))
    }

    /// Removes the instance's file, unless it is about another process by now.
    pub(super) fn forget(&self, home: &Home) {
        let path = self.file(home);
        if read(&path).is_some_and(|saved| saved.pid == self.pid && saved.identity == self.identity)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn read(path: &std::path::Path) -> Option<Running> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Every running service, sorted by instance.
///
/// # Errors
/// The folder cannot be read.
pub fn running(home: &Home) -> Result<Vec<Running>, LaunchError> {
    let mut found = Vec::new();
    for name in records::names(&home.run())? {
        if !name.ends_with(".json") {
            continue;
        }
        let path = home.run().join(&name);
        match read(&path) {
            Some(service) if service.is_alive() => found.push(service),
            Some(service) => service.forget(home),
            // Not what aienv writes: nothing is known about any process from it.
            None => drop(std::fs::remove_file(path)),
        }
    }
    Ok(found)
}

/// Asks every service how it is.
///
/// # Errors
/// No asynchronous runtime could be set up.
pub fn states(services: &[Running]) -> Result<Vec<State>, LaunchError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LaunchError::Runtime)?;
    let questions = services
        .iter()
        .map(|service| health::status(&service.host, service.port, &service.health));
    let answers = runtime.block_on(futures_util::future::join_all(questions));
    let state = |(service, answer): (&Running, Option<u16>)| match health::is_up(answer) {
        true => State::Ready,
        false if service.ready => State::NotAnswering,
        false => State::Starting,
    };
    Ok(services.iter().zip(answers).map(state).collect())
}

/// The running instances that a name means: an instance, or all instances of a tool.
pub fn named<'s>(services: &'s [Running], name: &str) -> Vec<&'s Running> {
    services
        .iter()
        .filter(|service| service.instance == name || service.tool == name)
        .collect()
}

/// Stops a service: first asks it and all it started to end, after ten seconds ends them.
/// Whether it ended by itself.
///
/// # Errors
/// It could not be stopped.
pub fn stop(home: &Home, service: &Running) -> Result<bool, LaunchError> {
    let asked = process::signal_group(service.pid, Signal::Terminate);
    // Programs of the console cannot be asked on Windows.
    let patience = if asked { TIME_TO_END } else { Duration::ZERO };
    let by_itself = wait_for_end(service, patience);
    if !by_itself {
        process::signal_group(service.pid, Signal::Kill);
        if !wait_for_end(service, TIME_TO_DIE) {
            return Err(LaunchError::WillNotStop {
                tool: service.tool.clone(),
                pid: service.pid,
            });
        }
    }
    service.forget(home);
    Ok(by_itself)
}

fn wait_for_end(service: &Running, limit: Duration) -> bool {
    let since = Instant::now();
    while service.is_alive() {
        if since.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    true
}

/// A name for a new instance of a tool that no running one has.
pub(super) fn free_instance(running: &[Running], tool: &str) -> String {
    let taken = |name: &str| running.iter().any(|service| service.instance == name);
    if !taken(tool) {
        return tool.to_owned();
    }
    (2_u32..)
        .map(|number| format!("{tool}@{number}"))
        .find(|name| !taken(name))
        .unwrap_or_else(|| tool.to_owned())
}

/// One start at a time, so that two do not choose the same port.
pub(super) fn lock(home: &Home) -> Result<LockFile, LaunchError> {
    std::fs::create_dir_all(home.run()).map_err(LaunchError::io("create", home.run()))?;
    let path = home.locks().join("services.lock");
    LockFile::acquire(&path).map_err(LaunchError::io("lock", path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn service(instance: &str, pid: u32, identity: &str) -> Running {
        Running {
            instance: instance.into(),
            tool: "tool".into(),
            title: "Tool".into(),
            command: "tool".into(),
            pid,
            identity: identity.into(),
            host: "127.0.0.1".into(),
            port: 1,
            health: "/".into(),
            url: "http://127.0.0.1:1/".into(),
            log: "tool.log".into(),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            ready: false,
        }
    }

    #[test]
    fn a_process_id_used_again_is_not_the_service() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::at(root.path());
        std::fs::create_dir_all(home.run()).unwrap();
        let own = std::process::id();
        let alive = service("tool", own, &process::identity(own).unwrap());
        alive.save(&home).unwrap();
        service("tool@2", own, "another life").save(&home).unwrap();
        std::fs::write(home.run().join("broken.json"), "{").unwrap();
        assert_eq!(running(&home).unwrap(), [alive]);
        assert_eq!(records::names(&home.run()).unwrap(), ["tool.json"]);
    }

    #[test]
    fn instances_are_numbered() {
        let running = [service("tool", 1, ""), service("tool@2", 1, "")];
        assert_eq!(free_instance(&running, "tool"), "tool@3");
        assert_eq!(free_instance(&running[1..], "tool"), "tool");
        assert_eq!(named(&running, "tool").len(), 2);
        assert_eq!(named(&running, "tool@2").len(), 1);
    }
}
