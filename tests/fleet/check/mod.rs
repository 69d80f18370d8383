//! A checker that knows nothing of the solver: whether a plan is right for a machine, by the facts
//! in `manifests/compat/`, the files' names and what the recorded metadata says.

mod facts;
mod needs;
mod tags;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex},
};

use aienv::{
    catalog::manifest::{AcceleratorKind, Manifest, Source},
    host::{Gpu, GpuVendor, Host},
    index::{IndexError, IndexId, PackageIndex},
    lock::{ArtifactKind, Lock, LockedPackage, LockedPython},
    prefix::pythons,
    solve::Plan,
    types::{Accelerator, PackageName, PythonVersion, Requirement, Version, parse_requirement},
};

use crate::{
    hosts::Machine,
    record::RecordedIndex,
    trees::{RecordedTree, trees},
};
use facts::{Chosen, Facts, cuda_version, drivers_of_windows};
use needs::{Planned, Question};

/// Kinds of mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The accelerator is not one that the manifest accepts, or not what the packages are built for.
    Accelerator,
    /// The machine has no such GPU, or may not use it.
    Hardware,
    /// A card that is not served is visible to the tool, or the other way round.
    Visible,
    /// The driver is too old or too new.
    Driver,
    /// No code for the GPU.
    Code,
    /// The interpreter is none that the tool accepts or the machine can get.
    Python,
    /// A file cannot be installed on the machine.
    Tag,
    /// A file is not in the index, or withdrawn.
    File,
    /// A required package is missing.
    Missing,
    /// A package has a version that something rules out.
    Requirement,
    /// A constraint of the manifest is not kept.
    Constraint,
    /// A package that nobody requires.
    Unwanted,
    /// Packages that were not built for each other, or own one folder.
    Agreement,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    pub kind: Kind,
    pub text: String,
}

impl Violation {
    fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

/// Checks plans.
pub struct Checker {
    facts: Facts,
    index: Arc<RecordedIndex>,
    trees: Vec<RecordedTree>,
    /// What following the requirements of a set of packages came to: many machines share it.
    followed: Mutex<HashMap<String, Vec<Violation>>>,
}

/// Where the recorded torch indexes seem to be.
const TORCH: &str = "https://torch.index.example/";

impl Checker {
    /// Over the recorded index.
    pub fn new(index: Arc<RecordedIndex>) -> Self {
        Self {
            facts: Facts::read(),
            index,
            trees: trees(),
            followed: Mutex::default(),
        }
    }

    /// Everything that is wrong with a plan of a tool for a machine.
    pub fn check(&self, machine: &Machine, manifest: &Manifest, plan: &Plan) -> Vec<Violation> {
        let lock = &plan.lock;
        let mut found = self.files(machine, manifest, lock);
        found.extend(self.machine(&machine.host, manifest, lock, false));
        // A device that this user may not open is no reason against the plan if the plan says so.
        let told = plan
            .notes
            .iter()
            .any(|note| note.contains("render") || note.contains("/dev/"));
        if kind_of(lock.accelerator) == AcceleratorKind::Rocm && !told {
            found.extend(devices(&machine.host).err());
        }
        found.extend(self.visible(&machine.host, manifest, lock));
        found.extend(self.packages(&machine.host, manifest, lock));
        found
    }

    /// Whether a plan that was made for another machine does here as well, without anything that
    /// only some have tried.
    pub fn fits(&self, machine: &Machine, manifest: &Manifest, lock: &Lock) -> bool {
        self.files(machine, manifest, lock).is_empty()
            && self.machine(&machine.host, manifest, lock, true).is_empty()
            && (kind_of(lock.accelerator) != AcceleratorKind::Rocm
                || devices(&machine.host).is_ok())
            && self.packages(&machine.host, manifest, lock).is_empty()
    }

