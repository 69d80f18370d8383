//! Reading PEP 508 requirements from anywhere, hostile package metadata included.
//!
//! `pep508_rs` reads the grammar, but panics over names and extras that end in `-`, `_` or `.`,
//! recurses once per parenthesis of a marker, and puts environment variables of this process into
//! URLs that say `${NAME}`. What would lead there is refused before it is asked.

use std::str::FromStr as _;

use super::Requirement;

/// Longest requirement in bytes. The longest seen in real metadata have some two thousand.
const LONGEST: usize = 64 * 1024;

/// Deepest nesting of parentheses in a marker.
const DEEPEST: usize = 64;

/// The text is not a PEP 508 requirement.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a PEP 508 requirement: {why}")]
pub struct ParseRequirementError {
    /// The text, cut when it is very long.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// Reads a PEP 508 requirement; a direct reference must be an `http`, `https` or `git+https` URL.
/// Never panics.
///
/// # Errors
/// The text is none, or one that cannot be read safely.
pub fn parse_requirement(text: &str) -> Result<Requirement, ParseRequirementError> {
    guard(text)
        .and_then(|()| Requirement::from_str(text).map_err(|error| error.message.to_string()))
        .map_err(|why| ParseRequirementError {
            text: text.chars().take(200).collect(),
            why,
        })
}

fn guard(text: &str) -> Result<(), String> {
    let refuse = |wrong: bool, why: &str| if wrong { Err(why.to_owned()) } else { Ok(()) };
    refuse(text.len() > LONGEST, "it is far too long")?;
    refuse(
        depth(text) > DEEPEST,
        "its parentheses are nested too deeply",
    )?;
    let unfinished = |word: &str| word.ends_with(['-', '_', '.']);
    let text = text.trim_start();
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let (name, mut rest) = text.split_at(text.find(|c| !in_name(c)).unwrap_or(text.len()));
    refuse(
        unfinished(name),
        "a package name must end with a letter or digit",
    )?;
    rest = rest.trim_start();
    if let Some(extras) = rest.strip_prefix('[') {
        let (extras, after) = extras
            .split_once(']')
            .ok_or("the `]` after its extras is missing")?;
        let good = |extra: &str| extra.chars().all(in_name) && !unfinished(extra);
        refuse(
            !extras.split(',').map(str::trim).all(good),
            "an extra is letters and digits, with `-`, `_` or `.` only between them",
        )?;
        rest = after.trim_start();
    }
    if let Some(url) = rest.strip_prefix('@') {
        let url = url.trim_start();
        refuse(
            !["http://", "https://", "git+https://"]
                .iter()
                .any(|scheme| url.starts_with(scheme)),
            "its reference is not an http, https or git+https URL",
        )?;
        refuse(
            url.contains("${"),
            "its URL names an environment variable, which is not put in",
        )?;
    }
    Ok(())
}

fn depth(text: &str) -> usize {
    let mut depth = 0usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn good_ones() {
        for text in [
            "numpy",
            " torch >=2.7,<2.15 ",
            "a[b-c,d]>=1; (python_version >= '3.10' and sys_platform == 'linux')",
            "x @ https://files.example/x-1-py3-none-any.whl ; os_name == 'posix'",
            "x@git+https://github.com/a/b@v1",
            "a[]",
        ] {
            assert!(parse_requirement(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn bad_ones_are_errors() {
        for text in [
            "",
            "0-:",
            "a-",
            "a_ >=1",
            " a.",
            "a.==1",
            "a[b-]",
            "a[b_,c]>=1",
            "a[b",
            "-a",
            "a @ ./local",
            "a @ /etc/passwd",
            "a @ file:///etc/passwd",
            "a @ https://host.example/${HOME}/x.whl",
            "a >=",
            "a; python_version",
        ] {
            assert!(parse_requirement(text).is_err(), "{text}");
        }
        let nested = format!(
            "a; {}os_name == 'x'{}",
            "(".repeat(90_000),
            ")".repeat(90_000)
        );
        assert!(parse_requirement(&nested).is_err());
        let nested = format!(
            "a; {}os_name == 'x'{}",
            "(".repeat(10_000),
            ")".repeat(10_000)
        );
        assert!(parse_requirement(&nested).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,40}") {
            let _ = parse_requirement(&text);
        }

        #[test]
        fn nothing_like_a_requirement_panics(
            text in "[ a-c0._-]{0,4}(\\[[a, ._-]{0,5}\\]?)?[ @(]{0,2}([<>=!~]{0,3}[0-9a.*!+-]{0,5},?){0,2}\\)?(;[ ()'\"a-z_<>=0-9.]{0,30})?",
        ) {
            let _ = parse_requirement(&text);
        }
    }
}
