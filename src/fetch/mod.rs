//! Fetching: what the store lacks is downloaded, verified and unpacked, everything at once.
//!
//! Downloads run side by side, largest first, each streamed to `cache/downloads/<key>.part` while
//! its SHA-256 is computed; nothing is unpacked before that is right. Unpacking overlaps with the
//! downloads that are still going on. A download that breaks off is resumed by range, in this run
//! and in later ones: a `.part` file is the only state, and reading it once gives its digest back.
//! A server that cannot resume starts over.
//!
//! Stopping (Ctrl-C, a killed process, an error of another download) leaves `.part` files and whole
//! store entries, nothing else. Two processes that want the same artifact take turns by a lock file
//! and the second finds it done.

mod download;
mod error;
mod part;
mod source;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinSet, spawn_blocking},
};

pub use download::{Download, Fetched, Wanted};
pub use error::{FetchError, Refusal};
pub use source::{Body, Source, SourceError};

use crate::{
    home::Home,
    platform::{LockFile, free_bytes},
    progress::{Progress, Silent, Task},
    store::{Entry, Store, StoreError, VerifiedFile},
    types::Sha256,
};
use part::Part;

/// Pieces of one download waiting to be written.
const PIECES_IN_FLIGHT: usize = 32;
/// Room that must be left when everything is there.
const RESERVE_BYTES: u64 = 500_000_000;

/// How many things happen at once, and how patiently.
#[derive(Clone, Copy, Debug)]
pub struct FetchOptions {
    /// Downloads at once.
    pub downloads: usize,
    /// Archives unpacked at once; each uses all cores while it has several entries left.
    pub unpacking: usize,
    /// Times a download that makes no headway is tried again.
    pub retries: u32,
    /// Pause before the first retry; doubled for each further one.
    pub pause: Duration,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            downloads: 8,
            unpacking: 3,
            retries: 4,
            pause: Duration::from_millis(300),
        }
    }
}

/// Fetches artifacts into a store.
#[derive(Clone)]
pub struct Fetcher {
    inner: Arc<Inner>,
}

struct Inner {
    source: Arc<dyn Source>,
    store: Store,
    /// `cache/downloads/`.
    folder: PathBuf,
    locks: PathBuf,
    progress: Arc<dyn Progress>,
    options: FetchOptions,
    downloads: Semaphore,
    unpacking: Semaphore,
}

impl Fetcher {
    /// A fetcher for one home's store.
    pub fn new(
        source: Arc<dyn Source>,
        home: &Home,
        store: &Store,
        progress: Arc<dyn Progress>,
        options: FetchOptions,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                source,
                store: store.clone(),
                folder: home.cache().join("downloads"),
                locks: home.locks(),
                progress,
                downloads: Semaphore::new(options.downloads.max(1)),
                unpacking: Semaphore::new(options.unpacking.max(1)),
                options,
            }),
        }
    }

    /// What of these is not there yet, and would be downloaded.
    pub fn missing<'d>(&self, items: &'d [Download]) -> Vec<&'d Download> {
        items
            .iter()
            .filter(|item| !self.inner.is_there(item))
            .collect()
    }

    /// Makes sure that everything is there, and gives it in the order asked for.
    ///
    /// On the first error the others are stopped; what they have is kept. Hold the store
    /// ([`Store::hold`]) around this and whatever uses the result.
    pub async fn ensure(&self, items: Vec<Download>) -> Result<Vec<Fetched>, FetchError> {
        let missing = self.missing(&items);
        self.inner.check_room(&missing)?;
        let known: u64 = missing.iter().filter_map(|item| item.size).sum();
        if !missing.is_empty() {
            self.inner.progress.expect(missing.len(), known);
        }
        let mut order: Vec<usize> = (0..items.len()).collect();
        // Unknown sizes (interpreters and trees, of some dozen MB) come after the known big ones.
        order.sort_by_key(|&n| std::cmp::Reverse(items[n].size.unwrap_or(40_000_000)));
        let mut tasks = JoinSet::new();
        for n in order {
            let (inner, item) = (Arc::clone(&self.inner), items[n].clone());
            tasks.spawn(async move { (n, inner.fetch(item).await) });
        }
        let mut results = HashMap::with_capacity(items.len());
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok((n, result)) => {
                    results.insert(n, result?);
                }
                Err(error) => resume_panic(error),
            }
        }
        Ok((0..items.len())
            .filter_map(|n| results.remove(&n))
            .collect())
    }
}

/// A panic of a task goes on in the one that waits for it; a task is never cancelled from outside.
fn resume_panic(error: tokio::task::JoinError) {
    if let Ok(panic) = error.try_into_panic() {
        std::panic::resume_unwind(panic);
    }
}

/// Runs work that blocks where it may.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            resume_panic(error);
            Err(FetchError::Io {
                action: "finish",
                path: PathBuf::new(),
                source: std::io::ErrorKind::Interrupted.into(),
            })
        }
    }
}

