//! Why one package of a plan has the version it has.
//!
//! Three things are told: what asks for it, from the tool down; what the plan took; and, where a
//! newer version exists, what speaks against it — found by demanding the newer version and reading
//! the refusal.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Choice, Plan, Requested, SolveError,
    accelerators::asking_for,
    assemble::parse,
    request::{Request, attempt},
};
use crate::{
    index::PackageIndex,
    types::{PackageName, Version},
};

/// The choices that packages depend on.
const DECISIVE: [&str; 3] = ["machine", "accelerator", "python"];

/// The reasons for one package.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Why {
    /// The package.
    pub package: PackageName,
    /// The planned version; absent when the plan has no such package.
    pub version: Option<Version>,
    /// What decides of the plan before any package: the machine, the build, Python.
    pub choices: Vec<Choice>,
    /// From the tool to the package: who needs whom.
    pub chain: Vec<Requested>,
    /// Everything that asks for it.
    pub requested: Vec<Requested>,
    /// The newest version, if that is not the planned one.
    pub newest: Option<Version>,
    /// What speaks against the newest version.
    pub against: Vec<String>,
}

/// The reasons for a package in a plan that was made for `request`.
pub fn why(
    request: &Request<'_>,
    plan: &Plan,
    package: &PackageName,
    index: &dyn PackageIndex,
) -> Result<Why, SolveError> {
    let newest = plan.newer.get(package).cloned();
    let against = match &newest {
        None => Vec::new(),
        Some(newest) => against(request, plan, package, newest, index)?,
    };
    Ok(Why {
        package: package.clone(),
        version: plan.version_of(package).cloned(),
        choices: plan
            .choices
            .iter()
            .filter(|choice| DECISIVE.contains(&choice.what.as_str()))
            .cloned()
            .collect(),
        chain: chain(plan, package),
        requested: plan.requested.get(package).cloned().unwrap_or_default(),
        newest,
        against,
    })
}

/// What happens when the newer version is demanded.
fn against(
    request: &Request<'_>,
    plan: &Plan,
    package: &PackageName,
    newest: &Version,
    index: &dyn PackageIndex,
) -> Result<Vec<String>, SolveError> {
    let mut demanding = request.clone();
    // A plan that gives up the GPU for the newer version is no answer.
    let build = asking_for(plan.lock.accelerator);
    demanding.accelerator = request.accelerator.or(Some(build));
    // As a requirement of its own: a constraint would hide in the requirements of others.
    demanding
        .added
        .push(parse(&format!("{package}=={newest}"), "the question")?);
    match attempt(&demanding, index) {
        Ok(_) => Ok(vec![format!(
            "nothing; {package} {newest} would do, and the plan took one that is already here or \
             that suits the other packages' newest versions better"
        )]),
        Err(SolveError::NoSolution { explanation, .. }) => Ok(explanation.facts),
        Err(SolveError::NoAccelerator { rejected, .. }) => Ok(rejected),
        Err(other) => Err(other),
    }
}

/// The shortest way from the tool to a package.
fn chain(plan: &Plan, package: &PackageName) -> Vec<Requested> {
    let mut came_from: BTreeMap<&PackageName, &Requested> = BTreeMap::new();
    let mut queue: VecDeque<&str> = VecDeque::from([plan.lock.tool.as_str()]);
    // A tool and its package often have one name: the manifest's requirements come first.
    let mut asked = vec![plan.lock.tool.as_str()];
    while let Some(asker) = queue.pop_front() {
        for (name, requested) in &plan.requested {
            let Some(reason) = requested.iter().find(|reason| reason.by == asker) else {
                continue;
            };
            if came_from.contains_key(name) {
                continue;
            }
            came_from.insert(name, reason);
            if !asked.contains(&name.as_ref()) {
                asked.push(name.as_ref());
                queue.push_back(name.as_ref());
            }
        }
    }
    let mut chain = Vec::new();
    let mut at = package;
    while let Some(reason) = came_from.get(at) {
        chain.push((*reason).clone());
        match plan
            .requested
            .keys()
            .find(|name| name.as_ref() == reason.by)
        {
            Some(next) if next != at && chain.len() <= plan.requested.len() => at = next,
            _ => break,
        }
    }
    chain.reverse();
    chain
}
