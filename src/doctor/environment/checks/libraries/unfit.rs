//! Libraries that are found, and lack versions or symbols that are asked of them.

use std::path::Path;

use super::{file_name, reinstall, shadows::led_by_variable, with};
use crate::{
    doctor::{
        Cause,
        environment::{
            Subject,
            checks::{companions, leaks},
            providers::{Library, Part},
            survey::Survey,
        },
        machine::Verdict,
        remedy::System,
    },
    native::{Unresolved, WrongVersion, demangled},
};

/// What a library without a version means.
pub fn of_version(subject: &Subject<'_>, survey: &Survey<'_>, wrong: &WrongVersion) -> Verdict {
    let library = survey.shelf().real(&wrong.library);
    let library = library.unwrap_or_else(|| wrong.library.clone());
    let seen = format!("`{}` has no {}", library.display(), wrong.version);
    let is_own = library.starts_with(&subject.environment.root);
    if wrong.version.starts_with("GLIBC_") {
        return Verdict::problem(format!("the C library is older than {}", wrong.version))
            .cause(Cause::GlibcTooOld)
            .because(
                "The package was built for newer distributions. The C library belongs to the \
                 distribution and cannot be replaced by hand.",
            )
            .advise(
                "Install an older release of the package, or use a newer distribution, also in a \
                 container",
            )
            .seen(seen);
    }
    let by_variable = led_by_variable(subject, &library);
    let newer_copy = survey.copies(&wrong.name).into_iter().find(|copy| {
        let image = survey.shelf().image(copy);
        *copy != library && image.is_some_and(|image| image.offers.contains(&wrong.version))
    });
    let is_cxx = wrong.version.starts_with("GLIBCXX_") || wrong.version.starts_with("CXXABI_");
    let title = format!("{} is older than {}", wrong.name, wrong.version);
    let verdict = match is_cxx {
        true => Verdict::problem(title)
            .cause(Cause::LibstdcxxTooOld)
            .because(
                "A package was compiled with a newer compiler than this C++ library is from. Which \
             copy is loaded first decides: conda's, the system's, or one that a variable names.",
            ),
        false if by_variable.is_some() || newer_copy.is_some() => Verdict::problem(title)
            .cause(Cause::LibraryPathShadows)
            .because("Another copy of the library than the one it was made with is found first."),
        false => Verdict::problem(title)
            .cause(Cause::LibraryMissing)
            .because("The library is of an older release than the one it was compiled with."),
    };
    let verdict = match by_variable {
        Some(variable) => verdict.fix(leaks::unset(variable, subject.environment.os)),
        None if is_cxx && is_own => with(
            verdict,
            subject
                .commands
                .conda_install("Update conda's C++ library", &["libstdcxx-ng"]),
        ),
        None if is_cxx => with(
            verdict,
            Library::named(&wrong.name).and_then(|row| row.install(&System::of(subject.host))),
        ),
        None => with(verdict, reinstall(subject, &wrong.asked_by)),
    };
    match newer_copy {
        Some(copy) => verdict.seen(format!("`{}` has it", copy.display())),
        None => verdict,
    }
    .seen(seen)
}

/// Namespaces of torch's libraries.
const TORCH: &[&str] = &["c10::", "at::", "torch::", "caffe2::"];

