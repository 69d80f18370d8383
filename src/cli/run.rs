//! `aienv run`

use std::{
    ffi::OsString,
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use super::{Context, Failure, Outcome, install, plan, solving::SolvingArgs};
use crate::{
    launch::{self, LaunchRecord, Mode, StartOptions},
    tools::{InstallOptions, Reference, ToolError, ToolState},
};

#[derive(clap::Args)]
pub struct Args {
    /// A tool of the catalogue (`TOOL==VERSION` for one version of it) or the path of a manifest, then a command of it (`aienv info TOOL`
    /// lists them) and arguments; all that follows the tool is passed on as it is
    #[arg(
        required = true,
        trailing_var_arg = true,
        value_name = "TOOL [COMMAND] [ARGS]"
    )]
    words: Vec<OsString>,
    /// Install without asking if the tool is not there yet
    #[arg(long, short)]
    yes: bool,
    /// Leave a service running in the background
    #[arg(long, short)]
    detach: bool,
    /// Start a service although it already runs
    #[arg(long)]
    another: bool,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    // Everything after the tool is the tool's business, even `--help`.
    let (tool, arguments) = match args.words.split_first() {
        Some((tool, arguments)) => (tool.to_string_lossy(), arguments),
        None => return Ok(ExitCode::from(2)),
    };
    let name = match installed_records(&tool, context)? {
        Some(name) => name,
        None => match install_first(&tool, &args, context)? {
            Some(name) => name,
            None => return Ok(ExitCode::FAILURE),
        },
    };
    let records: Vec<LaunchRecord> = launch::load(&context.home, &name)?;
    let (record, arguments) = launch::choose(&records, arguments)?;
    let options = StartOptions {
        mode: if args.detach {
            Mode::Detached
        } else {
            Mode::Foreground
        },
        another: args.another,
    };
    Ok(launch::start(
        &context.home,
        record,
        arguments,
        options,
        &*context.progress,
    )?)
}

/// The tool's name when it is installed, in the version that is asked for; without one it reads
/// launch records only, so that a start stays quick.
fn installed_records(text: &str, context: &Context) -> Result<Option<String>, Failure> {
    let Reference { tool, version } = Reference::parse(text).map_err(ToolError::from)?;
    let folded = tool.to_lowercase().replace(['_', '.'], "-");
    let known = launch::installed_tools(&context.home)?;
    let Some(name) = known.into_iter().find(|name| *name == folded) else {
        return Ok(None);
    };
    let Some(version) = version else {
        return Ok(Some(name));
    };
    let state = ToolState::load(&context.home, &name).map_err(ToolError::from)?;
    let installed = state
        .as_ref()
        .and_then(ToolState::current)
        .is_some_and(|generation| generation.version == version);
    Ok(installed.then_some(name))
}

fn install_first(tool: &str, args: &Args, context: &Context) -> Result<Option<String>, Failure> {
    let manager = context.manager()?;
    let mut wanted = manager.wanted(tool)?;
    let name = wanted.name().to_owned();
    wanted.wishes = manager.wishes(&wanted, &SolvingArgs::default().options()?, None)?;
    // The reference may be another spelling of something installed, such as a path.
    if manager.up_to_date(&wanted)?.is_some() {
        return Ok(Some(name));
    }
    let plans = manager.plan_all(&[wanted], &SolvingArgs::default().options()?)?;
    for planned in &plans {
        context.progress.note(&format!(
            "{} {} is not installed yet: {}",
            planned.wanted.loaded.manifest.title,
            planned.plan.lock.version,
            plan::totals(&planned.plan, &manager)
        ));
    }
    if !args.yes && !confirmed()? {
        context
            .progress
            .note("nothing was installed; `--yes` installs without asking");
        return Ok(None);
    }
    let installed = manager.install(&plans, &InstallOptions::default())?;
    install::report(&installed, context);
    Ok(Some(name))
}

/// Asks on the terminal; without one the answer is no.
fn confirmed() -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Ok(false);
    }
    let mut stderr = std::io::stderr().lock();
    let mut answer = String::new();
    // A terminal that cannot be written to or read from cannot say yes.
    let asked = stderr
        .write_all(b"Install it now? [y/N] ")
        .and_then(|()| stderr.flush());
    if asked.is_err() || std::io::stdin().read_line(&mut answer).is_err() {
        return Ok(false);
    }
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
