//! `aienv cache`

use std::process::ExitCode;

use clap::Subcommand;

use super::{Context, Outcome, output};
use crate::{tools::ToolError, types::human_bytes};

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
    Gc {
        /// Print what was freed as JSON
        #[arg(long)]
        json: bool,
    },
    /// Compare every stored file with its digest
    Verify {
        /// Print the damaged files as JSON
        #[arg(long)]
        json: bool,
    },
}

pub fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        Command::Dir => {
            output::print(&format!("{}\n", context.home.root().display()))?;
        }
        Command::Size { json } => {
            let sizes = context.manager()?.sizes()?;
            if json {
                return output::json(&sizes);
            }
            output::print(&format!(
                "store     {:>10}  unpacked artifacts ({} of them unused)
\
                 prefixes  {:>10}  beyond what they share with the store
\
                 cache     {:>10}  index pages, metadata, downloads
",
                human_bytes(sizes.store),
                human_bytes(sizes.unused),
                human_bytes(sizes.prefixes),
                human_bytes(sizes.cache),
            ))?;
        }
        Command::Gc { json } => {
            context
                .progress
                .step("Removing what no installed tool needs");
            let freed = context.manager()?.gc()?;
            context.progress.clear();
            if json {
                return output::json(&freed);
            }
            context.progress.done(&format!(
                "removed {} and {}, {}",
                counted(freed.entries, "artifact", "artifacts"),
                counted(freed.prefixes, "prefix", "prefixes"),
                human_bytes(freed.bytes)
            ));
        }
        Command::Verify { json } => {
            let damaged = context.manager()?.verify();
            context.progress.clear();
            if json {
                output::json(&damaged)?;
            } else {
                for damage in &damaged {
                    output::print(&format!("{damage}\n"))?;
                }
            }
            if !damaged.is_empty() {
                return Err(ToolError::Damaged {
                    count: damaged.len(),
                }
                .into());
            }
            context.progress.done("every stored file is as it was");
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
