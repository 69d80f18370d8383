//! From a tool and a machine to a plan: the accelerator builds in order, each a resolution.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Memory, Plan, SolveError,
    accelerators::{self, AcceleratorRequest, why_absent},
    assemble::problem,
    explain::Explanation,
    outcome::{Asked, plan_of},
    problem::PythonCandidate,
    resolve::ResolveError,
    tool_version,
};
use crate::{
    catalog::manifest::{AcceleratorKind, Manifest},
    compat::torch::TorchFacts,
    host::Host,
    index::PackageIndex,
    lock::LockedTree,
    types::{PackageName, PythonVersion, Requirement, Version, VersionSpecifiers},
};

/// Interpreters in the order of preference when a manifest states none.
const TESTED: [PythonVersion; 6] = [
    PythonVersion::new(3, 12),
    PythonVersion::new(3, 13),
    PythonVersion::new(3, 11),
    PythonVersion::new(3, 10),
    PythonVersion::new(3, 14),
    PythonVersion::new(3, 9),
];

/// What is asked of the solver.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The tool.
    pub manifest: &'a Manifest,
    /// Its text, which the lock keeps.
    pub manifest_text: &'a str,
    /// How commands on this machine call the tool: its name, or the path of its manifest. `None`
    /// when the plan is for another machine, where advice must not be a command to install.
    pub reference: Option<&'a str>,
    /// The machine.
    pub host: &'a Host,
    /// Every interpreter that may be used, in any order.
    pub pythons: Vec<PythonCandidate>,
    /// The source tree with the requirements read from it, for tools that are one.
    pub tree: Option<TreeRequirements>,
    /// Versions of the tool in place of the manifest's range: `==1.2` for `TOOL==1.2`.
    pub version: Option<VersionSpecifiers>,
    /// `--accel`.
    pub accelerator: Option<AcceleratorRequest>,
    /// `--python`.
    pub python: Option<PythonVersion>,
    /// Packages that may be built besides those of the manifest.
    pub build: BTreeSet<PackageName>,
    /// Build nothing, whatever the manifest allows.
    pub only_wheels: bool,
    /// Requirements added by the user (`aienv add`).
    pub added: Vec<Requirement>,
    /// Constraints from outside the manifest (`-c` files of a source tree).
    pub constraints: Vec<Requirement>,
    /// Versions to keep, exactly (`aienv add` keeps the torch family).
    pub pins: BTreeMap<PackageName, Version>,
    /// Versions to take if they are allowed, before newer ones.
    pub preferences: BTreeMap<PackageName, Vec<Version>>,
    /// What problems put to the same index came to before.
    pub memory: &'a Memory,
}

/// A source tree and what it requires.
#[derive(Clone, Debug)]
pub struct TreeRequirements {
    /// The tree.
    pub tree: LockedTree,
    /// What its requirement files say.
    pub requirements: Vec<Requirement>,
}

