//! A world for one test: a home of its own, an environment in which nothing of the developer's
//! machine shows, and a server that stands in for everything on the network.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use aienv::{home::Home, host::Host};
use tempfile::TempDir;

use super::index::IndexServer;

/// How long a command may take before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(180);

/// The interpreter of this machine that tests use: CPython, 3.9 or newer.
#[derive(Clone, Debug)]
pub struct TestPython {
    /// The executable, links resolved.
    pub path: PathBuf,
    /// Full version: `3.12.3`.
    pub version: String,
    /// Feature release: `3.12`.
    pub feature: String,
}

/// Finds the interpreter on PATH; panics with what to do when there is none.
pub fn test_python() -> &'static TestPython {
    static FOUND: OnceLock<TestPython> = OnceLock::new();
    FOUND.get_or_init(|| {
        let script = "import os, platform, sys; assert sys.version_info >= (3, 9); \
                      assert sys.implementation.name == 'cpython'; \
                      print(os.path.realpath(sys._base_executable)); \
                      print(platform.python_version()); \
                      print('%d.%d' % sys.version_info[:2])";
        for name in ["python3", "python"] {
            let Ok(output) = Command::new(name).args(["-c", script]).output() else {
                continue;
            };
            let text = String::from_utf8_lossy(&output.stdout);
            let mut lines = text.lines().map(str::trim);
            if let (true, Some(path), Some(version), Some(feature)) = (
                output.status.success(),
                lines.next(),
                lines.next(),
                lines.next(),
            ) {
                return TestPython {
                    path: PathBuf::from(path),
                    version: version.to_owned(),
                    feature: feature.to_owned(),
                };
            }
        }
        panic!("these tests need CPython 3.9 or newer as `python3` on PATH; install it");
    })
}

/// One test's world.
pub struct World {
    temp: TempDir,
    root: PathBuf,
    home: Home,
    index: IndexServer,
    environment: BTreeMap<String, OsString>,
}

impl World {
    /// An empty home, an empty index.
    pub fn new() -> Self {
        Self::below("w")
    }

    /// The same in folders with spaces, quotes and letters that are not ASCII.
    pub fn with_awkward_paths() -> Self {
        Self::below("mein Ordner's äöü 模型")
    }

