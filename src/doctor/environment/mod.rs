//! Checks of one Python environment: a tool's, or any that aienv did not make.
//!
//! Files are read first ([`Environment::locate`], [`Installed`], [`Inventory`]): what is installed,
//! whether it is whole, what its compiled files ask of each other (`survey`). Each of the
//! [`checks`] is a function of what was read, of the [`Host`] and of the variables that programs
//! of the environment would get. Only then, and unless it is refused, the environment's own Python
//! is started, in a process with a time limit (`live`): it tries the imports that matter and a
//! small tensor operation on each device. What reading suspects of a library that no import needs
//! is not told as a problem; what fails live is a problem whatever reading said.

mod ask;
pub mod checks;
mod commands;
mod explain;
mod installed;
mod inventory;
mod live;
mod locate;
mod providers;
mod survey;
mod tool;
mod torch;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
    process::Command,
};

pub use ask::{Answer, NoAnswer, ask};
pub use commands::Commands;
pub use installed::{Brought, CondaPackage, Installed, Package};
pub use inventory::{Compiled, Inventory};
pub use locate::{Ask, Environment, Kind};
pub use tool::examine_tool;
pub use torch::TorchBuild;

use super::{
    Cause, Fix,
    machine::{Level, Verdict},
};
use crate::{error::UserError, host::Host, settings::SourceUrl};

/// An environment cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Nothing is there.
    #[error("there is nothing at `{}`", path.display())]
    NotThere {
        /// What was given.
        path: PathBuf,
    },
    /// Something is there, but no environment.
    #[error("`{}` is neither a Python interpreter nor the folder of an environment", path.display())]
    NoEnvironment {
        /// What was given.
        path: PathBuf,
    },
    /// It is an interpreter by its looks, and does not say what it is.
    #[error("`{}` does not say which Python it is: {why}", path.display())]
    Silent {
        /// The interpreter.
        path: PathBuf,
        /// What happened instead.
        why: NoAnswer,
    },
}

impl UserError for EnvironmentError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotThere { .. } => "doctor.nothing-there",
            Self::NoEnvironment { .. } => "doctor.no-environment",
            Self::Silent { .. } => "doctor.silent-python",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::Silent { .. } => "doctor knows CPython 3.6 and later",
                _ => {
                    "name the interpreter (`which python` prints it) or the folder of a virtual or \
                     conda environment"
                }
            }
            .to_owned(),
        )
    }

    fn is_usage(&self) -> bool {
        !matches!(self, Self::Silent { .. })
    }
}

/// Environment variables, as programs of the environment get them.
#[derive(Clone, Debug, Default)]
pub struct Variables(BTreeMap<OsString, OsString>);

impl Variables {
    /// Those of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// A variable that is set to something.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        let value = self.0.get(OsStr::new(name))?;
        (!value.is_empty()).then_some(value.as_os_str())
    }

    /// The folders of a path list.
    pub fn folders(&self, name: &str) -> Vec<PathBuf> {
        let list = self.get(name).unwrap_or_default();
        std::env::split_paths(list)
            .filter(|folder| !folder.as_os_str().is_empty())
            .collect()
    }

    /// Gives a command these variables and no others.
    pub fn apply_to(&self, command: &mut Command) {
        command.env_clear().envs(&self.0);
    }
}

impl FromIterator<(OsString, OsString)> for Variables {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

/// How thoroughly to look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Compare the content of every file, not only of small ones.
    pub deep: bool,
    /// Start no program of the environment.
    pub only_read: bool,
}

/// All that the checks look at.
pub struct Subject<'a> {
    /// The environment.
    pub environment: Environment,
    /// Its packages.
    pub installed: Installed,
    /// Its files.
    pub inventory: Inventory,
    /// Its torch.
    pub torch: Option<TorchBuild>,
    /// How it is changed.
    pub commands: Commands,
    /// What its interpreter says of itself; `Ok(None)` when it was not asked.
    pub answer: Result<Option<Answer>, NoAnswer>,
    /// The machine it is to run on.
    pub host: &'a Host,
    /// The variables its programs get.
    pub variables: Variables,
    /// Modules that must be importable, besides those that most programs need.
    pub imports: Vec<String>,
    /// How thoroughly to look.
    pub options: Options,
}

