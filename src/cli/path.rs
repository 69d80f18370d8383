//! `aienv path`

use std::io::Write as _;

use super::{Context, Outcome, output};
use crate::{home::Home, launch::shell::Shell};

/// The folder goes to standard output; how to put it on PATH to standard error, if it is not.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: Args, context: &Context) -> Outcome {
    let bin = context.home.bin();
    if !is_on_path(&context.home) && !context.global.quiet {
        eprintln!(
            "not on PATH; to put it there:\n  {}",
            Shell::detect().path_hint(&bin)
        );
    }
    output::finish(writeln!(std::io::stdout(), "{}", bin.display()))
}

/// Whether the folder of the shims is on PATH.
pub fn is_on_path(home: &Home) -> bool {
    let bin = home.bin();
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder == bin))
}
