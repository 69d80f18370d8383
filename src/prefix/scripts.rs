//! Scripts: the ones a package declares (`entry_points.txt`) and the ones it brings
//! (`.data/scripts`), whose `#!python` line has to name this prefix's interpreter.
//!
//! Windows starts only programs by their name, so there a script is a pair: `name-script.py` and
//! `name.exe`, which is the aienv binary once more. Started under that name it finds the script and
//! the environment's `python.exe` beside itself (see the `aienv-shim` crate). All such files of a
//! prefix are links to one copy, so a hundred commands cost the disk one binary.

use std::{fs, io, path::PathBuf};

use crate::types::Sha256;

/// The longest interpreter line that every kernel in use accepts (Linux before 5.1: 127 bytes).
const MAX_INTERPRETER_LINE: usize = 127;

/// A command a package declares: `name = module:function`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryPoint {
    pub(super) name: String,
    module: String,
    function: String,
}

/// Reads the commands of an `entry_points.txt` (the "entry points" specification).
///
/// An entry whose name or target is not one, or that has no function to call, is an error that
/// names it.
pub(super) fn entry_points(text: &str) -> Result<Vec<EntryPoint>, String> {
    let mut commands = false;
    let mut found: Vec<EntryPoint> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            commands = matches!(section.trim(), "console_scripts" | "gui_scripts");
            continue;
        }
        if !commands {
            continue;
        }
        let point = parse_entry_point(line)
            .ok_or_else(|| format!("the entry point `{}` cannot be read", line.escape_debug()))?;
        // The same command may stand in both sections.
        found.retain(|other| other.name != point.name);
        found.push(point);
    }
    Ok(found)
}

fn parse_entry_point(line: &str) -> Option<EntryPoint> {
    let (name, target) = line.split_once('=')?;
    // Extras after the target are history.
    let target = target.split('[').next()?.trim();
    let (module, function) = target.split_once(':')?;
    let (name, module, function) = (name.trim(), module.trim(), function.trim());
    let is_name = !name.is_empty()
        && !name.starts_with(['.', '-'])
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ' | '+'));
    (is_name && is_dotted_name(module) && is_dotted_name(function)).then(|| EntryPoint {
        name: name.to_owned(),
        module: module.to_owned(),
        function: function.to_owned(),
    })
}

fn is_dotted_name(text: &str) -> bool {
    text.split('.').all(|part| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c == '_' || c.is_alphabetic())
            && chars.all(|c| c == '_' || c.is_alphanumeric())
    })
}

/// The program that starts a script on Windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Launcher {
    /// A copy on the disk of the prefix, to be linked to.
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) sha256: Sha256,
}

impl Launcher {
    /// Copies this program to `path`.
    pub(super) fn copy_to(path: PathBuf) -> io::Result<Self> {
        fs::copy(std::env::current_exe()?, &path)?;
        let file = fs::File::open(&path)?;
        let size = file.metadata()?.len();
        let sha256 = Sha256::of_reader(file)?;
        Ok(Self { path, size, sha256 })
    }
}

/// A file of the scripts folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Script<'a> {
    /// File name in the scripts folder.
    pub(super) name: String,
    pub(super) content: ScriptContent<'a>,
}

/// What is in a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScriptContent<'a> {
    /// Text for the interpreter.
    Text(Vec<u8>),
    /// The program that starts the script beside it.
    Launcher(&'a Launcher),
}

/// Makes scripts for one interpreter.
pub(super) struct ScriptMaker<'a> {
    /// Absolute path of the prefix's interpreter.
    pub(super) python: &'a str,
    /// What starts scripts; on Windows alone.
    pub(super) launcher: Option<&'a Launcher>,
}

/// Ending of the scripts that a launcher starts.
const SCRIPT_SUFFIX: &str = aienv_shim::SCRIPT_SUFFIX;

