//! `aienv install`

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode};

use console::style;

use super::{Context, Outcome, output, plan, solving::SolvingArgs};
use crate::tools::{InstallOptions, Installed, Manager, Planned, Wanted};

#[derive(clap::Args)]
pub struct Args {
    /// Tools of the catalogue, or paths of manifests; `TOOL==VERSION` chooses a version
    #[arg(required_unless_present = "lock", value_name = "TOOL")]
    tools: Vec<String>,
    /// Install exactly what this lock says (written by `aienv lock`)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["accel", "python", "host", "fresh"])]
    lock: Option<PathBuf>,
    #[command(flatten)]
    solving: SolvingArgs,
    #[command(flatten)]
    installing: InstallArgs,
}

/// Options shared by every command that installs.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct InstallArgs {
    /// Do not try whether the tool works after it was installed
    #[arg(long)]
    no_check: bool,
    /// Byte-compile the packages now, for a faster first start
    #[arg(long)]
    compile: bool,
}

impl InstallArgs {
    /// As the tools room takes them.
    pub fn options(&self, solving: &SolvingArgs) -> Result<InstallOptions, super::Failure> {
        Ok(InstallOptions {
            plan: solving.options()?,
            no_check: self.no_check,
            compile: self.compile,
        })
    }
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let options = args.installing.options(&args.solving)?;
    let installed = match &args.lock {
        Some(file) => {
            let manifest = args.tools.first().map(String::as_str);
            let plans = [manager.planned_from_lock(file, manifest)?];
            announce(&plans, &manager);
            manager.install(&plans, &options)?
        }
        None => install(&manager, &args.tools, &args.solving, &options)?,
    };
    report(&installed, context);
    Ok(ExitCode::SUCCESS)
}

fn install(
    manager: &Manager,
    tools: &[String],
    solving: &SolvingArgs,
    options: &InstallOptions,
) -> Result<Vec<Installed>, super::Failure> {
    let mut done = Vec::new();
    let mut missing: Vec<Wanted> = Vec::new();
    for tool in tools {
        let mut wanted = manager.wanted(tool)?;
        if missing.iter().any(|other| other.name() == wanted.name()) {
            continue;
        }
        wanted.wishes = manager.wishes(&wanted, &options.plan, solving.accel())?;
        match manager.up_to_date(&wanted)? {
            Some(installed) if !solving.fresh() => done.push(installed),
            _ => missing.push(wanted),
        }
    }
    if !missing.is_empty() {
        let plans = manager.plan_all(&missing, &options.plan)?;
        announce(&plans, manager);
        done.extend(manager.install(&plans, options)?);
    }
    Ok(done)
}

/// Says in a line per tool what is about to be installed.
pub fn announce(plans: &[Planned], manager: &Manager) {
    for Planned { plan: planned, .. } in plans {
        let lock = &planned.lock;
        manager.progress().done(&format!(
            "{} {} ({}, Python {}): {}",
            lock.tool,
            lock.version,
            lock.accelerator,
            lock.python.version(),
            plan::totals(planned, manager)
        ));
    }
}

/// Says what became of tools, and how they are started.
pub fn report(installed: &[Installed], context: &Context) {
    notes(installed, context);
    for one in installed {
        let what = if one.changed {
            "installed"
        } else {
            "already installed"
        };
        context.progress.done(&format!(
            "{} {} {} is {what}; start it with `{}`",
            style("✓").green().for_stderr(),
            one.title,
            one.version,
            style(format!("aienv run {}", one.name)).bold().for_stderr()
        ));
    }
    if installed.iter().any(|one| one.changed) && !super::path::is_on_path(&context.home) {
        context.progress.done(&format!(
            "  `{}` is not on PATH; `aienv path` says how to put it there",
            context.home.bin().display()
        ));
    }
}

/// Prints what a person should know, each note once: tools installed together share many.
pub fn notes(installed: &[Installed], context: &Context) {
    let mut told = BTreeSet::new();
    for note in installed.iter().flat_map(|one| &one.notes) {
        if told.insert(note) {
            output::note(context, note);
        }
    }
}
