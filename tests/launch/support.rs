//! A home with an installed tool.

use std::{
    ffi::OsString,
    net::TcpListener,
    path::PathBuf,
    process::{Command, Output},
};

use aienv::{
    home::Home,
    launch::{LaunchRecord, rules, shims},
    types::Os,
};
use aienv_shim::Service;

pub struct World {
    pub home: Home,
    pub root: tempfile::TempDir,
}

/// A home whose path has a space and letters that are not ASCII.
pub fn world() -> World {
    let root = tempfile::tempdir().unwrap();
    World {
        home: Home::at(root.path().join("ein Zuhause für ◉")),
        root,
    }
}

pub fn aienv_binary() -> PathBuf {
    env!("CARGO_BIN_EXE_aienv").into()
}

/// A record that starts the test program as the tool, in a mode.
pub fn record(tool: &str, mode: &str) -> LaunchRecord {
    let os = match std::env::consts::OS {
        "windows" => Os::Windows,
        "macos" => Os::Macos,
        _ => Os::Linux,
    };
    let mut environment = rules::base(&[], "/prefix/bin".as_ref(), os);
    environment.set.push(("TOOL".into(), mode.into()));
    LaunchRecord {
        tool: tool.into(),
        title: tool.to_uppercase(),
        command: tool.into(),
        is_default: true,
        generation: 1,
        prefix: "/prefix".into(),
        program: std::env::current_exe().unwrap(),
        // What follows `--` is taken for names of tests that do not exist.
        arguments: ["--exact", "tool", "--ignored", "--nocapture", "--"]
            .map(OsString::from)
            .into(),
        environment,
        ..LaunchRecord::default()
    }
}

/// A service that is started on `port`.
pub fn service(tool: &str, mode: &str, port: u16) -> LaunchRecord {
    let mut record = record(tool, mode);
    record.service = Some(Service {
        port,
        health: "/health".into(),
        page: "/page".into(),
        start_seconds: 60,
        arguments: vec![],
        environment: vec![("TOOL_PORT".into(), "{port}".into())],
    });
    record
}

/// A port that was free a moment ago, with a free one after it.
pub fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        if port < 65_000 && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}

impl World {
    pub fn install(&self, record: &LaunchRecord) {
        let records = std::slice::from_ref(record);
        let taken = shims::install(&self.home, &aienv_binary(), &record.tool, records).unwrap();
        assert!(taken.is_empty());
    }

    /// The shim of a command.
    pub fn shim(&self, command: &str) -> Command {
        Command::new(shims::shim_path(&self.home, command))
    }

    /// The command line of aienv.
    pub fn aienv(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(aienv_binary());
        command
            .args(arguments)
            .env("AIENV_HOME", self.home.root())
            .env("SHELL", "/bin/bash");
        command
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The values of a fact that the tool printed.
pub fn facts(output: &Output, name: &str) -> Vec<String> {
    let start = format!("{name}=");
    stdout(output)
        .lines()
        .filter_map(|line| line.strip_prefix(&start))
        .map(|value| serde_json::from_str(value).unwrap())
        .collect()
}
