//! The compatibility facts as the checker reads them: straight from `manifests/compat/*.toml`, with
//! rules of its own.

use std::collections::{BTreeMap, BTreeSet};

use aienv::{
    host::{Gpu, Host},
    types::{Accelerator, Arch, Os, Version, VersionSpecifiers},
};
use serde::Deserialize;

macro_rules! table {
    ($file:literal) => {
        toml::from_str(include_str!(concat!("../../../manifests/compat/", $file))).unwrap()
    };
}

/// Everything the checker holds true.
pub struct Facts {
    cuda: Cuda,
    torch: Torch,
    rocm: Rocm,
    apple: Apple,
    extensions: Extensions,
    gpus: Gpus,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cuda {
    toolkit: Vec<Toolkit>,
    minor_compatibility: Vec<MinorCompatibility>,
    architecture: Vec<Architecture>,
}

#[derive(Deserialize)]
struct Toolkit {
    version: Version,
    linux: Option<Version>,
    windows: Option<Version>,
}

#[derive(Deserialize)]
struct MinorCompatibility {
    major: u64,
    since: Version,
    linux: Version,
    windows: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Architecture {
    capabilities: Vec<String>,
    linux: Option<Version>,
    windows: Option<Version>,
    last_branch: Option<u64>,
    last_toolkit: Option<Version>,
    tegra: Option<Tegra>,
}

/// A GPU that is part of a board with an operating system of its own, JetPack.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Tegra {
    /// From which driver on, which comes with JetPack, wheels made for servers run.
    ordinary_wheels_driver: Option<Version>,
}

#[derive(Deserialize)]
struct Torch {
    torch: Vec<Release>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Release {
    release: Version,
    default: BTreeMap<String, Accelerator>,
    rocm: Vec<Accelerator>,
    #[serde(default)]
    xpu: BTreeSet<String>,
    builds: BTreeMap<Accelerator, Vec<String>>,
    #[serde(default)]
    builds_aarch64: BTreeMap<Accelerator, Vec<String>>,
    version: Vec<Patch>,
}

/// A patch release and what was made with it.
#[derive(Deserialize)]
struct Patch {
    torchvision: Version,
    torchaudio: Option<Version>,
}

#[derive(Deserialize)]
struct Rocm {
    build: Vec<RocmBuild>,
    #[serde(rename = "override")]
    overrides: Vec<Override>,
}

#[derive(Deserialize)]
struct RocmBuild {
    build: Accelerator,
    gfx: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Override {
    value: String,
    target: String,
    practised: BTreeSet<String>,
    tried: BTreeSet<String>,
}

/// What packages need and do not say.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Extensions {
    agreement: Vec<Agreement>,
    host_need: Vec<HostNeed>,
    undeclared: Vec<Undeclared>,
    #[serde(default)]
    provided: Vec<Provided>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Agreement {
    rule: String,
    built_with_torch: Option<BuiltWithTorch>,
    #[serde(default)]
    member: Vec<Member>,
}

#[derive(Deserialize)]
struct BuiltWithTorch {
    packages: BTreeSet<String>,
    /// `exact` or `major`
    value: String,
}

#[derive(Deserialize)]
struct Member {
    package: String,
    #[serde(default)]
    versions: VersionSpecifiers,
    value: Option<String>,
    values: Option<BTreeSet<String>>,
    on: Option<Vec<String>>,
    index: Option<String>,
}

#[derive(Deserialize)]
struct HostNeed {
    package: String,
    #[serde(default)]
    versions: VersionSpecifiers,
    cuda: Version,
}

#[derive(Deserialize)]
struct Undeclared {
    package: String,
    #[serde(default)]
    versions: VersionSpecifiers,
    requires: Vec<String>,
    accelerator: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Provided {
    package: String,
    accelerator: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Gpus {
    family: Vec<Family>,
}

#[derive(Deserialize)]
struct Family {
    vendor: String,
    gpus: Vec<Model>,
}

/// A GPU as the table has it.
#[derive(Deserialize)]
pub struct Model {
    pub name: String,
    pub compute_capability: Option<String>,
    pub gfx: Option<String>,
    pub xpu: Option<bool>,
    #[serde(default)]
    pci: Vec<String>,
}

/// A planned package, as far as agreements ask.
pub struct Chosen<'a> {
    pub name: &'a str,
    pub version: &'a Version,
    /// It comes from a torch index.
    pub from_torch_index: bool,
}

#[derive(Deserialize)]
struct Apple {
    mps: Vec<Mps>,
}

#[derive(Deserialize)]
struct Mps {
    torch: Version,
    macos: Version,
}

impl Facts {
    /// Reads the tables.
    pub fn read() -> Self {
        Self {
            cuda: table!("cuda.toml"),
            torch: table!("torch.toml"),
            rocm: table!("rocm.toml"),
            apple: table!("apple.toml"),
            extensions: table!("extensions.toml"),
            gpus: table!("gpus.toml"),
        }
    }

