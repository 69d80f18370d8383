//! The environment of a tool in the language of a shell.
//!
//! Path lists are extended by the shell itself (`'…'":$PATH"`), so the text stays right when it is
//! kept in a file; everything else is the value it has now.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

use aienv_shim::Environment;

use super::LaunchError;

/// Shells whose language is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    /// bash, and any other POSIX shell.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
    /// PowerShell, Windows' own or the portable one.
    #[value(alias = "pwsh")]
    Powershell,
    /// The Windows command prompt. For a batch file, not for typing.
    Cmd,
}

impl Shell {
    /// The shell a path such as `/usr/bin/fish` belongs to.
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.file_stem()?.to_str()?.trim_start_matches('-') {
            "bash" | "sh" | "dash" | "ash" | "ksh" | "mksh" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            "pwsh" | "powershell" => Some(Self::Powershell),
            "cmd" => Some(Self::Cmd),
            _ => None,
        }
    }

    /// The user's shell, by what the environment tells.
    pub fn detect() -> Self {
        let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty());
        if let Some(shell) = shell.and_then(|path| Self::of_path(Path::new(&path))) {
            return shell;
        }
        match cfg!(windows) {
            // The command prompt sets PROMPT; PowerShell does not.
            true if std::env::var_os("PROMPT").is_some() => Self::Cmd,
            true => Self::Powershell,
            false => Self::Bash,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Powershell => "PowerShell",
            Self::Cmd => "cmd",
        }
    }

    /// The one line that puts a folder on PATH for good.
    pub fn path_hint(self, folder: &Path) -> String {
        let folder_text = folder.display();
        let quoted = folder_text.to_string().replace('\'', "'\\''");
        match self {
            Self::Bash => format!("echo 'export PATH=\"{quoted}:$PATH\"' >> ~/.bashrc"),
            Self::Zsh => format!("echo 'export PATH=\"{quoted}:$PATH\"' >> ~/.zshrc"),
            Self::Fish => format!("fish_add_path {}", fish_quote(&folder_text.to_string())),
            Self::Powershell | Self::Cmd => {
                let quoted = powershell_quote(&folder_text.to_string());
                let line = format!(
                    "[Environment]::SetEnvironmentVariable('Path', {quoted} + ';' + \
                     [Environment]::GetEnvironmentVariable('Path', 'User'), 'User')"
                );
                match self {
                    Self::Cmd => format!("powershell -Command \"{line}\""),
                    _ => line,
                }
            }
        }
    }
}

/// What a tool changes in an environment, worked out for the current one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Variables to unset, sorted.
    pub unset: Vec<OsString>,
    /// Variables to set, sorted.
    pub set: BTreeMap<OsString, OsString>,
    /// Folders to put in front of `PATH`, in order.
    pub path: Vec<OsString>,
}

/// Works out the changes for an environment.
pub fn changes(
    environment: &Environment,
    current: &[(OsString, OsString)],
    exists: impl Fn(&Path) -> bool,
) -> Changes {
    let is_path = |name: &OsStr| name.eq_ignore_ascii_case("PATH");
    let (path, other_lists) = environment
        .prepend
        .iter()
        .cloned()
        .partition(|(name, _)| is_path(name));
    let path: Vec<(OsString, OsString)> = path;
    let rest = Environment {
        prepend: other_lists,
        ..environment.clone()
    };
    let after: BTreeMap<OsString, OsString> = rest
        .apply(current.iter().cloned(), exists)
        .into_iter()
        .collect();
    let before: BTreeMap<&OsString, &OsString> =
        current.iter().map(|(name, value)| (name, value)).collect();
    let named = environment
        .remove
        .iter()
        .chain(environment.keep.iter().map(|(name, _)| name))
        .filter(|rule| !rule.as_encoded_bytes().ends_with(b"*"));
    let mut unset: Vec<OsString> = current
        .iter()
        .map(|(name, _)| name)
        .chain(named)
        .filter(|name| !after.contains_key(*name) && is_plain_name(name))
        .cloned()
        .collect();
    unset.sort();
    unset.dedup();
    // What the tool sets is said even if it is so already, so that the text may be kept in a file.
    let own: Vec<&OsString> = environment
        .set
        .iter()
        .chain(&rest.prepend)
        .map(|(name, _)| name)
        .collect();
    let set = after
        .into_iter()
        .filter(|(name, value)| own.contains(&name) || before.get(name) != Some(&value))
        .filter(|(name, _)| is_plain_name(name))
        .collect();
    Changes {
        unset,
        set,
        path: path.into_iter().map(|(_, folder)| folder).collect(),
    }
}

