//! The command line: one file per command, each of which parses, calls and prints.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 the
//! operation failed, 2 wrong usage.

mod cache;
mod catalog;
mod chat;
mod completions;
mod context;
mod doctor;
mod embed;
mod engine;
mod env;
mod facts;
mod failure;
mod generate;
mod gguf;
mod gpu_probe;
mod host;
mod info;
mod install;
mod life;
mod list;
mod lock;
mod logs;
mod output;
mod path;
mod plan;
mod ps;
mod run;
mod search;
mod shell;
mod solving;
mod stop;
mod terminal;
mod trace;
mod what_if;
mod which;
mod why;

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

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
    /// Install tools, each in an environment of its own
    Install(install::Args),
    /// Start a tool, installing it first if it is not there
    Run(run::Args),
    /// List the tools that can be installed
    List(list::Args),
    /// Find tools by words
    Search(search::Args),
    /// Show what a tool is, needs and offers
    Info(info::Args),
    /// Show what would be installed, and why
    Plan(plan::Args),
    /// Explain the version of one package in a tool's plan
    Why(why::Args),
    /// Plan for this machine with another GPU or driver, before buying or updating
    WhatIf(what_if::Args),
    /// Write the plan of a tool as a lock file (PEP 751)
    Lock(lock::Args),
    /// Add packages to a tool (plugins, extra nodes); its torch stays as it is
    Add(life::AddArgs),
    /// Bring tools to their newest versions
    Upgrade(life::UpgradeArgs),
    /// Go back to an earlier generation of a tool
    Rollback(life::RollbackArgs),
    /// Make an installed tool whole again
    Repair(life::RepairArgs),
    /// Keep tools from being upgraded
    Pin(life::NameArgs),
    /// Let pinned tools be upgraded again
    Unpin(life::NameArgs),
    /// Remove tools; their data stays unless told otherwise
    Remove(life::RemoveArgs),
    /// Show the services that are running
    Ps(ps::Args),
    /// Stop services
    Stop(stop::Args),
    /// Print what a service has written
    Logs(logs::Args),
    /// Start your shell in the environment of a tool
    Shell(shell::Args),
    /// Print the environment of a tool in the language of a shell
    Env(env::Args),
    /// Show the program, the tool and the prefix behind a command
    Which(which::Args),
    /// Print the folder to put on PATH, and how
    Path(path::Args),
    /// Show what this machine is: system, processor, GPUs, drivers, Python interpreters
    Host(host::Args),
    /// Find out what is wrong with this machine, or why something failed, and what helps
    Doctor(doctor::Args),
    /// Talk with a model, from a GGUF file, on this processor
    Chat(chat::Args),
    /// Let a model continue a text or answer a message
    Generate(generate::Args),
    /// Turn texts into vectors (embeddings) with a model
    #[command(after_help = embed::AFTER_HELP)]
    Embed(embed::Args),
    /// Look into model files (GGUF), check, convert and measure them
    Gguf(gguf::Args),
    /// Look after the files aienv keeps
    Cache(cache::Args),
    /// Check manifests and tables of facts
    Catalog(catalog::Args),
    /// Try the GPUs of one driver interface, for `aienv doctor --probe`
    #[command(hide = true)]
    GpuProbe(gpu_probe::Args),
    /// Print what makes a shell complete aienv's commands and options
    Completions(completions::Args),
}

/// Parses the arguments of the process and runs the command.
pub fn main() -> ExitCode {
    let parsed = Cli::command()
        .try_get_matches()
        .and_then(|matches| Ok((asks_for_json(&matches), Cli::from_arg_matches(&matches)?)));
    let (json, cli) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // `--help` and `--version` come this way too, with exit code 0.
            let code = error.exit_code();
            let _ = error.print();
            return ExitCode::from(u8::try_from(code).unwrap_or(2));
        }
    };
    let verbose = cli.global.verbose > 0;
    let result = Context::new(cli.global).and_then(|context| {
        let outcome = run(cli.command, &context);
        context.progress.clear();
        outcome
    });
    result.unwrap_or_else(|failure| failure.report(verbose, json))
}

/// Whether the command has `--json`, and it was given.
fn asks_for_json(matches: &ArgMatches) -> bool {
    let given = matches.try_get_one::<bool>("json");
    given.is_ok_and(|json| json == Some(&true))
        || matches
            .subcommand()
            .is_some_and(|(_, matches)| asks_for_json(matches))
}

fn run(command: Command, context: &Context) -> Outcome {
    match command {
        Command::Install(args) => install::run(args, context),
        Command::Run(args) => run::run(args, context),
        Command::List(args) => list::run(args, context),
        Command::Search(args) => search::run(args, context),
        Command::Info(args) => info::run(args, context),
        Command::Plan(args) => plan::run(args, context),
        Command::Why(args) => why::run(args, context),
        Command::WhatIf(args) => what_if::run(args, context),
        Command::Lock(args) => lock::run(args, context),
        Command::Add(args) => life::add(args, context),
        Command::Upgrade(args) => life::upgrade(args, context),
        Command::Rollback(args) => life::rollback(args, context),
        Command::Repair(args) => life::repair(args, context),
        Command::Pin(args) => life::pin(args, true, context),
        Command::Unpin(args) => life::pin(args, false, context),
        Command::Remove(args) => life::remove(args, context),
        Command::Ps(args) => ps::run(args, context),
        Command::Stop(args) => stop::run(args, context),
        Command::Logs(args) => logs::run(args, context),
        Command::Shell(args) => shell::run(args, context),
        Command::Env(args) => env::run(args, context),
        Command::Which(args) => which::run(args, context),
        Command::Path(args) => path::run(args, context),
        Command::Host(args) => host::run(args, context),
        Command::Doctor(args) => doctor::run(args, context),
        Command::Chat(args) => chat::run(args, context),
        Command::Generate(args) => generate::run(args, context),
        Command::Embed(args) => embed::run(&args),
        Command::Gguf(args) => gguf::run(args, context),
        Command::Cache(args) => cache::run(args, context),
        Command::Catalog(args) => catalog::run(args, context),
        Command::GpuProbe(args) => gpu_probe::run(&args),
        Command::Completions(args) => completions::run(&args, &mut Cli::command()),
    }
}
