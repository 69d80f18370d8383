//! `aienv gpu-probe`: the process that `aienv doctor --probe` starts for one driver interface.

use super::Outcome;
use crate::doctor::probe::{Api, run_child};

#[derive(clap::Args)]
pub struct Args {
    /// The interface
    api: Api,
}

pub fn run(args: &Args) -> Outcome {
    Ok(run_child(args.api))
}
