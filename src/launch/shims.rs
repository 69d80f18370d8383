//! Shims and launch records on disk: installed, replaced and removed so that a command always
//! starts a whole tool, the old one or the new one.
//!
//! Every file is written aside and renamed into place. A shim never exists without its record:
//! the record comes first and goes last. A file in `bin/` without a record is therefore somebody
//! else's and is never touched. Shims are hard links to one copy of the aienv binary, so a hundred
//! commands cost the disk one binary; where links cannot be made, copies take their place.

use std::{
    fmt,
    fs::File,
    io,
    path::{Path, PathBuf},
};

use aienv_shim::LaunchRecord;

use super::{LaunchError, records};
use crate::{home::Home, platform::LockFile, types::Sha256};

/// A command that could not get its shim. It can still be started with `aienv run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The tool that wants it.
    pub tool: String,
    /// The command.
    pub command: String,
    /// The tool that has it; `None` for a file that is not aienv's.
    pub owner: Option<String>,
    /// The file that is in the way.
    pub path: PathBuf,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tool, command, .. } = self;
        match &self.owner {
            Some(owner) => write!(
                f,
                "the command `{command}` of `{tool}` belongs to `{owner}`"
            )?,
            None => write!(
                f,
                "the command `{command}` of `{tool}` is not aienv's to write: `{}`",
                self.path.display()
            )?,
        }
        write!(f, "; start it with `aienv run {tool} {command}`")
    }
}

/// Makes the given records, and no others, those of a tool, with a shim for each whose name is
/// free. `executable` is the aienv binary the shims will be.
///
/// # Errors
/// A file could not be written; what was there before still works.
pub fn install(
    home: &Home,
    executable: &Path,
    tool: &str,
    launch_records: &[LaunchRecord],
) -> Result<Vec<Taken>, LaunchError> {
    let _lock = lock(home)?;
    let folder = records::tool_folder(home, tool);
    create_folder(&folder)?;
    let before = records::names(&folder)?;
    let shared = shared_shim(home, executable)?;
    let mut taken = Vec::new();
    for record in launch_records {
        write(&folder.join(&record.command), &record.to_text())?;
        match owner(home, &record.command)? {
            Owner::Nobody => put_shim(home, &shared, record)?,
            Owner::Tool(owner) if owner == tool => put_shim(home, &shared, record)?,
            Owner::Tool(owner) => taken.push(in_the_way(home, record, Some(owner))),
            Owner::Foreign => taken.push(in_the_way(home, record, None)),
        }
    }
    for command in before {
        if !launch_records
            .iter()
            .any(|record| record.command == command)
        {
            release(home, tool, &command)?;
        }
    }
    Ok(taken)
}

