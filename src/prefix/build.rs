//! Building a prefix in its staging folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rayon::prelude::*;

use super::{
    PrefixError, PrefixRequest, SITE_PACKAGES_KEY,
    layout::Layout,
    plan::{Content, Plan, PlannedFile, Unpacked},
    scripts::Launcher,
};
use crate::{
    lock::ArtifactKind,
    platform::{self, Linker},
    progress::Progress,
    store::{Entry, Store},
};

/// One prefix under construction.
pub(super) struct Build<'a> {
    /// Where it is built.
    pub(super) stage: &'a Path,
    /// Where it will be; scripts name this path.
    pub(super) destination: &'a Path,
    pub(super) layout: &'a Layout,
    pub(super) request: &'a PrefixRequest<'a>,
    pub(super) store: &'a Store,
    pub(super) progress: &'a dyn Progress,
}

impl Build<'_> {
    pub(super) fn run(&self) -> Result<(), PrefixError> {
        let packages = self.packages()?;
        let python = self.destination.join(self.layout.interpreter());
        let python = python.to_str().ok_or_else(|| PrefixError::PathNotUnicode {
            path: python.clone(),
        })?;
        let launcher = match self.layout.is_windows() {
            true => Some(self.bring_launcher()?),
            false => None,
        };
        let plan = Plan::of(&packages, self.layout, python, launcher.as_ref())?;
        for note in &plan.notes {
            self.progress.note(note);
        }
        self.progress.step(&match packages.len() {
            1 => "Linking 1 package".to_owned(),
            n => format!("Linking {n} packages"),
        });
        self.write_environment()?;
        self.create_folders(plan.folders())?;
        self.place(&plan)?;
        if let Some(Launcher { path, .. }) = launcher {
            fs::remove_file(&path).map_err(PrefixError::io("remove", path))?;
        }
        self.place_tree()?;
        self.link_programs()?;
        if self.request.compile {
            self.compile()?;
        }
        Ok(())
    }

    fn packages(&self) -> Result<Vec<Unpacked<'_>>, PrefixError> {
        self.request
            .lock
            .packages
            .iter()
            .map(|package| {
                let artifact = &package.artifact;
                let entry = match artifact.kind {
                    ArtifactKind::Wheel => self.store.wheel(&artifact.sha256),
                    ArtifactKind::Sdist => self.request.built.get(&package.name).cloned(),
                };
                let entry = entry.ok_or_else(|| PrefixError::NotInStore {
                    what: artifact.file_name.clone(),
                })?;
                Ok(Unpacked { package, entry })
            })
            .collect()
    }

    /// `pyvenv.cfg` and the interpreter (PEP 405).
    fn write_environment(&self) -> Result<(), PrefixError> {
        let runtime = self.request.python;
        let home = runtime.executable.parent().unwrap_or(Path::new("/"));
        let config = format!(
            "home = {}\ninclude-system-site-packages = false\nversion = {}\nexecutable = {}\n\
             aienv = {}\n{SITE_PACKAGES_KEY} = {}\n",
            unicode(home)?,
            runtime.version,
            unicode(&runtime.executable)?,
            env!("CARGO_PKG_VERSION"),
            self.layout.site_packages(),
        );
        self.write("pyvenv.cfg", config.as_bytes())?;
        self.create_folders([self.layout.scripts(), self.layout.site_packages().as_str()])?;
        if self.layout.is_windows() {
            self.copy_launchers()
        } else {
            self.link_interpreter()
        }
    }

    fn link_interpreter(&self) -> Result<(), PrefixError> {
        let bin = self.stage.join(self.layout.scripts());
        let first = bin.join("python");
        platform::symlink_file(&self.request.python.executable, &first)
            .map_err(PrefixError::io("create", &first))?;
        for name in ["python3", self.layout.python()] {
            let link = bin.join(name);
            platform::symlink_file(Path::new("python"), &link)
                .map_err(PrefixError::io("create", link))?;
        }
        // Extension modules of some interpreters are looked for in `lib64`.
        if cfg!(all(target_os = "linux", target_pointer_width = "64")) {
            let link = self.stage.join("lib64");
            platform::symlink_file(Path::new("lib"), &link)
                .map_err(PrefixError::io("create", link))?;
        }
        Ok(())
    }

    /// On Windows an environment holds copies of small launchers that come with Python and find
    /// the real interpreter through `pyvenv.cfg`.
    fn copy_launchers(&self) -> Result<(), PrefixError> {
        let python = &self.request.python.executable;
        let folder = python
            .parent()
            .unwrap_or(python)
            .join("Lib/venv/scripts/nt");
        let suffix = if self.request.python.freethreaded {
            "t"
        } else {
            ""
        };
        for (name, window) in [("python.exe", ""), ("pythonw.exe", "w")] {
            // Named so since 3.13; the launchers simply bore the interpreter's name before.
            let source = [format!("venv{window}launcher{suffix}.exe"), name.to_owned()]
                .into_iter()
                .map(|name| folder.join(name))
                .find(|path| path.is_file())
                .ok_or_else(|| PrefixError::IncompletePython {
                    python: python.clone(),
                    missing: "venv launcher".to_owned(),
                })?;
            let target = self.stage.join(self.layout.scripts()).join(name);
            fs::copy(&source, &target).map_err(PrefixError::io("write", target))?;
        }
        Ok(())
    }

    /// What scripts are started with on Windows, to be linked to while this prefix is built.
    fn bring_launcher(&self) -> Result<Launcher, PrefixError> {
        let path = self.stage.join(".launcher.exe");
        Launcher::copy_to(path.clone()).map_err(PrefixError::io("write", path))
    }

    /// Creates folders, parents first, each with its parents.
    fn create_folders<'p>(
        &self,
        folders: impl IntoIterator<Item = &'p str>,
    ) -> Result<(), PrefixError> {
        for folder in folders {
            let path = self.stage.join(folder);
            match fs::create_dir(&path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    fs::create_dir_all(&path).map_err(PrefixError::io("create", path))?;
                }
                other => other.map_err(PrefixError::io("create", path))?,
            }
        }
        Ok(())
    }

    /// Links and writes all planned files, many at a time.
    fn place(&self, plan: &Plan) -> Result<(), PrefixError> {
        let sample = plan.files.values().find_map(|file| match &file.content {
            Content::Stored { source, .. } => Some(source.as_path()),
            Content::Made(_) => None,
        });
        let Some(sample) = sample else { return Ok(()) };
        let linker = Linker::detect(sample, self.stage);
        plan.files.par_iter().try_for_each(|(path, file)| {
            let target = self.stage.join(path);
            self.place_one(linker, &target, file)
        })
    }

    fn place_one(
        &self,
        linker: Linker,
        target: &Path,
        file: &PlannedFile,
    ) -> Result<(), PrefixError> {
        match &file.content {
            Content::Made(content) => {
                fs::write(target, content).map_err(PrefixError::io("write", target))?;
                if file.executable {
                    platform::set_executable(target, true)
                        .map_err(PrefixError::io("write", target))?;
                }
                Ok(())
            }
            Content::Stored { source, linkable } => {
                let linker = if *linkable {
                    linker
                } else {
                    Linker::with_mode(platform::LinkMode::Copy)
                };
                link_checked(linker, source, target, file.size, file.executable)
            }
        }
    }

    /// The source tree, linked like everything else.
    fn place_tree(&self) -> Result<(), PrefixError> {
        let Some(tree) = &self.request.lock.tree else {
            return Ok(());
        };
        let entry = self
            .store
            .tree(&tree.tree_hash)
            .ok_or_else(|| PrefixError::NotInStore {
                what: format!("{}@{}", tree.repository, tree.commit),
            })?;
        let root = self.stage.join("tree");
        fs::create_dir(&root).map_err(PrefixError::io("create", &root))?;
        link_tree(&entry, &root)
    }

    /// Gives the manifest's programs a name in the scripts folder.
    fn link_programs(&self) -> Result<(), PrefixError> {
        for (name, pattern) in self.request.programs {
            let site = self.stage.join(self.layout.site_packages());
            let found = matching_files(&site, pattern);
            let [program] = found.as_slice() else {
                return Err(PrefixError::Program {
                    name: name.clone(),
                    pattern: pattern.clone(),
                    found: found.len(),
                });
            };
            let link = self.stage.join(self.layout.scripts()).join(name);
            let link = platform::name_for_program(&link, program);
            if link.symlink_metadata().is_ok() {
                continue;
            }
            if platform::is_executable(program) {
                platform::link_program(program, &link).map_err(PrefixError::io("create", link))?;
            } else {
                // The wheel forgot the executable bit, and the shared file is not to be changed.
                fs::copy(program, &link)
                    .and_then(|_| platform::set_executable(&link, true))
                    .map_err(PrefixError::io("write", link))?;
            }
        }
        Ok(())
    }

    /// Compiles all modules with the prefix's own interpreter. Packages hold files that are not
    /// meant to compile (templates, other Python versions), so its exit code says nothing.
    fn compile(&self) -> Result<(), PrefixError> {
        self.progress.step("Compiling modules");
        let python = self.stage.join(self.layout.interpreter());
        let site = self.stage.join(self.layout.site_packages());
        Command::new(&python)
            .args(["-I", "-m", "compileall", "-q", "-j", "0", "-s"])
            .arg(self.stage)
            .arg("-p")
            .arg(self.destination)
            .arg(site)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|source| PrefixError::Compile { python, source })?;
        Ok(())
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<(), PrefixError> {
        let path = self.stage.join(path);
        fs::write(&path, content).map_err(PrefixError::io("write", path))
    }
}

