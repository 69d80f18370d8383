//! Releases of torch, their builds and companions.

use super::{Findings, Tables, cuda::reachable, newest_first, repeated};
use crate::{
    compat::torch::{Code, TorchRelease, TorchVersion},
    types::{Accelerator, Arch, Os, Version},
};

const TABLE: &str = "torch.toml";

/// What every torch index carries beside torch, and the table must call its family.
const NEAREST_FAMILY: [&str; 5] = ["torch", "torchvision", "torchaudio", "triton", "xformers"];

/// Checks `torch.toml` against itself and the other tables.
pub(super) fn check(tables: &Tables, findings: &mut Findings) {
    let facts = &tables.torch;
    newest_first(TABLE, facts.torch.iter().map(|r| &r.release), findings);
    let all = facts.torch.iter().flat_map(|r| r.version.iter());
    newest_first(TABLE, all.map(|v| &v.version), findings);
    let firsts = facts.torch.iter().filter_map(|r| r.version.last());
    newest_first(TABLE, firsts.map(|v| v.released), findings);
    let tritons: Vec<_> = facts.torch.iter().flat_map(|r| &r.version).collect();
    for pair in tritons.windows(2) {
        findings.require(
            pair[0].triton >= pair[1].triton,
            TABLE,
            &pair[0].version,
            || {
                format!(
                    "its triton {} is older than that of {}",
                    pair[0].triton, pair[1].version
                )
            },
        );
    }
    for release in &facts.torch {
        versions(tables, release, findings);
        defaults(release, findings);
        pythons(tables, release, findings);
        platforms(tables, release, findings);
        for (arch, builds) in [
            (Arch::X86_64, &release.builds),
            (Arch::Aarch64, &release.builds_aarch64),
        ] {
            for (build, code) in builds {
                cuda_build(tables, release, (*build, arch), code, findings);
            }
        }
    }
    for name in NEAREST_FAMILY {
        let known = facts.family.iter().any(|package| package.as_ref() == name);
        findings.require(known, TABLE, "family", || format!("lacks `{name}`"));
    }
    let companions = facts.companion.iter().map(|c| &c.package);
    for package in companions.chain(facts.source_only.iter().map(|c| &c.package)) {
        let known = facts.family.contains(package)
            || facts.source_only.iter().any(|c| c.package == *package);
        findings.require(known, TABLE, package, || "is not in the family".to_owned());
    }
    let last_intel = facts
        .torch
        .iter()
        .find(|r| r.default_build(Os::Macos, Arch::X86_64).is_some());
    let says = &tables.apple.intel.last_torch;
    findings.require(
        last_intel.is_some_and(|r| r.release == *says),
        "apple.toml",
        "intel",
        || format!("says torch {says} is the last for Intel Macs, torch.toml says otherwise"),
    );
}

/// Patch releases: theirs, in order, with companions that work beside the default build.
fn versions(tables: &Tables, release: &TorchRelease, findings: &mut Findings) {
    findings.require(!release.version.is_empty(), TABLE, &release.release, || {
        "has no patch release".to_owned()
    });
    for row in &release.version {
        let about = &row.version;
        let own = row.version.release().starts_with(release.release.release());
        findings.require(own, TABLE, about, || {
            format!("is no patch release of {}", release.release)
        });
        findings.require(row.released <= tables.torch.as_of, TABLE, about, || {
            format!(
                "was released on {}, after the facts were read",
                row.released
            )
        });
        findings.require(row.xformers.is_some(), TABLE, about, || {
            "has no matching xformers".to_owned()
        });
        torchaudio(tables, release, row, findings);
    }
    let dates: Vec<_> = release.version.iter().map(|row| row.released).collect();
    findings.require(
        dates.is_sorted_by(|a, b| a >= b),
        TABLE,
        &release.release,
        || "its patch releases came out in another order".to_owned(),
    );
}

/// A torchaudio that does not name its torch must have the same CUDA; none is named only where
/// that is why.
fn torchaudio(
    tables: &Tables,
    release: &TorchRelease,
    row: &TorchVersion,
    findings: &mut Findings,
) {
    let cuda = release.default_cuda();
    let mut untied = tables
        .torch
        .companion
        .iter()
        .filter(|companion| companion.package.as_ref() == "torchaudio");
    match &row.torchaudio {
        Some(version) => {
            let other = untied
                .find(|c| c.versions.contains(version) && Some(&c.default_cuda) != cuda.as_ref());
            if let Some(other) = other {
                findings.add(
                    TABLE,
                    &row.version,
                    format!(
                        "torchaudio {version} is made with CUDA {}, not that of the default build",
                        other.default_cuda
                    ),
                );
            }
        }
        None => {
            let explained = untied.any(|c| Some(&c.default_cuda) != cuda.as_ref());
            findings.require(explained, TABLE, &row.version, || {
                "has no matching torchaudio, and no companion row says why".to_owned()
            });
        }
    }
}

/// The builds on the Python package index are builds of the release.
fn defaults(release: &TorchRelease, findings: &mut Findings) {
    let about = &release.release;
    for (platform, build) in &release.default {
        let fits = match (platform.os, build) {
            (Os::Linux, Accelerator::Cuda(..)) => release.code(*build, platform.arch).is_some(),
            (Os::Linux | Os::Windows, Accelerator::Cpu) => true,
            (Os::Macos, Accelerator::Mps) => platform.arch == Arch::Aarch64,
            (Os::Macos, Accelerator::Cpu) => platform.arch == Arch::X86_64,
            _ => false,
        };
        findings.require(fits, TABLE, about, || {
            format!("its default build {build} for {platform} is not among its builds")
        });
    }
    let linux = release.default_build(Os::Linux, Arch::X86_64);
    findings.require(linux.is_some(), TABLE, about, || {
        "has no default build for linux-x86_64".to_owned()
    });
    let cuda = release.default_cuda();
    let library = release.libraries.get("cuda");
    let same = match (&cuda, library) {
        (Some(cuda), Some(library)) => library.release().starts_with(cuda.release()),
        (None, None) => true,
        _ => false,
    };
    findings.require(same, TABLE, about, || {
        "its CUDA library is not of the default build's version".to_owned()
    });
    let cudnn = cuda.is_none() || release.libraries.contains_key("cudnn");
    findings.require(cudnn, TABLE, about, || "names no cudnn".to_owned());
}

