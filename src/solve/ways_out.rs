//! What would make an impossible plan possible, or bring a plan on the processor to the GPU: single
//! changes, each tried by solving again.
//!
//! A hint that was not tried is a guess. The changes are ordered by what they cost a person: an
//! option of the command, another version of the tool, a permission, a driver. What the index
//! answered before it answers again from memory, so a try costs little; changes that the facts
//! rule out are not tried, and the number of tries is limited.

use std::{cell::Cell, collections::BTreeSet};

use super::{
    Change, Plan, SolveError, WayOut, WayResult,
    accelerators::{self, AcceleratorOption, AcceleratorRequest},
    assemble::buildable,
    drivers,
    request::{Request, attempt},
    tool_version,
    trial::TrialIndex,
};
use crate::{
    catalog::manifest::AcceleratorKind,
    compat::{apple::AppleFacts, rocm::RocmFacts, torch::TorchFacts},
    host::{Host, NvidiaDriver},
    index::{IndexId, PackageIndex},
    types::{Accelerator, Arch, PackageName, PythonVersion, Version, VersionSpecifiers},
};

/// Ways that are told at most.
const MOST: usize = 3;

/// Plans that are tried at most in search of them.
const TRIES: u32 = 20;

/// The single changes that make a failed request work, cheapest first.
pub fn to_a_plan(
    request: &Request<'_>,
    index: &dyn PackageIndex,
    error: &SolveError,
) -> Vec<WayOut> {
    let source_only = match error {
        SolveError::NoSolution { explanation, .. } => &explanation.source_only,
        SolveError::NoAccelerator { .. } | SolveError::NoPython { .. } => &BTreeSet::new(),
        _ => return Vec::new(),
    };
    let mut search = Search::new(request, index, None);
    search.options();
    if !matches!(error, SolveError::NoPython { .. }) {
        search.older_tool();
        search.processor();
    }
    search.permission(source_only);
    search.machine();
    search.torch_indexes();
    search.found
}

/// The single changes that bring a plan on the processor to a GPU, cheapest first.
pub fn to_a_gpu(request: &Request<'_>, index: &dyn PackageIndex) -> Vec<WayOut> {
    let kinds = request.manifest.accelerators.keys();
    let mut kinds = kinds.filter(|kind| **kind != AcceleratorKind::Cpu);
    let Some(first) = kinds.next() else {
        return Vec::new();
    };
    // One kind narrows every try to it. Of several, the result shows which it is.
    let only = kinds.next().is_none().then_some(*first);
    let mut search = Search::new(request, index, Some(Goal { only }));
    search.older_tool();
    search.machine();
    search.torch_indexes();
    search.found
}

/// What a plan for an AMD GPU still lacks where this user may not open the GPU's devices.
pub fn to_the_devices(request: &Request<'_>, index: &dyn PackageIndex) -> Vec<WayOut> {
    let amd = request.host.amd.as_ref();
    if amd.is_none_or(|amd| amd.kfd_accessible && amd.render_accessible) {
        return Vec::new();
    }
    let mut search = Search::new(request, index, None);
    search.try_out(Change::DeviceAccess);
    search.found
}

/// The lowest NVIDIA driver that brings a plan to a GPU of a machine that has none; where none
/// does, the newest that knows the card.
pub fn lowest_driver(request: &Request<'_>, index: &dyn PackageIndex) -> Option<Version> {
    let only = Some(AcceleratorKind::Cuda);
    let mut search = Search::new(request, index, Some(Goal { only }));
    let drivers = drivers::for_every_card(request.host, drivers::worth_trying(request.host));
    let newest = drivers::last_branch(request.host).or_else(|| drivers.last().cloned());
    let mut working = drivers.into_iter().filter(|driver| {
        let change = Change::Driver(driver.clone());
        search.brings_builds(&change) && search.try_out(change)
    });
    working.next().or(newest)
}