    /// The lowest driver that starts programs made with a toolkit.
    pub fn driver_floor(&self, cuda: &Version, windows: bool) -> Option<&Version> {
        let major = cuda.release().first()?;
        let mut minor = self.cuda.minor_compatibility.iter();
        let compatible = minor.rfind(|row| row.major == *major && row.since <= *cuda);
        if let Some(row) = compatible {
            return Some(if windows { &row.windows } else { &row.linux });
        }
        let own = self
            .cuda
            .toolkit
            .iter()
            .find(|toolkit| toolkit.version == *cuda)?;
        if windows {
            own.windows.as_ref()
        } else {
            own.linux.as_ref()
        }
    }

    /// Whether a driver compiles the PTX of a toolkit.
    fn compiles_ptx(&self, cuda: &Version, driver: &Version, windows: bool) -> bool {
        let own = self
            .cuda
            .toolkit
            .iter()
            .find(|toolkit| toolkit.version == *cuda);
        let since = own.and_then(|own| {
            if windows {
                own.windows.as_ref()
            } else {
                own.linux.as_ref()
            }
        });
        since.is_some_and(|since| since <= driver)
    }

    /// Why a host's driver does not serve a GPU at all, or not with ordinary wheels.
    pub fn driver_serves(&self, host: &Host, gpu: &Gpu, driver: &Version) -> Result<(), String> {
        let windows = drivers_of_windows(host);
        let Some((major, minor)) = gpu.compute_capability else {
            return Err(format!(
                "the compute capability of the {} is not known",
                gpu.name
            ));
        };
        let name = format!("{major}.{minor}");
        let row = self
            .cuda
            .architecture
            .iter()
            .find(|row| row.capabilities.contains(&name));
        let Some(row) = row else { return Ok(()) };
        let first = if windows {
            row.windows.as_ref()
        } else {
            row.linux.as_ref()
        };
        if let Some(first) = first.filter(|first| *first > driver) {
            return Err(format!(
                "driver {driver} does not know the {}: {first} does",
                gpu.name
            ));
        }
        if let Some(tegra) = &row.tegra {
            let lowest = tegra.ordinary_wheels_driver.as_ref();
            if lowest.is_none_or(|lowest| lowest > driver) {
                return Err(format!(
                    "wheels do not run on the {} with this JetPack",
                    gpu.name
                ));
            }
        }
        let branch = driver.release().first();
        if let Some(last) = row
            .last_branch
            .filter(|last| branch.is_some_and(|b| b > last))
        {
            return Err(format!(
                "driver {driver} no longer serves the {}: {last} did",
                gpu.name
            ));
        }
        Ok(())
    }

    /// Why a toolkit makes no code for a GPU any more.
    pub fn toolkit_serves(&self, cuda: &Version, gpu: &Gpu) -> Result<(), String> {
        let (major, minor) = gpu.compute_capability.unwrap_or_default();
        let name = format!("{major}.{minor}");
        let mut rows = self.cuda.architecture.iter();
        let row = rows.find(|row| row.capabilities.contains(&name));
        let last = row.and_then(|row| row.last_toolkit.as_ref());
        match last.filter(|last| *last < cuda) {
            Some(last) => Err(format!(
                "CUDA {last} was the last for compute capability {name}"
            )),
            None => Ok(()),
        }
    }

    fn release(&self, torch: &Version) -> Option<&Release> {
        let mut releases = self.torch.torch.iter();
        releases.find(|row| torch.release().starts_with(row.release.release()))
    }

    /// The build that a version of torch is: told by its local part, or by where it came from.
    pub fn torch_build(&self, torch: &Version, host: &Host) -> Result<Accelerator, String> {
        if torch.is_local() {
            let local = torch.to_string();
            let (_, build) = local.split_once('+').unwrap();
            return build
                .parse()
                .map_err(|_| format!("torch {torch} is of no known build"));
        }
        let platform = platform(host);
        let release = self
            .release(torch)
            .ok_or(format!("torch {torch} is not in the tables"))?;
        let default = release.default.get(&platform).copied();
        default.ok_or(format!("torch {torch} has no default build for {platform}"))
    }

