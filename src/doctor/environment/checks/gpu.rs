//! `environment.gpu`: is the installed torch a build for the GPUs of this machine, and for their
//! driver?

use crate::{
    compat::{
        apple::AppleFacts,
        capability::Capability,
        cuda::CudaFacts,
        rocm::{OVERRIDE_VARIABLE, RocmFacts},
        torch::{TorchFacts, TorchRelease},
    },
    doctor::{
        Cause, Fix,
        environment::{Subject, TorchBuild},
        machine::Verdict,
        remedy::{System, remedy},
    },
    host::{Gpu, GpuVendor, NvidiaDriver},
    types::{Accelerator, Arch, Os, Version},
};

/// Judges torch's build.
pub fn check(subject: &Subject<'_>) -> Vec<Verdict> {
    let Some(torch) = &subject.torch else {
        return Vec::new();
    };
    let verdict = match torch.accelerator() {
        Accelerator::Cpu if subject.host.os.family == Os::Macos => mps(subject, torch),
        Accelerator::Cpu => without_gpu(subject, torch),
        build @ Accelerator::Cuda(..) => cuda(subject, torch, build),
        build @ Accelerator::Rocm(..) => rocm(subject, torch, build),
        Accelerator::Xpu | Accelerator::Mps => None,
    };
    let works = || Verdict::works(torch.spelled("torch"));
    vec![verdict.unwrap_or_else(works)]
}

fn gpus<'s>(subject: &'s Subject<'_>, vendor: GpuVendor) -> impl Iterator<Item = &'s Gpu> {
    let gpus = subject.host.gpus.iter();
    // What is built into a processor is no reason to install gigabytes.
    gpus.filter(move |gpu| gpu.vendor == vendor && !gpu.integrated)
}

fn release_of(torch: &TorchBuild) -> Option<&'static TorchRelease> {
    let wanted = torch.public();
    let of =
        |version: &Version| -> Vec<u64> { version.release().iter().take(2).copied().collect() };
    let mut releases = TorchFacts::embedded().torch.iter();
    releases.find(|release| of(&release.release) == of(&wanted))
}

/// The set to install in another build: torch with those of its companions that are there.
fn family(subject: &Subject<'_>, torch: &TorchBuild, keep_version: bool) -> Vec<String> {
    let mut set = vec![match keep_version {
        true => format!("torch=={}", torch.public()),
        false => "torch".to_owned(),
    }];
    for name in ["torchvision", "torchaudio"] {
        if subject.installed.get(name).is_some() {
            set.push(name.to_owned());
        }
    }
    set
}

fn install(subject: &Subject<'_>, torch: &TorchBuild, build: Accelerator, keep: bool) -> Fix {
    let set = family(subject, torch, keep);
    let words: Vec<&str> = set.iter().map(String::as_str).collect();
    let text = format!("Install the build for {build}, with its companions, from one index");
    match subject.commands.tool() {
        Some(tool) => Fix {
            text: format!("Plan the tool for this machine again, with the build {build}"),
            command: Some(format!("aienv install {tool} --accel {build}")),
        },
        None => subject.commands.install_torch(&text, &words, build),
    }
}

fn capability(gpu: &Gpu) -> Option<Capability> {
    gpu.compute_capability
        .map(|(major, minor)| Capability(major, minor))
}

fn driver<'s>(subject: &'s Subject<'_>) -> Option<&'s Version> {
    subject.host.nvidia.as_ref()?.version.as_ref()
}

/// The newest CUDA build of a release that a GPU and the driver can run.
fn best_cuda(subject: &Subject<'_>, release: &TorchRelease, gpu: &Gpu) -> Option<Accelerator> {
    let (arch, os) = (subject.host.cpu.arch, subject.host.os.family);
    let builds = match arch {
        Arch::X86_64 => release.builds.keys(),
        Arch::Aarch64 => release.builds_aarch64.keys(),
    };
    builds.rev().copied().find(|build| {
        let has_code = capability(gpu)
            .is_none_or(|capability| release.has_code(*build, arch, capability) == Some(true));
        let floor = CudaFacts::embedded().floor(*build, os);
        let is_driven =
            driver(subject).is_none_or(|driver| floor.is_none_or(|floor| driver >= floor));
        let is_there = os != Os::Windows || !release.not_on_windows.contains(build);
        has_code && is_driven && is_there
    })
}

/// The newest build of the newest release that fits, where the installed release has none.
fn best_of_any(subject: &Subject<'_>, gpu: &Gpu) -> Option<(Version, Accelerator)> {
    let mut releases = TorchFacts::embedded().torch.iter();
    releases.find_map(|release| {
        let build = best_cuda(subject, release, gpu)?;
        Some((release.release.clone(), build))
    })
}

