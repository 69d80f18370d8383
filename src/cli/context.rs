//! What every command has at hand: the home, the settings, the terminal.

use std::sync::Arc;

use super::{Failure, terminal::TerminalProgress, trace};
use crate::{
    catalog::Catalog,
    home::Home,
    progress::Progress,
    settings::{Overrides, PythonPreference, Settings, SettingsError},
    tools::Manager,
};

/// Options every command takes.
#[derive(clap::Args, Clone, Debug)]
pub struct GlobalArgs {
    /// Print only results and errors
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Say more about what is done (twice: everything)
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Where things come from.
    #[command(flatten)]
    pub sources: SourceArgs,
}

/// Options that say where things come from; each overrides environment and configuration.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Where things come from")]
pub struct SourceArgs {
    /// Package index to use
    #[arg(long, global = true, value_name = "URL")]
    index_url: Option<String>,
    /// Further package index, asked before the other one (may be repeated)
    #[arg(long, global = true, value_name = "URL")]
    extra_index_url: Vec<String>,
    /// Base of the torch wheel indexes
    #[arg(long, global = true, value_name = "URL")]
    torch_mirror: Option<String>,
    /// Base of the standalone Python builds
    #[arg(long, global = true, value_name = "URL")]
    python_mirror: Option<String>,
    /// Source archives, with `{repository}` and `{commit}` to fill in
    #[arg(long, global = true, value_name = "URL")]
    source_mirror: Option<String>,
    /// Python that aienv downloads (`managed`) or one of this machine (`system`)
    #[arg(long, global = true, value_name = "managed|system")]
    python_preference: Option<PythonPreference>,
    /// Use only what is already here
    #[arg(long, global = true)]
    offline: bool,
    /// Ask the index again instead of trusting what was kept
    #[arg(long, global = true, conflicts_with = "offline")]
    refresh: bool,
}

impl SourceArgs {
    fn overrides(&self) -> Overrides {
        Overrides {
            index_url: self.index_url.clone(),
            extra_index_urls: self.extra_index_url.clone(),
            offline: self.offline,
            refresh: self.refresh,
            python_preference: self.python_preference,
            torch_mirror: self.torch_mirror.clone(),
            python_mirror: self.python_mirror.clone(),
            source_mirror: self.source_mirror.clone(),
        }
    }
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
        let progress: Arc<dyn Progress> = Arc::new(TerminalProgress::new(global.quiet));
        trace::start(global.verbose, &progress);
        Ok(Self {
            home: Home::from_env()?,
            progress,
            global,
        })
    }

    /// Everything the user set: options, environment, files. Reads them anew on each call.
    pub fn settings(&self) -> Result<Settings, SettingsError> {
        Settings::load(&self.home, &self.global.sources.overrides())
    }

    /// What operations on tools go through.
    pub fn manager(&self) -> Result<Manager, Failure> {
        Ok(Manager::new(
            &self.home,
            &self.settings()?,
            Arc::clone(&self.progress),
        )?)
    }

    /// The catalogue. What is broken in the user's folders is noted, and left out.
    pub fn catalog(&self) -> Result<Catalog, SettingsError> {
        let catalog = self.catalog_quietly()?;
        for error in catalog.broken() {
            let said = error.to_string();
            self.progress.note(&format!(
                "{}: {}; `aienv catalog lint` shows more",
                console::style("skipped").yellow().for_stderr(),
                said.lines().next().unwrap_or_default()
            ));
        }
        Ok(catalog)
    }

    /// The catalogue, without a word about what is broken.
    pub fn catalog_quietly(&self) -> Result<Catalog, SettingsError> {
        Ok(Catalog::open(&self.settings()?.manifest_folders.value))
    }
}
