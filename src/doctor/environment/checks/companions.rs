//! `environment.companions`: packages that must be of one release or build, and are not.
//!
//! torch's companions are compiled against one release of it; the tables of [`TorchFacts`] say
//! which belong together, the packages' own metadata says what each asks for, and the builds
//! (CUDA 12.8, CPU …) are told by version files. Libraries of NVIDIA's must be those that torch
//! asks for. Any other requirement that is not met is worth a note: most are stricter than need be.

use std::collections::BTreeSet;

use pep508_rs::VersionOrUrl;

use crate::{
    compat::torch::{TorchFacts, TorchVersion},
    doctor::{
        Cause, Fix,
        environment::{Package, Subject, TorchBuild},
        machine::Verdict,
    },
    solve::marker_environment,
    types::{Accelerator, PackageName, Requirement, Version},
};

/// Requirements that are named.
const NAMED: usize = 5;

/// A requirement that is not met.
struct Unmet<'a> {
    by: &'a Package,
    requirement: &'a Requirement,
    found: Option<&'a Version>,
}

impl Unmet<'_> {
    fn told(&self) -> String {
        let found = match self.found {
            Some(version) => format!("{version} is installed"),
            None => "it is not installed".to_owned(),
        };
        let (by, wanted) = (self.by.spelled(), self.wanted());
        format!("{by} asks for {wanted}, and {found}")
    }

    /// Whether what is there is a later release than the one that is asked for, of its major
    /// version.
    fn is_later_of_same_major(&self) -> bool {
        let Some(VersionOrUrl::VersionSpecifier(wanted)) = &self.requirement.version_or_url else {
            return false;
        };
        self.found.is_some_and(|found| {
            wanted.iter().all(|wanted| {
                wanted.version() <= found
                    && wanted.version().release().first() == found.release().first()
            })
        })
    }

    /// The requirement without its condition.
    fn wanted(&self) -> String {
        let mut wanted = self.requirement.clone();
        wanted.marker = Default::default();
        wanted.to_string()
    }
}

/// Judges what packages ask of each other.
pub fn check(subject: &Subject<'_>) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let unmet = unmet(subject);
    let family = &TorchFacts::embedded().family;
    let (of_family, rest): (Vec<_>, Vec<_>) = unmet.into_iter().partition(|unmet| {
        let is_member = |name: &PackageName| family.contains(name);
        is_member(&unmet.requirement.name) && is_member(&unmet.by.name)
    });
    let (of_nvidia, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_for_nvidia);
    verdicts.extend(companions(subject, &of_family));
    verdicts.extend(nvidia(subject, &of_nvidia));
    verdicts.extend(others(&rest));
    if verdicts.is_empty() && !subject.installed.is_empty() {
        verdicts.push(Verdict::works("packages have what they ask of each other"));
    }
    verdicts
}

/// Requirements without extras that hold here and are not met.
fn unmet<'a>(subject: &'a Subject<'_>) -> Vec<Unmet<'a>> {
    let Some(python) = &subject.environment.version else {
        return Vec::new();
    };
    let mut target = subject.host.target();
    target.os = subject.environment.os;
    let markers = marker_environment(&target, python);
    let mut unmet = Vec::new();
    // conda's solver goes by requirements of its own; what the metadata says is not kept to.
    for package in subject
        .installed
        .iter()
        .filter(|package| !package.is_conda())
    {
        for requirement in &package.requires {
            if !requirement.marker.evaluate(&markers, &[]) {
                continue;
            }
            let found = subject.installed.get(requirement.name.as_ref());
            let version = found.and_then(|found| found.version.as_ref());
            let is_met = match (&requirement.version_or_url, version) {
                (_, None) => found.is_some(),
                (Some(VersionOrUrl::VersionSpecifier(wanted)), Some(version)) => {
                    // A local build of a version that is asked for is that version (PEP 440).
                    wanted.contains(version) || wanted.contains(&version.clone().without_local())
                }
                _ => true,
            };
            if !is_met {
                unmet.push(Unmet {
                    by: package,
                    requirement,
                    found: version,
                });
            }
        }
    }
    unmet
}

fn companions(subject: &Subject<'_>, unmet: &[Unmet<'_>]) -> Option<Verdict> {
    let torch = subject.torch.as_ref()?;
    let mut reasons: Vec<String> = unmet.iter().map(Unmet::told).collect();
    let mut set = vec![format!("torch=={}", torch.public())];
    let row = row_of(&torch.public());
    for name in ["torchvision", "torchaudio"] {
        let Some(installed) = subject.installed.version(name) else {
            continue;
        };
        let matching = row.and_then(|row| match name {
            "torchvision" => Some(&row.torchvision),
            _ => row.torchaudio.as_ref(),
        });
        set.push(match matching {
            Some(version) => format!("{name}=={version}"),
            None => name.to_owned(),
        });
        if let Some(matching) = matching
            && !same_feature(installed, matching)
            && !unmet.iter().any(|unmet| unmet.by.name.as_ref() == name)
        {
            reasons.push(format!(
                "{name} {installed} is not the one made for torch {} ({matching})",
                torch.public()
            ));
        }
        reasons.extend(other_build(subject, torch, name));
    }
    // What else is compiled for one torch, and says for which.
    for unmet in unmet
        .iter()
        .filter(|unmet| unmet.requirement.name.as_ref() == "torch")
    {
        let name = unmet.by.name.to_string();
        if matches!(name.as_str(), "torchvision" | "torchaudio") {
            continue;
        }
        let matching = row.and_then(|row| row.xformers.as_ref());
        set.push(match matching.filter(|_| name == "xformers") {
            Some(version) => format!("{name}=={version}"),
            None => name,
        });
    }
    let title = match reasons.len() {
        0 => return None,
        _ => format!("companions of torch {} do not fit it", torch.public()),
    };
    let words: Vec<&str> = set.iter().map(String::as_str).collect();
    let mut verdict = Verdict::problem(title)
        .cause(Cause::TorchCompanionMismatch)
        .because(
            "torchvision, torchaudio and the like are compiled against one release and one build \
             of torch. Others fail at import (`operator torchvision::nms does not exist`, undefined \
             symbols) or have no code for the GPU.",
        )
        .fix(subject.commands.install_torch(
            "Install the set that belongs together, from one index",
            &words,
            torch.accelerator(),
        ));
    for reason in reasons {
        verdict = verdict.seen(reason);
    }
    Some(verdict)
}

