//! What can go wrong in the life of a tool.

use std::{io, path::PathBuf};

use super::{reference::ReferenceError, requirements::RequirementsError, state::StateError};
use crate::{
    build::BuildError,
    catalog::CatalogError,
    error::UserError,
    fetch::FetchError,
    launch::LaunchError,
    lock::LockError,
    net::NetError,
    prefix::{PrefixError, RuntimeError},
    solve::SolveError,
    store::StoreError,
};

/// An operation on a tool failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The catalogue has no such tool, or its manifest is broken.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The tool was not named the way tools are.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// There is no plan.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// Something could not be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The store refused something.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The prefix could not be built.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// The interpreter is unusable, gone or changed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A source distribution could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Shims or launch records could not be written, or a start failed.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// The record of a tool is unreadable.
    #[error(transparent)]
    State(#[from] StateError),
    /// The network could not be asked.
    #[error(transparent)]
    Net(#[from] NetError),
    /// A lock file cannot be used.
    #[error("`{path}` cannot be used")]
    LockFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: LockError,
    },
    /// A lock for another machine.
    #[error("`{path}` was made for {made_for}, and this is {here}")]
    LockElsewhere {
        /// The file.
        path: PathBuf,
        /// Its target.
        made_for: String,
        /// This machine's target.
        here: String,
    },
    /// The tool is not installed.
    #[error("`{tool}` is not installed")]
    NotInstalled {
        /// The name that was given.
        tool: String,
    },
    /// There is no generation to go back to.
    #[error("`{tool}` has no earlier generation to go back to")]
    NothingBefore {
        /// The tool.
        tool: String,
    },
    /// A generation that was never there or is no longer kept.
    #[error("`{tool}` has no generation {number}")]
    NoGeneration {
        /// The tool.
        tool: String,
        /// The number that was asked for.
        number: u32,
        /// Those that are kept.
        kept: Vec<u32>,
    },
    /// Requirement files of a source tree cannot be used.
    #[error("the requirements of {repository} cannot be used")]
    Requirements {
        /// `owner/name`.
        repository: String,
        /// Why.
        #[source]
        source: Box<RequirementsError>,
    },
    /// A tree that was just stored is not there.
    #[error("the source tree of {repository} disappeared from the store")]
    TreeGone {
        /// `owner/name`.
        repository: String,
    },
    /// A source archive address could not be made.
    #[error("no address for the source archive of {repository}: {why}")]
    TreeAddress {
        /// `owner/name`.
        repository: String,
        /// Why.
        why: String,
    },
    /// A plan for another machine cannot be installed here.
    #[error("the plan of {tool} is for another machine, {made_for}; this one is {here}")]
    PlanElsewhere {
        /// The tool.
        tool: String,
        /// The target of the plan.
        made_for: String,
        /// This machine.
        here: String,
    },
    /// A check after the install failed.
    #[error("{tool} was installed, but does not work: `{check}` failed\n{output}")]
    CheckFailed {
        /// The tool.
        tool: String,
        /// The check.
        check: String,
        /// The last lines it printed.
        output: String,
    },
    /// A package that may not be changed by `add`.
    #[error("`{package}` belongs to the torch family of {tool}, which `add` never changes")]
    TorchProtected {
        /// The package.
        package: String,
        /// The tool.
        tool: String,
    },
    /// Files of the store are not what they were.
    #[error("{count} stored file{} not what was stored", if *.count == 1 { " is" } else { "s are" })]
    Damaged {
        /// How many.
        count: usize,
    },
    /// A file operation failed.
    #[error("cannot {action} `{path}`")]
    Io {
        /// `read`, `write` …
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No threads for the network.
    #[error("the system gives no threads for network work")]
    Threads(#[source] io::Error),
}

impl UserError for ToolError {
    fn code(&self) -> &'static str {
        match self {
            Self::Catalog(error) => error.code(),
            Self::Reference(error) => error.code(),
            Self::Solve(error) => error.code(),
            Self::Fetch(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Prefix(error) => error.code(),
            Self::Build(error) => error.code(),
            Self::Launch(error) => error.code(),
            Self::State(error) => error.code(),
            Self::Net(error) => error.code(),
            Self::LockFile { source, .. } => source.code(),
            Self::LockElsewhere { .. } => "tool.lock-elsewhere",
            Self::NotInstalled { .. } => "tool.not-installed",
            Self::NothingBefore { .. } => "tool.nothing-before",
            Self::NoGeneration { .. } => "tool.no-generation",
            Self::Requirements { .. } => "tool.requirements",
            Self::TreeGone { .. } => "tool.tree-gone",
            Self::TreeAddress { .. } => "tool.tree-address",
            Self::PlanElsewhere { .. } => "tool.plan-elsewhere",
            Self::CheckFailed { .. } => "tool.check-failed",
            Self::TorchProtected { .. } => "tool.torch-protected",
            Self::Damaged { .. } => "tool.damaged",
            Self::Io { .. } => "tool.io",
            Self::Runtime(error) => error.code(),
            Self::Threads(_) => "tool.threads",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Catalog(error) => error.hint(),
            Self::Reference(error) => error.hint(),
            Self::Solve(error) => error.hint(),
            Self::Fetch(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Prefix(error) => error.hint(),
            Self::Build(error) => error.hint(),
            Self::Launch(error) => error.hint(),
            Self::State(error) => error.hint(),
            Self::Net(error) => error.hint(),
            Self::LockFile { source, .. } => source.hint(),
            Self::LockElsewhere { .. } => {
                Some("make a lock on a machine of this kind, or with `--host FILE`".to_owned())
            }
            Self::NotInstalled { tool } => Some(format!(
                "`aienv install {tool}` installs it; `aienv list --installed` shows what is there"
            )),
            Self::Runtime(error) => error.hint(),
            Self::NothingBefore { .. } | Self::Threads(_) => None,
            Self::NoGeneration { kept, .. } => {
                let kept: Vec<String> = kept.iter().map(u32::to_string).collect();
                Some(format!("it has these: {}", kept.join(", ")))
            }
            Self::Requirements { .. } => Some(
                "a manifest's `overrides` can replace a requirement that cannot be met".to_owned(),
            ),
            Self::TreeGone { .. } => Some("run the command again".to_owned()),
            Self::TreeAddress { .. } => {
                Some("`--source-mirror URL` says where source archives are".to_owned())
            }
            Self::PlanElsewhere { tool, .. } => Some(format!(
                "`aienv lock {tool} --host FILE -o pylock.toml` here, `aienv install --lock pylock.toml` there"
            )),
            Self::CheckFailed { tool, .. } => Some(format!(
                "the previous state is unchanged; `aienv install {tool} --no-check` keeps it anyway"
            )),
            Self::TorchProtected { tool, .. } => Some(format!(
                "`aienv upgrade {tool}` renews torch together with all that depends on it"
            )),
            Self::Damaged { .. } => Some(
                "`aienv repair TOOL` fetches what a tool needs anew; `aienv cache gc` removes what none does".to_owned(),
            ),
            Self::Io { .. } => None,
        }
    }

    fn details(&self) -> serde_json::Map<String, serde_json::Value> {
        match self {
            Self::Solve(error) => error.details(),
            _ => serde_json::Map::new(),
        }
    }

    fn is_usage(&self) -> bool {
        match self {
            Self::Catalog(error) => error.is_usage(),
            Self::Reference(error) => error.is_usage(),
            Self::Solve(error) => error.is_usage(),
            Self::Launch(error) => error.is_usage(),
            Self::NotInstalled { .. } => true,
            _ => false,
        }
    }
}

impl UserError for StateError {
    fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "state.io",
            Self::Damaged { .. } => "state.damaged",
            Self::Newer { .. } => "state.newer",
            Self::Lock { .. } => "state.lock",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => {
                Some("check the permissions and the free space of aienv's home".to_owned())
            }
            Self::Newer { .. } => Some("use the newer aienv".to_owned()),
            Self::Damaged { .. } | Self::Lock { .. } => {
                Some("remove the tool (its data folder stays) and install it again".to_owned())
            }
        }
    }
}