impl<'a> ScriptMaker<'a> {
    /// The files that make a declared command.
    pub(super) fn for_entry_point(&self, point: &EntryPoint) -> Vec<Script<'a>> {
        let EntryPoint {
            name,
            module,
            function,
        } = point;
        let root = function.split('.').next().unwrap_or(function);
        // Tools tell their own name from the first argument.
        let rename = match self.launcher {
            Some(_) => {
                format!("sys.argv[0] = sys.argv[0].removesuffix(\"{SCRIPT_SUFFIX}\")\n    ")
            }
            None => String::new(),
        };
        let body = format!(
            "import sys\n\nfrom {module} import {root}\n\nif __name__ == \"__main__\":\n    \
             {rename}sys.exit({function}())\n"
        );
        self.python_script(name, body.into_bytes())
    }

    /// The files for a script that a package brings, if its first line asks for the interpreter
    /// (`#!python` or `#!pythonw`); `None` when it is to be installed as it is.
    pub(super) fn for_brought(&self, name: &str, content: &[u8]) -> Option<Vec<Script<'a>>> {
        if !asks_for_python(content) {
            return None;
        }
        let end = content
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(content.len(), |at| at + 1);
        Some(self.python_script(name, content[end..].to_vec()))
    }

    fn python_script(&self, name: &str, body: Vec<u8>) -> Vec<Script<'a>> {
        let mut content = self.interpreter_line().into_bytes();
        content.extend(body);
        let content = ScriptContent::Text(content);
        let Some(launcher) = self.launcher else {
            let name = name.to_owned();
            return vec![Script { name, content }];
        };
        let stem = name.strip_suffix(".py").unwrap_or(name);
        vec![
            Script {
                name: format!("{stem}{SCRIPT_SUFFIX}"),
                content,
            },
            Script {
                name: format!("{stem}.exe"),
                content: ScriptContent::Launcher(launcher),
            },
        ]
    }

    /// The first line or lines. A path with spaces or one too long cannot stand after `#!`; then
    /// the file starts as a shell script that replaces itself, in lines that Python reads as a
    /// string.
    fn interpreter_line(&self) -> String {
        let simple = format!("#!{}\n", self.python);
        let fits = simple.len() <= MAX_INTERPRETER_LINE
            && !self.python.contains(|c: char| c.is_whitespace());
        if fits || self.launcher.is_some() {
            return simple;
        }
        let mut quoted = String::with_capacity(self.python.len());
        for c in self.python.chars() {
            if matches!(c, '"' | '$' | '`' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        format!("#!/bin/sh\n'''exec' \"{quoted}\" \"$0\" \"$@\"\n' '''\n")
    }
}

/// Whether a script's first line is `#!python` or `#!pythonw`, whatever follows the word.
pub(super) fn asks_for_python(content: &[u8]) -> bool {
    let Some(rest) = content.strip_prefix(b"#!python") else {
        return false;
    };
    let rest = rest.strip_prefix(b"w").unwrap_or(rest);
    rest.first().is_none_or(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_commands() {
        let text = "# comment\n[console_scripts]\nfoo = pkg.cli:main\n bar=pkg:App.run [extra]\n\
                    [other]\nno = pkg:x\n[gui_scripts]\nfoo-gui = pkg.gui:main\n";
        let names: Vec<_> = entry_points(text)
            .unwrap()
            .into_iter()
            .map(|p| (p.name, p.module, p.function))
            .collect();
        let triple = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(
            names,
            [
                triple("foo", "pkg.cli", "main"),
                triple("bar", "pkg", "App.run"),
                triple("foo-gui", "pkg.gui", "main"),
            ]
        );
        for bad in [
            "../../x = a:b",
            "a/b = a:b",
            "x = a",
            "x = a:b;import os",
            "x = a:b()",
            "= a:b",
            "x",
        ] {
            assert!(
                entry_points(&format!("[console_scripts]\n{bad}\n")).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn interpreter_lines() {
        let line = |python| {
            ScriptMaker {
                python,
                launcher: None,
            }
            .interpreter_line()
        };
        assert_eq!(line("/p/bin/python"), "#!/p/bin/python\n");
        assert_eq!(
            line("/a b/bin/python"),
            "#!/bin/sh\n'''exec' \"/a b/bin/python\" \"$0\" \"$@\"\n' '''\n"
        );
        let long = format!("/{}/python", "x".repeat(130));
        assert!(line(&long).starts_with("#!/bin/sh\n"));
    }

    #[test]
    fn brought_scripts() {
        let maker = ScriptMaker {
            python: "/p/bin/python",
            launcher: None,
        };
        let script = maker.for_brought("x", b"#!python -E\nprint(1)\n").unwrap();
        assert_eq!(text(&script[0]), "#!/p/bin/python\nprint(1)\n");
        for as_is in [&b"#!/bin/sh\n"[..], b"\x7fELF", b"#!python3.9x", b""] {
            assert_eq!(maker.for_brought("x", as_is), None);
        }
    }

    #[test]
    fn a_script_for_windows_is_a_pair() {
        let folder = tempfile::tempdir().unwrap();
        let launcher = Launcher::copy_to(folder.path().join("launcher")).unwrap();
        assert_eq!(
            launcher.size,
            fs::metadata(&launcher.path).unwrap().len(),
            "the whole program"
        );
        let maker = ScriptMaker {
            python: "C:\\p q\\python.exe",
            launcher: Some(&launcher),
        };
        let points = entry_points("[console_scripts]\nmy.tool = pkg:main\n").unwrap();
        let declared = maker.for_entry_point(&points[0]);
        let brought = maker.for_brought("tool.py", b"#!pythonw\nx").unwrap();
        let names: Vec<_> = declared.iter().chain(&brought).map(|s| &s.name).collect();
        assert_eq!(
            names,
            [
                "my.tool-script.py",
                "my.tool.exe",
                "tool-script.py",
                "tool.exe"
            ]
        );
        for pair in [&declared, &brought] {
            assert_eq!(pair[1].content, ScriptContent::Launcher(&launcher));
        }
        assert!(text(&declared[0]).contains("    sys.argv[0] = sys.argv[0].removesuffix("));
        assert_eq!(text(&brought[0]), "#!C:\\p q\\python.exe\nx");
    }

    fn text(script: &Script<'_>) -> String {
        match &script.content {
            ScriptContent::Text(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            ScriptContent::Launcher(_) => panic!("a launcher has no text"),
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            if let Ok(points) = entry_points(&text) {
                for point in points {
                    proptest::prop_assert!(!point.name.contains(['/', '\\']));
                }
            }
        }
    }
}
