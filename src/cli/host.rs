//! `aienv host`

use std::process::ExitCode;

use super::{Context, Outcome};

#[derive(clap::Args)]
pub struct Args {
    /// Print the facts as JSON, for `--host FILE` of other commands
    #[arg(long)]
    json: bool,
}

pub fn run(_args: Args, _context: &Context) -> Outcome {
    Ok(ExitCode::SUCCESS)
}
