//! `aienv cache`

use std::{io::Write as _, process::ExitCode};

use clap::Subcommand;

use super::{Context, Outcome};
use crate::{tools::Manager, types::human_bytes};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print where aienv keeps everything
    Dir,
    /// Show how much space is used, and what for
    Size {
        /// Print the sizes as JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove what no installed tool needs
    Gc,
    /// Compare every stored file with its digest
    Verify,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let mut out = std::io::stdout().lock();
    match args.command {
        Command::Dir => {
            super::output::finish(writeln!(out, "{}", context.home.root().display()))?;
        }
        Command::Size { json } => {
            let sizes = Manager::of(context)?.sizes()?;
            let written = if json {
                super::output::json(&mut out, &sizes)
            } else {
                writeln!(
                    out,
                    "store     {:>10}  unpacked artifacts ({} of them unused)\n\
                     prefixes  {:>10}  beyond what they share with the store\n\
                     cache     {:>10}  index pages, metadata, downloads",
                    human_bytes(sizes.store),
                    human_bytes(sizes.unused),
                    human_bytes(sizes.prefixes),
                    human_bytes(sizes.cache),
                )
            };
            super::output::finish(written)?;
        }
        Command::Gc => {
            let freed = Manager::of(context)?.gc()?;
            context.progress.step(&format!(
                "removed {} artifacts and {} prefixes, {}",
                freed.entries,
                freed.prefixes,
                human_bytes(freed.bytes)
            ));
        }
        Command::Verify => {
            let damaged = Manager::of(context)?.verify();
            for damage in &damaged {
                super::output::finish(writeln!(out, "{damage}"))?;
            }
            if !damaged.is_empty() {
                context.progress.note("`aienv cache gc` removes unused entries; `aienv repair TOOL` fetches the others anew");
                return Ok(ExitCode::FAILURE);
            }
            context.progress.step("every stored file is as it was");
        }
    }
    Ok(ExitCode::SUCCESS)
}
