//! `environment.engines`: inference engines whose packages overwrite each other, or that have no
//! library for the CUDA that is installed.

use std::{collections::BTreeSet, fs};

use crate::{
    doctor::{
        Cause,
        environment::{
            Subject,
            providers::{Library, Part},
            survey::Survey,
        },
        machine::Verdict,
    },
    host::GpuVendor,
    native::{Load, holds},
    types::{Accelerator, Os},
};

/// Packages that all bring the module `onnxruntime`; the first one is for processors only.
const ONNXRUNTIMES: &[&str] = &[
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-rocm",
    "onnxruntime-migraphx",
    "onnxruntime-qnn",
    "onnxruntime-training",
    "ort-nightly",
    "ort-nightly-gpu",
];

/// Judges the engines.
pub fn check(subject: &Subject<'_>, survey: &Survey<'_>) -> Vec<Verdict> {
    [
        onnxruntimes(subject),
        onnxruntime_cuda(subject, survey),
        bitsandbytes(subject),
        ctranslate2(subject, survey),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn has_nvidia(subject: &Subject<'_>) -> bool {
    let mut gpus = subject.host.gpus.iter();
    gpus.any(|gpu| gpu.vendor == GpuVendor::Nvidia)
}

fn onnxruntimes(subject: &Subject<'_>) -> Option<Verdict> {
    let found: Vec<&str> = ONNXRUNTIMES
        .iter()
        .copied()
        .filter(|name| subject.installed.get(name).is_some())
        .collect();
    let [first, .., last] = found[..] else {
        return None;
    };
    // Whoever asks for a GPU package means it; `onnxruntime` comes along as a requirement.
    let wanted = last;
    let version = subject.installed.version(wanted);
    let exact = version.map_or(wanted.to_owned(), |version| format!("{wanted}=={version}"));
    let on_disk = winner(subject, &found);
    let mut verdict = Verdict::problem(format!("{first} and {wanted} are both installed"))
        .cause(Cause::TwoOnnxruntimes)
        .because(
            "Both bring the module `onnxruntime`, and the files of the one installed last lie over \
             those of the other. When that is the one for processors, the GPU is not used; when the \
             versions differ, the import fails. Removing either damages the one that stays.",
        )
        .fix(subject.commands.replace(
            "Remove all of them, then install the one that is wanted",
            &found,
            &[&exact],
        ))
        .seen(
            found
                .iter()
                .filter_map(|name| Some(subject.installed.get(name)?.spelled()))
                .collect::<Vec<_>>()
                .join(", "),
        );
    if let Some(winner) = on_disk {
        verdict = verdict.seen(format!("the compiled module on disk is that of {winner}"));
    }
    Some(verdict)
}

/// The package whose compiled module is the one on disk, by size.
fn winner<'n>(subject: &Subject<'_>, names: &[&'n str]) -> Option<&'n str> {
    names.iter().copied().find(|name| {
        let files = subject.inventory.brought.get(*name).into_iter().flatten();
        files
            .filter(|file| {
                let path = file.path.to_string_lossy();
                path.contains("onnxruntime_pybind11_state")
            })
            .any(|file| {
                let size = fs::metadata(&file.path).ok().map(|metadata| metadata.len());
                size.is_some() && size == file.size
            })
    })
}

/// The CUDA part of onnxruntime is loaded when a session asks for it; without it the session goes
/// on with the processor and a warning.
fn onnxruntime_cuda(subject: &Subject<'_>, survey: &Survey<'_>) -> Option<Verdict> {
    if !has_nvidia(subject) {
        return None;
    }
    let package = subject.installed.get("onnxruntime-gpu")?;
    let name = match subject.environment.os {
        Os::Windows => "onnxruntime_providers_cuda.dll",
        _ => "libonnxruntime_providers_cuda.so",
    };
    let provider = subject.inventory.named(name).next()?;
    let bare = survey.bare().load(&provider.path);
    if is_content(&bare) {
        return None;
    }
    let after_torch = survey
        .after_torch()
        .map(|mut process| process.load(&provider.path));
    if after_torch.as_ref().is_some_and(is_content) {
        return Some(
            Verdict::note("onnxruntime finds CUDA only when torch is imported first")
                .because(
                    "Its CUDA libraries are those of torch, in folders where the loader does not \
                     look. A program that imports torch, or calls `onnxruntime.preload_dlls()` \
                     (1.21 and later), has them.",
                )
                .seen(missing(&bare).join(", ")),
        );
    }
    let missing = missing(after_torch.as_ref().unwrap_or(&bare));
    let folders = folders_of(survey, &missing);
    if folders.len() == missing.len() {
        return Some(
            Verdict::problem(format!(
                "{} does not find CUDA libraries that are installed",
                package.spelled()
            ))
            .cause(Cause::CudaLibsNotOnPath)
            .sure(0.85)
            .because(
                "They came as packages, into folders where the loader does not look. Without them \
                 sessions fall back to the processor.",
            )
            .advise_running(
                "Call `onnxruntime.preload_dlls()` before the first session (1.21 and later), or \
                 put the folders on the loader's path",
                library_path(&folders),
            )
            .seen(format!("not found: {}", missing.join(", ")))
            .seen(format!("they are in {}", folders.join(", "))),
        );
    }
    let wants = majors(&missing);
    let has = cuda_of(subject);
    let (cause, title) = match (&wants[..], has) {
        ([want], Some(has)) if *want != has => (
            Cause::EngineCudaMismatch,
            format!(
                "{} is made for CUDA {want}, and CUDA {has} is installed",
                package.spelled()
            ),
        ),
        _ => (
            Cause::CudaLibsMissing,
            format!("{} does not find its CUDA libraries", package.spelled()),
        ),
    };
    let extras = "onnxruntime-gpu[cuda,cudnn]";
    Some(
        Verdict::problem(title)
            .cause(cause)
            .sure(0.85)
            .because(
                "It asks for the libraries of one CUDA release by name. Without them sessions fall \
                 back to the processor.",
            )
            .fix(
                subject
                    .commands
                    .install("Install the CUDA libraries that it was made for", &[extras]),
            )
            .seen(format!("not found: {}", missing.join(", "))),
    )
}

/// The environment's own folders that hold libraries, one for each library that is there.
fn folders_of(survey: &Survey<'_>, names: &[String]) -> Vec<String> {
    let copy = |name: &String| survey.copies(name).into_iter().next();
    names
        .iter()
        .filter_map(copy)
        .filter_map(|path| Some(path.parent()?.display().to_string()))
        .collect()
}

/// The command that puts folders on the loader's path.
fn library_path(folders: &[String]) -> String {
    let mut folders = folders.to_vec();
    folders.sort();
    folders.dedup();
    format!("export LD_LIBRARY_PATH={}", folders.join(":"))
}

fn is_content(load: &Load) -> bool {
    missing(load).is_empty()
}

/// CUDA libraries that were not found; those of the driver are the machine's business.
fn missing(load: &Load) -> Vec<String> {
    let names: BTreeSet<&str> = load.missing.iter().map(|m| m.name.as_str()).collect();
    let cuda = names
        .into_iter()
        .filter(|name| Library::named(name).is_some_and(|row| row.part == Part::Cuda));
    cuda.map(str::to_owned).collect()
}

/// The CUDA major versions that all of some libraries can be of.
fn majors(names: &[String]) -> Vec<u16> {
    let mut common: Option<Vec<u16>> = None;
    for name in names {
        let Some(row) = Library::named(name) else {
            continue;
        };
        let of_one = row.cuda_majors(name);
        if of_one.is_empty() {
            continue;
        }
        common = Some(match common {
            None => of_one,
            Some(known) => known.into_iter().filter(|m| of_one.contains(m)).collect(),
        });
    }
    common.unwrap_or_default()
}

/// The CUDA major version of the environment: torch's.
fn cuda_of(subject: &Subject<'_>) -> Option<u16> {
    match subject.torch.as_ref()?.accelerator() {
        Accelerator::Cuda(major, _) => Some(major),
        _ => None,
    }
}

/// bitsandbytes has one library per CUDA or ROCm release and opens the one of torch's.
fn bitsandbytes(subject: &Subject<'_>) -> Option<Verdict> {
    let package = subject.installed.get("bitsandbytes")?;
    let torch = subject.torch.as_ref()?;
    let (kind, wanted) = match torch.accelerator() {
        Accelerator::Cuda(major, minor) => ("cuda", (major, minor)),
        Accelerator::Rocm(major, minor) => ("rocm", (major, minor)),
        _ => return None,
    };
    let folder = package.site.join("bitsandbytes");
    let prefix = format!("libbitsandbytes_{kind}");
    let mut there: Vec<(u16, u16)> = fs::read_dir(&folder)
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let digits = name.strip_prefix(&prefix)?.split(['.', '_']).next()?;
            // CUDA's major version has two digits, ROCm's one.
            let (major, minor) = digits.split_at_checked(if kind == "cuda" { 2 } else { 1 })?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })
        .collect();
    there.sort_unstable();
    there.dedup();
    if there.contains(&wanted) {
        return None;
    }
    // Later releases take the nearest of the same major version.
    let takes_nearest = there.iter().any(|(major, _)| *major == wanted.0)
        && holds(&folder.join("cextension.py"), &[b"_find_cuda_libs"])
            .is_ok_and(|found| found == [true]);
    if takes_nearest {
        return None;
    }
    let list: Vec<String> = there.iter().map(|(a, b)| format!("{a}.{b}")).collect();
    let list = if list.is_empty() {
        "none".to_owned()
    } else {
        list.join(", ")
    };
    let name = if kind == "cuda" { "CUDA" } else { "ROCm" };
    Some(
        Verdict::problem(format!(
            "{} has no library for {name} {}.{}",
            package.spelled(),
            wanted.0,
            wanted.1
        ))
        .cause(Cause::BitsandbytesNoBinary)
        .because(
            "It brings one compiled library per release of CUDA or ROCm and opens the one that \
             torch was made for. Without it quantised models do not load.",
        )
        .fix(subject.commands.install(
            "Update bitsandbytes; newer releases know newer versions",
            &["--upgrade", "bitsandbytes"],
        ))
        .seen(format!("it has libraries for {name}: {list}")),
    )
}

/// Libraries that CTranslate2 opens by name when a model is put on the GPU.
const CTRANSLATE2_OPENS: &[&str] = &[
    "libcublas.so.11",
    "libcublas.so.12",
    "libcublas.so.13",
    "libcudnn.so.8",
    "libcudnn.so.9",
];

fn ctranslate2(subject: &Subject<'_>, survey: &Survey<'_>) -> Option<Verdict> {
    if !has_nvidia(subject) || subject.environment.os != Os::Linux {
        return None;
    }
    let package = subject.installed.get("ctranslate2")?;
    let library = subject.inventory.compiled.iter().find(|compiled| {
        let name = compiled.path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("libctranslate2")
    })?;
    let texts: Vec<&[u8]> = CTRANSLATE2_OPENS
        .iter()
        .map(|name| name.as_bytes())
        .collect();
    let opens = holds(&library.path, &texts).ok()?;
    let process = survey.bare();
    let lost: Vec<&str> = CTRANSLATE2_OPENS
        .iter()
        .zip(opens)
        .filter(|(name, opened)| *opened && process.look_up(name).is_none())
        .map(|(name, _)| *name)
        .collect();
    let first = *lost.first()?;
    let row = Library::named(first)?;
    let names: Vec<String> = lost.iter().map(|name| (*name).to_owned()).collect();
    let folders = folders_of(survey, &names);
    let wants = row.cuda_majors(first);
    let verdict = if !folders.is_empty() {
        Verdict::problem(format!(
            "{} does not find CUDA libraries that are installed",
            package.spelled()
        ))
        .cause(Cause::CudaLibsNotOnPath)
        .sure(0.7)
        .because(
            "It opens them by name, and the loader does not look in folders of packages. It works \
             in programs that import torch first, and with the folders in LD_LIBRARY_PATH.",
        )
        .advise_running(
            "Put the folders of the libraries on the loader's path before the program starts",
            library_path(&folders),
        )
    } else {
        let has = cuda_of(subject).filter(|has| !wants.contains(has));
        let (cause, title) = match has {
            Some(has) => (
                Cause::EngineCudaMismatch,
                format!("{} is made for another CUDA than {has}", package.spelled()),
            ),
            None => (
                Cause::CudaLibsMissing,
                format!("CUDA libraries for {} are not installed", package.spelled()),
            ),
        };
        let major = wants.last().copied().unwrap_or(12);
        let wheels: Vec<String> = lost
            .iter()
            .filter_map(|name| Library::named(name)?.wheel(major))
            .collect();
        let wheels: Vec<&str> = wheels.iter().map(String::as_str).collect();
        Verdict::problem(title)
            .cause(cause)
            .sure(0.8)
            .because("It names no CUDA libraries as requirements and opens them by name.")
            .fix(
                subject
                    .commands
                    .install("Install the libraries it opens", &wheels),
            )
    };
    Some(verdict.seen(format!("not found: {}", lost.join(", "))))
}
