//! Another version of the tool than its manifest is made for: `TOOL==VERSION`, and the search for
//! an older release that works.
//!
//! What a manifest says of toolkit versions it says of the releases in its range: vLLM from some
//! release on comes for CUDA 13 alone, an older one for CUDA 12. Outside of the range the rule is
//! what those who build such packages do: they build against the torch of the default index. So
//! torch is taken from there and from nowhere else.

use std::borrow::Cow;

use super::{
    Request, SolveError,
    accelerators::AcceleratorChoices,
    range::{VersionSet, release_and_locals, to_set},
};
use crate::{
    catalog::manifest::{AcceleratorKind, Manifest, Source},
    index::{IndexId, PackageIndex},
    types::{ExtraName, PackageName, Version, VersionSpecifiers},
};

/// The manifest as it holds for the versions that are asked for.
pub fn tailored<'m>(
    manifest: &'m Manifest,
    versions: Option<&VersionSpecifiers>,
) -> Cow<'m, Manifest> {
    let (Some(versions), Source::Index(_)) = (versions, &manifest.source) else {
        return Cow::Borrowed(manifest);
    };
    let outside = is_outside(manifest, versions);
    let mut tailored = manifest.clone();
    if let Source::Index(source) = &mut tailored.source {
        source.version = versions.clone();
    }
    if outside {
        for needs in tailored.accelerators.values_mut() {
            needs.version = VersionSpecifiers::empty();
        }
    }
    Cow::Owned(tailored)
}

/// Whether versions are asked for that the manifest does not speak of.
pub fn is_outside(manifest: &Manifest, versions: &VersionSpecifiers) -> bool {
    match &manifest.source {
        Source::Index(source) => !to_set(versions).subset_of(&to_set(&source.version)),
        Source::Tree(_) => false,
    }
}

/// What to know of a version that the manifest does not speak of.
pub fn remark(request: &Request<'_>) -> Option<String> {
    let manifest = request.manifest;
    let versions = request.version.as_ref()?;
    let Source::Index(source) = &manifest.source else {
        return None;
    };
    is_outside(manifest, versions).then(|| {
        format!(
            "what aienv knows of {} is about its versions {}; commands and options of this one may \
             differ",
            manifest.title, source.version
        )
    })
}

/// Whether builds must follow the CUDA of the default index: the manifest limits the toolkit, and
/// the versions asked for are not those it speaks of.
pub fn follows_default(request: &Request<'_>) -> bool {
    let limits = request
        .manifest
        .accelerators
        .get(&AcceleratorKind::Cuda)
        .is_some_and(|needs| !needs.version.is_empty());
    let versions = request.version.as_ref();
    limits && versions.is_some_and(|versions| is_outside(request.manifest, versions))
}

/// Leaves the CUDA builds of the default index alone.
pub fn follow_default(choices: &mut AcceleratorChoices) {
    choices
        .options
        .retain(|option| option.kind != AcceleratorKind::Cuda || option.torch_index.is_none());
}

/// The packages the tool itself may be: one for most tools, several where an accelerator has a
/// package of its own.
fn packages(manifest: &Manifest) -> Vec<PackageName> {
    let Source::Index(source) = &manifest.source else {
        return Vec::new();
    };
    let own = manifest.accelerators.values();
    let own = own.filter_map(|needs| needs.package.as_ref());
    let names = std::iter::once(&source.package).chain(own);
    names.filter_map(|name| name.parse().ok()).collect()
}

/// An error if the one version that is asked for does not exist. An index that cannot be asked
/// will say so when the plan is made.
pub fn must_exist(request: &Request<'_>, index: &dyn PackageIndex) -> Result<(), SolveError> {
    let Some(version) = request.version.as_ref().and_then(exact) else {
        return Ok(());
    };
    let wanted = release_and_locals(version);
    let mut known: Vec<Version> = Vec::new();
    for package in packages(request.manifest) {
        match index.releases(&IndexId::Default, &package) {
            Ok(releases) => known.extend(releases.versions.keys().cloned()),
            Err(_) => return Ok(()),
        }
    }
    if known.is_empty() || known.iter().any(|known| wanted.contains(known)) {
        return Ok(());
    }
    Err(SolveError::NoSuchVersion {
        tool: request.manifest.name.clone(),
        version: version.clone(),
        nearest: neighbours(version, known),
    })
}

