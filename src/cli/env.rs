//! `aienv env`

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io::Write as _,
};

use serde::Serialize;

use super::{Context, Outcome, output};
use crate::launch::{
    self,
    shell::{Shell, changes},
};

#[derive(clap::Args)]
pub struct Args {
    /// The tool
    tool: String,
    /// One of its commands, if not the default one
    command: Option<OsString>,
    /// Write it for this shell [default: yours]
    #[arg(long, value_enum)]
    shell: Option<Shell>,
    /// Print it as JSON
    #[arg(long, conflicts_with = "shell")]
    json: bool,
}

/// The JSON form. What is not Unicode is shown with replacement characters.
#[derive(Serialize)]
struct Json {
    unset: Vec<String>,
    set: BTreeMap<String, String>,
    prepend_path: Vec<String>,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let records = launch::load(&context.home, &args.tool)?;
    let (record, _) = launch::choose(&records, args.command.as_slice())?;
    let current: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let changes = changes(&record.environment, &current, |path| path.exists());
    if args.json {
        let text = |value: &OsStr| value.to_string_lossy().into_owned();
        return output::json(&Json {
            unset: changes.unset.iter().map(|name| text(name)).collect(),
            set: changes
                .set
                .iter()
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            prepend_path: changes.path.iter().map(|folder| text(folder)).collect(),
        });
    }
    let bytes = changes.render(args.shell.unwrap_or_else(Shell::detect))?;
    output::finish(std::io::stdout().write_all(&bytes))
}
