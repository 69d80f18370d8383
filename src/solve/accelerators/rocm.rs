//! ROCm builds for one AMD GPU.

use super::{AcceleratorChoices, AcceleratorOption, Wanted, series};
use crate::{
    catalog::manifest::AcceleratorKind,
    compat::{
        rocm::{OVERRIDE_VARIABLE, RocmBuild, RocmFacts, Trust},
        torch::TorchRelease,
    },
    host::{Gpu, Host},
    index::IndexId,
    solve::{
        needs::{HostFact, HostNeed, HostValue, Origin, gfx_version},
        range::VersionSet,
    },
    types::{Arch, Os},
};

/// Adds the builds for one GPU, or why there are none. Builds with code for the GPU come first,
/// then those that run it as a near relative.
pub fn add(wanted: Wanted<'_>, choices: &mut AcceleratorChoices) {
    let gfx = match target(wanted.host, wanted.gpu) {
        Ok(gfx) => gfx,
        Err(why) => return choices.reject(format!("ROCm: {why}")),
    };
    let served_before = choices.options.iter().any(|option| {
        option.kind == AcceleratorKind::Rocm
            && option
                .gpu
                .is_some_and(|at| wanted.host.gpus[at].gfx.as_deref() == Some(gfx))
    });
    if served_before {
        return;
    }
    let facts = RocmFacts::embedded();
    let builds = || facts.build.iter().filter(|row| wanted.accepts(row.build));
    let gpu = &wanted.gpu.name;
    let before = choices.options.len();
    for build in builds().filter(|row| row.gfx.contains(gfx)) {
        let why = format!("the GPU is a {gpu} ({gfx})");
        choices.options.push(option(wanted, build, gfx, why));
    }
    let mut tried_only = None;
    for build in builds() {
        let Some(by) = facts.override_for(gfx, build.build) else {
            continue;
        };
        if by.trust == Trust::Experimental && !wanted.asked {
            tried_only.get_or_insert(by);
            continue;
        }
        let trust = match by.trust {
            Trust::Practised => "as many do; AMD does not support it",
            Trust::Experimental => "which works for some and fails for others",
        };
        let why = format!(
            "the {gpu} ({gfx}) runs the code of {} by an override",
            by.target
        );
        let mut option = option(wanted, build, by.target, why);
        option.environment = vec![(OVERRIDE_VARIABLE, by.value.to_owned())];
        option.notes.push(format!(
            "no build has code for {gfx}: `{OVERRIDE_VARIABLE}={}` makes the {gpu} run that of {}, {trust}",
            by.value, by.target
        ));
        choices.options.push(option);
    }
    if choices.options.len() > before {
        return;
    }
    choices.reject(match tried_only {
        Some(by) => format!(
            "ROCm: no build has code for the {gpu} ({gfx}); running it as {} works for some and \
             fails for others (`--accel rocm` tries it)",
            by.target
        ),
        None => format!("ROCm: no build that this tool accepts has code for the {gpu} ({gfx})"),
    });
}

/// Whether ROCm sees a GPU at all and counts it, usable or not.
pub fn is_counted(gpu: &Gpu) -> bool {
    gpu.kernel_driver
        .as_deref()
        .is_none_or(|d| d == KERNEL_DRIVER)
}

/// The kernel module of AMD's driver.
const KERNEL_DRIVER: &str = "amdgpu";

/// The instruction set of a GPU that ROCm can reach, or why it cannot.
pub fn target<'h>(host: &Host, gpu: &'h Gpu) -> Result<&'h str, String> {
    let name = &gpu.name;
    if host.os.family != Os::Linux || host.cpu.arch != Arch::X86_64 {
        return Err(format!(
            "the torch indexes have ROCm builds for x86-64 Linux only, and this is {}",
            host.target()
        ));
    }
    if host.surroundings.wsl.is_some() {
        return Err(
            "in WSL it needs AMD's own builds of torch, which the torch indexes do not have"
                .to_owned(),
        );
    }
    if let Some(other) = gpu.kernel_driver.as_deref().filter(|d| *d != KERNEL_DRIVER) {
        return Err(format!(
            "the {name} is held by the kernel's `{other}`; ROCm needs `amdgpu`"
        ));
    }
    gpu.gfx.as_deref().ok_or_else(|| {
        format!(
            "the instruction set of the {name} is not known; with the amdgpu driver loaded \
             `aienv host` reads it"
        )
    })
}

/// A build that runs the code of `gfx`.
fn option(wanted: Wanted<'_>, build: &RocmBuild, gfx: &str, why: String) -> AcceleratorOption {
    let value = gfx_version(gfx).map(|version| {
        let owner = format!("the {}", wanted.gpu.name);
        (HostFact::GfxTarget, HostValue { version, owner })
    });
    let releases = wanted.torch.torch.iter();
    AcceleratorOption {
        gpu: Some(wanted.at),
        host: value.into_iter().collect(),
        torch_needs: releases
            .map(|release| need(wanted, build, release))
            .collect(),
        notes: no_access(wanted.host).into_iter().collect(),
        ..AcceleratorOption::new(build.build, Some(IndexId::Torch(build.build)), why)
    }
}

/// The targets that a build of a release has code for.
fn need(wanted: Wanted<'_>, build: &RocmBuild, release: &TorchRelease) -> HostNeed {
    let targets = build.gfx.iter();
    HostNeed {
        versions: series(release, wanted.torch),
        origin: Some(Origin::Torch),
        fact: HostFact::GfxTarget,
        wanted: targets
            .filter(|gfx| build.has_code(gfx, &release.release))
            .filter_map(|gfx| gfx_version(gfx))
            .map(VersionSet::singleton)
            .fold(VersionSet::empty(), |all, one| all.union(&one)),
        because: format!("built for {}", build.build),
    }
}

/// What keeps this user from the GPU, and what would let them in.
fn no_access(host: &Host) -> Option<String> {
    let amd = host.amd.as_ref()?;
    if amd.kfd_accessible && amd.render_accessible {
        return None;
    }
    let device = if amd.kfd_accessible {
        "/dev/dri/renderD*"
    } else {
        "/dev/kfd"
    };
    let groups = RocmFacts::embedded().needs.groups.join(",");
    Some(match &host.surroundings.container {
        Some(container) => format!(
            "this container ({container}) cannot open {device}: start it with `--device /dev/kfd \
             --device /dev/dri`, and its user in the groups {groups}"
        ),
        None => format!(
            "this user cannot open {device}, so the GPU will not be found: `sudo usermod -aG \
             {groups} $USER`, then log in again"
        ),
    })
}
