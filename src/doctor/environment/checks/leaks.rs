//! `environment.leaks`: packages from outside that come ahead of the environment's own.
//!
//! Python looks through `PYTHONPATH` first, then (in conda environments, and in virtual ones that
//! let their base in) the user's own folder of packages, and only then the environment. A virtual
//! environment of the usual kind shuts the user's folder out, and so does `PYTHONNOUSERSITE`.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    doctor::{
        Cause, Fix,
        environment::{Installed, Kind, Package, Subject, installed::module_of},
        machine::Verdict,
    },
    types::{Os, Version},
};

/// Packages that are named before others, since most is built on them.
const FIRST: &[&str] = &[
    "torch",
    "numpy",
    "torchvision",
    "transformers",
    "onnxruntime",
];

/// Judges what comes from outside.
pub fn check(subject: &Subject<'_>) -> Vec<Verdict> {
    // A tool's start takes these variables away; what is left of them is what it gets.
    let mut verdicts: Vec<Verdict> = [python_home(subject), python_path(subject)]
        .into_iter()
        .flatten()
        .collect();
    verdicts.extend(user_site(subject));
    if verdicts.is_empty() && !subject.installed.is_empty() {
        verdicts.push(Verdict::works("no packages from outside come first"));
    }
    verdicts
}

fn python_home(subject: &Subject<'_>) -> Option<Verdict> {
    let home = Path::new(subject.variables.get("PYTHONHOME")?);
    let environment = &subject.environment;
    let own = [
        Some(environment.root.as_path()),
        environment.base.as_deref(),
    ];
    if own.into_iter().flatten().any(|own| own.starts_with(home)) {
        return None;
    }
    Some(
        Verdict::problem("PYTHONHOME makes this Python use the modules of another one")
            .cause(Cause::OutsidePackagesLeakIn)
            .because(
                "With PYTHONHOME set, Python takes its standard library from there, whatever \
                 environment it belongs to.",
            )
            .fix(unset("PYTHONHOME", subject.environment.os))
            .seen(format!("PYTHONHOME={}", home.display())),
    )
}

fn python_path(subject: &Subject<'_>) -> Option<Verdict> {
    let folders = subject.variables.folders("PYTHONPATH");
    let hidden: Vec<Hidden> = folders
        .iter()
        .flat_map(|folder| hidden_by(folder, subject))
        .collect();
    let first = hidden.first()?;
    Some(
        Verdict::problem(format!(
            "PYTHONPATH puts {} before the environment's own",
            list(&hidden)
        ))
        .cause(Cause::OutsidePackagesLeakIn)
        .because(
            "Folders of PYTHONPATH are looked through before the environment, by every Python that \
             is started. Packages found there replace the installed ones, and compiled ones need \
             not fit this Python at all.",
        )
        .fix(unset("PYTHONPATH", subject.environment.os))
        .seen(format!("PYTHONPATH holds `{}`", first.folder.display()))
        .seen(told(&hidden)),
    )
}

fn user_site(subject: &Subject<'_>) -> Option<Verdict> {
    let environment = &subject.environment;
    let is_open = match environment.kind {
        Kind::Conda => true,
        Kind::Venv | Kind::Tool => environment.sees_base,
        // The user's packages are part of what an installation is used with.
        Kind::Installation => false,
    };
    if !is_open || subject.variables.get("PYTHONNOUSERSITE").is_some() {
        return None;
    }
    let folder = user_folder(subject)?;
    let hidden = hidden_by(&folder, subject);
    if hidden.is_empty() {
        return None;
    }
    let variable = match environment.os {
        Os::Windows => "setx PYTHONNOUSERSITE 1",
        _ => "export PYTHONNOUSERSITE=1",
    };
    Some(
        Verdict::problem(format!(
            "your own folder of packages puts {} before the environment's own",
            list(&hidden)
        ))
        .cause(Cause::OutsidePackagesLeakIn)
        .because(
            "Packages installed with `pip install --user` (or by pip without an environment) are \
             seen by every conda environment of the same Python release, ahead of its own.",
        )
        .fix(Fix {
            text: "Shut the user's folder out".to_owned(),
            command: Some(variable.to_owned()),
        })
        .fix(Fix {
            text: "Or remove the packages from it".to_owned(),
            command: None,
        })
        .seen(told(&hidden)),
    )
}