    /// What the table of GPUs says of a GPU's abilities where it says something else.
    pub fn differs_from_table(&self, gpu: &Gpu) -> Option<String> {
        let model = self.facts.gpu(gpu.pci_id.as_deref()?)?;
        let capability = gpu
            .compute_capability
            .map(|(major, minor)| format!("{major}.{minor}"));
        let agrees = capability == model.compute_capability && gpu.gfx == model.gfx;
        (!agrees).then(|| {
            format!(
                "{}: {:?}, {:?}",
                model.name, model.compute_capability, model.gfx
            )
        })
    }

    /// Whether the machine can install the files.
    fn files(&self, machine: &Machine, manifest: &Manifest, lock: &Lock) -> Vec<Violation> {
        let short = PythonVersion::of(lock.python.version()).unwrap();
        let mut found = Vec::new();
        for package in &lock.packages {
            let artifact = &package.artifact;
            let name = &artifact.file_name;
            match artifact.kind {
                ArtifactKind::Wheel if !tags::installable(name, &machine.host, short) => {
                    found.push(Violation::new(
                        Kind::Tag,
                        format!("{name} with Python {short}"),
                    ));
                }
                ArtifactKind::Sdist if !may_build(manifest, &package.name) => {
                    found.push(Violation::new(
                        Kind::Tag,
                        format!("{name} may not be built"),
                    ));
                }
                _ => {}
            }
            if !machine.torch_index && artifact.url.starts_with(TORCH) {
                let text = format!("{name} comes from an index that is out of reach");
                found.push(Violation::new(Kind::File, text));
            }
        }
        found
    }

    /// Interpreter and accelerator against the machine. `strict`: no GPU passes as another one.
    fn machine(
        &self,
        host: &Host,
        manifest: &Manifest,
        lock: &Lock,
        strict: bool,
    ) -> Vec<Violation> {
        let mut found = Vec::new();
        found.extend(self.python(host, manifest, &lock.python).err());
        found.extend(self.accelerator(host, manifest, lock, strict).err());
        found.extend(self.toolkits(host, lock));
        found.extend(self.agreements(host, lock));
        found
    }

    fn python(
        &self,
        host: &Host,
        manifest: &Manifest,
        python: &LockedPython,
    ) -> Result<(), Violation> {
        let bad = |text: String| Err(Violation::new(Kind::Python, text));
        let version = python.version();
        if !manifest.python.requires.contains(version) {
            return bad(format!("{version} is not {}", manifest.python.requires));
        }
        let mut offered = pythons::available(&host.target()).into_iter();
        match python {
            LockedPython::Managed { sha256, .. } if offered.any(|p| p.sha256 == *sha256) => Ok(()),
            LockedPython::System { path, .. } if host.pythons.iter().any(|p| p.path == *path) => {
                Ok(())
            }
            _ => bad(format!("{version} cannot be had on {}", host.target())),
        }
    }

    /// The accelerator against the manifest, the hardware and the build of torch.
    fn accelerator(
        &self,
        host: &Host,
        manifest: &Manifest,
        lock: &Lock,
        strict: bool,
    ) -> Result<(), Violation> {
        let accelerator = lock.accelerator;
        let kind = kind_of(accelerator);
        let Some(needs) = manifest.accelerators.get(&kind) else {
            let text = format!("{} does not run on {kind}", manifest.name);
            return Err(Violation::new(Kind::Accelerator, text));
        };
        let version = match accelerator {
            Accelerator::Cuda(a, b) | Accelerator::Rocm(a, b) => Some([u64::from(a), u64::from(b)]),
            _ => None,
        };
        if version.is_some_and(|version| !needs.version.contains(&Version::new(version))) {
            let text = format!("{accelerator} is not {}", needs.version);
            return Err(Violation::new(Kind::Accelerator, text));
        }
        let torch = planned(lock, "torch");
        if let Some(torch) = torch {
            let build = self.facts.torch_build(torch, host);
            let build = build.map_err(|text| Violation::new(Kind::Accelerator, text))?;
            let unused = kind == AcceleratorKind::Cpu && !torch.is_local();
            if build != accelerator
                && !unused
                && !(kind == AcceleratorKind::Mps && build == Accelerator::Cpu)
            {
                let text =
                    format!("torch {torch} is built for {build}, the plan says {accelerator}");
                return Err(Violation::new(Kind::Accelerator, text));
            }
        }
        match kind {
            AcceleratorKind::Cpu => Ok(()),
            AcceleratorKind::Cuda => {
                let least = needs.min_compute_capability.as_deref();
                self.nvidia(host, accelerator, torch, least)
            }
            AcceleratorKind::Rocm => self.amd(host, accelerator, torch, strict),
            AcceleratorKind::Xpu => self.intel(host, torch, strict),
            AcceleratorKind::Mps => self.apple(host, torch),
        }
    }