    /// Whether a CUDA build of torch holds code for a GPU.
    pub fn cuda_code(
        &self,
        torch: &Version,
        build: Accelerator,
        host: &Host,
        gpu: &Gpu,
        driver: &Version,
    ) -> Result<(), String> {
        let release = self
            .release(torch)
            .ok_or(format!("torch {torch} is not in the tables"))?;
        let arm = host.cpu.arch == Arch::Aarch64;
        let builds = if arm {
            &release.builds_aarch64
        } else {
            &release.builds
        };
        let code = builds
            .get(&build)
            .ok_or(format!("torch {torch} has no {build} build"))?;
        let has = gpu
            .compute_capability
            .ok_or("its compute capability is not known".to_owned())?;
        let windows = drivers_of_windows(host);
        let runs = code.iter().any(|text| {
            let (number, ptx) = match text.strip_suffix("+PTX") {
                Some(number) => (number, host.os.family == Os::Linux),
                None => (text.as_str(), false),
            };
            let (major, minor) = number.split_once('.').unwrap();
            let of: (u16, u16) = (major.parse().unwrap(), minor.parse().unwrap());
            let native = of.0 == has.0 && of.1 <= has.1;
            native || ptx && of <= has && self.compiles_ptx(&cuda_version(build), driver, windows)
        });
        if runs {
            return Ok(());
        }
        Err(format!(
            "torch {torch} for {build} holds code for {}, not for {has:?}",
            code.join(" ")
        ))
    }

    /// Whether a ROCm build of torch holds code for a GPU. `relatives`: or for one that it may pass
    /// as.
    pub fn rocm_code(
        &self,
        torch: &Version,
        build: Accelerator,
        gfx: &str,
        relatives: bool,
    ) -> Result<(), String> {
        let release = self.release(torch);
        let release = release.ok_or(format!("torch {torch} is not in the tables"))?;
        if !release.rocm.contains(&build) {
            return Err(format!("torch {torch} has no {build} build"));
        }
        if self.rocm_native(build, gfx) || relatives && !self.rocm_overrides(build, gfx).is_empty()
        {
            return Ok(());
        }
        Err(format!("{build} has no code for {gfx}"))
    }

    /// Whether a ROCm build holds code for exactly this GPU.
    pub fn rocm_native(&self, build: Accelerator, gfx: &str) -> bool {
        let mut rows = self.rocm.build.iter();
        rows.any(|row| row.build == build && row.gfx.contains(gfx))
    }

    /// The values of `HSA_OVERRIDE_GFX_VERSION` with which a GPU runs a build's code.
    pub fn rocm_overrides(&self, build: Accelerator, gfx: &str) -> Vec<&str> {
        let rules = self.rocm.overrides.iter().filter(|rule| {
            let known = rule.practised.contains(gfx) || rule.tried.contains(gfx);
            known && self.rocm_native(build, &rule.target)
        });
        rules.map(|rule| rule.value.as_str()).collect()
    }

    /// Whether a release of torch has a build for Intel GPUs on a host's platform.
    pub fn xpu(&self, torch: &Version, host: &Host) -> bool {
        self.release(torch)
            .is_some_and(|release| release.xpu.contains(&platform(host)))
    }

    /// Whether torch uses the GPU of a Mac with this macOS.
    pub fn mps(&self, torch: &Version, macos: &Version) -> Result<(), String> {
        let row = self
            .apple
            .mps
            .iter()
            .filter(|row| row.torch <= *torch)
            .max_by_key(|row| &row.torch);
        match row {
            Some(row) if row.macos <= *macos => Ok(()),
            Some(row) => Err(format!(
                "torch {torch} uses the GPU from macOS {} on",
                row.macos
            )),
            None => Err(format!("torch {torch} does not use the GPU of a Mac")),
        }
    }