/// Links a stored file after a look at its size: a file that a power cut left short is noticed
/// here rather than at run time.
fn link_checked(
    linker: Linker,
    source: &Path,
    target: &Path,
    size: u64,
    executable: bool,
) -> Result<(), PrefixError> {
    match fs::symlink_metadata(source) {
        Ok(metadata) if metadata.len() == size => {}
        _ => {
            return Err(PrefixError::Damaged {
                path: source.to_path_buf(),
            });
        }
    }
    linker
        .link(source, target, executable)
        .map_err(PrefixError::io("write", target))
}

/// Links a whole entry into an existing folder.
fn link_tree(entry: &Entry, root: &Path) -> Result<(), PrefixError> {
    let paths = || {
        let files = entry.files.iter().map(|file| file.path.as_str());
        files.chain(entry.links.iter().map(|link| link.path.as_str()))
    };
    for path in paths() {
        if let Some((folder, _)) = path.rsplit_once('/') {
            let folder = root.join(folder);
            if !folder.is_dir() {
                fs::create_dir_all(&folder).map_err(PrefixError::io("create", folder))?;
            }
        }
    }
    if let Some(sample) = entry.files.first() {
        let linker = Linker::detect(&entry.root.join(&sample.path), root);
        entry.files.par_iter().try_for_each(|file| {
            let source = entry.root.join(&file.path);
            let target = root.join(&file.path);
            link_checked(linker, &source, &target, file.size, file.executable)
        })?;
    }
    for link in &entry.links {
        let place = root.join(&link.path);
        platform::symlink_file(Path::new(&link.target), &place)
            .map_err(PrefixError::io("create", place))?;
    }
    Ok(())
}

/// Files below `root` whose path is `pattern`, where one `*` in the last component stands for
/// anything; sorted.
fn matching_files(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let (folder, last) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let Some((start, end)) = last.split_once('*') else {
        let path = root.join(pattern);
        return Vec::from_iter(path.is_file().then_some(path));
    };
    let Ok(entries) = fs::read_dir(root.join(folder)) else {
        return Vec::new();
    };
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end)
            }) && path.is_file()
        })
        .collect();
    found.sort_unstable();
    found
}

fn unicode(path: &Path) -> Result<&str, PrefixError> {
    path.to_str().ok_or_else(|| PrefixError::PathNotUnicode {
        path: path.to_path_buf(),
    })
}