fn without_gpu(subject: &Subject<'_>, torch: &TorchBuild) -> Option<Verdict> {
    let nvidia = gpus(subject, GpuVendor::Nvidia).next();
    let amd = gpus(subject, GpuVendor::Amd).next();
    let gpu = nvidia.or(amd)?;
    let title = format!(
        "{} is installed, and the machine has a {}",
        torch.spelled("torch"),
        gpu.name
    );
    // A tool was planned for the processor because the plan found nothing better, or was told to.
    if subject.commands.tool().is_some() {
        return Some(
            Verdict::note(title)
                .because("The tool was planned for the processor.")
                .advise_running(
                    "See what keeps it from the GPU",
                    format!("aienv plan {}", subject.commands.tool().unwrap_or_default()),
                ),
        );
    }
    let mut verdict = Verdict::problem(title)
        .cause(Cause::TorchCpuBuild)
        .because(
            "This build has no code for any GPU: `torch.cuda.is_available()` is false whatever the \
             driver. The package index has such builds for Windows and for 64-bit Arm, conda \
             installs them when it finds no GPU, and requirements of other packages bring them \
             back.",
        )
        .seen("torch/version.py names neither CUDA nor HIP");
    let release = release_of(torch);
    let build = match gpu.vendor {
        GpuVendor::Amd if subject.host.os.family == Os::Linux => {
            release.and_then(|release| best_rocm(release, gpu))
        }
        GpuVendor::Amd => None,
        _ => release.and_then(|release| best_cuda(subject, release, gpu)),
    };
    if let Some(build) = build {
        verdict = verdict.fix(install(subject, torch, build, true));
    } else if let Some((_, build)) = nvidia.and_then(|gpu| best_of_any(subject, gpu)) {
        verdict = verdict.fix(install(subject, torch, build, false));
    }
    if let Some(fix) = subject
        .commands
        .conda_install("Or, with conda, ask for the GPU build", &["pytorch-gpu"])
        .filter(|_| subject.installed.conda.contains_key("pytorch"))
    {
        verdict = verdict.fix(fix);
    }
    Some(verdict)
}

fn best_rocm(release: &TorchRelease, gpu: &Gpu) -> Option<Accelerator> {
    let gfx = gpu.gfx.as_deref()?;
    let facts = RocmFacts::embedded();
    let mut builds = release.rocm.iter().copied();
    builds.find(|build| {
        let known = facts.build(*build);
        known.is_some_and(|known| known.has_code(gfx, &release.release))
    })
}

fn cuda(subject: &Subject<'_>, torch: &TorchBuild, build: Accelerator) -> Option<Verdict> {
    let host = subject.host;
    let Some(gpu) = gpus(subject, GpuVendor::Nvidia).next() else {
        let amd = gpus(subject, GpuVendor::Amd).next()?;
        return Some(on_amd(subject, torch, amd));
    };
    let facts = CudaFacts::embedded();
    let floor = facts.floor(build, host.os.family);
    if let (Some(driver), Some(floor)) = (driver(subject), floor)
        && driver < floor
        && !(facts.forward_compatible(build, driver) && has_compatibility_package(subject))
    {
        return Some(driver_too_old(subject, torch, gpu, driver, floor));
    }
    let capability = capability(gpu)?;
    let release = release_of(torch)?;
    if release.has_code(build, host.cpu.arch, capability)? {
        return None;
    }
    Some(no_code(subject, torch, release, gpu, capability))
}

/// NVIDIA's package for newer programs on older drivers is used through `LD_LIBRARY_PATH`.
fn has_compatibility_package(subject: &Subject<'_>) -> bool {
    let folders = subject.variables.folders("LD_LIBRARY_PATH");
    folders.iter().any(|folder| {
        folder.iter().any(|part| part == "compat") && folder.join("libcuda.so.1").exists()
    })
}

fn driver_too_old(
    subject: &Subject<'_>,
    torch: &TorchBuild,
    gpu: &Gpu,
    driver: &Version,
    floor: &Version,
) -> Verdict {
    let spelled = NvidiaDriver::spelled(driver);
    let wanted = NvidiaDriver::spelled(floor);
    let mut verdict = Verdict::problem(format!(
        "driver {spelled} is too old for {}",
        torch.spelled("torch")
    ))
    .cause(Cause::DriverTooOld)
    .because(format!(
        "Programs of this CUDA release need driver {wanted} or newer. torch then says that the \
         NVIDIA driver on your system is too old, and computes on the processor."
    ))
    .seen(format!("driver {spelled}, needed {wanted}"));
    let release = release_of(torch);
    if let Some(build) = release.and_then(|release| best_cuda(subject, release, gpu)) {
        verdict = verdict.fix(install(subject, torch, build, true));
    } else if let Some((_, build)) = best_of_any(subject, gpu) {
        verdict = verdict.fix(install(subject, torch, build, false));
    }
    let system = System::of(subject.host);
    verdict.fix(remedy(
        "update-nvidia-driver",
        &system,
        &[("wanted", &wanted)],
    ))
}