/// A plan that is wanted beyond any plan at all: one that uses a GPU.
struct Goal {
    /// The one kind of GPU build the tool has.
    only: Option<AcceleratorKind>,
}

/// A search for ways out.
struct Search<'s, 'r> {
    request: &'s Request<'r>,
    index: TrialIndex<'s>,
    goal: Option<Goal>,
    left: Cell<u32>,
    found: Vec<WayOut>,
}

impl<'s, 'r> Search<'s, 'r> {
    fn new(request: &'s Request<'r>, index: &'s dyn PackageIndex, goal: Option<Goal>) -> Self {
        Self {
            request,
            index: TrialIndex::of(index),
            goal,
            left: Cell::new(TRIES),
            found: Vec::new(),
        }
    }

    fn is_over(&self) -> bool {
        self.found.len() >= MOST || self.left.get() == 0
    }

    /// The plan of a changed request, if there is one and it is what is searched for.
    fn plan(&self, changed: &Request<'_>) -> Option<Plan> {
        self.left.set(self.left.get().checked_sub(1)?);
        let Some(goal) = &self.goal else {
            return attempt(changed, &self.index).ok();
        };
        let narrowed = Request {
            accelerator: goal.only.map(AcceleratorRequest::Kind),
            ..changed.clone()
        };
        let plan = attempt(&narrowed, &self.index).ok()?;
        (plan.lock.accelerator != Accelerator::Cpu).then_some(plan)
    }

    /// Tries one change, and keeps it if it works.
    fn try_out(&mut self, change: Change) -> bool {
        if self.is_over() {
            return false;
        }
        let host = change.host(self.request.host);
        let plan = self.plan(&change.request(self.request, &host));
        let works = plan.is_some();
        self.found
            .extend(plan.map(|plan| way(change, &plan, self.request)));
        works
    }

    /// Takes a restriction back, and says what that comes to as a choice of its own: what was asked
    /// for once and kept with an installed tool can be replaced, but not left out.
    fn loosen(&mut self, loosened: Request<'_>, choice: impl FnOnce(&Plan) -> Option<Change>) {
        if self.is_over() {
            return;
        }
        if let Some(change) = self.plan(&loosened).as_ref().and_then(choice) {
            self.try_out(change);
        }
    }

    /// Options of the command line that could be others.
    fn options(&mut self) {
        let request = self.request;
        if request.version.is_some() {
            let any = Request {
                version: None,
                ..request.clone()
            };
            self.loosen(any, |plan| {
                Some(Change::ToolVersion(plan.lock.version.clone()))
            });
        }
        if request.accelerator.is_some() {
            let any = Request {
                accelerator: None,
                ..request.clone()
            };
            self.loosen(any, |plan| {
                Some(Change::Accelerator(accelerators::asking_for(
                    plan.lock.accelerator,
                )))
            });
        }
        if request.only_wheels {
            self.try_out(Change::DropOnlyWheels);
        }
        if request.python.is_some() {
            let any = Request {
                python: None,
                ..request.clone()
            };
            self.loosen(any, |plan| {
                PythonVersion::of(plan.lock.python.version()).map(Change::Python)
            });
        }
    }

    /// The newest release before those the manifest is made for that works.
    fn older_tool(&mut self) {
        let request = self.request;
        if self.is_over() || request.version.is_some() {
            return;
        }
        let Some(versions) = tool_version::older(request, &self.index) else {
            return;
        };
        let serves = |build: &AcceleratorOption| build.kind != AcceleratorKind::Cpu;
        if self.goal.is_some()
            && !self
                .builds(request.host, Some(&versions))
                .iter()
                .any(serves)
        {
            return;
        }
        let needs_torch = tool_version::needs_torch(request, &self.index);
        let older = Request {
            version: Some(versions),
            ..request.clone()
        };
        self.loosen(older, |plan| {
            // A release from before a tool used torch at all is not an older version of the same.
            let mut packages = plan.lock.packages.iter();
            let has_torch = packages.any(|package| package.name.as_ref() == "torch");
            (has_torch || !needs_torch).then(|| Change::ToolVersion(plan.lock.version.clone()))
        });
    }

