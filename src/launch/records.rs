//! Reading launch records back.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use aienv_shim::LaunchRecord;

use super::LaunchError;
use crate::home::Home;

/// Folder below the launch records that holds those of every tool.
const TOOLS: &str = ".tools";

/// `bin/.launch/.tools/`.
pub(super) fn tools_folder(home: &Home) -> PathBuf {
    home.launch_records().join(TOOLS)
}

/// `bin/.launch/.tools/<tool>/`.
pub(super) fn tool_folder(home: &Home, tool: &str) -> PathBuf {
    tools_folder(home).join(tool)
}

/// The records of all commands of an installed tool, sorted by command.
///
/// # Errors
/// There are none: the tool is not installed. One cannot be read.
pub fn load(home: &Home, tool: &str) -> Result<Vec<LaunchRecord>, LaunchError> {
    let folder = tool_folder(home, tool);
    let plain = !tool.is_empty() && !tool.starts_with('.') && !tool.contains(['/', '\\']);
    let names = if plain { names(&folder)? } else { Vec::new() };
    if names.is_empty() {
        let mut near: Vec<(f64, String)> = installed_tools(home)?
            .into_iter()
            .map(|name| (strsim::jaro_winkler(tool, &name), name))
            .filter(|(likeness, _)| *likeness > 0.8)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        return Err(LaunchError::NotInstalled {
            tool: tool.to_owned(),
            near: near.into_iter().take(3).map(|(_, name)| name).collect(),
        });
    }
    let read = |name| read(&folder.join(name));
    names.into_iter().map(read).collect()
}

/// The record that the shim of this name reads, `None` if there is no such shim.
///
/// # Errors
/// It cannot be read.
pub fn of_command(home: &Home, command: &str) -> Result<Option<LaunchRecord>, LaunchError> {
    if !super::record::is_command_name(command) {
        return Ok(None);
    }
    let path = home.launch_records().join(command);
    match path.symlink_metadata() {
        Ok(_) => read(&path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(LaunchError::io("read", path)(error)),
    }
}

/// Names of the tools that have launch records, sorted.
///
/// # Errors
/// The folder of the records cannot be read.
pub fn installed_tools(home: &Home) -> Result<Vec<String>, LaunchError> {
    names(&tools_folder(home))
}

/// The command that is meant by the arguments after a tool's name, and its arguments.
///
/// The first argument may name a command of the tool; otherwise all are for the default command.
/// A first argument `--` says that what follows is for the default command.
///
/// # Errors
/// No command is named and none is the default.
pub fn choose<'r, 'a>(
    records: &'r [LaunchRecord],
    arguments: &'a [OsString],
) -> Result<(&'r LaunchRecord, &'a [OsString]), LaunchError> {
    let rest = match arguments.split_first() {
        Some((first, rest)) if first == "--" => rest,
        Some((first, rest)) => match records.iter().find(|r| first == r.command.as_str()) {
            Some(record) => return Ok((record, rest)),
            None => arguments,
        },
        None => arguments,
    };
    match records.iter().find(|record| record.is_default) {
        Some(record) => Ok((record, rest)),
        None => Err(LaunchError::NoDefault {
            tool: records.first().map_or_else(String::new, |r| r.tool.clone()),
            commands: records.iter().map(|r| r.command.clone()).collect(),
        }),
    }
}

/// File names in a folder that are not hidden, sorted; none if there is no such folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, LaunchError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(LaunchError::io("read", folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(LaunchError::io("read", folder))?.file_name();
        if let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

pub(super) fn read(path: &Path) -> Result<LaunchRecord, LaunchError> {
    let text = std::fs::read_to_string(path).map_err(LaunchError::io("read", path))?;
    LaunchRecord::parse(&text).map_err(|source| LaunchError::Record {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_argument_may_name_a_command() {
        let record = |command: &str, is_default| LaunchRecord {
            command: command.into(),
            is_default,
            ..LaunchRecord::default()
        };
        let records = [record("cut", true), record("serve", false)];
        let chosen = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(Into::into).collect();
            let (record, rest) = choose(&records, &arguments).unwrap();
            (record.command.clone(), rest.len())
        };
        assert_eq!(chosen(&[]), ("cut".into(), 0));
        assert_eq!(chosen(&["--help"]), ("cut".into(), 1));
        assert_eq!(chosen(&["serve", "--port"]), ("serve".into(), 1));
        assert_eq!(chosen(&["--", "serve"]), ("cut".into(), 1));
        assert_eq!(chosen(&["--help", "serve"]), ("cut".into(), 2));
        assert!(choose(&records[1..], &[]).is_err());
    }
}
