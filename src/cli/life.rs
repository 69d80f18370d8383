//! Commands of a tool's life after install: `add`, `upgrade`, `rollback`, `repair`, `pin`,
//! `unpin`, `remove`.

use std::process::ExitCode;

use super::{Context, Outcome, install, install::InstallArgs, solving::SolvingArgs};
use crate::tools::ToolState;

#[derive(clap::Args)]
pub struct AddArgs {
    /// An installed tool
    tool: String,
    /// Packages to add, as requirements (`opencv-python-headless>=4.10`)
    #[arg(required = true)]
    packages: Vec<String>,
    #[command(flatten)]
    installing: InstallArgs,
}

#[derive(clap::Args)]
pub struct UpgradeArgs {
    /// Installed tools
    #[arg(required_unless_present = "all")]
    tools: Vec<String>,
    /// Every installed tool that is not pinned
    #[arg(long, conflicts_with = "tools")]
    all: bool,
    #[command(flatten)]
    installing: InstallArgs,
}

#[derive(clap::Args)]
pub struct RollbackArgs {
    /// An installed tool
    tool: String,
    /// The generation to go to (default: the one before the current)
    #[arg(long, value_name = "NUMBER")]
    to: Option<u32>,
}

#[derive(clap::Args)]
pub struct RepairArgs {
    /// Installed tools
    #[arg(required = true)]
    tools: Vec<String>,
    #[command(flatten)]
    installing: InstallArgs,
}

#[derive(clap::Args)]
pub struct NameArgs {
    /// Installed tools
    #[arg(required = true)]
    tools: Vec<String>,
}

#[derive(clap::Args)]
pub struct RemoveArgs {
    /// Installed tools
    #[arg(required = true)]
    tools: Vec<String>,
    /// Remove their data folders (models, outputs, settings) too
    #[arg(long)]
    purge: bool,
}

pub fn add(args: AddArgs, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let state = manager.installed(&args.tool)?;
    let wanted = manager.add_wanted(&state, &args.packages)?;
    let options = args.installing.options(&SolvingArgs::default())?;
    let plans = manager.plan_all(&[wanted], &options.plan)?;
    install::announce(&plans, &manager);
    for installed in manager.install(&plans, &options)? {
        install::report(&installed, &manager, context);
    }
    Ok(ExitCode::SUCCESS)
}

pub fn upgrade(args: UpgradeArgs, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let mut states: Vec<ToolState> = if args.all {
        manager.all_installed()?
    } else {
        args.tools
            .iter()
            .map(|tool| manager.installed(tool))
            .collect::<Result<_, _>>()?
    };
    states.retain(|state| {
        if state.pinned {
            context
                .progress
                .note(&format!("{} is pinned and stays as it is", state.name));
        }
        !state.pinned
    });
    let wanted = states
        .iter()
        .map(|state| manager.upgrade_wanted(state))
        .collect::<Result<Vec<_>, _>>()?;
    let mut options = args.installing.options(&SolvingArgs::default())?;
    // An upgrade that took what the store already holds would never upgrade anything.
    options.plan.fresh = true;
    let plans = manager.plan_all(&wanted, &options.plan)?;
    install::announce(&plans, &manager);
    for (state, installed) in states.iter().zip(manager.install(&plans, &options)?) {
        if installed.changed {
            let before = state
                .current()
                .map_or_else(String::new, |g| format!(" (was {})", g.version));
            context.progress.step(&format!(
                "{} is now {}{before}",
                installed.title, installed.version
            ));
        } else {
            context.progress.step(&format!(
                "{} {} is up to date",
                installed.title, installed.version
            ));
        }
        for note in &installed.notes {
            context.progress.note(&format!("note: {note}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn rollback(args: RollbackArgs, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let installed = manager.rollback(&args.tool, args.to)?;
    context.progress.step(&format!(
        "{} is back at {} (generation {})",
        installed.title, installed.version, installed.generation
    ));
    Ok(ExitCode::SUCCESS)
}

pub fn repair(args: RepairArgs, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let options = args.installing.options(&SolvingArgs::default())?;
    for tool in &args.tools {
        let installed = manager.repair(tool, &options)?;
        let what = if installed.changed {
            "was damaged and is whole again"
        } else {
            "is whole; its shims were written anew"
        };
        context
            .progress
            .step(&format!("{} {} {what}", installed.title, installed.version));
    }
    Ok(ExitCode::SUCCESS)
}

pub fn pin(args: NameArgs, pinned: bool, context: &Context) -> Outcome {
    let manager = context.manager()?;
    for tool in &args.tools {
        let state = manager.pin(tool, pinned)?;
        let version = state
            .current()
            .map_or_else(String::new, |g| format!(" at {}", g.version));
        let what = if pinned {
            "is pinned"
        } else {
            "is no longer pinned"
        };
        context
            .progress
            .step(&format!("{} {what}{version}", state.name));
    }
    Ok(ExitCode::SUCCESS)
}

pub fn remove(args: RemoveArgs, context: &Context) -> Outcome {
    let manager = context.manager()?;
    for tool in &args.tools {
        let removal = manager.remove(tool, args.purge)?;
        match &removal.kept_data {
            Some(data) => context.progress.step(&format!(
                "removed {}; its data stays in `{}` (`--purge` removes it too)",
                removal.name,
                data.display()
            )),
            None => context.progress.step(&format!("removed {}", removal.name)),
        }
    }
    Ok(ExitCode::SUCCESS)
}