    fn below(folder: &str) -> Self {
        let temp = tempfile::Builder::new().prefix("aienv-").tempdir().unwrap();
        // macOS hands out its temporary folder through a link; messages name the real one.
        let root = dunce(&temp.path().canonicalize().unwrap()).join(folder);
        for sub in ["work", "user", "tmp"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        let mut world = Self {
            home: Home::at(root.join("home")),
            index: IndexServer::start(),
            environment: BTreeMap::new(),
            temp,
            root,
        };
        world.set_up_environment();
        world
    }

    fn set_up_environment(&mut self) {
        // What Windows programs cannot start without.
        for kept in ["SystemRoot", "SystemDrive", "PATHEXT", "COMSPEC"] {
            if let Some(value) = std::env::var_os(kept) {
                self.environment.insert(kept.to_owned(), value);
            }
        }
        let python = test_python().path.parent().unwrap().to_owned();
        let user = self.root.join("user");
        let settings: [(&str, OsString); 15] = [
            ("PATH", python.into()),
            ("HOME", user.clone().into()),
            ("USERPROFILE", user.clone().into()),
            ("APPDATA", user.join("AppData").into()),
            ("LOCALAPPDATA", user.join("LocalAppData").into()),
            ("TMPDIR", self.root.join("tmp").into()),
            ("TEMP", self.root.join("tmp").into()),
            ("TMP", self.root.join("tmp").into()),
            ("NO_PROXY", "127.0.0.1".into()),
            ("AIENV_HOME", self.home.root().into()),
            ("AIENV_INDEX_URL", self.index.simple().into()),
            ("AIENV_TORCH_MIRROR", self.index.url("/whl").into()),
            ("AIENV_PYTHON_MIRROR", self.index.url("/python").into()),
            ("AIENV_SOURCE_MIRROR", self.index.url("/archive").into()),
            ("AIENV_PYTHON_PREFERENCE", "system".into()),
        ];
        for (name, value) in settings {
            self.environment.insert(name.to_owned(), value);
        }
    }

    /// The server.
    pub fn index(&self) -> &IndexServer {
        &self.index
    }

    /// The server, to stop it.
    pub fn index_mut(&mut self) -> &mut IndexServer {
        &mut self.index
    }

    /// The home of aienv; does not exist until aienv makes it.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The folder commands are started in.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// The folder that holds everything of this world.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Sets an environment variable for all commands to come.
    pub fn env(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Takes an environment variable away.
    pub fn env_remove(&mut self, name: &str) -> &mut Self {
        self.environment.remove(name);
        self
    }

    /// A copy of the interpreter that a test may damage or delete, as the only one on PATH.
    /// Linux only: elsewhere an interpreter does not work away from its folder.
    pub fn own_python(&mut self) -> PathBuf {
        let folder = self.root.join("python");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("python3");
        fs::copy(&test_python().path, &path).unwrap();
        self.env("PATH", folder);
        path
    }

    /// Writes a file in the working folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.work().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Writes the manifest of a tool into the working folder; gives its path as typed:
    /// `./<name>.toml`.
    pub fn manifest(&self, name: &str, toml: &str) -> String {
        self.write(&format!("{name}.toml"), toml);
        format!("./{name}.toml")
    }

    /// Writes the plain manifest of a package with a command of its own name.
    pub fn tool(&self, name: &str) -> String {
        self.manifest(name, &index_tool(name, "", ""))
    }

    /// Writes a host snapshot into the working folder; gives its path.
    pub fn host(&self, host: &Host) -> String {
        self.write("host.json", serde_json::to_vec_pretty(host).unwrap());
        "./host.json".to_owned()
    }

    /// A command of `aienv` in this world, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.program(Path::new(env!("CARGO_BIN_EXE_aienv")), arguments)
    }

    /// Any program in this world's environment.
    pub fn program(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(&self.environment)
            .current_dir(self.work())
            .stdin(Stdio::null());
        command
    }

    /// Runs `aienv` to its end.
    pub fn aienv(&self, arguments: &[&str]) -> Run {
        self.finish(self.command(arguments))
    }

    /// Runs a command from the shims folder to its end.
    pub fn shim(&self, name: &str, arguments: &[&str]) -> Run {
        self.finish(self.program(&self.shim_path(name), arguments))
    }

    /// Where the shim of a command is.
    pub fn shim_path(&self, name: &str) -> PathBuf {
        let suffix = std::env::consts::EXE_SUFFIX;
        self.home.bin().join(format!("{name}{suffix}"))
    }

    /// Runs a command to its end.
    pub fn finish(&self, command: Command) -> Run {
        let what = format!("{command:?}");
        let output = assert_cmd::Command::from_std(command)
            .timeout(PATIENCE)
            .output()
            .unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        Run {
            what,
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts `aienv` and lets it run.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let command = self.command(arguments);
        Running::start(command, &self.root.join("tmp"))
    }

    /// Every path below the home, relative, with `/`, sorted; empty when there is no home.
    pub fn home_files(&self) -> Vec<String> {
        let mut paths: Vec<String> = walkdir::WalkDir::new(self.home.root())
            .min_depth(1)
            .into_iter()
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let path = entry.path().strip_prefix(self.home.root()).ok()?;
                Some(path.to_string_lossy().replace('\\', "/"))
            })
            .collect();
        paths.sort();
        paths
    }

    /// Asserts that nothing of a tool is installed, not even in part. Caches may be there.
    pub fn assert_not_installed(&self, tool: &str) {
        let installed: Vec<String> = (self.home_files().into_iter())
            .filter(|path| {
                path.starts_with(&format!("tools/{tool}"))
                    || path.starts_with("prefixes/")
                    || path.starts_with("run/")
                    || (path.starts_with("bin/") && path.contains(tool))
            })
            .collect();
        assert!(installed.is_empty(), "left behind: {installed:#?}");
        for shim in [self.shim_path(tool), self.home.bin().join(tool)] {
            assert!(!shim.exists(), "{} was left behind", shim.display());
        }
    }

