//! Trying it: imports and tensor operations in the environment's own Python.
//!
//! Each process has a time limit, works in an empty folder, and tells each step as it begins and
//! ends. A process that dies or hangs in a step is followed by another one for the steps after it.

use std::{path::Path, process::Command, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Subject, Variables};
use crate::platform::process::{run_within, shell_code};

const PROGRAM: &str = include_str!("live.py");
/// A first import of a GPU build of torch from a slow disk takes a minute.
const PATIENCE: Duration = Duration::from_secs(180);
const MAX_OUTPUT: u64 = 4 << 20;
/// Characters of what a step printed that are kept.
const KEPT: usize = 16 << 10;

/// What Python prints before the frames of an exception.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// What to try.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Request {
    /// Source files to read as Python.
    pub compile: Vec<String>,
    /// Modules to import, in order.
    pub imports: Vec<String>,
    /// Compute with torch on every device.
    pub torch: bool,
    /// A GPU ought to be usable: tell why it is not.
    pub gpu: bool,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Well.
    Worked,
    /// With an exception.
    Failed,
    /// It ended the process; with the exit code a shell would show.
    Died(i32),
    /// It did not end in time.
    Hung,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `import`, `device`, `bridge`, `compile`.
    pub kind: String,
    /// The module or device.
    pub name: String,
    /// How it ended.
    pub end: End,
    /// Where a module was imported from.
    pub file: Option<String>,
    /// The version it says it has.
    pub version: Option<String>,
    /// What was printed meanwhile, its traceback included.
    pub said: String,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Begin {
        kind: String,
        name: String,
    },
    End {
        ok: bool,
        #[serde(default)]
        result: Option<Answer>,
    },
    Done,
}

#[derive(Default, Deserialize)]
struct Answer {
    #[serde(default)]
    file: Option<String>,
    #[serde(default)]
    version: Option<String>,
}

/// Tries a request. `clean` tries it as a cleaned environment would have it, without the user's
/// variables that change what Python or the loader find.
///
/// # Errors
/// The interpreter cannot be started; the text says why.
pub fn attempt(subject: &Subject<'_>, request: &Request, clean: bool) -> Result<Vec<Step>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut left = request.clone();
    let mut steps: Vec<Step> = Vec::new();
    // Each round is without the step that the one before ended in, so this comes to an end.
    loop {
        let mut command = Command::new(&subject.environment.python);
        subject.variables.apply_to(&mut command);
        if clean {
            make_clean(&mut command, &subject.variables);
        }
        prepare(&mut command, subject, folder.path());
        let text = serde_json::to_string(&left).map_err(|error| error.to_string())?;
        command
            .args(["-c", PROGRAM, &text])
            .current_dir(folder.path());
        let ended =
            run_within(&mut command, PATIENCE, MAX_OUTPUT).map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        let (mut found, is_done) = read(&said);
        let Some(last) = found.last_mut().filter(|_| !is_done) else {
            if !is_done {
                // Nothing was begun: Python itself did not get that far.
                return Err(said.trim().chars().take(KEPT).collect());
            }
            add_new(&mut steps, found);
            return Ok(steps);
        };
        last.end = match ended.status {
            None => End::Hung,
            Some(status) => End::Died(shell_code(status)),
        };
        let died = last.clone();
        left = after(&left, &died, &found);
        add_new(&mut steps, found);
        if left.compile.is_empty() && left.imports.is_empty() {
            return Ok(steps);
        }
    }
}

/// A step that was repeated for those after it is told once.
fn add_new(steps: &mut Vec<Step>, found: Vec<Step>) {
    for step in found {
        let mut known = steps.iter();
        if !known.any(|known| (&known.kind, &known.name) == (&step.kind, &step.name)) {
            steps.push(step);
        }
    }
}

/// What is left to try after a step that ended the process. After a device there is nothing: the
/// next one would be tried by the same library in the same state.
fn after(request: &Request, died: &Step, found: &[Step]) -> Request {
    let behind = |names: &[String]| -> Vec<String> {
        let at = names.iter().position(|name| *name == died.name);
        names[at.map_or(names.len(), |at| at + 1)..].to_vec()
    };
    let mut left = request.clone();
    match died.kind.as_str() {
        "compile" => left.compile = behind(&request.compile),
        "import" => {
            left.compile.clear();
            left.imports = behind(&request.imports);
            left.torch &= died.name != "torch";
            let has_torch = found
                .iter()
                .any(|step| step.name == "torch" && step.end == End::Worked);
            if left.torch && has_torch {
                // Devices are tried with it.
                left.imports.insert(0, "torch".to_owned());
            }
        }
        _ => {
            left.compile.clear();
            left.imports.clear();
        }
    }
    left
}

/// Variables that lead to code of other places.
const LEADING: &[&str] = &[
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSTARTUP",
    "PYTHONUSERBASE",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "DYLD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
];

/// Whether any variable is set that a clean attempt would take away.
pub fn has_leading_variables(variables: &Variables) -> bool {
    LEADING.iter().any(|name| variables.get(name).is_some())
}

fn make_clean(command: &mut Command, variables: &Variables) {
    for name in LEADING {
        if variables.get(name).is_some() {
            command.env_remove(name);
        }
    }
    command.env("PYTHONNOUSERSITE", "1");
}

