//! What would make an impossible plan possible: single changes, each tried by solving again.
//!
//! A hint that was not tried is a guess. The changes are ordered by what they cost a person: an
//! option, then a permission, then a driver. What the index answered before it answers again from
//! memory, so a try costs little.

use std::collections::BTreeSet;

use super::{
    Change, Plan, SolveError, WayOut, WayResult,
    accelerators::AcceleratorRequest,
    request::{Request, attempt},
};
use crate::{
    catalog::manifest::AcceleratorKind,
    compat::{
        cuda::{Capability, CudaFacts},
        torch::TorchFacts,
    },
    host::{GpuVendor, NvidiaDriver},
    index::PackageIndex,
    types::{Accelerator, PackageName, PythonVersion, Version},
};

/// Ways that are told at most.
const MOST: usize = 3;

/// The single changes that make a failed request work, cheapest first.
pub fn to_a_plan(
    request: &Request<'_>,
    index: &dyn PackageIndex,
    error: &SolveError,
) -> Vec<WayOut> {
    let source_only = match error {
        SolveError::NoSolution { explanation, .. } => explanation.source_only.clone(),
        SolveError::NoAccelerator { .. } | SolveError::NoPython { .. } => BTreeSet::new(),
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    for change in options(request)
        .into_iter()
        .chain(permission(request, &source_only))
    {
        if found.len() == MOST {
            return found;
        }
        found.extend(try_out(request, index, change));
    }
    if found.len() < MOST {
        found.extend(newer_driver(request, index));
    }
    found
}

/// The single changes that bring a plan on the processor to the GPU, cheapest first.
pub fn to_a_gpu(request: &Request<'_>, index: &dyn PackageIndex) -> Vec<WayOut> {
    newer_driver(request, index).into_iter().collect()
}

/// Tries one change.
fn try_out(request: &Request<'_>, index: &dyn PackageIndex, change: Change) -> Option<WayOut> {
    let host = change.host(request.host);
    let plan = attempt(&change.request(request, &host), index).ok()?;
    Some(way(change, &plan))
}

/// A change that works, in words.
fn way(change: Change, plan: &Plan) -> WayOut {
    let lock = &plan.lock;
    let what = match &change {
        Change::Accelerator(build) => format!("`--accel {build}`"),
        Change::DropAccelerator => "leaving out `--accel`".to_owned(),
        Change::Python(python) => format!("`--python {python}`"),
        Change::DropPython => "leaving out `--python`".to_owned(),
        Change::AllowBuild(names) => {
            let options: Vec<_> = names
                .iter()
                .map(|name| format!("--allow-build {name}"))
                .collect();
            format!("`{}`", options.join(" "))
        }
        Change::DropOnlyWheels => "leaving out `--only-wheels`".to_owned(),
        Change::ToolVersion(version) => format!("`{}=={version}`", lock.tool),
        Change::DropToolVersion => format!("`{}` without a version", lock.tool),
        Change::Driver(driver) => {
            format!("NVIDIA driver {} or newer", NvidiaDriver::spelled(driver))
        }
        Change::DeviceAccess => "access to the devices of the AMD GPU".to_owned(),
        Change::TorchIndexes => "a torch index that answers".to_owned(),
    };
    WayOut {
        change,
        text: format!(
            "{what} works: {} {} on {}",
            lock.tool, lock.version, lock.accelerator
        ),
        result: Some(WayResult {
            version: lock.version.clone(),
            accelerator: lock.accelerator,
        }),
    }
}

/// Options of the command line that could be given or left out.
fn options(request: &Request<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    if request.version.is_some() {
        changes.push(Change::DropToolVersion);
    }
    let has_cpu = request
        .manifest
        .accelerators
        .contains_key(&AcceleratorKind::Cpu);
    if request.accelerator.is_some() {
        changes.push(Change::DropAccelerator);
    } else if has_cpu {
        let cpu = AcceleratorRequest::Build(Accelerator::Cpu);
        changes.push(Change::Accelerator(cpu));
    }
    if request.only_wheels {
        changes.push(Change::DropOnlyWheels);
    }
    if request.python.is_some() {
        changes.push(Change::DropPython);
        let pythons: BTreeSet<_> = request
            .pythons
            .iter()
            .filter_map(|candidate| PythonVersion::of(candidate.version()))
            .collect();
        let others = pythons.into_iter().rev();
        changes.extend(
            others
                .filter(|python| Some(*python) != request.python)
                .map(Change::Python),
        );
    }
    changes
}

/// Packages that may not be built and could be.
fn permission(request: &Request<'_>, source_only: &BTreeSet<PackageName>) -> Option<Change> {
    let missing: BTreeSet<_> = source_only.difference(&request.build).cloned().collect();
    (!missing.is_empty()).then_some(Change::AllowBuild(missing))
}

/// The lowest driver with which a CUDA build would do, if a newer driver is what is missing.
fn newer_driver(request: &Request<'_>, index: &dyn PackageIndex) -> Option<WayOut> {
    let manifest = request.manifest;
    let wanted = match request.accelerator {
        None => AcceleratorRequest::Kind(AcceleratorKind::Cuda),
        Some(asked) if asked.kind() == AcceleratorKind::Cuda => asked,
        Some(_) => return None,
    };
    let mut gpus = request.host.gpus.iter();
    if !manifest.accelerators.contains_key(&AcceleratorKind::Cuda)
        || !gpus.any(|gpu| gpu.vendor == GpuVendor::Nvidia)
    {
        return None;
    }
    let current = request.host.nvidia.as_ref();
    let current = current.and_then(|nvidia| nvidia.version.as_ref());
    let os = request.host.os.family;
    let floors: BTreeSet<&Version> = TorchFacts::embedded()
        .cuda_builds(request.host.cpu.arch)
        .into_iter()
        .filter_map(|build| CudaFacts::embedded().floor(build, os))
        .chain(request.host.gpus.iter().filter_map(|gpu| {
            let (major, minor) = gpu.compute_capability?;
            CudaFacts::embedded().lowest_driver(Capability(major, minor), os)
        }))
        .filter(|floor| current.is_none_or(|current| *floor > current))
        .collect();
    for floor in floors {
        let change = Change::Driver(floor.clone());
        let host = change.host(request.host);
        let changed = Request {
            accelerator: Some(wanted),
            ..change.request(request, &host)
        };
        if let Ok(plan) = attempt(&changed, index) {
            return Some(way(change, &plan));
        }
    }
    None
}
