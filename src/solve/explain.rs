//! From a failed resolution to sentences a person can act on.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fmt,
    ops::Bound,
};

use pubgrub::{DerivationTree, External};

use super::{
    candidates::Unusable,
    needs::{AgreementId, HostFact, Origin, gfx_name},
    package::Participant,
    provider::Provider,
    range::{VersionSet, pinned},
};
use crate::{
    error::UserError as _,
    host::NvidiaDriver,
    index::IndexId,
    types::{PackageName, Version},
};

/// Most lines an explanation has.
const MOST: usize = 12;

/// Why there is no solution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The decisive facts, from the tool down.
    pub facts: Vec<String>,
    /// The cheapest way out that is known.
    pub way_out: Option<String>,
    /// Packages that stand in the way only because they may not be built.
    pub source_only: BTreeSet<PackageName>,
    /// Packages with versions that are out for what their own files say, or do not say.
    pub unreadable: BTreeSet<PackageName>,
    /// Something that the host lacks is among the facts.
    pub about_host: bool,
    /// The versions of torch that are wanted, where the build that was tried has none of them.
    pub torch_wanted: Option<VersionSet>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.facts.iter().map(|fact| format!("  {fact}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

type Tree = DerivationTree<Participant, VersionSet, String>;
type Leaf = External<Participant, VersionSet, String>;

impl Explanation {
    /// Reads the facts off a derivation: its leaves, those about the host first, then in the order
    /// of the derivation.
    pub(super) fn from_derivation(tree: &Tree, provider: &Provider<'_>) -> Self {
        let mut told: Vec<Fact> = Vec::new();
        let leaves = merged(leaves(tree));
        let speaks_of = leaves.iter().filter_map(|leaf| match leaf {
            External::FromDependencyOf(from, _, _, _) | External::Custom(from, _, _) => from.name(),
            External::NoVersions(..) | External::NotRoot(..) => None,
        });
        let teller = Teller {
            provider,
            told: speaks_of.cloned().collect(),
        };
        for leaf in &leaves {
            told.extend(teller.tell(leaf));
        }
        let unreadable = leaves.iter().filter_map(|leaf| match leaf {
            External::Custom(of, _, _) => of.name().cloned(),
            _ => None,
        });
        let unreadable = unreadable.collect();
        let torch_wanted = leaves.iter().find_map(|leaf| teller.torch_wanted(leaf));
        told.extend(teller.rules(tree));
        // Stable: within a rank the order of the derivation stays.
        told.sort_by_key(|fact| fact.rank);
        let source_only = told.iter().filter_map(|fact| fact.source_only.clone());
        let source_only = source_only.collect();
        let about_host = told.iter().any(|fact| fact.rank == Rank::Host);
        let mut seen = HashSet::new();
        told.retain(|fact| seen.insert(fact.text.clone()));
        if told.iter().any(|fact| fact.rank != Rank::Aside) {
            told.retain(|fact| fact.rank != Rank::Aside);
        }
        // The first is nearest to the cause.
        let way_out = told.iter().find_map(|fact| fact.way_out.clone());
        let mut facts: Vec<_> = told.into_iter().map(|fact| fact.text).collect();
        if facts.len() > MOST {
            let more = facts.len() - (MOST - 1);
            facts.truncate(MOST - 1);
            facts.push(format!("… and {more} more"));
        }
        let way_out = way_out.unwrap_or_else(|| {
            "no single change that aienv could try helps; `packages.overrides` in the manifest can \
             replace a requirement"
                .to_owned()
        });
        Self {
            facts,
            way_out: Some(way_out),
            source_only,
            unreadable,
            about_host,
            torch_wanted,
        }
    }

    /// Adds what the tables of facts know to what the derivation says.
    pub(super) fn add_host_fact(&mut self, fact: String) {
        self.facts.insert(0, fact);
        self.facts.truncate(MOST);
        self.about_host = true;
    }
}

/// The leaves of a derivation in its order, each once: a derivation shares its branches.
fn leaves(tree: &Tree) -> Vec<&Leaf> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut waiting = vec![tree];
    while let Some(tree) = waiting.pop() {
        match tree {
            DerivationTree::External(leaf) => found.push(leaf),
            DerivationTree::Derived(derived) => {
                if derived.shared_id.is_none_or(|id| seen.insert(id)) {
                    waiting.push(&derived.cause2);
                    waiting.push(&derived.cause1);
                }
            }
        }
    }
    found
}

/// Leaves that say the same of several versions become one.
fn merged(leaves: Vec<&Leaf>) -> Vec<Leaf> {
    type Key<'l> = (&'l Participant, &'l Participant);
    let mut wanted_of: HashMap<Key<'_>, HashSet<String>> = HashMap::new();
    for leaf in &leaves {
        if let External::FromDependencyOf(from, _, to, wanted) = leaf {
            let known = wanted_of.entry((from, to)).or_default();
            known.insert(wanted.to_string());
        }
    }
    let mut result: Vec<Leaf> = Vec::new();
    for leaf in leaves {
        let External::FromDependencyOf(from, versions, to, wanted) = leaf else {
            result.push(leaf.clone());
            continue;
        };
        // A package whose every version wants something else is told in one line.
        let many = wanted_of[&(from, to)].len() > 2;
        let same = result.iter_mut().find_map(|known| match known {
            External::FromDependencyOf(f, v, t, w)
                if f == from && t == to && (many || w == wanted) =>
            {
                Some((v, w))
            }
            _ => None,
        });
        match same {
            Some((known, known_wanted)) => {
                *known = known.union(versions);
                *known_wanted = known_wanted.union(wanted);
            }
            None => result.push(leaf.clone()),
        }
    }
    result
}

/// In which order facts are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// What the host lacks.
    Host,
    /// What packages would have to have in common.
    Agreement,
    /// What the request itself wants.
    Request,
    /// What packages want.
    Package,
    /// True, but seldom the point: a gap in the versions where a release was withdrawn.
    Aside,
}

