//! What changes in the environment of a tool, and the change itself as a pure function.

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::Command,
};

/// Changes to an environment, in the order in which they are made: `keep`, `remove`, `set`,
/// `defaults`, `prepend`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Path lists of which only the folders stay that hold one of the files; without any such
    /// folder the variable is unset. It lets `LD_LIBRARY_PATH` still lead to a GPU driver in a
    /// container, where nothing else does, but to no other library.
    pub keep: Vec<(OsString, Vec<OsString>)>,
    /// Variables that are unset. A trailing `*` stands for any ending.
    pub remove: Vec<OsString>,
    /// Variables that are set; a later entry of the same name wins.
    pub set: Vec<(OsString, OsString)>,
    /// Variables that are set unless the user has set them.
    pub defaults: Vec<(OsString, OsString)>,
    /// Folders put in front of path lists; the first entry ends up first.
    pub prepend: Vec<(OsString, OsString)>,
}

/// Separator of path lists such as `PATH`.
const SEPARATOR: u8 = if cfg!(windows) { b';' } else { b':' };

impl Environment {
    /// The environment that `current` becomes. `exists` tells whether a file is there.
    pub fn apply(
        &self,
        current: impl IntoIterator<Item = (OsString, OsString)>,
        exists: impl Fn(&Path) -> bool,
    ) -> Vec<(OsString, OsString)> {
        let mut variables: Vec<(OsString, OsString)> = current.into_iter().collect();
        for (name, files) in &self.keep {
            let Some(list) = get(&variables, name) else {
                continue;
            };
            let folders = std::env::split_paths(list).filter(|folder| {
                folder.is_absolute() && files.iter().any(|file| exists(&folder.join(file)))
            });
            match std::env::join_paths(folders) {
                Ok(kept) if !kept.is_empty() => put(&mut variables, name, kept),
                _ => variables.retain(|(other, _)| !same_name(other, name)),
            }
        }
        variables.retain(|(name, _)| !self.remove.iter().any(|rule| matches(rule, name)));
        for (name, value) in &self.set {
            put(&mut variables, name, value.clone());
        }
        for (name, value) in &self.defaults {
            if get(&variables, name).is_none() {
                put(&mut variables, name, value.clone());
            }
        }
        for (name, folder) in self.prepend.iter().rev() {
            let list = match get(&variables, name).filter(|list| !list.is_empty()) {
                Some(list) => {
                    let bytes = [
                        folder.as_encoded_bytes(),
                        &[SEPARATOR],
                        list.as_encoded_bytes(),
                    ];
                    crate::text::from_bytes(bytes.concat()).unwrap_or_else(|| folder.clone())
                }
                None => folder.clone(),
            };
            put(&mut variables, name, list);
        }
        variables
    }

    /// Gives a command this process's environment with the changes made.
    pub fn apply_to(&self, command: &mut Command) {
        let variables = self.apply(std::env::vars_os(), Path::exists);
        command.env_clear().envs(variables);
    }
}

fn get<'a>(variables: &'a [(OsString, OsString)], name: &OsStr) -> Option<&'a OsStr> {
    variables
        .iter()
        .find(|(other, _)| same_name(other, name))
        .map(|(_, value)| value.as_os_str())
}

fn put(variables: &mut Vec<(OsString, OsString)>, name: &OsStr, value: OsString) {
    match variables
        .iter_mut()
        .find(|(other, _)| same_name(other, name))
    {
        Some((_, old)) => *old = value,
        None => variables.push((name.to_owned(), value)),
    }
}

/// Windows does not tell upper case from lower case in names.
fn same_name(a: &OsStr, b: &OsStr) -> bool {
    if cfg!(windows) {
        a.eq_ignore_ascii_case(b)
    } else {
        a == b
    }
}

fn matches(rule: &OsStr, name: &OsStr) -> bool {
    let Some(start) = rule.as_encoded_bytes().strip_suffix(b"*") else {
        return same_name(rule, name);
    };
    name.as_encoded_bytes()
        .get(..start.len())
        .is_some_and(|head| match cfg!(windows) {
            true => head.eq_ignore_ascii_case(start),
            false => head == start,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(n, v)| (n.into(), v.into())).collect()
    }

    #[test]
    fn changes_are_made_in_order() {
        let environment = Environment {
            keep: vec![],
            remove: vec!["PYTHONPATH".into(), "DYLD_*".into()],
            set: variables(&[("A", "1"), ("A", "2"), ("PYTHONPATH", "ours")]),
            defaults: variables(&[("A", "3"), ("USERS", "no"), ("NEW", "yes")]),
            prepend: variables(&[("PATH", "/first"), ("PATH", "/second"), ("EMPTY", "/only")]),
        };
        let before = variables(&[
            ("PATH", "/bin"),
            ("PYTHONPATH", "stray"),
            ("DYLD_X", "x"),
            ("DYL", "stays"),
            ("USERS", "own"),
            ("EMPTY", ""),
        ]);
        let separator = char::from(SEPARATOR);
        let path = format!("/first{separator}/second{separator}/bin");
        assert_eq!(
            environment.apply(before, |_| false),
            variables(&[
                ("PATH", &path),
                ("DYL", "stays"),
                ("USERS", "own"),
                ("EMPTY", "/only"),
                ("A", "2"),
                ("PYTHONPATH", "ours"),
                ("NEW", "yes"),
            ])
        );
    }

    #[cfg(unix)]
    #[test]
    fn only_folders_with_a_driver_stay() {
        let environment = Environment {
            keep: vec![("LIBS".into(), vec!["libcuda.so.1".into()])],
            ..Environment::default()
        };
        let exists = |path: &Path| path == Path::new("/driver/libcuda.so.1");
        let apply = |list: &str| environment.apply(variables(&[("LIBS", list)]), exists);
        assert_eq!(
            apply("/usr/local/cuda/lib64::/driver:relative"),
            variables(&[("LIBS", "/driver")])
        );
        assert_eq!(apply("/usr/local/cuda/lib64:"), variables(&[]));
    }
}