    fn nvidia(
        &self,
        host: &Host,
        build: Accelerator,
        torch: Option<&Version>,
        least: Option<&str>,
    ) -> Result<(), Violation> {
        let cards: Vec<&Gpu> = of(host, GpuVendor::Nvidia);
        if cards.is_empty() {
            return Err(Violation::new(Kind::Hardware, "there is no NVIDIA GPU"));
        }
        let driver = host
            .nvidia
            .as_ref()
            .and_then(|nvidia| nvidia.version.as_ref());
        let driver = driver.ok_or(Violation::new(Kind::Driver, "there is no NVIDIA driver"))?;
        self.starts(&cuda_version(build), driver, host)?;
        let least: Option<(u16, u16)> = least.map(|text| {
            let (major, minor) = text.split_once('.').unwrap();
            (major.parse().unwrap(), minor.parse().unwrap())
        });
        let mut why = Violation::new(Kind::Hardware, "no card");
        for card in cards {
            let served = self.facts.driver_serves(host, card, driver);
            let code = match torch {
                Some(torch) => self.facts.cuda_code(torch, build, host, card, driver),
                None => self.facts.toolkit_serves(&cuda_version(build), card),
            };
            why = match (served, code) {
                (Err(text), _) => Violation::new(Kind::Driver, text),
                (_, Err(text)) => Violation::new(Kind::Code, format!("{}: {text}", card.name)),
                _ if least > card.compute_capability => {
                    Violation::new(Kind::Hardware, format!("the tool needs {least:?}"))
                }
                _ => return Ok(()),
            };
        }
        Err(why)
    }

    /// Whether the driver starts programs made with a CUDA version.
    fn starts(&self, cuda: &Version, driver: &Version, host: &Host) -> Result<(), Violation> {
        let floor = self.facts.driver_floor(cuda, drivers_of_windows(host));
        let floor = floor.ok_or(Violation::new(
            Kind::Driver,
            format!("CUDA {cuda} is unknown"),
        ))?;
        if floor <= driver {
            return Ok(());
        }
        let text = format!("CUDA {cuda} needs driver {floor}, this one is {driver}");
        Err(Violation::new(Kind::Driver, text))
    }

    fn amd(
        &self,
        host: &Host,
        build: Accelerator,
        torch: Option<&Version>,
        strict: bool,
    ) -> Result<(), Violation> {
        let mut why = Violation::new(Kind::Hardware, "there is no AMD GPU");
        for card in of(host, GpuVendor::Amd) {
            let gfx = card.gfx.as_deref().unwrap_or("an unknown GPU");
            let torch = torch.ok_or(Violation::new(Kind::Accelerator, "ROCm without torch"))?;
            match self.facts.rocm_code(torch, build, gfx, !strict) {
                Ok(()) => return Ok(()),
                Err(text) => why = Violation::new(Kind::Code, text),
            }
        }
        Err(why)
    }

