//! [`IndexClient`]: the questions of the solver answered from memory, the disk or the network.
//!
//! Each question has one slot; the first to ask starts the work on the runtime, everybody waits on
//! the slot. So callers on many threads share one request, prefetching is asking without waiting,
//! and an answer never changes during the life of the client.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::SystemTime,
};

use futures_util::future::join_all;
use reqwest::header::{ACCEPT, CACHE_CONTROL, HeaderMap};
use tokio::{runtime::Handle, sync::Semaphore};

use super::{
    CoreMetadata, DistFile, IndexError, IndexId, PackageIndex, Releases, Subject,
    cache::{Cache, Entry, Freshness},
    remote::Remote,
    simple::{self, NotAnIndex},
};
use crate::types::Sha256;
use crate::{
    home::Home,
    net::{Client, NetError, Page},
    settings::{Settings, SourceUrl},
    types::PackageName,
};

/// The largest page that is read; the largest ones today are some ten megabytes.
const LARGEST_PAGE: u64 = 256 << 20;

/// Requests under way at once. Most servers allow 100 streams to a connection.
const AT_ONCE: usize = 64;

/// Answers questions about the indexes of the settings.
pub struct IndexClient {
    shared: Arc<Shared>,
    runtime: Handle,
}

struct Shared {
    client: Client,
    cache: Cache,
    remote: Remote,
    /// The indexes behind [`IndexId::Default`], in the order they are asked.
    indexes: Vec<SourceUrl>,
    torch: SourceUrl,
    refresh: bool,
    permits: Semaphore,
    pages: Slots<(IndexId, PackageName), Releases>,
    metadata: Slots<String, CoreMetadata>,
}

type Slot<V> = Arc<OnceLock<Result<Arc<V>, IndexError>>>;

/// One slot to each question.
struct Slots<K, V>(Mutex<HashMap<K, Slot<V>>>);

impl<K: Hash + Eq, V> Slots<K, V> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// The slot of a question, and whether it is new and so has to be filled by the caller.
    fn slot(&self, key: K) -> (Slot<V>, bool) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.entry(key) {
            std::collections::hash_map::Entry::Occupied(slot) => (Arc::clone(slot.get()), false),
            std::collections::hash_map::Entry::Vacant(place) => {
                (Arc::clone(place.insert(Slot::default())), true)
            }
        }
    }
}

/// Fills a slot even when the work is dropped or panics, since others wait for it.
struct Filling<V>(Slot<V>);

impl<V> Drop for Filling<V> {
    fn drop(&mut self) {
        let _ = self.0.set(Err(IndexError::Stopped));
    }
}

impl IndexClient {
    /// A client for the indexes of `settings` that keeps what it learns below `home` and works on
    /// `runtime`. Its blocking methods must not be called on a thread of that runtime.
    pub fn new(client: Client, settings: &Settings, home: &Home, runtime: Handle) -> Self {
        let mut indexes: Vec<SourceUrl> = Vec::new();
        for index in settings
            .extra_indexes
            .value
            .iter()
            .chain([&settings.index.value])
        {
            if !indexes.iter().any(|known| known.url() == index.url()) {
                indexes.push(index.clone());
            }
        }
        let cache = Cache::new(home);
        Self {
            shared: Arc::new(Shared {
                remote: Remote::new(client.clone(), cache.clone()),
                client,
                cache,
                indexes,
                torch: settings.torch.value.clone(),
                refresh: settings.refresh,
                permits: Semaphore::new(AT_ONCE),
                pages: Slots::new(),
                metadata: Slots::new(),
            }),
            runtime,
        }
    }

    /// Starts to look for the releases of a package. A caller that waits for them anyway looks
    /// at the disk itself: handing a thing that takes a millisecond from thread to thread takes
    /// longer than the thing.
    fn start_releases(
        &self,
        index: &IndexId,
        package: &PackageName,
        waiting: bool,
    ) -> Slot<Releases> {
        let (slot, new) = self.shared.pages.slot((index.clone(), package.clone()));
        if new {
            let filling = Filling(Arc::clone(&slot));
            if waiting && let Some(kept) = self.shared.kept_releases(index, package) {
                let _ = filling.0.set(Ok(Arc::new(kept)));
                return slot;
            }
            let shared = Arc::clone(&self.shared);
            let (index, package) = (index.clone(), package.clone());
            self.runtime.spawn(async move {
                let _ = filling.0.set(shared.releases(&index, &package).await);
            });
        }
        slot
    }

