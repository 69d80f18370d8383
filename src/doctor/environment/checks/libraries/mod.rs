//! `environment.libraries`: compiled files that the loader would refuse, and why.
//!
//! What is found here is a suspicion first ([`Suspect`]): packages bring libraries for hardware
//! that is not there, or for several releases of CUDA, and never load most of them. An import
//! decides; where nothing may be started, a suspicion against a module of Python stands, and one
//! against any other library is dropped.

mod missing;
mod shadows;
mod unfit;

use std::{collections::BTreeSet, path::Path};

use crate::doctor::{
    Fix,
    environment::{
        Subject,
        live::{End, Step},
        survey::{Fault, Survey, Trouble},
    },
    machine::Verdict,
};

/// A problem, if an import needs what is wrong.
#[derive(Clone, Debug)]
pub struct Suspect {
    /// The problem.
    pub verdict: Verdict,
    /// The modules whose imports may need it.
    pub modules: BTreeSet<String>,
    /// Whether a module of Python itself is kept from loading.
    pub is_module: bool,
    /// What a failure for this reason says: names of libraries, versions, symbols, files.
    pub words: BTreeSet<String>,
}

impl Suspect {
    /// Whether a failure of one of its modules is for this reason. What ended without a word may
    /// be.
    pub fn explains(&self, step: &Step) -> bool {
        step.kind == "import"
            && self.modules.contains(&step.name)
            && (step.end != End::Failed || self.words.iter().any(|word| step.said.contains(word)))
    }
}

/// Judges the libraries: what is certain, and what an import has to decide.
pub fn check(subject: &Subject<'_>, survey: &Survey<'_>) -> (Vec<Verdict>, Vec<Suspect>) {
    let troubles = survey.troubles();
    let mut suspects: Vec<Suspect> = Vec::new();
    for found in troubles
        .iter()
        .filter_map(|trouble| suspect(subject, survey, trouble))
    {
        // A package that misses one library of a release misses its others.
        let same = |known: &&mut Suspect| known.verdict.title == found.verdict.title;
        match suspects.iter_mut().find(same) {
            Some(known) => {
                for seen in found.verdict.evidence {
                    if !known.verdict.evidence.contains(&seen) {
                        known.verdict.evidence.push(seen);
                    }
                }
                known.words.extend(found.words);
                known.modules.extend(found.modules);
                known.is_module |= found.is_module;
            }
            None => suspects.push(found),
        }
    }
    let mut verdicts: Vec<Verdict> = [
        shadows::stub(subject, survey),
        shadows::shadowed(subject, survey),
    ]
    .into_iter()
    .flatten()
    .collect();
    let number = subject.inventory.compiled.len();
    if suspects.is_empty() && verdicts.is_empty() && number > 0 {
        verdicts.push(Verdict::works(match number {
            1 => "1 compiled file finds what it needs".to_owned(),
            number => format!("{number} compiled files find what they need"),
        }));
    }
    (verdicts, suspects)
}

fn suspect(subject: &Subject<'_>, survey: &Survey<'_>, trouble: &Trouble<'_>) -> Option<Suspect> {
    let verdict = match &trouble.fault {
        Fault::Missing(missing, copies) => missing::of_missing(subject, missing, copies)?,
        Fault::Version(wrong) => unfit::of_version(subject, survey, wrong),
        Fault::Unresolved(unresolved) => unfit::of_symbols(subject, survey, unresolved),
    };
    let modules = trouble.files.iter().filter_map(|file| file.module.clone());
    let is_module = trouble.files.iter().any(|file| {
        survey
            .shelf()
            .symbols(&file.path)
            .is_some_and(|symbols| !symbols.modules.is_empty())
    });
    Some(Suspect {
        words: words(trouble),
        verdict: match is_its_own(&trouble.fault) {
            true => verdict,
            false => verdict.seen(asked(subject, &trouble.fault, trouble.files.len())),
        },
        modules: modules.collect(),
        is_module,
    })
}

fn words(trouble: &Trouble<'_>) -> BTreeSet<String> {
    let mut words = match &trouble.fault {
        Fault::Missing(missing, _) => vec![missing.name.clone()],
        Fault::Version(wrong) => vec![wrong.version.clone()],
        Fault::Unresolved(unresolved) => {
            let symbols = unresolved.symbols.iter();
            symbols.map(|symbol| symbol.name.clone()).collect()
        }
    };
    words.push(file_name(trouble.fault.asked_by()));
    // Windows names the module that it could not open, and nothing else.
    words.extend(trouble.files.iter().map(|file| {
        let name = file_name(&file.path);
        let stem = name.split('.').next().unwrap_or_default();
        format!("while importing {stem}:")
    }));
    words.into_iter().collect()
}

/// Whether a broken file is not asked for by another one.
fn is_its_own(fault: &Fault) -> bool {
    matches!(fault, Fault::Missing(missing, _) if missing.broken.as_ref() == Some(&missing.asked_by))
}

/// Who asks, and how many files wait for it.
fn asked(subject: &Subject<'_>, fault: &Fault, count: usize) -> String {
    let by = fault.asked_by();
    let owner = subject.inventory.owner(by);
    let owner = owner
        .map(|name| format!(" (of {name})"))
        .unwrap_or_default();
    let others = match count {
        0 | 1 => String::new(),
        count => format!("; {count} files do not load for it"),
    };
    format!("asked for by `{}`{owner}{others}", by.display())
}

fn reinstall(subject: &Subject<'_>, path: &Path) -> Option<Fix> {
    let package = subject.inventory.owner(path)?;
    Some(subject.install_again("Install the package again", package))
}

fn with(verdict: Verdict, fix: Option<Fix>) -> Verdict {
    match fix {
        Some(fix) => verdict.fix(fix),
        None => verdict,
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
