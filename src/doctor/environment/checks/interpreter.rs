//! `environment.interpreter`: is there a Python, is it the one the environment was made with, is it
//! for this machine, and does it start?

use std::path::Path;

use crate::{
    doctor::{
        Cause, Fix,
        environment::{Kind, NoAnswer, Subject, locate::versions_in},
        machine::Verdict,
    },
    native::{Image, Machine},
    types::{Arch, Os, PythonVersion},
};

/// Judges the interpreter.
pub fn check(subject: &Subject<'_>) -> Vec<Verdict> {
    let python = &subject.environment.python;
    if let Some(gone) = absent(subject, python) {
        return vec![gone];
    }
    if let Some(verdict) = not_executable(subject, python) {
        return vec![verdict];
    }
    let mut verdicts: Vec<Verdict> = [
        wrong_architecture(subject, python),
        other_version(subject),
        no_answer(subject),
    ]
    .into_iter()
    .flatten()
    .collect();
    if verdicts.is_empty() {
        verdicts.push(works(subject));
    }
    verdicts
}

fn works(subject: &Subject<'_>) -> Verdict {
    let environment = &subject.environment;
    let version = match &subject.answer {
        Ok(Some(answer)) => answer.version.clone(),
        _ => environment
            .version
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
    };
    let verb = if matches!(subject.answer, Ok(Some(_))) {
        "starts"
    } else {
        "is there"
    };
    Verdict::works(format!("Python {version} {verb}"))
        .seen(environment.python.display().to_string())
}

/// A link that leads nowhere, or the base of a virtual environment that is gone.
fn absent(subject: &Subject<'_>, python: &Path) -> Option<Verdict> {
    let environment = &subject.environment;
    let problem = |title: String| {
        Verdict::problem(title)
            .cause(Cause::VenvBroken)
            .because(
                "A virtual environment is a thin layer over the Python it was made from. That \
                 Python was upgraded, moved or removed, and the environment went with it.",
            )
            .fix(subject.commands.recreate())
    };
    if !python.exists() {
        let verdict = match std::fs::read_link(python) {
            Ok(target) => {
                problem("the Python of this environment is gone".to_owned()).seen(format!(
                    "`{}` leads to `{}`, which is not there",
                    python.display(),
                    target.display()
                ))
            }
            Err(_) => problem("this environment has no Python".to_owned())
                .seen(format!("`{}` is not there", python.display())),
        };
        return Some(verdict);
    }
    let base = environment.base.as_deref()?;
    // Relocatable environments name a folder that need not be absolute.
    (environment.kind == Kind::Venv && base.is_absolute() && !base.exists()).then(|| {
        problem("the Python that this environment was made from is gone".to_owned()).seen(format!(
            "pyvenv.cfg names `{}`, which is not there",
            base.display()
        ))
    })
}

fn not_executable(subject: &Subject<'_>, python: &Path) -> Option<Verdict> {
    // Programs of Windows need no permission on other systems' file systems.
    let is_foreign = subject.environment.os == Os::Windows && !cfg!(windows);
    if is_foreign || !python.is_file() || crate::platform::access::may_execute(python) {
        return None;
    }
    Some(
        Verdict::problem("the Python of this environment may not be started")
            .cause(Cause::EnvironmentDamaged)
            .because(
                "The file has lost its permission to be executed, as happens when an environment \
                 is copied through a file system or archive that does not keep permissions. Other \
                 files have lost theirs too, then.",
            )
            .fix(subject.commands.recreate())
            .seen(format!("`{}` is not executable", python.display())),
    )
}