    /// Cards that the build has no code for, or that are too old for the tool, are hidden from it,
    /// the others are not; a card that passes as another is told to.
    fn visible(&self, host: &Host, manifest: &Manifest, lock: &Lock) -> Vec<Violation> {
        let torch = planned(lock, "torch");
        let (vendor, variable) = match lock.accelerator {
            Accelerator::Cuda(..) => (GpuVendor::Nvidia, "CUDA_VISIBLE_DEVICES"),
            Accelerator::Rocm(..) => (GpuVendor::Amd, "HIP_VISIBLE_DEVICES"),
            _ => return Vec::new(),
        };
        let shown: Option<Vec<usize>> = lock.environment.get(variable).map(|list| {
            list.split(',')
                .map(|number| number.parse().unwrap())
                .collect()
        });
        // CUDA numbers the cards that the driver serves, the others are not there for it.
        let mut cards = of(host, vendor);
        if let Some(driver) = host
            .nvidia
            .as_ref()
            .and_then(|nvidia| nvidia.version.as_ref())
        {
            cards.retain(|card| {
                card.vendor != GpuVendor::Nvidia
                    || self.facts.driver_serves(host, card, driver).is_ok()
            });
        }
        let mut found = Vec::new();
        for (at, card) in cards.iter().enumerate() {
            let visible = shown.as_ref().is_none_or(|shown| shown.contains(&at));
            let served = self.serves(host, card, lock, torch) && is_wanted(card, manifest, lock);
            if visible != served {
                let text = format!(
                    "{variable}: {} is served: {served}, visible: {visible}",
                    card.name
                );
                found.push(Violation::new(Kind::Visible, text));
            }
        }
        found
    }

    /// Whether the planned build and environment serve one card.
    fn serves(&self, host: &Host, card: &Gpu, lock: &Lock, torch: Option<&Version>) -> bool {
        let build = lock.accelerator;
        match card.vendor {
            GpuVendor::Nvidia => {
                let driver = host
                    .nvidia
                    .as_ref()
                    .and_then(|nvidia| nvidia.version.as_ref());
                driver.is_some_and(|driver| {
                    let code =
                        torch.map(|torch| self.facts.cuda_code(torch, build, host, card, driver));
                    self.facts.driver_serves(host, card, driver).is_ok()
                        && code.is_none_or(|code| code.is_ok())
                })
            }
            GpuVendor::Amd => {
                let gfx = card.gfx.as_deref().unwrap_or_default();
                match lock.environment.get("HSA_OVERRIDE_GFX_VERSION") {
                    None => self.facts.rocm_native(build, gfx),
                    Some(value) => self
                        .facts
                        .rocm_overrides(build, gfx)
                        .contains(&value.as_str()),
                }
            }
            _ => false,
        }
    }

    fn intel(&self, host: &Host, torch: Option<&Version>, strict: bool) -> Result<(), Violation> {
        let known = |gpu: &&Gpu| {
            let model = gpu.pci_id.as_deref().and_then(|id| self.facts.gpu(id));
            match model.and_then(|model| model.xpu) {
                Some(known) => known,
                None => !strict && !gpu.integrated,
            }
        };
        if !of(host, GpuVendor::Intel).iter().any(known) {
            return Err(Violation::new(
                Kind::Hardware,
                "there is no Intel GPU for torch",
            ));
        }
        match torch {
            Some(torch) if !self.facts.xpu(torch, host) => {
                let text = format!("torch {torch} has no build for Intel GPUs here");
                Err(Violation::new(Kind::Code, text))
            }
            _ => Ok(()),
        }
    }

    fn apple(&self, host: &Host, torch: Option<&Version>) -> Result<(), Violation> {
        if of(host, GpuVendor::Apple).is_empty() {
            return Err(Violation::new(Kind::Hardware, "there is no Apple GPU"));
        }
        let Some(torch) = torch else { return Ok(()) };
        let macos: Version = host.os.version.parse().unwrap();
        self.facts
            .mps(torch, &macos)
            .map_err(|text| Violation::new(Kind::Code, text))
    }