/// One leaf of a derivation in words, with what may be done about it.
struct Fact {
    text: String,
    rank: Rank,
    way_out: Option<String>,
    source_only: Option<PackageName>,
}

impl Fact {
    fn new(rank: Rank, text: String) -> Self {
        Self {
            text,
            rank,
            way_out: None,
            source_only: None,
        }
    }
}

/// Puts the leaves of a derivation into words.
struct Teller<'p> {
    provider: &'p Provider<'p>,
    /// Packages of which the derivation says something besides which versions there are.
    told: HashSet<PackageName>,
}

impl Teller<'_> {
    fn tell(&self, leaf: &Leaf) -> Vec<Fact> {
        match leaf {
            External::NotRoot(..) => Vec::new(),
            External::NoVersions(participant, set) => self.no_versions(participant, set),
            External::Custom(participant, set, why) => {
                let subject = self.subject(participant, set);
                vec![Fact::new(Rank::Package, format!("{subject} {why}"))]
            }
            External::FromDependencyOf(from, versions, to, wanted) => {
                self.dependency(from, versions, to, wanted)
            }
        }
    }

    fn no_versions(&self, participant: &Participant, set: &VersionSet) -> Vec<Fact> {
        let Some(name) = participant.name() else {
            return match participant {
                Participant::Python => {
                    let text = format!("no candidate Python is {}", describe(set));
                    vec![Fact::new(Rank::Package, text)]
                }
                _ => Vec::new(),
            };
        };
        let source = self.provider.source;
        let candidates = match source.of(name) {
            Ok(candidates) => candidates,
            Err(error) => {
                return vec![Fact {
                    way_out: error.hint(),
                    ..Fact::new(Rank::Package, error.to_string())
                }];
            }
        };
        let reasons = source.why_none(name, &candidates, set);
        if reasons.is_empty() && *set != VersionSet::full() {
            let among = match candidates.origin {
                Origin::Torch => format!(" among those built for {}", self.provider.build()),
                Origin::Default | Origin::Direct => String::new(),
            };
            let text = format!("no version of {name} is {}{among}", describe(set));
            // Between versions that are told of, this is a gap that nobody asked for.
            let rank = match self.told.contains(name) {
                true => Rank::Aside,
                false => Rank::Package,
            };
            return vec![Fact::new(rank, text)];
        }
        // Where the package has other versions, these are gaps between them.
        let several = candidates.any_outside(set);
        let tell = |(text, why): (String, Unusable)| {
            let aside = several && matches!(why, Unusable::Withdrawn | Unusable::Prerelease);
            Fact {
                source_only: (why == Unusable::SourceOnly).then(|| name.clone()),
                way_out: why.way_out(name),
                ..Fact::new(if aside { Rank::Aside } else { Rank::Package }, text)
            }
        };
        reasons.into_iter().map(tell).collect()
    }

    /// The versions of torch that are asked for and that the build tried does not have.
    fn torch_wanted(&self, leaf: &Leaf) -> Option<VersionSet> {
        let External::NoVersions(participant, set) = leaf else {
            return None;
        };
        let name = participant.name()?;
        let source = self.provider.source;
        let on_torch_index = match source.of(name) {
            Ok(candidates) => candidates.origin == Origin::Torch,
            Err(_) => source.index_of(name) != IndexId::Default,
        };
        let absent = name.as_ref() == "torch" && on_torch_index && !self.told.contains(name);
        absent.then(|| set.clone())
    }

    fn dependency(
        &self,
        from: &Participant,
        versions: &VersionSet,
        to: &Participant,
        wanted: &VersionSet,
    ) -> Vec<Fact> {
        // An extra depends on its own package: true, and no news. Nor is it any that the host is
        // what it is, or that a condition carries what it is named after.
        let no_news = from.name().is_some() && from.name() == to.name()
            || matches!(from, Participant::Conditional(_));
        if no_news {
            return Vec::new();
        }
        let subject = self.subject(from, versions);
        let rank = match from {
            Participant::Root => Rank::Request,
            _ => Rank::Package,
        };
        let text = match to {
            Participant::Host(fact) => return self.host(from, versions, *fact, wanted),
            Participant::Agreement(id) => {
                let text = self.agreement(&subject, id, wanted);
                return vec![Fact::new(Rank::Agreement, text)];
            }
            Participant::Conditional(conditional) => {
                let pythons = self.provider.expander.python_set(conditional.on);
                let pythons = describe(&pythons);
                format!(
                    "{subject} needs {} on Python {pythons}",
                    conditional.requirement
                )
            }
            Participant::Python => format!("{subject} works with Python {} only", describe(wanted)),
            // That the tool is wanted needs no saying.
            package
                if *from == Participant::Root
                    && *wanted == VersionSet::full()
                    && package.name() == self.provider.primary() =>
            {
                return Vec::new();
            }
            package if *wanted == VersionSet::full() => format!("{subject} needs {package}"),
            package => match package.name() {
                Some(name) if wanted.iter().count() > 1 => {
                    format!("{subject} needs {package} {}", self.versions(name, wanted))
                }
                _ => format!("{subject} needs {package} {}", describe(wanted)),
            },
        };
        vec![Fact::new(rank, text)]
    }

    /// A need of the host, and what the host has.
    fn host(
        &self,
        from: &Participant,
        versions: &VersionSet,
        fact: HostFact,
        wanted: &VersionSet,
    ) -> Vec<Fact> {
        let Some(name) = from.name() else {
            return Vec::new();
        };
        let needs = self.provider.needs();
        let mut subject = self.subject(from, versions);
        let because = needs.because(name, versions, fact, wanted);
        if *wanted == VersionSet::empty() {
            return vec![Fact::new(Rank::Host, format!("{subject} is {because}"))];
        }
        if !because.is_empty() {
            subject = format!("{subject}, {because},");
        }
        let (owner, has) = match needs.host.get(&fact) {
            Some(value) => (value.owner.as_str(), told(fact, &value.version)),
            None => ("this machine", "none".to_owned()),
        };
        let wanted = told_set(fact, wanted);
        let text = match fact {
            HostFact::NvidiaDriver => {
                format!("{subject} needs NVIDIA driver {wanted}; {owner} has {has}")
            }
            HostFact::ComputeCapability => {
                format!("{subject} has code for compute capability {wanted}; {owner} has {has}")
            }
            HostFact::GfxTarget => format!("{subject} has code for {wanted}; {owner} is {has}"),
            HostFact::Macos if !because.is_empty() => {
                format!("{subject} needs macOS {wanted}; {owner} has {has}")
            }
            HostFact::Glibc | HostFact::Macos => {
                format!("{subject} has wheels for {fact} {wanted}; {owner} has {has}")
            }
        };
        let source = self.provider.source;
        let has_source = source
            .of(name)
            .is_ok_and(|candidates| source.has_forbidden_source(name, &candidates, versions));
        vec![Fact {
            source_only: has_source.then(|| name.clone()),
            ..Fact::new(Rank::Host, text)
        }]
    }

    fn agreement(&self, subject: &str, id: &AgreementId, wanted: &VersionSet) -> String {
        let Some(agreement) = self.provider.needs().agreement(id) else {
            return format!("{subject} is a member of the agreement on {id}");
        };
        let says = agreement
            .says
            .replace("{value}", &listed(&agreement.values(wanted)));
        format!("{subject} {says}")
    }

    /// Why packages must agree, for each agreement of a derivation.
    fn rules(&self, tree: &Tree) -> Vec<Fact> {
        let mut ids: Vec<&AgreementId> = Vec::new();
        for leaf in leaves(tree) {
            if let External::FromDependencyOf(_, _, Participant::Agreement(id), _) = leaf
                && !ids.contains(&id)
            {
                ids.push(id);
            }
        }
        let agreements = ids
            .into_iter()
            .filter_map(|id| self.provider.needs().agreement(id));
        agreements
            .map(|agreement| Fact::new(Rank::Agreement, agreement.rule.clone()))
            .collect()
    }

    /// A participant with its versions, as the subject of a sentence.
    fn subject(&self, participant: &Participant, versions: &VersionSet) -> String {
        if *participant == Participant::Root {
            return "the tool".to_owned();
        }
        let versions = match participant.name() {
            Some(name) => self.versions(name, versions),
            None => describe(versions),
        };
        format!("{participant} {versions}")
    }

    /// The versions of a package in a set: `2.9.0 to 2.15.0` where the set holds all between
    /// that come into question.
    fn versions(&self, name: &PackageName, set: &VersionSet) -> String {
        let source = self.provider.source;
        let Ok(candidates) = source.of(name) else {
            return describe(set);
        };
        match candidates.ends(set) {
            Some((low, high)) if low == high => low.to_string(),
            Some((low, high)) if *set != VersionSet::full() && set.iter().count() > 1 => {
                let between = VersionSet::between(low.clone(), high.clone());
                let holes = between.intersection(&set.complement());
                if !candidates.any_choice(&holes) {
                    format!("{low} to {high}")
                } else {
                    describe(set)
                }
            }
            _ => describe(set),
        }
    }
}

