//! CUDA builds for one NVIDIA GPU.

use super::{AcceleratorChoices, AcceleratorOption, Wanted, default_build, series};
use crate::{
    catalog::manifest::{AcceleratorKind, AcceleratorNeeds},
    compat::{
        cuda::{Capability, Code, CudaFacts},
        torch::TorchRelease,
    },
    host::{Gpu, Host, NvidiaDriver},
    index::IndexId,
    solve::{
        needs::{HostFact, HostNeed, HostValue, Origin},
        range::VersionSet,
    },
    types::{Accelerator, Arch, Os, Version},
};

/// An NVIDIA GPU with its driver.
pub struct Nvidia<'h> {
    gpu: &'h Gpu,
    pub capability: Capability,
    pub driver: &'h Version,
    /// The system the driver belongs to: in WSL it is the Windows one.
    driver_os: Os,
    os: Os,
    arch: Arch,
}

/// The kernel module of NVIDIA's driver.
const KERNEL_DRIVER: &str = "nvidia";

/// Whether CUDA sees a GPU at all and counts it, usable or not.
pub fn is_counted(host: &Host, gpu: &Gpu) -> bool {
    match gpu.compute_capability {
        None => held_by_another(host, gpu).is_none(),
        Some(_) => Nvidia::of(host, gpu).is_ok(),
    }
}

/// The kernel module that keeps a GPU from NVIDIA's driver. In WSL the driver is outside.
fn held_by_another<'g>(host: &Host, gpu: &'g Gpu) -> Option<&'g str> {
    let held = gpu.kernel_driver.as_deref();
    held.filter(|driver| *driver != KERNEL_DRIVER && host.surroundings.wsl.is_none())
}

/// The system that the NVIDIA driver belongs to: in WSL it is the Windows one.
pub fn driver_os(host: &Host) -> Os {
    match host.surroundings.wsl {
        Some(_) => Os::Windows,
        None => host.os.family,
    }
}

/// The lowest compute capability that a manifest asks for.
pub fn least_capability(needs: &AcceleratorNeeds) -> Option<Capability> {
    needs.min_compute_capability.as_ref()?.parse().ok()
}

/// Why a GPU is not for a tool that asks for a compute capability.
pub fn too_old(title: &str, least: Capability, nvidia: &Nvidia<'_>) -> String {
    let Nvidia {
        gpu, capability, ..
    } = nvidia;
    format!(
        "{title} needs compute capability {least}, the {} has {capability}",
        gpu.name
    )
}

/// Adds the builds for one GPU, or why there are none.
pub fn add(wanted: Wanted<'_>, choices: &mut AcceleratorChoices) {
    let nvidia = match Nvidia::of(wanted.host, wanted.gpu) {
        Ok(nvidia) => nvidia,
        Err(why) => return choices.reject(format!("CUDA: {why}")),
    };
    let capability = nvidia.capability;
    let least = least_capability(wanted.needs);
    if let Some(least) = least.filter(|least| capability < *least) {
        let why = too_old(wanted.title, least, &nvidia);
        return choices.reject(format!("CUDA: {why}"));
    }
    let served_before = choices.options.iter().any(|option| {
        option.kind == AcceleratorKind::Cuda
            && option.gpu.is_some_and(|at| {
                let other = wanted.host.gpus[at].compute_capability;
                other == Some((capability.0, capability.1))
            })
    });
    // Equal cards get equal builds.
    if !served_before {
        add_builds(wanted, &nvidia, choices);
    }
}

