//! `environment.abi`: compiled modules that are there, for another Python than this one.
//!
//! The file name of a compiled module says which Python it is for (PEP 3149):
//! `_C.cpython-310-x86_64-linux-gnu.so`, `_C.cp310-win_amd64.pyd`. Python passes over all others.

use std::collections::BTreeMap;

use crate::{
    doctor::{Cause, environment::Subject, machine::Verdict},
    types::PythonVersion,
};

/// Judges the names of compiled modules.
pub fn check(subject: &Subject<'_>) -> Vec<Verdict> {
    let Some(feature) = subject.environment.feature() else {
        return Vec::new();
    };
    // Package → releases its modules are for; `None` is a module for any.
    let mut releases: BTreeMap<&str, Vec<(Option<PythonVersion>, String)>> = BTreeMap::new();
    for compiled in &subject.inventory.compiled {
        let Some(module) = compiled.module.as_deref() else {
            continue;
        };
        let name = compiled.path.file_name().unwrap_or_default();
        let Some(tag) = tag(&name.to_string_lossy()) else {
            continue;
        };
        let shown = compiled.path.display().to_string();
        releases.entry(module).or_default().push((tag, shown));
    }
    let strange: Vec<(&str, &str, PythonVersion)> = releases
        .iter()
        .filter_map(|(module, found)| {
            // Some packages bring one module for each release.
            let fits = |tag: &Option<PythonVersion>| tag.is_none_or(|tag| tag == feature);
            if found.iter().any(|(tag, _)| fits(tag)) {
                return None;
            }
            let (tag, path) = found.first()?;
            Some((*module, path.as_str(), (*tag)?))
        })
        .collect();
    let Some((first, path, release)) = strange.first() else {
        return Vec::new();
    };
    let rest = match strange.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let packages: Vec<&str> = strange.iter().map(|(module, ..)| *module).collect();
    vec![
        Verdict::problem(format!(
            "{first}{rest} was compiled for Python {release}, and this is Python {feature}"
        ))
        .cause(Cause::WrongEnvironment)
        .because(
            "Compiled modules work with one release of Python only; others do not even see them. \
             The packages were copied from another environment, or installed by the pip of another \
             Python.",
        )
        .fix(subject.commands.reinstall(
            "Install the packages again, with this Python",
            &owners(subject, &packages),
        ))
        .seen(format!("`{path}`")),
    ]
}

/// The packages of modules, where records tell; the modules' own names otherwise.
fn owners<'a>(subject: &'a Subject<'_>, modules: &[&'a str]) -> Vec<&'a str> {
    let mut names: Vec<&str> = modules
        .iter()
        .map(|module| {
            subject
                .inventory
                .compiled
                .iter()
                .find(|compiled| compiled.module.as_deref() == Some(*module))
                .and_then(|compiled| compiled.package.as_ref())
                .map_or(*module, |package| package.as_ref())
        })
        .collect();
    names.dedup();
    names
}

/// The release a module's file name tells: `Some(None)` for a module that any can use, `None` for
/// a file that is no module by its name.
fn tag(name: &str) -> Option<Option<PythonVersion>> {
    let stem = name
        .strip_suffix(".so")
        .or_else(|| name.strip_suffix(".pyd"))?;
    let tag = stem.split('.').nth(1).unwrap_or_default();
    if tag.starts_with("abi3") {
        return Some(None);
    }
    let digits = tag
        .strip_prefix("cpython-")
        .or_else(|| tag.strip_prefix("cp"))?;
    let digits: String = digits.chars().take_while(char::is_ascii_digit).collect();
    let (major, minor) = digits.split_at_checked(1)?;
    let release = PythonVersion::new(major.parse().ok()?, minor.parse().ok()?);
    Some(Some(release))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_file_names() {
        let release = |minor| Some(Some(PythonVersion::new(3, minor)));
        for (name, expected) in [
            ("_C.cpython-310-x86_64-linux-gnu.so", release(10)),
            ("_C.cpython-313t-x86_64-linux-gnu.so", release(13)),
            ("_C.cp39-win_amd64.pyd", release(9)),
            ("_C.abi3.so", Some(None)),
            ("_C.so", None),
            ("libtorch.so", None),
            ("libx.cp.so", None),
            ("_C.pyd", None),
        ] {
            assert_eq!(tag(name), expected, "{name}");
        }
    }
}
