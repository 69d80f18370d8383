//! Manifests that can never be satisfied, found from the facts alone.
//!
//! No index is asked, so nothing is said of what packages require; a contradiction found here holds
//! on every machine and with every index. Requirements with a marker may hold on some machines
//! only, and are left alone.

use std::collections::BTreeMap;

use pep508_rs::VersionOrUrl;

use super::{
    accelerators::{accepts, series},
    range::{VersionSet, to_set},
};
use crate::{
    catalog::manifest::{AcceleratorKind, AcceleratorNeeds, Manifest, Source},
    compat::{
        cuda::{Capability, Code, CudaFacts},
        python::PythonFacts,
        rocm::RocmFacts,
        torch::{TorchFacts, TorchRelease},
    },
    types::{Accelerator, Arch, Os, PackageName, PythonVersion, Version, parse_requirement},
};

/// One thing that rules out every plan, or every plan on one kind of accelerator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impossible {
    /// Where it stands in the manifest: `packages.constraints[0]`, `accelerators.cuda.version`.
    pub place: String,
    /// What is wrong, and why.
    pub why: String,
}

/// Everything in a manifest that can never be satisfied.
pub fn lint(manifest: &Manifest) -> Vec<Impossible> {
    let mut found = Vec::new();
    let common = stated(manifest, None, &mut found);
    pythons(manifest, common.get("torch"), &mut found);
    for (kind, needs) in &manifest.accelerators {
        // What is wrong without the accelerator's own requirements has been told.
        let mut again = Vec::new();
        let wanted = stated(manifest, Some((*kind, needs)), &mut again);
        again.retain(|one| !found.contains(one));
        found.extend(again);
        let check = Check {
            kind: *kind,
            needs,
            torch: wanted.get("torch"),
        };
        found.extend(check.run());
    }
    found
}

/// What a manifest wants of one package.
struct Wanted {
    versions: VersionSet,
    /// The requirements so far, as written.
    texts: Vec<String>,
    /// Where the last of them stands.
    place: String,
}

/// What a manifest wants of each package it names, on one kind of accelerator; contradictions are
/// noted.
fn stated(
    manifest: &Manifest,
    accelerator: Option<(AcceleratorKind, &AcceleratorNeeds)>,
    found: &mut Vec<Impossible>,
) -> BTreeMap<String, Wanted> {
    let packages = &manifest.packages;
    let listed = |place: &str, texts: &[String]| -> Vec<(String, String)> {
        let texts = texts.iter().enumerate();
        texts
            .map(|(at, text)| (format!("{place}[{at}]"), text.clone()))
            .collect()
    };
    let mut all = Vec::new();
    if let Source::Index(source) = &manifest.source {
        let own = accelerator.and_then(|(_, needs)| needs.package.as_ref());
        let package = own.unwrap_or(&source.package);
        let text = format!("{package}{}", source.version);
        all.push(("source.index.version".to_owned(), text));
    }
    all.extend(listed("packages.requires", &packages.requires));
    all.extend(listed("packages.constraints", &packages.constraints));
    if let Some((kind, needs)) = accelerator {
        let place = format!("accelerators.{kind}.requires");
        all.extend(listed(&place, &needs.requires));
    }
    let mut overridden = BTreeMap::new();
    for (place, text) in listed("packages.overrides", &packages.overrides) {
        add(&mut overridden, place, &text, found);
    }
    let mut wanted = BTreeMap::new();
    for (place, text) in all {
        add(&mut wanted, place, &text, found);
    }
    // An override replaces whatever anybody wants of its package.
    wanted.extend(overridden);
    wanted
}

fn add(
    known: &mut BTreeMap<String, Wanted>,
    place: String,
    text: &str,
    found: &mut Vec<Impossible>,
) {
    let Ok(requirement) = parse_requirement(text) else {
        return;
    };
    let versions = match &requirement.version_or_url {
        _ if !requirement.marker.is_true() => return,
        Some(VersionOrUrl::VersionSpecifier(versions)) => to_set(versions),
        Some(VersionOrUrl::Url(_)) => return,
        None => VersionSet::full(),
    };
    let name: &PackageName = &requirement.name;
    let wanted = known.entry(name.to_string()).or_insert_with(|| Wanted {
        versions: VersionSet::full(),
        texts: Vec::new(),
        place: String::new(),
    });
    let both = wanted.versions.intersection(&versions);
    if both == VersionSet::empty() {
        let why = match &wanted.texts[..] {
            // Those before it were told when they came to contradict each other.
            _ if wanted.versions == VersionSet::empty() => return,
            [] => format!("no version can be `{text}`"),
            texts => format!(
                "no version of {name} is both `{}` and `{text}`",
                texts.join("`, `")
            ),
        };
        found.push(Impossible {
            place: place.clone(),
            why,
        });
    }
    wanted.versions = both;
    wanted.place = place;
    if versions != VersionSet::full() {
        wanted.texts.push(text.to_owned());
    }
}

