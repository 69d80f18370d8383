//! Libraries that a variable puts before the ones that are meant.

use std::path::{Path, PathBuf};

use crate::{
    doctor::{
        Cause,
        environment::{
            Subject,
            checks::leaks,
            providers::{Library, Part},
            survey::Survey,
        },
        machine::Verdict,
    },
    native::Place,
    types::Os,
};

/// The variable that leads the loader to a file.
pub fn led_by_variable(subject: &Subject<'_>, library: &Path) -> Option<&'static str> {
    let real = |path: &PathBuf| std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    ["LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"]
        .into_iter()
        .find(|variable| {
            let folders = subject.variables.folders(variable);
            folders
                .iter()
                .map(real)
                .any(|entry| library == entry || library.parent() == Some(&entry))
        })
}

/// NVIDIA's toolkit has a `libcuda` without a driver in it, for linking only.
pub fn stub(subject: &Subject<'_>, survey: &Survey<'_>) -> Option<Verdict> {
    if subject.environment.os != Os::Linux {
        return None;
    }
    let process = survey.bare();
    let (name, path) = ["libcuda.so.1", "libnvidia-ml.so.1"]
        .iter()
        .find_map(|name| {
            let (path, _) = process.look_up(name)?;
            let real = survey.shelf().real(&path).unwrap_or_else(|| path.clone());
            let is_stub = |path: &Path| path.iter().any(|part| part == "stubs");
            (is_stub(&path) || is_stub(&real)).then_some((*name, path))
        })?;
    let verdict = Verdict::problem(format!("a stub of {name} is found before the driver's own"))
        .cause(Cause::LibraryPathShadows)
        .because(
            "The toolkit's stub has the names of the driver's functions and nothing behind them; \
             CUDA then reports a stub library, or no device.",
        )
        .seen(format!("the loader finds `{}`", path.display()));
    Some(match led_by_variable(subject, &path) {
        Some(variable) => {
            let value = subject.variables.get(variable).unwrap_or_default();
            verdict
                .fix(leaks::unset(variable, subject.environment.os))
                .seen(leaks::shown(variable, value))
        }
        None => verdict.advise_running(
            "Take the folder of stubs out of `/etc/ld.so.conf.d`, then renew the loader's cache",
            "sudo ldconfig",
        ),
    })
}

/// Libraries of CUDA that a variable puts before the environment's own, where that matters: the
/// one that is found lacks what the environment's has, or is another release of cuDNN, whose parts
/// refuse each other.
pub fn shadowed(subject: &Subject<'_>, survey: &Survey<'_>) -> Option<Verdict> {
    let process = survey.after_torch().unwrap_or_else(|| survey.bare());
    let mut found = Vec::new();
    for compiled in &subject.inventory.compiled {
        let Some(image) = survey.shelf().image(&compiled.path) else {
            continue;
        };
        let name = image.name();
        let is_cuda = Library::named(&name).is_some_and(|row| row.part == Part::Cuda);
        if !is_cuda {
            continue;
        }
        let Some((other, Place::Variable)) = process.find_for(&name, &image) else {
            continue;
        };
        let same = survey.shelf().real(&other) == survey.shelf().real(&compiled.path);
        if !same && differs(survey, &name, &compiled.path, &other) {
            found.push((name, compiled.path.clone(), other));
        }
    }
    let (name, own, other) = found.first()?;
    let rest = match found.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more libraries"),
    };
    let variable = led_by_variable(subject, &survey.shelf().real(other)?)
        .or_else(|| led_by_variable(subject, other))
        .unwrap_or("LD_LIBRARY_PATH");
    Some(
        Verdict::problem(format!(
            "{variable} puts another {name}{rest} before the environment's own"
        ))
        .cause(Cause::LibraryPathShadows)
        .sure(0.8)
        .because(
            "The packages come with the releases they were made with. A folder in this variable \
             comes first and has other releases.",
        )
        .fix(leaks::unset(variable, subject.environment.os))
        .seen(format!(
            "`{}` is found, `{}` is meant",
            other.display(),
            own.display()
        )),
    )
}

fn differs(survey: &Survey<'_>, name: &str, own: &Path, other: &Path) -> bool {
    let size = |path: &Path| path.metadata().ok().map(|metadata| metadata.len());
    if name.starts_with("libcudnn") {
        return size(own) != size(other);
    }
    let symbols = |path: &Path| survey.shelf().symbols(path);
    match (symbols(own), symbols(other)) {
        (Some(own), Some(other)) => other.exports.lacks(&own.exports) > 0,
        _ => false,
    }
}
