//! `aienv which`

use std::io::Write as _;

use serde::Serialize;

use super::{Context, Outcome, output};
use crate::launch::{self, LaunchError};

#[derive(clap::Args)]
pub struct Args {
    /// The command, as it is typed
    command: String,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Json {
    command: String,
    program: String,
    arguments: Vec<String>,
    tool: String,
    generation: u64,
    prefix: String,
    shim: String,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let record = launch::of_command(&context.home, &args.command)?.ok_or_else(|| {
        LaunchError::NoCommand {
            command: args.command.clone(),
        }
    })?;
    let shim = launch::shims::shim_path(&context.home, &record.command);
    let facts = Json {
        program: record.program.display().to_string(),
        arguments: record
            .arguments
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
        prefix: record.prefix.display().to_string(),
        shim: shim.display().to_string(),
        command: record.command,
        tool: record.tool,
        generation: record.generation,
    };
    if args.json {
        return output::json(&facts);
    }
    output::finish(write!(
        std::io::stdout(),
        "program  {}\ntool     {} (generation {})\nprefix   {}\nshim     {}\n",
        facts.program,
        facts.tool,
        facts.generation,
        facts.prefix,
        facts.shim,
    ))
}
