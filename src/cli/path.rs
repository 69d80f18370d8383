//! `aienv path`

use std::io::Write as _;

use super::{Context, Outcome, output};
use crate::launch::shell::Shell;

/// The folder goes to standard output; how to put it on PATH to standard error, if it is not.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: Args, context: &Context) -> Outcome {
    let bin = context.home.bin();
    let on_path = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder == bin));
    if !on_path && !context.global.quiet {
        eprintln!(
            "not on PATH; to put it there:\n  {}",
            Shell::detect().path_hint(&bin)
        );
    }
    output::finish(writeln!(std::io::stdout(), "{}", bin.display()))
}
