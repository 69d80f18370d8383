//! Records the indexes anew: plans every tool for every machine with the real indexes, notes what
//! is asked and what comes, asks for some more round about, and writes `index.bin`.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::{Arc, Mutex},
};

use aienv::{
    build,
    catalog::manifest::Source,
    compat::torch::TorchFacts,
    home::Home,
    index::{
        CoreMetadata, DistFile, IndexClient, IndexError, IndexId, PackageIndex, Releases,
        tags::CompatibleTags,
    },
    net::{self, Client},
    prefix::pythons,
    progress::Silent,
    settings::{Overrides, Settings},
    store::Store,
    tools::{Manager, PlanOptions, Wanted},
    types::{Accelerator, PackageName, PythonVersion, Target, Version, VersionSpecifiers},
};
use rayon::prelude::*;

use crate::{
    derive::Derived,
    fleet::{Fleet, Outcome},
    hosts::{Machine, machines},
    record::{
        self, Body, Needs, Question, Record, RecordedFile, RecordedIndex, RecordedPage,
        RecordedVersion, Table,
    },
    trees, ways,
};

/// Versions of each package, the newest usable ones, whose metadata is recorded although no plan
/// asks for it: a change in the solver that tries another version should not need a new record.
const NEIGHBOURS: usize = 5;

/// Questions asked at once.
const AT_ONCE: usize = 24;

/// How often the record is played back at most to find what it lacks.
const REPLAYS: usize = 4;

/// What an index answered, or that it has no such package.
type Page = Option<Arc<Releases>>;

/// What reading the metadata of a file came to.
type Answer = Result<Arc<CoreMetadata>, IndexError>;

/// The real indexes, taking down what they answer.
pub struct Recorder {
    client: IndexClient,
    /// In place of the torch indexes, when they do not answer.
    derived: Option<Derived>,
    /// Holds the wheels that were built to learn what they need.
    store: Store,
    /// Interpreter and platform they were built for.
    builds_for: (Vec<Version>, Target),
    pages: Mutex<BTreeMap<(IndexId, PackageName), Page>>,
    files: Mutex<HashMap<String, Answer>>,
}

impl Recorder {
    /// Over the indexes this machine is configured for; what they answer is kept below `home`.
    fn new(
        home: &Home,
        settings: &Settings,
        runtime: tokio::runtime::Handle,
        me: &Machine,
    ) -> Self {
        let client = IndexClient::new(Client::new(settings), settings, home, runtime);
        let torch = IndexId::Torch(Accelerator::Cpu);
        let answers = client.releases(&torch, &"torch".parse().unwrap());
        let derived = match answers {
            Ok(_) => None,
            Err(error) if error.is_unreachable() => {
                println!("{error}: the torch indexes are derived");
                Some(Derived::new())
            }
            Err(error) => panic!("{error}"),
        };
        let pythons = me.host.pythons.iter().map(|python| python.version.clone());
        Self {
            client,
            derived,
            store: Store::of(home),
            builds_for: (pythons.collect(), me.host.target()),
            pages: Mutex::default(),
            files: Mutex::default(),
        }
    }

    fn ask_page(&self, index: &IndexId, package: &PackageName) -> Page {
        let answer = match (index, &self.derived) {
            (IndexId::Torch(build), Some(derived)) => {
                derived.releases(&self.client, *build, package)
            }
            _ => self.client.releases(index, package),
        };
        match answer {
            Ok(releases) => Some(releases),
            Err(IndexError::NotFound { .. }) => None,
            Err(error) => panic!("{package}: {error}"),
        }
    }

    fn ask_metadata(&self, file: &DistFile) -> Answer {
        let derived = self.derived.as_ref();
        match derived.and_then(|derived| derived.metadata(&self.client, file)) {
            Some(answer) => answer,
            None => match self.client.metadata(file) {
                Err(IndexError::NeedsBuild { file: name, reason }) => self
                    .built(file)
                    .ok_or(IndexError::NeedsBuild { file: name, reason }),
                answer => answer,
            },
        }
    }

