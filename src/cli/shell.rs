//! `aienv shell`

use std::path::PathBuf;

use super::{Context, Outcome};
use crate::launch::{self, subshell};

#[derive(clap::Args)]
pub struct Args {
    /// The tool
    tool: String,
    /// The shell to start [default: yours]
    #[arg(long, value_name = "PROGRAM")]
    program: Option<PathBuf>,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let records = launch::load(&context.home, &args.tool)?;
    let (record, _) = launch::choose(&records, &[])?;
    context.progress.note(&format!(
        "this shell has the environment of {}; `exit` leaves it",
        record.title
    ));
    let program = args.program.unwrap_or_else(subshell::program);
    Ok(subshell::enter(&program, record)?)
}