/// What symbols that nothing has mean.
pub fn of_symbols(subject: &Subject<'_>, survey: &Survey<'_>, unresolved: &Unresolved) -> Verdict {
    let asked_by = &unresolved.asked_by;
    let readable: Vec<String> = unresolved
        .symbols
        .iter()
        .map(|symbol| demangled(&symbol.name))
        .collect();
    let first = readable.first().cloned().unwrap_or_default();
    let owner = subject.inventory.owner(asked_by).map(str::to_owned);
    let package = owner.unwrap_or_else(|| file_name(asked_by));
    let told = match unresolved.count {
        1 => format!("`{first}` is nowhere"),
        count => format!("`{first}` and {} more symbols are nowhere", count - 1),
    };
    if let Some(verdict) = shadowed_symbols(subject, survey, unresolved) {
        return verdict.seen(told);
    }
    if let Some(verdict) = other_cuda(subject, survey, unresolved) {
        return verdict.seen(told);
    }
    let is_torch = |name: &String| TORCH.iter().any(|space| name.contains(space));
    if let Some(torch) = subject
        .torch
        .as_ref()
        .filter(|_| readable.iter().any(is_torch))
        && package != "torch"
    {
        let is_companion = matches!(package.as_str(), "torchvision" | "torchaudio");
        let cause = match is_companion {
            true => Cause::TorchCompanionMismatch,
            false => Cause::ExtensionForOtherTorch,
        };
        let verdict = Verdict::problem(format!(
            "{package} was compiled for another torch than {}",
            torch.public()
        ))
        .cause(cause)
        .because(
            "It asks torch's libraries for functions that this release does not have in that form. \
             Compiled extensions fit one release of torch, and one build of it.",
        )
        .seen(told);
        return match is_companion {
            true => verdict.fix(subject.commands.install_torch(
                "Install it again for this torch",
                &[&package],
                torch.accelerator(),
            )),
            false => verdict.fix(subject.commands.reinstall(
                "Install the build for this torch, or compile it again with this torch installed \
                 (`--no-build-isolation`)",
                &[&package],
            )),
        };
    }
    let is_python = |name: &String| name.trim_start_matches('_').starts_with("Py");
    if readable.iter().all(is_python) {
        let verdict = Verdict::problem(format!("{package} was compiled for another Python"))
            .cause(Cause::WrongEnvironment)
            .because("It asks Python for functions that this release does not have.")
            .seen(told);
        return with(verdict, reinstall(subject, asked_by));
    }
    let verdict = Verdict::problem(format!("{package} asks for functions that no library has"))
        .cause(Cause::LibraryMissing)
        .because("A library it was linked with is of another release than the one it gets.")
        .seen(told);
    with(verdict, reinstall(subject, asked_by))
}

/// A library of NVIDIA's that the environment has in another release than the one that asks.
fn other_cuda(
    subject: &Subject<'_>,
    survey: &Survey<'_>,
    unresolved: &Unresolved,
) -> Option<Verdict> {
    let name = unresolved.symbols.first()?.library.as_deref()?;
    Library::named(name).filter(|row| row.part == Part::Cuda)?;
    let copy = survey.copies(name).into_iter().next()?;
    let spelled = |path: &Path| {
        let package = subject.installed.get(subject.inventory.owner(path)?)?;
        Some(package.spelled())
    };
    let own = spelled(&unresolved.asked_by).unwrap_or_else(|| file_name(&unresolved.asked_by));
    let other = spelled(&copy).unwrap_or_else(|| name.to_owned());
    let verdict = Verdict::problem(format!("{other} is not the release that {own} needs"))
        .cause(Cause::MixedCudaWheels)
        .because("NVIDIA's libraries of different releases do not always work together.")
        .seen(format!("`{}` lacks symbols", copy.display()));
    let fix = companions::cuda_libraries(subject);
    Some(with(
        verdict,
        fix.or_else(|| reinstall(subject, &unresolved.asked_by)),
    ))
}

/// The symbols are in a copy that the environment has, and another one was loaded.
fn shadowed_symbols(
    subject: &Subject<'_>,
    survey: &Survey<'_>,
    unresolved: &Unresolved,
) -> Option<Verdict> {
    let mut process = survey.after_torch().unwrap_or_else(|| survey.bare());
    process.load(&unresolved.asked_by);
    let image = survey.shelf().image(&unresolved.asked_by)?;
    let symbol = unresolved.symbols.first()?;
    image.needed.iter().find_map(|needed| {
        let loaded = process.loaded_as(&needed.name)?;
        let copy = survey.copies(&needed.name).into_iter().find(|copy| {
            let symbols = survey.shelf().symbols(copy);
            *copy != loaded.path
                && symbols.is_some_and(|symbols| symbols.exports.has(&symbol.name, None))
        })?;
        let verdict = Verdict::problem(format!(
            "another {} than the environment's own is loaded",
            needed.name
        ))
        .cause(Cause::LibraryPathShadows)
        .because(
            "The loader is led to a copy of another release. The one that came with the packages \
             has what they ask for, and is not reached.",
        )
        .seen(format!("`{}` is loaded", loaded.path.display()))
        .seen(format!("`{}` has the symbol", copy.display()));
        Some(match led_by_variable(subject, &loaded.path) {
            Some(variable) => verdict.fix(leaks::unset(variable, subject.environment.os)),
            None => with(verdict, reinstall(subject, &unresolved.asked_by)),
        })
    })
}