    /// The metadata of a wheel that was built from a source distribution.
    fn built(&self, file: &DistFile) -> Option<Arc<CoreMetadata>> {
        let (pythons, target) = &self.builds_for;
        pythons.iter().find_map(|python| {
            let entry = self
                .store
                .built(&build::key(&file.sha256?, python, target))?;
            let bytes = std::fs::read(entry.root.join(&entry.dist_info).join("METADATA")).ok()?;
            Some(Arc::new(CoreMetadata::parse(&bytes).unwrap()))
        })
    }

    /// Asks what a replay found missing.
    fn answer(&self, questions: &[Question]) {
        for question in questions {
            match question {
                // A package that no index has is recorded as one.
                Question::Page(index, package) => drop(self.releases(index, package)),
                Question::Metadata(name) => {
                    let pages = self.pages.lock().unwrap().clone();
                    let all = pages.values().flatten();
                    let mut files = all.flat_map(|page| page.versions.values().flatten());
                    if let Some(file) = files.find(|file| file.file_name == *name) {
                        // A file that cannot be read is recorded as one.
                        let _ = self.metadata(file);
                    }
                }
            }
        }
    }

    /// Forgets answers that a build may have made better.
    fn forget_builds(&self) {
        let needs_build =
            |answer: &mut Answer| matches!(answer, Err(IndexError::NeedsBuild { .. }));
        self.files
            .lock()
            .unwrap()
            .retain(|_, answer| !needs_build(answer));
    }
}

impl PackageIndex for Recorder {
    fn releases(
        &self,
        index: &IndexId,
        package: &PackageName,
    ) -> Result<Arc<Releases>, IndexError> {
        let key = (index.clone(), package.clone());
        let known = self.pages.lock().unwrap().get(&key).cloned();
        let page = known.unwrap_or_else(|| self.ask_page(index, package));
        self.pages.lock().unwrap().insert(key, page.clone());
        page.ok_or_else(|| IndexError::NotFound {
            package: package.clone(),
            index: format!("{index:?}"),
        })
    }

    fn metadata(&self, file: &DistFile) -> Answer {
        if let Some(known) = self.files.lock().unwrap().get(&file.file_name) {
            return known.clone();
        }
        let answer = self.ask_metadata(file);
        if let Err(error) = &answer {
            assert!(error.concerns_one_file(), "{error}");
        }
        self.files
            .lock()
            .unwrap()
            .insert(file.file_name.clone(), answer.clone());
        answer
    }

    fn digest(&self, file: &DistFile) -> Result<aienv::types::Sha256, IndexError> {
        self.client.digest(file)
    }

    fn is_at_hand(&self) -> bool {
        true
    }
}

/// Records everything and writes the file.
pub fn record() {
    // Not a temporary folder: what was asked once is not asked again the next time.
    let home = Home::at(concat!(env!("CARGO_TARGET_TMPDIR"), "/fleet-record"));
    let settings = Settings::load(&home, &Overrides::default()).unwrap();
    let runtime = net::runtime().unwrap();
    let here = Manager::new(&home, &settings, Arc::new(Silent)).unwrap();
    let me = Machine {
        name: "this machine".to_owned(),
        host: here.host().clone(),
        torch_index: true,
        named: false,
        column: None,
    };
    let recorder = Arc::new(Recorder::new(
        &home,
        &settings,
        runtime.handle().clone(),
        &me,
    ));
    let here = here.with_index(recorder.clone());
    let tools: Vec<Wanted> = here.catalog().entries().cloned().map(Wanted::new).collect();
    runtime.block_on(trees::record(&tools, here.client(), &settings));
    build_what_must_be(&here, &recorder);
    let fleet = Fleet::over(recorder.clone());
    let machines = machines();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(AT_ONCE)
        .build()
        .unwrap();
    let outcomes = pool.install(|| fleet.plan_all(&tools, &machines));
    let planned = outcomes
        .iter()
        .flatten()
        .filter(|o| matches!(o, Outcome::Plan(_)))
        .count();
    println!("{planned} plans of {}", tools.len() * machines.len());
    pool.install(|| {
        try_ways(&fleet, &tools, &machines, &outcomes);
        neighbours(&recorder, &tools, &machines);
    });
    write(&recorder, &machines);
    // With less to choose from than the real indexes have, a plan may come to ask other questions.
    for _ in 0..REPLAYS {
        let replay = Arc::new(RecordedIndex::open());
        let fleet = Fleet::over(replay.clone());
        pool.install(|| {
            let outcomes = fleet.plan_all(&tools, &machines);
            try_ways(&fleet, &tools, &machines, &outcomes);
        });
        let missing = replay.missing();
        println!("{} questions more", missing.len());
        if missing.is_empty() {
            break;
        }
        recorder.answer(&missing);
        write(&recorder, &machines);
    }
}