impl Wanted {
    fn accepts(&self, release: &TorchRelease) -> bool {
        !self
            .versions
            .is_disjoint(&series(release, TorchFacts::embedded()))
    }

    fn told(&self) -> String {
        format!("`{}`", self.texts.join("`, `"))
    }

    /// Whether anything is asked that some version could satisfy.
    fn limits(&self) -> bool {
        !self.texts.is_empty() && self.versions != VersionSet::empty()
    }
}

/// Python, and Python together with torch.
fn pythons(manifest: &Manifest, torch: Option<&Wanted>, found: &mut Vec<Impossible>) {
    let range = to_set(&manifest.python.requires);
    let accepted = |python: PythonVersion| {
        let feature = Version::new([u64::from(python.major), u64::from(python.minor)]);
        let next = Version::new([u64::from(python.major), u64::from(python.minor) + 1]);
        !VersionSet::between(feature, next).is_disjoint(&range)
    };
    let mut impossible = |why: String| {
        found.push(Impossible {
            place: "python.requires".to_owned(),
            why,
        });
    };
    let known: Vec<PythonVersion> = PythonFacts::embedded()
        .python
        .iter()
        .map(|row| row.release)
        .filter(|python| accepted(*python))
        .collect();
    if known.is_empty() {
        impossible(format!("no Python is {}", manifest.python.requires));
        return;
    }
    let Some(torch) = torch.filter(|torch| torch.limits()) else {
        return;
    };
    let releases = TorchFacts::embedded().torch.iter();
    let mut releases = releases.filter(|release| torch.accepts(release)).peekable();
    if releases.peek().is_none() {
        // Older or newer than the table; what that needs is not known.
        return;
    }
    let fits = |release: &TorchRelease| {
        let pythons = release.python.iter().chain(&release.python_linux_x86_64);
        pythons.copied().any(accepted)
    };
    if !releases.any(fits) {
        impossible(format!(
            "no torch of {} has wheels for Python {}",
            torch.told(),
            manifest.python.requires
        ));
    }
}

/// One kind of accelerator of a manifest.
struct Check<'m> {
    kind: AcceleratorKind,
    needs: &'m AcceleratorNeeds,
    torch: Option<&'m Wanted>,
}