/// Where `pip install --user` puts packages of this Python.
fn user_folder(subject: &Subject<'_>) -> Option<PathBuf> {
    let variables = &subject.variables;
    if let Ok(Some(answer)) = &subject.answer
        && variables.get("PYTHONUSERBASE").is_none()
        && variables.get("HOME") == std::env::var_os("HOME").as_deref()
    {
        return answer.user_site.clone();
    }
    let feature = subject.environment.feature()?;
    Some(match subject.environment.os {
        Os::Windows => {
            let base = variables.get("PYTHONUSERBASE").map(PathBuf::from);
            let base =
                base.or_else(|| Some(PathBuf::from(variables.get("APPDATA")?).join("Python")))?;
            let release = format!("Python{}{}", feature.major, feature.minor);
            base.join(release).join("site-packages")
        }
        Os::Linux | Os::Macos => {
            let base = variables.get("PYTHONUSERBASE").map(PathBuf::from);
            let base =
                base.or_else(|| Some(PathBuf::from(variables.get("HOME")?).join(".local")))?;
            base.join(format!("lib/python{feature}/site-packages"))
        }
    })
}

/// A package that one from outside hides.
struct Hidden {
    name: String,
    folder: PathBuf,
    outside: Option<Version>,
    own: Option<Version>,
}

/// The environment's packages that modules of a folder hide. The same version from elsewhere is
/// no harm that could be told.
fn hidden_by(folder: &Path, subject: &Subject<'_>) -> Vec<Hidden> {
    let environment = &subject.environment;
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = real(folder);
    if environment
        .site_packages
        .iter()
        .any(|own| real(own) == folder)
    {
        return Vec::new();
    }
    let outside = Installed::read(std::slice::from_ref(&folder), None);
    let mut by_module: BTreeMap<String, &Package> = BTreeMap::new();
    for package in subject.installed.iter() {
        for module in package.modules() {
            by_module.entry(module).or_insert(package);
        }
    }
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut hidden: Vec<Hidden> = entries
        .filter_map(|entry| {
            let path = entry.path();
            // A folder is a module when it holds code; a name alone says little.
            let inside = match path.is_dir() {
                true => path.join("__init__.py"),
                false => path,
            };
            if !inside.exists() {
                return None;
            }
            let package = by_module.get(&module_of(&inside, &folder)?)?;
            let other = outside.version(package.name.as_ref()).cloned();
            let same = other.is_some() && other == package.version;
            (!same).then(|| Hidden {
                name: package.name.to_string(),
                folder: folder.clone(),
                outside: other,
                own: package.version.clone(),
            })
        })
        .collect();
    let rank = |hidden: &Hidden| FIRST.iter().position(|name| *name == hidden.name);
    hidden.sort_by_key(|hidden| (rank(hidden).unwrap_or(FIRST.len()), hidden.name.clone()));
    hidden.dedup_by(|a, b| a.name == b.name);
    hidden
}

fn list(hidden: &[Hidden]) -> String {
    match hidden {
        [one] => one.name.clone(),
        [one, two] => format!("{} and {}", one.name, two.name),
        [one, two, rest @ ..] => format!("{}, {} and {} more", one.name, two.name, rest.len()),
        [] => String::new(),
    }
}

fn told(hidden: &[Hidden]) -> String {
    let version = |version: &Option<Version>| match version {
        Some(version) => version.to_string(),
        None => "of unknown version".to_owned(),
    };
    let texts: Vec<String> = hidden
        .iter()
        .take(4)
        .map(|hidden| {
            format!(
                "{} {} in `{}` hides {}",
                hidden.name,
                version(&hidden.outside),
                hidden.folder.display(),
                version(&hidden.own)
            )
        })
        .collect();
    texts.join("; ")
}

/// How a variable is taken away.
pub fn unset(name: &str, os: Os) -> Fix {
    Fix {
        text: format!("Take `{name}` away, also where it is set for every start"),
        command: Some(match os {
            Os::Windows => format!("set {name}="),
            Os::Linux | Os::Macos => format!("unset {name}"),
        }),
    }
}

/// A variable with its value, for a person.
pub fn shown(name: &str, value: &OsStr) -> String {
    format!("{name}={}", value.to_string_lossy())
}