/// Takes every way out, for what it asks; what comes of it is for the test to judge.
fn try_ways(fleet: &Fleet, tools: &[Wanted], machines: &[Machine], outcomes: &[Vec<Outcome>]) {
    let tried = tools.par_iter().zip(outcomes);
    tried.for_each(|(tool, outcomes)| {
        let of_tool = machines.par_iter().zip(outcomes);
        of_tool.for_each(|(machine, outcome)| {
            for way in outcome.ways() {
                let _ = ways::take(fleet, tool, machine, way);
            }
        });
    });
}

/// Plans the tools that need builds for this machine, which builds them.
fn build_what_must_be(here: &Manager, recorder: &Recorder) {
    for loaded in here.catalog().entries() {
        // A tree needs its source host, and none of today's needs a build.
        let is_tree = matches!(loaded.manifest.source, Source::Tree(_));
        if loaded.manifest.packages.build.is_empty() || is_tree {
            continue;
        }
        let wanted = Wanted::new(loaded.clone());
        match here.plan_all(&[wanted], &PlanOptions::default()) {
            Ok(_) => println!("{}: built what it needs", loaded.manifest.name),
            Err(error) => println!("{}: {error}", loaded.manifest.name),
        }
    }
    recorder.forget_builds();
}

/// The interpreters that machines of the fleet can get, each with the wheel tags it accepts there.
fn accepted(machines: &[Machine]) -> Vec<(Version, CompatibleTags)> {
    let mut known = BTreeMap::new();
    for machine in machines {
        let target = machine.host.target();
        let managed = pythons::available(&target)
            .into_iter()
            .map(|python| python.version);
        let own = machine
            .host
            .pythons
            .iter()
            .map(|python| python.version.clone());
        for version in managed.chain(own) {
            known.entry((target.to_string(), version)).or_insert(target);
        }
    }
    let tags = |((_, version), target): ((String, Version), Target)| {
        let short = PythonVersion::of(&version).unwrap();
        (version, CompatibleTags::new(&target, short, false))
    };
    known.into_iter().map(tags).collect()
}

/// Asks for the metadata of the newest versions of everything, and of all versions of the tools and
/// of torch with its companions, on which builds depend.
fn neighbours(recorder: &Recorder, tools: &[Wanted], machines: &[Machine]) {
    let accepted = accepted(machines);
    let mut all_of: HashMap<String, VersionSpecifiers> = HashMap::new();
    for package in &TorchFacts::embedded().family {
        all_of.insert(package.to_string(), VersionSpecifiers::default());
    }
    for tool in tools {
        if let Source::Index(source) = &tool.loaded.manifest.source {
            let others = tool.loaded.manifest.accelerators.values();
            let others = others.filter_map(|needs| needs.package.as_ref());
            for package in others.chain([&source.package]) {
                all_of.insert(package.clone(), source.version.clone());
            }
        }
    }
    let pages: Vec<_> = recorder.pages.lock().unwrap().clone().into_iter().collect();
    pages.par_iter().for_each(|((_, package), page)| {
        let Some(releases) = page else { return };
        let range = all_of.get(package.as_ref());
        let mut files = BTreeMap::new();
        for (python, tags) in &accepted {
            let mut left = NEIGHBOURS;
            for (version, listed) in releases.versions.iter().rev() {
                let wanted = left > 0 || range.is_some_and(|range| range.contains(version));
                if version.any_prerelease() || !wanted {
                    continue;
                }
                if let Some(best) = best(listed, python, tags) {
                    files.insert(&best.file_name, best);
                    left = left.saturating_sub(1);
                }
            }
        }
        for file in files.into_values() {
            // A file that cannot be read is recorded as one.
            let _ = recorder.metadata(file);
        }
    });
}

