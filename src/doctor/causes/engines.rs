//! CUDA libraries that are missing: which program asks for which major, and what is there instead.
//!
//! One message ("libcublas.so.12 not found") has four roots. They are told apart by who asks and by
//! what is installed: an engine made for another major than is there; an extension made for
//! another major than torch's; a library that is there, out of the loader's sight; a library that
//! is nowhere.

use super::{
    Case,
    table::{release_of, table},
};
use crate::doctor::{
    cause::Cause,
    facts::{CudaLibrary, Known, Release, release},
    ledger::Ledger,
};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    engine_versions(case, ledger);
    stated_requirement(case, ledger);
    missing_library(case, ledger);
    installed_and_not_found(case, ledger);
    mixed(case, ledger);
}

/// What is installed: a version, with what says so.
struct Installed {
    cuda: Option<(Release, String)>,
    cudnn: Option<(u16, String)>,
}

impl Installed {
    fn of(case: &Case<'_>) -> Self {
        let facts = &case.facts;
        let torch = facts.cuda.torch.as_ref();
        let known = |known: &Option<Known<Release>>| {
            known
                .as_ref()
                .map(|known| (known.value, known.quote.clone()))
        };
        let cuda = torch
            .and_then(|torch| Some((torch.likely_cuda()?, torch.quote.clone())))
            .or_else(|| known(&facts.cuda.index))
            .or_else(|| known(&facts.cuda.toolkit))
            .or_else(|| known(&facts.cuda.container));
        let wheel = facts.packages.iter().find_map(|(name, package)| {
            let is_cudnn = name.starts_with("nvidia-cudnn");
            let (major, _) = is_cudnn.then(|| release(&package.said)).flatten()?;
            Some((major, package.quote.clone()))
        });
        // torch brings cuDNN 8 up to 2.3 and 9 from 2.4 on.
        let of_torch = torch.filter(|torch| !torch.is_cpu()).and_then(|torch| {
            let major = if torch.release()? >= (2, 4) { 9 } else { 8 };
            Some((major, torch.quote.clone()))
        });
        let stated = known(&facts.cuda.cudnn).map(|((major, _), quote)| (major, quote));
        Self {
            cuda,
            cudnn: stated.or(wheel).or(of_torch),
        }
    }
}

/// The engine's version says what it wants; something else is there.
fn engine_versions(case: &Case<'_>, ledger: &mut Ledger) {
    let installed = Installed::of(case);
    let troubled = case.saw_any(&[
        "onnxruntime-cuda-provider-failed",
        "onnxruntime-no-cuda-provider",
        "ctranslate2-library",
        "cudnn9-not-loaded",
        "cuda-library-missing",
        "engine-wants-other-major",
        "cudnn-version-differs",
    ]);
    for name in ["onnxruntime-gpu", "ctranslate2", "faster-whisper"] {
        let Some(package) = case.facts.packages.get(name) else {
            continue;
        };
        let wants = package
            .version
            .as_ref()
            .and_then(|v| table().engine(name, v));
        let Some(wants) = wants else { continue };
        let Some(cuda) = release_of(&wants.cuda) else {
            continue;
        };
        let weight = if troubled { 2.4 } else { 1.4 };
        let mut fits = true;
        if let Some((has, quote)) = &installed.cuda
            // Before 11 minor versions do not replace each other.
            && (has.0 != cuda.0 || (cuda.0 < 11 && *has != cuda))
        {
            fits = false;
            let why = format!(
                "{} is made for CUDA {}, there is {}.{} ({quote})",
                package.quote, wants.cuda, has.0, has.1
            );
            ledger.add(Cause::EngineCudaMismatch, weight, why);
        }
        if let Some((has, quote)) = &installed.cudnn
            && *has != wants.cudnn
        {
            fits = false;
            let why = format!(
                "{} is made for cuDNN {}, there is {has} ({quote})",
                package.quote, wants.cudnn
            );
            ledger.add(Cause::EngineCudaMismatch, weight, why);
        }
        if fits && troubled && (installed.cuda.is_some() || installed.cudnn.is_some()) {
            let why = format!("{} is made for what is installed", package.quote);
            ledger.add(Cause::CudaLibsNotOnPath, 1.4, why);
            ledger.add(Cause::EngineCudaMismatch, -0.8, "");
        }
        if name != "onnxruntime-gpu" {
            break;
        }
    }
}

/// onnxruntime says which majors it requires.
fn stated_requirement(case: &Case<'_>, ledger: &mut Ledger) {
    let Some(required) = &case.facts.cuda.required else {
        return;
    };
    let (cuda, cudnn) = required.value;
    let installed = Installed::of(case);
    let cuda_has = installed.cuda.map(|((major, _), quote)| (major, quote));
    for (what, wants, has) in [("CUDA", cuda, cuda_has), ("cuDNN", cudnn, installed.cudnn)] {
        if let Some((has, quote)) = has.filter(|(has, _)| *has != wants) {
            let why = format!("it requires {what} {wants}, there is {has} ({quote})");
            ledger.add(Cause::EngineCudaMismatch, 2.6, why);
        }
    }
}