impl Check<'_> {
    fn run(&self) -> Option<Impossible> {
        let (place, why) = match self.kind {
            AcceleratorKind::Cuda => self.cuda(),
            AcceleratorKind::Rocm => self.rocm(),
            AcceleratorKind::Xpu => self.any_torch("xpu", |release| !release.xpu.is_empty()),
            AcceleratorKind::Mps => self.any_torch("mps", |release| {
                release.default_build(Os::Macos, Arch::Aarch64) == Some(Accelerator::Mps)
            }),
            // Every release has builds for the processor.
            AcceleratorKind::Cpu => None,
        }?;
        let kind = self.kind;
        let place = match place {
            "" => format!("accelerators.{kind}"),
            key => format!("accelerators.{kind}.{key}"),
        };
        Some(Impossible { place, why })
    }

    /// The releases of torch that the manifest accepts.
    fn releases(&self) -> impl Iterator<Item = &'static TorchRelease> {
        let releases = TorchFacts::embedded().torch.iter();
        releases.filter(|release| self.torch.is_none_or(|torch| torch.accepts(release)))
    }

    /// The manifest speaks of a torch that the table does not have.
    fn is_beyond_the_table(&self) -> bool {
        let torch = self.torch.filter(|torch| torch.limits());
        torch.is_some() && self.releases().next().is_none()
    }

    fn any_torch(
        &self,
        build: &str,
        has: impl Fn(&TorchRelease) -> bool,
    ) -> Option<(&'static str, String)> {
        if self.is_beyond_the_table() || self.releases().any(has) {
            return None;
        }
        let torch = self.torch.map_or_else(String::new, Wanted::told);
        Some(("", format!("no torch of {torch} has a build for {build}")))
    }

    fn cuda(&self) -> Option<(&'static str, String)> {
        let facts = TorchFacts::embedded();
        let range = &self.needs.version;
        let known = [Arch::X86_64, Arch::Aarch64].map(|arch| facts.cuda_builds(arch));
        let known = known.iter().flatten();
        if !known.clone().any(|build| accepts(range, *build)) {
            return Some(("version", format!("no build of torch is for CUDA {range}")));
        }
        let text = self.needs.min_compute_capability.as_deref();
        let least: Option<Capability> = text.and_then(|text| text.parse().ok());
        let generations = CudaFacts::embedded().architecture.iter();
        let cards: Vec<Capability> = generations
            .flat_map(|generation| generation.capabilities.iter().copied())
            .filter(|card| least.is_none_or(|least| *card >= least))
            .collect();
        if cards.is_empty() {
            let text = text.unwrap_or_default();
            let why = format!("no GPU has compute capability {text} or more");
            return Some(("min-compute-capability", why));
        }
        if self.is_beyond_the_table() {
            return None;
        }
        let builds = |release: &'static TorchRelease| {
            let x86 = release.builds.iter();
            let arm = release.builds_aarch64.iter();
            let all = x86.chain(arm);
            all.filter(|(build, _)| accepts(range, **build))
        };
        let mut published = self.releases().flat_map(builds).peekable();
        if published.peek().is_none() {
            let torch = self.torch.map_or_else(String::new, Wanted::told);
            let range = match range.is_empty() {
                true => String::new(),
                false => format!(" {range}"),
            };
            return Some((
                "version",
                format!("no torch of {torch} has a build for CUDA{range}"),
            ));
        }
        let mut code = published.flat_map(|(_, code)| code);
        let runs = |code: &Code, card: Capability| code.runs_on(card) || code.compiles_for(card);
        if code.any(|code| cards.iter().any(|card| runs(code, *card))) {
            return None;
        }
        let text = text.unwrap_or_default();
        Some((
            "min-compute-capability",
            format!(
                "no build that the manifest accepts has code for compute capability {text} or more"
            ),
        ))
    }

    fn rocm(&self) -> Option<(&'static str, String)> {
        let range = &self.needs.version;
        let builds = RocmFacts::embedded().build.iter();
        let accepted: Vec<_> = builds.filter(|build| accepts(range, build.build)).collect();
        if accepted.is_empty() {
            return Some(("version", format!("no build of torch is for ROCm {range}")));
        }
        let compiled = |gfx: &String| accepted.iter().any(|build| build.gfx.contains(gfx));
        let overridden = |gfx: &String| {
            let rows = RocmFacts::embedded().overrides.iter();
            let mut rows =
                rows.filter(|row| row.practised.contains(gfx) || row.tried.contains(gfx));
            rows.any(|row| compiled(&row.target))
        };
        let gfx = &self.needs.gfx;
        if !gfx.is_empty() && !gfx.iter().any(|gfx| compiled(gfx) || overridden(gfx)) {
            let why = format!("no ROCm build has code for {}", gfx.join(" or "));
            return Some(("gfx", why));
        }
        if self.is_beyond_the_table() {
            return None;
        }
        let mut published = self.releases().flat_map(|release| &release.rocm);
        if published.any(|build| accepts(range, *build)) {
            return None;
        }
        let torch = self.torch.map_or_else(String::new, Wanted::told);
        let range = match range.is_empty() {
            true => String::new(),
            false => format!(" {range}"),
        };
        Some((
            "version",
            format!("no torch of {torch} has a build for ROCm{range}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::catalog::{Catalog, read};

    /// A sound manifest for all accelerators with more tables.
    fn manifest(more: &str) -> Manifest {
        let text = format!(
            "schema = 1\nname = \"t\"\ntitle = \"T\"\nsummary = \"s\"\n\
             homepage = \"https://index.example\"\nlicence = \"MIT\"\ncategory = \"image\"\n\
             [source.index]\npackage = \"t\"\nversion = \">=2\"\n\
             [commands.t]\nrun = [\"{{python}}\"]\n{more}"
        );
        read(&text).unwrap_or_else(|findings| panic!("{findings:?}"))
    }

    fn told(more: &str) -> Vec<String> {
        let found = lint(&manifest(more)).into_iter();
        found
            .map(|one| format!("{}: {}", one.place, one.why))
            .collect()
    }

    #[test]
    fn the_catalogue_can_be_satisfied() {
        for loaded in Catalog::embedded().entries() {
            assert_eq!(lint(&loaded.manifest), [], "{}", loaded.manifest.name);
        }
    }

    #[test]
    fn what_can_be_satisfied_is_left_alone() {
        for more in [
            "[accelerators.cpu]\n[accelerators.cuda]\n[accelerators.rocm]\n[accelerators.xpu]\n[accelerators.mps]",
            "[packages]\nconstraints = [\"torch>=2.7,<2.15\"]\n[accelerators.cuda]\nversion = \">=12.6\"\nmin-compute-capability = \"7.5\"",
            // On different machines.
            "[packages]\nrequires = [\"a<1; os_name == 'nt'\", \"a>2; os_name == 'posix'\"]\n[accelerators.cpu]",
            // An override replaces what contradicts it.
            "[packages]\nconstraints = [\"torch<2.7\"]\noverrides = [\"torch>=2.14\"]\n[accelerators.cuda]\nversion = \">=13\"",
            // Newer than any torch the table knows.
            "[packages]\nconstraints = [\"torch>=99\"]\n[accelerators.cuda]\n[accelerators.xpu]",
            // Each accelerator has requirements of its own.
            "[accelerators.cpu]\nrequires = [\"a<1\"]\n[accelerators.cuda]\nrequires = [\"a>1\"]",
            "[accelerators.rocm]\ngfx = [\"gfx1031\", \"gfx1100\"]",
        ] {
            assert_eq!(told(more), [] as [&str; 0], "{more}");
        }
    }

    #[test]
    fn contradictions_are_found_where_they_stand() {
        for (more, what) in [
            (
                "[packages]\nrequires = [\"torch>=2.15\"]\nconstraints = [\"torch<2.14\"]\n[accelerators.cpu]",
                "packages.constraints[0]: no version of torch is both `torch>=2.15` and `torch<2.14`",
            ),
            (
                "[packages]\nconstraints = [\"t<2\"]\n[accelerators.cpu]",
                "packages.constraints[0]: no version of t is both `t>=2` and `t<2`",
            ),
            (
                "[packages]\nconstraints = [\"a>2,<1\"]\n[accelerators.cpu]",
                "packages.constraints[0]: no version can be `a>2,<1`",
            ),
            (
                "[packages]\nconstraints = [\"a<1\"]\n[accelerators.cpu]\n[accelerators.cuda]\nrequires = [\"a>=1\"]",
                "accelerators.cuda.requires[0]: no version of a is both `a<1` and `a>=1`",
            ),
            (
                "[python]\nrequires = \">=3.13,<3.12\"\n[accelerators.cpu]",
                "python.requires: no Python is <3.12, >=3.13",
            ),
            (
                "[python]\nrequires = \">=3.14\"\n[packages]\nconstraints = [\"torch<2.6\"]\n[accelerators.cpu]",
                "python.requires: no torch of `torch<2.6` has wheels for Python >=3.14",
            ),
            (
                "[accelerators.cuda]\nversion = \">=99\"",
                "accelerators.cuda.version: no build of torch is for CUDA >=99",
            ),
            (
                "[accelerators.rocm]\nversion = \"<1\"",
                "accelerators.rocm.version: no build of torch is for ROCm <1",
            ),
            (
                "[accelerators.cuda]\nmin-compute-capability = \"99.0\"",
                "accelerators.cuda.min-compute-capability: no GPU has compute capability 99.0 or more",
            ),
            (
                "[accelerators.cuda]\nversion = \"<12\"\nmin-compute-capability = \"12.0\"",
                "accelerators.cuda.min-compute-capability: no build that the manifest accepts has code for compute capability 12.0 or more",
            ),
            (
                "[packages]\nconstraints = [\"torch<2.6\"]\n[accelerators.cuda]\nversion = \">=13\"",
                "accelerators.cuda.version: no torch of `torch<2.6` has a build for CUDA >=13",
            ),
            (
                "[packages]\nconstraints = [\"torch<2.4\"]\n[accelerators.xpu]",
                "accelerators.xpu: no torch of `torch<2.4` has a build for xpu",
            ),
            (
                "[accelerators.rocm]\ngfx = [\"gfx600\"]",
                "accelerators.rocm.gfx: no ROCm build has code for gfx600",
            ),
            (
                "[packages]\nconstraints = [\"torch>=2.14\"]\n[accelerators.rocm]\nversion = \"<6.3\"",
                "accelerators.rocm.version: no torch of `torch>=2.14` has a build for ROCm <6.3",
            ),
        ] {
            assert_eq!(told(more), [what]);
        }
    }
}
