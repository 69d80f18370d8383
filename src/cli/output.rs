//! Results on standard output.

use std::{
    borrow::Cow,
    io::{self, Write as _},
    process::ExitCode,
};

use serde::Serialize;

use super::{Context, Outcome};
use crate::error::UserError;

/// Standard output could not be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the result")]
pub struct OutputError(#[from] io::Error);

impl UserError for OutputError {
    fn code(&self) -> &'static str {
        "output.write"
    }
}

/// Prints a value as indented JSON.
pub fn json(value: &impl Serialize) -> Outcome {
    finish(
        serde_json::to_string_pretty(value)
            .map_err(io::Error::from)
            .and_then(|text| writeln!(io::stdout(), "{text}")),
    )
}

/// Prints a text.
pub fn print(text: &str) -> Outcome {
    finish(io::stdout().write_all(text.as_bytes()))
}

/// A text from outside as it may be shown on a terminal: control characters, which a terminal would
/// obey, are written out as `\u{1b}`. Ends of lines and tabs stay.
pub fn shown(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match obeyed(c) {
            true => out.extend(c.escape_unicode()),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The same in one line, for a value that stands beside others.
pub fn shown_in_line(text: &str) -> String {
    shown(text).replace('\n', "\\n")
}

/// Prints a note, something a person should know, on standard error.
pub fn note(context: &Context, text: &str) {
    if context.global.quiet {
        return;
    }
    let label = console::style("note:").yellow().for_stderr();
    context.progress.note(&format!("{label} {text}"));
}

/// What a command ends with after it wrote its result. A reader that has seen enough (`| head`)
/// is no error.
pub fn finish(written: io::Result<()>) -> Outcome {
    match written.and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(OutputError(error).into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Rows as aligned columns, two spaces apart, under headings.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| console::measure_text_width(cell)).max();
        widest.unwrap_or(0).max(headings[column].len())
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let heading = headings.iter().map(|&heading| heading.to_owned()).collect();
    let mut out = String::new();
    for row in std::iter::once(&heading).chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| {
                console::pad_str(cell, width, console::Alignment::Left, None).into_owned()
            })
            .collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{shown, shown_in_line, table};

    #[test]
    fn a_terminal_is_told_nothing_to_obey() {
        assert_eq!(shown("a\tb\n\x1b[2J\u{9b}é"), "a\tb\n\\u{1b}[2J\\u{9b}é");
        assert_eq!(shown_in_line("a\nb\r"), "a\\nb\\u{d}");
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [
            vec!["ü".into(), "1".into()],
            vec!["long".into(), "2".into()],
        ];
        assert_eq!(
            table(&["A", "PORT"], &rows),
            "A     PORT\nü     1\nlong  2\n"
        );
    }
}