    /// The processor in place of the GPU.
    fn processor(&mut self) {
        let has_cpu = self
            .request
            .manifest
            .accelerators
            .contains_key(&AcceleratorKind::Cpu);
        if has_cpu && self.request.accelerator.is_none() {
            let cpu = AcceleratorRequest::Build(Accelerator::Cpu);
            self.try_out(Change::Accelerator(cpu));
        }
    }

    /// Packages that may not be built and could be.
    fn permission(&mut self, source_only: &BTreeSet<PackageName>) {
        let with_wheels_only_left_out = Request {
            only_wheels: false,
            ..self.request.clone()
        };
        let allowed = buildable(&with_wheels_only_left_out);
        let missing: BTreeSet<_> = source_only.difference(&allowed).cloned().collect();
        if missing.is_empty() || self.is_over() {
            return;
        }
        let change = Change::AllowBuild(missing.clone());
        if !self.try_out(change.clone()) && self.waits_for_a_build(&change, &missing) {
            let text = format!(
                "{} may help: what it needs is known only after building it",
                told(&change, self.request)
            );
            self.found.push(untried(change, text));
        }
    }

    /// Whether all that stands in the way after a change is that a package of these tells what it
    /// needs only when it is built.
    fn waits_for_a_build(&self, change: &Change, names: &BTreeSet<PackageName>) -> bool {
        if !self.index.met_unbuilt(names) {
            return false;
        }
        let changed = change.request(self.request, self.request.host);
        match attempt(&changed, &self.index) {
            Err(SolveError::NoSolution { explanation, .. }) => {
                !explanation.unreadable.is_disjoint(names)
            }
            _ => false,
        }
    }

    /// What could be changed on the machine.
    fn machine(&mut self) {
        let host = self.request.host;
        for driver in drivers::worth_trying(host) {
            let change = Change::Driver(driver);
            if self.brings_builds(&change) && self.try_out(change) {
                break;
            }
        }
        if let (Some(macos), Arch::Aarch64) = (host.target().macos, host.cpu.arch) {
            for later in AppleFacts::embedded().later_macos(macos) {
                // Whoever updates for the processor is told from where on the GPU computes.
                if self.try_out(Change::Macos(later.clone())) && self.last_is_on_a_gpu() {
                    break;
                }
            }
        }
    }

    fn last_is_on_a_gpu(&self) -> bool {
        let result = self.found.last().and_then(|way| way.result.as_ref());
        result.is_some_and(|result| result.accelerator != Accelerator::Cpu)
    }

    /// Whether a change of the machine makes builds possible that were not.
    fn brings_builds(&self, change: &Change) -> bool {
        let versions = self.request.version.as_ref();
        let now = self.builds(self.request.host, versions);
        let then = self.builds(&change.host(self.request.host), versions);
        then.iter().any(|build| !now.contains(build))
    }

    /// The builds of a machine for some versions of the tool.
    fn builds(&self, host: &Host, versions: Option<&VersionSpecifiers>) -> Vec<AcceleratorOption> {
        let request = self.request;
        let manifest = tool_version::tailored(request.manifest, versions);
        let facts = TorchFacts::embedded();
        let mut choices = accelerators::choices(host, &manifest, request.accelerator, facts);
        for option in &mut choices.options {
            // How it is told, and what the host has, is not what the build is.
            option.why.clear();
            option.notes.clear();
            option.host.clear();
        }
        choices.options
    }