/// The one version of `==version`.
fn exact(versions: &VersionSpecifiers) -> Option<&Version> {
    match &versions[..] {
        [one] if *one.operator() == pep440_rs::Operator::Equal => Some(one.version()),
        _ => None,
    }
}

/// The next lower, the next higher and the newest release, in this order, each once.
fn neighbours(version: &Version, mut known: Vec<Version>) -> Vec<Version> {
    if known.iter().any(|known| !known.any_prerelease()) {
        known.retain(|known| !known.any_prerelease());
    }
    known.sort();
    let below = known.iter().rfind(|known| *known < version);
    let above = known.iter().find(|known| *known > version);
    let mut nearest: Vec<Version> = [below, above, known.last()]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    nearest.dedup();
    nearest
}

/// The versions below those a manifest is made for, the newest `RELEASES` of them. Absent where
/// there is no lower limit or nothing below it.
pub fn older(request: &Request<'_>, index: &dyn PackageIndex) -> Option<VersionSpecifiers> {
    /// Each may cost a question to the index, and very old ones are another program.
    const RELEASES: usize = 60;
    let Source::Index(source) = &request.manifest.source else {
        return None;
    };
    let range = to_set(&source.version);
    let (std::ops::Bound::Included(floor) | std::ops::Bound::Excluded(floor), _) =
        range.bounding_range()?
    else {
        return None;
    };
    let package = source.package.parse().ok()?;
    let releases = index.releases(&IndexId::Default, &package).ok()?;
    let below = VersionSet::strictly_lower_than(floor.clone());
    let older = releases.versions.keys().rev();
    let lowest = older
        .filter(|version| below.contains(version) && !version.any_prerelease())
        .take(RELEASES)
        .last()?;
    format!(">={lowest},<{floor}").parse().ok()
}

/// Whether the newest release in the manifest's range requires torch itself.
pub fn needs_torch(request: &Request<'_>, index: &dyn PackageIndex) -> bool {
    let Source::Index(source) = &request.manifest.source else {
        return false;
    };
    let newest = || {
        let range = to_set(&source.version);
        let package = source.package.parse().ok()?;
        let releases = index.releases(&IndexId::Default, &package).ok()?;
        let mut versions = releases.versions.iter().rev();
        let (_, files) =
            versions.find(|(version, _)| range.contains(version) && !version.any_prerelease())?;
        index.metadata(files.first()?).ok()
    };
    let accelerators = request.manifest.accelerators.values();
    let of_accelerators = accelerators.flat_map(|needs| &needs.extras);
    let extras: Vec<ExtraName> = source
        .extras
        .iter()
        .chain(of_accelerators)
        .filter_map(|extra| extra.parse().ok())
        .collect();
    newest().is_some_and(|metadata| {
        metadata.requires_dist.iter().any(|requirement| {
            requirement.name.as_ref() == "torch" && requirement.marker.evaluate_extras(&extras)
        })
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_nearest_of_a_version_that_does_not_exist() {
        let near = |version: &str, known: &[&str]| -> String {
            let known = known.iter().map(|text| text.parse().unwrap()).collect();
            let near = neighbours(&version.parse().unwrap(), known);
            let near: Vec<_> = near.iter().map(ToString::to_string).collect();
            near.join(" ")
        };
        let known = ["1.0", "1.2", "2.0rc1", "1.10"];
        assert_eq!(near("1.1", &known), "1.0 1.2 1.10");
        assert_eq!(near("1.3", &known), "1.2 1.10");
        assert_eq!(near("0.1", &known), "1.0 1.10");
        assert_eq!(near("9", &known), "1.10");
        assert_eq!(near("1.0", &["2.0rc1"]), "2.0rc1");
    }
}
