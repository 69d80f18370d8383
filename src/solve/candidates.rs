//! The versions of one package as the solver sees them: newest first, each with the candidate
//! interpreters it can be installed on and the file each of those would get.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::{
    admission::{Admission, Standing},
    expand::{Dependencies, merge},
    needs::{HostFact, Origin},
    package::Participant,
    problem::Problem,
    range::VersionSet,
};
use crate::{
    index::{
        DistFile, DistKind, IndexError, IndexId, PackageIndex, Releases, tags::CompatibleTags,
    },
    types::{Os, PackageName, PythonVersion, Version},
};

/// A set of candidate interpreters: bit `i` stands for `Problem::pythons[i]`.
pub type PythonMask = u64;

/// All versions of one package.
#[derive(Debug)]
pub struct Candidates {
    releases: Arc<Releases>,
    /// Newest first.
    list: Vec<Candidate>,
    /// The package publishes nothing but pre-releases.
    only_prereleases: bool,
    /// Where its files come from.
    pub origin: Origin,
}

#[derive(Debug)]
struct Candidate {
    version: Version,
    prerelease: bool,
    usable: OnceLock<Usable>,
}

/// Where a version can be installed.
#[derive(Debug, Default)]
pub struct Usable {
    /// Interpreters it can be installed on.
    pub mask: PythonMask,
    /// For each interpreter, the index of the best file among the version's files.
    best: Vec<Option<usize>>,
    /// Every file of the version was withdrawn.
    pub yanked: bool,
    /// What it needs of the host and the host does not have.
    unmet: Dependencies,
    /// Why the mask is empty.
    pub why_not: Option<String>,
    /// What kind of reason that is.
    kind: Option<Unusable>,
}

/// Why a version cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It has source, and no wheel that fits; building it is not allowed.
    SourceOnly,
    /// No wheel fits the platform and the interpreters.
    NoWheel,
    /// It wants another interpreter.
    Python,
    /// Its authors withdrew it.
    Withdrawn,
    /// It is a pre-release.
    Prerelease,
    /// It cannot run on this host, or has no files.
    Excluded,
}

impl Unusable {
    /// What may be done about it.
    pub fn way_out(self, package: &PackageName) -> Option<String> {
        let text = match self {
            Self::SourceOnly => format!("`--allow-build {package}` lets aienv build it"),
            Self::Withdrawn => "only a requirement with `==` takes a withdrawn release".to_owned(),
            Self::Prerelease => {
                format!("`prereleases = [\"{package}\"]` in the manifest accepts it")
            }
            Self::NoWheel | Self::Python | Self::Excluded => return None,
        };
        Some(text)
    }
}

/// The answer for one package: the first to ask makes it, others wait.
type Slot = Arc<OnceLock<Result<Arc<Candidates>, IndexError>>>;

/// Reasons that are told at most of why no version of a package can be used.
const REASONS: usize = 3;

/// Finds and keeps the candidates of every package asked for.
pub struct CandidateSource<'a> {
    problem: &'a Problem,
    index: &'a dyn PackageIndex,
    tags: Vec<CompatibleTags>,
    known: Mutex<HashMap<PackageName, Slot>>,
}

impl<'a> CandidateSource<'a> {
    /// Candidates for the interpreters and target of `problem`, from `index`.
    pub fn new(problem: &'a Problem, index: &'a dyn PackageIndex) -> Self {
        let tags = problem
            .pythons
            .iter()
            .map(|python| {
                let short = PythonVersion::of(python.version()).unwrap_or(PythonVersion::new(3, 0));
                CompatibleTags::new(&problem.target, short, python.freethreaded)
            })
            .collect();
        Self {
            problem,
            index,
            tags,
            known: Mutex::default(),
        }
    }

    /// The index a package comes from, first choice.
    pub fn index_of(&self, package: &PackageName) -> IndexId {
        match &self.problem.torch_index {
            Some(index) if self.problem.torch_family.contains(package) => index.clone(),
            _ => IndexId::Default,
        }
    }