fn add_builds(wanted: Wanted<'_>, nvidia: &Nvidia<'_>, choices: &mut AcceleratorChoices) {
    let gpu = &nvidia.gpu.name;
    let driver = nvidia.spelled();
    let builds = wanted.torch.cuda_builds(nvidia.arch).into_iter();
    let acceptable = builds.filter(|build| wanted.accepts(*build));
    let (runs, too_new): (Vec<_>, Vec<_>) = acceptable.partition(|build| nvidia.runs(*build));
    if let Some(nearest) = too_new.last()
        && let Some(floor) = CudaFacts::embedded().floor(*nearest, nvidia.driver_os)
    {
        choices.reject(format!(
            "CUDA: builds from {nearest} on need driver {} or newer, this one is {driver}",
            NvidiaDriver::spelled(floor),
        ));
    }
    let (native, compatible): (Vec<Accelerator>, Vec<Accelerator>) = runs
        .iter()
        .copied()
        .partition(|build| nvidia.runs_natively(*build));
    let before = choices.options.len();
    let option = |accelerator, torch_index, torch_needs, why| AcceleratorOption {
        gpu: Some(wanted.at),
        host: nvidia.facts(),
        torch_needs,
        ..AcceleratorOption::new(accelerator, torch_index, why)
    };
    let releases = || wanted.torch.torch.iter();
    for &build in native.iter().chain(&compatible) {
        if !releases().any(|release| nvidia.is_served(release, build)) {
            continue;
        }
        let needs = releases()
            .filter_map(|release| nvidia.needs(wanted, release, build, Origin::Torch))
            .flatten()
            .collect();
        let capability = nvidia.capability;
        let why = format!(
            "driver {driver} runs it{} and it has code for the {gpu} ({capability})",
            nvidia.compatibly(build)
        );
        choices
            .options
            .push(option(build, Some(IndexId::Torch(build)), needs, why));
    }
    // Only on Linux does the default index carry CUDA builds of torch.
    if nvidia.os == Os::Linux && !runs.is_empty() {
        let needs = releases()
            .filter_map(|release| {
                let build = default_build(release, nvidia.os, nvidia.arch);
                nvidia.needs(wanted, release, build, Origin::Default)
            })
            .flatten()
            .collect();
        let why = format!("driver {driver} runs it and it has code for the {gpu}");
        choices.options.push(option(runs[0], None, needs, why));
    }
    if choices.options.len() == before && too_new.is_empty() {
        choices.reject(format!(
            "CUDA: no build of torch that this tool accepts has code for the {gpu} (compute \
             capability {})",
            nvidia.capability
        ));
    }
}

impl<'h> Nvidia<'h> {
    /// A GPU that its driver drives, or why it does not.
    pub fn of(host: &'h Host, gpu: &'h Gpu) -> Result<Self, String> {
        let name = &gpu.name;
        let driver = host.nvidia.as_ref().and_then(|n| n.version.as_ref());
        let Some(driver) = driver else {
            return Err(match gpu.kernel_driver.as_deref() {
                Some(KERNEL_DRIVER) | None => format!("the {name} has no working NVIDIA driver"),
                Some(other) => format!(
                    "the {name} has no working NVIDIA driver (the kernel's `{other}` holds it)"
                ),
            });
        };
        if let Some(other) = held_by_another(host, gpu) {
            return Err(format!(
                "the {name} is held by the kernel's `{other}`, not by NVIDIA's driver"
            ));
        }
        let Some((major, minor)) = gpu.compute_capability else {
            return Err(format!(
                "the {name} has a compute capability that is not known; its driver would tell \
                 (`nvidia-smi --query-gpu=compute_cap --format=csv`)"
            ));
        };
        let this = Self {
            gpu,
            capability: Capability(major, minor),
            driver,
            driver_os: driver_os(host),
            os: host.os.family,
            arch: host.cpu.arch,
        };
        match this.not_driven(host) {
            Some(why) => Err(why),
            None => Ok(this),
        }
    }

    /// Why the driver does not drive the GPU, or the ordinary wheels do not run on it.
    fn not_driven(&self, host: &Host) -> Option<String> {
        let facts = CudaFacts::embedded();
        let name = &self.gpu.name;
        let architecture = facts.architecture(self.capability)?;
        let generation = &architecture.name;
        if host.surroundings.wsl == Some(1) {
            return Some(
                "WSL 1 gives programs no GPU; `wsl --set-version` makes it WSL 2".to_owned(),
            );
        }
        if let Some(tegra) = &architecture.tegra {
            let runs = tegra.ordinary_wheels_driver.as_ref();
            return runs.is_none_or(|lowest| !self.reaches(lowest)).then(|| {
                format!(
                    "the {name} is part of a Jetson, whose CUDA comes with JetPack; the wheels of \
                     the torch indexes do not run on it"
                )
            });
        }
        if let Some(lowest) = architecture.lowest_driver(self.driver_os)
            && !self.reaches(lowest)
        {
            return Some(format!(
                "driver {} does not know the {name} ({generation}); it needs {} or newer",
                self.spelled(),
                NvidiaDriver::spelled(lowest)
            ));
        }
        let branch = self.driver.release().first().copied().unwrap_or(0);
        let last = architecture.last_branch.map(u64::from);
        last.filter(|last| branch > *last).map(|last| {
            format!(
                "driver {} no longer drives the {name} ({generation}); {last} is the last branch \
                 that does",
                self.spelled()
            )
        })
    }

