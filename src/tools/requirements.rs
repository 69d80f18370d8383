//! Requirement files of source trees, as pip reads them.
//!
//! Only what states a requirement is taken: `-r` and `-c` files are followed within the tree,
//! options that choose indexes are left to the manifest and the settings, hashes are left to the
//! lock. What cannot be met without running foreign code (editable installs, repositories) is an
//! error that names the line.

use std::collections::BTreeSet;

use crate::{solve::SolveError, types::Requirement};

/// What requirement files state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stated {
    /// Requirements in the order of the lines.
    pub requirements: Vec<Requirement>,
    /// Constraints from `-c` files.
    pub constraints: Vec<Requirement>,
    /// Lines that were passed over, with the reason.
    pub passed_over: Vec<String>,
}

/// A requirement file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RequirementsError {
    /// A file that is named is not in the tree.
    #[error("the source tree has no file `{0}`")]
    Missing(String),
    /// A line that cannot be honoured.
    #[error("{file}, line {line}: `{text}` {why}")]
    Line {
        /// The file, relative to the tree.
        file: String,
        /// Counted from 1.
        line: usize,
        /// The line.
        text: String,
        /// Why not.
        why: &'static str,
    },
    /// A line that is no requirement.
    #[error(transparent)]
    Requirement(#[from] SolveError),
}

/// Reads requirement files; `read` gives the text of a file relative to the tree's root.
pub fn read_files(
    files: &[String],
    read: &dyn Fn(&str) -> Option<String>,
) -> Result<Stated, RequirementsError> {
    let mut stated = Stated::default();
    let mut seen = BTreeSet::new();
    for file in files {
        read_one(file, false, read, &mut seen, &mut stated)?;
    }
    Ok(stated)
}

fn read_one(
    file: &str,
    constraint: bool,
    read: &dyn Fn(&str) -> Option<String>,
    seen: &mut BTreeSet<String>,
    stated: &mut Stated,
) -> Result<(), RequirementsError> {
    if !seen.insert(file.to_owned()) {
        return Ok(());
    }
    let text = read(file).ok_or_else(|| RequirementsError::Missing(file.to_owned()))?;
    for (number, line) in logical_lines(&text) {
        let bad = |why| RequirementsError::Line {
            file: file.to_owned(),
            line: number,
            text: line.clone(),
            why,
        };
        if let Some((other, is_constraint)) = included(&line) {
            let other = beside(file, &other).ok_or_else(|| bad("leads out of the tree"))?;
            read_one(&other, constraint || is_constraint, read, seen, stated)?;
        } else if line.starts_with("-e") || line.starts_with("--editable") {
            return Err(bad(
                "is an editable install, which a tool's environment cannot have",
            ));
        } else if line.starts_with('-') {
            stated.passed_over.push(format!(
                "{file}, line {number}: `{line}` (indexes are chosen by aienv's settings)"
            ));
        } else if line.contains("git+") || line.contains("hg+") || line.contains("svn+") {
            return Err(bad(
                "names a repository; name an archive or a wheel by URL in the manifest's overrides",
            ));
        } else if line.starts_with(['.', '/']) {
            return Err(bad("is a path; aienv installs from indexes and URLs"));
        } else {
            let bare = line.split(" --").next().unwrap_or_default().trim();
            let place = format!("{file}, line {number}");
            let requirement = crate::solve::parse_requirement(bare, &place)?;
            if constraint {
                &mut stated.constraints
            } else {
                &mut stated.requirements
            }
            .push(requirement);
        }
    }
    Ok(())
}

/// Lines without comments, continued lines joined, numbered by their first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut continued = false;
    for (number, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let (body, more) = match raw.strip_suffix('\\') {
            Some(body) => (body, true),
            None => (raw, false),
        };
        match lines.last_mut() {
            Some((_, line)) if continued => {
                line.push(' ');
                line.push_str(body.trim());
            }
            _ => lines.push((number + 1, body.trim().to_owned())),
        }
        continued = more;
    }
    lines
        .into_iter()
        .map(|(number, line)| (number, without_comment(&line).trim().to_owned()))
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

/// A `#` begins a comment at the start of a line or after white space; within a URL it does not.
fn without_comment(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    line.find(" #")
        .or_else(|| line.find("\t#"))
        .map_or(line, |at| &line[..at])
}

fn included(line: &str) -> Option<(String, bool)> {
    for (option, is_constraint) in [
        ("--requirement", false),
        ("-r", false),
        ("--constraint", true),
        ("-c", true),
    ] {
        if let Some(rest) = line.strip_prefix(option)
            && (rest.starts_with([' ', '=', '\t']) || option.len() == 2)
        {
            return Some((
                rest.trim_start_matches(['=', ' ', '\t']).to_owned(),
                is_constraint,
            ));
        }
    }
    None
}

/// The file `other` as named from `file`, relative to the root; `None` when it leads out.
fn beside(file: &str, other: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in other.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Stated, RequirementsError> {
        let find = |name: &str| {
            files
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, t)| (*t).to_owned())
        };
        read_files(&[files[0].0.to_owned()], &find)
    }

    #[test]
    fn the_usual_lines() {
        let stated = read(&[
            (
                "requirements.txt",
                "# top\n\ntorch>=2.7  # the engine\nnumpy \\\n  >=1.25\n--extra-index-url https://x.example\n\
                 -r more/extra.txt\n-c limits.txt\nwheel==1 --hash=sha256:abc\nav; sys_platform == 'linux'\n",
            ),
            ("more/extra.txt", "-r ../requirements.txt\nsafetensors"),
            ("limits.txt", "numpy<3"),
        ])
        .unwrap();
        let names: Vec<_> = stated
            .requirements
            .iter()
            .map(|r| r.name.to_string())
            .collect();
        assert_eq!(names, ["torch", "numpy", "safetensors", "wheel", "av"]);
        assert_eq!(stated.constraints.len(), 1);
        assert_eq!(stated.passed_over.len(), 1);
    }

    #[test]
    fn what_cannot_be_honoured_is_named() {
        for (line, part) in [
            ("-e .", "editable"),
            ("git+https://example.org/x", "repository"),
            ("pkg @ git+https://example.org/x", "repository"),
            ("./local", "path"),
            ("-r ../../etc/passwd", "out of the tree"),
            ("-r none.txt", "none.txt"),
            ("not a requirement!", "not a requirement"),
        ] {
            let text = read(&[("requirements.txt", line)]).unwrap_err().to_string();
            assert!(text.contains(part), "{line}: {text}");
        }
    }
}
