//! A plan, or a refusal that says what would help.

use std::collections::BTreeSet;

use super::{
    Plan, Request, SolveError,
    request::attempt,
    ways_out::{newer_driver, ways_out, with_ways_out},
};
use crate::{index::PackageIndex, types::Accelerator};

/// Plans a tool for a machine. A failure names the single changes that were tried and work.
pub fn plan(request: &Request<'_>, index: &dyn PackageIndex) -> Result<Plan, SolveError> {
    match attempt(request, index) {
        Ok(mut plan) => {
            let fell_back = plan.lock.accelerator == Accelerator::Cpu
                && request.accelerator.is_none()
                && request.host.nvidia.is_some();
            if fell_back && let Some(way) = newer_driver(request, index) {
                plan.notes.push(format!("for the GPU, {way}"));
            }
            Ok(plan)
        }
        Err(error) => {
            let source_only = match &error {
                SolveError::NoSolution { explanation, .. } => explanation.source_only.clone(),
                SolveError::NoAccelerator { .. } | SolveError::NoPython { .. } => BTreeSet::new(),
                _ => return Err(error),
            };
            let ways = ways_out(request, index, &source_only);
            Err(with_ways_out(error, ways))
        }
    }
}
