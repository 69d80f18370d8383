//! PEP 440 specifiers as sets of versions.
//!
//! Differs from a plain interval reading in what PEP 440 says of local versions: `==2.9.0` and
//! `<=2.9.0` accept `2.9.0+cu128`, because a specifier without a local segment ignores the local
//! segment of a candidate.

use pep440_rs::{Operator, Version, VersionSpecifier, VersionSpecifiers};
use version_ranges::Ranges;

/// A set of versions.
pub type VersionSet = Ranges<Version>;

/// The versions that satisfy every specifier.
pub fn to_set(specifiers: &VersionSpecifiers) -> VersionSet {
    specifiers.iter().fold(VersionSet::full(), |set, one| {
        set.intersection(&specifier_set(one))
    })
}

fn specifier_set(specifier: &VersionSpecifier) -> VersionSet {
    let version = specifier.version();
    match specifier.operator() {
        Operator::Equal if version.local().is_empty() => release_and_locals(version),
        Operator::NotEqual if version.local().is_empty() => {
            release_and_locals(version).complement()
        }
        Operator::LessThanEqual if version.local().is_empty() => {
            VersionSet::strictly_lower_than(after_locals(version))
        }
        // `~=` needs two release segments; the parser sees to that, but a malformed value must
        // not bring the program down.
        Operator::TildeEqual if version.release().len() < 2 => VersionSet::empty(),
        _ => VersionSet::from(specifier.clone()),
    }
}

/// A release together with every local version of it.
pub fn release_and_locals(version: &Version) -> VersionSet {
    VersionSet::between(version.clone(), after_locals(version))
}

/// The lowest version above all local versions of `version`: the next `.devN`, the next `.postN`
/// at its `.dev0`, or `.post0.dev0`.
fn after_locals(version: &Version) -> Version {
    let version = version.clone().without_local();
    if let Some(dev) = version.dev() {
        version.with_dev(Some(dev + 1))
    } else {
        let post = version.post().map_or(0, |post| post + 1);
        version.with_post(Some(post)).with_dev(Some(0))
    }
}

/// The one release a set admits, if it was pinned with `==` or `===`.
pub fn pinned(set: &VersionSet) -> Option<&Version> {
    use std::ops::Bound::{Excluded, Included};
    match set.bounding_range()? {
        (Included(low), Included(high)) if low == high => Some(low),
        (Included(low), Excluded(high)) if *high == after_locals(low) => Some(low),
        _ => None,
    }
}

/// Whether any specifier names a pre-release, which makes pre-releases acceptable (PEP 440).
pub fn mentions_prerelease(specifiers: &VersionSpecifiers) -> bool {
    specifiers.iter().any(|one| {
        one.any_prerelease()
            && !matches!(one.operator(), Operator::NotEqual | Operator::NotEqualStar)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn set(text: &str) -> VersionSet {
        to_set(&text.parse().unwrap())
    }

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn local_versions_follow_their_release() {
        for (spec, candidate, fits) in [
            ("==2.9.0", "2.9.0+cu128", true),
            ("==2.9.0", "2.9.0.post1", false),
            ("==2.9.0+cu128", "2.9.0", false),
            ("==2.9.0+cu128", "2.9.0+cu128", true),
            ("!=2.9.0", "2.9.0+cpu", false),
            ("<=2.9.0", "2.9.0+rocm6.4", true),
            ("<=2.9.0", "2.9.1", false),
            (">2.9.0", "2.9.0+cu128", false),
            (">2.9.0", "2.9.0.post1", false),
            (">=2.9.0", "2.9.0+cu128", true),
            ("<2.9.0", "2.9.0rc1", false),
            ("<2.9.0", "2.8.9", true),
            ("~=2.2", "2.9", true),
            ("~=2.2.0", "2.3", false),
            ("==2.*", "2.15.0+cpu", true),
            ("==1.0.dev1", "1.0.dev1+x", true),
            ("==1.0.post1", "1.0.post1+x", true),
            ("==1.0.post1", "1.0.post2", false),
        ] {
            assert_eq!(
                set(spec).contains(&version(candidate)),
                fits,
                "{candidate} in {spec}"
            );
        }
    }

    #[test]
    fn pins_are_recognised() {
        assert_eq!(pinned(&set("==1.2")), Some(&version("1.2")));
        assert_eq!(pinned(&set("==1.2+cpu")), Some(&version("1.2+cpu")));
        assert_eq!(pinned(&set(">=1.2,<1.3")), None);
        assert_eq!(pinned(&set("==1.2.*")), None);
    }
}
