//! The resolution as PubGrub sees it.
//!
//! Decisions are made in a fixed order of importance: the tool itself, the interpreter, then the
//! packages — those with many conflicts first, then in the order in which they were met. That
//! order, not the order in which answers arrive from the network, decides the result, so the same
//! inputs always give the same plan.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::HashMap,
};

use pubgrub::{
    Dependencies as Answer, DependencyConstraints, DependencyProvider, PackageResolutionStatistics,
};

use super::{
    candidates::{CandidateSource, PythonMask},
    expand::{Dependencies, Expander, Part, merge},
    package::{Participant, conditional_version},
    problem::Problem,
    range::VersionSet,
};
use crate::{
    index::{IndexError, PackageIndex},
    types::{PackageName, Version},
};

/// Answers PubGrub's questions for one [`Problem`].
pub struct Provider<'a> {
    problem: &'a Problem,
    index: &'a dyn PackageIndex,
    pub(super) source: &'a CandidateSource<'a>,
    pub(super) expander: &'a Expander<'a>,
    /// The interpreter decided on. Every package is decided after the interpreter, so while a
    /// package is being decided this is the current decision.
    python: Cell<usize>,
    met: RefCell<HashMap<Participant, usize>>,
    /// For each package the version chosen last, and how often that changed.
    tried: RefCell<HashMap<PackageName, (Version, usize)>>,
}

/// The most versions of one package whose metadata is asked for ahead.
const MOST_AHEAD: usize = 32;

/// Higher is decided first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority {
    class: u8,
    conflicts: u32,
    met: Reverse<usize>,
}

impl<'a> Provider<'a> {
    /// A provider over shared candidates.
    pub fn new(
        problem: &'a Problem,
        index: &'a dyn PackageIndex,
        source: &'a CandidateSource<'a>,
        expander: &'a Expander<'a>,
    ) -> Self {
        Self {
            problem,
            index,
            source,
            expander,
            python: Cell::new(0),
            met: RefCell::default(),
            tried: RefCell::default(),
        }
    }

    fn python_bit(&self) -> PythonMask {
        1 << self.python.get()
    }

    fn choose_python(&self, set: &VersionSet) -> Option<Version> {
        let (i, python) = self
            .problem
            .pythons
            .iter()
            .enumerate()
            .find(|(_, p)| set.contains(p.version()))?;
        self.python.set(i);
        Some(python.version().clone())
    }

    fn choose_package(
        &self,
        name: &PackageName,
        set: &VersionSet,
    ) -> Result<Option<Version>, IndexError> {
        let candidates = match self.source.of(name) {
            Ok(candidates) => candidates,
            // A package that does not exist has no versions; the explanation says so.
            Err(IndexError::NotFound { .. }) => return Ok(None),
            Err(other) => return Err(other),
        };
        // The tool itself is decided before the interpreter, and may then decide it.
        let wanted = if self.problem.primary.as_ref() == Some(name) {
            self.expander.all_pythons()
        } else {
            self.python_bit()
        };
        let prereleases = self.expander.accepts_prereleases(name);
        let chosen = self
            .source
            .choose(name, &candidates, set, wanted, prereleases);
        if let Some(version) = &chosen {
            let ahead = self.look_ahead(name, version);
            let next = self
                .source
                .following(name, &candidates, set, version, wanted, prereleases);
            for file in next.take(ahead) {
                self.index.prefetch_metadata(file);
            }
        }
        Ok(chosen)
    }

    /// How many versions after this one will probably be tried as well. Where the versions of a
    /// package are refused one after the other, each would otherwise cost the time of a request.
    fn look_ahead(&self, name: &PackageName, version: &Version) -> usize {
        let mut tried = self.tried.borrow_mut();
        let Some((last, changes)) = tried.get_mut(name) else {
            tried.insert(name.clone(), (version.clone(), 0));
            return 0;
        };
        if last == version {
            return 0;
        }
        *last = version.clone();
        *changes += 1;
        (4 << (*changes).min(4)).min(MOST_AHEAD)
    }

