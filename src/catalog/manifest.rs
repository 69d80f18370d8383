//! The manifest: what a tool needs and how it is started. `docs/manifest.md` is its reference.
//!
//! These are the values other rooms use. How a file becomes one, with every problem found on the
//! way, is in `read`; the keys are listed a second time in `schema`, because serde can say only
//! that one key is wrong, not all of them, nor where they belong. A test keeps the two equal.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::types::{PythonVersion, Sha256, VersionSpecifiers};

/// One tool, as its TOML file describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// Schema version, 1.
    pub schema: u32,
    /// The name people type: lower case letters, digits and dashes.
    pub name: String,
    /// The name people know: `ComfyUI`.
    pub title: String,
    /// One line: what it does.
    pub summary: String,
    /// Home page.
    pub homepage: String,
    /// SPDX expression of the tool's licence.
    pub licence: String,
    /// What kind of tool.
    pub category: Category,
    /// Words to search by, besides name, title and summary.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Where the tool comes from.
    pub source: Source,
    /// Python versions.
    #[serde(default)]
    pub python: PythonNeeds,
    /// Packages besides the source itself.
    #[serde(default)]
    pub packages: PackageNeeds,
    /// Which accelerators it runs on, and what each changes. Keys: `cpu`, `cuda`, `rocm`, `xpu`, `mps`.
    pub accelerators: BTreeMap<AcceleratorKind, AcceleratorNeeds>,
    /// The commands it offers. Exactly one is the default; with a single command it is that one.
    pub commands: BTreeMap<String, Command>,
    /// Programs it expects on PATH, and the package that carries each.
    #[serde(default)]
    pub programs: BTreeMap<String, Program>,
    /// Environment variables set for every command, whatever the user has set. Values may use
    /// placeholders.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Environment variables set for every command unless the user has set them already. Values
    /// may use placeholders.
    #[serde(default)]
    pub env_default: BTreeMap<String, String>,
    /// Mutable folders below the tool's data folder that are created on install.
    #[serde(default)]
    pub data: Vec<String>,
    /// Kinds of model → folder relative to the tool's data folder.
    #[serde(default)]
    pub models: BTreeMap<String, String>,
    /// What is tried after an install.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// What a person should know, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Manifest {
    /// The command that `aienv run <tool>` means: the one marked so, or the only one.
    pub fn default_command(&self) -> Option<(&str, &Command)> {
        self.commands
            .iter()
            .find(|(_, command)| command.default)
            .or_else(|| {
                (self.commands.len() == 1)
                    .then(|| self.commands.first_key_value())
                    .flatten()
            })
            .map(|(name, command)| (name.as_str(), command))
    }
}

/// Kinds of tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// Image, video and 3D generation.
    Image,
    /// Serving language models.
    LlmServing,
    /// Chat front ends.
    Chat,
    /// Speech, music, sound.
    Audio,
    /// Vision and documents.
    Vision,
    /// Training and fine-tuning.
    Training,
    /// Libraries that are used from Python.
    Library,
    /// Development.
    Development,
}

impl Category {
    /// Every category, in the order they are listed in.
    pub const ALL: [Self; 8] = [
        Self::Image,
        Self::LlmServing,
        Self::Chat,
        Self::Audio,
        Self::Vision,
        Self::Training,
        Self::Library,
        Self::Development,
    ];

    /// As a manifest spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::LlmServing => "llm-serving",
            Self::Chat => "chat",
            Self::Audio => "audio",
            Self::Vision => "vision",
            Self::Training => "training",
            Self::Library => "library",
            Self::Development => "development",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a tool comes from: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Source {
    /// A package of the index: `[source.index]`.
    Index(IndexSource),
    /// A source tree at a pinned commit: `[source.tree]`.
    Tree(TreeSource),
}

/// A package of the Python package index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IndexSource {
    /// Package name.
    pub package: String,
    /// Acceptable versions. A lower bound keeps the solver from going back to an ancient release.
    #[serde(default)]
    pub version: VersionSpecifiers,
    /// Extras always wanted; those of an accelerator come on top.
    #[serde(default)]
    pub extras: Vec<String>,
}

/// A source tree fetched as an archive at a pinned commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TreeSource {
    /// `owner/name` at the source host of `sources.toml`.
    pub repository: String,
    /// Full commit id.
    pub commit: String,
    /// Version of the tool at that commit.
    pub version: String,
    /// Content hash of the tree (sorted paths, modes and file digests; `docs/manifest.md`).
    /// Absent: not yet recorded, so the first fetch records it in the lock and says so.
    #[serde(default)]
    pub tree_hash: Option<Sha256>,
    /// Requirement files read from the tree.
    #[serde(default)]
    pub requirements: Vec<String>,
}

