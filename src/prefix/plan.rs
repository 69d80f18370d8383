//! What goes where: from unpacked wheels to the files of a prefix. Reads the wheels' own metadata;
//! writes nothing.
//!
//! When two packages bring the same path with different content, the one later by name wins, as
//! with installers that simply overwrite; who lost what is reported as a note, because it is
//! nearly always harmless (a stray `tests/__init__.py`) and sometimes the whole explanation (two
//! builds of one library). RECORD of each names the content that is really there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use super::{
    PrefixError,
    layout::Layout,
    scripts::{self, Launcher, Script, ScriptContent, ScriptMaker},
};
use crate::{
    lock::LockedPackage,
    store::{Entry, StoredFile, hash_field},
    types::Sha256,
};

/// Where a file's bytes come from.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A file of the store.
    Stored {
        source: PathBuf,
        /// It has its executable bit right, so it may be linked.
        linkable: bool,
    },
    /// Made here.
    Made(Vec<u8>),
}

/// A file of the prefix.
#[derive(Clone, Debug)]
pub(super) struct PlannedFile {
    pub(super) content: Content,
    pub(super) executable: bool,
    pub(super) size: u64,
    sha256: Sha256,
    /// Index of the package it comes from.
    owner: usize,
}

/// All files of a prefix that come from packages.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// By path relative to the prefix.
    pub(super) files: BTreeMap<String, PlannedFile>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// A package with its unpacked wheel.
pub(super) struct Unpacked<'a> {
    pub(super) package: &'a LockedPackage,
    pub(super) entry: Entry,
}

/// One package's files before they meet those of others.
struct Part {
    files: Vec<(String, PlannedFile)>,
    /// The installed `.dist-info` folder.
    dist_info: String,
}

