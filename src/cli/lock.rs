//! `aienv lock`

use std::{path::PathBuf, process::ExitCode};

use super::{Context, Outcome, output, solving::SolvingArgs};

#[derive(clap::Args)]
pub struct Args {
    /// A tool of the catalogue (`TOOL==VERSION` for one version of it), or the path of a manifest
    #[arg(value_name = "TOOL")]
    tool: String,
    /// Write the lock to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    solving: SolvingArgs,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let wanted = manager.wanted(&args.tool)?;
    let plans = manager.plan_all(&[wanted], &args.solving.options()?)?;
    context.progress.clear();
    for planned in &plans {
        for note in &planned.plan.notes {
            output::note(context, note);
        }
        let text = planned.plan.lock.to_pylock();
        match &args.output {
            Some(path) => {
                manager.write_lock(path, &text)?;
                context
                    .progress
                    .done(&format!("wrote `{}`", path.display()));
            }
            None => {
                output::print(&text)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