fn best<'f>(
    files: &'f [DistFile],
    python: &Version,
    tags: &CompatibleTags,
) -> Option<&'f DistFile> {
    let fits = files.iter().filter(|file| {
        file.yanked.is_none()
            && file
                .requires_python
                .as_ref()
                .is_none_or(|r| r.contains(python))
    });
    let ranked = fits.filter_map(|file| Some((tags.priority(file.wheel()?)?, file)));
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, file)| file)
}

fn write(recorder: &Recorder, machines: &[Machine]) {
    let accepted = accepted(machines);
    let mut writer = Writer::default();
    let pages = recorder.pages.lock().unwrap();
    let files = recorder.files.lock().unwrap();
    let mut bodies = Vec::new();
    for ((index, package), page) in pages.iter() {
        let index = match index {
            IndexId::Default => String::new(),
            IndexId::Torch(build) => build.to_string(),
        };
        let body = page
            .as_ref()
            .map(|page| writer.body(page, &files, &accepted));
        bodies.push((index, package.to_string(), body));
    }
    let record = Record {
        as_of: jiff::Zoned::now().date().to_string(),
        torch_answered: recorder.derived.is_none(),
        tags: writer.tags.list(),
        specifiers: writer.specifiers.list(),
        requirements: writer.requirements.list(),
        pages: bodies
            .iter()
            .map(|(index, package, body)| RecordedPage {
                index,
                package,
                body: body.as_deref(),
            })
            .collect(),
    };
    let bytes = postcard::to_stdvec(&record).unwrap();
    let mut compressed = Vec::new();
    let params = brotli::enc::BrotliEncoderParams {
        quality: 11,
        lgwin: 24,
        ..Default::default()
    };
    brotli::BrotliCompress(&mut &bytes[..], &mut compressed, &params).unwrap();
    std::fs::write(Path::new(record::FILE), &compressed).unwrap();
    println!(
        "{} pages, {} files with metadata, {} wheels; {} bytes, {} compressed",
        pages.len(),
        files.len(),
        writer.wheels,
        bytes.len(),
        compressed.len()
    );
}

/// Tables that all pages share.
#[derive(Default)]
struct Writer {
    tags: Table,
    specifiers: Table,
    requirements: Table,
    installable: HashMap<String, bool>,
    wheels: usize,
}

impl Writer {
    fn body(
        &mut self,
        page: &Releases,
        answers: &HashMap<String, Answer>,
        accepted: &[(Version, CompatibleTags)],
    ) -> Vec<u8> {
        let mut needs: Vec<OwnedNeeds> = Vec::new();
        let mut texts = Vec::new();
        for (version, files) in &page.versions {
            let kept = self.kept(files, accepted);
            let stems: Vec<_> = kept.iter().map(|file| stem(file)).collect();
            let common = common(&stems);
            let mut listed = Vec::new();
            for (file, stem) in kept.into_iter().zip(stems) {
                let answer = answers.get(&file.file_name);
                let place = answer.map(|answer| {
                    let owned = self.needs(answer);
                    let known = needs.iter().position(|known| *known == owned);
                    known.unwrap_or_else(|| {
                        needs.push(owned);
                        needs.len() - 1
                    }) as u32
                });
                let other = match file.wheel() {
                    Some(_) => (stem != common).then(|| stem.clone()),
                    None => (file.file_name != format!("{common}.tar.gz"))
                        .then(|| file.file_name.clone()),
                };
                let size = answer.and_then(|answer| answer.as_ref().ok()?.file_size);
                listed.push((file, other, place, size.or(file.size)));
            }
            texts.push((version.to_string(), common, listed));
        }
        let versions = texts
            .iter()
            .map(|(version, stem, listed)| RecordedVersion {
                version,
                stem,
                files: listed
                    .iter()
                    .map(|(file, other, needs, size)| RecordedFile {
                        other: other.as_deref(),
                        tags: file.wheel().map(|tags| self.tags.place(&tags.to_string())),
                        requires_python: file
                            .requires_python
                            .as_ref()
                            .map(|range| self.specifiers.place(&range.to_string())),
                        yanked: file.yanked.as_deref(),
                        size: needs.and(*size),
                        needs: *needs,
                    })
                    .collect(),
            })
            .collect();
        let body = Body {
            versions,
            needs: needs.iter().map(OwnedNeeds::borrowed).collect(),
        };
        postcard::to_stdvec(&body).unwrap()
    }

