//! `aienv install`

use std::{path::PathBuf, process::ExitCode};

use console::style;

use super::{Context, Outcome, plan, solving::SolvingArgs};
use crate::tools::{InstallOptions, Installed, Manager, Planned, Wanted};

#[derive(clap::Args)]
pub struct Args {
    /// Tools of the catalogue, or paths of manifests
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
            let planned = manager.planned_from_lock(file, manifest)?;
            manager.install(&[planned], &options)?
        }
        None => install(&manager, &args.tools, &args.solving, &options)?,
    };
    for one in &installed {
        report(one, &manager, context);
    }
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
        wanted.wishes = manager.wishes(wanted.name(), &options.plan, solving.accel())?;
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
        manager.progress().step(&format!(
            "{} {} ({}, Python {}): {}",
            lock.tool,
            lock.version,
            lock.accelerator,
            lock.python.version(),
            plan::totals(planned, manager)
        ));
    }
}

/// Says what became of a tool, and how it is started.
pub fn report(installed: &Installed, manager: &Manager, context: &Context) {
    let Installed { title, version, .. } = installed;
    let what = if installed.changed {
        "installed"
    } else {
        "already installed"
    };
    for note in &installed.notes {
        context
            .progress
            .note(&format!("{} {note}", style("note:").yellow().for_stderr()));
    }
    let start = match &installed.commands[..] {
        [one] if *one == installed.name => format!("aienv run {one}"),
        _ => format!("aienv run {}", installed.name),
    };
    context.progress.step(&format!(
        "{} {title} {version} is {what}; start it with `{}`",
        style("✓").green().for_stderr(),
        style(start).bold().for_stderr()
    ));
    if !super::path::is_on_path(manager.home()) && installed.changed {
        context.progress.step(&format!(
            "  `{}` is not on PATH; `aienv path` says how to put it there",
            manager.home().bin().display()
        ));
    }
}
