//! Resolutions that were made already.
//!
//! Looking for ways out solves again and again, and many machines differ in ways that no package
//! asks about. A [`Memory`] goes with one index, whose answers do not change, and knows what the
//! problems put to it came to.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::{
    Explanation,
    needs::Needs,
    problem::Problem,
    resolve::{Resolution, ResolveError, resolve},
};
use crate::{index::PackageIndex, types::Sha256};

/// What problems came to.
#[derive(Debug, Default)]
pub struct Memory {
    solved: Mutex<HashMap<Sha256, Solution>>,
    /// By the whole problem: an explanation names the machine.
    refused: Mutex<HashMap<Sha256, Explanation>>,
}

/// The first to ask fills it, others wait; `None` when there is no solution.
type Solution = Arc<OnceLock<Option<Arc<Resolution>>>>;

impl Memory {
    /// [`resolve`], unless a problem with the same solution was resolved before. `index` must be
    /// the same each time.
    pub fn resolve(
        &self,
        problem: &Problem,
        index: &dyn PackageIndex,
        asker: &str,
    ) -> Result<Resolution, ResolveError> {
        let slot = {
            let mut solved = self.solved.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(solved.entry(decisive(problem, asker)).or_default())
        };
        let mut failure = None;
        let known = slot.get_or_init(|| match resolve(problem, index, asker) {
            Ok(resolution) => Some(Arc::new(resolution)),
            Err(error) => {
                failure = Some(error);
                None
            }
        });
        if let Some(resolution) = known {
            return Ok(Resolution::clone(resolution));
        }
        let whole = Sha256::of(format!("{asker} {problem:?}"));
        let refused = || self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(explanation) = refused().get(&whole) {
            return Err(ResolveError::Unsatisfiable(Box::new(explanation.clone())));
        }
        let outcome = failure.map_or_else(|| resolve(problem, index, asker), Err);
        if let Err(ResolveError::Unsatisfiable(explanation)) = &outcome {
            refused().insert(whole, Explanation::clone(explanation));
        }
        outcome
    }
}

/// What decides the solution of a problem: of the host, only whether each need of it is met.
fn decisive(problem: &Problem, asker: &str) -> Sha256 {
    let reduced = Problem {
        needs: Needs::default(),
        ..problem.clone()
    };
    Sha256::of(format!("{asker} {reduced:?} {}", problem.needs.decisive()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        collections::BTreeMap,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{
        index::{CoreMetadata, DistFile, IndexError, IndexId, Releases, file_name},
        lock::LockedPython,
        solve::{
            PythonCandidate, VersionSet,
            needs::{HostFact, HostNeed, HostValue},
        },
        types::{Accelerator, Arch, Libc, Os, PackageName, Target, Version},
    };

    /// One package, `demo`, and how often it was asked for.
    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl PackageIndex for Counted {
        fn releases(
            &self,
            _: &IndexId,
            package: &PackageName,
        ) -> Result<Arc<Releases>, IndexError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let name = "demo-1.0-py3-none-any.whl";
            let (version, kind) = file_name::parse(name, package).unwrap();
            let file = DistFile {
                file_name: name.to_owned(),
                url: format!("https://files.example/{name}"),
                kind,
                sha256: Some(Sha256::of(name)),
                size: None,
                requires_python: None,
                yanked: None,
                metadata_file: None,
            };
            let versions = [(version, vec![file])].into();
            Ok(Arc::new(Releases { versions }))
        }

        fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
            let (name, version) = file.name_and_version().unwrap();
            Ok(Arc::new(CoreMetadata {
                name,
                version,
                requires_dist: Vec::new(),
                requires_python: None,
                provides_extra: Vec::new(),
                file_size: None,
            }))
        }

        fn is_at_hand(&self) -> bool {
            true
        }
    }

    /// `demo` on a machine with a driver, where it needs driver 500 or newer.
    fn problem(driver: &str) -> Problem {
        let target = Target {
            os: Os::Linux,
            arch: Arch::X86_64,
            libc: Some(Libc::Glibc {
                major: 2,
                minor: 36,
            }),
            macos: None,
        };
        let mut needs = Needs::on(&target);
        let value = HostValue {
            version: driver.parse().unwrap(),
            owner: "this machine".to_owned(),
        };
        needs.host.insert(HostFact::NvidiaDriver, value);
        let need = HostNeed {
            versions: VersionSet::full(),
            origin: None,
            fact: HostFact::NvidiaDriver,
            wanted: VersionSet::higher_than("500".parse::<Version>().unwrap()),
            because: String::new(),
        };
        needs.add_host_need("demo".parse().unwrap(), need);
        Problem {
            primary: None,
            requirements: vec!["demo".parse().unwrap()],
            constraints: Vec::new(),
            overrides: Vec::new(),
            direct: BTreeMap::new(),
            build: Default::default(),
            prereleases: Default::default(),
            target,
            pythons: vec![PythonCandidate {
                python: LockedPython::System {
                    version: "3.12.4".parse().unwrap(),
                    path: "python".into(),
                    sha256: None,
                },
                freethreaded: false,
            }],
            accelerator: Accelerator::Cpu,
            torch_index: None,
            torch_family: Default::default(),
            needs,
            preferences: BTreeMap::new(),
        }
    }

    #[test]
    fn machines_that_differ_in_nothing_decisive_share_a_resolution() {
        let (memory, index) = (Memory::default(), Counted::default());
        let ask = |driver| memory.resolve(&problem(driver), &index, "tool");
        assert_eq!(ask("550").unwrap().packages.len(), 1);
        let asked = index.0.load(Ordering::Relaxed);
        assert_eq!(ask("580").unwrap().packages.len(), 1);
        assert_eq!(index.0.load(Ordering::Relaxed), asked);
    }

    #[test]
    fn a_refusal_names_the_machine_it_is_for() {
        let (memory, index) = (Memory::default(), Counted::default());
        let explained = |driver| match memory.resolve(&problem(driver), &index, "tool") {
            Err(ResolveError::Unsatisfiable(explanation)) => explanation.to_string(),
            other => panic!("{other:?}"),
        };
        assert!(explained("390").contains("390"));
        let asked = index.0.load(Ordering::Relaxed);
        assert!(explained("390").contains("390"));
        assert_eq!(index.0.load(Ordering::Relaxed), asked);
        assert!(explained("418").contains("418"));
    }
}