impl<'a> Subject<'a> {
    /// Reads an environment. `tool` is the name of the tool it belongs to.
    pub fn read(
        environment: Environment,
        tool: Option<&str>,
        host: &'a Host,
        variables: Variables,
        torch_index: &SourceUrl,
        options: Options,
    ) -> Self {
        let answer = match options.only_read {
            true => Ok(None),
            false => ask(&environment.python).map(Some),
        };
        let conda_root = environment.root.join("conda-meta");
        let conda_root = conda_root.is_dir().then_some(environment.root.as_path());
        let installed = Installed::read(&environment.site_packages, conda_root);
        Self {
            inventory: Inventory::read(&environment, &installed),
            torch: TorchBuild::read(&installed),
            commands: Commands::of(&environment, &installed, tool, torch_index),
            installed,
            environment,
            answer,
            host,
            variables,
            imports: Vec::new(),
            options,
        }
    }
}

impl Subject<'_> {
    /// Installs a package again in the version and build it has, by whoever installed it.
    pub fn install_again(&self, text: &str, package: &str) -> Fix {
        let by_pip = self
            .installed
            .get(package)
            .filter(|known| !known.is_conda());
        if by_pip.is_none()
            && let Some(known) = self.installed.conda.get(package)
            && let Some(fix) = self.commands.conda_reinstall(text, known)
        {
            return fix;
        }
        let exact = match self.installed.version(package) {
            Some(version) => format!("{package}=={}", version.clone().without_local()),
            None => package.to_owned(),
        };
        // Builds of torch differ by the index they come from, not by their version.
        let build = TorchBuild::of_package(&self.installed, package, package);
        match build.and_then(|build| build.local_accelerator()) {
            Some(build) => self.commands.reinstall_torch(text, &exact, build),
            None => self.commands.reinstall(text, &[&exact]),
        }
    }
}

/// Causes that one repair takes away, however many things show them.
const ONE_ROOT: &[Cause] = &[
    Cause::TorchCompanionMismatch,
    Cause::Numpy2Abi,
    Cause::TwoOnnxruntimes,
    Cause::OutsidePackagesLeakIn,
    Cause::LibraryPathShadows,
    Cause::VenvBroken,
];

/// What was found out about an environment.
#[derive(Clone, Debug)]
pub struct Examined {
    /// What was looked at, in a few words.
    pub title: String,
    /// What works, what is worth knowing, what is broken; problems first, the surest of them first.
    pub verdicts: Vec<Verdict>,
}

impl Examined {
    /// Joins what has one root, and sorts the rest.
    fn of(title: String, found: Vec<Verdict>) -> Self {
        let mut verdicts: Vec<Verdict> = Vec::new();
        for verdict in found {
            let is_same = |known: &&mut Verdict| {
                let is_problem = |verdict: &Verdict| verdict.level == Level::Problem;
                let one_root = || {
                    let known_root = known.cause.is_some_and(|cause| ONE_ROOT.contains(&cause));
                    let repair = |verdict: &Verdict| verdict.fix.first()?.command.clone();
                    known_root || repair(known).is_some() && repair(known) == repair(&verdict)
                };
                is_problem(known)
                    && is_problem(&verdict)
                    && known.cause.is_some()
                    && known.cause == verdict.cause
                    && one_root()
            };
            match verdicts.iter_mut().find(is_same) {
                Some(known) => {
                    known.confidence = known.confidence.max(verdict.confidence);
                    for seen in verdict.evidence {
                        if !known.evidence.contains(&seen) {
                            known.evidence.push(seen);
                        }
                    }
                }
                None => verdicts.push(verdict),
            }
        }
        verdicts.sort_by(|a, b| {
            let sure = || b.confidence.total_cmp(&a.confidence);
            b.level.cmp(&a.level).then_with(sure)
        });
        Self { title, verdicts }
    }

    /// Whether anything is broken.
    pub fn has_problems(&self) -> bool {
        self.verdicts
            .iter()
            .any(|verdict| verdict.level == Level::Problem)
    }
}

/// Looks at an environment that was read.
pub fn examine(subject: &Subject<'_>) -> Examined {
    let readings = checks::read(subject);
    // A Python that the packages are not for imports none of them, which says nothing new.
    let is_broken = readings
        .verdicts
        .iter()
        .any(|verdict| verdict.level == Level::Problem && verdict.cause == Some(Cause::VenvBroken));
    let may_run = !subject.options.only_read && !is_broken && matches!(subject.answer, Ok(Some(_)));
    let verdicts = match may_run {
        true => checks::live::judge(subject, readings),
        false => {
            let mut verdicts = readings.verdicts;
            verdicts.extend(checks::live::untried(readings.suspects));
            verdicts
        }
    };
    Examined::of(subject.environment.title(), verdicts)
}
