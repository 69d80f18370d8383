#![allow(clippy::unwrap_used)]

use super::*;
use crate::types::{Accelerator, Version};

/// What the lint says of tables that were damaged in one place.
#[track_caller]
fn damaged(damage: impl FnOnce(&mut Tables)) -> Vec<String> {
    let mut tables = Tables::embedded();
    damage(&mut tables);
    let findings: Vec<String> = check(&tables).iter().map(Finding::to_string).collect();
    assert!(!findings.is_empty(), "the damage was not found");
    findings
}

#[track_caller]
fn says(damage: impl FnOnce(&mut Tables), part: &str) {
    let findings = damaged(damage);
    assert!(
        findings.iter().any(|finding| finding.contains(part)),
        "no finding says `{part}`:\n{}",
        findings.join("\n")
    );
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn build(text: &str) -> Accelerator {
    text.parse().unwrap()
}

#[test]
fn the_tables_agree() {
    let findings: Vec<String> = lint().iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn sources_are_explained_and_used() {
    says(
        |t| {
            t.cuda.sources.remove("toolkit-notes");
        },
        "cuda.toml: 12.8: source `toolkit-notes` is not explained",
    );
    says(
        |t| {
            t.torch.sources.insert("hearsay".into(), "told".into());
        },
        "torch.toml: sources: `hearsay` is explained and no fact names it",
    );
}

#[test]
fn a_default_build_is_among_the_builds() {
    says(
        |t| {
            t.torch.torch[0].builds.remove(&build("cu132"));
        },
        "torch.toml: 2.15: its default build cu132 for linux-x86_64 is not among its builds",
    );
    says(
        |t| {
            let release = &mut t.torch.torch[1];
            release.libraries.insert("cuda".into(), version("12.8.90"));
        },
        "torch.toml: 2.14: its CUDA library is not of the default build's version",
    );
}

#[test]
fn every_build_has_drivers() {
    says(
        |t| t.cuda.toolkit.retain(|row| row.version != version("12.6")),
        "torch.toml: 2.14 cu126: its toolkit is not in cuda.toml",
    );
    says(
        |t| {
            let row = t
                .cuda
                .toolkit
                .iter_mut()
                .find(|row| row.version == version("12.8"));
            row.unwrap().linux = None;
        },
        "torch.toml: 2.11 cu128: no driver is known to compile its PTX on Linux",
    );
    says(
        |t| t.cuda.minor_compatibility[1].linux = version("999"),
        "its floor 999 is above the driver of 12.9",
    );
}

#[test]
fn code_is_for_gpus_that_exist_and_can_run_it() {
    let with = |text: &str| {
        let code = text.parse().unwrap();
        move |t: &mut Tables| {
            t.torch.torch[0]
                .builds
                .get_mut(&build("cu132"))
                .unwrap()
                .insert(0, code);
        }
    };
    says(with("1.9"), "code for 1.9, which no GPU has");
    says(with("7.0"), "CUDA 13.2 does not compile for 7.0");
    says(with("7.5"), "lists 7.5 twice");
    says(with("12.1"), "its capabilities are not in order");
    // Kepler's last driver is 470; CUDA 12 asks for 525.
    says(
        |t| {
            let row = t
                .cuda
                .architecture
                .iter_mut()
                .find(|row| row.name == "Maxwell" && row.tegra.is_none());
            row.unwrap().last_branch = Some(470);
        },
        "cu126: code for 5.0, whose last driver is too old for the build",
    );
    says(
        |t| {
            let release = &mut t.torch.torch[1];
            let code = release.builds.get_mut(&build("cu130")).unwrap();
            code.insert(4, "11.0".parse().unwrap());
        },
        "code for 11.0, whose boards do not run ordinary wheels",
    );
}

#[test]
fn companions_must_work_beside_the_default_build() {
    says(
        |t| t.torch.torch[0].version[0].torchaudio = Some(version("2.11.0")),
        "torch.toml: 2.15.0: torchaudio 2.11.0 is made with CUDA 13.0",
    );
    says(
        |t| t.torch.torch[1].version[0].torchaudio = None,
        "torch.toml: 2.14.1: has no matching torchaudio, and no companion row says why",
    );
    says(
        |t| t.torch.torch[1].version[0].xformers = None,
        "torch.toml: 2.14.1: has no matching xformers",
    );
    says(
        |t| t.torch.torch[1].version[0].triton = version("1.0"),
        "torch.toml: 2.14.1: its triton 1.0 is older",
    );
}

#[test]
fn rows_are_newest_first_and_dates_in_order() {
    says(
        |t| t.torch.torch.swap(0, 1),
        "torch.toml: 2.15: stands after 2.14",
    );
    says(
        |t| {
            let twice = t.cuda.toolkit[3].clone();
            t.cuda.toolkit.insert(3, twice);
        },
        "cuda.toml: 13.0: stands twice",
    );
    says(
        |t| t.torch.torch[0].version[0].released = jiff::civil::date(2030, 1, 1),
        "was released on 2030-01-01, after the facts were read",
    );
    says(
        |t| t.torch.torch[1].version[0].released = jiff::civil::date(2026, 8, 1),
        "torch.toml: 2.14: its patch releases came out in another order",
    );
    says(
        |t| t.python.python[2].end = jiff::civil::date(2020, 1, 31),
        "python.toml: 3.13: its support ends before it begins",
    );
    says(
        |t| t.python.python[1].first = jiff::civil::date(2026, 9, 30),
        "has wheels for Python 3.14, which came out later",
    );
    says(
        |t| t.apple.mps.swap(0, 1),
        "apple.toml: 2.9: stands after 2.5",
    );
}

#[test]
fn pythons_are_known_and_required() {
    says(
        |t| {
            t.python
                .python
                .retain(|row| row.release.to_string() != "3.12")
        },
        "torch.toml: 2.14: Python 3.12 is not in python.toml",
    );
    says(
        |t| t.torch.torch[0].requires_python = ">=3.13".parse().unwrap(),
        "torch.toml: 2.15: has wheels for Python 3.12 and requires >=3.13",
    );
    says(
        |t| {
            t.torch.torch[0]
                .free_threaded
                .insert("3.8".parse().unwrap());
        },
        "has wheels for free-threaded Python 3.8 and none for 3.8",
    );
}

#[test]
fn floors_follow_the_wheels() {
    says(
        |t| t.torch.torch[0].macos.x86_64 = Some(version("10.9")),
        "torch.toml: 2.15: names a lowest macOS where it has no wheel",
    );
    says(
        |t| t.apple.mps[0].macos = version("13.5"),
        "apple.toml: torch 2.15: MPS asks for no macOS, or for an older one than the wheel",
    );
    says(
        |t| t.apple.intel.last_torch = version("2.3"),
        "says torch 2.3 is the last",
    );
}

#[test]
fn generations_and_drivers_agree() {
    let with = |name: &'static str, damage: fn(&mut crate::compat::cuda::Architecture)| {
        move |t: &mut Tables| {
            damage(
                t.cuda
                    .architecture
                    .iter_mut()
                    .find(|row| row.name == name)
                    .unwrap(),
            );
        }
    };
    says(
        with("Kepler", |row| row.last_toolkit = None),
        "drivers have dropped it and toolkits have not",
    );
    says(
        with("Hopper", |row| row.linux = None),
        "cuda.toml: Hopper 9.0: no Linux driver is known for it",
    );
    says(
        with("Ada", |row| row.capabilities.push("8.6".parse().unwrap())),
        "cuda.toml: 8.6: belongs to two generations",
    );
    says(
        |t| {
            let thor = t
                .cuda
                .architecture
                .iter_mut()
                .find(|row| row.tegra.is_some());
            thor.unwrap().linux = Some(version("580"));
        },
        "Tegra GPUs have JetPack's driver and no other",
    );
    says(
        |t| t.cuda.forward_compatibility.package[0].branches.push(580),
        "branch 580 runs the toolkit without it",
    );
}

#[test]
fn rocm_builds_and_overrides_agree() {
    says(
        |t| t.rocm.build.retain(|row| row.build != build("rocm7.2")),
        "torch.toml: 2.14: has a rocm7.2 build that rocm.toml does not know",
    );
    says(
        |t| {
            t.torch
                .torch
                .retain(|r| !r.rocm.contains(&build("rocm7.14")))
        },
        "rocm.toml: rocm7.14: no release of torch has this build",
    );
    says(
        |t| {
            t.rocm.build[0].gfx.insert("gfx9999".into());
        },
        "holds code for gfx9999, which no GPU of gpus.toml has",
    );
    says(
        |t| {
            t.rocm.build[0].gfx.remove("gfx1100");
        },
        "rocm7.14: gfx1100 is supported and not compiled in",
    );
    says(
        |t| t.rocm.overrides[1].target = "gfx1031".into(),
        "rocm.toml: 10.3.0: does not name gfx1031",
    );
    says(
        |t| {
            t.rocm.overrides[1].tried.insert("gfx1101".into());
        },
        "rocm.toml: gfx1101: has two overrides",
    );
}

#[test]
fn gpus_agree_with_their_chips_and_generations() {
    let with = |name: &'static str, damage: fn(&mut crate::compat::gpus::GpuEntry)| {
        move |t: &mut Tables| {
            let gpus = t.gpus.family.iter_mut().flat_map(|family| &mut family.gpus);
            damage(gpus.into_iter().find(|gpu| gpu.name == name).unwrap());
        }
    };
    says(
        with("Tesla K80", |gpu| {
            gpu.compute_capability = Some("3.5".parse().unwrap())
        }),
        "gpus.toml: Tesla K80: says something else than its chip GK210",
    );
    says(
        with("Tesla K80", |gpu| {
            gpu.compute_capability = Some("3.8".parse().unwrap())
        }),
        "compute capability 3.8 belongs to no generation",
    );
    says(
        with("Tesla K80", |gpu| gpu.pci.push("2684".into())),
        "gpus.toml: nvidia 2684: is the id of two models",
    );
    says(
        with("Tesla K80", |gpu| gpu.pci.push("no id".into())),
        "`no id` is not an id such as",
    );
    says(
        with("Radeon RX 6700 XT", |gpu| gpu.gfx = None),
        "Radeon RX 6700 XT: its maker's GPUs have another kind of instruction set",
    );
    says(
        with("Arc B580", |gpu| gpu.name = "Arc B570".into()),
        "gpus.toml: Arc B570: stands twice",
    );
}