/// One try at a plan, without looking for ways out.
pub(super) fn attempt(request: &Request<'_>, index: &dyn PackageIndex) -> Result<Plan, SolveError> {
    let manifest = &*tool_version::tailored(request.manifest, request.version.as_ref());
    let follows_default = tool_version::follows_default(request);
    let request = &Request {
        manifest,
        ..request.clone()
    };
    let facts = TorchFacts::embedded();
    let pythons = fitting_pythons(request)?;
    let mut choices = accelerators::choices(request.host, manifest, request.accelerator, facts);
    if follows_default {
        tool_version::follow_default(&mut choices);
    }
    let mut unreachable: Option<String> = None;
    let mut failure: Option<Box<Explanation>> = None;
    // A plan with an older version of the tool, and the GPU it is for: another build for the same
    // GPU may take the newest.
    let mut older: Option<(Plan, Option<usize>)> = None;
    for option in &choices.options {
        if option.torch_index.is_some() && unreachable.is_some() {
            continue;
        }
        if older.as_ref().is_some_and(|(_, gpu)| *gpu != option.gpu) {
            break;
        }
        let problem = problem(request, facts, option, pythons.clone())?;
        match request.memory.resolve(&problem, index, &manifest.name) {
            Ok(resolution) => {
                let mut notes = Vec::new();
                if let Some(why) = &unreachable {
                    notes.push(format!("{why}; planned with the default index"));
                }
                if option.kind == AcceleratorKind::Cpu && !request.host.gpus.is_empty() {
                    notes.extend(choices.rejected.iter().cloned());
                    notes.extend(failure.as_deref().map(no_build));
                }
                let asked = Asked {
                    request,
                    option,
                    problem: &problem,
                    facts,
                };
                let plan = plan_of(&asked, resolution, notes)?;
                let primary = problem.primary.as_ref();
                let is_newest = primary.is_none_or(|tool| !plan.newer.contains_key(tool));
                if older
                    .as_ref()
                    .is_none_or(|(known, _)| plan.lock.version > known.lock.version)
                {
                    older = Some((plan, option.gpu));
                }
                if is_newest || option.gpu.is_none() {
                    break;
                }
            }
            Err(ResolveError::Index(error))
                if option.torch_index.is_some() && error.is_unreachable() =>
            {
                unreachable = Some(error.to_string());
            }
            Err(ResolveError::Index(error)) => return Err(error.into()),
            Err(ResolveError::Unsatisfiable(mut explanation)) => {
                let wanted = explanation.torch_wanted.as_ref();
                let why = wanted.and_then(|wanted| why_absent(request.host, option, wanted, facts));
                why.into_iter()
                    .for_each(|why| explanation.add_host_fact(why));
                failure = Some(match failure {
                    Some(known) if known.about_host || !explanation.about_host => known,
                    _ => explanation,
                });
            }
        }
    }
    if let Some((plan, _)) = older {
        return Ok(plan);
    }
    match failure {
        Some(explanation) => Err(SolveError::NoSolution {
            tool: manifest.name.clone(),
            explanation,
            ways: Vec::new(),
        }),
        None => Err(SolveError::NoAccelerator {
            tool: manifest.name.clone(),
            rejected: choices
                .rejected
                .into_iter()
                .chain(choices.absent.into_iter().map(str::to_owned))
                .chain(unreachable)
                .collect(),
            ways: Vec::new(),
        }),
    }
}

/// Why no build for a GPU has a plan, in one line.
fn no_build(explanation: &Explanation) -> String {
    let facts: Vec<&str> = explanation
        .facts
        .iter()
        .take(3)
        .map(String::as_str)
        .collect();
    format!("no set of packages works on the GPU: {}", facts.join("; "))
}

/// The interpreters a request may get, most wanted first.
pub fn fitting_pythons(request: &Request<'_>) -> Result<Vec<PythonCandidate>, SolveError> {
    let needs = &request.manifest.python;
    let mut fitting: Vec<_> = request
        .pythons
        .iter()
        .filter(|candidate| {
            needs.requires.contains(candidate.version())
                && request
                    .python
                    .is_none_or(|p| PythonVersion::of(candidate.version()) == Some(p))
        })
        .cloned()
        .collect();
    let rank = |candidate: &PythonCandidate| {
        let short = PythonVersion::of(candidate.version());
        let order = if needs.prefer.is_empty() {
            &TESTED[..]
        } else {
            &needs.prefer[..]
        };
        let tested = TESTED
            .iter()
            .position(|p| Some(*p) == short)
            .unwrap_or(TESTED.len());
        let wanted = order
            .iter()
            .position(|p| Some(*p) == short)
            .unwrap_or(order.len());
        (wanted, tested)
    };
    // Stable, so of two equal versions the one offered first stays first.
    fitting.sort_by(|a, b| {
        rank(a)
            .cmp(&rank(b))
            .then_with(|| b.version().cmp(a.version()))
    });
    let mut seen = BTreeSet::new();
    fitting.retain(|candidate| seen.insert(candidate.version().clone()));
    fitting.truncate(64);
    if fitting.is_empty() {
        let have: BTreeSet<_> = request
            .pythons
            .iter()
            .map(PythonCandidate::version)
            .collect();
        let range = &needs.requires;
        let needs = match request.python {
            Some(python) if range.is_empty() => format!("Python {python} (asked for)"),
            Some(python) => format!("Python {python} (asked for) within {range}"),
            None => format!("Python {range}"),
        };
        return Err(SolveError::NoPython {
            tool: request.manifest.name.clone(),
            needs,
            have: if have.is_empty() {
                "none".to_owned()
            } else {
                let have: Vec<_> = have.iter().map(ToString::to_string).collect();
                have.join(", ")
            },
            ways: Vec::new(),
        });
    }
    Ok(fitting)
}
