//! What takes part in a resolution: real packages and the virtual ones that carry conditions.

use std::{fmt, sync::Arc};

use super::needs::{AgreementId, HostFact};
use crate::types::{ExtraName, PackageName, Version};

/// A participant of the resolution, in PubGrub's sense of "package".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Participant {
    /// What is being installed; its dependencies are the manifest's requirements.
    Root,
    /// The interpreter; its versions are the candidates of the problem.
    Python,
    /// Something about the host; its only version is the host's. A package that works on some
    /// hosts only depends on it.
    Host(HostFact),
    /// Something in which chosen packages must be equal; its versions are the numbers of the
    /// values. Without it such packages resolve by number and then fail at import.
    Agreement(AgreementId),
    /// A package.
    Package(PackageName),
    /// An extra of a package: same versions as the package, and depends on exactly that version.
    Extra(PackageName, ExtraName),
    /// A requirement that holds on some of the candidate interpreters only: version 1 carries the
    /// requirement and those interpreters, version 0 the others.
    Conditional(Arc<Conditional>),
}

/// The content of a [`Participant::Conditional`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Conditional {
    /// The requirement without its marker, as text (its identity).
    pub requirement: String,
    /// Bit `i` is set when the requirement holds on candidate interpreter `i`.
    pub on: u64,
}

impl Participant {
    /// The package this stands for, if any.
    pub fn name(&self) -> Option<&PackageName> {
        match self {
            Self::Package(name) | Self::Extra(name, _) => Some(name),
            _ => None,
        }
    }
}

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the tool"),
            Self::Python => f.write_str("Python"),
            Self::Host(fact) => write!(f, "{fact}"),
            Self::Agreement(id) => write!(f, "the agreement on {id}"),
            Self::Package(name) => write!(f, "{name}"),
            Self::Extra(name, extra) => write!(f, "{name}[{extra}]"),
            Self::Conditional(conditional) => write!(f, "{}", conditional.requirement),
        }
    }
}

/// Version 0 or 1 of a [`Participant::Conditional`].
pub fn conditional_version(active: bool) -> Version {
    Version::new([u64::from(active)])
}
