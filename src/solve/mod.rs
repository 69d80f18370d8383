//! Host + manifest + index + compat facts → a [`Plan`], or an explanation why there is none.
//!
//! Accelerator, Python, tool version and packages are one question. The accelerator builds a host
//! can run are tried best first ([`accelerators`]); within one build, interpreter, tool and
//! packages are resolved together by PubGrub (`provider`): the interpreter is a participant like
//! any package, so a wheel that exists for Python 3.11 and 3.12 only *depends on* one of these, a
//! marker such as `python_version < "3.12"` is a conditional dependency, and a conflict's
//! derivation names them. The room is pure but for the questions it asks of the
//! [`PackageIndex`](crate::index::PackageIndex).

pub mod accelerators;
mod admission;
mod assemble;
mod candidates;
mod change;
mod crawl;
mod drivers;
mod environment;
mod expand;
mod explain;
mod gather;
mod lint;
mod memory;
mod needs;
mod outcome;
mod package;
mod plan;
mod planning;
mod problem;
mod provider;
mod range;
mod reasons;
mod request;
mod resolve;
mod tool_version;
mod trial;
mod ways_out;
mod what_if;
mod why;

pub use accelerators::{AcceleratorRequest, kind_of};
pub use assemble::{buildable, parse as parse_requirement};
pub use change::{Change, WayOut, WayResult, exactly};
pub use drivers::of_branch;
pub use environment::marker_environment;
pub use explain::Explanation;
pub use lint::{Impossible, lint};
pub use memory::Memory;
pub use needs::{AgreementId, HostFact, HostNeed, HostValue, Needs, Origin};
pub use plan::{Choice, Plan, Requested};
pub use planning::plan;
pub use problem::{Problem, PythonCandidate};
pub use range::{VersionSet, to_set};
pub use request::{Request, TreeRequirements, fitting_pythons};
pub use resolve::{Resolution, ResolveError, resolve};
pub use what_if::{Supposed, present, supposed};
pub use why::{Why, why};

use crate::{error::UserError, index::IndexError, types::Version};

/// No plan.
#[derive(Debug, thiserror::Error)]
pub enum SolveError {
    /// A string of the manifest or the command line is not a requirement.
    #[error("`{text}` in {place} is not a requirement")]
    BadRequirement {
        /// The text.
        text: String,
        /// Where it stands.
        place: String,
        /// What is wrong with it.
        #[source]
        source: crate::types::ParseRequirementError,
    },
    /// A direct URL that cannot be used.
    #[error("`{requirement}` cannot be used: {why}")]
    BadUrl {
        /// The requirement.
        requirement: String,
        /// Why.
        why: String,
    },
    /// No interpreter fits.
    #[error("no Python for {tool}: it needs {needs}, and there is {have}")]
    NoPython {
        /// The tool.
        tool: String,
        /// What it needs.
        needs: String,
        /// What there is.
        have: String,
        /// The single changes that were tried and work, cheapest first.
        ways: Vec<WayOut>,
    },
    /// No accelerator build fits.
    #[error("{tool} has no build for this machine{}", reasons(.rejected))]
    NoAccelerator {
        /// The tool.
        tool: String,
        /// Why each is out.
        rejected: Vec<String>,
        /// The single changes that were tried and work, cheapest first.
        ways: Vec<WayOut>,
    },
    /// The requirements contradict each other or the machine.
    #[error("no set of packages works for {tool}\n{explanation}")]
    NoSolution {
        /// The tool.
        tool: String,
        /// Why.
        explanation: Box<Explanation>,
        /// The single changes that were tried and work, cheapest first.
        ways: Vec<WayOut>,
    },
    /// The version that was asked for was never published.
    #[error("there is no {tool} {version}")]
    NoSuchVersion {
        /// The tool.
        tool: String,
        /// The version.
        version: Version,
        /// The next lower one, the next higher one and the newest.
        nearest: Vec<Version>,
    },
    /// A file of the plan has no digest, so it could not be verified.
    #[error("the index gives no sha256 for `{file}`")]
    NoDigest {
        /// The file.
        file: String,
    },
    /// The index could not be asked.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl SolveError {
    /// The single changes that were tried and work, cheapest first.
    pub fn ways(&self) -> &[WayOut] {
        match self {
            Self::NoPython { ways, .. }
            | Self::NoAccelerator { ways, .. }
            | Self::NoSolution { ways, .. } => ways,
            _ => &[],
        }
    }

