//! Requirements that PEP 440 and PEP 508 reject but published packages contain.
//!
//! Text is read strictly first. Only what fails is repaired, each repair with a meaning nobody
//! could doubt, and read again; what still fails makes that one version unusable. The repairs:
//!
//! | written | read as |
//! |---|---|
//! | `>=1.0,` `,>=1.0` | the comma is dropped |
//! | `>=1.0 <2` | a comma is put between |
//! | `>=1.0.*` `<2.*` `~=3.1.*` | `.*` is dropped: it has a meaning only behind `==` and `!=` |
//! | `!=3.0*` | `!=3.0.*` |
//! | `=>1` `=<1` `=1` `!=~1` | `>=1` `<=1` `==1` `!=1` |
//! | `>='1.0'` `>=1.0'` | the quotes are dropped |
//! | `>=1.0.` | the trailing point is dropped |
//! | `name >= 1; python_version >= 3.6` | the version in the marker is quoted |

use std::str::FromStr;

use crate::types::{Requirement, VersionSpecifiers, parse_requirement};

/// Reads version specifiers.
///
/// # Errors
/// What the strict reader says about the original text.
pub fn specifiers(text: &str) -> Result<VersionSpecifiers, String> {
    VersionSpecifiers::from_str(text).or_else(|error| {
        repaired_specifiers(text)
            .and_then(|repaired| VersionSpecifiers::from_str(&repaired).ok())
            .ok_or_else(|| one_line(&error))
    })
}

/// Reads a requirement.
///
/// # Errors
/// What the strict reader says about the original text.
pub fn requirement(text: &str) -> Result<Requirement, String> {
    strict_requirement(text).or_else(|error| {
        let repaired = repaired_requirement(text).ok_or_else(|| error.clone())?;
        strict_requirement(&repaired).map_err(|_| error)
    })
}

fn strict_requirement(text: &str) -> Result<Requirement, String> {
    parse_requirement(text).map_err(|error| one_line(&error.why))
}

/// The parsers draw a picture of the place below their message; the first line says it.
fn one_line(error: &impl ToString) -> String {
    let text = error.to_string();
    text.lines()
        .next()
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

const OPERATOR: [char; 5] = ['<', '>', '=', '!', '~'];

/// What may stand around a version without a meaning.
fn is_separator(c: char) -> bool {
    c.is_whitespace() || matches!(c, ',' | '\'' | '"' | '(' | ')')
}

fn repaired_specifiers(text: &str) -> Option<String> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_separator);
    if !rest.is_empty() && !rest.starts_with(OPERATOR) {
        return None;
    }
    while let Some(start) = rest.find(OPERATOR) {
        rest = &rest[start..];
        let end = rest.find(|c| !OPERATOR.contains(&c)).unwrap_or(rest.len());
        let operator = match &rest[..end] {
            "=>" => ">=",
            "=<" => "<=",
            "=" => "==",
            "!=~" => "!=",
            other => other,
        };
        rest = &rest[end..];
        let end = rest.find(OPERATOR).unwrap_or(rest.len());
        let version = rest[..end].trim_matches(is_separator).trim_end_matches('.');
        rest = &rest[end..];
        parts.push(format!("{operator}{}", repaired_version(operator, version)));
    }
    Some(parts.join(", "))
}

fn repaired_version(operator: &str, version: &str) -> String {
    let Some(stem) = version.strip_suffix('*') else {
        return version.to_owned();
    };
    let stem = stem.trim_end_matches('.');
    match operator {
        "==" | "!=" => format!("{stem}.*"),
        _ => stem.to_owned(),
    }
}

fn repaired_requirement(text: &str) -> Option<String> {
    let (requirement, marker) = match text.split_once(';') {
        Some((requirement, marker)) => (requirement.trim(), Some(marker.trim())),
        None => (text.trim(), None),
    };
    if requirement.contains('@') {
        return None;
    }
    let start = requirement
        .find(|c| OPERATOR.contains(&c) || matches!(c, '(' | ',' | '\'' | '"'))
        .unwrap_or(requirement.len());
    // A comma inside the brackets of extras is no version's.
    let start = match requirement.find('[').zip(requirement.find(']')) {
        Some((open, close)) if open < start && start < close => close + 1,
        _ => start,
    };
    let (name, versions) = requirement.split_at(start);
    let mut repaired = format!("{} {}", name.trim(), repaired_specifiers(versions)?);
    if let Some(marker) = marker.filter(|marker| !marker.is_empty()) {
        repaired.push_str("; ");
        repaired.push_str(&quoted_versions(marker));
    }
    Some(repaired)
}

/// Quotes bare versions behind an operator of a marker.
fn quoted_versions(marker: &str) -> String {
    let mut out = String::with_capacity(marker.len() + 2);
    let mut quote = None;
    let mut after_operator = false;
    let mut characters = marker.chars().peekable();
    while let Some(c) = characters.next() {
        if quote.is_none() && after_operator && c.is_ascii_digit() {
            out.push('"');
            out.push(c);
            while let Some(more) =
                characters.next_if(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '*' | '+'))
            {
                out.push(more);
            }
            out.push('"');
            after_operator = false;
            continue;
        }
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            _ => {}
        }
        if quote.is_none() && !c.is_whitespace() {
            after_operator = OPERATOR.contains(&c);
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn specifiers_as_published() {
        for (written, read) in [
            (">=3.6,", ">=3.6"),
            (",>=3.6", ">=3.6"),
            (">=3.6 <4", ">=3.6, <4"),
            (">=2.7.*, !=3.0*, !=3.1.*", ">=2.7, !=3.0.*, !=3.1.*"),
            ("=>3.6", ">=3.6"),
            ("!=~5.0", "!=5.0"),
            (">='3.8'", ">=3.8"),
            (">=3.8.", ">=3.8"),
            ("~=3.7.*", "~=3.7"),
        ] {
            assert_eq!(specifiers(written).unwrap().to_string(), read, "{written}");
        }
        for bad in ["three", ">=", "3.6", ">=x"] {
            assert!(specifiers(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn requirements_as_published() {
        for (written, read) in [
            ("numpy (>=1.0,)", "numpy>=1.0"),
            ("a[x,y]>=1.0.*", "a[x,y]>=1.0"),
            ("a>=1 <2", "a>=1,<2"),
            (
                "a>=1 ; python_version >= 3.6",
                "a>=1 ; python_full_version >= '3.6'",
            ),
            (
                "a ; python_version>'3.6'",
                "a ; python_full_version >= '3.7'",
            ),
        ] {
            let found = requirement(written).unwrap();
            assert_eq!(
                found,
                Requirement::from_str(read).unwrap(),
                "{written}: {found}"
            );
        }
        for bad in [
            "",
            "-e .",
            "a @",
            "a>=x",
            "a ; python_version",
            // Names and extras that the strict reader panics over.
            "a- >=1",
            "a_",
            "a.(>=1)",
            "a[b-]>=1",
            "a @ https://host.example/${HOME}/a-1-py3-none-any.whl",
        ] {
            let error = requirement(bad).unwrap_err();
            assert!(!error.contains('\n'), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-c0-9.*<>=!~,;()'\" @\\[\\]é]{0,30}") {
            let _ = requirement(&text);
            let _ = specifiers(&text);
        }

        #[test]
        fn strict_text_is_untouched(major in 0u32..50, minor in 0u32..50, name in "[a-z]{1,8}") {
            let text = format!("{name}>={major}.{minor},<{}", major + 1);
            prop_assert_eq!(requirement(&text).unwrap(), Requirement::from_str(&text).unwrap());
        }
    }
}