    /// Asserts that nothing was written next to the home.
    pub fn assert_no_escape(&self) {
        let escaped: Vec<PathBuf> = walkdir::WalkDir::new(self.temp.path())
            .into_iter()
            .filter_map(Result::ok)
            .map(|entry| entry.path().to_owned())
            .filter(|path| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.contains("escaped")
            })
            .collect();
        assert!(escaped.is_empty(), "written outside: {escaped:?}");
    }

    /// Text of a command with everything that differs from run to run replaced.
    pub fn filtered(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (pattern, replacement) in self.filters() {
            let pattern = regex::Regex::new(&pattern).unwrap();
            text = pattern.replace_all(&text, replacement).into_owned();
        }
        text
    }

    /// Settings for `insta` with the filters of this world: `settings.bind(|| …)`.
    pub fn snapshot_settings(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        for (pattern, replacement) in self.filters() {
            settings.add_filter(&pattern, replacement);
        }
        settings
    }

    fn filters(&self) -> Vec<(String, &'static str)> {
        let quoted = |path: &Path| regex::escape(&path.to_string_lossy());
        vec![
            (quoted(self.home.root()), "[HOME]"),
            (quoted(&self.root), "[ROOT]"),
            (quoted(&test_python().path), "[PYTHON]"),
            (regex::escape(&self.index.host()), "127.0.0.1:[PORT]"),
            (r"\b[0-9a-f]{64}\b".to_owned(), "[HASH]"),
            (r"\b[0-9a-f]{16,40}\b".to_owned(), "[HEX]"),
            (r"\b\d+(\.\d+)? ?(B|kB|MB|GB)\b".to_owned(), "[SIZE]"),
            (r"\b\d+(\.\d+)? ?(ms|s)\b".to_owned(), "[TIME]"),
            (regex::escape(&test_python().version), "[PYTHON VERSION]"),
        ]
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

/// What a finished command said.
#[derive(Clone, Debug)]
pub struct Run {
    what: String,
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
    fn start(mut command: Command, folder: &Path) -> Self {
        let file = |stream: &str| {
            let file = tempfile::Builder::new().prefix(stream).tempfile_in(folder);
            file.unwrap().keep().unwrap()
        };
        let (out, err) = (file("stdout"), file("stderr"));
        let what = format!("{command:?}");
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
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
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
        let read = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
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

/// The manifest of a package with a command of its own name. `source` holds further keys of
/// `[source.index]`, `more` further tables.
pub fn index_tool(name: &str, source: &str, more: &str) -> String {
    format!(
        r#"schema = 1
name = "{name}"
title = "{name}"
summary = "A tool for a test"
homepage = "https://index.example/{name}"
licence = "MIT"
category = "development"

[source.index]
package = "{name}"
{source}

[accelerators.cpu]

[commands.{name}]
run = ["{{bin}}/{name}"]
{more}
"#
    )
}

/// The manifest of a source tree that serves HTTP on `port`.
pub fn tree_tool(name: &str, tree: &super::Tree, port: u16, more: &str) -> String {
    format!(
        r#"schema = 1
name = "{name}"
title = "{name}"
summary = "A source tree for a test"
homepage = "https://index.example/{name}"
licence = "MIT"
category = "image"
data = ["output"]

[source.tree]
repository = "{}"
commit = "{}"
version = "{}"
requirements = ["requirements.txt"]

[accelerators.cpu]
args = ["--cpu"]

[commands.{name}]
run = ["{{python}}", "{{tree}}/main.py", "--base-directory", "{{data}}"]

[commands.{name}.service]
port = {port}
health = "/system_stats"
args = ["--listen", "{{host}}", "--port", "{{port}}"]
{more}
"#,
        tree.repository, tree.commit, tree.version
    )
}

/// Windows spells canonical paths with a `\\?\` that no person types.
fn dunce(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    PathBuf::from(text.strip_prefix(r"\\?\").unwrap_or(&text))
}