/// A version of a fact about the host, as people write it.
fn told(fact: HostFact, version: &Version) -> String {
    match fact {
        HostFact::NvidiaDriver => NvidiaDriver::spelled(version),
        HostFact::GfxTarget => gfx_name(version),
        HostFact::ComputeCapability | HostFact::Glibc | HostFact::Macos => version.to_string(),
    }
}

/// A set of versions of a fact about the host: `580 or newer`, `7.5 to 10.x and 12.x`,
/// `gfx1030 or gfx1100`.
fn told_set(fact: HostFact, set: &VersionSet) -> String {
    let parts: Vec<_> = set
        .iter()
        .map(|(low, high)| match (low, high) {
            (Bound::Included(low), Bound::Unbounded) => format!("{} or newer", told(fact, low)),
            (Bound::Included(low), Bound::Included(high)) if low == high => told(fact, low),
            (Bound::Included(low), Bound::Excluded(high))
                if fact == HostFact::ComputeCapability =>
            {
                capabilities(low, high)
            }
            (Bound::Unbounded, Bound::Excluded(high)) => format!("older than {}", told(fact, high)),
            _ => describe(&VersionSet::from_range_bounds((low.clone(), high.clone()))),
        })
        .collect();
    listed(&parts)
}

/// Code for 7.5 serves all of 7.x from there on: 7.5 up to 11.0 is `7.5 to 10.x`.
fn capabilities(low: &Version, high: &Version) -> String {
    let part = |version: &Version, at: usize| version.release().get(at).copied().unwrap_or(0);
    let (first, last) = (part(low, 0), part(high, 0).saturating_sub(1));
    match (first == last, part(low, 1)) {
        (true, 0) => format!("{first}.x"),
        (true, minor) => format!("{first}.{minor} and later {first}.x"),
        (false, minor) => format!("{first}.{minor} to {last}.x"),
    }
}