    /// Starts to look for the metadata of a file, like [`start_releases`](Self::start_releases).
    fn start_metadata(&self, file: &DistFile, waiting: bool) -> Slot<CoreMetadata> {
        let key = file
            .sha256
            .map_or_else(|| file.url.clone(), |digest| digest.to_string());
        let (slot, new) = self.shared.metadata.slot(key);
        if new {
            let filling = Filling(Arc::clone(&slot));
            if waiting && let Some(kept) = self.shared.cache.metadata(file) {
                let _ = filling.0.set(Ok(Arc::new(kept)));
                return slot;
            }
            let (shared, file) = (Arc::clone(&self.shared), file.clone());
            self.runtime.spawn(async move {
                let _ = filling.0.set(shared.metadata(&file).await.map(Arc::new));
            });
        }
        slot
    }
}

impl PackageIndex for IndexClient {
    fn releases(
        &self,
        index: &IndexId,
        package: &PackageName,
    ) -> Result<Arc<Releases>, IndexError> {
        self.start_releases(index, package, true).wait().clone()
    }

    fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
        self.start_metadata(file, true).wait().clone()
    }

    fn digest(&self, file: &DistFile) -> Result<Sha256, IndexError> {
        if let Some(digest) = file.sha256 {
            return Ok(digest);
        }
        if let Some(digest) = self.shared.cache.digest(&file.url) {
            return Ok(digest);
        }
        let digest = self.runtime.block_on(self.shared.remote.digest(file))?;
        self.shared.cache.keep_digest(&file.url, &digest);
        Ok(digest)
    }

    fn prefetch_releases(&self, index: &IndexId, package: &PackageName) {
        self.start_releases(index, package, false);
    }

    fn prefetch_metadata(&self, file: &DistFile) {
        // A guess must not download whole files.
        if self.shared.remote.is_cheap(file) {
            self.start_metadata(file, false);
        }
    }
}

/// Runs blocking work aside; `None` when the runtime is ending.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

impl Shared {
    async fn releases(
        self: &Arc<Self>,
        index: &IndexId,
        package: &PackageName,
    ) -> Result<Arc<Releases>, IndexError> {
        let bases = self.bases(index, package)?;
        // All are asked at once; which answers decide is still a matter of order.
        let answers = join_all(bases.iter().map(|base| self.page(base, package))).await;
        for answer in answers {
            if let Some(releases) = answer? {
                return Ok(Arc::new(releases));
            }
        }
        let names: Vec<String> = bases.iter().map(|base| format!("`{base}`")).collect();
        Err(IndexError::NotFound {
            package: package.clone(),
            index: names.join(" or "),
        })
    }

    /// The indexes to be asked, in order.
    fn bases(&self, index: &IndexId, package: &PackageName) -> Result<Vec<SourceUrl>, IndexError> {
        match index {
            IndexId::Default => Ok(self.indexes.clone()),
            IndexId::Torch(accelerator) => {
                let base = self.torch.below(&format!("{accelerator}/"));
                let base = SourceUrl::parse_base(base.as_str())
                    .map_err(|error| network(package, &self.torch, NetError::from(error)))?;
                Ok(vec![base])
            }
        }
    }

    /// The releases of a package as far as the disk tells without asking anybody.
    fn kept_releases(&self, index: &IndexId, package: &PackageName) -> Option<Releases> {
        for base in self.bases(index, package).ok()? {
            let url = base.below(&format!("{package}/"));
            let entry = self.cache.page(url.as_str())?;
            if !self.holds(&entry) {
                return None;
            }
            if entry.releases.is_some() {
                return entry.releases;
            }
        }
        None
    }

    /// Whether what is kept is used without asking.
    fn holds(&self, entry: &Entry) -> bool {
        self.client.is_offline() || (!self.refresh && entry.freshness.is_fresh(SystemTime::now()))
    }