    /// All candidates of a package; blocks on the index.
    pub fn of(&self, package: &PackageName) -> Result<Arc<Candidates>, IndexError> {
        let slot = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(package.clone()).or_default())
        };
        slot.get_or_init(|| self.load(package)).clone()
    }

    fn load(&self, package: &PackageName) -> Result<Arc<Candidates>, IndexError> {
        if let Some((version, file)) = self.problem.direct.get(package) {
            let mut releases = Releases::default();
            releases
                .versions
                .insert(version.clone(), vec![file.clone()]);
            return Ok(Arc::new(Candidates::new(
                Arc::new(releases),
                Origin::Direct,
            )));
        }
        let index = self.index_of(package);
        let (releases, origin) = match self.index.releases(&index, package) {
            // Not every member of the family is on every torch index. Torch itself must be: that of
            // the default index is another build.
            Err(IndexError::NotFound { .. })
                if index != IndexId::Default && package.as_ref() != "torch" =>
            {
                let releases = self.index.releases(&IndexId::Default, package)?;
                (releases, Origin::Default)
            }
            other if index == IndexId::Default => (other?, Origin::Default),
            other => (other?, Origin::Torch),
        };
        Ok(Arc::new(Candidates::new(releases, origin)))
    }

    fn usable<'c>(&self, package: &PackageName, of: &'c Candidates, at: usize) -> &'c Usable {
        let candidate = &of.list[at];
        candidate.usable.get_or_init(|| {
            let files = of
                .releases
                .versions
                .get(&candidate.version)
                .map_or(&[][..], Vec::as_slice);
            let mut usable = self.examine(package, files);
            let needs = &self.problem.needs;
            for need in needs.of_host(package, &candidate.version, of.origin) {
                if !needs.met(need.fact, &need.wanted) {
                    let host = (Participant::Host(need.fact), need.wanted.clone());
                    merge(&mut usable.unmet, [host].into());
                }
            }
            usable
        })
    }

    fn examine(&self, package: &PackageName, files: &[DistFile]) -> Usable {
        let sdist_allowed = self.problem.build.contains(package);
        let mut usable = Usable {
            yanked: files.iter().all(|f| f.yanked.is_some()),
            ..Usable::default()
        };
        for (i, (python, tags)) in self.problem.pythons.iter().zip(&self.tags).enumerate() {
            let accepts = |file: &DistFile| {
                (usable.yanked || file.yanked.is_none())
                    && file
                        .requires_python
                        .as_ref()
                        .is_none_or(|r| r.contains(python.version()))
            };
            let mut best: Option<(u32, Option<u64>, usize)> = None;
            for (at, file) in files.iter().enumerate().filter(|(_, file)| accepts(file)) {
                let rank = match &file.kind {
                    DistKind::Wheel(wheel) => {
                        tags.priority(wheel).map(|p| (p + 1, wheel.build_number()))
                    }
                    DistKind::Sdist if sdist_allowed => Some((0, None)),
                    DistKind::Sdist => None,
                };
                if let Some((priority, build)) = rank
                    && best.is_none_or(|(p, b, _)| (priority, build) > (p, b))
                {
                    best = Some((priority, build, at));
                }
            }
            if best.is_some() {
                usable.mask |= 1 << i;
            }
            usable.best.push(best.map(|(_, _, at)| at));
        }
        if usable.mask == 0
            && let Some((fact, least)) = self.newer_system(files)
        {
            let wanted = VersionSet::higher_than(least);
            usable.unmet.insert(Participant::Host(fact), wanted);
        } else if usable.mask == 0 {
            let (why_not, kind) = self.why_unusable(files, sdist_allowed);
            usable.why_not = Some(why_not);
            usable.kind = Some(kind);
        }
        usable
    }

    /// The C library or macOS that would do, where nothing but that is in the way of a version.
    fn newer_system(&self, files: &[DistFile]) -> Option<(HostFact, Version)> {
        let fact = match self.problem.target.os {
            Os::Linux => HostFact::Glibc,
            Os::Macos => HostFact::Macos,
            Os::Windows => return None,
        };
        // A system without that C library cannot get a newer one.
        self.problem.needs.host.get(&fact)?;
        let pythons = self.problem.pythons.iter().zip(&self.tags);
        let least = pythons
            .flat_map(|(python, tags)| {
                files
                    .iter()
                    .filter(|file| {
                        file.requires_python
                            .as_ref()
                            .is_none_or(|requires| requires.contains(python.version()))
                    })
                    .filter_map(|file| tags.least_system(file.wheel()?))
            })
            .min()?;
        Some((fact, Version::new([u64::from(least.0), u64::from(least.1)])))
    }

    fn why_unusable(&self, files: &[DistFile], sdist_allowed: bool) -> (String, Unusable) {
        let problem = self.problem;
        let wheels = files.iter().filter(|file| file.wheel().is_some()).count();
        let pythons = told_pythons(problem);
        let fits_python = files.iter().any(|file| {
            let requires = file.requires_python.as_ref();
            requires.is_none_or(|r| problem.pythons.iter().any(|p| r.contains(p.version())))
        });
        if files.is_empty() {
            ("has no files".to_owned(), Unusable::Excluded)
        } else if !fits_python {
            let requires = files.iter().find_map(|file| file.requires_python.as_ref());
            let requires = requires.map_or_else(String::new, ToString::to_string);
            (
                format!("requires Python {requires} (candidates: {pythons})"),
                Unusable::Python,
            )
        } else if wheels < files.len() && !sdist_allowed {
            let why = if wheels == 0 {
                "is published as source only".to_owned()
            } else {
                format!(
                    "has source, but no wheel for {} with Python {pythons}",
                    problem.target
                )
            };
            (
                format!("{why}, and building it is not allowed"),
                Unusable::SourceOnly,
            )
        } else {
            (
                format!("has no wheel for {} with Python {pythons}", problem.target),
                Unusable::NoWheel,
            )
        }
    }

    /// How a release counts, its files aside.
    fn standing(
        &self,
        package: &PackageName,
        of: &Candidates,
        at: usize,
        admission: &Admission,
        prereleases: Standing,
    ) -> Standing {
        let candidate = &of.list[at];
        let mut standing = Standing::Normal;
        if candidate.prerelease {
            standing = prereleases;
        }
        if standing != Standing::Refused && self.usable(package, of, at).yanked {
            standing = standing.min(admission.withdrawn(package, &candidate.version));
        }
        standing
    }

    /// How pre-releases of a package count.
    fn prereleases(
        &self,
        package: &PackageName,
        of: &Candidates,
        admission: &Admission,
    ) -> Standing {
        if of.only_prereleases
            || self.problem.prereleases.contains(package)
            || self.problem.direct.contains_key(package)
        {
            Standing::Normal
        } else {
            admission.prereleases(package)
        }
    }

    /// The version to try for a package within a set: a preferred one, else the newest, both on
    /// the interpreters of `wanted` if possible, else on any.
    pub fn choose(
        &self,
        package: &PackageName,
        of: &Candidates,
        set: &VersionSet,
        wanted: PythonMask,
        admission: &Admission,
    ) -> Option<Version> {
        let prereleases = self.prereleases(package, of, admission);
        let standing = |at| self.standing(package, of, at, admission, prereleases);
        let fits = |at: usize| {
            let usable = self.usable(package, of, at);
            usable.unmet.is_empty() && usable.mask & wanted != 0
        };
        for preferred in self.problem.preferences.get(package).into_iter().flatten() {
            let found = of.position(preferred).filter(|_| set.contains(preferred));
            if found.is_some_and(|at| fits(at) && standing(at) == Standing::Normal) {
                return Some(preferred.clone());
            }
        }
        // The newest that fits; then in order what is a last resort, what another interpreter and
        // what another host could use: its dependencies say what this one lacks.
        let mut others = [None; 3];
        let mut refused = false;
        for at in (0..of.list.len()).filter(|at| set.contains(&of.list[*at].version)) {
            let usable = self.usable(package, of, at);
            if usable.mask == 0 && usable.unmet.is_empty() {
                continue;
            }
            let rank = match standing(at) {
                Standing::Refused => {
                    refused = true;
                    continue;
                }
                _ if !usable.unmet.is_empty() => 2,
                _ if usable.mask & wanted == 0 => 1,
                Standing::LastResort => 0,
                Standing::Normal => return Some(of.list[at].version.clone()),
            };
            others[rank].get_or_insert(at);
        }
        if refused {
            admission.refused(package);
        }
        let last = others.into_iter().flatten().next()?;
        Some(of.list[last].version.clone())
    }

    /// The files of the versions that [`choose`](Self::choose) would come to after `version`, one
    /// by one, were each of them refused.
    pub fn following<'c>(
        &'c self,
        package: &'c PackageName,
        of: &'c Candidates,
        set: &'c VersionSet,
        version: &Version,
        wanted: PythonMask,
        admission: &'c Admission,
    ) -> impl Iterator<Item = &'c DistFile> {
        let first = of.position(version).map_or(of.list.len(), |at| at + 1);
        let prereleases = self.prereleases(package, of, admission);
        (first..of.list.len()).filter_map(move |at| {
            let candidate = &of.list[at];
            if !set.contains(&candidate.version)
                || self.standing(package, of, at, admission, prereleases) != Standing::Normal
            {
                return None;
            }
            let usable = self.usable(package, of, at);
            if usable.mask & wanted == 0 || !usable.unmet.is_empty() {
                return None;
            }
            let python = (usable.mask & wanted).trailing_zeros() as usize;
            let file = usable.best.get(python).copied().flatten()?;
            of.releases.versions.get(&candidate.version)?.get(file)
        })
    }

    /// Whether every file of a version was withdrawn.
    pub fn is_withdrawn(&self, package: &PackageName, of: &Candidates, version: &Version) -> bool {
        of.position(version)
            .is_some_and(|at| self.usable(package, of, at).yanked)
    }

    /// The file of `version` for interpreter `python`, or for the first interpreter it runs on.
    pub fn file<'c>(
        &self,
        package: &PackageName,
        of: &'c Candidates,
        version: &Version,
        python: usize,
    ) -> Option<(&'c DistFile, &'c Usable)> {
        let at = of.position(version)?;
        let usable = self.usable(package, of, at);
        let files = of.releases.versions.get(version)?;
        let best = usable.best.get(python).copied().flatten();
        let best = best.or_else(|| usable.best.iter().copied().flatten().next())?;
        Some((&files[best], usable))
    }

    /// What a version needs of the host and the host does not have.
    pub fn unmet<'c>(
        &self,
        package: &PackageName,
        of: &'c Candidates,
        version: &Version,
    ) -> &'c Dependencies {
        static NOTHING: Dependencies = Dependencies::new();
        match of.position(version) {
            Some(at) => &self.usable(package, of, at).unmet,
            None => &NOTHING,
        }
    }

    /// Whether some version in `set` has source that may not be built.
    pub fn has_forbidden_source(
        &self,
        package: &PackageName,
        of: &Candidates,
        set: &VersionSet,
    ) -> bool {
        let releases = of.releases.versions.iter();
        !self.problem.build.contains(package)
            && releases
                .filter(|(version, _)| set.contains(version))
                .any(|(_, files)| files.iter().any(|file| file.wheel().is_none()))
    }

    /// Why none of the versions in `set` can be used: the newest few, each with its reason.
    pub fn why_none(
        &self,
        package: &PackageName,
        of: &Candidates,
        set: &VersionSet,
    ) -> Vec<(String, Unusable)> {
        // The newest few reasons, each with the versions, one after the other, that share it.
        let mut groups: Vec<(String, Unusable, Vec<&Version>)> = Vec::new();
        for at in (0..of.list.len()).filter(|at| set.contains(&of.list[*at].version)) {
            let usable = self.usable(package, of, at);
            let (why, kind) = if let Some(why) = &usable.why_not {
                (why.as_str(), usable.kind.unwrap_or(Unusable::Excluded))
            } else if usable.yanked {
                ("was withdrawn by its authors", Unusable::Withdrawn)
            } else if of.list[at].prerelease {
                ("is a pre-release", Unusable::Prerelease)
            } else {
                continue;
            };
            let version = &of.list[at].version;
            let full = groups.len() == REASONS;
            match groups.last_mut() {
                Some((known, _, versions)) if known == why => versions.push(version),
                _ if full => break,
                _ => groups.push((why.to_owned(), kind, vec![version])),
            }
        }
        let told = |versions: &[&Version]| match versions {
            [newest, .., oldest] => format!("{oldest} to {newest}"),
            [one] => one.to_string(),
            [] => String::new(),
        };
        groups
            .into_iter()
            .map(|(why, kind, versions)| (format!("{package} {} {why}", told(&versions)), kind))
            .collect()
    }
}

