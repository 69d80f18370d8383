//! From requirements to dependencies: markers, extras, constraints, overrides, direct URLs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use pep508_rs::VersionOrUrl;
use rustc_hash::FxHashMap;

use super::{
    admission::Admission,
    candidates::PythonMask,
    environment::marker_environment,
    package::{Conditional, Participant},
    problem::Problem,
    range::{VersionSet, to_set},
};
use crate::{
    index::CoreMetadata,
    types::{ExtraName, MarkerEnvironment, MarkerTree, PackageName, Requirement, Version},
};

/// Dependencies by participant.
pub type Dependencies = BTreeMap<Participant, VersionSet>;

/// The interpreters on which markers hold.
type Held = FxHashMap<MarkerTree, PythonMask>;

/// Turns requirements into dependencies of a participant.
pub struct Expander<'a> {
    problem: &'a Problem,
    environments: Vec<MarkerEnvironment>,
    constraints: HashMap<PackageName, Vec<&'a Requirement>>,
    overrides: HashMap<PackageName, Vec<&'a Requirement>>,
    conditionals: Mutex<HashMap<Arc<Conditional>, Dependencies>>,
    /// The interpreters on which a marker holds: packages share most of their markers.
    held: Mutex<FxHashMap<Option<ExtraName>, Held>>,
    /// What the requirements met so far name.
    pub admission: Admission,
}

/// Which of a package's requirements are meant.
#[derive(Clone, Copy)]
pub enum Part<'e> {
    /// Those that hold without any extra.
    Base,
    /// Those that an extra adds.
    Extra(&'e ExtraName),
}

impl<'e> Part<'e> {
    fn extra(self) -> Option<&'e ExtraName> {
        match self {
            Self::Base => None,
            Self::Extra(extra) => Some(extra),
        }
    }
}