fn no_code(
    subject: &Subject<'_>,
    torch: &TorchBuild,
    release: &TorchRelease,
    gpu: &Gpu,
    capability: Capability,
) -> Verdict {
    let build = torch.accelerator();
    let arch = subject.host.cpu.arch;
    let newest = release
        .code(build, arch)
        .and_then(|codes| codes.iter().map(|code| code.capability).max());
    let is_newer = newest.is_some_and(|newest| capability > newest);
    let (cause, why) = match is_newer {
        true => (
            Cause::ArchTooNew,
            "The build was made before this GPU. torch starts, and the first operation ends with \
             `no kernel image is available`.",
        ),
        false => (
            Cause::ArchDropped,
            "Builds for this CUDA release no longer hold code for GPUs of this age. torch starts, \
             and the first operation ends with `no kernel image is available`.",
        ),
    };
    let mut verdict = Verdict::problem(format!(
        "{} has no code for a {}",
        torch.spelled("torch"),
        gpu.name
    ))
    .cause(cause)
    .because(why)
    .seen(format!("the GPU has compute capability {capability}"));
    if let Some(codes) = release.code(build, arch) {
        let list: Vec<String> = codes
            .iter()
            .map(|code| code.capability.to_string())
            .collect();
        verdict = verdict.seen(format!("the build has code for {}", list.join(", ")));
    }
    if let Some(build) = best_cuda(subject, release, gpu) {
        return verdict.fix(install(subject, torch, build, true));
    }
    match best_of_any(subject, gpu) {
        Some((release, build)) => {
            let mut fix = install(subject, torch, build, false);
            fix.text = format!("Install torch {release} or newer in the build {build}");
            verdict.fix(fix)
        }
        None => verdict.advise("No released build has code for this GPU; use the processor"),
    }
}

fn on_amd(subject: &Subject<'_>, torch: &TorchBuild, gpu: &Gpu) -> Verdict {
    let verdict = Verdict::problem(format!(
        "{} is installed, and the machine has a {}",
        torch.spelled("torch"),
        gpu.name
    ))
    .cause(Cause::CudaTorchOnAmd)
    .because("CUDA is NVIDIA's. On AMD's GPUs torch needs its ROCm build.")
    .seen("torch/version.py names CUDA");
    let build = release_of(torch).and_then(|release| best_rocm(release, gpu));
    match (build, subject.host.os.family) {
        (Some(build), Os::Linux) => verdict.fix(install(subject, torch, build, true)),
        (_, Os::Windows) => verdict.advise(
            "Install AMD's own ROCm wheels for Windows, or use a program with DirectML or Vulkan",
        ),
        _ => verdict.advise("Install a ROCm build that names this GPU"),
    }
}

fn rocm(subject: &Subject<'_>, torch: &TorchBuild, build: Accelerator) -> Option<Verdict> {
    let mut amd = subject
        .host
        .gpus
        .iter()
        .filter(|gpu| gpu.vendor == GpuVendor::Amd);
    let Some(gpu) = amd.next() else {
        let nvidia = gpus(subject, GpuVendor::Nvidia).next()?;
        let release = release_of(torch)?;
        let mut verdict = Verdict::problem(format!(
            "{} is installed, and the machine has a {}",
            torch.spelled("torch"),
            nvidia.name
        ))
        .cause(Cause::TorchCpuBuild)
        .because("ROCm is AMD's. On NVIDIA's GPUs torch needs a CUDA build.")
        .seen("torch/version.py names HIP");
        if let Some(build) = best_cuda(subject, release, nvidia) {
            verdict = verdict.fix(install(subject, torch, build, true));
        }
        return Some(verdict);
    };
    let gfx = gpu.gfx.as_deref()?;
    let facts = RocmFacts::embedded();
    let known = facts.build(build)?;
    if known.has_code(gfx, &torch.public()) {
        return None;
    }
    if subject.variables.get(OVERRIDE_VARIABLE).is_some() {
        return None;
    }
    let title = format!(
        "{} has no code for {gfx} ({})",
        torch.spelled("torch"),
        gpu.name
    );
    if let Some(found) = facts.override_for(gfx, build) {
        return Some(
            Verdict::problem(title)
                .cause(Cause::GfxNeedsOverride)
                .because(format!(
                    "The build has code for {}, whose instructions this GPU has too; told to, \
                     ROCm takes it for one.",
                    found.target
                ))
                .advise_running(
                    "Set the variable for every start",
                    format!("export {OVERRIDE_VARIABLE}={}", found.value),
                )
                .seen(format!("the GPU is {gfx}")),
        );
    }
    Some(
        Verdict::problem(title)
            .cause(Cause::GfxNotInWheel)
            .because("The first operation on the GPU ends with an invalid device function.")
            .advise("Install a build of another ROCm release that names this GPU")
            .seen(format!("the GPU is {gfx}")),
    )
}

/// Apple's GPUs need a macOS that is new enough for the release of torch.
fn mps(subject: &Subject<'_>, torch: &TorchBuild) -> Option<Verdict> {
    let host = subject.host;
    if host.cpu.arch != Arch::Aarch64 {
        return None;
    }
    let floor = AppleFacts::embedded().mps_floor(&torch.public())?;
    let version: Version = host.os.version.parse().ok()?;
    (version < *floor).then(|| {
        Verdict::problem(format!(
            "macOS {version} is too old for the GPU with torch {}",
            torch.public()
        ))
        .cause(Cause::MacosTooOld)
        .because(format!("MPS of this release needs macOS {floor}."))
        .advise("Update macOS, or install an older torch")
        .seen(format!("macOS {version}, needed {floor}"))
    })
}
