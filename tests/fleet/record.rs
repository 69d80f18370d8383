//! The recorded index: what the package indexes answered on one day, as far as the fleet asks.
//!
//! `index.bin` is a postcard value under brotli. Strings that repeat (tags, specifiers,
//! requirements) lie in tables; each page is a blob of its own, read when it is first asked for.
//! Left out are digests, which are made up here from the file names, and wheels that no machine of
//! the fleet could install whatever its Python.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, OnceLock},
};

use aienv::{
    index::{
        CoreMetadata, DistFile, DistKind, IndexError, IndexId, PackageIndex, Releases,
        tags::WheelTags,
    },
    types::{PackageName, Requirement, Sha256, Version, VersionSpecifiers, parse_requirement},
};
use serde::{Deserialize, Serialize};

/// The file.
pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fleet/index.bin");

/// How to make the file anew.
pub const AGAIN: &str = "cargo test --test fleet -- --ignored record --nocapture";

/// The file's content.
#[derive(Serialize, Deserialize)]
pub struct Record<'a> {
    /// The day.
    pub as_of: String,
    /// The torch wheel indexes answered; otherwise their pages were derived (`derive.rs`).
    pub torch_answered: bool,
    #[serde(borrow)]
    pub tags: Vec<&'a str>,
    #[serde(borrow)]
    pub specifiers: Vec<&'a str>,
    #[serde(borrow)]
    pub requirements: Vec<&'a str>,
    #[serde(borrow)]
    pub pages: Vec<RecordedPage<'a>>,
}

/// One package on one index.
#[derive(Serialize, Deserialize)]
pub struct RecordedPage<'a> {
    /// Empty for the default index, else a torch index such as `cu128`.
    pub index: &'a str,
    pub package: &'a str,
    /// A [`Body`] in postcard; absent when the index has no such package.
    pub body: Option<&'a [u8]>,
}

/// The releases of one package and what their files need.
#[derive(Serialize, Deserialize)]
pub struct Body<'a> {
    #[serde(borrow)]
    pub versions: Vec<RecordedVersion<'a>>,
    #[serde(borrow)]
    pub needs: Vec<Needs<'a>>,
}

#[derive(Serialize, Deserialize)]
pub struct RecordedVersion<'a> {
    pub version: &'a str,
    /// What most file names start with: `numpy-2.1.0`.
    pub stem: &'a str,
    #[serde(borrow)]
    pub files: Vec<RecordedFile<'a>>,
}

#[derive(Serialize, Deserialize)]
pub struct RecordedFile<'a> {
    /// In place of the version's stem; for a source distribution in place of the whole name.
    pub other: Option<&'a str>,
    /// Place in the table of tags; absent for a source distribution.
    pub tags: Option<u32>,
    /// Place in the table of specifiers.
    pub requires_python: Option<u32>,
    pub yanked: Option<&'a str>,
    /// Size in bytes, where the index or the reading of the metadata told.
    pub size: Option<u64>,
    /// Place in [`Body::needs`]; absent when the recorder did not ask.
    pub needs: Option<u32>,
}