    /// The page of a package on one index; `None` when it has no such package.
    async fn page(
        self: &Arc<Self>,
        base: &SourceUrl,
        package: &PackageName,
    ) -> Result<Option<Releases>, IndexError> {
        let url = base.below(&format!("{package}/"));
        let (cache, address) = (self.cache.clone(), url.to_string());
        let kept = aside(move || cache.page(&address))
            .await
            .ok_or(IndexError::Stopped)?;
        let kept = match kept {
            Some(entry) if self.holds(&entry) => return Ok(entry.releases),
            kept => kept,
        };
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| IndexError::Stopped)?;
        let mut request = self.client.get(&url).page().header(ACCEPT, simple::ACCEPT);
        if self.refresh {
            // Caches on the way are to ask, too.
            request = request.header(CACHE_CONTROL, "no-cache");
        }
        if let Some(entry) = kept.as_ref().filter(|entry| entry.releases.is_some()) {
            for (name, value) in entry.freshness.conditions() {
                request = request.header(name, value);
            }
        }
        match request.read(LARGEST_PAGE).await {
            Ok(page) => self.take(url.as_str(), base, package, page, kept).await,
            Err(error) if self.means_absent(base, error.status()) => {
                if let Some(freshness) = Freshness::of(&HeaderMap::new(), SystemTime::now()) {
                    let (cache, address) = (self.cache.clone(), url.to_string());
                    aside(move || cache.keep_page(&address, &freshness, None)).await;
                }
                Ok(None)
            }
            Err(error) => Err(network(package, base, error)),
        }
    }

    /// The torch wheel indexes answer 403 where they have nothing.
    fn means_absent(&self, base: &SourceUrl, status: Option<u16>) -> bool {
        match status {
            Some(404 | 410) => true,
            Some(403) => base.url().as_str().starts_with(self.torch.url().as_str()),
            _ => false,
        }
    }

    /// Reads a page that came, and keeps it.
    async fn take(
        self: &Arc<Self>,
        address: &str,
        base: &SourceUrl,
        package: &PackageName,
        page: Page,
        kept: Option<Entry>,
    ) -> Result<Option<Releases>, IndexError> {
        let now = SystemTime::now();
        let (freshness, unchanged) = match kept {
            Some(entry) if page.status == 304 => {
                (entry.freshness.renewed(&page.headers, now), entry.releases)
            }
            _ => (Freshness::of(&page.headers, now), None),
        };
        let (cache, address, wanted) = (self.cache.clone(), address.to_owned(), package.clone());
        let work = move || {
            let releases = match unchanged {
                Some(releases) => releases,
                None => simple::parse(&page.body, &page.content_type(), &page.url, &wanted)?,
            };
            if let Some(freshness) = freshness {
                cache.keep_page(&address, &freshness, Some(&releases));
            }
            Ok(releases)
        };
        let read: Result<Releases, NotAnIndex> = aside(work).await.ok_or(IndexError::Stopped)?;
        read.map(Some)
            .map_err(|NotAnIndex(found)| IndexError::NotAnIndex {
                index: format!("`{base}`"),
                package: package.clone(),
                found,
            })
    }

    async fn metadata(self: &Arc<Self>, file: &DistFile) -> Result<CoreMetadata, IndexError> {
        let (cache, wanted) = (self.cache.clone(), file.clone());
        let kept = aside(move || cache.metadata(&wanted))
            .await
            .ok_or(IndexError::Stopped)?;
        if let Some(metadata) = kept {
            return Ok(metadata);
        }
        let permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| IndexError::Stopped)?;
        let metadata = self.remote.metadata(file).await?;
        drop(permit);
        let (cache, file, copy) = (self.cache.clone(), file.clone(), metadata.clone());
        aside(move || cache.keep_metadata(&file, &copy)).await;
        Ok(metadata)
    }
}

fn network(package: &PackageName, index: &SourceUrl, source: NetError) -> IndexError {
    IndexError::Network {
        subject: Subject::Page {
            package: package.clone(),
            index: format!("`{index}`"),
        },
        source: Box::new(source),
    }
}
