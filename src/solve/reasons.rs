//! The decisive facts of a plan, in the order in which they decide: the machine, the build, Python,
//! torch, the tool.

use std::collections::BTreeSet;

use pep508_rs::VersionOrUrl;

use super::{Change, Choice, Plan, Request};
use crate::{
    catalog::manifest::AcceleratorKind,
    compat::torch::{Capability, TorchFacts, TorchRelease},
    host::{Gpu, GpuVendor, Host, NvidiaDriver},
    types::{Accelerator, Arch, Libc, Os, PackageName, Version, parse_requirement},
};

/// Adds to the choices of a plan what stands before and between them.
pub fn complete(plan: &mut Plan, request: &Request<'_>) {
    if plan.lock.accelerator == Accelerator::Cpu && request.accelerator.is_none() {
        let mut ways = plan.ways.iter();
        let why = match ways.any(|way| way.change == Change::TorchIndexes) {
            true => Some("the index that has builds for the GPU does not answer".to_owned()),
            false => without_kind(request),
        };
        let mut choices = plan.choices.iter_mut();
        let build = choices.find(|choice| choice.what == "accelerator");
        if let (Some(why), Some(build)) = (why, build) {
            build.why = why;
        }
    }
    let machine = Choice {
        what: "machine".to_owned(),
        chosen: machine(request.host),
        why: String::new(),
    };
    plan.choices.insert(0, machine);
    if let Some(torch) = torch(plan, request) {
        let of_tool = |choice: &Choice| choice.what == request.manifest.name;
        let at = plan.choices.iter().position(of_tool);
        plan.choices.insert(at.unwrap_or(plan.choices.len()), torch);
    }
}

/// Why the processor is used, where the tool has no build for any GPU of such a maker.
fn without_kind(request: &Request<'_>) -> Option<String> {
    let kinds = &request.manifest.accelerators;
    let kind = |vendor| match vendor {
        GpuVendor::Nvidia => (AcceleratorKind::Cuda, "NVIDIA"),
        GpuVendor::Amd => (AcceleratorKind::Rocm, "AMD"),
        GpuVendor::Intel => (AcceleratorKind::Xpu, "Intel"),
        GpuVendor::Apple => (AcceleratorKind::Mps, "Apple"),
    };
    let makers: BTreeSet<&str> = request
        .host
        .gpus
        .iter()
        .map(|gpu| kind(gpu.vendor))
        .map(|(kind, maker)| (!kinds.contains_key(&kind)).then_some(maker))
        .collect::<Option<_>>()?;
    let makers: Vec<&str> = makers.into_iter().collect();
    (!makers.is_empty()).then(|| {
        let makers = makers.join(" and ");
        format!(
            "the manifest of {} has no build for GPUs of {makers}",
            request.manifest.title
        )
    })
}

/// What decides of a machine, in one line: GPUs, their driver, the system.
pub fn machine(host: &Host) -> String {
    let mut cards: Vec<(String, usize)> = Vec::new();
    for told in host.gpus.iter().map(card) {
        match cards.iter_mut().find(|(known, _)| *known == told) {
            Some((_, count)) => *count += 1,
            None => cards.push((told, 1)),
        }
    }
    let cards = cards.into_iter().map(|(told, count)| match count {
        1 => told,
        _ => format!("{count} × {told}"),
    });
    let mut parts: Vec<String> = cards.collect();
    if host.gpus.is_empty() {
        parts.push("no GPU".to_owned());
    }
    let version = host.nvidia.as_ref();
    let version = version.and_then(|nvidia| nvidia.version.as_ref());
    match version {
        Some(version) => parts.push(format!("NVIDIA driver {}", NvidiaDriver::spelled(version))),
        None if host.gpus.iter().any(|gpu| gpu.vendor == GpuVendor::Nvidia) => {
            parts.push("no NVIDIA driver".to_owned());
        }
        None => {}
    }
    let mut system = host.os.name.clone();
    if host.surroundings.wsl.is_some() {
        system += " in WSL";
    }
    let arch = match host.cpu.arch {
        Arch::X86_64 => "x86-64",
        Arch::Aarch64 => "64-bit Arm",
    };
    parts.push(format!("{system} on {arch}"));
    if let (Os::Linux, Some(libc)) = (host.os.family, host.os.libc) {
        parts.push(libc.to_string());
    }
    parts.join(", ")
}

