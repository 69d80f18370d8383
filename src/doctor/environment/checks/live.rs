//! `environment.live`: imports and small computations, tried in the environment's own Python.
//!
//! A failure is a problem whatever reading said. Its cause is what reading suspected of the module
//! that fails; else what goes away when the variables that lead elsewhere are taken away; else what
//! the text of the failure says. What reading suspected and no import needs is dropped.

use std::path::{Path, PathBuf};

use super::{Readings, leaks, libraries::Suspect};
use crate::{
    doctor::{
        Cause,
        environment::{
            Kind, Subject,
            explain::explain,
            live::{End, Request, Step, attempt, has_leading_variables},
        },
        machine::Verdict,
    },
    host::GpuVendor,
    types::Accelerator,
};

/// How sure a suspicion is that nothing could be tried for.
const UNTRIED: f64 = 0.6;
/// Source files that are read again, at most.
const MOST_FILES: usize = 100;

/// Modules that tools for AI stand on, in the order in which programs import them.
const MODULES: &[&str] = &[
    "numpy",
    "torch",
    "torchvision",
    "torchaudio",
    "triton",
    "xformers",
    "flash_attn",
    "bitsandbytes",
    "onnxruntime",
    "ctranslate2",
    "llama_cpp",
    "cv2",
    "transformers",
];

/// Tries what matters, and gives everything that can be said of the environment.
pub fn judge(subject: &Subject<'_>, readings: Readings) -> Vec<Verdict> {
    let request = request(subject, &readings);
    let mut verdicts = readings.verdicts;
    let live = match attempt(subject, &request, false) {
        Ok(steps) => of_steps(subject, &request, &steps, readings.suspects),
        Err(said) => {
            let verdict = Verdict::problem("Python starts no program in this environment")
                .because("It ends with an error before it runs the first line.")
                .seen(said);
            let mut untried = untried(readings.suspects);
            untried.push(verdict);
            untried
        }
    };
    verdicts.extend(live.into_iter().map(|mut verdict| {
        if verdict.check.is_empty() {
            verdict.check = "environment.live";
        }
        verdict
    }));
    verdicts
}

/// The suspicions, where nothing may be tried: those against modules of Python stand.
pub fn untried(suspects: Vec<Suspect>) -> Vec<Verdict> {
    suspects
        .into_iter()
        .filter(|suspect| suspect.is_module)
        .map(|suspect| {
            let confidence = suspect.verdict.confidence.min(UNTRIED);
            suspect.verdict.sure(confidence)
        })
        .collect()
}

fn request(subject: &Subject<'_>, readings: &Readings) -> Request {
    let has = |module: &str| {
        subject.environment.site_packages.iter().any(|site| {
            site.join(module).join("__init__.py").is_file()
                || site.join(format!("{module}.py")).is_file()
        })
    };
    let mut imports: Vec<String> = MODULES
        .iter()
        .filter(|module| has(module))
        .map(|module| (*module).to_owned())
        .collect();
    for module in &subject.imports {
        if !imports.contains(module) {
            imports.push(module.clone());
        }
    }
    for module in readings
        .suspects
        .iter()
        .flat_map(|suspect| &suspect.modules)
    {
        if !imports.contains(module) && has(module) {
            imports.push(module.clone());
        }
    }
    let expects_gpu = subject.torch.as_ref().is_some_and(|torch| {
        let vendor = match torch.accelerator() {
            Accelerator::Cuda(..) => GpuVendor::Nvidia,
            Accelerator::Rocm(..) => GpuVendor::Amd,
            _ => return false,
        };
        subject.host.gpus.iter().any(|gpu| gpu.vendor == vendor)
    });
    Request {
        compile: readings
            .edited
            .iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "py"))
            .take(MOST_FILES)
            .map(|path| path.display().to_string())
            .collect(),
        imports,
        torch: subject.torch.is_some(),
        gpu: expects_gpu,
    }
}