impl Plan {
    /// Plans all packages. `python` is the absolute path of the prefix's interpreter; `launcher`
    /// starts scripts where the system does not by itself.
    pub(super) fn of(
        packages: &[Unpacked<'_>],
        layout: &Layout,
        python: &str,
        launcher: Option<&Launcher>,
    ) -> Result<Self, PrefixError> {
        let maker = ScriptMaker { python, launcher };
        let mut plan = Self::default();
        let mut parts = Vec::with_capacity(packages.len());
        let mut lost: BTreeMap<(usize, usize), (String, usize)> = BTreeMap::new();
        for (owner, unpacked) in packages.iter().enumerate() {
            let part = plan_package(owner, unpacked, layout, &maker)?;
            let mut paths = Vec::with_capacity(part.files.len());
            for (path, file) in part.files {
                if layout.is_reserved(&path) {
                    return Err(PrefixError::Reserved {
                        package: unpacked.package.name.clone(),
                        path,
                    });
                }
                let sha256 = file.sha256;
                if let Some(other) = plan.files.insert(path.clone(), file)
                    && other.sha256 != sha256
                {
                    lost.entry((other.owner, owner))
                        .or_insert_with(|| (path.clone(), 0))
                        .1 += 1;
                }
                paths.push(path);
            }
            parts.push((part.dist_info, paths));
        }
        for ((loser, winner), (path, count)) in lost {
            let name = |index: usize| &packages[index].package.name;
            let more = match count {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            plan.notes.push(format!(
                "`{}` and `{}` both bring `{path}`{more}; `{}` wins",
                name(loser),
                name(winner),
                name(winner)
            ));
        }
        plan.refuse_files_that_are_folders(packages)?;
        plan.add_records(parts, layout);
        Ok(plan)
    }

    /// Every folder a file lies in, parents first.
    pub(super) fn folders(&self) -> BTreeSet<&str> {
        let mut folders = BTreeSet::new();
        for path in self.files.keys() {
            let mut rest = path.as_str();
            while let Some((folder, _)) = rest.rsplit_once('/') {
                if !folders.insert(folder) {
                    break;
                }
                rest = folder;
            }
        }
        folders
    }

    fn refuse_files_that_are_folders(&self, packages: &[Unpacked<'_>]) -> Result<(), PrefixError> {
        for folder in self.folders() {
            let Some(file) = self.files.get(folder) else {
                continue;
            };
            let below = format!("{folder}/");
            let other = self.files.range(below.clone()..).next();
            let name = |owner: usize| packages[owner].package.name.to_string();
            return Err(PrefixError::FileAndFolder {
                path: folder.to_owned(),
                file_of: name(file.owner),
                folder_of: other.map_or_else(String::new, |(_, file)| name(file.owner)),
            });
        }
        Ok(())
    }

    /// Writes each package's RECORD from what is finally there.
    fn add_records(&mut self, parts: Vec<(String, Vec<String>)>, layout: &Layout) {
        for (owner, (dist_info, mut paths)) in parts.into_iter().enumerate() {
            paths.sort_unstable();
            paths.dedup();
            let mut writer = csv::WriterBuilder::new()
                .terminator(csv::Terminator::Any(b'\n'))
                .from_writer(Vec::new());
            let mut row = |path: &str, hash: &str, size: &str| {
                // Writing to memory does not fail.
                let _ = writer.write_record([layout.record_path(path).as_str(), hash, size]);
            };
            for path in &paths {
                if let Some(file) = self.files.get(path) {
                    row(path, &hash_field(&file.sha256), &file.size.to_string());
                }
            }
            let record = format!("{dist_info}/RECORD");
            row(&record, "", "");
            let content = writer.into_inner().unwrap_or_default();
            self.files.insert(record, made(owner, content, false));
        }
    }
}

fn made(owner: usize, content: Vec<u8>, executable: bool) -> PlannedFile {
    PlannedFile {
        executable,
        size: content.len() as u64,
        sha256: Sha256::of(&content),
        owner,
        content: Content::Made(content),
    }
}

fn plan_package(
    owner: usize,
    unpacked: &Unpacked<'_>,
    layout: &Layout,
    maker: &ScriptMaker<'_>,
) -> Result<Part, PrefixError> {
    let Unpacked { package, entry } = unpacked;
    check_wheel_version(entry)?;
    let site = layout.site_packages();
    let stem = entry
        .dist_info
        .strip_suffix(".dist-info")
        .unwrap_or(&entry.dist_info);
    let data = format!("{stem}.data/");
    let info = format!("{}/", entry.dist_info);
    let mut files = Vec::with_capacity(entry.files.len() + 4);
    for file in &entry.files {
        if let Some(below) = file.path.strip_prefix(&data) {
            plan_data(owner, unpacked, file, below, layout, maker, &mut files)?;
        } else if file.path.strip_prefix(&info).is_some_and(is_rewritten) {
            continue;
        } else {
            files.push((
                format!("{site}/{}", file.path),
                stored(owner, entry, file, file.executable),
            ));
        }
    }
    let dist_info = format!("{site}/{}", entry.dist_info);
    for point in declared_commands(entry)? {
        for script in maker.for_entry_point(&point) {
            files.push(script_file(owner, layout, script));
        }
    }
    files.push((
        format!("{dist_info}/INSTALLER"),
        made(owner, b"aienv\n".to_vec(), false),
    ));
    if package.direct {
        files.push((
            format!("{dist_info}/direct_url.json"),
            made(owner, direct_url(package), false),
        ));
    }
    Ok(Part { files, dist_info })
}

/// Files of `.dist-info` that are written anew or speak of the archive, not of the installation.
fn is_rewritten(name: &str) -> bool {
    matches!(
        name,
        "RECORD" | "RECORD.jws" | "RECORD.p7s" | "INSTALLER" | "REQUESTED" | "direct_url.json"
    )
}

fn stored(owner: usize, entry: &Entry, file: &StoredFile, executable: bool) -> PlannedFile {
    PlannedFile {
        content: Content::Stored {
            source: entry.root.join(&file.path),
            linkable: executable == file.executable,
        },
        executable,
        size: file.size,
        sha256: file.sha256,
        owner,
    }
}

fn script_file(owner: usize, layout: &Layout, script: Script<'_>) -> (String, PlannedFile) {
    let path = format!("{}/{}", layout.scripts(), script.name);
    let file = match script.content {
        ScriptContent::Text(content) => made(owner, content, true),
        ScriptContent::Launcher(launcher) => PlannedFile {
            content: Content::Stored {
                source: launcher.path.clone(),
                linkable: true,
            },
            executable: true,
            size: launcher.size,
            sha256: launcher.sha256,
            owner,
        },
    };
    (path, file)
}

/// A file of the `.data` folder: its first component says which scheme it belongs to.
fn plan_data(
    owner: usize,
    unpacked: &Unpacked<'_>,
    file: &StoredFile,
    below: &str,
    layout: &Layout,
    maker: &ScriptMaker<'_>,
    files: &mut Vec<(String, PlannedFile)>,
) -> Result<(), PrefixError> {
    let entry = &unpacked.entry;
    let bad = |problem: String| PrefixError::BadWheel {
        wheel: entry.file_name.clone(),
        problem,
    };
    let (scheme, path) = below
        .split_once('/')
        .ok_or_else(|| bad(format!("`{}` lies in no scheme folder", file.path)))?;
    let target = match scheme {
        "purelib" | "platlib" => format!("{}/{path}", layout.site_packages()),
        "headers" => {
            let package = unpacked.package.name.to_string();
            format!("{}/{path}", layout.headers(&package))
        }
        "data" => path.to_owned(),
        "scripts" => {
            let source = entry.root.join(&file.path);
            if let Some(made) = brought_script(&source, path, maker)? {
                files.extend(made.into_iter().map(|s| script_file(owner, layout, s)));
                return Ok(());
            }
            let target = format!("{}/{path}", layout.scripts());
            files.push((target, stored(owner, entry, file, true)));
            return Ok(());
        }
        other => return Err(bad(format!("`{other}` is no scheme of the wheel format"))),
    };
    files.push((target, stored(owner, entry, file, file.executable)));
    Ok(())
}

/// Reads a script only as far as needed to know whether it has to be rewritten: some are programs
/// of many megabytes.
fn brought_script<'a>(
    source: &Path,
    name: &str,
    maker: &ScriptMaker<'a>,
) -> Result<Option<Vec<Script<'a>>>, PrefixError> {
    let mut head = Vec::new();
    File::open(source)
        .and_then(|file| file.take(16).read_to_end(&mut head))
        .map_err(PrefixError::io("read", source))?;
    if !scripts::asks_for_python(&head) {
        return Ok(None);
    }
    let content = fs::read(source).map_err(PrefixError::io("read", source))?;
    Ok(maker.for_brought(name, &content))
}

fn declared_commands(entry: &Entry) -> Result<Vec<scripts::EntryPoint>, PrefixError> {
    let path = format!("{}/entry_points.txt", entry.dist_info);
    if !entry.files.iter().any(|file| file.path == path) {
        return Ok(Vec::new());
    }
    let source = entry.root.join(path);
    let text = fs::read(&source).map_err(PrefixError::io("read", source))?;
    scripts::entry_points(&String::from_utf8_lossy(&text)).map_err(|problem| {
        PrefixError::BadWheel {
            wheel: entry.file_name.clone(),
            problem,
        }
    })
}

/// A major version that is not known must not be installed (PEP 427).
fn check_wheel_version(entry: &Entry) -> Result<(), PrefixError> {
    let path = entry.root.join(&entry.dist_info).join("WHEEL");
    let text = fs::read(&path).map_err(PrefixError::io("read", path))?;
    let text = String::from_utf8_lossy(&text);
    let version = text
        .lines()
        .find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim()
                .eq_ignore_ascii_case("Wheel-Version")
                .then(|| value.trim())
        })
        .unwrap_or("none");
    if version.split('.').next() == Some("1") {
        return Ok(());
    }
    Err(PrefixError::WheelVersion {
        wheel: entry.file_name.clone(),
        version: version.to_owned(),
    })
}

/// `direct_url.json` (PEP 610) for a wheel or source distribution asked for by URL.
fn direct_url(package: &LockedPackage) -> Vec<u8> {
    let digest = package.artifact.sha256.to_string();
    serde_json::json!({
        "url": package.artifact.url,
        "archive_info": {
            "hash": format!("sha256={digest}"),
            "hashes": { "sha256": digest },
        },
    })
    .to_string()
    .into_bytes()
}
