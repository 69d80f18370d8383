//! Putting a file of the store into a prefix without copying its bytes where that can be avoided.
//!
//! Best first: a *reflink* shares blocks until one side changes (btrfs, XFS, APFS, ReFS); a *hard
//! link* is the same file under another name (the same file system is needed); a *copy* always
//! works. Symbolic links are not used: they were measured to be slower than hard links on ext4 and
//! make a prefix break when the store moves. Which one works is found out once per pair of folders
//! by trying, not by looking up file-system names.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// How files get from the store into a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMode {
    /// Blocks are shared until one side is changed.
    Reflink,
    /// One file under two names.
    HardLink,
    /// Its own bytes.
    Copy,
}

/// Links files from one folder tree into another.
#[derive(Clone, Copy, Debug)]
pub struct Linker {
    mode: LinkMode,
}

impl Linker {
    /// Always uses one mode.
    pub fn with_mode(mode: LinkMode) -> Self {
        Self { mode }
    }

    /// Finds the best mode that works from the file system of `sample` (an existing file) to
    /// `folder` (an existing folder). Leaves nothing behind.
    pub fn detect(sample: &Path, folder: &Path) -> Self {
        let probe = folder.join(".link-probe");
        let works = |result: io::Result<()>| {
            let worked = result.is_ok();
            let _ = fs::remove_file(&probe);
            worked
        };
        let mode = if works(reflink_copy::reflink(sample, &probe)) {
            LinkMode::Reflink
        } else if works(fs::hard_link(sample, &probe)) {
            LinkMode::HardLink
        } else {
            LinkMode::Copy
        };
        Self { mode }
    }

    /// The mode in use.
    pub fn mode(self) -> LinkMode {
        self.mode
    }

    /// Makes `to` (which must not exist) hold what `from` holds. A single file for which the mode
    /// fails (too many hard links, for example) is copied.
    pub fn link(self, from: &Path, to: &Path, executable: bool) -> io::Result<()> {
        let linked = match self.mode {
            LinkMode::Reflink => {
                reflink_copy::reflink(from, to).and_then(|()| super::set_executable(to, executable))
            }
            LinkMode::HardLink => fs::hard_link(from, to),
            LinkMode::Copy => return copy(from, to, executable),
        };
        match linked {
            Err(error)
                if !super::is_disk_full(&error)
                    && error.kind() != io::ErrorKind::AlreadyExists
                    && error.kind() != io::ErrorKind::NotFound =>
            {
                let _ = fs::remove_file(to);
                copy(from, to, executable)
            }
            other => other,
        }
    }
}

fn copy(from: &Path, to: &Path, executable: bool) -> io::Result<()> {
    fs::copy(from, to)?;
    super::set_executable(to, executable)
}

/// Creates the symbolic link `link` that points to `target` (as written, so relative to the folder
/// of `link`). On Windows symbolic links need a privilege; without it a file gets a hard link or a
/// copy instead. Folders do not: copies of folders that hold such copies could fill any disk.
pub fn symlink_file(target: &Path, link: &Path) -> io::Result<()> {
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, link);
    #[cfg(windows)]
    {
        let source = match link.parent() {
            Some(parent) if target.is_relative() => parent.join(target),
            _ => target.to_path_buf(),
        };
        use std::os::windows::fs::{symlink_dir, symlink_file};

        // Windows wants its own separator inside a link.
        let target: PathBuf = target.components().collect();
        let made = match source.is_dir() {
            true => symlink_dir(target, link),
            false => symlink_file(target, link),
        };
        // Some of its stand-ins say yes and do nothing.
        if made.is_ok() && link.symlink_metadata().is_ok() {
            return Ok(());
        }
        match source.is_dir() {
            true => made,
            false => fs::hard_link(&source, link).or_else(|_| fs::copy(source, link).map(|_| ())),
        }
    }
}

/// The name `link` as a program can bear it that is like `program`: on Windows the ending says
/// that it is one.
pub fn name_for_program(link: &Path, program: &Path) -> PathBuf {
    let mut name = link.as_os_str().to_owned();
    if cfg!(windows)
        && let Some(ending) = program.extension()
        && link.extension() != Some(ending)
    {
        name.push(".");
        name.push(ending);
    }
    name.into()
}

/// Gives the program `target` the name `link`, which must be free: a relative symbolic link on
/// Unix, a hard link or copy elsewhere.
pub fn link_program(target: &Path, link: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let relative = link
            .parent()
            .and_then(|from| relative_path(from, target))
            .unwrap_or_else(|| target.to_path_buf());
        std::os::unix::fs::symlink(relative, link)
    }
    #[cfg(windows)]
    {
        fs::hard_link(target, link).or_else(|error| match error.kind() {
            // Writing to the name would write to the file that has it already.
            io::ErrorKind::AlreadyExists => Err(error),
            _ => fs::copy(target, link).map(|_| ()),
        })
    }
}

/// The way from the folder `from` to `to`, when both start alike.
#[cfg(unix)]
fn relative_path(from: &Path, to: &Path) -> Option<PathBuf> {
    let common = from
        .components()
        .zip(to.components())
        .take_while(|(a, b)| a == b)
        .count();
    if common == 0 {
        return None;
    }
    let up = from.components().skip(common).map(|_| "..");
    Some(
        up.map(PathBuf::from)
            .chain([to.components().skip(common).collect()])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_gives_the_same_content() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::write(&from, "content").unwrap();
        let detected = Linker::detect(&from, folder.path());
        for (n, linker) in [
            detected,
            Linker::with_mode(LinkMode::Reflink),
            Linker::with_mode(LinkMode::HardLink),
            Linker::with_mode(LinkMode::Copy),
        ]
        .into_iter()
        .enumerate()
        {
            let to = folder.path().join(format!("to{n}"));
            linker.link(&from, &to, n == 3).unwrap();
            assert_eq!(fs::read_to_string(&to).unwrap(), "content");
            if n == 3 {
                assert!(super::super::is_executable(&to));
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 5);
    }

    #[test]
    fn a_link_leads_to_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("real/below")).unwrap();
        fs::write(at("real/below/file"), "content").unwrap();
        fs::create_dir(at("other")).unwrap();
        symlink_file(Path::new("../real/below/file"), &at("other/file")).unwrap();
        assert_eq!(fs::read_to_string(at("other/file")).unwrap(), "content");
    }

    #[test]
    fn a_program_gets_a_name_that_can_be_started() {
        let folder = tempfile::tempdir().unwrap();
        let ending = std::env::consts::EXE_SUFFIX;
        let program = folder.path().join(format!("tool-1.2{ending}"));
        fs::write(&program, "program").unwrap();
        let name = name_for_program(&folder.path().join("tool"), &program);
        assert_eq!(name, folder.path().join(format!("tool{ending}")));
        assert_eq!(name_for_program(&name, &program), name);
        link_program(&program, &name).unwrap();
        assert_eq!(fs::read_to_string(&name).unwrap(), "program");
        fs::remove_file(&name).unwrap();
        fs::write(&name, "somebody else's").unwrap();
        assert!(link_program(&program, &name).is_err());
        assert_eq!(fs::read_to_string(&name).unwrap(), "somebody else's");
    }

    #[cfg(unix)]
    #[test]
    fn programs_are_linked_relatively() {
        assert_eq!(
            relative_path(Path::new("/a/p/bin"), Path::new("/a/p/lib/x/y")),
            Some("../lib/x/y".into())
        );
    }
}
