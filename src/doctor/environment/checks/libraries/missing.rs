//! Libraries that are not found.

use std::path::PathBuf;

use super::{file_name, reinstall, with};
use crate::{
    doctor::{
        Cause,
        environment::{
            Subject,
            checks::companions,
            providers::{Library, Part},
        },
        machine::Verdict,
        remedy::{System, remedy},
    },
    native::Missing,
    types::Accelerator,
};

/// What a library that is not found means; `None` where nothing does.
pub fn of_missing(subject: &Subject<'_>, missing: &Missing, copies: &[PathBuf]) -> Option<Verdict> {
    let name = &missing.name;
    if let Some(broken) = &missing.broken {
        let verdict = Verdict::problem(format!("`{}` is no whole library", file_name(broken)))
            .cause(Cause::EnvironmentDamaged)
            .because("Its bytes are not those of a library, or end too early.")
            .seen(format!("`{}`", broken.display()));
        return Some(with(verdict, reinstall(subject, broken)));
    }
    if let Some(other) = missing.other_machine.first() {
        let verdict = Verdict::problem(format!("`{}` is for another processor", file_name(other)))
            .cause(Cause::PythonWrongArchitecture)
            .because(
                "It was compiled for another kind of processor than this Python: the package was \
                 copied from another machine, or installed by another Python.",
            )
            .seen(format!("`{}`", other.display()));
        return Some(with(verdict, reinstall(subject, other)));
    }
    if let Some(gone) = removed(subject, name) {
        let verdict = Verdict::problem(format!("the library {name} was removed"))
            .cause(Cause::EnvironmentDamaged)
            .because("An installed package brought it, and it is gone.")
            .seen(format!("missing: `{}`", gone.display()));
        return Some(with(verdict, reinstall(subject, &gone)));
    }
    let row = Library::named(name);
    match row.map(|row| row.part) {
        // What belongs to drivers is the machine's business; what few have is nobody's.
        Some(Part::Driver | Part::Hardware) => None,
        Some(Part::Rocm) if !is_rocm(subject) => None,
        Some(Part::Cuda) => Some(of_cuda(subject, missing, copies, row?)),
        Some(Part::Vc) => Some(visual_c(subject, name)),
        Some(Part::Display) => {
            let verdict = Verdict::problem(format!("the system lacks {name}"))
                .cause(Cause::LibglMissing)
                .because(
                    "OpenCV and others are linked with libraries for windows on a screen, which \
                     servers and images of containers do not have.",
                );
            let verdict = with(verdict, row?.install(&System::of(subject.host)));
            let fix = subject.commands.replace(
                "Or take the build of OpenCV that needs none of them",
                &["opencv-python"],
                &["opencv-python-headless"],
            );
            Some(if subject.installed.get("opencv-python").is_some() {
                verdict.fix(fix)
            } else {
                verdict
            })
        }
        part => {
            let verdict = Verdict::problem(format!("the library {name} is not there"))
                .cause(Cause::LibraryMissing)
                .because("A compiled file is linked with it, and the loader does not find it.");
            let fix = row.and_then(|row| row.install(&System::of(subject.host)));
            let again = reinstall(subject, &missing.asked_by).filter(|_| part.is_none());
            Some(with(verdict, fix.or(again)))
        }
    }
}

fn is_rocm(subject: &Subject<'_>) -> bool {
    let torch = subject.torch.as_ref();
    torch.is_some_and(|torch| matches!(torch.accelerator(), Accelerator::Rocm(..)))
}

/// Where a file of that name was installed and is no more.
fn removed(subject: &Subject<'_>, name: &str) -> Option<PathBuf> {
    let mut recorded = subject.inventory.owners.keys();
    let gone = recorded.find(|path| path.file_name().is_some_and(|own| own == name))?;
    (!gone.exists()).then(|| gone.clone())
}

fn of_cuda(
    subject: &Subject<'_>,
    missing: &Missing,
    copies: &[PathBuf],
    row: &'static Library,
) -> Verdict {
    let name = &missing.name;
    if let Some(copy) = copies.first() {
        let folder = copy.parent().unwrap_or(copy);
        return Verdict::problem(format!(
            "{name} is installed where the loader does not look"
        ))
        .cause(Cause::CudaLibsNotOnPath)
        .because(
            "Packages from NVIDIA put their libraries into folders of Python packages. The \
                 loader does not look there by itself; torch does when it is imported.",
        )
        .advise_running(
            "Import torch first, or put the folder on the loader's path",
            format!("export LD_LIBRARY_PATH={}", folder.display()),
        )
        .seen(format!("`{}`", copy.display()));
    }
    let owner = subject
        .inventory
        .owner(&missing.asked_by)
        .map(str::to_owned);
    let package = owner
        .clone()
        .unwrap_or_else(|| file_name(&missing.asked_by));
    let wants = row.cuda_majors(name);
    let has = subject
        .torch
        .as_ref()
        .and_then(|torch| match torch.accelerator() {
            Accelerator::Cuda(major, _) => Some(major),
            _ => None,
        });
    let is_companion = matches!(
        package.as_str(),
        "torchvision" | "torchaudio" | "torchcodec"
    );
    match has.filter(|has| !wants.is_empty() && !wants.contains(has)) {
        Some(has) => {
            let wanted = wants.first().copied().unwrap_or_default();
            let cause = match is_companion {
                true => Cause::TorchCompanionMismatch,
                false => Cause::MixedCudaWheels,
            };
            Verdict::problem(format!(
                "{package} is made for CUDA {wanted}, and torch for CUDA {has}"
            ))
            .cause(cause)
            .because(
                "Both would have to be in one process with libraries of one CUDA release; those of \
                 the other are not installed.",
            )
            .fix(
                subject.commands.install_torch(
                    "Install it in the build that goes with torch",
                    &[&package],
                    subject
                        .torch
                        .as_ref()
                        .map_or(Accelerator::Cpu, |torch| torch.accelerator()),
                ),
            )
            .seen(format!("{name} is not there"))
        }
        None if subject.torch.is_some() && has.is_none() && is_companion => {
            Verdict::problem(format!("{package} is made for CUDA, and torch is not"))
                .cause(Cause::TorchCompanionMismatch)
                .because("Companions of torch have to be of the same build.")
                .fix(subject.commands.install_torch(
                    "Install it in the build that goes with torch",
                    &[&package],
                    Accelerator::Cpu,
                ))
                .seen(format!("{name} is not there"))
        }
        None => {
            let fits = |major: &u16| wants.is_empty() || wants.contains(major);
            let major = has.filter(fits).or(wants.last().copied());
            let wheel = major.and_then(|major| row.wheel(major)).unwrap_or_default();
            let fix = companions::cuda_libraries(subject).unwrap_or_else(|| {
                let text = "Install NVIDIA's package of it";
                subject.commands.install(text, &[&wheel])
            });
            Verdict::problem(format!("the CUDA library {name} is not installed"))
                .cause(Cause::CudaLibsMissing)
                .because(format!(
                    "{package} is linked with it and does not bring it."
                ))
                .fix(fix)
        }
    }
}

fn visual_c(subject: &Subject<'_>, name: &str) -> Verdict {
    let verdict = Verdict::problem(format!("the Visual C++ runtime lacks {name}"))
        .cause(Cause::VcRuntimeMissing)
        .because(
            "Compiled packages for Windows are linked with Microsoft's runtime, which is not part \
             of Windows. Python brings a part of it only.",
        );
    verdict.fix(remedy("install-vc-runtime", &System::of(subject.host), &[]))
}
