//! Plans for machines that are only thought of.

use super::{
    Change, Plan, Request, SolveError, planning::plan, request::attempt, ways_out::lowest_driver,
};
use crate::{
    host::{GpuVendor, Host},
    index::PackageIndex,
    types::Version,
};

/// A plan for a machine that may be described in part.
#[derive(Clone, Debug)]
pub struct Supposed {
    /// The NVIDIA driver that was assumed, where the machine has a card of NVIDIA's and no driver:
    /// the lowest with which the tool runs on the GPU, or the newest that knows the card.
    pub driver: Option<Version>,
    /// The plan.
    pub plan: Plan,
}

/// The plan of a request whose machine may lack a driver.
///
/// # Errors
/// As [`plan`].
pub fn supposed(request: &Request<'_>, index: &dyn PackageIndex) -> Result<Supposed, SolveError> {
    let driver = match lacks_driver(request.host) {
        true => lowest_driver(request, index),
        false => None,
    };
    let plan = match &driver {
        Some(driver) => {
            let change = Change::Driver(driver.clone());
            let host = change.host(request.host);
            plan(&change.request(request, &host), index)?
        }
        None => plan(request, index)?,
    };
    Ok(Supposed { driver, plan })
}

/// The plan of a request, without looking for ways out where there is none.
///
/// # Errors
/// As [`plan`], without ways.
pub fn present(request: &Request<'_>, index: &dyn PackageIndex) -> Result<Plan, SolveError> {
    attempt(request, index)
}

fn lacks_driver(host: &Host) -> bool {
    let mut gpus = host.gpus.iter();
    let driver = host.nvidia.as_ref();
    gpus.any(|gpu| gpu.vendor == GpuVendor::Nvidia)
        && driver.is_none_or(|driver| driver.version.is_none())
}
