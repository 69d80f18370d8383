//! `aienv why`

use std::process::ExitCode;

use console::style;

use super::{Context, Outcome, output, solving::SolvingArgs};
use crate::{solve::Why, types::PackageName};

#[derive(clap::Args)]
pub struct Args {
    /// A tool of the catalogue, or the path of a manifest
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
    if args.json {
        return output::json(&why);
    }
    output::print(&render(&why, wanted.name()))?;
    Ok(if why.version.is_some() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn render(why: &Why, tool: &str) -> String {
    let package = &why.package;
    let Some(version) = &why.version else {
        return format!("{tool} does not need {package} on this machine\n");
    };
    let mut text = format!("{} {version}\n\n", style(package).bold());
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