/// The table's row of a torch release.
fn row_of(torch: &Version) -> Option<&'static TorchVersion> {
    let releases = &TorchFacts::embedded().torch;
    let mut rows = releases.iter().flat_map(|release| &release.version);
    rows.find(|row| row.version == *torch)
}

/// Whether two versions are of one feature release: patch releases of companions and torch do not
/// always come in step.
fn same_feature(a: &Version, b: &Version) -> bool {
    a.release().iter().take(2).eq(b.release().iter().take(2))
}

/// A companion of another build than torch: for another CUDA, or for none. What the metadata calls
/// one version then has no code for the GPU, or for libraries that are not there.
fn other_build(subject: &Subject<'_>, torch: &TorchBuild, name: &str) -> Option<String> {
    let companion = TorchBuild::of_package(&subject.installed, name, name)?;
    let (own, its) = (torch.accelerator(), companion.local_accelerator()?);
    let same = match (own, its) {
        // Companions are released for fewer minor versions, and check the major one.
        (Accelerator::Cuda(a, x), Accelerator::Cuda(b, y)) => {
            a == b && (name != "torchaudio" || x == y)
        }
        (own, its) => {
            own.kind() == its.kind() || (own == Accelerator::Mps && its == Accelerator::Cpu)
        }
    };
    (!same).then(|| {
        format!(
            "{name} {} is a build for {its}, torch one for {own}",
            companion.public()
        )
    })
}

/// Requirements for libraries of NVIDIA's. Later ones of the same major version serve what was made
/// with earlier ones (CUDA's minor version compatibility), and are put in on purpose.
fn is_for_nvidia(unmet: &Unmet<'_>) -> bool {
    unmet.requirement.name.as_ref().starts_with("nvidia-") && !unmet.is_later_of_same_major()
}

/// Installs the libraries of NVIDIA's that packages ask for in a release that is not there; `None`
/// where they have what they ask for.
pub fn cuda_libraries(subject: &Subject<'_>) -> Option<Fix> {
    let mut unmet = unmet(subject);
    unmet.retain(is_for_nvidia);
    (!unmet.is_empty()).then(|| install_nvidia(subject, &unmet))
}

fn install_nvidia(subject: &Subject<'_>, unmet: &[Unmet<'_>]) -> Fix {
    let wanted: BTreeSet<String> = unmet.iter().map(Unmet::wanted).collect();
    let words: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let text = "Install the releases that are asked for";
    subject.commands.install(text, &words)
}

fn nvidia(subject: &Subject<'_>, unmet: &[Unmet<'_>]) -> Option<Verdict> {
    let by = unmet.first()?.by.spelled();
    let verdict = match unmet.iter().all(|unmet| unmet.found.is_none()) {
        true => Verdict::problem(format!(
            "CUDA libraries that {by} asks for are not installed"
        ))
        .cause(Cause::CudaLibsMissing)
        .because("It is linked with them, and they come as packages of their own."),
        false => Verdict::problem(format!(
            "CUDA libraries are not those that {by} was made with"
        ))
        .cause(Cause::MixedCudaWheels)
        .because(
            "NVIDIA's libraries of different releases do not always work together: symbols \
                 are missing, or cuDNN refuses its own parts.",
        ),
    };
    let verdict = verdict.sure(0.85).fix(install_nvidia(subject, unmet));
    Some(
        unmet
            .iter()
            .take(NAMED)
            .fold(verdict, |verdict, unmet| verdict.seen(unmet.told())),
    )
}

fn others(unmet: &[Unmet<'_>]) -> Option<Verdict> {
    if unmet.is_empty() {
        return None;
    }
    let mut verdict = Verdict::note(format!(
        "{} of the requirements between packages {} not met",
        unmet.len(),
        if unmet.len() == 1 { "is" } else { "are" }
    ))
    .because(format!(
        "{}. Packages were installed one after the other, and later ones did not ask the earlier \
         ones. It may do no harm.",
        unmet.first().map(Unmet::told).unwrap_or_default()
    ));
    for unmet in unmet.iter().take(NAMED) {
        verdict = verdict.seen(unmet.told());
    }
    Some(verdict)
}
