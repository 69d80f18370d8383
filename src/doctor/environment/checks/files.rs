//! `environment.files`: is everything there that packages brought, and is it what they brought?
//!
//! Presence and size are compared for every file, content for small ones (for all with `--deep`:
//! a torch environment has 5 GB). A file that another package of the environment brought too is
//! that package's business, not damage. People do edit texts of packages (code, certificates): an
//! edited one is worth a note; an empty one, or a binary one that differs, was damaged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use crate::{
    doctor::{
        Cause, Fix,
        environment::{Brought, Subject, inventory::is_compiled_name},
        machine::Verdict,
    },
    types::Sha256,
};

/// Content of larger files is only compared when asked for.
const SMALL: u64 = 256 << 10;
/// Nobody edits a larger text by hand.
const LARGEST_TEXT: u64 = 4 << 20;
/// Files that are named.
const NAMED: usize = 4;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    Gone,
    /// Empty, or shorter than it was.
    Cut,
    Changed,
    Unreadable,
}

/// Damaged files of a package.
type Damaged<'a> = Vec<(&'a Path, Damage)>;

/// Judges the files; gives those too that were edited, or look like it.
pub fn check(subject: &Subject<'_>) -> (Vec<Verdict>, Vec<PathBuf>) {
    let mut verdicts = Vec::new();
    let by_package = damaged(subject);
    let edited = by_package
        .values()
        .flatten()
        .filter(|(path, damage)| *damage != Damage::Gone && is_editable(path))
        .map(|(path, _)| path.to_path_buf())
        .collect();
    let mut touched = Vec::new();
    for (package, files) in &by_package {
        match judge(subject, package, files) {
            Judged::Broken(verdict) => verdicts.push(verdict),
            Judged::Edited(files) => touched.push((*package, files)),
            Judged::Whole => {}
        }
    }
    verdicts.extend(edited_note(&touched));
    verdicts.extend(leftovers(subject));
    verdicts.extend(twice(subject));
    let is_whole = !verdicts
        .iter()
        .any(|verdict| verdict.cause == Some(Cause::EnvironmentDamaged));
    let checked: usize = subject.inventory.brought.values().map(Vec::len).sum();
    if is_whole && checked > 0 {
        let told = match subject.inventory.brought.len() {
            1 => "1 package is whole".to_owned(),
            count => format!("{count} packages are whole"),
        };
        verdicts.push(Verdict::works(format!("{told} ({checked} files)")));
    }
    (verdicts, edited)
}

fn damaged<'a>(subject: &'a Subject<'_>) -> BTreeMap<&'a str, Damaged<'a>> {
    let owners = &subject.inventory.owners;
    subject
        .inventory
        .brought
        .par_iter()
        .filter_map(|(package, files)| {
            let damaged: Damaged<'_> = files
                .par_iter()
                .filter(|file| owners.get(&file.path).is_none_or(|names| names.len() == 1))
                .filter_map(|file| Some((&*file.path, damage(file, subject.options.deep)?)))
                .collect();
            (!damaged.is_empty()).then_some((package.as_str(), damaged))
        })
        .collect()
}

fn damage(file: &Brought, deep: bool) -> Option<Damage> {
    if is_byte_code(&file.path) {
        return None;
    }
    let metadata = match fs::metadata(&file.path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Some(Damage::Unreadable);
        }
        Err(_) => return Some(Damage::Gone),
    };
    if metadata.is_dir() {
        return None;
    }
    // The lists themselves are written last and list themselves without size.
    if let Some(size) = file.size
        && size != metadata.len()
    {
        return Some(if metadata.len() < size {
            Damage::Cut
        } else {
            Damage::Changed
        });
    }
    let expected = file.sha256?;
    if metadata.len() > SMALL && !deep {
        return File::open(&file.path).err().map(|_| Damage::Unreadable);
    }
    match File::open(&file.path).and_then(Sha256::of_reader) {
        Ok(found) if *found.as_bytes() == expected => None,
        Ok(_) => Some(Damage::Changed),
        Err(_) => Some(Damage::Unreadable),
    }
}

fn is_byte_code(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "pyc" || ending == "pyo")
}

/// Whether a package works without a file: programs, tests, headers, documentation. Images of
/// containers are made smaller by removing these.
fn is_dispensable(path: &Path, subject: &Subject<'_>) -> bool {
    let root = &subject.environment.root;
    let below_packages = subject
        .environment
        .site_packages
        .iter()
        .find_map(|site| path.strip_prefix(site).ok());
    let Some(below) = below_packages else {
        // Programs, manual pages and the like; conda's packages have their libraries here.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let below = path.strip_prefix(root).unwrap_or(path);
        return !(is_compiled_name(&name) && below.starts_with("lib"));
    };
    let folders = [
        "tests",
        "test",
        "testing",
        "docs",
        "doc",
        "examples",
        "include",
        "share",
        "benchmarks",
    ];
    let mut parts = below
        .iter()
        .map(|part| part.to_string_lossy().to_lowercase());
    let in_info = parts.clone().any(|part| part.ends_with(".dist-info"));
    in_info
        || parts.any(|part| folders.contains(&part.as_str()))
        || below.extension().is_some_and(|ending| {
            [
                "a", "lib", "h", "hpp", "cuh", "pyi", "md", "rst", "txt", "c", "cpp", "pxd", "pyx",
            ]
            .iter()
            .any(|known| ending == *known)
        })
}

/// What the damage of a package comes to.
enum Judged<'a> {
    Broken(Verdict),
    Edited(Vec<&'a Path>),
    Whole,
}

