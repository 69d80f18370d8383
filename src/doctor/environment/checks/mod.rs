//! The checks: each a function of what was read of an environment.

pub mod abi;
pub mod companions;
pub mod engines;
pub mod files;
pub mod gpu;
pub mod interpreter;
pub mod leaks;
pub mod libraries;
pub mod live;
pub mod numpy;
pub mod openmp;

use std::path::PathBuf;

use super::{Subject, survey::Survey, tool};
use crate::doctor::machine::Verdict;
use libraries::Suspect;

/// Every check of an environment: its id, what it looks at, and why.
pub const ALL: &[(&str, &str, &str)] = &[
    (
        "environment.interpreter",
        "the interpreter: there, the one it was made with, for this processor, starting",
        "An environment is a thin layer over one Python. When that is upgraded or removed, the \
         environment no longer works.",
    ),
    (
        "environment.files",
        "the files of each package against the list of what it brought",
        "Interrupted installations, full disks, virus scanners and `sudo` leave packages that are \
         not whole.",
    ),
    (
        "environment.abi",
        "the Python release that compiled modules are named for",
        "Python passes over compiled modules of another release, as if they were not there.",
    ),
    (
        "environment.leaks",
        "PYTHONPATH, PYTHONHOME and the user's own folder of packages",
        "Packages from outside that come first replace those of the environment.",
    ),
    (
        "environment.companions",
        "what packages ask of each other, and which build of torch its companions are for",
        "Compiled companions fit one release and one build of torch, CUDA libraries one release.",
    ),
    (
        "environment.numpy",
        "compiled modules made for NumPy 1 beside NumPy 2",
        "NumPy 2 refuses them, at import or at the first array.",
    ),
    (
        "environment.engines",
        "several ONNX Runtimes; the CUDA libraries of onnxruntime, bitsandbytes and CTranslate2",
        "Engines overwrite each other, or fall back to the processor without their libraries.",
    ),
    (
        "environment.openmp",
        "Intel's OpenMP runtime in several copies (conda beside pip)",
        "Two copies in one process end it, or make it slow.",
    ),
    (
        "environment.gpu",
        "whether the build of torch suits driver and GPU, by the tables of facts",
        "A build for another GPU, another driver or none computes on the processor, or not at all.",
    ),
    (
        "environment.libraries",
        "what compiled files need (libraries, versions, symbols), by a model of the loader",
        "The loader's own message names the last link of a chain only.",
    ),
    (
        "environment.live",
        "the imports that matter, and a small matrix product on each device",
        "What fails when it is tried is broken, whatever files look like.",
    ),
    (tool::ID, tool::LOOKS_AT, tool::WHY),
];

/// What reading came to.
pub struct Readings {
    /// What is certain.
    pub verdicts: Vec<Verdict>,
    /// What an import has to decide.
    pub suspects: Vec<Suspect>,
    /// Source files that differ from what was installed.
    pub edited: Vec<PathBuf>,
}

/// Runs every check that only reads.
pub fn read(subject: &Subject<'_>) -> Readings {
    let survey = Survey::of(subject);
    let (files, edited) = files::check(subject);
    let (libraries, suspects) = libraries::check(subject, &survey);
    let verdicts = [
        ("environment.interpreter", interpreter::check(subject)),
        ("environment.files", files),
        ("environment.abi", abi::check(subject)),
        ("environment.leaks", leaks::check(subject)),
        ("environment.companions", companions::check(subject)),
        ("environment.numpy", numpy::check(subject, &survey)),
        ("environment.engines", engines::check(subject, &survey)),
        ("environment.openmp", openmp::check(subject)),
        ("environment.gpu", gpu::check(subject)),
        ("environment.libraries", libraries),
    ];
    Readings {
        verdicts: verdicts
            .into_iter()
            .flat_map(|(id, verdicts)| {
                verdicts.into_iter().map(move |mut verdict| {
                    verdict.check = id;
                    verdict
                })
            })
            .collect(),
        suspects: suspects
            .into_iter()
            .map(|mut suspect| {
                suspect.verdict.check = "environment.libraries";
                suspect
            })
            .collect(),
        edited,
    }
}