/// Names that every shell can write.
fn is_plain_name(name: &OsStr) -> bool {
    let bytes = name.as_encoded_bytes();
    bytes.first().is_some_and(|byte| !byte.is_ascii_digit())
        && bytes
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

impl Changes {
    /// The changes in the language of a shell, as bytes because paths are.
    ///
    /// # Errors
    /// The command prompt cannot express a line break.
    pub fn render(&self, shell: Shell) -> Result<Vec<u8>, LaunchError> {
        let mut out = Vec::new();
        for name in &self.unset {
            let name = name.to_string_lossy();
            let line = match shell {
                Shell::Bash | Shell::Zsh => format!("unset {name}\n"),
                Shell::Fish => format!("set -e {name}\n"),
                Shell::Powershell => {
                    format!("Remove-Item Env:{name} -ErrorAction SilentlyContinue\n")
                }
                Shell::Cmd => format!("set \"{name}=\"\r\n"),
            };
            out.extend(line.into_bytes());
        }
        for (name, value) in &self.set {
            set(&mut out, shell, &name.to_string_lossy(), value)?;
        }
        if !self.path.is_empty() {
            self.render_path(&mut out, shell)?;
        }
        Ok(out)
    }

    fn render_path(&self, out: &mut Vec<u8>, shell: Shell) -> Result<(), LaunchError> {
        let separator = if cfg!(windows) { b";" } else { b":" };
        let folders: Vec<&[u8]> = self.path.iter().map(|f| f.as_encoded_bytes()).collect();
        match shell {
            Shell::Bash | Shell::Zsh => {
                out.extend(b"export PATH=");
                posix_quote(out, &folders.join(&separator[..]));
                out.extend(b"\"${PATH:+:$PATH}\"\n");
            }
            Shell::Fish => {
                out.extend(b"set -gx PATH");
                for folder in folders {
                    out.push(b' ');
                    out.extend(fish_quote_bytes(folder));
                }
                out.extend(b" $PATH\n");
            }
            Shell::Powershell => {
                let joined = String::from_utf8_lossy(&folders.join(&separator[..])).into_owned();
                let quoted = powershell_quote(&joined);
                let line = format!("$env:PATH = {quoted} + [IO.Path]::PathSeparator + $env:PATH\n");
                out.extend(line.into_bytes());
            }
            Shell::Cmd => {
                let joined = cmd_value("PATH", &folders.join(&b";"[..]))?;
                out.extend(format!("set \"PATH={joined};%PATH%\"\r\n").into_bytes());
            }
        }
        Ok(())
    }
}

fn set(out: &mut Vec<u8>, shell: Shell, name: &str, value: &OsStr) -> Result<(), LaunchError> {
    let bytes = value.as_encoded_bytes();
    match shell {
        Shell::Bash | Shell::Zsh => {
            out.extend(format!("export {name}=").into_bytes());
            posix_quote(out, bytes);
            out.push(b'\n');
        }
        Shell::Fish => {
            out.extend(format!("set -gx {name} ").into_bytes());
            out.extend(fish_quote_bytes(bytes));
            out.push(b'\n');
        }
        Shell::Powershell => {
            let quoted = powershell_quote(&value.to_string_lossy());
            out.extend(format!("$env:{name} = {quoted}\n").into_bytes());
        }
        Shell::Cmd => {
            let value = cmd_value(name, bytes)?;
            out.extend(format!("set \"{name}={value}\"\r\n").into_bytes());
        }
    }
    Ok(())
}

/// A value as one word of a POSIX shell.
pub(super) fn posix_quoted(value: &OsStr) -> Vec<u8> {
    let mut out = Vec::new();
    posix_quote(&mut out, value.as_encoded_bytes());
    out
}

/// Between single quotes everything stands for itself but the quote.
fn posix_quote(out: &mut Vec<u8>, value: &[u8]) {
    out.push(b'\'');
    for &byte in value {
        match byte {
            b'\'' => out.extend(b"'\\''"),
            other => out.push(other),
        }
    }
    out.push(b'\'');
}

/// Between fish's single quotes a backslash escapes itself and the quote.
fn fish_quote_bytes(value: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for &byte in value {
        if matches!(byte, b'\'' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'\'');
    out
}

fn fish_quote(value: &str) -> String {
    String::from_utf8_lossy(&fish_quote_bytes(value.as_bytes())).into_owned()
}

/// PowerShell doubles a quote between quotes, and takes typographic quotes for quotes.
fn powershell_quote(value: &str) -> String {
    let mut out = String::from("'");
    for letter in value.chars() {
        if matches!(
            letter,
            '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}'
        ) {
            out.push(letter);
        }
        out.push(letter);
    }
    out.push('\'');
    out
}

/// In a batch file a percent sign is doubled; a line break cannot be written at all.
fn cmd_value(name: &str, value: &[u8]) -> Result<String, LaunchError> {
    let text = String::from_utf8_lossy(value);
    if text.contains(['\n', '\r']) {
        return Err(LaunchError::Unquotable {
            name: name.to_owned(),
            shell: "the command prompt",
        });
    }
    Ok(text.replace('%', "%%"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        pairs.iter().map(|(n, v)| (n.into(), v.into())).collect()
    }

    fn example() -> Changes {
        let environment = Environment {
            keep: vec![],
            remove: vec!["PYTHONHOME".into(), "DYLD_*".into()],
            set: variables(&[("TRICKY", "it's $HOME \\ \"x\" 100%")]),
            defaults: variables(&[("THEIRS", "ours"), ("NEW", "n")]),
            prepend: variables(&[("PATH", "/a b/bin")]),
        };
        let current = variables(&[("THEIRS", "own"), ("DYLD_A", "1"), ("PATH", "/bin")]);
        changes(&environment, &current, |_| false)
    }

    #[test]
    fn changes_are_the_least_that_is_needed() {
        let changes = example();
        assert_eq!(changes.unset, ["DYLD_A", "PYTHONHOME"]);
        assert_eq!(changes.path, ["/a b/bin"]);
        let names: Vec<_> = changes.set.keys().collect();
        assert_eq!(names, ["NEW", "TRICKY"]);
    }

    #[test]
    fn shells_that_may_not_be_here_are_quoted_by_their_rules() {
        let text = |shell| String::from_utf8(example().render(shell).unwrap()).unwrap();
        let fish = text(Shell::Fish);
        assert!(fish.contains("set -e PYTHONHOME\n"));
        assert!(
            fish.contains("set -gx TRICKY 'it\\'s $HOME \\\\ \"x\" 100%'\n"),
            "{fish}"
        );
        assert!(fish.contains("set -gx PATH '/a b/bin' $PATH\n"), "{fish}");
        let powershell = text(Shell::Powershell);
        assert!(powershell.contains("$env:TRICKY = 'it''s $HOME \\ \"x\" 100%'\n"));
        let cmd = text(Shell::Cmd);
        assert!(
            cmd.contains("set \"TRICKY=it's $HOME \\ \"x\" 100%%\"\r\n"),
            "{cmd}"
        );
        assert!(cmd.contains("set \"PYTHONHOME=\"\r\n"));
        assert_eq!(powershell_quote("a\u{2019}b"), "'a\u{2019}\u{2019}b'");
    }

    #[test]
    fn shells_are_known_by_their_program() {
        assert_eq!(
            Shell::of_path(Path::new("/usr/bin/fish")),
            Some(Shell::Fish)
        );
        assert_eq!(Shell::of_path(Path::new("-zsh")), Some(Shell::Zsh));
        assert_eq!(Shell::of_path(Path::new("/opt/nu")), None);
    }
}
