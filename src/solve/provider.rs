//! The resolution as PubGrub sees it.
//!
//! Decisions are made in a fixed order of importance: the tool itself, the interpreter, then the
//! packages — those with many conflicts first, then in the order in which they were met, the extras
//! of a package before itself. That order, not the order in which answers arrive from the network,
//! decides the result, so the same inputs always give the same plan.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::HashMap,
    ops::Bound,
};

use pubgrub::{
    Dependencies as Answer, DependencyConstraints, DependencyProvider, PackageResolutionStatistics,
};
use rustc_hash::FxHashMap;

use super::{
    candidates::{CandidateSource, PythonMask},
    expand::{Dependencies, Expander, Part, merge},
    needs::Needs,
    package::{Participant, conditional_version},
    problem::Problem,
    range::{VersionSet, pinned},
};
use crate::{
    index::{IndexError, PackageIndex},
    types::{Accelerator, PackageName, Version},
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
    met: RefCell<FxHashMap<Participant, usize>>,
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
    /// A version of an extra decides the version of its package. The other way round, every
    /// version of the extra would be tried against the one of the package, in vain.
    is_extra: bool,
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

    /// The needs of the problem.
    pub(super) fn needs(&self) -> &Needs {
        &self.problem.needs
    }

    /// The package the tool is.
    pub(super) fn primary(&self) -> Option<&PackageName> {
        self.problem.primary.as_ref()
    }

    /// The accelerator build that is tried.
    pub(super) fn build(&self) -> Accelerator {
        self.problem.accelerator
    }

    /// How many were met before this one. A package and its extras count as one.
    fn met(&self, participant: &Participant) -> usize {
        let one = match participant {
            Participant::Extra(name, _) => Cow::Owned(Participant::Package(name.clone())),
            other => Cow::Borrowed(other),
        };
        let mut met = self.met.borrow_mut();
        if let Some(place) = met.get(&*one) {
            return *place;
        }
        let place = met.len();
        met.insert(one.into_owned(), place);
        place
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
        let admission = &self.expander.admission;
        let chosen = self
            .source
            .choose(name, &candidates, set, wanted, admission);
        if let Some(version) = &chosen {
            let ahead = self.look_ahead(name, version);
            let next = self
                .source
                .following(name, &candidates, set, version, wanted, admission);
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
        let own = Participant::Package(name.clone());
        let unmet = self.source.unmet(name, &candidates, version);
        if !unmet.is_empty() {
            return Ok(Ok(match part {
                Part::Base => unmet.clone(),
                Part::Extra(_) => [(own, VersionSet::singleton(version.clone()))].into(),
            }));
        }
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
        let mut dependencies = match self.expander.of_package(&metadata, version, part, mask) {
            Ok(dependencies) => dependencies,
            Err(why) => return Ok(Err(why)),
        };
        // A package that requires itself adds nothing, unless it means another version.
        if let Some(set) = dependencies.remove(&own)
            && !set.contains(version)
        {
            return Ok(Err(format!(
                "requires another version of itself ({name} {set})"
            )));
        }
        if let Part::Extra(extra) = part {
            dependencies.remove(&Participant::Extra(name.clone(), extra.clone()));
            // Of the tool itself an extra is what makes the build the one it is said to be.
            let is_tool = self.problem.primary.as_ref() == Some(name);
            if is_tool && dependencies.is_empty() && !metadata.provides_extra.contains(extra) {
                return Ok(Err(format!("has no extra `{extra}`")));
            }
            merge(
                &mut dependencies,
                [(own, VersionSet::singleton(version.clone()))].into(),
            );
            return Ok(Ok(dependencies));
        }
        if mask != self.expander.all_pythons() {
            merge(
                &mut dependencies,
                [(Participant::Python, self.expander.python_set(mask))].into(),
            );
        }
        let needs = &self.problem.needs;
        for need in needs.of_host(name, version, candidates.origin) {
            let host = (Participant::Host(need.fact), need.wanted.clone());
            merge(&mut dependencies, [host].into());
        }
        for (agreement, values) in needs.agreements(name, version, candidates.origin) {
            let agreement = Participant::Agreement(agreement.clone());
            merge(&mut dependencies, [(agreement, values.clone())].into());
        }
        Ok(Ok(dependencies))
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
                // The host is what it is from the start.
                for (fact, value) in &self.problem.needs.host {
                    let version = VersionSet::singleton(value.version.clone());
                    dependencies.insert(Participant::Host(*fact), version);
                }
                Ok(Ok(dependencies))
            }
            Participant::Python | Participant::Host(_) | Participant::Agreement(_) => {
                Ok(Ok(Dependencies::new()))
            }
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
        let met = self.met(participant);
        let class = match participant {
            Participant::Root | Participant::Host(_) => 7,
            _ if participant.name().is_some() && participant.name() == self.primary() => 6,
            Participant::Python => 5,
            // A member that gets along with several values leaves the choice to the others.
            Participant::Agreement(_) if set.as_singleton().is_none() => 0,
            Participant::Agreement(_) => 4,
            Participant::Conditional(_) => 3,
            // `==1.0` admits the local versions of 1.0 as well, so it is no singleton.
            _ if pinned(set).is_some() => 2,
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
            is_extra: matches!(participant, Participant::Extra(..)),
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
            Participant::Host(fact) => {
                let value = self.problem.needs.host.get(fact);
                let version = value.map(|value| value.version.clone());
                Ok(version.filter(|version| set.contains(version)))
            }
            Participant::Agreement(_) => Ok(lowest(set).cloned()),
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

/// The lowest version of a set of single versions.
fn lowest(set: &VersionSet) -> Option<&Version> {
    match set.iter().next()? {
        (Bound::Included(version), _) => Some(version),
        _ => None,
    }
}

/// The version of [`Participant::Root`].
pub fn root_version() -> Version {
    Version::new([0])
}
