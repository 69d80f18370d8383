//! Searching lines for facts.

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
    ) -> impl Iterator<Item = (Captures<'s>, &'a Line)> + 's {
        Self::in_hay(&self.hay, self.lines, pattern)
    }

    /// Everything a pattern finds, also across line breaks.
    pub fn all_unwrapped<'s>(
        &'s self,
        pattern: &'s Regex,
    ) -> impl Iterator<Item = (Captures<'s>, &'a Line)> + 's {
        let broken = self.unwrapped.iter();
        self.all(pattern)
            .chain(broken.flat_map(move |hay| Self::in_hay(hay, self.lines, pattern)))
    }

    fn in_hay<'s>(
        hay: &'s Haystack,
        lines: &'a [Line],
        pattern: &'s Regex,
    ) -> impl Iterator<Item = (Captures<'s>, &'a Line)> + 's
    where
        'a: 's,
    {
        pattern
            .captures_iter(hay.text())
            .take(MOST)
            .filter_map(move |captures| {
                let whole = captures.get(0)?;
                // A pattern may begin with the break before the line it is about.
                let lead = whole.as_str().len() - whole.as_str().trim_start().len();
                let start = whole.start() + lead;
                let line = lines.get(hay.line_at(start).0)?;
                Some((captures, line))
            })
    }

    /// The first find that tells what is there, rather than what somebody needs.
    pub fn stated<T>(
        &self,
        pattern: &Regex,
        mean: impl Fn(&Captures<'_>) -> Option<T>,
    ) -> Option<Known<T>> {
        self.all(pattern).find_map(|(captures, line)| {
            let place = captures.get(0)?.start();
            let text = self.hay.text();
            let line_start = text[..place].rfind('\n').map_or(0, |end| end + 1);
            if is_wish(&text[line_start..place]) {
                return None;
            }
            let value = mean(&captures)?;
            Some(Known {
                value,
                quote: line.quote(0, 0),
            })
        })
    }

    /// The first find that means something, one across a line break if there is no other.
    pub fn first<T>(
        &self,
        pattern: &Regex,
        mean: impl Fn(&Captures<'_>) -> Option<T>,
    ) -> Option<Known<T>> {
        self.all_unwrapped(pattern).find_map(|(captures, line)| {
            let value = mean(&captures)?;
            Some(Known {
                value,
                quote: line.quote(0, 0),
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
