//! `aienv completions`

use super::{Outcome, output};

#[derive(clap::Args)]
pub struct Args {
    /// The shell
    shell: clap_complete::Shell,
}

pub fn run(args: &Args, command: &mut clap::Command) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "aienv", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
