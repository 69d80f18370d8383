//! `aienv why`

use console::style;

use super::{Context, Outcome, output, plan, solving::SolvingArgs};
use crate::{
    error::UserError,
    solve::Why,
    types::{PackageName, Version},
};

#[derive(clap::Args)]
pub struct Args {
    /// A tool of the catalogue (`TOOL==VERSION` for one version of it), or the path of a manifest
    tool: String,
    /// The package in question
    package: PackageName,
    #[command(flatten)]
    solving: SolvingArgs,
    /// Print the reasons as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let manager = context.manager()?;
    let wanted = manager.wanted(&args.tool)?;
    let why = manager.why(&wanted, &args.solving.options()?, &args.package)?;
    let Some(version) = &why.version else {
        let (tool, package) = (wanted.name().to_owned(), args.package);
        return Err(NotNeeded { tool, package }.into());
    };
    context.progress.clear();
    if args.json {
        return output::json(&why);
    }
    output::print(&render(&why, version))
}

fn render(why: &Why, version: &Version) -> String {
    let mut text = format!("{} {version}\n\n", style(&why.package).bold());
    text += &plan::decided(&why.choices);
    text.push('\n');
    for (depth, reason) in why.chain.iter().enumerate() {
        text += &format!(
            "  {}{} needs {}\n",
            "  ".repeat(depth),
            reason.by,
            reason.requirement
        );
    }
    let others: Vec<_> = why
        .requested
        .iter()
        .filter(|reason| !why.chain.contains(reason))
        .collect();
    if !others.is_empty() {
        text += "\n  also asked for by\n";
        for reason in others {
            text += &format!("    {} ({})\n", reason.by, reason.requirement);
        }
    }
    if let Some(newest) = &why.newest {
        text += &format!("\n  {newest} exists; against it\n");
        for fact in &why.against {
            text += &format!("    {fact}\n");
        }
    } else {
        text += "\n  it is the newest version\n";
    }
    text
}

/// The plan has no such package.
#[derive(Debug, thiserror::Error)]
#[error("{tool} does not need {package} on this machine")]
struct NotNeeded {
    tool: String,
    package: PackageName,
}

impl UserError for NotNeeded {
    fn code(&self) -> &'static str {
        "why.not-needed"
    }

    fn hint(&self) -> Option<String> {
        Some(format!(
            "`aienv plan {}` lists every package of the plan",
            self.tool
        ))
    }
}