/// NVIDIA's wheels are installed and a library is not found all the same.
fn installed_and_not_found(case: &Case<'_>, ledger: &mut Ledger) {
    let not_found = case.saw_any(&[
        "cuda-library-missing",
        "ctranslate2-library",
        "cudnn9-not-loaded",
        "nvrtc-missing",
        "onnxruntime-cuda-provider-failed",
        "bitsandbytes-cudart-not-found",
        "tf-cannot-dlopen",
    ]);
    if not_found && case.saw("cuda-wheels") && !case.saw("library-is-there") {
        ledger.add(Cause::CudaLibsNotOnPath, 2.6, case.quote("cuda-wheels"));
    }
}

/// Who asks for the library.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asker {
    Engine,
    Extension,
    Tensorflow,
    Other,
}

fn asker(case: &Case<'_>) -> Asker {
    let packages = &case.facts.packages;
    let quote: String = [
        "cuda-library-missing",
        "ctranslate2-library",
        "cudnn9-not-loaded",
    ]
    .iter()
    .map(|id| case.quote(id).to_lowercase())
    .collect();
    let by_name = |names: &[&str]| names.iter().any(|n| quote.contains(n) || packages.has(n));
    if case.saw("onnxruntime-named")
        || case.saw("ctranslate2-named")
        || by_name(&[
            "onnxruntime-gpu",
            "ctranslate2",
            "faster-whisper",
            "whisperx",
        ])
    {
        return Asker::Engine;
    }
    if by_name(&["tensorflow", "jax", "jaxlib"]) || case.saw("tf-cannot-dlopen") {
        return Asker::Tensorflow;
    }
    if case.saw("extension-named")
        || by_name(&[
            "vllm",
            "flash-attn",
            "xformers",
            "deepspeed",
            "sglang",
            "torch-scatter",
            "mmcv",
            "torchaudio",
            "torchvision",
        ])
    {
        return Asker::Extension;
    }
    Asker::Other
}

fn missing_library(case: &Case<'_>, ledger: &mut Ledger) {
    let Some((missing, library)) = case.facts.libraries.lacks_cuda() else {
        return;
    };
    ledger.fill("library", missing.value.clone());
    let installed = Installed::of(case);
    // Before CUDA 11 a library of another minor version does not do.
    let minor = release(missing.value.rsplit(".so.").next().unwrap_or_default())
        .filter(|(major, _)| !library.is_cudnn && Some(*major) == library.major && *major < 11);
    let other_minor = minor
        .zip(installed.cuda.as_ref())
        .is_some_and(|(wanted, (has, _))| wanted.0 == has.0 && wanted.1 != has.1);
    let cuda = installed.cuda.map(|((major, _), quote)| (major, quote));
    let what = if library.is_cudnn { "cuDNN" } else { "CUDA" };
    if let Some(wanted) = library.major {
        let cuda_major = match library.is_cudnn {
            true => cuda.as_ref().map_or(12, |known| known.0),
            false => wanted,
        };
        let cudnn_major = if library.is_cudnn { wanted } else { 9 };
        ledger.fill(
            "libraries",
            format!("nvidia-cublas-cu{cuda_major} 'nvidia-cudnn-cu{cuda_major}=={cudnn_major}.*'"),
        );
    }
    // A library of the same kind that is named elsewhere is the one that is there.
    let seen = other_major(case, library);
    let by_facts = if library.is_cudnn {
        installed.cudnn
    } else {
        cuda
    };
    let has = seen.or(by_facts);
    let pair = has.as_ref().zip(library.major);
    let differs = |has: u16, wanted: u16| has != wanted || other_minor;
    let other = pair.filter(|((has, _), wanted)| differs(*has, *wanted));
    let same = pair.filter(|((has, _), wanted)| !differs(*has, *wanted));
    if other.is_some() {
        // Another major is what is there; the right one is not.
        ledger.add(Cause::CudaLibsNotOnPath, -1.5, "");
    }
    if let Some(quote) = lies_elsewhere(case, &missing.value) {
        let why = format!("{quote} — {} lies there", missing.value);
        ledger.add(Cause::CudaLibsNotOnPath, 2.8, why);
        ledger.add(Cause::CudaLibsMissing, -2.0, "");
    }
    let asker = asker(case);
    match (asker, other, same) {
        (Asker::Engine, Some(((has, quote), wanted)), _) => {
            let why = format!(
                "{} asks for {what} {wanted}, there is {has} ({quote})",
                missing.value
            );
            ledger.add(Cause::EngineCudaMismatch, 2.4, why);
        }
        (Asker::Other, Some(((has, quote), wanted)), _) if library.is_cudnn => {
            let why = format!(
                "{} asks for {what} {wanted}, there is {has} ({quote})",
                missing.value
            );
            ledger.add(Cause::EngineCudaMismatch, 2.4, why);
        }
        (Asker::Extension | Asker::Other, Some(((has, quote), wanted)), _) => {
            let why = format!(
                "{} asks for {what} {wanted}, torch brings {has} ({quote})",
                missing.value
            );
            ledger.add(Cause::MixedCudaWheels, 2.6, why);
        }
        (_, _, Some(((has, quote), _))) => {
            let why = format!(
                "{} should be there: {what} {has} is ({quote})",
                missing.value
            );
            ledger.add(Cause::CudaLibsNotOnPath, 1.3, why);
        }
        (Asker::Extension, None, None) => {
            let why = format!("{} is wanted by a compiled package", missing.quote);
            ledger.add(Cause::MixedCudaWheels, 2.4, why);
        }
        (Asker::Engine, None, None) if !case.saw("library-is-there") => {
            ledger.add(Cause::EngineCudaMismatch, 0.4, missing.quote.clone());
        }
        (Asker::Tensorflow, ..) => ledger.add(Cause::CudaLibsMissing, 1.0, missing.quote.clone()),
        _ => {}
    }
    // cuDNN 9 has a library that loads the others: where only a later one fails, cuDNN is there.
    if asker != Asker::Extension && missing.value.starts_with("libcudnn_cnn.so.9") {
        let why = format!(
            "{} — its first libraries were found, so cuDNN 9 is installed",
            missing.quote
        );
        ledger.add(Cause::CudaLibsNotOnPath, 1.0, why);
    }
    toolchain_only(case, ledger);
}

