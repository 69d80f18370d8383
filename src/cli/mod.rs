//! The command line: one file per command, each of which parses, calls and prints.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 the
//! operation failed, 2 wrong usage.

mod catalog;
mod context;
mod failure;
mod host;
mod info;
mod list;
mod output;
mod search;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use context::Context;
pub use failure::Failure;

/// What a command's `run` gives back.
pub type Outcome = Result<ExitCode, Failure>;

#[derive(Parser)]
#[command(
    name = "aienv",
    version,
    about,
    max_term_width = 100,
    propagate_version = true
)]
struct Cli {
    #[command(flatten)]
    global: context::GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what this machine is: system, processor, GPUs, drivers, Python interpreters
    Host(host::Args),
    /// List the tools that can be installed
    List(list::Args),
    /// Find tools by words
    Search(search::Args),
    /// Show what a tool is, needs and offers
    Info(info::Args),
    /// Check manifests
    Catalog(catalog::Args),
}

/// Parses the arguments of the process and runs the command.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // `--help` and `--version` come this way too, with exit code 0.
            let code = error.exit_code();
            let _ = error.print();
            return ExitCode::from(u8::try_from(code).unwrap_or(2));
        }
    };
    let result = Context::new(cli.global).and_then(|context| match cli.command {
        Command::Host(args) => host::run(args, &context),
        Command::List(args) => list::run(args, &context),
        Command::Search(args) => search::run(args, &context),
        Command::Info(args) => info::run(args, &context),
        Command::Catalog(args) => catalog::run(args, &context),
    });
    result.unwrap_or_else(|failure| failure.report())
}
