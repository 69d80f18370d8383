//! What the evidence says about the machine and what runs on it, as typed values.
//!
//! Structured fields of the evidence are believed first; the rest is read out of the text. Every
//! fact that a conclusion may rest on keeps the line it came from. Absent means that nothing was
//! said, never that something is not there.

mod cuda;
mod gpu;
mod library;
mod packages;
mod python;
mod scan;
mod system;

pub use cuda::CudaFacts;
pub use gpu::GpuFacts;
pub use library::{CudaLibrary, LibraryFacts};
pub use packages::Packages;
pub use python::{PythonFacts, SiteKind};
use scan::Scan;
pub(in crate::doctor) use scan::pattern;
pub use system::{Distro, System};

use super::{evidence::Evidence, text::Line};

/// A fact with the line it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known<T> {
    /// The fact.
    pub value: T,
    /// The line, for a person.
    pub quote: String,
}

/// Everything that was understood.
#[derive(Debug)]
pub struct Facts {
    /// Operating system and what is around it.
    pub system: System,
    /// GPUs of both makers.
    pub gpus: GpuFacts,
    /// Driver, toolkit, and the builds that want them.
    pub cuda: CudaFacts,
    /// Packages with versions.
    pub packages: Packages,
    /// The interpreter.
    pub python: PythonFacts,
    /// Symbols and libraries that were missing.
    pub libraries: LibraryFacts,
    /// Variables that select devices, as the text sets them.
    pub assigned_devices: Vec<(String, String)>,
}

impl Facts {
    /// Reads the facts out of the evidence and its lines.
    pub fn of(evidence: &Evidence, lines: &[Line]) -> Self {
        let scan = Scan::new(lines);
        let packages = Packages::of(evidence, &scan);
        let gpus = GpuFacts::of(evidence, &scan);
        Self {
            system: System::of(evidence, &scan),
            cuda: CudaFacts::of(evidence, &scan, &packages),
            python: PythonFacts::of(evidence, &scan),
            libraries: LibraryFacts::of(&scan),
            assigned_devices: assigned_devices(&scan),
            packages,
            gpus,
        }
    }
}

/// `CUDA_VISIBLE_DEVICES=1`, `os.environ["CUDA_VISIBLE_DEVICES"] = "1"`.
fn assigned_devices(scan: &Scan<'_>) -> Vec<(String, String)> {
    let assignment = scan::pattern!(
        r#"\b((?:CUDA|HIP|ROCR|NVIDIA)_VISIBLE_DEVICES)['"\]]{0,2} ?= ?(?:['"]([^'"\n]*)['"]|([-0-9A-Za-z,]*))"#
    );
    scan.all(assignment)
        .filter(|(_, place)| place.line.origin != crate::doctor::text::Origin::Env)
        .filter_map(|(found, _)| {
            let value = found.get(2).or(found.get(3))?.as_str();
            Some((found[1].to_owned(), value.to_owned()))
        })
        .collect()
}

/// A version's first two numbers.
pub type Release = (u16, u16);

/// The first two numbers of a version: `12.4.1` is `(12, 4)`, `12` is `(12, 0)`.
pub fn release(text: &str) -> Option<Release> {
    let mut numbers = numbers(text);
    let major = numbers.next()?;
    Some((major, numbers.next().unwrap_or(0)))
}

/// The numbers of the first version in a text.
pub fn numbers(text: &str) -> impl Iterator<Item = u16> + '_ {
    let start = text
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(text.len());
    let rest = &text[start..];
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    rest[..end]
        .split('.')
        .map_while(|number| number.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn releases() {
        assert_eq!(release("v12.4.1-rc"), Some((12, 4)));
        assert_eq!(release("580"), Some((580, 0)));
        assert_eq!(release("none"), None);
        assert_eq!(release("99999999.1"), None);
    }
}
