//! A command that ran or runs, and what it said.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

/// How long a command may take before the test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What a program said. Python ends its lines in another way on Windows.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace("\r\n", "\n")
}

/// A command line without the environment around it.
pub fn told(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name();
    let mut text = program.unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// What a finished command said.
#[derive(Clone, Debug)]
pub struct Run {
    /// The command line.
    pub what: String,
    /// Exit code; absent when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    fn told(&self) -> String {
        format!(
            "{}\nexit code: {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.what, self.code, self.stdout, self.stderr
        )
    }

    /// Asserts success.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.told());
        self
    }

    /// Asserts a failure with this exit code and a readable message: one `error:` line, no panic.
    #[track_caller]
    pub fn fails(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.told());
        let errors = self.stderr.matches("error: ").count();
        assert!(errors >= 1, "no error is told\n{}", self.told());
        assert!(!self.stderr.contains("panicked"), "{}", self.told());
        assert!(!self.stderr.contains("RUST_BACKTRACE"), "{}", self.told());
        self
    }

    /// Asserts that the message says what to do.
    #[track_caller]
    pub fn hints(self) -> Self {
        assert!(self.stderr.contains("hint: "), "no hint\n{}", self.told());
        self
    }

    /// Asserts that standard error names something, whatever the case.
    #[track_caller]
    pub fn names(self, text: &str) -> Self {
        let said = self.stderr.to_lowercase();
        assert!(
            said.contains(&text.to_lowercase()),
            "`{text}` is not named\n{}",
            self.told()
        );
        self
    }

    /// Asserts that standard error names at least one of these.
    #[track_caller]
    pub fn names_one_of(self, texts: &[&str]) -> Self {
        let said = self.stderr.to_lowercase();
        let named = texts.iter().any(|text| said.contains(&text.to_lowercase()));
        assert!(named, "none of {texts:?} is named\n{}", self.told());
        self
    }

    /// Asserts that neither stream holds a text, such as a password.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(!said, "`{text}` must not be said\n{}", self.told());
        self
    }

    /// Asserts that standard output contains a text.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text),
            "`{text}` is not printed\n{}",
            self.told()
        );
        self
    }

    /// Standard output.
    pub fn stdout(&self) -> &str {
        &self.stdout
    }

    /// Standard error.
    pub fn stderr(&self) -> &str {
        &self.stderr
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON: {error}\n{}", self.told()))
    }
}

/// A command that goes on; killed when dropped.
pub struct Running {
    what: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts a command; what it says goes to files in `folder`.
    pub fn start(mut command: Command, folder: &Path) -> Self {
        let file = |stream: &str| {
            let file = tempfile::Builder::new().prefix(stream).tempfile_in(folder);
            file.unwrap().keep().unwrap()
        };
        let (out, err) = (file("stdout"), file("stderr"));
        let what = told(&command);
        command.stdout(out.0).stderr(err.0);
        Self {
            what,
            child: command.spawn().unwrap(),
            stdout: out.1,
            stderr: err.1,
        }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Both streams so far.
    pub fn said(&self) -> String {
        let read = |path| text(&fs::read(path).unwrap());
        read(&self.stdout) + &read(&self.stderr)
    }

    /// Waits until what was said matches a pattern; gives its first group. Panics when the
    /// command ends or patience does.
    pub fn wait_for(&mut self, pattern: &str) -> String {
        let pattern = regex::Regex::new(pattern).unwrap();
        let start = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            let said = self.said();
            if let Some(found) = pattern.captures(&said) {
                let group = found.get(1).or(found.get(0));
                return group.map(|g| g.as_str().to_owned()).unwrap_or_default();
            }
            assert!(ended.is_none(), "{} ended: {ended:?}\n{said}", self.what);
            assert!(start.elapsed() < PATIENCE, "no `{pattern}` in\n{said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it at once, as `kill -9` does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal (Unix).
    #[cfg(unix)]
    pub fn signal(&self, signal: i32) {
        // SAFETY: kill has no memory effects; the child has not been waited for.
        unsafe { libc::kill(self.child.id().cast_signed(), signal) };
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Run {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{} does not end\n{}",
                self.what,
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        let read = |path| text(&fs::read(path).unwrap());
        Run {
            what: self.what.clone(),
            code: status.code(),
            stdout: read(&self.stdout),
            stderr: read(&self.stderr),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