fn of_steps(
    subject: &Subject<'_>,
    request: &Request,
    steps: &[Step],
    suspects: Vec<Suspect>,
) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Vec::new();
    let failed: Vec<&Step> = steps
        .iter()
        .filter(|step| step.end != End::Worked)
        .collect();
    let mut explained: Vec<&Step> = Vec::new();
    for suspect in suspects {
        let explains = |step: &&Step| suspect.explains(step);
        let Some(step) = failed.iter().copied().find(explains) else {
            continue;
        };
        verdicts.push(suspect.verdict.sure(0.97).seen(step.told()));
        explained.push(step);
    }
    let mut open: Vec<&Step> = failed
        .iter()
        .copied()
        .filter(|step| !explained.iter().any(|known| is_same_failure(known, step)))
        .collect();
    if !open.is_empty() && is_led(subject) {
        let (by_variable, rest) = without_variables(subject, request, open);
        verdicts.extend(by_variable);
        open = rest;
    }
    let mut told: Vec<&Step> = Vec::new();
    for step in open {
        if !told.iter().any(|known| is_same_failure(known, step)) {
            verdicts.push(of_failure(subject, step));
            told.push(step);
        }
    }
    verdicts.extend(steps.iter().filter_map(|step| from_outside(subject, step)));
    verdicts.extend(steps.iter().filter_map(|step| warned(subject, step)));
    verdicts.extend(works(steps));
    verdicts
}

/// Causes that a library only warns of at its import, to fail later.
const WARNED: &[Cause] = &[
    Cause::Numpy2Abi,
    Cause::TorchCompanionMismatch,
    Cause::ExtensionForOtherTorch,
    Cause::BitsandbytesNoBinary,
    Cause::DuplicateOpenmp,
];
/// How sure a cause must be to be believed against an import that works.
const SURE: f64 = 0.8;

/// What an import that works warns of.
fn warned(subject: &Subject<'_>, step: &Step) -> Option<Verdict> {
    if step.end != End::Worked || step.said.trim().is_empty() {
        return None;
    }
    let finding = explain(subject, step)?;
    if finding.confidence < SURE || !WARNED.contains(&finding.cause) {
        return None;
    }
    let reason = finding.evidence.first().cloned();
    let reason = reason.unwrap_or_else(|| step.last_line());
    let verdict = Verdict::problem(finding.title)
        .cause(finding.cause)
        .sure(finding.confidence)
        .because(finding.explanation)
        .seen(format!("`import {}` warns: {reason}", step.name));
    let fixes = subject.commands.adapted(finding.fix);
    Some(fixes.into_iter().fold(verdict, Verdict::fix))
}

/// Whether one failure is another one over again: torch does not load, and so neither does what is
/// built on it.
fn is_same_failure(first: &Step, other: &Step) -> bool {
    first.end == End::Failed && other.end == End::Failed && first.last_line() == other.last_line()
        || (&first.kind, &first.name) == (&other.kind, &other.name)
}

fn is_led(subject: &Subject<'_>) -> bool {
    has_leading_variables(&subject.variables) || subject.environment.kind == Kind::Conda
}

/// Tries what failed again without the variables that lead elsewhere; what works then fails for
/// them.
fn without_variables<'s>(
    subject: &Subject<'_>,
    request: &Request,
    failed: Vec<&'s Step>,
) -> (Option<Verdict>, Vec<&'s Step>) {
    let imports = failed.iter().filter(|step| step.kind == "import");
    let again = Request {
        compile: Vec::new(),
        imports: imports.map(|step| step.name.clone()).collect(),
        torch: request.torch && failed.iter().any(|step| step.kind != "import"),
        gpu: request.gpu,
    };
    let Ok(steps) = attempt(subject, &again, true) else {
        return (None, failed);
    };
    let works_clean = |step: &&&Step| {
        steps.iter().any(|clean| {
            (&clean.kind, &clean.name) == (&step.kind, &step.name) && clean.end == End::Worked
        })
    };
    let cured: Vec<&Step> = failed
        .iter()
        .copied()
        .filter(|step| works_clean(&step))
        .collect();
    let rest = failed
        .iter()
        .copied()
        .filter(|step| !works_clean(&step))
        .collect();
    let Some(first) = cured.first() else {
        return (None, rest);
    };
    let set = |name: &&&str| subject.variables.get(name).is_some();
    let leading = [
        "PYTHONHOME",
        "PYTHONPATH",
        "LD_PRELOAD",
        "LD_LIBRARY_PATH",
        "DYLD_LIBRARY_PATH",
    ];
    let variable = leading.iter().find(set).copied();
    let is_loader =
        variable.is_some_and(|name| name.starts_with("LD_") || name.starts_with("DYLD_"));
    let cause = match is_loader {
        true => Cause::LibraryPathShadows,
        false => Cause::OutsidePackagesLeakIn,
    };
    let what = variable.unwrap_or("your own folder of packages");
    let verdict = Verdict::problem(format!("{what} breaks this environment"))
        .cause(cause)
        .sure(0.97)
        .because(
            "What fails with the variables of this terminal works without those that lead Python \
             or the loader elsewhere.",
        )
        .seen(first.told());
    let verdict = match variable {
        Some(name) => verdict
            .fix(leaks::unset(name, subject.environment.os))
            .seen(leaks::shown(
                name,
                subject.variables.get(name).unwrap_or_default(),
            )),
        None => verdict.advise_running("Shut your own folder out", "export PYTHONNOUSERSITE=1"),
    };
    (Some(verdict), rest)
}

