//! Where aienv keeps things.
//!
//! ```text
//! $AIENV_HOME
//! ├── config.toml                settings of the user, optional
//! ├── chat-history               what was typed into `aienv chat`
//! ├── manifests/                 the user's own manifests, one TOML file per tool, optional
//! ├── bin/                       the shims: the one folder to put on PATH
//! │   └── .launch/<command>      the launch record a shim reads
//! ├── tools/<name>/
//! │   ├── tool.toml              generations, current one, pins, added packages
//! │   ├── generations/<n>.toml   each generation's pylock
//! │   ├── manifest.toml          the manifest it was installed from
//! │   └── data/                  the tool's own mutable folders; survives upgrades
//! ├── prefixes/<lock hash>/      one immutable environment each
//! ├── store/                     content-addressed, read-only artifacts
//! │   ├── wheels/<sha256>/       unpacked wheels
//! │   ├── pythons/<sha256>/      unpacked CPython builds
//! │   ├── trees/<tree hash>/     source trees
//! │   └── built/<inputs hash>/   wheels built from source distributions
//! ├── models/                    model files, shared by all tools
//! ├── run/                       services: pid, port and log file of each
//! ├── locks/                     lock files of tools and store entries
//! └── cache/                     may be deleted at any time
//!     ├── http/                  index pages with their freshness
//!     ├── metadata/              core metadata by wheel hash, kept for ever
//!     └── downloads/             partial downloads, by hash
//! ```

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

/// The root folder and the layout below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// No place for aienv's files could be found.
#[derive(Debug, thiserror::Error)]
#[error("no home folder is known for this user; set AIENV_HOME to a folder aienv may write to")]
pub struct NoHome;

impl Home {
    /// `$AIENV_HOME`, else `aienv` in the platform's data folder; on Windows that of this machine,
    /// as the other one is copied between machines and some gigabytes are not for that.
    pub fn from_env() -> Result<Self, NoHome> {
        if let Some(root) = std::env::var_os("AIENV_HOME").filter(|v| !v.is_empty()) {
            let root = PathBuf::from(root);
            return Ok(Self::at(std::path::absolute(&root).unwrap_or(root)));
        }
        let base = etcetera::choose_base_strategy().map_err(|_| NoHome)?;
        let folder = match cfg!(windows) {
            true => base.cache_dir(),
            false => base.data_dir(),
        };
        Ok(Self::at(folder.join("aienv")))
    }

    /// A home at the given absolute path; nothing is created.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The root folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `config.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// `chat-history`: what was typed into `aienv chat`.
    pub fn chat_history(&self) -> PathBuf {
        self.root.join("chat-history")
    }

    /// `manifests/`: the user's own manifests.
    pub fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    /// `bin/`: the shims.
    pub fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// `bin/.launch/`: the launch records, one per shim.
    pub fn launch_records(&self) -> PathBuf {
        self.bin().join(aienv_shim::RECORDS_DIR)
    }

    /// `tools/`.
    pub fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }

    /// `tools/<name>/`.
    pub fn tool(&self, name: &str) -> PathBuf {
        self.tools().join(name)
    }

    /// `tools/<name>/data/`.
    pub fn tool_data(&self, name: &str) -> PathBuf {
        self.tool(name).join("data")
    }

    /// `prefixes/`.
    pub fn prefixes(&self) -> PathBuf {
        self.root.join("prefixes")
    }

    /// `store/`.
    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    /// `models/`.
    pub fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// `run/`.
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// `locks/`.
    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// `cache/`.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }
}

impl crate::error::UserError for NoHome {
    fn code(&self) -> &'static str {
        "home.unknown"
    }
}