    /// The rules about what packages must have in common that a set breaks, each with its members.
    pub fn broken_agreements(&self, host: &Host, chosen: &[Chosen<'_>]) -> Vec<String> {
        let mut broken = Vec::new();
        for agreement in &self.extensions.agreement {
            let mut members: Vec<(String, BTreeSet<String>)> = Vec::new();
            for package in chosen {
                if let Some(values) = self.values(agreement, host, package) {
                    members.push((format!("{} {}", package.name, package.version), values));
                }
            }
            let Some((_, first)) = members.first() else {
                continue;
            };
            let common = members.iter().fold(first.clone(), |common, (_, values)| {
                common.intersection(values).cloned().collect()
            });
            if common.is_empty() {
                let names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
                broken.push(format!("{}: {}", names.join(", "), agreement.rule));
            }
        }
        broken
    }

    /// The values that a package has in an agreement, if it takes part.
    fn values(
        &self,
        agreement: &Agreement,
        host: &Host,
        package: &Chosen<'_>,
    ) -> Option<BTreeSet<String>> {
        let os = platform(host);
        let os = os.split('-').next().unwrap();
        let member = agreement.member.iter().find(|member| {
            member.package == package.name
                && member.versions.contains(package.version)
                && member
                    .on
                    .as_ref()
                    .is_none_or(|on| on.iter().any(|name| name == os))
                && (member.index.is_none() || !package.from_torch_index)
        });
        if let Some(member) = member {
            let one = || [member.value.clone().unwrap_or(member.package.clone())].into();
            return Some(member.values.clone().unwrap_or_else(one));
        }
        let built = agreement.built_with_torch.as_ref()?;
        if !built.packages.contains(package.name) || host.os.family == Os::Macos {
            return None;
        }
        let build = self.build_of(host, package)?;
        let value = match (build, built.value.as_str()) {
            (Accelerator::Cuda(major, minor), "exact") => format!("CUDA {major}.{minor}"),
            (Accelerator::Rocm(major, minor), "exact") => format!("ROCm {major}.{minor}"),
            (Accelerator::Cuda(major, _), _) => format!("CUDA {major}"),
            (Accelerator::Rocm(major, _), _) => format!("ROCm {major}"),
            (Accelerator::Xpu, _) => "XPU".to_owned(),
            (Accelerator::Cpu | Accelerator::Mps, _) => "the processor".to_owned(),
        };
        Some([value].into())
    }

    /// The build that torch or a companion is, where that is known.
    fn build_of(&self, host: &Host, package: &Chosen<'_>) -> Option<Accelerator> {
        let text = package.version.to_string();
        if let Some((_, local)) = text.split_once('+') {
            return local.parse().ok();
        }
        if package.name == "torch" {
            return self.torch_build(package.version, host).ok();
        }
        let release = self.torch.torch.iter().find(|release| {
            release.version.iter().any(|patch| match package.name {
                "torchvision" => patch.torchvision == *package.version,
                "torchaudio" => patch.torchaudio.as_ref() == Some(package.version),
                _ => false,
            })
        })?;
        release.default.get(&platform(host)).copied()
    }

    /// The CUDA toolkits that packages of a set are made with, by package.
    pub fn toolkits<'f>(
        &'f self,
        name: &str,
        version: &Version,
    ) -> impl Iterator<Item = &'f Version> {
        let rows = self.extensions.host_need.iter();
        rows.filter(move |row| row.package == name && row.versions.contains(version))
            .map(|row| &row.cuda)
    }

    /// Requirements of a package that its metadata forgets.
    pub fn undeclared<'f>(
        &'f self,
        name: &str,
        version: &Version,
        accelerator: Accelerator,
    ) -> impl Iterator<Item = &'f str> {
        let kind = accelerator.kind();
        let rows = self.extensions.undeclared.iter().filter(move |row| {
            row.package == name && row.versions.contains(version) && holds(&row.accelerator, kind)
        });
        rows.flat_map(|row| row.requires.iter().map(String::as_str))
    }

    /// Packages that need not be there with an accelerator.
    pub fn provided(&self, accelerator: Accelerator) -> Vec<&str> {
        let rows = self.extensions.provided.iter();
        let rows = rows.filter(|row| holds(&row.accelerator, accelerator.kind()));
        rows.map(|row| row.package.as_str()).collect()
    }

    /// A GPU in the table, by its PCI id.
    pub fn gpu(&self, pci_id: &str) -> Option<&Model> {
        let (vendor, device) = pci_id.split_once(':')?;
        let vendor = match vendor {
            "10de" => "nvidia",
            "1002" => "amd",
            _ => "intel",
        };
        let families = self
            .gpus
            .family
            .iter()
            .filter(|family| family.vendor == vendor);
        let mut models = families.flat_map(|family| &family.gpus);
        models.find(|model| {
            let mut ids = model.pci.iter();
            ids.any(|id| id.split(':').next() == Some(device))
        })
    }
}

/// Whether a row that names accelerators, or none, is about this one.
fn holds(accelerators: &Option<Vec<String>>, kind: &str) -> bool {
    accelerators
        .as_ref()
        .is_none_or(|known| known.iter().any(|known| known == kind))
}

/// Whether the driver's version is one of Windows: in WSL it is the driver outside.
pub fn drivers_of_windows(host: &Host) -> bool {
    host.os.family == Os::Windows || host.surroundings.wsl.is_some()
}

/// `linux-x86_64`
fn platform(host: &Host) -> String {
    let os = match host.os.family {
        Os::Linux => "linux",
        Os::Macos => "macos",
        Os::Windows => "windows",
    };
    let arch = match host.cpu.arch {
        Arch::X86_64 => "x86_64",
        Arch::Aarch64 => "aarch64",
    };
    format!("{os}-{arch}")
}

/// `cu128` as 12.8.
pub fn cuda_version(build: Accelerator) -> Version {
    match build {
        Accelerator::Cuda(major, minor) => Version::new([u64::from(major), u64::from(minor)]),
        _ => Version::new([0]),
    }
}