    /// CUDA libraries in the plan need a driver too, even where torch is not there to tell.
    fn toolkits(&self, host: &Host, lock: &Lock) -> Vec<Violation> {
        let driver = host
            .nvidia
            .as_ref()
            .and_then(|nvidia| nvidia.version.as_ref());
        let (Accelerator::Cuda(..), Some(driver)) = (lock.accelerator, driver) else {
            return Vec::new();
        };
        let mut toolkits: BTreeSet<Version> = BTreeSet::new();
        // nvidia-…-cu12, and the lowest where there are several: the one that fits is loaded.
        let mut lowest: BTreeMap<&str, u64> = BTreeMap::new();
        for package in &lock.packages {
            let name = package.name.as_ref();
            toolkits.extend(self.facts.toolkits(name, &package.version).cloned());
            let library = name
                .strip_prefix("nvidia-")
                .and_then(|name| name.rsplit_once("-cu"));
            if let Some((library, major)) = library
                && let Ok(major) = major.parse()
            {
                let known = lowest.entry(library).or_insert(major);
                *known = major.min(*known);
            }
        }
        toolkits.extend(lowest.values().map(|major| Version::new([*major, 0])));
        let refused = toolkits
            .iter()
            .filter_map(|cuda| self.starts(cuda, driver, host).err());
        refused.collect()
    }

    /// What packages must have in common although none of them says so.
    fn agreements(&self, host: &Host, lock: &Lock) -> Vec<Violation> {
        let chosen: Vec<Chosen<'_>> = lock
            .packages
            .iter()
            .map(|package| Chosen {
                name: package.name.as_ref(),
                version: &package.version,
                from_torch_index: package.artifact.url.starts_with(TORCH),
            })
            .collect();
        let broken = self.facts.broken_agreements(host, &chosen).into_iter();
        broken
            .map(|text| Violation::new(Kind::Agreement, text))
            .collect()
    }

    /// The files against the index and the requirements against each other.
    fn packages(&self, host: &Host, manifest: &Manifest, lock: &Lock) -> Vec<Violation> {
        let mut key = format!(
            "{} {} {}",
            manifest.name,
            lock.accelerator,
            lock.python.version()
        );
        key += &format!(" {:?} {:?}", host.os.family, host.cpu.arch);
        for package in &lock.packages {
            key += &format!(
                "\n{} {} {}",
                package.name, package.version, package.artifact.file_name
            );
        }
        if let Some(known) = self.followed.lock().unwrap().get(&key) {
            return known.clone();
        }
        let found = self.follow(host, manifest, lock);
        self.followed.lock().unwrap().insert(key, found.clone());
        found
    }

    fn follow(&self, host: &Host, manifest: &Manifest, lock: &Lock) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut packages = BTreeMap::new();
        for package in &lock.packages {
            match self.file(package, lock.python.version()) {
                Ok(planned) => {
                    packages.insert(package.name.clone(), planned);
                }
                Err(violation) => found.push(violation),
            }
        }
        if packages.len() < lock.packages.len() {
            return found;
        }
        let question = Question {
            manifest,
            kind: kind_of(lock.accelerator),
            host,
            python: lock.python.version(),
            tree: self.tree(manifest),
            packages: &packages,
            undeclared: &|name, version| {
                let texts = self
                    .facts
                    .undeclared(name.as_ref(), version, lock.accelerator);
                texts.map(|text| parse_requirement(text).unwrap()).collect()
            },
            provided: self.facts.provided(lock.accelerator),
        };
        found.extend(needs::check(&question));
        found
    }

