//! From a failed resolution to sentences a person can act on.

use std::{
    collections::{BTreeSet, HashSet},
    fmt,
    ops::Bound,
};

use pubgrub::{DerivationTree, External};

use crate::{error::UserError as _, types::PackageName};

use super::{
    candidates::Unusable,
    package::{Participant, conditional_version},
    provider::Provider,
    range::{VersionSet, pinned},
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
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.facts.iter().map(|fact| format!("  {fact}")).collect();
        f.write_str(&lines.join("\n"))
    }
}

type Tree = DerivationTree<Participant, VersionSet, String>;

impl Explanation {
    /// Reads the facts off a derivation: its leaves, in the order of the derivation.
    pub(super) fn from_derivation(tree: &Tree, provider: &Provider<'_>) -> Self {
        let mut facts = Vec::new();
        let mut seen = HashSet::new();
        let mut way_out = None;
        let mut source_only = BTreeSet::new();
        let mut asides = Vec::new();
        collect(tree, provider, &mut |fact: Fact| {
            if fact.aside {
                asides.push(fact.text);
                return;
            }
            if seen.insert(fact.text.clone()) {
                facts.push(fact.text);
            }
            source_only.extend(fact.source_only);
            // The first is nearest to the cause.
            way_out = way_out.take().or(fact.way_out);
        });
        if facts.is_empty() {
            facts = asides;
        }
        if facts.len() > MOST {
            let more = facts.len() - (MOST - 1);
            facts.truncate(MOST - 1);
            facts.push(format!("… and {more} more"));
        }
        let way_out = way_out.unwrap_or_else(|| {
            "relax one of these requirements in the manifest (`packages.overrides`), or try another \
             `--python` or `--accel`"
                .to_owned()
        });
        Self {
            facts,
            way_out: Some(way_out),
            source_only,
        }
    }
}

/// One leaf of a derivation in words, with what may be done about it.
struct Fact {
    text: String,
    way_out: Option<String>,
    source_only: Option<PackageName>,
    /// True, but seldom the point: a gap in the versions where a release was withdrawn.
    aside: bool,
}

impl From<String> for Fact {
    fn from(text: String) -> Self {
        Self {
            text,
            way_out: None,
            source_only: None,
            aside: false,
        }
    }
}

fn collect(tree: &Tree, provider: &Provider<'_>, say: &mut impl FnMut(Fact)) {
    match tree {
        DerivationTree::External(external) => leaf(external, provider, say),
        DerivationTree::Derived(derived) => {
            collect(&derived.cause1, provider, say);
            collect(&derived.cause2, provider, say);
        }
    }
}

fn leaf(
    external: &External<Participant, VersionSet, String>,
    provider: &Provider<'_>,
    say: &mut impl FnMut(Fact),
) {
    match external {
        External::NotRoot(..) => {}
        External::NoVersions(participant, set) => no_versions(participant, set, provider, say),
        External::Custom(participant, set, why) => {
            say(format!("{participant} {} {why}", describe(set)).into());
        }
        External::FromDependencyOf(from, versions, to, wanted) => {
            dependency(from, versions, to, wanted, say);
        }
    }
}

fn no_versions(
    participant: &Participant,
    set: &VersionSet,
    provider: &Provider<'_>,
    say: &mut impl FnMut(Fact),
) {
    let Some(name) = participant.name() else {
        if *participant == Participant::Python {
            say(format!("no candidate Python is {}", describe(set)).into());
        }
        return;
    };
    match provider.source.of(name) {
        Err(error) => say(Fact {
            text: error.to_string(),
            way_out: error.hint(),
            source_only: None,
            aside: false,
        }),
        Ok(candidates) => {
            let reasons = provider.source.why_none(name, &candidates, set);
            // Where the package has other versions, these are gaps between them.
            let several = candidates.any_outside(set);
            if reasons.is_empty() && *set != VersionSet::full() {
                say(format!("no version of {name} is {}", describe(set)).into());
            }
            for (text, why) in reasons {
                say(Fact {
                    text,
                    source_only: (why == Unusable::SourceOnly).then(|| name.clone()),
                    way_out: why.way_out(name),
                    aside: several && matches!(why, Unusable::Withdrawn | Unusable::Prerelease),
                });
            }
        }
    }
}

fn dependency(
    from: &Participant,
    versions: &VersionSet,
    to: &Participant,
    wanted: &VersionSet,
    say: &mut impl FnMut(Fact),
) {
    // An extra depends on its own package: true, and no news.
    if from.name().is_some() && from.name() == to.name() {
        return;
    }
    let subject = match from {
        Participant::Root => "the tool".to_owned(),
        Participant::Conditional(_) if versions.contains(&conditional_version(false)) => return,
        Participant::Conditional(conditional) => {
            format!("the requirement `{}`", conditional.requirement)
        }
        other => format!("{other} {}", describe(versions)),
    };
    let text = match to {
        Participant::Conditional(conditional) => {
            format!(
                "{subject} needs {} on some Python versions",
                conditional.requirement
            )
        }
        Participant::Python => format!("{subject} works with Python {} only", describe(wanted)),
        Participant::TorchCuda => format!("{subject} is built for CUDA {}", describe(wanted)),
        package => format!("{subject} needs {package} {}", describe(wanted)),
    };
    say(text.into());
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
