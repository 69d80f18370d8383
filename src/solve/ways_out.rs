//! What would make an impossible plan possible: single changes, each tried by solving again.
//!
//! A hint that was not tried is a guess. The changes are ordered by what they cost a person: an
//! option, then a permission, then a driver. What the index answered before it answers again from
//! memory, so a try costs little.

use std::collections::BTreeSet;

use super::{
    Plan, SolveError,
    accelerators::{AcceleratorRequest, kind_of},
    request::{Request, attempt},
};
use crate::{
    catalog::manifest::AcceleratorKind,
    compat::{cuda::CudaFacts, torch::TorchFacts},
    host::{Host, NvidiaDriver},
    index::PackageIndex,
    types::{Accelerator, PackageName, PythonVersion, Version},
};

/// Ways that are told at most.
const MOST: usize = 3;

/// A change, and what it is called.
struct Change<'a> {
    request: Request<'a>,
    text: String,
}

/// The single changes that make a failed request work, cheapest first, as sentences.
pub fn ways_out(
    request: &Request<'_>,
    index: &dyn PackageIndex,
    source_only: &BTreeSet<PackageName>,
) -> Vec<String> {
    let mut found = Vec::new();
    for change in options(request)
        .into_iter()
        .chain(permissions(request, source_only))
    {
        if found.len() == MOST {
            return found;
        }
        if let Ok(plan) = attempt(&change.request, index) {
            found.push(format!("{} works: {}", change.text, told(&plan)));
        }
    }
    if found.len() < MOST
        && let Some(way) = newer_driver(request, index)
    {
        found.push(way);
    }
    found
}

fn told(plan: &Plan) -> String {
    let lock = &plan.lock;
    format!("{} {} on {}", lock.tool, lock.version, lock.accelerator)
}

/// Options of the command line that could be given or left out.
fn options<'a>(request: &Request<'a>) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    let mut add = |change: Request<'a>, text: String| {
        changes.push(Change {
            request: change,
            text,
        })
    };
    if request.accelerator.is_some() {
        add(
            Request {
                accelerator: None,
                ..request.clone()
            },
            "leaving out `--accel`".to_owned(),
        );
    } else if request
        .manifest
        .accelerators
        .contains_key(&AcceleratorKind::Cpu)
    {
        let cpu = AcceleratorRequest::Build(Accelerator::Cpu);
        add(
            Request {
                accelerator: Some(cpu),
                ..request.clone()
            },
            "`--accel cpu`".to_owned(),
        );
    }
    if request.only_wheels {
        add(
            Request {
                only_wheels: false,
                ..request.clone()
            },
            "leaving out `--only-wheels`".to_owned(),
        );
    }
    if request.python.is_some() {
        let pythons: BTreeSet<_> = request
            .pythons
            .iter()
            .filter_map(|candidate| PythonVersion::of(candidate.version()))
            .collect();
        add(
            Request {
                python: None,
                ..request.clone()
            },
            "leaving out `--python`".to_owned(),
        );
        for python in pythons
            .into_iter()
            .rev()
            .filter(|python| Some(*python) != request.python)
        {
            add(
                Request {
                    python: Some(python),
                    ..request.clone()
                },
                format!("`--python {python}`"),
            );
        }
    }
    changes
}

/// Packages that may not be built and could be.
fn permissions<'a>(request: &Request<'a>, source_only: &BTreeSet<PackageName>) -> Vec<Change<'a>> {
    let missing: Vec<_> = source_only
        .iter()
        .filter(|name| !request.build.contains(*name))
        .collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let mut build = request.build.clone();
    build.extend(missing.iter().map(|name| (*name).clone()));
    let options: Vec<_> = missing
        .iter()
        .map(|name| format!("`--allow-build {name}`"))
        .collect();
    vec![Change {
        request: Request {
            build,
            only_wheels: false,
            ..request.clone()
        },
        text: options.join(" "),
    }]
}

/// The lowest driver with which a CUDA build would do, if a newer driver is what is missing.
pub fn newer_driver(request: &Request<'_>, index: &dyn PackageIndex) -> Option<String> {
    if !request
        .manifest
        .accelerators
        .contains_key(&AcceleratorKind::Cuda)
    {
        return None;
    }
    let current = request.host.nvidia.as_ref()?.version.as_ref()?;
    let os = request.host.os.family;
    let floors: BTreeSet<&Version> = TorchFacts::embedded()
        .cuda_builds(request.host.cpu.arch)
        .into_iter()
        .filter_map(|build| CudaFacts::embedded().floor(build, os))
        .filter(|floor| *floor > current)
        .collect();
    for floor in floors {
        let host = with_driver(request.host, floor);
        let changed = Request {
            host: &host,
            accelerator: Some(AcceleratorRequest::Kind(AcceleratorKind::Cuda)),
            ..request.clone()
        };
        if let Ok(plan) = attempt(&changed, index)
            && kind_of(plan.lock.accelerator) == AcceleratorKind::Cuda
        {
            return Some(format!(
                "NVIDIA driver {} or newer works: {}",
                NvidiaDriver::spelled(floor),
                told(&plan)
            ));
        }
    }
    None
}

/// The host with another NVIDIA driver.
pub fn with_driver(host: &Host, driver: &Version) -> Host {
    let mut host = host.clone();
    if let Some(nvidia) = &mut host.nvidia {
        nvidia.version = Some(driver.clone());
        nvidia.kernel_version = Some(driver.clone());
        nvidia.cuda = None;
    }
    host
}

/// The error with the ways out in it.
pub fn with_ways_out(error: SolveError, ways: Vec<String>) -> SolveError {
    if ways.is_empty() {
        return error;
    }
    let text = ways.join("; ");
    match error {
        SolveError::NoSolution {
            tool,
            mut explanation,
        } => {
            explanation.way_out = Some(text);
            SolveError::NoSolution { tool, explanation }
        }
        SolveError::NoAccelerator { tool, rejected, .. } => SolveError::NoAccelerator {
            tool,
            rejected,
            way_out: Some(text),
        },
        SolveError::NoPython {
            tool, needs, have, ..
        } => SolveError::NoPython {
            tool,
            needs,
            have,
            way_out: Some(text),
        },
        other => other,
    }
}