    /// A planned file as the index has it.
    fn file(&self, package: &LockedPackage, python: &Version) -> Result<Planned, Violation> {
        let bad = |text: String| Violation::new(Kind::File, text);
        let url = &package.artifact.url;
        let index = match url.strip_prefix(TORCH) {
            Some(rest) => IndexId::Torch(rest.split('/').next().unwrap().parse().unwrap()),
            None => IndexId::Default,
        };
        let missing = |error: IndexError| bad(error.to_string());
        let releases = self
            .index
            .releases(&index, &package.name)
            .map_err(missing)?;
        let files = releases.versions.get(&package.version);
        let files = files.ok_or(bad(format!(
            "{} {} is on no index",
            package.name, package.version
        )))?;
        let mut files = files.iter();
        let file = files.find(|file| file.file_name == package.artifact.file_name);
        let file = file.ok_or(bad(format!(
            "{} is on no index",
            package.artifact.file_name
        )))?;
        if let Some(why) = &file.yanked {
            return Err(bad(format!("{} was withdrawn: {why}", file.file_name)));
        }
        let metadata = self.index.metadata(file).map_err(missing)?;
        let ranges = file.requires_python.iter().chain(&metadata.requires_python);
        for range in ranges {
            if !range.contains(python) {
                let text = format!("{} requires Python {range}", file.file_name);
                return Err(Violation::new(Kind::Python, text));
            }
        }
        Ok(Planned {
            version: package.version.clone(),
            url: url.clone(),
            metadata,
        })
    }

    fn tree(&self, manifest: &Manifest) -> Vec<Requirement> {
        let Source::Tree(source) = &manifest.source else {
            return Vec::new();
        };
        let mut trees = self.trees.iter();
        let tree = trees
            .find(|tree| tree.repository == source.repository)
            .unwrap();
        tree.requires
            .iter()
            .map(|text| parse_requirement(text).unwrap())
            .collect()
    }
}

/// Whether this user may open the devices of AMD GPUs.
fn devices(host: &Host) -> Result<(), Violation> {
    match &host.amd {
        Some(amd) if amd.kfd_accessible && amd.render_accessible => Ok(()),
        _ => Err(Violation::new(
            Kind::Hardware,
            "the AMD GPU may not be opened, and nobody says so",
        )),
    }
}

fn may_build(manifest: &Manifest, package: &PackageName) -> bool {
    manifest
        .packages
        .build
        .iter()
        .any(|name| name == package.as_ref())
}

fn of(host: &Host, vendor: GpuVendor) -> Vec<&Gpu> {
    host.gpus
        .iter()
        .filter(|gpu| gpu.vendor == vendor)
        .collect()
}

/// The planned version of a package.
pub fn planned<'l>(lock: &'l Lock, name: &str) -> Option<&'l Version> {
    let mut packages = lock.packages.iter();
    packages
        .find(|package| package.name.as_ref() == name)
        .map(|package| &package.version)
}

/// The kind of an accelerator build.
pub fn kind_of(accelerator: Accelerator) -> AcceleratorKind {
    match accelerator {
        Accelerator::Cpu => AcceleratorKind::Cpu,
        Accelerator::Cuda(..) => AcceleratorKind::Cuda,
        Accelerator::Rocm(..) => AcceleratorKind::Rocm,
        Accelerator::Xpu => AcceleratorKind::Xpu,
        Accelerator::Mps => AcceleratorKind::Mps,
    }
}

/// Whether a card has the compute capability that the manifest asks for.
fn is_wanted(card: &Gpu, manifest: &Manifest, lock: &Lock) -> bool {
    let needs = manifest.accelerators.get(&kind_of(lock.accelerator));
    let least = needs.and_then(|needs| needs.min_compute_capability.as_ref());
    match (least, card.compute_capability) {
        (Some(least), Some((major, minor))) => {
            let (wanted_major, wanted_minor) = least.split_once('.').unwrap();
            let wanted = (
                wanted_major.parse::<u16>().unwrap(),
                wanted_minor.parse::<u16>().unwrap(),
            );
            (major, minor) >= wanted
        }
        _ => true,
    }
}
