//! What every command has at hand: the home, the settings, the terminal.

use std::sync::Arc;

use super::{Failure, terminal::TerminalProgress};
use crate::{home::Home, progress::Progress};

/// Options every command takes.
#[derive(clap::Args, Clone, Debug)]
pub struct GlobalArgs {
    /// Print only results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Say more about what is done (twice: everything)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

/// What every command has at hand.
pub struct Context {
    /// Where aienv keeps things.
    pub home: Home,
    /// Options every command takes.
    pub global: GlobalArgs,
    /// Where progress goes.
    pub progress: Arc<dyn Progress>,
}

impl Context {
    /// Reads the environment. Touches no file.
    pub fn new(global: GlobalArgs) -> Result<Self, Failure> {
        Ok(Self {
            home: Home::from_env()?,
            progress: Arc::new(TerminalProgress::new(global.quiet)),
            global,
        })
    }
}