/// The Pythons are known, were there in time, and satisfy the release's own requirement.
fn pythons(tables: &Tables, release: &TorchRelease, findings: &mut Findings) {
    let about = &release.release;
    let newest = release.version.first().map(|row| row.released);
    findings.require(!release.python.is_empty(), TABLE, about, || {
        "has no Python".to_owned()
    });
    for python in release.python.iter().chain(&release.python_linux_x86_64) {
        let version = Version::new([u64::from(python.major), u64::from(python.minor)]);
        findings.require(
            release.requires_python.contains(&version),
            TABLE,
            about,
            || {
                format!(
                    "has wheels for Python {python} and requires {}",
                    release.requires_python
                )
            },
        );
        match tables.python.release(*python) {
            None => findings.add(
                TABLE,
                about,
                format!("Python {python} is not in python.toml"),
            ),
            Some(known) => {
                findings.require(
                    newest.is_none_or(|day| known.first <= day),
                    TABLE,
                    about,
                    || format!("has wheels for Python {python}, which came out later"),
                );
            }
        }
    }
    for python in release.python.intersection(&release.python_linux_x86_64) {
        findings.add(TABLE, about, format!("lists Python {python} twice"));
    }
    for python in &release.free_threaded {
        findings.require(release.python.contains(python), TABLE, about, || {
            format!("has wheels for free-threaded Python {python} and none for {python}")
        });
    }
}

/// Floors are given for the platforms that have wheels, and agree with Apple's.
fn platforms(tables: &Tables, release: &TorchRelease, findings: &mut Findings) {
    let about = &release.release;
    for (os, floors, name) in [
        (Os::Linux, &release.glibc, "glibc"),
        (Os::Macos, &release.macos, "macOS"),
    ] {
        for arch in [Arch::X86_64, Arch::Aarch64] {
            let wheel = release.default_build(os, arch).is_some();
            findings.require(wheel == floors.get(arch).is_some(), TABLE, about, || {
                format!("names a lowest {name} where it has no wheel, or none where it has one")
            });
        }
    }
    if release.default_build(Os::Macos, Arch::Aarch64) == Some(Accelerator::Mps) {
        let mps = tables.apple.mps_floor(&release.release);
        let wheel = release.macos.get(Arch::Aarch64);
        findings.require(
            mps.is_some() && wheel.is_none_or(|wheel| mps.is_some_and(|mps| wheel <= mps)),
            "apple.toml",
            format!("torch {about}"),
            || "MPS asks for no macOS, or for an older one than the wheel".to_owned(),
        );
    }
    for platform in &release.xpu {
        findings.require(
            release.default.contains_key(platform) && platform.os != Os::Macos,
            TABLE,
            about,
            || format!("has an XPU build for {platform} and no wheel at all"),
        );
    }
}

/// A CUDA build: its toolkit and drivers are known, its code is for GPUs that exist, can be
/// compiled with it, and that some driver runs.
fn cuda_build(
    tables: &Tables,
    release: &TorchRelease,
    (build, arch): (Accelerator, Arch),
    code: &[Code],
    findings: &mut Findings,
) {
    let about = format!("{} {build}", release.release);
    let cuda = &tables.cuda;
    let Some(toolkit) = cuda.toolkit(build) else {
        findings.add(TABLE, about, "its toolkit is not in cuda.toml");
        return;
    };
    let systems: &[Os] = match arch {
        Arch::X86_64 if !release.not_on_windows.contains(&build) => &[Os::Linux, Os::Windows],
        _ => &[Os::Linux],
    };
    for os in systems {
        findings.require(cuda.floor(build, *os).is_some(), TABLE, &about, || {
            format!("no driver is known to run it on {os:?}")
        });
        findings.require(cuda.native(build, *os).is_some(), TABLE, &about, || {
            format!("no driver is known to compile its PTX on {os:?}")
        });
    }
    findings.require(!code.is_empty(), TABLE, &about, || {
        "holds no code".to_owned()
    });
    findings.require(code.is_sorted(), TABLE, &about, || {
        "its capabilities are not in order".to_owned()
    });
    for capability in repeated(code.iter().map(|code| code.capability)) {
        findings.add(TABLE, &about, format!("lists {capability} twice"));
    }
    for gpu in code.iter().map(|code| code.capability) {
        let Some(row) = cuda.architecture(gpu) else {
            findings.add(TABLE, &about, format!("code for {gpu}, which no GPU has"));
            continue;
        };
        findings.require(row.compiled_by(&toolkit.version), TABLE, &about, || {
            format!("CUDA {} does not compile for {gpu}", toolkit.version)
        });
        let floor = cuda.floor(build, Os::Linux);
        findings.require(
            floor.is_none_or(|floor| reachable(cuda, floor, gpu)),
            TABLE,
            &about,
            || format!("code for {gpu}, whose last driver is too old for the build"),
        );
        let board = row.tegra.as_ref();
        findings.require(
            board.is_none_or(|t| arch == Arch::Aarch64 && t.ordinary_wheels_since.is_some()),
            TABLE,
            &about,
            || format!("code for {gpu}, whose boards do not run ordinary wheels"),
        );
    }
}
