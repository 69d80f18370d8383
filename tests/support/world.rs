//! A world for one test: a home of its own, an environment in which nothing of the developer's
//! machine shows, and a server that stands in for everything on the network.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use aienv::{home::Home, host::Host};
use tempfile::TempDir;

use super::{
    index::IndexServer,
    manifest::index_tool,
    run::{PATIENCE, Run, Running, text, told},
};

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

/// What says how a machine reaches its package index. `HOME` holds pip's configuration and netrc.
const NETWORK_SETTINGS: &[&str] = &[
    "HOME",
    "USERPROFILE",
    "APPDATA",
    "AIENV_INDEX_URL",
    "AIENV_TORCH_MIRROR",
    "AIENV_PYTHON_MIRROR",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_CONFIG_FILE",
    "PIP_CERT",
    "NETRC",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// One test's world.
pub struct World {
    temp: TempDir,
    root: PathBuf,
    home: Home,
    index: IndexServer,
    environment: BTreeMap<String, OsString>,
    patience: Duration,
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

    /// A world that reaches the package index this machine is configured for, for live tests. The
    /// loopback server is there, but only for source archives.
    pub fn live() -> Self {
        let mut world = Self::new();
        for stand_in in [
            "AIENV_INDEX_URL",
            "AIENV_TORCH_MIRROR",
            "AIENV_PYTHON_MIRROR",
        ] {
            world.environment.remove(stand_in);
        }
        for name in NETWORK_SETTINGS {
            if let Some(value) = std::env::var_os(name) {
                world.environment.insert((*name).to_owned(), value);
            }
        }
        world.patience = Duration::from_secs(1800);
        world
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
            patience: PATIENCE,
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
        let archives = self.index.url("/archive/{repository}/{commit}.tar.gz");
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
            ("AIENV_SOURCE_MIRROR", archives.into()),
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
        let what = told(&command);
        let output = assert_cmd::Command::from_std(command)
            .timeout(self.patience)
            .output()
            .unwrap_or_else(|error| panic!("cannot start {what}: {error}"));
        Run {
            what,
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
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

/// Windows spells canonical paths with a `\\?\` that no person types.
fn dunce(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    PathBuf::from(text.strip_prefix(r"\\?\").unwrap_or(&text))
}