    /// The files some machine could install, one wheel of those that have no other, and source.
    fn kept<'f>(
        &mut self,
        files: &'f [DistFile],
        accepted: &[(Version, CompatibleTags)],
    ) -> Vec<&'f DistFile> {
        let mut kept: Vec<&DistFile> = Vec::new();
        for file in files {
            let Some(tags) = file.wheel() else {
                kept.push(file);
                continue;
            };
            let installable = *self.installable.entry(tags.to_string()).or_insert_with(|| {
                accepted
                    .iter()
                    .any(|(_, known)| known.priority(tags).is_some())
            });
            if installable {
                kept.push(file);
            }
        }
        if !kept.iter().any(|file| file.wheel().is_some()) {
            kept.extend(files.iter().find(|file| file.wheel().is_some()));
        }
        self.wheels += kept.iter().filter(|file| file.wheel().is_some()).count();
        kept
    }

    fn needs(&mut self, answer: &Answer) -> OwnedNeeds {
        match answer {
            Ok(metadata) => OwnedNeeds::Known {
                requires: metadata
                    .requires_dist
                    .iter()
                    .map(|requirement| self.requirements.place(&requirement.to_string()))
                    .collect(),
                python: metadata
                    .requires_python
                    .as_ref()
                    .map(|range| self.specifiers.place(&range.to_string())),
                extras: metadata
                    .provides_extra
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
            },
            Err(IndexError::NeedsBuild { reason, .. }) => OwnedNeeds::Build(reason.clone()),
            Err(IndexError::BadMetadata { reason, .. }) => OwnedNeeds::Bad(reason.clone()),
            Err(other) => OwnedNeeds::Bad(other.to_string()),
        }
    }
}

/// [`Needs`] with strings of its own.
#[derive(PartialEq)]
enum OwnedNeeds {
    Known {
        requires: Vec<u32>,
        python: Option<u32>,
        extras: Vec<String>,
    },
    Build(String),
    Bad(String),
}

impl OwnedNeeds {
    fn borrowed(&self) -> Needs<'_> {
        match self {
            Self::Known {
                requires,
                python,
                extras,
            } => Needs::Known {
                requires: requires.clone(),
                python: *python,
                extras: extras.iter().map(String::as_str).collect(),
            },
            Self::Build(reason) => Needs::Build(reason),
            Self::Bad(reason) => Needs::Bad(reason),
        }
    }
}

/// A wheel's name before its tags; the stem of a source distribution.
fn stem(file: &DistFile) -> String {
    let name = &file.file_name;
    match file.wheel() {
        Some(tags) => name
            .strip_suffix(&format!("-{tags}.whl"))
            .unwrap()
            .to_owned(),
        None => name.strip_suffix(".tar.gz").unwrap_or(name).to_owned(),
    }
}

/// The stem that most have.
fn common(stems: &[String]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for stem in stems {
        *counts.entry(stem).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count);
    most.map_or_else(String::new, |(stem, _)| stem.to_owned())
}
