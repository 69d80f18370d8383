//! What every command has at hand: the home, the settings, the terminal.

use std::{path::PathBuf, sync::Arc};

use super::{Failure, terminal::TerminalProgress};
use crate::{catalog::Catalog, home::Home, progress::Progress};

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

    /// The folders of the user's own manifests, later ones winning: `manifests/` of the home, then
    /// those of `AIENV_MANIFESTS` (separated as in PATH).
    pub fn manifest_folders(&self) -> Vec<PathBuf> {
        let more = std::env::var_os("AIENV_MANIFESTS").unwrap_or_default();
        std::iter::once(self.home.manifests())
            .chain(std::env::split_paths(&more).filter(|path| !path.as_os_str().is_empty()))
            .collect()
    }

    /// The catalogue. What is broken in the user's folders is noted, and left out.
    pub fn catalog(&self) -> Catalog {
        let catalog = self.catalog_quietly();
        for error in catalog.broken() {
            let said = error.to_string();
            self.progress.note(&format!(
                "{}: {}; `aienv catalog lint` shows more",
                console::style("skipped").yellow().for_stderr(),
                said.lines().next().unwrap_or_default()
            ));
        }
        catalog
    }

    /// The catalogue, without a word about what is broken.
    pub fn catalog_quietly(&self) -> Catalog {
        Catalog::open(&self.manifest_folders())
    }
}
