//! Getting the metadata of one file from the network, the cheapest way the server allows.
//!
//! A wheel: its metadata file where the index offers one (PEP 658), else parts of the wheel by
//! range requests, else the whole wheel. A source distribution comes whole. What comes whole is
//! verified and left in `cache/downloads`, named by its digest, so that an install need not
//! download it again.

use std::{
    collections::HashSet,
    io::Write as _,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use url::Url;

use super::{
    CoreMetadata, DistFile, DistKind, IndexError, MetadataFile, Subject,
    cache::Cache,
    core_metadata::Headers,
    file_name,
    sdist::{self, SdistError},
    wheel::{self, Found, Sparse},
};
use crate::{
    net::{ByteRange, Client, NetError},
    types::{Sha256, Sha256Hasher},
};

/// How much of a wheel's end is asked for first. Of 115 wheels of popular tools two thirds need no
/// further request with this, and nearly all others one; more would cost more than it saves.
const SUFFIX: u64 = 32 << 10;

/// The largest metadata file.
const LARGEST_METADATA: u64 = 16 << 20;

/// The largest part asked for at once: a directory of half a million members.
const LARGEST_PART: u64 = 64 << 20;

/// The largest file that is downloaded whole only to be asked what it needs.
const LARGEST_WHOLE: u64 = 16 << 30;

/// How often a whole download that broke off starts anew.
const WHOLE_TRIES: u32 = 3;

/// Parts a sound wheel needs at most, with one to spare: end, directory, header, content.
const PARTS: usize = 5;

/// The content of METADATA, and the size of the wheel it lies in where that came to light.
struct Member {
    content: Vec<u8>,
    wheel_size: Option<u64>,
}

pub(super) struct Remote {
    client: Client,
    cache: Cache,
    /// Servers that were seen to have no range requests.
    without_ranges: Mutex<HashSet<String>>,
}

/// Reading by parts does not work here.
enum Parts {
    Found(Member),
    Unsupported,
}

impl Remote {
    pub(super) fn new(client: Client, cache: Cache) -> Self {
        Self {
            client,
            cache,
            without_ranges: Mutex::default(),
        }
    }

    /// The metadata of `file`, from the network.
    pub(super) async fn metadata(&self, file: &DistFile) -> Result<CoreMetadata, IndexError> {
        let (name, version, _) = file_name::parse_any(&file.file_name)
            .ok_or_else(|| bad(file, "its name is not that of a distribution"))?;
        let metadata = match file.kind {
            DistKind::Wheel(_) => {
                let member = self.wheel(file).await?;
                let headers =
                    Headers::parse(&member.content).map_err(|reason| bad(file, &reason))?;
                let metadata = headers
                    .into_metadata()
                    .map_err(|reason| bad(file, &reason))?;
                CoreMetadata {
                    file_size: member.wheel_size,
                    ..metadata
                }
            }
            DistKind::Sdist => {
                let (path, _guard) = self.whole(file).await?;
                let name = file.file_name.clone();
                let version = version.clone();
                let read = tokio::task::spawn_blocking(move || {
                    let metadata = sdist::read(&path, &name, &version)?;
                    Ok(CoreMetadata {
                        file_size: size_of(&path),
                        ..metadata
                    })
                });
                read.await
                    .map_err(|_| IndexError::Stopped)?
                    .map_err(|error| match error {
                        SdistError::Bad(reason) => bad(file, &reason),
                        SdistError::NeedsBuild(reason) => IndexError::NeedsBuild {
                            file: file.file_name.clone(),
                            reason,
                        },
                    })?
            }
        };
        // Old names of source distributions do not tell where the name ends, so only wheels count.
        if file.wheel().is_some() && metadata.name != name {
            return Err(bad(
                file,
                &format!("it is of the package `{}`", metadata.name),
            ));
        }
        if file.wheel().is_some() && metadata.version != version {
            return Err(bad(file, &format!("it is of version {}", metadata.version)));
        }
        Ok(metadata)
    }

    /// The content of METADATA.
    async fn wheel(&self, file: &DistFile) -> Result<Member, IndexError> {
        if let Some(beside) = file.metadata_file
            && let Some(content) = self.beside(file, beside).await?
        {
            return Ok(Member {
                content,
                wheel_size: None,
            });
        }
        let server = server_of(file);
        let downloaded = file
            .sha256
            .is_some_and(|digest| self.cache.download(&digest).is_file());
        if !downloaded && !self.locked().contains(&server) {
            match self.by_parts(file).await? {
                Parts::Found(member) => return Ok(member),
                Parts::Unsupported => {
                    tracing::debug!("{server} has no range requests");
                    self.locked().insert(server);
                }
            }
        }
        let (path, _guard) = self.whole(file).await?;
        let name = file.file_name.clone();
        let read = tokio::task::spawn_blocking(move || {
            let content = wheel::read(&path, &name)?;
            Ok(Member {
                content,
                wheel_size: size_of(&path),
            })
        });
        read.await
            .map_err(|_| IndexError::Stopped)?
            .map_err(|reason: String| bad(file, &reason))
    }

    /// Whether the metadata of a file comes without the file itself, as far as is known.
    pub(super) fn is_cheap(&self, file: &DistFile) -> bool {
        file.wheel().is_some()
            && (file.metadata_file.is_some() || !self.locked().contains(&server_of(file)))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.without_ranges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The metadata file beside the wheel; `None` when the index promised one that is not there,
    /// or not the one it promised: the wheel itself still tells the truth then, and what is
    /// installed in the end is checked by the wheel's own digest.
    async fn beside(
        &self,
        file: &DistFile,
        promised: MetadataFile,
    ) -> Result<Option<Vec<u8>>, IndexError> {
        let Ok(mut url) = Url::parse(&file.url) else {
            return Ok(None);
        };
        url.set_path(&format!("{}.metadata", url.path()));
        match self.client.get(url).page().read(LARGEST_METADATA).await {
            Ok(page) => {
                let found = Sha256::of(&page.body);
                let wrong = promised.sha256.filter(|expected| *expected != found);
                if let Some(expected) = wrong {
                    tracing::warn!(
                        "the metadata file of `{}` has the sha256 {found} instead of {expected}; \
                         reading the wheel itself",
                        file.file_name
                    );
                }
                Ok(wrong.is_none().then_some(page.body))
            }
            Err(error) if matches!(error.status(), Some(403 | 404 | 410)) => Ok(None),
            Err(error) => Err(network(file, error)),
        }
    }

    /// METADATA by range requests.
    async fn by_parts(&self, file: &DistFile) -> Result<Parts, IndexError> {
        let first = self.client.get(&file.url).range(ByteRange::Last(SUFFIX));
        let page = match first.read(SUFFIX).await {
            Ok(page) => page,
            // The whole came instead of a part, or the server does not like the question.
            Err(NetError::TooLarge { .. }) => return Ok(Parts::Unsupported),
            Err(error) if matches!(error.status(), Some(400 | 405 | 416 | 501)) => {
                return Ok(Parts::Unsupported);
            }
            Err(error) => return Err(network(file, error)),
        };
        let length = page.body.len() as u64;
        let mut parts = match (page.status, page.content_range) {
            // A small wheel that came whole.
            (200, _) => with_part(length, 0, page.body),
            (206, Some(range)) if range.last - range.first + 1 == length => match range.total {
                Some(total) => with_part(total, range.first, page.body),
                None => return Ok(Parts::Unsupported),
            },
            _ => return Ok(Parts::Unsupported),
        };
        for _ in 0..PARTS {
            let range = match wheel::find(&parts, &file.file_name) {
                Found::Metadata(content) => {
                    let wheel_size = Some(parts.total());
                    return Ok(Parts::Found(Member {
                        content,
                        wheel_size,
                    }));
                }
                Found::Bad(reason) => return Err(bad(file, &reason)),
                Found::Missing(range) => range,
            };
            let length = range.end - range.start;
            if length > LARGEST_PART {
                break;
            }
            let span = ByteRange::Span {
                first: range.start,
                last: range.end - 1,
            };
            let page = match self.client.get(&file.url).range(span).read(length).await {
                Ok(page) => page,
                Err(NetError::TooLarge { .. }) => return Ok(Parts::Unsupported),
                Err(error) => return Err(network(file, error)),
            };
            match page.content_range {
                Some(got)
                    if got.first == range.start
                        && got.total.is_none_or(|total| total == parts.total())
                        && got.last - got.first + 1 == page.body.len() as u64 =>
                {
                    parts.add(got.first, page.body);
                }
                _ => return Ok(Parts::Unsupported),
            }
        }
        Err(bad(file, "its zip directory cannot be followed"))
    }

    /// The whole file on disk, verified. The guard removes it again when it has no digest to be
    /// kept under.
    async fn whole(
        &self,
        file: &DistFile,
    ) -> Result<(PathBuf, Option<tempfile::TempPath>), IndexError> {
        if let Some(digest) = &file.sha256 {
            let path = self.cache.download(digest);
            if path.is_file() && self.verified(file, path.clone()).await {
                return Ok((path, None));
            }
        }
        let mut tries = 0;
        loop {
            tries += 1;
            match self.download(file).await {
                Err(IndexError::Network { source, .. })
                    if tries < WHOLE_TRIES && source.may_pass() =>
                {
                    tracing::debug!("{source}; starting again");
                }
                result => return result,
            }
        }
    }

    /// The digest of a file of which the index states none; the file is kept under it.
    pub(super) async fn digest(&self, file: &DistFile) -> Result<Sha256, IndexError> {
        let (path, _guard) = self.whole(file).await?;
        let cache = self.cache.clone();
        let keep = tokio::task::spawn_blocking(move || {
            let digest = Sha256::of_reader(std::fs::File::open(&path)?)?;
            std::fs::copy(&path, cache.download(&digest))?;
            Ok(digest)
        });
        let kept: std::io::Result<Sha256> = keep.await.map_err(|_| IndexError::Stopped)?;
        kept.map_err(|error| IndexError::Disk {
            file: file.file_name.clone(),
            reason: error.to_string(),
        })
    }

    /// Whether the file left by an earlier run is what it is named; removed if not.
    async fn verified(&self, file: &DistFile, path: PathBuf) -> bool {
        let expected = file.sha256;
        let check = tokio::task::spawn_blocking(move || {
            let found = std::fs::File::open(&path).and_then(Sha256::of_reader).ok();
            if found != expected {
                let _ = std::fs::remove_file(&path);
            }
            found == expected
        });
        check.await.unwrap_or(false)
    }

    async fn download(
        &self,
        file: &DistFile,
    ) -> Result<(PathBuf, Option<tempfile::TempPath>), IndexError> {
        let disk = |error: &std::io::Error| IndexError::Disk {
            file: file.file_name.clone(),
            reason: error.to_string(),
        };
        let mut response = self
            .client
            .get(&file.url)
            .send()
            .await
            .map_err(|error| network(file, error))?;
        let mut target = self.cache.new_download().map_err(|error| disk(&error))?;
        let mut hasher = Sha256Hasher::default();
        let mut size = 0;
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| network(file, error))?
        {
            size += chunk.len() as u64;
            if size > LARGEST_WHOLE {
                let url = file.url.clone();
                return Err(network(
                    file,
                    NetError::TooLarge {
                        url,
                        limit: LARGEST_WHOLE,
                    },
                ));
            }
            hasher.update(&chunk);
            target.write_all(&chunk).map_err(|error| disk(&error))?;
        }
        let found = hasher.finish();
        match file.sha256 {
            Some(expected) if expected != found => Err(IndexError::WrongDigest {
                file: file.file_name.clone(),
                expected,
                found,
            }),
            Some(expected) => {
                let path = self.cache.download(&expected);
                target.persist(&path).map_err(|error| disk(&error.error))?;
                Ok((path, None))
            }
            None => {
                let guard = target.into_temp_path();
                Ok((guard.to_path_buf(), Some(guard)))
            }
        }
    }
}

fn server_of(file: &DistFile) -> String {
    let url = Url::parse(&file.url).ok();
    url.map(|url| url.origin().ascii_serialization())
        .unwrap_or_default()
}

fn size_of(path: &std::path::Path) -> Option<u64> {
    Some(path.metadata().ok()?.len())
}

fn with_part(total: u64, offset: u64, bytes: Vec<u8>) -> Sparse {
    let mut parts = Sparse::new(total);
    parts.add(offset, bytes);
    parts
}

fn bad(file: &DistFile, reason: &str) -> IndexError {
    IndexError::BadMetadata {
        file: file.file_name.clone(),
        reason: reason.to_owned(),
    }
}

fn network(file: &DistFile, source: NetError) -> IndexError {
    IndexError::Network {
        subject: Subject::File {
            file: file.file_name.clone(),
        },
        source: Box::new(source),
    }
}