/// `a, b or c`.
fn listed<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match items.split_last() {
        None => "nothing".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

/// A set of versions in words: `2.9.0`, `>=2.4, <3`, `(any version)`.
pub fn describe(set: &VersionSet) -> String {
    if *set == VersionSet::full() {
        return "(any version)".to_owned();
    }
    let mut parts = Vec::new();
    for (low, high) in set.iter() {
        let one = VersionSet::from_range_bounds((low.clone(), high.clone()));
        if let Some(version) = pinned(&one) {
            parts.push(version.to_string());
            continue;
        }
        let bound = |version: &pep440_rs::Version| {
            // `.dev0` bounds come from `<2` and `==2.*`; people write them without.
            let shown = version.clone();
            if shown.dev() == Some(0) {
                shown.with_dev(None)
            } else {
                shown
            }
            .to_string()
        };
        let low = match low {
            Bound::Included(version) => Some(format!(">={}", bound(version))),
            Bound::Excluded(version) => Some(format!(">{}", bound(version))),
            Bound::Unbounded => None,
        };
        let high = match high {
            Bound::Included(version) => Some(format!("<={}", bound(version))),
            Bound::Excluded(version) => Some(format!("<{}", bound(version))),
            Bound::Unbounded => None,
        };
        parts.push(
            [low, high]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
        );
    }
    match parts.len() {
        0 => "(no version)".to_owned(),
        1..=4 => parts.join(" or "),
        n => format!("{} or … or {} ({n} ranges)", parts[0], parts[n - 1]),
    }
}
