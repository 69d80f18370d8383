//! Lines as one text to search, with the way back from a place to its line.
//!
//! Terminals and mail programs break long lines. Nobody can tell a broken line from two lines, so
//! the log is searched as it stands and, besides, with those line ends taken out that may be
//! breaks: a break is where the next line's first word would not have fitted any more.

use std::ops::Range;

use super::{Line, Origin, excerpt};

/// Lines as one text.
pub struct Haystack {
    text: String,
    /// Where each line begins, with its index; ascending.
    starts: Vec<(usize, usize)>,
}

/// A line shorter than this is not broken.
const NARROWEST: usize = 40;

impl Haystack {
    /// The lines as they stand.
    pub fn plain(lines: &[Line]) -> Self {
        Self::joined(lines, |_| "\n")
    }

    /// The log with its possible line breaks taken out: once with a space in their place, once
    /// with nothing, since some programs break within words. Empty where nothing looks broken.
    pub fn unwrapped(lines: &[Line]) -> Vec<Self> {
        let log: Vec<&Line> = lines.iter().filter(|l| l.origin == Origin::Log).collect();
        let widths: Vec<usize> = log.iter().map(|line| line.width).collect();
        let broken: Vec<bool> = (0..log.len())
            .map(|i| is_broken(&log, &widths, i))
            .collect();
        if !broken.contains(&true) {
            return Vec::new();
        }
        [" ", ""]
            .into_iter()
            .map(|between| {
                Self::joined(lines, |index| match broken.get(index) {
                    Some(true) => between,
                    _ => "\n",
                })
            })
            .collect()
    }

    /// `after` gives what follows a line; log lines come first in any evidence.
    fn joined<'a>(lines: &[Line], after: impl Fn(usize) -> &'a str) -> Self {
        let mut text = String::with_capacity(lines.iter().map(|l| l.text.len() + 1).sum());
        let mut starts = Vec::with_capacity(lines.len());
        for (index, line) in lines.iter().enumerate() {
            starts.push((text.len(), index));
            text.push_str(&line.text);
            text.push_str(after(index));
        }
        Self { text, starts }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands on one line of the text together with a line, by its index.
    pub fn line_with(&self, index: usize) -> &str {
        let Some((start, _)) = self.starts.get(index) else {
            return "";
        };
        let before = self.text[..*start].rfind('\n').map_or(0, |end| end + 1);
        let after = self.text[*start..].find('\n');
        &self.text[before..after.map_or(self.text.len(), |end| start + end)]
    }

    /// What was found, for a person: its line, or its lines where it goes on behind a break, since
    /// a label without its value says nothing. `lines` are those the haystack was made of.
    pub fn quote(&self, lines: &[Line], found: Range<usize>) -> String {
        let said = &self.text[found.clone()];
        // Patterns may begin with the end of the line before.
        let start = found.start + said.len() - said.trim_start().len();
        let end = start + said.trim().len();
        let (first, within) = self.line_at(start);
        let (last, _) = self.line_at(end.saturating_sub(1).max(start));
        let (line, until) = (&lines[first], &lines[last]);
        let size = end - start;
        if first == last || line.origin != until.origin {
            return line.quote(within, within + size);
        }
        let behind = self
            .starts
            .get(last + 1)
            .map_or(self.text.len(), |(s, _)| *s);
        let passage = self.text[start - within..behind].replace('\n', " ");
        let place = match line.origin {
            Origin::Log if line.number < until.number => {
                format!("log lines {} to {}", line.number, until.number)
            }
            _ => line.place(),
        };
        format!("{place}: {}", excerpt(&passage, within..within + size))
    }

    /// The index of the line at a byte of the text, and the byte within the line.
    pub fn line_at(&self, place: usize) -> (usize, usize) {
        let after = self.starts.partition_point(|(start, _)| *start <= place);
        let (start, index) = self.starts[after.saturating_sub(1)];
        (index, place - start)
    }
}

/// Whether the end of a log line may be a break: it is as long as the lines around it, so much so
/// that the next word would have made it longer than any of them.
fn is_broken(log: &[&Line], widths: &[usize], index: usize) -> bool {
    let (Some(next), width) = (log.get(index + 1), widths[index]) else {
        return false;
    };
    if width < NARROWEST || log[index].number + 3 < next.number {
        return false;
    }
    let around = &widths[index.saturating_sub(2)..widths.len().min(index + 4)];
    let widest = around.iter().copied().max().unwrap_or(0);
    let word = next.text.split(' ').next().unwrap_or_default();
    width + 1 + word.chars().count() > widest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn log(texts: &[&str]) -> Vec<Line> {
        let line = |(place, text): (usize, &&str)| Line {
            origin: Origin::Log,
            number: place + 1,
            width: text.chars().count(),
            text: (*text).to_owned(),
        };
        texts.iter().enumerate().map(line).collect()
    }

    #[test]
    fn places_lead_back_to_lines() {
        let lines = log(&["ab", "cd"]);
        let hay = Haystack::plain(&lines);
        assert_eq!(hay.text(), "ab\ncd\n");
        assert_eq!(hay.line_at(0), (0, 0));
        assert_eq!(hay.line_at(4), (1, 1));
    }

    #[test]
    fn quotes_hold_the_whole_of_what_was_found() {
        let lines = log(&["first", "print(torch.version.cuda)", "None", "last"]);
        let hay = Haystack::plain(&lines);
        let quote = |said: &str| {
            let start = hay.text().find(said).unwrap();
            hay.quote(&lines, start..start + said.len())
        };
        assert_eq!(quote("None"), "log line 3: None");
        assert_eq!(quote("\nNone\n"), "log line 3: None");
        assert_eq!(
            quote("version.cuda)\nNone"),
            "log lines 2 to 3: print(torch.version.cuda) None"
        );
    }

    #[test]
    fn broken_lines_are_joined_both_ways() {
        let lines = log(&[
            "The installed version of the driver is too old for the pro",
            "gram; update it",
            "short",
        ]);
        let hays = Haystack::unwrapped(&lines);
        assert!(hays[0].text().contains("the pro gram; update it\nshort"));
        assert!(hays[1].text().contains("the program; update it\nshort"));
        assert!(hays[1].line_with(1).ends_with("program; update it"));
        assert_eq!(hays[1].line_with(2), "short");
        assert!(Haystack::unwrapped(&log(&["a", "b"])).is_empty());
    }
}