/// Removes all shims and records of a tool. Names that another tool was refused go to that one.
///
/// # Errors
/// A file could not be removed.
pub fn remove(home: &Home, tool: &str) -> Result<(), LaunchError> {
    let _lock = lock(home)?;
    let folder = records::tool_folder(home, tool);
    for command in records::names(&folder)? {
        release(home, tool, &command)?;
    }
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LaunchError::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Writes every shim of every tool anew, as links to this aienv binary, and removes binaries that
/// are no longer linked to.
///
/// # Errors
/// A file could not be written.
pub fn refresh(home: &Home, executable: &Path) -> Result<Vec<Taken>, LaunchError> {
    let mut taken = Vec::new();
    for tool in records::installed_tools(home)? {
        let launch_records = records::load(home, &tool)?;
        taken.extend(install(home, executable, &tool, &launch_records)?);
    }
    let _lock = lock(home)?;
    let folder = home.launch_records();
    if !folder.is_dir() {
        return Ok(taken);
    }
    let current = shared_shim(home, executable)?;
    let entries = std::fs::read_dir(&folder).map_err(LaunchError::io("read", &folder))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if (name.starts_with(".shim-") || name.starts_with(".old-")) && entry.path() != current {
            // On Windows a binary that still runs cannot be removed; the next refresh will.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    Ok(taken)
}

/// The shim of a command: `bin/<command>`, with `.exe` on Windows.
pub fn shim_path(home: &Home, command: &str) -> PathBuf {
    home.bin()
        .join(format!("{command}{}", std::env::consts::EXE_SUFFIX))
}

enum Owner {
    Nobody,
    Tool(String),
    Foreign,
}

fn owner(home: &Home, command: &str) -> Result<Owner, LaunchError> {
    let shim = shim_path(home, command);
    let there = shim.symlink_metadata().is_ok();
    match records::of_command(home, command) {
        Ok(Some(record)) => {
            let known = records::tool_folder(home, &record.tool).join(command);
            // A tool that is half removed does not keep a name.
            match there || known.exists() {
                true => Ok(Owner::Tool(record.tool)),
                false => Ok(Owner::Nobody),
            }
        }
        Ok(None) if there => Ok(Owner::Foreign),
        // A damaged record is replaced by whoever comes.
        Ok(None) | Err(LaunchError::Record { .. }) => Ok(Owner::Nobody),
        Err(error) => Err(error),
    }
}

fn in_the_way(home: &Home, record: &LaunchRecord, owner: Option<String>) -> Taken {
    Taken {
        tool: record.tool.clone(),
        command: record.command.clone(),
        owner,
        path: shim_path(home, &record.command),
    }
}

/// Removes a command of a tool and hands its name to another tool that has one of that name.
fn release(home: &Home, tool: &str, command: &str) -> Result<(), LaunchError> {
    let own = records::tool_folder(home, tool).join(command);
    if let Owner::Tool(owner) = owner(home, command)?
        && owner == tool
    {
        let next = records::installed_tools(home)?
            .into_iter()
            .filter(|other| other != tool)
            .map(|other| records::tool_folder(home, &other).join(command))
            .find_map(|path| records::read(&path).ok());
        match next {
            // The shim stays: it is the same binary whatever record it reads.
            Some(record) => write(&home.launch_records().join(command), &record.to_text())?,
            None => {
                let shim = shim_path(home, command);
                remove_file(&shim).or_else(|error| move_aside(home, &shim).map_err(|_| error))?;
                remove_file(&home.launch_records().join(command))?;
            }
        }
    }
    remove_file(&own)
}

fn put_shim(home: &Home, shared: &Path, record: &LaunchRecord) -> Result<(), LaunchError> {
    write(
        &home.launch_records().join(&record.command),
        &record.to_text(),
    )?;
    let shim = shim_path(home, &record.command);
    let aside = home.launch_records().join(".new-shim");
    remove_file(&aside)?;
    if std::fs::hard_link(shared, &aside).is_err() {
        std::fs::copy(shared, &aside).map_err(LaunchError::io("write", &aside))?;
    }
    let renamed = std::fs::rename(&aside, &shim);
    if renamed.is_err() && cfg!(windows) {
        // A program that runs cannot be replaced there, but it can be renamed.
        move_aside(home, &shim)?;
        std::fs::rename(&aside, &shim).map_err(LaunchError::io("write", &shim))?;
    } else {
        renamed.map_err(LaunchError::io("write", &shim))?;
    }
    // Renaming one link of a file onto another does nothing at all (POSIX) and leaves both.
    remove_file(&aside)
}

fn move_aside(home: &Home, shim: &Path) -> Result<(), LaunchError> {
    let stamp = jiff::Timestamp::now().as_nanosecond();
    let old = home.launch_records().join(format!(".old-{stamp}"));
    std::fs::rename(shim, old).map_err(LaunchError::io("replace", shim))
}

/// The one copy of the aienv binary that shims are links to. A copy and not a link itself: an
/// aienv that is overwritten in place, not replaced, must not change under the shims.
fn shared_shim(home: &Home, executable: &Path) -> Result<PathBuf, LaunchError> {
    let file = File::open(executable).map_err(LaunchError::io("read", executable))?;
    let digest = Sha256::of_reader(file).map_err(LaunchError::io("read", executable))?;
    let name = format!(".shim-{}", &digest.to_string()[..16]);
    let path = home.launch_records().join(name);
    if path.exists() {
        return Ok(path);
    }
    let aside = home.launch_records().join(".new-binary");
    remove_file(&aside)?;
    reflink_copy::reflink_or_copy(executable, &aside).map_err(LaunchError::io("write", &aside))?;
    std::fs::metadata(executable)
        .and_then(|metadata| std::fs::set_permissions(&aside, metadata.permissions()))
        .map_err(LaunchError::io("write", &aside))?;
    std::fs::rename(&aside, &path).map_err(LaunchError::io("write", &path))?;
    Ok(path)
}

fn write(path: &Path, text: &str) -> Result<(), LaunchError> {
    let aside = path.with_file_name(".new-record");
    std::fs::write(&aside, text).map_err(LaunchError::io("write", &aside))?;
    std::fs::rename(&aside, path).map_err(LaunchError::io("write", path))
}

fn remove_file(path: &Path) -> Result<(), LaunchError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LaunchError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn create_folder(path: &Path) -> Result<(), LaunchError> {
    std::fs::create_dir_all(path).map_err(LaunchError::io("create", path))
}

/// One writer of shims at a time.
fn lock(home: &Home) -> Result<LockFile, LaunchError> {
    let path = home.locks().join("shims.lock");
    LockFile::acquire(&path).map_err(LaunchError::io("lock", path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    struct Fixture {
        home: Home,
        executable: PathBuf,
        _root: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let root = tempfile::tempdir().unwrap();
        let executable = root.path().join("aienv");
        std::fs::write(&executable, "binary").unwrap();
        Fixture {
            home: Home::at(root.path().join("a home")),
            executable,
            _root: root,
        }
    }

    fn record(tool: &str, command: &str, generation: u64) -> LaunchRecord {
        LaunchRecord {
            tool: tool.into(),
            command: command.into(),
            generation,
            ..LaunchRecord::default()
        }
    }

    impl Fixture {
        fn install(&self, tool: &str, generation: u64, commands: &[&str]) -> Vec<Taken> {
            let records: Vec<_> = commands
                .iter()
                .map(|command| record(tool, command, generation))
                .collect();
            install(&self.home, &self.executable, tool, &records).unwrap()
        }

        /// Visible files in `bin`, each with the tool and generation behind it.
        fn shims(&self) -> Vec<String> {
            let names = records::names(&self.home.bin()).unwrap();
            let behind = |name: &String| {
                let command = name.trim_end_matches(std::env::consts::EXE_SUFFIX);
                match records::of_command(&self.home, command).unwrap() {
                    Some(record) => format!("{name}={}@{}", record.tool, record.generation),
                    None => name.clone(),
                }
            };
            names.iter().map(behind).collect()
        }
    }

    #[test]
    fn shims_are_installed_replaced_and_removed() {
        let fixture = fixture();
        assert!(fixture.install("one", 1, &["a", "b"]).is_empty());
        assert!(fixture.install("one", 2, &["b", "c"]).is_empty());
        let suffix = std::env::consts::EXE_SUFFIX;
        assert_eq!(
            fixture.shims(),
            [format!("b{suffix}=one@2"), format!("c{suffix}=one@2")]
        );
        let shim = shim_path(&fixture.home, "b");
        assert_eq!(std::fs::read_to_string(shim).unwrap(), "binary");
        assert_eq!(records::load(&fixture.home, "one").unwrap().len(), 2);
        remove(&fixture.home, "one").unwrap();
        assert!(fixture.shims().is_empty());
        assert!(records::load(&fixture.home, "one").is_err());
    }

    #[test]
    fn the_first_owner_keeps_a_name_until_it_goes() {
        let fixture = fixture();
        fixture.install("one", 1, &["serve"]);
        let taken = fixture.install("two", 1, &["serve"]);
        let said = taken[0].to_string();
        assert!(
            said.contains("`one`") && said.contains("`aienv run two serve`"),
            "{said}"
        );
        let suffix = std::env::consts::EXE_SUFFIX;
        assert_eq!(fixture.shims(), [format!("serve{suffix}=one@1")]);
        assert_eq!(records::load(&fixture.home, "two").unwrap().len(), 1);
        remove(&fixture.home, "one").unwrap();
        assert_eq!(fixture.shims(), [format!("serve{suffix}=two@1")]);
    }

    #[test]
    fn a_foreign_file_is_never_touched() {
        let fixture = fixture();
        let path = shim_path(&fixture.home, "mine");
        std::fs::create_dir_all(fixture.home.bin()).unwrap();
        std::fs::write(&path, "precious").unwrap();
        let taken = fixture.install("one", 1, &["mine"]);
        assert_eq!(taken[0].owner, None);
        remove(&fixture.home, "one").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_new_binary_replaces_the_old_one_everywhere() {
        let fixture = fixture();
        fixture.install("one", 1, &["a"]);
        fixture.install("two", 1, &["b"]);
        std::fs::write(&fixture.executable, "newer").unwrap();
        assert!(
            refresh(&fixture.home, &fixture.executable)
                .unwrap()
                .is_empty()
        );
        for command in ["a", "b"] {
            let shim = shim_path(&fixture.home, command);
            assert_eq!(std::fs::read_to_string(shim).unwrap(), "newer");
        }
        let binaries = std::fs::read_dir(fixture.home.launch_records())
            .unwrap()
            .filter(|entry| {
                let name = entry.as_ref().unwrap().file_name();
                name.to_string_lossy().starts_with(".shim-")
            })
            .count();
        assert_eq!(binaries, 1);
    }

    #[test]
    fn a_damaged_record_is_named_and_replaced() {
        let fixture = fixture();
        fixture.install("one", 1, &["a"]);
        let path = fixture.home.launch_records().join("a");
        std::fs::write(&path, "aienv-launch 1\ntool one\n").unwrap();
        let error = records::of_command(&fixture.home, "a").unwrap_err();
        assert!(error.to_string().contains("cannot be used"), "{error}");
        assert!(fixture.install("one", 2, &["a"]).is_empty());
        assert!(records::of_command(&fixture.home, "a").is_ok());
    }
}