fn judge<'a>(subject: &Subject<'_>, package: &str, files: &Damaged<'a>) -> Judged<'a> {
    let of = |damage: Damage| -> Vec<&'a Path> {
        let found = files.iter().filter(|(_, found)| *found == damage);
        found.map(|(path, _)| *path).collect()
    };
    let is_tool = subject.commands.tool().is_some();
    let serious = |path: &&'a Path| is_tool || !is_dispensable(path, subject);
    let unreadable = of(Damage::Unreadable);
    if !unreadable.is_empty() {
        return Judged::Broken(permissions(subject, package, &unreadable));
    }
    let gone: Vec<&'a Path> = of(Damage::Gone).into_iter().filter(serious).collect();
    let cut: Vec<&'a Path> = of(Damage::Cut).into_iter().filter(serious).collect();
    let changed = of(Damage::Changed);
    // Whoever edits makes text files longer or shorter; nobody edits a library.
    let (edited, broken): (Vec<&'a Path>, Vec<&'a Path>) = cut
        .into_iter()
        .chain(changed)
        .filter(serious)
        .partition(|path| is_editable(path) && !is_tool);
    let mut parts = Vec::new();
    let mut seen = Vec::new();
    for (files, what) in [(&gone, "missing"), (&broken, "damaged")] {
        match files.len() {
            0 => continue,
            1 => parts.push(format!("1 file is {what}")),
            count => parts.push(format!("{count} files are {what}")),
        }
        seen.extend(named(files, what));
    }
    if parts.is_empty() {
        return match edited.is_empty() {
            true => Judged::Whole,
            false => Judged::Edited(edited),
        };
    }
    Judged::Broken(
        Verdict::problem(format!("{package} is not whole: {}", parts.join(", ")))
            .cause(Cause::EnvironmentDamaged)
            .because(
                "What is on disk is not what was installed: an interrupted installation, a full \
                 disk, a virus scanner, or somebody who removed files.",
            )
            .fix(subject.install_again("Install the package again", package))
            .seen(seen.join("; ")),
    )
}

/// A text, which people edit: code, settings, certificates of a company. What was emptied was not
/// edited.
fn is_editable(path: &Path) -> bool {
    let is_readable = path
        .metadata()
        .is_ok_and(|file| file.len() > 0 && file.len() <= LARGEST_TEXT);
    is_readable
        && fs::read(path)
            .is_ok_and(|bytes| !bytes.contains(&0) && std::str::from_utf8(&bytes).is_ok())
}

fn edited_note(touched: &[(&str, Vec<&Path>)]) -> Option<Verdict> {
    if touched.is_empty() {
        return None;
    }
    let names: Vec<&str> = touched.iter().map(|(package, _)| *package).collect();
    let files: Vec<&Path> = touched
        .iter()
        .flat_map(|(_, files)| files)
        .copied()
        .collect();
    Some(
        Verdict::note(format!("files of {} were edited", names.join(", ")))
            .because("They differ from what was installed. That may be on purpose.")
            .seen(named(&files, "edited").join("; ")),
    )
}

fn permissions(subject: &Subject<'_>, package: &str, files: &[&Path]) -> Verdict {
    let fix = match subject.commands.tool() {
        Some(_) => subject.commands.recreate(),
        None => Fix {
            text: "Give the files back to the user who runs programs of the environment".to_owned(),
            command: cfg!(unix).then(|| {
                format!(
                    "sudo chown -R \"$USER\" '{}' && chmod -R u+rX '{0}'",
                    subject.environment.root.display()
                )
            }),
        },
    };
    Verdict::problem(format!("{} files of {package} cannot be read", files.len()))
        .cause(Cause::EnvironmentDamaged)
        .because(
            "They belong to another user or may not be read by this one, as happens when packages \
             are installed with `sudo`.",
        )
        .fix(fix)
        .seen(named(files, "not readable").join("; "))
}

fn named(files: &[&Path], what: &str) -> Vec<String> {
    let mut texts: Vec<String> = files
        .iter()
        .take(NAMED)
        .map(|path| format!("{what}: `{}`", path.display()))
        .collect();
    if files.len() > NAMED {
        texts.push(format!("and {} more", files.len() - NAMED));
    }
    texts
}

/// What an interrupted removal left.
fn leftovers(subject: &Subject<'_>) -> Option<Verdict> {
    let folders = &subject.installed.leftovers;
    let first: &PathBuf = folders.first()?;
    Some(
        Verdict::note("an interrupted removal left folders behind")
            .because(
                "pip renames what it removes to `~…` first and puts it back when it fails. These \
                 were neither removed nor put back; pip warns of an invalid distribution.",
            )
            .fix(Fix {
                text: "Delete the folders whose names begin with `~`".to_owned(),
                command: None,
            })
            .seen(format!("`{}`", first.display())),
    )
}

/// One package with two records in one folder: files of both versions lie over each other.
fn twice(subject: &Subject<'_>) -> Vec<Verdict> {
    let mut told = BTreeSet::new();
    subject
        .installed
        .twice
        .iter()
        .filter(|(first, _)| told.insert(first.name.clone()))
        // The same version twice is one installation with two spellings of its name.
        .filter(|(first, second)| first.version != second.version)
        .map(|(first, second)| {
            Verdict::problem(format!("{} is recorded in two versions", first.name))
                .cause(Cause::EnvironmentDamaged)
                .sure(0.8)
                .because(
                    "An update was interrupted, or two installers wrote into one folder. The \
                     files of both versions may be mixed.",
                )
                .fix(subject.commands.reinstall(
                    "Install the package again, in one version",
                    &[first.name.as_ref()],
                ))
                .seen(format!(
                    "`{}` and `{}`",
                    first.info.display(),
                    second.info.display()
                ))
        })
        .collect()
}