/// A path to the very library that is missed, on a line that does not miss it.
fn lies_elsewhere(case: &Case<'_>, missing: &str) -> Option<String> {
    let named = case.facts.libraries.named.iter();
    named
        .filter(|known| missing.starts_with(&known.value))
        .map(|known| known.quote.clone())
        .find(|quote| {
            let quote = quote.to_lowercase();
            [format!("/{missing}"), format!("\\{missing}")]
                .iter()
                .any(|path| quote.contains(path))
        })
}

/// A library of the same kind and another major that the evidence names.
fn other_major(case: &Case<'_>, missing: CudaLibrary) -> Option<(u16, String)> {
    case.facts.libraries.named.iter().find_map(|known| {
        let library = CudaLibrary::of(&known.value)?;
        let major = library.major?;
        let differs = library.is_cudnn == missing.is_cudnn && Some(major) != missing.major;
        differs.then(|| (major, known.quote.clone()))
    })
}

/// The run-time compiler is the part that wheels leave out.
fn toolchain_only(case: &Case<'_>, ledger: &mut Ledger) {
    if case.saw("nvrtc-missing") {
        ledger.add(Cause::EngineCudaMismatch, -1.2, "");
        ledger.add(Cause::CudaLibsNotOnPath, -0.4, "");
    }
}

/// NVIDIA's wheels of two majors in one environment.
fn mixed(case: &Case<'_>, ledger: &mut Ledger) {
    let mut majors: Vec<(u16, String)> = Vec::new();
    for (name, package) in case.facts.packages.iter() {
        let Some((_, digits)) = name
            .rsplit_once("-cu")
            .filter(|_| name.starts_with("nvidia-"))
        else {
            continue;
        };
        if let Ok(major) = digits.parse::<u16>()
            && !majors.iter().any(|(known, _)| *known == major)
        {
            majors.push((major, package.quote.clone()));
        }
    }
    if let [first, second, ..] = majors.as_slice() {
        let why = format!("{} and {}: two CUDA versions", first.1, second.1);
        ledger.add(Cause::MixedCudaWheels, 3.0, why);
        if case.facts.libraries.lacks_cuda().is_some() {
            // Which of the two has the library is what the loader cannot know.
            ledger.add(Cause::MixedCudaWheels, 1.2, "");
            ledger.add(Cause::CudaLibsNotOnPath, -1.5, "");
        }
    }
    let torch: Option<Release> = case
        .facts
        .cuda
        .torch
        .as_ref()
        .and_then(|torch| torch.cuda());
    if let (Some((torch, _)), [(wheels, quote)]) = (torch, majors.as_slice())
        && torch != *wheels
        && torch >= 11
    {
        let why = format!("{quote} beside a torch for CUDA {torch}");
        ledger.add(Cause::MixedCudaWheels, 2.4, why);
    }
}
