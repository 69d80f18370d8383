//! One problem of a manifest, with its place in the file.

use std::{fmt, ops::Range};

use serde::Serialize;

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
    fn places_outside_the_text_do_not_panic() {
        for span in [0..0, 0..100, 50..100, 1..1] {
            let _ = Finding::new("é", span, "no").to_string();
        }
        assert_eq!(Finding::new("", 0..0, "empty").to_string(), "1:1: empty");
    }
}
