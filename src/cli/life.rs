//! Commands of a tool's life after install: `add`, `upgrade`, `rollback`, `repair`, `pin`,
//! `unpin`, `remove`.

use std::process::ExitCode;

use super::{
    Context, Outcome, install, install::InstallArgs, solving::SolvingArgs, stop::stop_service,
};
use crate::{
    launch::{services, shims},
    tools::{Reference, ToolError, ToolState},
    types::Version,
};

#[derive(clap::Args)]
pub struct AddArgs {
    /// An installed tool
    tool: String,
    /// Packages to add, as requirements (`opencv-python-headless>=4.10`)
    #[arg(required = true, value_name = "PACKAGE")]
    packages: Vec<String>,
    #[command(flatten)]
    installing: InstallArgs,
}

#[derive(clap::Args)]
pub struct UpgradeArgs {
    /// Installed tools; `TOOL==VERSION` goes to that version and stays there
    #[arg(required_unless_present = "all", value_name = "TOOL")]
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
    #[arg(required_unless_present = "all", value_name = "TOOL")]
    tools: Vec<String>,
    /// Every installed tool
    #[arg(long, conflicts_with = "tools")]
    all: bool,
    #[command(flatten)]
    installing: InstallArgs,
}

#[derive(clap::Args)]
pub struct NameArgs {
    /// Installed tools
    #[arg(required = true, value_name = "TOOL")]
    tools: Vec<String>,
}

#[derive(clap::Args)]
pub struct RemoveArgs {
    /// Installed tools
    #[arg(required = true, value_name = "TOOL")]
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
    let installed = manager.install(&plans, &options)?;
    install::notes(&installed, context);
    for one in &installed {
        let packages = args.packages.join(", ");
        context.progress.done(&match one.changed {
            true => format!(
                "{} has {packages} now (generation {})",
                one.title, one.generation
            ),
            false => format!("{} has {packages} already", one.title),
        });
    }
    Ok(ExitCode::SUCCESS)
}

pub fn upgrade(args: UpgradeArgs, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let mut states: Vec<(ToolState, Option<Version>)> = Vec::new();
    if args.all {
        let all = manager.all_installed()?;
        states.extend(all.into_iter().map(|state| (state, None)));
    }
    for text in &args.tools {
        let Reference { tool, version } = Reference::parse(text).map_err(ToolError::from)?;
        states.push((manager.installed(tool)?, version));
    }
    states.retain(|(state, _)| {
        if state.pinned {
            context
                .progress
                .note(&format!("{} is pinned and stays as it is", state.name));
        }
        !state.pinned
    });
    let mut wanted = Vec::new();
    for (state, version) in &states {
        if let (None, Some(kept)) = (version, &state.wishes.version) {
            context.progress.note(&format!(
                "{tool} stays at {kept}, the version that was asked for; `aienv unpin {tool}` \
                 lets it go",
                tool = state.name
            ));
        }
        wanted.push(manager.upgrade_wanted(state, version.clone())?);
    }
    let mut options = args.installing.options(&SolvingArgs::default())?;
    // An upgrade that took what the store already holds would never upgrade anything.
    options.plan.fresh = true;
    let plans = manager.plan_all(&wanted, &options.plan)?;
    install::announce(&plans, &manager);
    let all = manager.install(&plans, &options)?;
    install::notes(&all, context);
    for ((state, _), installed) in states.iter().zip(&all) {
        if installed.changed {
            let before = state
                .current()
                .map_or_else(String::new, |g| format!(" (was {})", g.version));
            context.progress.done(&format!(
                "{} is now {}{before}",
                installed.title, installed.version
            ));
        } else {
            context.progress.done(&format!(
                "{} {} is up to date",
                installed.title, installed.version
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn rollback(args: RollbackArgs, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let installed = manager.rollback(&args.tool, args.to)?;
    context.progress.done(&format!(
        "{} is at {} now (generation {})",
        installed.title, installed.version, installed.generation
    ));
    Ok(ExitCode::SUCCESS)
}

pub fn repair(args: RepairArgs, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let options = args.installing.options(&SolvingArgs::default())?;
    let tools = if args.all {
        let all = manager.all_installed()?;
        all.into_iter().map(|state| state.name).collect()
    } else {
        args.tools
    };
    if tools.is_empty() {
        context.progress.note("no tool is installed");
    }
    for tool in &tools {
        let installed = manager.repair(tool, &options)?;
        let what = if installed.changed {
            "was damaged and is whole again"
        } else {
            "is whole; its shims were written anew"
        };
        context
            .progress
            .done(&format!("{} {} {what}", installed.title, installed.version));
    }
    if args.all {
        // Shims of an older aienv have no tool left that would write them anew.
        let executable = std::env::current_exe().map_err(|source| ToolError::Io {
            action: "find",
            path: "aienv".into(),
            source,
        })?;
        shims::refresh(&context.home, &executable)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub fn pin(args: NameArgs, pinned: bool, context: &Context) -> Outcome {
    let manager = context.manager()?;
    for tool in &args.tools {
        let state = manager.pin(tool, pinned)?;
        context.progress.done(&match state.current() {
            _ if !pinned => format!("{} is no longer pinned", state.name),
            Some(generation) => format!("{} is pinned at {}", state.name, generation.version),
            None => format!("{} is pinned", state.name),
        });
    }
    Ok(ExitCode::SUCCESS)
}

pub fn remove(args: RemoveArgs, context: &Context) -> Outcome {
    let manager = context.manager()?;
    for tool in &args.tools {
        // The folder of a service that runs cannot go away under it.
        let name = manager.installed(tool)?.name;
        for service in services::named(&services::running(&context.home)?, &name) {
            stop_service(service, context)?;
        }
        let removal = manager.remove(tool, args.purge)?;
        match &removal.kept_data {
            Some(data) => context.progress.done(&format!(
                "removed {}; its data stays in `{}` (`--purge` removes it too)",
                removal.name,
                data.display()
            )),
            None => context.progress.done(&format!("removed {}", removal.name)),
        }
    }
    Ok(ExitCode::SUCCESS)
}