impl<'a> Expander<'a> {
    /// For the interpreters, constraints and overrides of `problem`.
    pub fn new(problem: &'a Problem) -> Self {
        let by_name = |requirements: &'a [Requirement]| {
            let mut map: HashMap<PackageName, Vec<&Requirement>> = HashMap::new();
            for requirement in requirements {
                map.entry(requirement.name.clone())
                    .or_default()
                    .push(requirement);
            }
            map
        };
        let environments: Vec<_> = problem
            .pythons
            .iter()
            .map(|python| marker_environment(&problem.target, python.version()))
            .collect();
        let overrides = by_name(&problem.overrides);
        let own = problem.requirements.iter();
        let own = own.filter(|requirement| !overrides.contains_key(&requirement.name));
        let stated = own.chain(&problem.constraints).chain(&problem.overrides);
        let (everywhere, elsewhere): (Vec<_>, Vec<_>) = stated.partition(|requirement| {
            let marker = &requirement.marker;
            environments.iter().all(|one| marker.evaluate(one, &[]))
        });
        let somewhere = elsewhere.into_iter().filter(|requirement| {
            let marker = &requirement.marker;
            environments.iter().any(|one| marker.evaluate(one, &[]))
        });
        Self {
            admission: Admission::new(everywhere, somewhere),
            problem,
            constraints: by_name(&problem.constraints),
            overrides,
            conditionals: Mutex::default(),
            held: Mutex::default(),
            environments,
        }
    }

    /// Every candidate interpreter.
    pub fn all_pythons(&self) -> PythonMask {
        match self.environments.len() {
            64.. => PythonMask::MAX,
            n => (1 << n) - 1,
        }
    }

    /// The set of interpreter versions that a mask stands for.
    pub fn python_set(&self, mask: PythonMask) -> VersionSet {
        self.problem
            .pythons
            .iter()
            .enumerate()
            .filter(|(i, _)| mask & (1 << i) != 0)
            .fold(VersionSet::empty(), |set, (_, python)| {
                set.union(&VersionSet::singleton(python.version().clone()))
            })
    }

    /// The dependencies a conditional carries when it is active.
    pub fn conditional(&self, conditional: &Arc<Conditional>) -> Dependencies {
        let known = self
            .conditionals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.get(conditional).cloned().unwrap_or_default()
    }

    /// The dependencies that `requirements` state on the interpreters of `mask`.
    ///
    /// A requirement whose marker holds on some of those interpreters only becomes a
    /// [`Participant::Conditional`]. The error is why these requirements cannot be met at all.
    pub fn expand(
        &self,
        requirements: &[Requirement],
        part: Part<'_>,
        mask: PythonMask,
    ) -> Result<Dependencies, String> {
        self.expand_holding(&self.holding(requirements, part, mask), mask)
    }

    /// [`Self::expand`] for requirements that hold on the interpreters beside them.
    fn expand_holding(
        &self,
        holding: &[(&Requirement, PythonMask)],
        mask: PythonMask,
    ) -> Result<Dependencies, String> {
        let mut dependencies = Dependencies::new();
        for (requirement, on) in holding.iter().copied() {
            match self.overrides.get(&requirement.name) {
                None => self.add(
                    &mut dependencies,
                    requirement,
                    &requirement.extras,
                    on,
                    mask,
                )?,
                Some(overrides) => {
                    for replacement in overrides {
                        let on = on & self.holds(&replacement.marker, Part::Base);
                        let mut extras = requirement.extras.clone();
                        extras.extend(replacement.extras.iter().cloned());
                        if on != 0 {
                            self.add(&mut dependencies, replacement, &extras, on, mask)?;
                        }
                    }
                }
            }
        }
        Ok(dependencies)
    }

    /// The dependencies of a version of a package: what its metadata says, and what that forgets.
    ///
    /// The error is why they cannot be met at all.
    pub fn of_package(
        &self,
        metadata: &CoreMetadata,
        version: &Version,
        part: Part<'_>,
        mask: PythonMask,
    ) -> Result<Dependencies, String> {
        let holding = self.holding(&metadata.requires_dist, part, mask);
        self.take_note(metadata, &holding);
        let mut dependencies = self.expand_holding(&holding, mask)?;
        let forgotten = self.problem.needs.undeclared(&metadata.name, version);
        for requirement in forgotten {
            let requirement = std::slice::from_ref(requirement);
            merge(&mut dependencies, self.expand(requirement, part, mask)?);
        }
        Ok(dependencies)
    }

    /// Takes note of the pre-releases and pins that a package names, of other packages.
    fn take_note(&self, metadata: &CoreMetadata, holding: &[(&Requirement, PythonMask)]) {
        for (requirement, _) in holding {
            if requirement.name != metadata.name && !self.overrides.contains_key(&requirement.name)
            {
                self.admission.note(requirement);
            }
        }
    }

    /// The requirements that hold on some interpreters of a mask, each with these interpreters.
    fn holding<'r>(
        &self,
        requirements: &'r [Requirement],
        part: Part<'_>,
        mask: PythonMask,
    ) -> Vec<(&'r Requirement, PythonMask)> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let known = held.entry(part.extra().cloned()).or_default();
        let on = requirements.iter().map(|requirement| {
            let on = self.holds_or_known(&requirement.marker, part, known);
            (requirement, on & mask)
        });
        on.filter(|(_, on)| *on != 0).collect()
    }

    fn holds(&self, marker: &MarkerTree, part: Part<'_>) -> PythonMask {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let known = held.entry(part.extra().cloned()).or_default();
        self.holds_or_known(marker, part, known)
    }

    fn holds_or_known(&self, marker: &MarkerTree, part: Part<'_>, known: &mut Held) -> PythonMask {
        if marker.is_true() {
            // An unconditional requirement belongs to the base alone.
            return match part {
                Part::Base => self.all_pythons(),
                Part::Extra(_) => 0,
            };
        }
        if let Some(mask) = known.get(marker) {
            return *mask;
        }
        let mask = self.evaluate(marker, part);
        known.insert(marker.clone(), mask);
        mask
    }

    fn evaluate(&self, marker: &MarkerTree, part: Part<'_>) -> PythonMask {
        let mut mask = 0;
        for (i, environment) in self.environments.iter().enumerate() {
            let base = marker.evaluate(environment, &[]);
            let holds = match part {
                Part::Base => base,
                Part::Extra(extra) => {
                    !base && marker.evaluate(environment, std::slice::from_ref(extra))
                }
            };
            mask |= PythonMask::from(holds) << i;
        }
        mask
    }

    fn add(
        &self,
        dependencies: &mut Dependencies,
        requirement: &Requirement,
        extras: &[ExtraName],
        on: PythonMask,
        mask: PythonMask,
    ) -> Result<(), String> {
        let name = &requirement.name;
        let mut parts = vec![(self.wanted(requirement)?, on)];
        for constraint in self.constraints.get(name).into_iter().flatten() {
            let holds = self.holds(&constraint.marker, Part::Base) & on;
            if holds != 0 {
                parts.push((self.wanted(constraint)?, holds));
            }
        }
        for (set, on) in parts {
            let mut wanted =
                Dependencies::from([(Participant::Package(name.clone()), set.clone())]);
            for extra in extras {
                wanted.insert(Participant::Extra(name.clone(), extra.clone()), set.clone());
            }
            if on == mask {
                merge(dependencies, wanted);
            } else {
                let conditional = self.register(name, &set, extras, on, wanted);
                dependencies.insert(Participant::Conditional(conditional), VersionSet::full());
            }
        }
        Ok(())
    }

    fn register(
        &self,
        name: &PackageName,
        set: &VersionSet,
        extras: &[ExtraName],
        on: PythonMask,
        mut wanted: Dependencies,
    ) -> Arc<Conditional> {
        let extras = match extras {
            [] => String::new(),
            some => format!(
                "[{}]",
                some.iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(",")
            ),
        };
        let conditional = Arc::new(Conditional {
            requirement: format!("{name}{extras} {set}"),
            on,
        });
        wanted.insert(Participant::Python, self.python_set(on));
        let mut known = self
            .conditionals
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.entry(Arc::clone(&conditional)).or_insert(wanted);
        conditional
    }

    /// The versions a requirement admits.
    fn wanted(&self, requirement: &Requirement) -> Result<VersionSet, String> {
        match &requirement.version_or_url {
            None => Ok(VersionSet::full()),
            Some(VersionOrUrl::VersionSpecifier(specifiers)) => Ok(to_set(specifiers)),
            Some(VersionOrUrl::Url(url)) => match self.problem.direct.get(&requirement.name) {
                Some((version, file)) if same_file(url.as_str(), &file.url) => {
                    Ok(VersionSet::singleton(version.clone()))
                }
                Some(_) => Err(format!(
                    "asks for `{}` from another URL than the manifest does",
                    requirement.name
                )),
                None => Err(format!(
                    "asks for `{}` from a URL; the manifest must name that URL itself for aienv to accept it",
                    requirement.name
                )),
            },
        }
    }
}

/// Whether two URLs name one file, fragments (hashes) aside.
fn same_file(a: &str, b: &str) -> bool {
    let bare = |url: &str| url.split('#').next().unwrap_or_default().to_owned();
    bare(a) == bare(b)
}

/// Adds dependencies, intersecting those on the same participant.
pub fn merge(into: &mut Dependencies, from: Dependencies) {
    for (participant, set) in from {
        into.entry(participant)
            .and_modify(|known| *known = known.intersection(&set))
            .or_insert(set);
    }
}