/// A 32-bit Python, or one that runs by translation (Rosetta).
fn wrong_architecture(subject: &Subject<'_>, python: &Path) -> Option<Verdict> {
    let here = match subject.host.cpu.arch {
        Arch::X86_64 => Machine::X86_64,
        Arch::Aarch64 => Machine::Aarch64,
    };
    let image = Image::read(python, here).ok()?;
    if image.runs_on(here) {
        return None;
    }
    let found = *image.machines.first()?;
    let is_32_bit = matches!(found, Machine::X86 | Machine::Arm);
    let is_translated =
        found == Machine::X86_64 && here == Machine::Aarch64 && subject.host.os.family != Os::Linux;
    let (title, why) = if is_32_bit {
        (
            "this is a 32-bit Python",
            "torch, onnxruntime and most compiled packages have no 32-bit builds; pip then finds \
             nothing, or only very old releases.",
        )
    } else if is_translated {
        (
            "this Python is made for Intel processors and runs by translation",
            "It installs packages for Intel processors: no GPU (MPS), no AVX, and no torch after \
             2.2 on a Mac.",
        )
    } else {
        (
            "this Python is made for another processor",
            "Neither it nor its compiled packages run on this machine.",
        )
    };
    let wanted = match (here, subject.host.os.family) {
        (Machine::Aarch64, Os::Macos) => "arm64",
        (Machine::Aarch64, _) => "ARM64",
        _ => "64-bit",
    };
    Some(
        Verdict::problem(title)
            .cause(Cause::PythonWrongArchitecture)
            .because(why)
            .fix(Fix {
                text: format!(
                    "Install the {wanted} Python for this machine and make the environment anew \
                     with it"
                ),
                command: None,
            })
            .seen(format!(
                "`{}` is for {found}, the machine is {here}",
                python.display()
            )),
    )
}

/// Packages that another feature release installed, which this interpreter does not see.
fn other_version(subject: &Subject<'_>) -> Option<Verdict> {
    let environment = &subject.environment;
    let actual = actual_version(subject)?;
    let made_with = environment
        .feature()
        .filter(|_| environment.kind == Kind::Venv);
    let lib = environment.root.join("lib");
    let stranded: Vec<PythonVersion> = match environment.kind {
        Kind::Installation => Vec::new(),
        _ => versions_in(&lib)
            .into_iter()
            .filter(|(name, version)| {
                let packages = lib.join(name).join("site-packages");
                *version != actual && has_packages(&packages)
            })
            .map(|(_, version)| version)
            .collect(),
    };
    let changed = made_with.is_some_and(|version| version != actual);
    let old = stranded
        .first()
        .copied()
        .or(made_with.filter(|_| changed))?;
    // Leftovers beside packages of the present release hide nothing that is missed.
    if !changed && !subject.installed.is_empty() {
        return None;
    }
    Some(
        Verdict::problem(format!(
            "the packages of this environment are for Python {old}, its Python is {actual}"
        ))
        .cause(Cause::VenvBroken)
        .because(
            "The Python it was made from was upgraded. Packages are kept in a folder per release \
             and compiled for one, so the new Python does not see them.",
        )
        .fix(subject.commands.recreate())
        .seen(format!(
            "`{}` is Python {actual}; packages are in `{}`",
            environment.python.display(),
            lib.join(format!("python{old}")).display()
        )),
    )
}

fn has_packages(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.ends_with(".dist-info") && !name.starts_with("pip-")
        })
    })
}

/// The release of the interpreter that starts: by its answer, or by the name of the file that the
/// links end in.
fn actual_version(subject: &Subject<'_>) -> Option<PythonVersion> {
    if let Ok(Some(answer)) = &subject.answer {
        return PythonVersion::of(&answer.version.parse().ok()?);
    }
    let file = std::fs::canonicalize(&subject.environment.python).ok()?;
    let name = file.file_name()?.to_str()?;
    name.strip_prefix("python")?
        .trim_end_matches('t')
        .parse()
        .ok()
}

fn no_answer(subject: &Subject<'_>) -> Option<Verdict> {
    let python = subject.environment.python.display();
    let (title, said) = match subject.answer.as_ref().err()? {
        NoAnswer::NotStarted(said) => ("the Python of this environment cannot be started", said),
        NoAnswer::Failed(said) => ("the Python of this environment does not start", said),
        NoAnswer::Hung => {
            return Some(
                Verdict::problem("the Python of this environment hangs at start")
                    .cause(Cause::VenvBroken)
                    .sure(0.6)
                    .because(
                        "It did not say what it is within 20 seconds. A start-up file of the \
                     environment (`*.pth`, `sitecustomize`) or a slow network folder may hold it \
                     up.",
                    )
                    .fix(subject.commands.recreate())
                    .seen(format!("`{python}` gave no answer")),
            );
        }
    };
    Some(
        Verdict::problem(title)
            .cause(Cause::VenvBroken)
            .because(
                "The interpreter is there and ends with an error before it runs anything: its own \
                 library or standard modules are gone or of another release.",
            )
            .fix(subject.commands.recreate())
            .seen(format!("`{python}` said: {}", said.trim())),
    )
}