    /// The error with what decides of the machine before its other facts.
    fn on(mut self, machine: String) -> Self {
        let fact = format!("this machine: {machine}");
        match &mut self {
            Self::NoAccelerator { rejected, .. } => rejected.insert(0, fact),
            Self::NoSolution { explanation, .. } => explanation.facts.insert(0, fact),
            _ => {}
        }
        self
    }

    /// The error with ways out in it, if it is one that has them.
    fn with_ways(mut self, found: Vec<WayOut>) -> Self {
        if let Self::NoPython { ways, .. }
        | Self::NoAccelerator { ways, .. }
        | Self::NoSolution { ways, .. } = &mut self
        {
            *ways = found;
        }
        self
    }
}

/// Ways out as a hint: each on a line of its own.
fn told(ways: &[WayOut]) -> String {
    let tried = ways.iter().filter(|way| way.result.is_some()).count();
    let heading = match tried {
        0 => None,
        1 => Some("this works"),
        _ => Some("one of these works"),
    };
    let texts = ways.iter().map(|way| way.text.as_str());
    let lines: Vec<&str> = heading.into_iter().chain(texts).collect();
    lines.join("\n")
}

fn reasons(rejected: &[String]) -> String {
    rejected
        .iter()
        .map(|reason| format!("\n  {reason}"))
        .collect()
}

impl UserError for SolveError {
    fn code(&self) -> &'static str {
        match self {
            Self::BadRequirement { .. } => "solve.bad-requirement",
            Self::BadUrl { .. } => "solve.bad-url",
            Self::NoPython { .. } => "solve.no-python",
            Self::NoAccelerator { .. } => "solve.no-accelerator",
            Self::NoSolution { .. } => "solve.no-solution",
            Self::NoSuchVersion { .. } => "solve.no-such-version",
            Self::NoDigest { .. } => "solve.no-digest",
            Self::Index(error) => error.code(),
        }
    }

    fn hint(&self) -> Option<String> {
        let ways = self.ways();
        if !ways.is_empty() {
            return Some(told(ways));
        }
        match self {
            Self::NoPython { .. } => Some(
                "let aienv download one (`--python-preference managed`), or install a matching CPython".to_owned(),
            ),
            Self::NoAccelerator { tool, .. } => Some(format!(
                "`aienv info {tool}` shows what it runs on, `aienv host` what was found here; \
                 `aienv what-if {tool} --gpu NAME` plans for another GPU"
            )),
            Self::NoSolution { explanation, .. } => explanation.way_out.clone(),
            Self::NoSuchVersion { nearest, .. } => {
                let nearest: Vec<_> = nearest.iter().map(ToString::to_string).collect();
                Some(format!("the nearest that exist: {}", nearest.join(", ")))
            }
            Self::NoDigest { .. } => {
                Some("aienv uses no file it cannot verify; use an index that states hashes".to_owned())
            }
            Self::BadRequirement { .. } => Some("write it like `name[extra]>=1.0; python_version < \"3.13\"`".to_owned()),
            Self::BadUrl { .. } => None,
            Self::Index(error) => error.hint(),
        }
    }

    fn details(&self) -> serde_json::Map<String, serde_json::Value> {
        let facts = match self {
            Self::NoAccelerator { rejected, .. } => &rejected[..],
            Self::NoSolution { explanation, .. } => &explanation.facts[..],
            _ => &[],
        };
        let mut details = serde_json::Map::new();
        details.insert("facts".to_owned(), serde_json::json!(facts));
        details.insert("ways".to_owned(), serde_json::json!(self.ways()));
        details
    }

    fn is_usage(&self) -> bool {
        matches!(self, Self::BadRequirement { .. } | Self::BadUrl { .. })
    }
}