/// A GPU with what builds are chosen by.
fn card(gpu: &Gpu) -> String {
    let by = match (gpu.compute_capability, &gpu.gfx) {
        (Some((major, minor)), _) => {
            Some(format!("compute capability {}", Capability(major, minor)))
        }
        (None, Some(gfx)) => Some(gfx.clone()),
        (None, None) => None,
    };
    match by {
        None => gpu.name.clone(),
        Some(by) => format!("{} ({by})", gpu.name),
    }
}

/// The torch of a plan, and why it is that one.
fn torch(plan: &Plan, request: &Request<'_>) -> Option<Choice> {
    let name: PackageName = "torch".parse().ok()?;
    let version = plan.version_of(&name)?;
    if plan.choices.iter().any(|choice| choice.what == "torch") {
        return None;
    }
    let why = match plan.newer.get(&name) {
        None => match version.local() {
            [] => "the newest release".to_owned(),
            _ => format!("the newest release built for {}", plan.lock.accelerator),
        },
        Some(newer) => match limiting(plan, &name, newer) {
            Some(why) => why,
            None if held(request, &name, version) => {
                format!("it is already here; {newer} exists")
            }
            None => format!("{newer} {}", unsuited(newer, plan, request)),
        },
    };
    Some(Choice {
        what: "torch".to_owned(),
        chosen: version.to_string(),
        why,
    })
}

/// The requirement that rules out a newer version, if one does by itself.
fn limiting(plan: &Plan, name: &PackageName, newer: &Version) -> Option<String> {
    let newer = newer.clone().without_local();
    let mut requested: Vec<_> = plan.requested.get(name)?.iter().collect();
    // What the tool itself says comes first; the rest usually follows from it.
    requested.sort_by_key(|requested| requested.by != plan.lock.tool);
    let limit = requested.into_iter().find(|requested| {
        parse_requirement(&requested.requirement).is_ok_and(|requirement| {
            matches!(&requirement.version_or_url,
                Some(VersionOrUrl::VersionSpecifier(wanted)) if !wanted.contains(&newer))
        })
    })?;
    Some(format!("{} needs {}", limit.by, limit.requirement))
}

fn held(request: &Request<'_>, name: &PackageName, version: &Version) -> bool {
    let held = request.preferences.get(name);
    held.is_some_and(|held| held.contains(version))
}

/// The C library or macOS that a release of torch needs, if this machine has an older one.
fn system_need(host: &Host, release: &TorchRelease) -> Option<String> {
    let arch = host.cpu.arch;
    let target = host.target();
    let (what, least, (major, minor)) = match (target.libc, target.macos) {
        (Some(Libc::Glibc { major, minor }), _) => {
            ("glibc", release.glibc.get(arch), (major, minor))
        }
        (_, Some(version)) => ("macOS", release.macos.get(arch), version),
        _ => return None,
    };
    let Some(least) = least else {
        return Some(format!("has no wheel for {target}"));
    };
    let has = Version::new([u64::from(major), u64::from(minor)]);
    (*least > has).then(|| format!("needs {what} {least}"))
}

/// What the facts say against a newer torch on this machine.
fn unsuited(newer: &Version, plan: &Plan, request: &Request<'_>) -> String {
    let other = "does not go with the rest of the plan".to_owned();
    let mut releases = TorchFacts::embedded().torch.iter();
    let Some(release) = releases.find(|known| newer.release().starts_with(known.release.release()))
    else {
        return other;
    };
    let (os, arch) = (request.host.os.family, request.host.cpu.arch);
    if let Some(needs) = system_need(request.host, release) {
        return needs;
    }
    let build = match newer.local() {
        [] => release.default_build(os, arch),
        _ => Some(plan.lock.accelerator),
    };
    let nvidia = request.host.gpus.iter();
    let best = nvidia.filter_map(|gpu| gpu.compute_capability).max();
    match (build, best) {
        (Some(build @ Accelerator::Cuda(..)), Some((major, minor)))
            if plan.lock.accelerator != Accelerator::Cpu =>
        {
            let card = Capability(major, minor);
            match release.has_code(build, arch, card) {
                Some(false) => format!("is built for {build}, without code for {card}"),
                Some(true) if build != plan.lock.accelerator => {
                    format!("is built for {build}, which this driver does not run")
                }
                _ => other,
            }
        }
        _ => other,
    }
}
