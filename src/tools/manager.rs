//! What every operation has at hand, made when it is first needed.

use std::sync::{Arc, OnceLock};

use super::{Reference, ToolError, state::ToolState};
use crate::{
    catalog::Catalog,
    fetch::{Download, FetchError, FetchOptions, Fetched, Fetcher},
    home::Home,
    host::Host,
    index::{IndexClient, PackageIndex},
    lock::Lock,
    net::{self, Client},
    progress::Progress,
    settings::Settings,
    solve::Memory,
    store::Store,
};

use super::planning::Wanted;

/// Joins the rooms: settings, catalogue, index, store.
pub struct Manager {
    pub(super) home: Home,
    pub(super) settings: Settings,
    pub(super) progress: Arc<dyn Progress>,
    catalog: Catalog,
    store: Store,
    runtime: tokio::runtime::Runtime,
    client: Client,
    fetcher: Fetcher,
    index: OnceLock<Arc<dyn PackageIndex>>,
    host: OnceLock<Host>,
    /// What the index's answers came to.
    pub(super) memory: Memory,
}

impl Manager {
    /// For a home and its settings. Opens no connection and starts no detection.
    pub fn new(
        home: &Home,
        settings: &Settings,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, ToolError> {
        let store = Store::of(home);
        let client = Client::new(settings);
        let source = Arc::new(client.clone());
        let fetcher = Fetcher::new(
            source,
            home,
            &store,
            Arc::clone(&progress),
            FetchOptions::default(),
        );
        Ok(Self {
            home: home.clone(),
            settings: settings.clone(),
            progress,
            catalog: Catalog::open(&settings.manifest_folders.value),
            store,
            runtime: net::runtime().map_err(ToolError::Threads)?,
            client,
            fetcher,
            index: OnceLock::new(),
            host: OnceLock::new(),
            memory: Memory::default(),
        })
    }

    /// Where things are.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The catalogue.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The HTTP client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The runtime that network futures run on.
    pub fn runtime(&self) -> &tokio::runtime::Runtime {
        &self.runtime
    }

    /// This machine, detected once.
    pub fn host(&self) -> &Host {
        self.host.get_or_init(|| Host::detect(self.home.root()))
    }

    /// Who answers questions about packages.
    pub fn index(&self) -> &dyn PackageIndex {
        let index = self.index.get_or_init(|| {
            let runtime = self.runtime.handle().clone();
            let client = self.client.clone();
            Arc::new(IndexClient::new(
                client,
                &self.settings,
                &self.home,
                runtime,
            ))
        });
        &**index
    }

    /// The same with another index than the one of the settings, such as a recorded one.
    pub fn with_index(mut self, index: Arc<dyn PackageIndex>) -> Self {
        self.index = OnceLock::from(index);
        self.memory = Memory::default();
        self
    }

    /// Fetches what the store lacks; the results are in the order asked for.
    pub(super) fn fetch(&self, downloads: Vec<Download>) -> Result<Vec<Fetched>, FetchError> {
        self.runtime.block_on(self.fetcher.ensure(downloads))
    }

    /// Where progress goes.
    pub fn progress(&self) -> &dyn Progress {
        &*self.progress
    }

    /// Every installed tool.
    pub fn all_installed(&self) -> Result<Vec<ToolState>, ToolError> {
        Ok(ToolState::load_all(&self.home)?)
    }

    /// The tool a person names, with its manifest: `TOOL`, `TOOL==VERSION` or a manifest's path.
    pub fn wanted(&self, reference: &str) -> Result<Wanted, ToolError> {
        let Reference { tool, version } = Reference::parse(reference)?;
        let mut wanted = Wanted::new(self.catalog.resolve(tool)?);
        wanted.wishes.version = wanted.checked(version)?;
        Ok(wanted)
    }

    /// The record of an installed tool; an error that says so when it is not installed.
    pub fn installed(&self, name: &str) -> Result<ToolState, ToolError> {
        let folded = self.catalog.get(name).map_or_else(
            || name.to_lowercase().replace(['_', '.'], "-"),
            |loaded| loaded.manifest.name.clone(),
        );
        ToolState::load(&self.home, &folded)?.ok_or_else(|| ToolError::NotInstalled {
            tool: name.to_owned(),
        })
    }

    /// The locks of every generation of every tool that can be read.
    pub(super) fn installed_locks(&self) -> Vec<Lock> {
        let tools = ToolState::load_all(&self.home).unwrap_or_default();
        tools
            .iter()
            .flat_map(|tool| {
                tool.generations
                    .iter()
                    .filter_map(|g| tool.lock(&self.home, g.number).ok())
            })
            .collect()
    }
}