/// The candidate interpreters in words: each of a few, the first and the last of many.
fn told_pythons(problem: &Problem) -> String {
    let versions = problem.pythons.iter().map(|python| python.version());
    let features: BTreeSet<_> = versions.clone().filter_map(PythonVersion::of).collect();
    match (features.first(), features.last()) {
        (Some(first), Some(last)) if features.len() > 2 => format!("{first} to {last}"),
        _ => {
            let versions: Vec<_> = versions.map(ToString::to_string).collect();
            versions.join(" or ")
        }
    }
}

impl Candidates {
    fn new(releases: Arc<Releases>, origin: Origin) -> Self {
        let list: Vec<_> = releases
            .versions
            .keys()
            .rev()
            .map(|version| Candidate {
                version: version.clone(),
                prerelease: version.any_prerelease(),
                usable: OnceLock::new(),
            })
            .collect();
        let only_prereleases = list.iter().all(|candidate| candidate.prerelease);
        Self {
            releases,
            list,
            only_prereleases,
            origin,
        }
    }

    /// The newest version of all, usable or not.
    pub fn newest(&self) -> Option<&Version> {
        self.list
            .iter()
            .find(|c| !c.prerelease)
            .or(self.list.first())
            .map(|c| &c.version)
    }

    /// The lowest and the highest version in a set, if there are any.
    pub fn ends(&self, set: &VersionSet) -> Option<(&Version, &Version)> {
        let within = || self.list.iter().map(|candidate| &candidate.version);
        let highest = within().find(|version| set.contains(version))?;
        let lowest = within().rev().find(|version| set.contains(version))?;
        Some((lowest, highest))
    }

    /// Whether a set holds a version that comes into question: no pre-release beside releases, and
    /// none that was found to be unusable.
    pub fn any_choice(&self, set: &VersionSet) -> bool {
        let out = |candidate: &Candidate| {
            let usable = candidate.usable.get();
            (candidate.prerelease && !self.only_prereleases)
                || usable.is_some_and(|usable| usable.yanked || usable.why_not.is_some())
        };
        let mut list = self.list.iter();
        list.any(|candidate| set.contains(&candidate.version) && !out(candidate))
    }

    /// Whether there are versions, usable or not, that a set does not hold.
    pub fn any_outside(&self, set: &VersionSet) -> bool {
        self.list
            .iter()
            .any(|candidate| !set.contains(&candidate.version))
    }

    fn position(&self, version: &Version) -> Option<usize> {
        self.list
            .binary_search_by(|candidate| version.cmp(&candidate.version))
            .ok()
    }
}