fn of_failure(subject: &Subject<'_>, step: &Step) -> Verdict {
    let title = match (step.kind.as_str(), &step.end) {
        ("compile", _) => format!("`{}` is no longer Python", step.name),
        ("import", End::Hung) => format!("the import of {} does not end", step.name),
        ("import", End::Died(_)) => format!("the import of {} ends the program", step.name),
        ("import", _) => format!("{} cannot be imported", step.name),
        ("bridge", _) => "torch and NumPy do not work together".to_owned(),
        (_, End::Hung) => format!("torch hangs on {}", step.name),
        _ => format!("torch does not compute on {}", step.name),
    };
    let verdict = Verdict::problem(title).seen(step.told());
    match step.kind.as_str() {
        "compile" => damaged(subject, step, verdict),
        "bridge" => verdict
            .cause(Cause::Numpy2Abi)
            .sure(0.85)
            .because("torch was made for another NumPy than the one that is installed."),
        _ => match explain(subject, step) {
            Some(finding) => {
                let verdict = verdict
                    .cause(finding.cause)
                    .sure(finding.confidence)
                    .because(format!("{}. {}", finding.title, finding.explanation));
                let fixes = subject.commands.adapted(finding.fix);
                fixes.into_iter().fold(verdict, Verdict::fix)
            }
            None => verdict
                .because("It was tried in a process of its own; what it said points to no cause.")
                .seen(step.said.trim_end()),
        },
    }
}

fn damaged(subject: &Subject<'_>, step: &Step, verdict: Verdict) -> Verdict {
    let owner = subject.inventory.owner(Path::new(&step.name));
    let verdict = verdict
        .cause(Cause::EnvironmentDamaged)
        .because("The file differs from what was installed, and Python cannot read it any more.");
    match owner {
        Some(package) => verdict.fix(subject.install_again("Install the package again", package)),
        None => verdict,
    }
}

/// A module that was imported from somewhere else although the environment has it.
fn from_outside(subject: &Subject<'_>, step: &Step) -> Option<Verdict> {
    let file = PathBuf::from(step.file.as_ref()?);
    let environment = &subject.environment;
    let own = environment
        .site_packages
        .iter()
        .map(|site| site.join(&step.name))
        .find(|folder| folder.join("__init__.py").is_file())?;
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let is_own = environment
        .site_packages
        .iter()
        .any(|site| real(&file).starts_with(real(site)) || file.starts_with(site));
    (!is_own).then(|| {
        Verdict::problem(format!("{} comes from outside the environment", step.name))
            .cause(Cause::OutsidePackagesLeakIn)
            .because("Another copy of the package is found before the environment's own.")
            .seen(format!(
                "`{}` instead of `{}`",
                file.display(),
                own.display()
            ))
    })
}

fn works(steps: &[Step]) -> Vec<Verdict> {
    let names = |kind: &str| -> Vec<&str> {
        let worked = steps
            .iter()
            .filter(|step| step.kind == kind && step.end == End::Worked);
        worked.map(|step| step.name.as_str()).collect()
    };
    let mut verdicts = Vec::new();
    let imports = names("import");
    if !imports.is_empty() {
        verdicts.push(Verdict::works(format!(
            "imports work: {}",
            imports.join(", ")
        )));
    }
    let devices = names("device");
    if !devices.is_empty() {
        verdicts.push(Verdict::works(format!(
            "torch computes on {}",
            devices.join(", ")
        )));
    }
    verdicts
}
