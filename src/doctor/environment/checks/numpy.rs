//! `environment.numpy`: compiled modules made for NumPy 1 in an environment with NumPy 2.
//!
//! A module that uses NumPy's C interface takes it from `numpy.core._multiarray_umath`, which it
//! names. NumPy 2 moved that to `numpy._core`; headers of NumPy 2, and pybind11 from 2.12 on, try
//! both names. So a module that names only the old one was made for NumPy 1 alone, and NumPy 2
//! refuses to serve it (NumPy's migration guide, "ABI break").
//!
//! Modules compiled with NumPy's own headers ask for the interface when they are imported; their
//! headers bring an error message by which they are known. Others (pybind11, Rust) ask when they
//! first touch an array, which many programs never have them do.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::{
    compat::torch::TorchFacts,
    doctor::{
        Cause,
        environment::{Compiled, Subject, survey::Survey},
        machine::Verdict,
    },
    native::holds,
    types::PackageName,
};

/// Packages whose files are named.
const NAMED: usize = 3;
/// What every module asks for that uses a C interface of another one.
const CAPSULE: &[&str] = &["PyCapsule_GetPointer", "_PyCapsule_GetPointer"];
/// Where NumPy 1 has its interface; NumPy 2 serves modules of its own kind there too.
const OLD: &[&str] = &["numpy.core._multiarray_umath", "numpy.core.multiarray"];
/// What NumPy's headers say when the interface is not what they expect.
const HEADERS: &str = "_ARRAY_API is not PyCapsule object";
/// Where NumPy 2 has it. pybind11 puts the name together, so this is all it has.
const NEW: &str = "numpy._core";

/// Judges NumPy and what was compiled for it.
pub fn check(subject: &Subject<'_>, survey: &Survey<'_>) -> Vec<Verdict> {
    let Some(numpy) = subject.installed.version("numpy") else {
        return Vec::new();
    };
    if numpy.release().first().is_none_or(|major| *major < 2) {
        return Vec::new();
    }
    let found: Vec<(Use, &Compiled)> = subject
        .inventory
        .compiled
        .par_iter()
        .filter(|compiled| compiled.module.as_deref() != Some("numpy"))
        .filter_map(|compiled| Some((of_numpy_1(compiled, survey)?, compiled)))
        .collect();
    let at_import = packages(&found, Use::AtImport);
    let mut late = packages(&found, Use::Late);
    late.retain(|name, _| !at_import.contains_key(name));
    if at_import.is_empty() {
        return late_note(&late).into_iter().collect();
    }
    let names: Vec<&str> = at_import.keys().map(String::as_str).collect();
    let mut verdict = Verdict::problem(format!(
        "{} made for NumPy 1, and NumPy {numpy} is installed",
        list(&names, "was", "were")
    ))
    .cause(Cause::Numpy2Abi)
    .because(
        "NumPy 2 changed its binary interface. Modules compiled with NumPy 1 fail at import or \
         when they first touch an array.",
    )
    .fix(subject.commands.install(
        "Go back to NumPy 1, which all of them were made for",
        &["numpy<2"],
    ));
    for (package, file) in at_import.iter().take(NAMED) {
        verdict = verdict.seen(format!(
            "{package}: `{}` asks for the interface of NumPy 1 only",
            file.path.display()
        ));
    }
    // torch and its companions are updated together, and from an index of their own.
    let family = &TorchFacts::embedded().family;
    let others = names.iter().filter(|name| {
        let name: Result<PackageName, _> = name.parse();
        name.is_ok_and(|name| !family.contains(&name))
    });
    let upgrades: Vec<&str> = ["--upgrade"].iter().chain(others).copied().collect();
    if upgrades.len() > 1 {
        verdict = verdict.fix(subject.commands.install(
            "Or update what was made for NumPy 1, where newer releases know NumPy 2",
            &upgrades,
        ));
    }
    vec![verdict]
}

/// When a module asks for NumPy's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    AtImport,
    Late,
}

/// The packages of files of one kind, each with one of its files.
fn packages<'a>(found: &[(Use, &'a Compiled)], wanted: Use) -> BTreeMap<String, &'a Compiled> {
    let of_kind = found.iter().filter(|(kind, _)| *kind == wanted);
    let mut packages = BTreeMap::new();
    for (_, compiled) in of_kind {
        let package = compiled.package.as_ref().map(ToString::to_string);
        if let Some(name) = package.or_else(|| compiled.module.clone()) {
            packages.entry(name).or_insert(*compiled);
        }
    }
    packages
}

fn late_note(late: &BTreeMap<String, &Compiled>) -> Option<Verdict> {
    let names: Vec<&str> = late.keys().map(String::as_str).collect();
    (!names.is_empty()).then(|| {
        Verdict::note(format!("{} made for NumPy 1", list(&names, "was", "were")))
            .because("It fails under NumPy 2 when it is given an array; what else it does works.")
    })
}

fn of_numpy_1(compiled: &Compiled, survey: &Survey<'_>) -> Option<Use> {
    let symbols = survey.shelf().symbols(&compiled.path)?;
    let mut wanted = symbols.undefined.iter();
    if !wanted.any(|symbol| CAPSULE.contains(&symbol.name.as_str())) {
        return None;
    }
    let texts = [OLD, &[NEW, HEADERS]].concat();
    let texts: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
    match holds(&compiled.path, &texts).as_deref() {
        Ok([old @ .., new, headers]) if old.contains(&true) && !new => Some(match headers {
            true => Use::AtImport,
            false => Use::Late,
        }),
        _ => None,
    }
}

/// `a was`, `a and b were`, `a, b and 3 more were`.
fn list(names: &[&str], one: &str, many: &str) -> String {
    match names {
        [name] => format!("{name} {one}"),
        [first, second] => format!("{first} and {second} {many}"),
        [first, second, rest @ ..] => {
            format!("{first}, {second} and {} more {many}", rest.len())
        }
        [] => String::new(),
    }
}
