//! Searching lines for facts.

use std::ops::Range;

use regex::{Captures, Regex};

use super::Known;
use crate::doctor::text::{Haystack, Line};

/// Lines to be searched, once as lines and once as one text.
pub(super) struct Scan<'a> {
    pub lines: &'a [Line],
    hay: Haystack,
    /// The log with its breaks taken out, for names that are long enough to be broken.
    unwrapped: Vec<Haystack>,
}

/// Where something was found.
pub(super) struct Place<'s, 'a> {
    /// The line it begins on.
    pub line: &'a Line,
    scan: &'s Scan<'a>,
    hay: &'s Haystack,
    /// What is to be seen in a quotation.
    range: Range<usize>,
}

impl Place<'_, '_> {
    /// The line for a person, or the lines where it goes on behind a break.
    pub fn quote(&self) -> String {
        self.hay.quote(self.scan.lines, self.range.clone())
    }
}

/// Of a longer find the value alone is quoted.
const LONGEST_FIND: usize = 120;

/// The whole of a find, so that a label and its value are seen, or at least its value.
fn telling(found: &Captures<'_>) -> Option<Range<usize>> {
    let whole = found.get(0)?;
    let value = found.iter().skip(1).flatten().last();
    let value = value.filter(|_| whole.len() > LONGEST_FIND);
    Some(value.unwrap_or(whole).range())
}

/// At most this many finds of one kind are read.
const MOST: usize = 2_000;

impl<'a> Scan<'a> {
    pub fn new(lines: &'a [Line]) -> Self {
        Self {
            lines,
            hay: Haystack::plain(lines),
            unwrapped: Haystack::unwrapped(lines),
        }
    }

    /// Everything a pattern finds, line by line.
    pub fn all<'s>(
        &'s self,
        pattern: &'s Regex,
    ) -> impl Iterator<Item = (Captures<'s>, Place<'s, 'a>)> + 's {
        self.in_hay(&self.hay, pattern)
    }

    /// Everything a pattern finds, also across line breaks.
    pub fn all_unwrapped<'s>(
        &'s self,
        pattern: &'s Regex,
    ) -> impl Iterator<Item = (Captures<'s>, Place<'s, 'a>)> + 's {
        let broken = self.unwrapped.iter();
        self.all(pattern)
            .chain(broken.flat_map(move |hay| self.in_hay(hay, pattern)))
    }

    fn in_hay<'s>(
        &'s self,
        hay: &'s Haystack,
        pattern: &'s Regex,
    ) -> impl Iterator<Item = (Captures<'s>, Place<'s, 'a>)> + 's {
        pattern
            .captures_iter(hay.text())
            .take(MOST)
            .filter_map(move |captures| {
                let whole = captures.get(0)?;
                // A pattern may begin with the break before the line it is about.
                let lead = whole.as_str().len() - whole.as_str().trim_start().len();
                let start = whole.start() + lead;
                let place = Place {
                    line: self.lines.get(hay.line_at(start).0)?,
                    scan: self,
                    hay,
                    range: telling(&captures)?,
                };
                Some((captures, place))
            })
    }

    /// The first find that tells what is there, rather than what somebody needs.
    pub fn stated<T>(
        &self,
        pattern: &Regex,
        mean: impl Fn(&Captures<'_>) -> Option<T>,
    ) -> Option<Known<T>> {
        self.all(pattern).find_map(|(captures, place)| {
            let start = captures.get(0)?.start();
            let text = self.hay.text();
            let line_start = text[..start].rfind('\n').map_or(0, |end| end + 1);
            if is_wish(&text[line_start..start]) {
                return None;
            }
            let value = mean(&captures)?;
            Some(Known {
                value,
                quote: place.quote(),
            })
        })
    }

    /// The first find that means something, one across a line break if there is no other.
    pub fn first<T>(
        &self,
        pattern: &Regex,
        mean: impl Fn(&Captures<'_>) -> Option<T>,
    ) -> Option<Known<T>> {
        self.all_unwrapped(pattern).find_map(|(captures, place)| {
            let value = mean(&captures)?;
            Some(Known {
                value,
                quote: place.quote(),
            })
        })
    }
}

/// Whether what comes before a version makes it a wish: "needs cuDNN 9", "built for CUDA 11".
fn is_wish(before: &str) -> bool {
    let words = [
        "need",
        "require",
        "want",
        "expect",
        "support",
        "built for",
        "compiled for",
        "made for",
        "at least",
        "minimum",
        ">=",
        "asks for",
        "upgrade to",
        "update to",
        "install ",
    ];
    let start = before.len().saturating_sub(28);
    let start = (start..=before.len()).find(|at| before.is_char_boundary(*at));
    let near = before[start.unwrap_or(before.len())..].to_lowercase();
    // A clause of its own says something else again.
    let near = near.rsplit([',', ';', '(']).next().unwrap_or_default();
    let near = near.rsplit(" but ").next().unwrap_or_default();
    words.iter().any(|word| near.contains(word))
}

/// A regular expression that is part of the program; a test of its module runs it.
macro_rules! pattern {
    ($text:expr) => {{
        static PATTERN: std::sync::LazyLock<regex::Regex> = std::sync::LazyLock::new(|| {
            regex::Regex::new($text).unwrap_or_else(|error| unreachable!("{error}"))
        });
        &*PATTERN
    }};
}
pub(in crate::doctor) use pattern;