/// Which Python versions a tool runs on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PythonNeeds {
    /// Acceptable versions; empty means any that aienv knows.
    #[serde(default)]
    pub requires: VersionSpecifiers,
    /// The versions it is best tested on, best first.
    #[serde(default)]
    pub prefer: Vec<PythonVersion>,
}

/// Packages of a tool besides its source. Strings are PEP 508 requirements.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PackageNeeds {
    /// Installed too (undeclared dependencies, usually).
    #[serde(default)]
    pub requires: Vec<String>,
    /// Narrow a package if something needs it.
    #[serde(default)]
    pub constraints: Vec<String>,
    /// Replace every requirement on a package, whoever states it.
    #[serde(default)]
    pub overrides: Vec<String>,
    /// Packages that may be built from a source distribution.
    #[serde(default)]
    pub build: Vec<String>,
    /// Packages whose pre-releases are acceptable.
    #[serde(default)]
    pub prereleases: Vec<String>,
}

/// Kinds of accelerator a manifest speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AcceleratorKind {
    /// No accelerator.
    Cpu,
    /// NVIDIA.
    Cuda,
    /// AMD.
    Rocm,
    /// Intel.
    Xpu,
    /// Apple.
    Mps,
}

impl AcceleratorKind {
    /// As a manifest spells it; also [`crate::types::Accelerator::kind`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Xpu => "xpu",
            Self::Mps => "mps",
        }
    }
}

impl fmt::Display for AcceleratorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a tool needs and does on one kind of accelerator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AcceleratorNeeds {
    /// Acceptable toolkit versions (CUDA, ROCm), such as `>=11.8`.
    #[serde(default)]
    pub version: VersionSpecifiers,
    /// Lowest NVIDIA compute capability, such as `7.0`.
    #[serde(default)]
    pub min_compute_capability: Option<String>,
    /// AMD targets it is known to run on; empty means whatever the build has.
    #[serde(default)]
    pub gfx: Vec<String>,
    /// Least useful GPU memory in GB.
    #[serde(default)]
    pub min_memory_gb: Option<f64>,
    /// Package installed in place of the source's package, which the two would both claim
    /// (`onnxruntime-gpu` for `onnxruntime`). The source's version range holds for it too.
    #[serde(default)]
    pub package: Option<String>,
    /// Extras of the source package.
    #[serde(default)]
    pub extras: Vec<String>,
    /// Requirements added.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Arguments added to every command, after the command's own.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment added.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

/// One command of a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Command {
    /// Program and first arguments, with placeholders: `{python}`, `{bin}`, `{prefix}`, `{tree}`,
    /// `{data}`, `{models}`. The first element is a program of the tool's own environment.
    pub run: Vec<String>,
    /// One line about it.
    #[serde(default)]
    pub summary: String,
    /// `aienv run <tool>` means this one.
    #[serde(default)]
    pub default: bool,
    /// Folder it is started in, with placeholders; empty means where the user stands.
    #[serde(default)]
    pub cwd: String,
    /// Environment added for this command.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Whether arguments of the accelerator are added.
    #[serde(default = "yes")]
    pub accelerator_args: bool,
    /// It serves HTTP.
    #[serde(default)]
    pub service: Option<Service>,
}

impl Command {
    /// A command that is nothing but a command line.
    pub fn plain(run: Vec<String>) -> Self {
        Self {
            run,
            summary: String::new(),
            default: true,
            cwd: String::new(),
            env: BTreeMap::new(),
            accelerator_args: false,
            service: None,
        }
    }
}

fn yes() -> bool {
    true
}

/// A command that serves HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// Port it is wanted on; the next free one is taken when it is busy.
    pub port: u16,
    /// Path that answers once the service is ready.
    pub health: String,
    /// Path people open.
    #[serde(default = "slash")]
    pub page: String,
    /// Arguments that set host and port: `["--listen", "{host}", "--port", "{port}"]`.
    #[serde(default)]
    pub args: Vec<String>,
    /// Environment that sets host and port.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Seconds until it is said to be slow to start.
    #[serde(default = "two_minutes")]
    pub start_seconds: u64,
}

fn slash() -> String {
    "/".to_owned()
}

fn two_minutes() -> u64 {
    120
}

/// A program that is not Python, carried by a package.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Program {
    /// The package of the index that carries the executable. It is added to the requirements.
    pub package: String,
    /// Where the executable is below site-packages; may hold one `*` in its last component.
    pub path: String,
}

/// What is tried after an install: exactly one of the two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Check {
    /// These modules import together.
    Import(Vec<String>),
    /// This command line exits with 0. Placeholders as in `run`.
    Run(Vec<String>),
}