/// What every attempt gets: no byte code is written, nothing is fetched, and the environment of
/// conda is active, without which its libraries on Windows are not found.
fn prepare(command: &mut Command, subject: &Subject<'_>, folder: &Path) {
    command
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONIOENCODING", "utf-8")
        .env("PYTHONFAULTHANDLER", "1")
        .env("HF_HUB_OFFLINE", "1")
        .env("MPLCONFIGDIR", folder)
        .env("NUMBA_CACHE_DIR", folder);
    let environment = &subject.environment;
    if environment.os == crate::types::Os::Windows && environment.root.join("conda-meta").is_dir() {
        let own = [
            "",
            "Library/mingw-w64/bin",
            "Library/usr/bin",
            "Library/bin",
            "Scripts",
        ];
        let mut path: Vec<_> = own
            .iter()
            .map(|below| environment.root.join(below))
            .collect();
        path.extend(subject.variables.folders("PATH"));
        if let Ok(path) = std::env::join_paths(path) {
            command.env("PATH", path);
        }
    }
}

/// The steps that a process told, and whether it came to its end.
fn read(said: &str) -> (Vec<Step>, bool) {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_open = false;
    let mut is_done = false;
    for line in said.lines() {
        let event = line
            .strip_prefix('\x1e')
            .and_then(|text| serde_json::from_str::<Event>(text).ok());
        match event {
            Some(Event::Begin { kind, name }) => {
                steps.push(Step {
                    kind,
                    name,
                    end: End::Failed,
                    file: None,
                    version: None,
                    said: String::new(),
                });
                is_open = true;
            }
            Some(Event::End { ok, result }) => {
                if let Some(step) = steps.last_mut().filter(|_| is_open) {
                    step.end = if ok { End::Worked } else { End::Failed };
                    let answer = result.unwrap_or_default();
                    step.file = answer.file;
                    step.version = answer.version;
                }
                is_open = false;
            }
            Some(Event::Done) => is_done = true,
            None => {
                if let Some(step) = steps.last_mut().filter(|_| is_open)
                    && step.said.len() < KEPT
                    && !(line.is_empty() && step.said.is_empty())
                {
                    step.said.push_str(line);
                    step.said.push('\n');
                }
            }
        }
    }
    (steps, is_done)
}

impl Step {
    /// What it ended with, on one line: of a traceback the exception with its message, else the
    /// last line that says anything.
    pub fn last_line(&self) -> String {
        let words: Vec<&str> = match self.said.rsplit_once(TRACEBACK) {
            // Frames are indented; the exception is not, and its message may have many lines.
            Some((_, text)) => text
                .lines()
                .skip_while(|line| line.is_empty() || line.starts_with(' '))
                .flat_map(str::split_whitespace)
                .collect(),
            None => {
                let mut lines = self.said.lines();
                let last = lines.rfind(|line| !line.trim().is_empty());
                last.unwrap_or_default().split_whitespace().collect()
            }
        };
        let line = words.join(" ");
        line.chars().filter(|c| !c.is_control()).take(300).collect()
    }

    /// What happened, for a person.
    pub fn told(&self) -> String {
        let what = match self.kind.as_str() {
            "import" => format!("`import {}`", self.name),
            "device" => format!("a matrix product on {}", self.name),
            "bridge" => "a tensor as a NumPy array".to_owned(),
            _ => format!("`{}`", self.name),
        };
        match &self.end {
            End::Worked => format!("{what} works"),
            End::Failed => format!("{what} fails: {}", self.last_line()),
            End::Died(code) => format!("{what} ends the process (exit code {code})"),
            End::Hung => format!("{what} does not end"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_follows_a_step_that_ended_the_process() {
        let step = |kind: &str, name: &str, end: End| Step {
            kind: kind.to_owned(),
            name: name.to_owned(),
            end,
            file: None,
            version: None,
            said: String::new(),
        };
        let request = Request {
            compile: Vec::new(),
            imports: ["torch", "a", "b"].map(str::to_owned).to_vec(),
            torch: true,
            gpu: false,
        };
        let torch = step("import", "torch", End::Worked);
        let died = step("import", "a", End::Died(139));
        let left = after(&request, &died, &[torch.clone(), died.clone()]);
        assert_eq!(left.imports, ["torch", "b"]);
        assert!(left.torch);
        let died = step("import", "torch", End::Died(132));
        let left = after(&request, &died, std::slice::from_ref(&died));
        assert_eq!(left.imports, ["a", "b"]);
        assert!(!left.torch);
        let died = step("device", "cuda:0", End::Hung);
        assert!(
            after(&request, &died, &[torch, died.clone()])
                .imports
                .is_empty()
        );
    }

    #[test]
    fn events_and_what_is_said_between_them() {
        let said = "noise before\n\n\x1e{\"event\": \"begin\", \"kind\": \"import\", \"name\": \"a\"}\n\
             a warning\n\n\x1e{\"event\": \"end\", \"ok\": true, \"result\": {\"file\": \"/a.py\", \
             \"version\": null}}\nbetween\n\x1e{\"event\": \"begin\", \"kind\": \"import\", \"name\": \
             \"b\"}\nTraceback\nImportError: x\n";
        let (steps, is_done) = read(said);
        assert!(!is_done);
        assert_eq!(steps[0].end, End::Worked);
        assert_eq!(steps[0].file.as_deref(), Some("/a.py"));
        assert!(steps[0].said.starts_with("a warning\n"));
        assert!(!steps[0].said.contains("between"));
        assert_eq!(steps[1].last_line(), "ImportError: x");
        let mut step = steps[1].clone();
        step.said = format!(
            "{TRACEBACK}\n  File \"a\"\nKeyError: 1\n\nDuring it:\n\n{TRACEBACK}\n  File \"b\"\n    \
             ^^^\nImportError: \n\nPLEASE READ\nThe end.\n"
        );
        assert_eq!(step.last_line(), "ImportError: PLEASE READ The end.");
        let (_, is_done) = read("\x1e{\"event\": \"done\"}\n");
        assert!(is_done);
    }
}
