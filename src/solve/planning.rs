//! A plan, or a refusal that says what would help.

use super::{
    Plan, Request, SolveError, reasons,
    request::attempt,
    tool_version,
    ways_out::{to_a_gpu, to_a_plan, to_the_devices},
};
use crate::{index::PackageIndex, types::Accelerator};

/// Plans a tool for a machine. A failure names the single changes that were tried and work; a plan
/// that leaves a GPU idle names those that would put it to use.
pub fn plan(request: &Request<'_>, index: &dyn PackageIndex) -> Result<Plan, SolveError> {
    tool_version::must_exist(request, index)?;
    match attempt(request, index) {
        Ok(mut plan) => {
            plan.notes.extend(tool_version::remark(request));
            let fell_back = plan.lock.accelerator == Accelerator::Cpu
                && request.accelerator.is_none()
                && !request.host.gpus.is_empty();
            if fell_back {
                plan.ways = to_a_gpu(request, index);
            } else if matches!(plan.lock.accelerator, Accelerator::Rocm(..)) {
                plan.ways = to_the_devices(request, index);
            }
            reasons::complete(&mut plan, request);
            Ok(plan)
        }
        Err(error) => {
            let ways = to_a_plan(request, index, &error);
            Err(error.with_ways(ways).on(reasons::machine(request.host)))
        }
    }
}