/// What reading the metadata of a file came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Needs<'a> {
    Known {
        requires: Vec<u32>,
        python: Option<u32>,
        extras: Vec<&'a str>,
    },
    /// Only a build would tell.
    Build(&'a str),
    /// It cannot be used.
    Bad(&'a str),
}

/// The recorded index, ready to be asked.
pub struct RecordedIndex {
    pub as_of: String,
    pub torch_answered: bool,
    tags: Vec<Arc<str>>,
    specifiers: Vec<VersionSpecifiers>,
    requirements: Vec<(&'static str, OnceLock<Requirement>)>,
    pages: HashMap<(IndexId, PackageName), RecordedAnswer>,
    /// Questions that the record has no answer to.
    missing: Mutex<BTreeMap<String, Question>>,
}

struct RecordedAnswer {
    body: Option<&'static [u8]>,
    page: OnceLock<Page>,
}

struct Page {
    releases: Arc<Releases>,
    needs: HashMap<String, FileNeeds>,
}

struct FileNeeds {
    needs: Needs<'static>,
    version: Version,
    size: Option<u64>,
    metadata: OnceLock<Arc<CoreMetadata>>,
}

/// Something an index is asked.
#[derive(Clone, Debug)]
pub enum Question {
    /// The releases of a package.
    Page(IndexId, PackageName),
    /// The metadata of the file with this name.
    Metadata(String),
}

impl RecordedIndex {
    /// The index of `index.bin`. The text of it stays in memory for the life of the process.
    pub fn open() -> Self {
        let file = std::fs::read(FILE).unwrap_or_else(|error| panic!("{FILE}: {error}; {AGAIN}"));
        let mut bytes = Vec::new();
        brotli::BrotliDecompress(&mut &file[..], &mut bytes).unwrap();
        let record: Record<'static> = postcard::from_bytes(bytes.leak()).unwrap();
        let pages = record.pages.iter().map(|page| {
            let index = match page.index {
                "" => IndexId::Default,
                build => IndexId::Torch(build.parse().unwrap()),
            };
            let answer = RecordedAnswer {
                body: page.body,
                page: OnceLock::new(),
            };
            ((index, page.package.parse().unwrap()), answer)
        });
        Self {
            pages: pages.collect(),
            as_of: record.as_of,
            torch_answered: record.torch_answered,
            tags: record.tags.iter().map(|text| Arc::from(*text)).collect(),
            specifiers: record
                .specifiers
                .iter()
                .map(|text| text.parse().unwrap())
                .collect(),
            requirements: record
                .requirements
                .into_iter()
                .map(|text| (text, OnceLock::new()))
                .collect(),
            missing: Mutex::default(),
        }
    }

    /// What a failing test says besides, where questions were not in the record: each got an error
    /// for an answer. Which of several like problems is solved first is chance, and so are a few of
    /// the questions; one that changes no answer does no harm.
    pub fn hint(&self) -> String {
        let missing = self.missing.lock().unwrap();
        if missing.is_empty() {
            return String::new();
        }
        let some: Vec<_> = missing.keys().take(20).map(String::as_str).collect();
        format!(
            "\n{} questions are not in the record of {}, among them:\n  {}\nrecord anew: {AGAIN}",
            missing.len(),
            self.as_of,
            some.join("\n  ")
        )
    }

    /// What was asked and not recorded.
    pub fn missing(&self) -> Vec<Question> {
        self.missing.lock().unwrap().values().cloned().collect()
    }

    fn is_missing(&self, what: String, question: Question) -> IndexError {
        let error = IndexError::Unreachable {
            index: format!("the record ({what})"),
        };
        self.missing.lock().unwrap().insert(what, question);
        error
    }

    fn page(&self, index: &IndexId, package: &PackageName) -> Result<&Page, IndexError> {
        let key = (index.clone(), package.clone());
        let Some(answer) = self.pages.get(&key) else {
            let question = Question::Page(index.clone(), package.clone());
            let what = format!("the releases of {package} on {index:?}");
            return Err(self.is_missing(what, question));
        };
        match answer.body {
            Some(body) => Ok(answer.page.get_or_init(|| self.read(index, package, body))),
            None => Err(IndexError::NotFound {
                package: package.clone(),
                index: format!("the recorded index {index:?}"),
            }),
        }
    }

    fn read(&self, index: &IndexId, package: &PackageName, body: &'static [u8]) -> Page {
        let body: Body<'static> = postcard::from_bytes(body).unwrap();
        let host = match index {
            IndexId::Default => "https://files.index.example".to_owned(),
            IndexId::Torch(build) => format!("https://torch.index.example/{build}"),
        };
        let mut releases = Releases::default();
        let mut needs = HashMap::new();
        for recorded in &body.versions {
            let version: Version = recorded.version.parse().unwrap();
            let files = recorded.files.iter().map(|file| {
                let dist = self.file(&host, recorded, file);
                if let Some(place) = file.needs {
                    let found = FileNeeds {
                        needs: body.needs[place as usize].clone(),
                        version: version.clone(),
                        size: file.size,
                        metadata: OnceLock::new(),
                    };
                    needs.insert(dist.file_name.clone(), found);
                }
                dist
            });
            let files = files.collect();
            releases.versions.insert(version, files);
        }
        assert!(!releases.versions.is_empty(), "{package} has no version");
        Page {
            releases: Arc::new(releases),
            needs,
        }
    }

    fn file(&self, host: &str, of: &RecordedVersion<'_>, file: &RecordedFile<'_>) -> DistFile {
        let stem = file.other.unwrap_or(of.stem);
        let (file_name, kind) = match file.tags {
            Some(place) => {
                let tags = &self.tags[place as usize];
                // Behind name and version there may be a build tag.
                let build = stem.splitn(3, '-').nth(2);
                let kind = WheelTags::new(Arc::clone(tags), build).unwrap();
                (format!("{stem}-{tags}.whl"), DistKind::Wheel(kind))
            }
            None if file.other.is_some() => (stem.to_owned(), DistKind::Sdist),
            None => (format!("{stem}.tar.gz"), DistKind::Sdist),
        };
        DistFile {
            url: format!("{host}/{file_name}"),
            sha256: Some(Sha256::of(&file_name)),
            file_name,
            kind,
            // Indexes that give no size are the common case; plans then have it from the metadata.
            size: None,
            requires_python: file
                .requires_python
                .map(|at| self.specifiers[at as usize].clone()),
            yanked: file.yanked.map(str::to_owned),
            metadata_file: None,
        }
    }

    fn requirement(&self, place: u32) -> Requirement {
        let (text, parsed) = &self.requirements[place as usize];
        parsed
            .get_or_init(|| parse_requirement(text).unwrap())
            .clone()
    }

    fn metadata_of(
        &self,
        package: &PackageName,
        file: &FileNeeds,
        name: &str,
    ) -> Result<Arc<CoreMetadata>, IndexError> {
        match &file.needs {
            Needs::Known {
                requires,
                python,
                extras,
            } => {
                let make = || {
                    Arc::new(CoreMetadata {
                        name: package.clone(),
                        version: file.version.clone(),
                        requires_dist: requires.iter().map(|at| self.requirement(*at)).collect(),
                        requires_python: python.map(|at| self.specifiers[at as usize].clone()),
                        provides_extra: extras.iter().map(|text| text.parse().unwrap()).collect(),
                        file_size: file.size,
                    })
                };
                Ok(Arc::clone(file.metadata.get_or_init(make)))
            }
            Needs::Build(reason) => Err(IndexError::NeedsBuild {
                file: name.to_owned(),
                reason: (*reason).to_owned(),
            }),
            Needs::Bad(reason) => Err(IndexError::BadMetadata {
                file: name.to_owned(),
                reason: (*reason).to_owned(),
            }),
        }
    }
}

impl PackageIndex for RecordedIndex {
    fn releases(
        &self,
        index: &IndexId,
        package: &PackageName,
    ) -> Result<Arc<Releases>, IndexError> {
        self.page(index, package)
            .map(|page| Arc::clone(&page.releases))
    }

    fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
        let (package, _) = file.name_and_version().unwrap();
        let index = match file.url.strip_prefix("https://torch.index.example/") {
            Some(rest) => IndexId::Torch(rest.split('/').next().unwrap().parse().unwrap()),
            None => IndexId::Default,
        };
        let page = self.page(&index, &package)?;
        match page.needs.get(&file.file_name) {
            Some(found) => self.metadata_of(&package, found, &file.file_name),
            None => Err(self.is_missing(
                format!("the metadata of {}", file.file_name),
                Question::Metadata(file.file_name.clone()),
            )),
        }
    }

    fn is_at_hand(&self) -> bool {
        true
    }
}

/// The same index where the torch indexes cannot be reached.
pub struct WithoutTorch(pub Arc<dyn PackageIndex>);

impl PackageIndex for WithoutTorch {
    fn releases(
        &self,
        index: &IndexId,
        package: &PackageName,
    ) -> Result<Arc<Releases>, IndexError> {
        match index {
            IndexId::Default => self.0.releases(index, package),
            IndexId::Torch(_) => Err(IndexError::Unreachable {
                index: "the torch wheel index `https://torch.index.example/`".to_owned(),
            }),
        }
    }

    fn metadata(&self, file: &DistFile) -> Result<Arc<CoreMetadata>, IndexError> {
        self.0.metadata(file)
    }

    fn is_at_hand(&self) -> bool {
        true
    }
}

/// Strings in the order of their first use.
#[derive(Default)]
pub struct Table {
    list: Vec<String>,
    places: BTreeMap<String, u32>,
}

impl Table {
    /// The place of a string, which is added if it is new.
    pub fn place(&mut self, text: &str) -> u32 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.list.len() as u32;
        self.list.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }

    pub fn list(&self) -> Vec<&str> {
        self.list.iter().map(String::as_str).collect()
    }
}