    /// The driver as NVIDIA spells it.
    fn spelled(&self) -> String {
        NvidiaDriver::spelled(self.driver)
    }

    fn reaches(&self, lowest: &Version) -> bool {
        CudaFacts::reaches(self.driver, lowest)
    }

    /// The GPU's name.
    pub fn name(&self) -> &str {
        &self.gpu.name
    }

    /// The system the driver belongs to.
    pub fn driver_os(&self) -> Os {
        self.driver_os
    }

    /// Whether the driver is new enough for a build.
    pub fn runs(&self, build: Accelerator) -> bool {
        let floor = CudaFacts::embedded().floor(build, self.driver_os);
        floor.is_some_and(|floor| floor <= self.driver)
    }

    fn runs_natively(&self, build: Accelerator) -> bool {
        let native = CudaFacts::embedded().native(build, self.driver_os);
        native.is_none_or(|native| self.reaches(native))
    }

    /// How it runs a build that is newer than the driver.
    fn compatibly(&self, build: Accelerator) -> String {
        match CudaFacts::embedded().native(build, self.driver_os) {
            Some(native) if !self.reaches(native) => format!(
                " by minor-version compatibility (its own is {})",
                NvidiaDriver::spelled(native)
            ),
            _ => String::new(),
        }
    }

    /// Whether a build of a release was published for this system and has code for the GPU.
    pub fn is_served(&self, release: &TorchRelease, build: Accelerator) -> bool {
        self.code(release, build)
            .is_some_and(|code| self.served(code, build).contains(&self.version()))
    }

    fn code<'r>(&self, release: &'r TorchRelease, build: Accelerator) -> Option<&'r [Code]> {
        if self.os == Os::Windows && release.not_on_windows.contains(&build) {
            return None;
        }
        release.code(build, self.arch)
    }

    /// The compute capability as a version.
    fn version(&self) -> Version {
        version_of(self.capability)
    }

    /// The driver and the GPU as the solver knows them.
    fn facts(&self) -> Vec<(HostFact, HostValue)> {
        let value = |version: Version, owner: String| HostValue { version, owner };
        vec![
            (
                HostFact::NvidiaDriver,
                value(self.driver.clone(), "this machine".to_owned()),
            ),
            (
                HostFact::ComputeCapability,
                value(self.version(), format!("the {}", self.gpu.name)),
            ),
        ]
    }

    /// What a release of torch needs in one of its CUDA builds, if the table knows the build.
    fn needs(
        &self,
        wanted: Wanted<'_>,
        release: &TorchRelease,
        build: Accelerator,
        origin: Origin,
    ) -> Option<Vec<HostNeed>> {
        let need = |fact, set, because| HostNeed {
            versions: series(release, wanted.torch),
            origin: Some(origin),
            fact,
            wanted: set,
            because,
        };
        if build == Accelerator::Cpu {
            // The default index has this release for the processor only.
            return Some(vec![need(
                HostFact::ComputeCapability,
                VersionSet::empty(),
                "built for the processor".to_owned(),
            )]);
        }
        let code = self.code(release, build)?;
        let floor = CudaFacts::embedded().floor(build, self.driver_os)?;
        let because = format!("built for {build}");
        Some(vec![
            need(
                HostFact::NvidiaDriver,
                VersionSet::higher_than(floor.clone()),
                because.clone(),
            ),
            need(
                HostFact::ComputeCapability,
                self.served(code, build),
                because,
            ),
        ])
    }

    /// The compute capabilities that code serves: machine code its own and the later ones of its
    /// major version; PTX all later ones, where the driver can compile it.
    fn served(&self, code: &[Code], build: Accelerator) -> VersionSet {
        let machine = code.iter().map(|code| {
            let next = Capability(code.capability.0 + 1, 0);
            VersionSet::between(version_of(code.capability), version_of(next))
        });
        let compiled = code
            .iter()
            .filter(|code| code.ptx && self.runs_natively(build))
            .map(|code| VersionSet::higher_than(version_of(code.capability)));
        machine
            .chain(compiled)
            .fold(VersionSet::empty(), |all, one| all.union(&one))
    }
}

fn version_of(capability: Capability) -> Version {
    Version::new([u64::from(capability.0), u64::from(capability.1)])
}
