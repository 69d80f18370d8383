//! `aienv logs`

use std::io;

use super::{Context, Outcome, output};
use crate::launch::{self, logs, services};

#[derive(clap::Args)]
pub struct Args {
    /// The tool, or a single service as `aienv ps` names it
    service: String,
    /// Go on printing what is added, until the service ends
    #[arg(long, short)]
    follow: bool,
    /// Print only the last lines
    #[arg(long, short = 'n', value_name = "N")]
    lines: Option<usize>,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let home = &context.home;
    let tool = args.service.split('@').next().unwrap_or(&args.service);
    let path = logs::path(home, &args.service);
    let mut out = io::stdout().lock();
    let position = match logs::print(&path, args.lines, &mut out) {
        Ok(position) => position,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            launch::load(home, tool)?;
            context
                .progress
                .note(&format!("{} has never run as a service", args.service));
            return output::finish(Ok(()));
        }
        Err(error) => return output::finish(Err(error)),
    };
    if !args.follow {
        return output::finish(Ok(()));
    }
    let instance = services::running(home)?
        .into_iter()
        .find(|service| service.instance == args.service);
    let alive = || instance.as_ref().is_some_and(services::Running::is_alive);
    output::finish(logs::follow(&path, position, &mut out, alive))
}
