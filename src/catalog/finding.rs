//! One problem of a manifest, with its place in the file.

use std::{fmt, ops::Range};

use serde::Serialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// One problem of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and, where known, what is right.
    pub message: String,
    /// The offending line as it stands in the file.
    pub excerpt: String,
    /// Characters to underline, from `column`.
    #[serde(skip)]
    pub(super) length: usize,
}

/// Longest excerpt in characters; more would only fill the screen.
const LONGEST_EXCERPT: usize = 160;

impl Finding {
    /// A problem at a range of bytes of the text.
    pub(super) fn new(text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let end = floor_char_boundary(text, span.end.max(start));
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].lines().next().unwrap_or_default();
        let column = text[line_start..start].chars().count() + 1;
        let marked = text[start..end].lines().next().unwrap_or_default();
        Self {
            line: before.matches('\n').count() + 1,
            column,
            message: message.into(),
            excerpt: line.chars().take(LONGEST_EXCERPT).collect(),
            length: marked.trim_end().chars().count().max(1),
        }
    }
}

/// The problems of a text, as they are found.
pub(super) struct Findings<'t> {
    text: &'t str,
    found: Vec<Finding>,
}

impl<'t> Findings<'t> {
    /// None yet.
    pub(super) fn of(text: &'t str) -> Self {
        let found = Vec::new();
        Self { text, found }
    }

    /// The text that they are about.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// Notes a problem at a range of bytes.
    pub(super) fn report(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.found.push(Finding::new(self.text, span, message));
    }

    /// All of them.
    pub(super) fn into_vec(self) -> Vec<Finding> {
        self.found
    }
}

impl Finding {
    /// A problem of the value at a path such as `packages.constraints[0]`, or of what holds it when
    /// the file has no such value.
    pub fn at(text: &str, path: &str, message: impl Into<String>) -> Self {
        let span = DeTable::parse(text)
            .ok()
            .and_then(|root| span_of(&root, path));
        Self::new(text, span.unwrap_or(0..0), message)
    }
}

/// The place of the last part of a path that is there.
fn span_of(root: &Spanned<DeTable<'_>>, path: &str) -> Option<Range<usize>> {
    let parts = path.split('.').flat_map(|part| {
        let (key, index) = part.split_once('[').unwrap_or((part, ""));
        let index = index.trim_end_matches(']');
        [Some(key), (!index.is_empty()).then_some(index)]
    });
    let mut found = None;
    let mut table = Some(root.get_ref());
    let mut value: Option<&Spanned<DeValue<'_>>> = None;
    for part in parts.flatten() {
        let next = match (table, value.map(Spanned::get_ref)) {
            (Some(table), _) => table.get(part),
            (None, Some(DeValue::Array(elements))) => {
                part.parse().ok().and_then(|at: usize| elements.get(at))
            }
            _ => None,
        };
        let Some(next) = next else { break };
        found = Some(next.span());
        table = next.get_ref().as_table();
        value = Some(next);
    }
    found
}

fn floor_char_boundary(text: &str, mut index: usize) -> usize {
    index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

impl fmt::Display for Finding {
    /// `line:column: message`, then the line with the place marked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            column,
            message,
            excerpt,
            length,
        } = self;
        write!(f, "{line}:{column}: {message}")?;
        if excerpt.trim().is_empty() {
            return Ok(());
        }
        let number = line.to_string();
        let before: String = excerpt.chars().take(column - 1).collect();
        // Tabs stay tabs, so that the mark stands below its text on any terminal.
        let indent: String = before
            .chars()
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        let room = excerpt.chars().count().saturating_sub(column - 1).max(1);
        let mark = "^".repeat((*length).min(room));
        write!(f, "\n  {number} | {excerpt}")?;
        write!(
            f,
            "\n  {:width$} | {indent}{mark}",
            "",
            width = number.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Finding;

    #[test]
    fn places() {
        let text = "a = 1\nname = \"é\" x\n";
        let at = text.find('x').unwrap_or_default();
        let finding = Finding::new(text, at..at + 1, "no");
        assert_eq!((finding.line, finding.column), (2, 12));
        assert_eq!(
            finding.to_string(),
            "2:12: no\n  2 | name = \"é\" x\n    |            ^"
        );
    }

    #[test]
    fn places_by_their_path() {
        let text =
            "[packages]\nrequires = [\"a\", \"b<1\"]\n[accelerators.cuda]\nversion = \">=99\"\n";
        for (path, line, column) in [
            ("packages.requires[1]", 2, 18),
            ("packages.requires", 2, 12),
            ("packages.requires[7]", 2, 12),
            ("accelerators.cuda.version", 4, 11),
            ("accelerators.cuda.gfx", 3, 1),
            ("python.requires", 1, 1),
        ] {
            let finding = Finding::at(text, path, "no");
            assert_eq!((finding.line, finding.column), (line, column), "{path}");
        }
    }

    #[test]
    fn places_outside_the_text_do_not_panic() {
        for span in [0..0, 0..100, 50..100, 1..1] {
            let _ = Finding::new("é", span, "no").to_string();
        }
        assert_eq!(Finding::new("", 0..0, "empty").to_string(), "1:1: empty");
    }
}