impl Inner {
    fn file_path(&self, item: &Download) -> PathBuf {
        self.folder.join(item.key().to_string())
    }

    fn is_there(&self, item: &Download) -> bool {
        match item.store_key() {
            Some((kind, key)) => self.store.has(kind, &key),
            None => matches!(item.wanted, Wanted::File(_)) && self.file_path(item).is_file(),
        }
    }

    /// What is there already.
    fn find(&self, item: &Download) -> Result<Option<Fetched>, FetchError> {
        if let Some((kind, key)) = item.store_key() {
            let entry = self.store.entry(kind, &key);
            return Ok(entry.map(|entry| Fetched::Entry(Box::new(entry))));
        }
        let (Wanted::File(sha256), path) = (item.wanted, self.file_path(item)) else {
            return Ok(None);
        };
        if !path.is_file() {
            return Ok(None);
        }
        match VerifiedFile::check(&path, &sha256) {
            Ok(file) => Ok(Some(Fetched::File(file))),
            Err(StoreError::Digest { .. }) => {
                fs::remove_file(&path).map_err(FetchError::io("remove", path))?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The least that must be free: what is downloaded unpacks to at least its own size, and the
    /// largest archive is there beside it.
    fn check_room(&self, missing: &[&Download]) -> Result<(), FetchError> {
        let sizes = || missing.iter().filter_map(|item| item.size);
        let Some(largest) = sizes().max() else {
            return Ok(());
        };
        let needed = sizes()
            .fold(largest, u64::saturating_add)
            .saturating_add(RESERVE_BYTES);
        match free_bytes(&self.folder) {
            Ok(free) if free < needed => Err(FetchError::NoRoom {
                path: self.folder.clone(),
                free,
                needed,
            }),
            _ => Ok(()),
        }
    }

    async fn fetch(self: Arc<Self>, item: Download) -> Result<Fetched, FetchError> {
        let item = Arc::new(item);
        if let Some(found) = self.find_aside(&item).await? {
            return Ok(found);
        }
        let permit = self.downloads.acquire().await.ok();
        let lock = self.lock(&item).await?;
        // Whoever held the lock may have fetched it.
        if let Some(found) = self.find_aside(&item).await? {
            return Ok(found);
        }
        let part = self.download(&item).await?;
        drop(permit);
        let _permit = self.unpacking.acquire().await.ok();
        let inner = Arc::clone(&self);
        blocking(move || {
            let result = inner.put_away(&item, part);
            // Held to the end even if nobody waits for the result any more.
            drop(lock);
            result
        })
        .await
    }

    async fn find_aside(
        self: &Arc<Self>,
        item: &Arc<Download>,
    ) -> Result<Option<Fetched>, FetchError> {
        if !self.is_there(item) {
            return Ok(None);
        }
        let (inner, item) = (Arc::clone(self), Arc::clone(item));
        blocking(move || inner.find(&item)).await
    }

    /// The lock of this download, waited for in a way that can be stopped.
    async fn lock(&self, item: &Download) -> Result<LockFile, FetchError> {
        let path = self.locks.join(format!("download-{}.lock", item.key()));
        let mut told = false;
        loop {
            let lock = LockFile::try_acquire(&path).map_err(FetchError::io("lock", &path))?;
            if let Some(lock) = lock {
                return Ok(lock);
            }
            if !told {
                told = true;
                let text = format!("Waiting for another aienv that fetches {}", item.file_name);
                self.progress.step(&text);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Downloads from the first address that works.
    async fn download(&self, item: &Arc<Download>) -> Result<Part, FetchError> {
        let task = self.progress.task(&item.file_name, item.size);
        let mut last = FetchError::NoAddress {
            file: item.file_name.clone(),
        };
        for url in &item.urls {
            match self.download_from(item, url, &*task).await {
                Ok(part) => return Ok(part),
                Err(error) if error.is_about_the_address() => {
                    tracing::debug!("{}: {error}", item.file_name);
                    last = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }

    async fn download_from(
        &self,
        item: &Arc<Download>,
        url: &str,
        task: &dyn Task,
    ) -> Result<Part, FetchError> {
        let path = self.folder.join(format!("{}.part", item.key()));
        let (size, resume) = (item.size, item.sha256().is_some());
        let opened = path.clone();
        let mut part = blocking(move || Part::open(&opened, size, resume)).await?;
        task.reset_to(part.length());
        let mut resumed = part.length() > 0;
        let mut failures = 0;
        loop {
            let complete = resumed && item.sha256() == Some(part.digest());
            let before = part.length();
            let interrupted = if complete {
                None
            } else {
                let (back, interrupted) = self.attempt(item, url, part, task).await?;
                part = back;
                interrupted
            };
            let Some(error) = interrupted else {
                match item.sha256() {
                    Some(expected) if part.digest() != expected => {
                        let got = part.digest();
                        part.restart()?;
                        task.reset_to(0);
                        if std::mem::take(&mut resumed) {
                            // What an earlier run left may have been wrong; once more, from the start.
                            continue;
                        }
                        let _ = fs::remove_file(&path);
                        return Err(FetchError::Digest {
                            file: item.file_name.clone(),
                            url: shown_url(url),
                            expected,
                            got,
                        });
                    }
                    _ => return Ok(part),
                }
            };
            resumed |= part.length() > 0;
            if error.no_such_range && before > 0 {
                part.restart()?;
                task.reset_to(0);
                resumed = false;
                continue;
            }
            failures = if part.length() > before {
                0
            } else {
                failures + 1
            };
            if !error.may_pass || failures > self.options.retries {
                return Err(FetchError::Source {
                    file: item.file_name.clone(),
                    source: Refusal(error.error),
                });
            }
            tracing::debug!("{} broke off: {}", item.file_name, error.error);
            tokio::time::sleep(self.options.pause * 2u32.pow(failures.min(6))).await;
        }
    }

    /// One request. An interruption gives the part back with the reason; other errors are final.
    async fn attempt(
        &self,
        item: &Download,
        url: &str,
        mut part: Part,
        task: &dyn Task,
    ) -> Result<(Part, Option<SourceError>), FetchError> {
        let from = if item.sha256().is_some() {
            part.length()
        } else {
            0
        };
        let mut body = match self.source.open(url, from).await {
            Ok(body) => body,
            Err(error) => return Ok((part, Some(error))),
        };
        if body.offset() != part.length() {
            part.restart()?;
            task.reset_to(0);
            if body.offset() != 0 {
                // An answer to another question than the one asked; ask for the whole.
                body = match self.source.open(url, 0).await {
                    Ok(body) => body,
                    Err(error) => return Ok((part, Some(error))),
                };
            }
        }
        let size_error = |expected, got| FetchError::Size {
            file: item.file_name.clone(),
            url: shown_url(url),
            expected,
            got,
        };
        if let (Some(expected), Some(got)) = (item.size, body.total())
            && expected != got
        {
            return Err(size_error(expected, got));
        }
        let whole = item.size.or(body.total());
        let mut length = part.length();
        let (sender, receiver) = mpsc::channel(PIECES_IN_FLIGHT);
        let writer = tokio::spawn(blocking(move || part.drain(receiver)));
        let mut interrupted = None;
        loop {
            match body.chunk().await {
                Ok(Some(piece)) => {
                    length += piece.len() as u64;
                    if whole.is_some_and(|whole| length > whole) {
                        break;
                    }
                    task.advance(piece.len() as u64);
                    if sender.send(piece).await.is_err() {
                        // The writer has failed and says why below.
                        break;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    interrupted = Some(error);
                    break;
                }
            }
        }
        drop(sender);
        let part = match writer.await {
            Ok(result) => result?,
            Err(error) => {
                resume_panic(error);
                return Err(size_error(whole.unwrap_or(0), length));
            }
        };
        match whole {
            Some(whole) if interrupted.is_none() && length != whole => {
                let _ = fs::remove_file(part.path());
                Err(size_error(whole, length))
            }
            _ => Ok((part, interrupted)),
        }
    }

    /// Unpacks (or keeps) what was downloaded and verified.
    fn put_away(&self, item: &Download, part: Part) -> Result<Fetched, FetchError> {
        let path = part.path().to_path_buf();
        let sha256 = part.digest();
        drop(part);
        if let Wanted::File(_) = item.wanted {
            let kept = self.file_path(item);
            fs::rename(&path, &kept).map_err(FetchError::io("create", &kept))?;
            return Ok(Fetched::File(VerifiedFile::hashed_while_written(
                kept, sha256,
            )));
        }
        let result = self.unpack(item, &path, sha256);
        // A full disk is the one failure after which the archive is still of use.
        if !matches!(
            result,
            Err(StoreError::DiskFull { .. } | StoreError::Io { .. })
        ) {
            let _ = fs::remove_file(&path);
        }
        Ok(Fetched::Entry(Box::new(result?)))
    }

    fn unpack(&self, item: &Download, path: &Path, sha256: Sha256) -> Result<Entry, StoreError> {
        let task = Silent.task("", None);
        let archive = || VerifiedFile::hashed_while_written(path.to_path_buf(), sha256);
        let name = &item.file_name;
        match &item.wanted {
            Wanted::Wheel(_) | Wanted::File(_) => self.store.add_wheel(&archive(), name, &*task),
            Wanted::Python(_) => self.store.add_python(&archive(), name, &*task),
            Wanted::Tree(expected) => self.store.add_tree(path, name, expected.as_ref(), &*task),
        }
    }
}

/// A URL as messages show it: no credentials, and no query, which may hold a signature.
fn shown_url(text: &str) -> String {
    let Ok(mut url) = url::Url::parse(text) else {
        return "an unreadable address".to_owned();
    };
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    format!("`{url}`")
}
