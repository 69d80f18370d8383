//! Small values shared by every room: names, versions, digests, targets, accelerators.

mod accelerator;
mod digest;
mod gpu_vendor;
mod python;
mod requirement;
mod size;
mod target;

pub use accelerator::Accelerator;
pub use digest::{ParseDigestError, Sha256, Sha256Hasher};
pub use gpu_vendor::GpuVendor;
pub use pep440_rs::{Version, VersionSpecifiers};
pub use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree, PackageName};
pub use python::PythonVersion;
pub use requirement::{ParseRequirementError, parse_requirement};
pub use size::{human_bytes, human_memory, parse_bytes};
pub use target::{Arch, Libc, Os, Target};

/// A PEP 508 requirement as aienv uses it everywhere. Read it with [`parse_requirement`], which
/// does not panic.
pub type Requirement = pep508_rs::Requirement<pep508_rs::VerbatimUrl>;