    /// Builds that only a torch index has that does not answer.
    fn torch_indexes(&mut self) {
        let Ok(torch) = "torch".parse() else { return };
        if self.is_over() {
            return;
        }
        let versions = self.request.version.as_ref();
        let builds = self.builds(self.request.host, versions).into_iter();
        let silent = builds
            .filter(|option| self.goal.is_none() || option.kind != AcceleratorKind::Cpu)
            .filter_map(|option| match option.torch_index? {
                IndexId::Torch(build) => Some((build, IndexId::Torch(build))),
                IndexId::Default => None,
            })
            .find_map(|(build, id)| match self.index.releases(&id, &torch) {
                Err(error) if error.is_unreachable() => Some((build, error)),
                _ => None,
            });
        if let Some((build, error)) = silent {
            let text =
                format!("`--torch-mirror URL` of an index with {build} builds may help: {error}");
            self.found.push(untried(Change::TorchIndexes, text));
        }
    }
}

/// A change that works, in words.
fn way(change: Change, plan: &Plan, request: &Request<'_>) -> WayOut {
    let lock = &plan.lock;
    let on = match lock.accelerator {
        Accelerator::Cpu => "the processor".to_owned(),
        gpu => format!("the GPU ({gpu})"),
    };
    WayOut {
        text: format!(
            "{}: {} {} on {on}",
            told(&change, request),
            lock.tool,
            lock.version
        ),
        change,
        result: Some(WayResult {
            version: lock.version.clone(),
            accelerator: lock.accelerator,
        }),
    }
}

fn untried(change: Change, text: String) -> WayOut {
    WayOut {
        change,
        text,
        result: None,
    }
}

/// What a person does to make a change.
fn told(change: &Change, request: &Request<'_>) -> String {
    match change {
        Change::Driver(driver) => {
            let spelled = NvidiaDriver::spelled(driver);
            let current = request.host.nvidia.as_ref();
            let current = current.and_then(|nvidia| nvidia.version.as_ref());
            match current {
                Some(current) if current > driver => {
                    let branch = driver.release().first().copied().unwrap_or(0);
                    format!("an NVIDIA driver of the {branch} branch, the last for the card")
                }
                _ => format!("NVIDIA driver {spelled} or newer"),
            }
        }
        Change::Macos(version) => format!("macOS {version} or newer"),
        Change::DeviceAccess => {
            let groups = &RocmFacts::embedded().needs.groups;
            format!(
                "access for this user to the GPU's devices (groups {})",
                groups.join(" and ")
            )
        }
        Change::TorchIndexes => "`--torch-mirror URL`".to_owned(),
        Change::Accelerator(_)
        | Change::Python(_)
        | Change::AllowBuild(_)
        | Change::DropOnlyWheels
        | Change::ToolVersion(_) => command(change, request),
    }
}

/// The command that asks for a changed request: complete on this machine, the changed words alone
/// where the plan is for another one.
fn command(change: &Change, request: &Request<'_>) -> String {
    let words = match request.reference {
        Some(reference) => {
            let changed = change.request(request, request.host);
            format!("aienv install {}", options(reference, &changed).join(" "))
        }
        None => match change {
            Change::Accelerator(build) => format!("--accel {build}"),
            Change::Python(python) => format!("--python {python}"),
            Change::AllowBuild(names) => {
                let options: Vec<_> = names
                    .iter()
                    .map(|name| format!("--allow-build {name}"))
                    .collect();
                options.join(" ")
            }
            Change::ToolVersion(version) => format!("{}=={version}", request.manifest.name),
            _ => return "without `--only-wheels`".to_owned(),
        },
    };
    format!("`{words}`")
}

/// A request as the words of a command.
fn options(reference: &str, request: &Request<'_>) -> Vec<String> {
    let version = request.version.as_ref().map(ToString::to_string);
    let mut words = vec![format!("{reference}{}", version.unwrap_or_default())];
    if let Some(build) = request.accelerator {
        words.push(format!("--accel {build}"));
    }
    if let Some(python) = request.python {
        words.push(format!("--python {python}"));
    }
    for package in &request.build {
        words.push(format!("--allow-build {package}"));
    }
    if request.only_wheels {
        words.push("--only-wheels".to_owned());
    }
    words
}