    fn package_dependencies(
        &self,
        name: &PackageName,
        version: &Version,
        part: Part<'_>,
    ) -> Result<Result<Dependencies, String>, IndexError> {
        let candidates = self.source.of(name)?;
        let Some((file, usable)) = self
            .source
            .file(name, &candidates, version, self.python.get())
        else {
            return Ok(Err("has no file for this machine".to_owned()));
        };
        let metadata = match self.index.metadata(file) {
            Ok(metadata) => metadata,
            Err(error) if error.concerns_one_file() => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        let mut mask = usable.mask;
        if let Some(requires) = &metadata.requires_python {
            for (i, python) in self.problem.pythons.iter().enumerate() {
                if !requires.contains(python.version()) {
                    mask &= !(1 << i);
                }
            }
            if mask == 0 {
                return Ok(Err(format!("requires Python {requires}")));
            }
        }
        let mut dependencies = match self.expander.expand(&metadata.requires_dist, part, mask) {
            Ok(dependencies) => dependencies,
            Err(why) => return Ok(Err(why)),
        };
        // A package that requires itself adds nothing, unless it means another version.
        let own = Participant::Package(name.clone());
        if let Some(set) = dependencies.remove(&own)
            && !set.contains(version)
        {
            return Ok(Err(format!(
                "requires another version of itself ({name} {set})"
            )));
        }
        if let Part::Extra(extra) = part {
            dependencies.remove(&Participant::Extra(name.clone(), extra.clone()));
            merge(
                &mut dependencies,
                [(own, VersionSet::singleton(version.clone()))].into(),
            );
        } else if mask != self.expander.all_pythons() {
            merge(
                &mut dependencies,
                [(Participant::Python, self.expander.python_set(mask))].into(),
            );
        }
        if candidates.from_default
            && let Some(cuda) = self.default_cuda(name, version)
        {
            merge(
                &mut dependencies,
                [(Participant::TorchCuda, VersionSet::singleton(cuda.clone()))].into(),
            );
        }
        Ok(Ok(dependencies))
    }

    fn default_cuda(&self, name: &PackageName, version: &Version) -> Option<&Version> {
        let known = self.problem.default_cuda.get(name)?;
        known
            .iter()
            .find(|(set, _)| set.contains(version))
            .map(|(_, cuda)| cuda)
    }

    fn dependencies_of(
        &self,
        participant: &Participant,
        version: &Version,
    ) -> Result<Result<Dependencies, String>, IndexError> {
        match participant {
            Participant::Root => {
                let all = self.expander.all_pythons();
                let mut dependencies =
                    match self
                        .expander
                        .expand(&self.problem.requirements, Part::Base, all)
                    {
                        Ok(dependencies) => dependencies,
                        Err(why) => return Ok(Err(why)),
                    };
                merge(
                    &mut dependencies,
                    [(Participant::Python, VersionSet::full())].into(),
                );
                Ok(Ok(dependencies))
            }
            Participant::Python | Participant::TorchCuda => Ok(Ok(Dependencies::new())),
            Participant::Package(name) => self.package_dependencies(name, version, Part::Base),
            Participant::Extra(name, extra) => {
                self.package_dependencies(name, version, Part::Extra(extra))
            }
            Participant::Conditional(conditional) => {
                Ok(Ok(if *version == conditional_version(true) {
                    self.expander.conditional(conditional)
                } else {
                    let others = self.expander.all_pythons() & !conditional.on;
                    [(Participant::Python, self.expander.python_set(others))].into()
                }))
            }
        }
    }
}

impl DependencyProvider for Provider<'_> {
    type P = Participant;
    type V = Version;
    type VS = VersionSet;
    type Priority = Priority;
    type M = String;
    type Err = IndexError;

    fn prioritize(
        &self,
        participant: &Participant,
        set: &VersionSet,
        statistics: &PackageResolutionStatistics,
    ) -> Priority {
        let mut met = self.met.borrow_mut();
        let next = met.len();
        let met = *met.entry(participant.clone()).or_insert(next);
        let class = match participant {
            Participant::Root => 7,
            Participant::Package(name) if self.problem.primary.as_ref() == Some(name) => 6,
            Participant::Python => 5,
            Participant::TorchCuda => 4,
            Participant::Conditional(_) => 3,
            _ if set.as_singleton().is_some() => 2,
            _ => 1,
        };
        // Few conflicts say little; many say that this package is where the trouble is.
        let conflicts = match statistics.conflict_count() {
            0..5 => 0,
            many => many,
        };
        Priority {
            class,
            conflicts: if class > 2 { 0 } else { conflicts },
            met: Reverse(met),
        }
    }

    fn choose_version(
        &self,
        participant: &Participant,
        set: &VersionSet,
    ) -> Result<Option<Version>, IndexError> {
        match participant {
            Participant::Root => Ok(Some(root_version())),
            Participant::Python => Ok(self.choose_python(set)),
            // The first member of the family that is decided names the version.
            Participant::TorchCuda => Ok(set.as_singleton().cloned()),
            Participant::Package(name) | Participant::Extra(name, _) => {
                self.choose_package(name, set)
            }
            Participant::Conditional(conditional) => {
                let likely = conditional.on & self.python_bit() != 0;
                let versions = [conditional_version(likely), conditional_version(!likely)];
                Ok(versions.into_iter().find(|version| set.contains(version)))
            }
        }
    }

    fn get_dependencies(
        &self,
        participant: &Participant,
        version: &Version,
    ) -> Result<Answer<Participant, VersionSet, String>, IndexError> {
        Ok(match self.dependencies_of(participant, version)? {
            Ok(dependencies) => Answer::Available(
                dependencies
                    .into_iter()
                    .collect::<DependencyConstraints<_, _>>(),
            ),
            Err(why) => Answer::Unavailable(why),
        })
    }
}

/// The version of [`Participant::Root`].
pub fn root_version() -> Version {
    Version::new([0])
}
