//! Signals: wordings that programs use, and what each is worth as evidence.
//!
//! The wordings are data (`manifests/doctor/signals/*.toml`), so that a new one is one line. Each
//! signal says in its own words what it means and weighs for or against causes; what depends on
//! more than words is decided by the rules in [`super::causes`], which ask for signals by name.
//!
//! A pattern is a regular expression without regard to case. In it a space stands for any white
//! space, a line end included, and `…` for at most [`GAP`] characters of the same line. What stands
//! before and after `…` begins where a word begins.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{LazyLock, OnceLock},
};

use rayon::prelude::*;
use regex::bytes::{Regex, RegexBuilder};
use serde::Deserialize;

use super::{
    cause::Cause,
    text::{Haystack, Line, Origin},
    words::Words,
};

/// Most characters that `…` stands for.
const GAP: usize = 90;

macro_rules! embed {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../manifests/doctor/signals/", $name, ".toml")))),*]
    };
}

/// Name and text of each file of signals.
const FILES: &[(&str, &str)] = embed![
    "amd",
    "containers",
    "libraries",
    "multi_gpu",
    "notes",
    "nvidia",
    "packages",
    "python",
    "resources",
    "torch",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    signal: Vec<Signal>,
}

/// Wordings with one meaning.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signal {
    /// Its name, for the rules.
    pub id: String,
    /// What it means, completing "the log says that …".
    pub says: String,
    /// The wordings; any of them is enough.
    any: Vec<String>,
    /// Wordings that void a match on their line.
    #[serde(default)]
    unless: Vec<String>,
    /// Where it counts; empty means anywhere.
    #[serde(default, rename = "in")]
    origins: Vec<Place>,
    /// What it is worth: log-odds, in nats, for (or against) each cause.
    #[serde(default)]
    pub weighs: BTreeMap<Cause, f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    Log,
    Fact,
    Nvidia,
    Amd,
    Package,
    Python,
    Env,
}

impl Signal {
    /// Whether one of its wordings is in a text.
    #[cfg(test)]
    pub fn is_in(&self, text: &str) -> bool {
        let index = LIBRARY.by_id.get(&self.id);
        let mut patterns = LIBRARY.patterns.iter();
        patterns.any(|pattern| {
            Some(&pattern.signal) == index && LIBRARY.find(pattern, text.as_bytes(), 0).is_some()
        })
    }

    fn counts_in(&self, origin: Origin) -> bool {
        let place = match origin {
            Origin::Log => Place::Log,
            Origin::Fact => Place::Fact,
            Origin::Nvidia => Place::Nvidia,
            Origin::Amd => Place::Amd,
            Origin::Package => Place::Package,
            Origin::Python => Place::Python,
            Origin::Env => Place::Env,
        };
        self.origins.is_empty() || self.origins.contains(&place)
    }
}

/// A pattern: pieces that follow each other, each at most [`GAP`] behind the one before.
struct Pattern {
    signal: usize,
    /// Indices of the pieces in the set.
    pieces: Vec<usize>,
}

/// All signals, compiled.
struct Library {
    signals: Vec<Signal>,
    by_id: HashMap<String, usize>,
    patterns: Vec<Pattern>,
    words: Words,
    pieces: Vec<(String, OnceLock<Option<Regex>>)>,
    unless: Vec<(usize, OnceLock<Option<Regex>>)>,
}

static LIBRARY: LazyLock<Library> = LazyLock::new(|| {
    let mut signals = Vec::new();
    for (name, text) in FILES {
        // The files are part of the program and a test reads them.
        let file: File =
            toml::from_str(text).unwrap_or_else(|error| unreachable!("{name}.toml: {error}"));
        signals.extend(file.signal);
    }
    Library::new(signals).unwrap_or_else(|error| unreachable!("signals: {error}"))
});

impl Library {
    fn new(signals: Vec<Signal>) -> Result<Self, aho_corasick::BuildError> {
        let mut patterns = Vec::new();
        let mut pieces: Vec<String> = Vec::new();
        let mut unless = Vec::new();
        let by_id = signals
            .iter()
            .enumerate()
            .map(|(index, signal)| (signal.id.clone(), index))
            .collect();
        for (index, signal) in signals.iter().enumerate() {
            for text in &signal.any {
                let of_pattern = text.split('…').map(|piece| {
                    pieces.push(expression(piece.trim()));
                    pieces.len() - 1
                });
                let pieces = of_pattern.collect();
                patterns.push(Pattern {
                    signal: index,
                    pieces,
                });
            }
            unless.extend(signal.unless.iter().map(|_| (index, OnceLock::new())));
        }
        let words = Words::of(&pieces)?;
        Ok(Self {
            signals,
            by_id,
            patterns,
            words,
            pieces: pieces.into_iter().map(|p| (p, OnceLock::new())).collect(),
            unless,
        })
    }

    fn piece(&self, index: usize) -> Option<&Regex> {
        let (text, compiled) = &self.pieces[index];
        compiled.get_or_init(|| compile(text)).as_ref()
    }

    /// Where a pattern stands in a text, from a byte on.
    fn find(&self, pattern: &Pattern, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let (first, rest) = pattern.pieces.split_first()?;
        let mut from = from;
        while let Some(found) = self.piece(*first)?.find_at(text, from) {
            if begins_word(text, found.start())
                && let Some(end) = self.continues(rest, text, found.end())
            {
                return Some((found.start(), end));
            }
            from = found.start() + 1;
            if from > text.len() {
                break;
            }
        }
        None
    }

    fn continues(&self, pieces: &[usize], text: &[u8], from: usize) -> Option<usize> {
        let Some((first, rest)) = pieces.split_first() else {
            return Some(from);
        };
        let line_end = text[from..].iter().position(|b| *b == b'\n');
        let line_end = line_end.map_or(text.len(), |length| from + length);
        let regex = self.piece(*first)?;
        let mut search = from;
        loop {
            let found = regex.find_at(text, search)?;
            // A piece may itself cross the line's end, through its spaces.
            if found.start() > line_end || found.start() > from + GAP {
                return None;
            }
            if begins_word(text, found.start())
                && let Some(end) = self.continues(rest, text, found.end())
            {
                return Some(end);
            }
            search = found.start() + 1;
            if search > text.len() {
                return None;
            }
        }
    }

    /// Whether an exception stands on the line.
    fn is_void(&self, signal: usize, line: &str) -> bool {
        let texts = &self.signals[signal].unless;
        let mine = self.unless.iter().filter(|(of, _)| *of == signal);
        mine.zip(texts).any(|((_, compiled), text)| {
            compiled
                .get_or_init(|| compile(&expression(text)))
                .as_ref()
                .is_some_and(|regex| regex.is_match(line.as_bytes()))
        })
    }
}

/// Whether a find does not begin within a word: `stall` is not meant where `install` stands. A
/// capital begins a word of its own, as in `RuntimeError`.
fn begins_word(text: &[u8], place: usize) -> bool {
    let Some(before) = place.checked_sub(1).map(|before| text[before]) else {
        return true;
    };
    let first = text.get(place).copied().unwrap_or_default();
    !before.is_ascii_alphabetic()
        || !first.is_ascii_alphabetic()
        || (before.is_ascii_lowercase() && first.is_ascii_uppercase())
}

fn compile(text: &str) -> Option<Regex> {
    RegexBuilder::new(text)
        .case_insensitive(true)
        .unicode(false)
        .build()
        .ok()
}

/// The regular expression of a piece: spaces outside classes match any white space.
fn expression(piece: &str) -> String {
    let mut out = String::from("(?m)");
    let mut in_class = false;
    let mut escaped = false;
    for c in piece.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            ' ' if !in_class => {
                out.push_str(r"(?:\s+)");
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    out
}

/// The names of all signals.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    LIBRARY.signals.iter().map(|signal| signal.id.as_str())
}

/// Bytes of lines that are searched together: in a longer text everything is possible.
const BLOCK: usize = 8 << 10;
/// Lines that neighbouring blocks share, so that no message is cut in two.
const SHARED: usize = 4;

/// Lines in blocks that overlap.
fn blocks(lines: &[Line]) -> impl Iterator<Item = &[Line]> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = lines.get(start..).filter(|rest| !rest.is_empty())?;
        let mut bytes = 0;
        let full = rest.iter().position(|line| {
            bytes += line.text.len();
            bytes > BLOCK
        });
        let taken = full.map_or(rest.len(), |full| full.max(2 * SHARED).min(rest.len()));
        start += if taken < rest.len() {
            taken - SHARED
        } else {
            taken
        };
        Some(&rest[..taken])
    })
}

/// A signal that was seen.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The line for a person.
    pub quote: String,
}

/// The signals of an evidence.
#[derive(Default)]
pub struct Signals {
    seen: BTreeMap<usize, Seen>,
}

impl Signals {
    /// Looks for every signal; of several places the first is told.
    pub fn of(lines: &[Line]) -> Self {
        let blocks: Vec<&[Line]> = blocks(lines).collect();
        let share = blocks.len().div_ceil(rayon::current_num_threads()).max(1);
        let parts = blocks.par_chunks(share).map(Self::of_blocks);
        let parts: Vec<Self> = parts.collect();
        let mut signals = Self::default();
        for (signal, seen) in parts.into_iter().flat_map(|part| part.seen) {
            signals.seen.entry(signal).or_insert(seen);
        }
        signals
    }

    fn of_blocks(blocks: &[&[Line]]) -> Self {
        let library = &*LIBRARY;
        let mut signals = Self::default();
        for block in blocks {
            let unwrapped = Haystack::unwrapped(block);
            for hay in std::iter::once(&Haystack::plain(block)).chain(&unwrapped) {
                signals.search(library, block, hay, &unwrapped);
            }
        }
        signals
    }

    fn search(
        &mut self,
        library: &Library,
        lines: &[Line],
        hay: &Haystack,
        unwrapped: &[Haystack],
    ) {
        let text = hay.text().as_bytes();
        let possible = library.words.possible(text);
        for pattern in &library.patterns {
            let is_new = !self.seen.contains_key(&pattern.signal);
            if !is_new || !pattern.pieces.iter().all(|piece| possible[*piece]) {
                continue;
            }
            let signal = &library.signals[pattern.signal];
            let mut from = 0;
            while let Some((start, end)) = library.find(pattern, text, from) {
                let (index, _) = hay.line_at(start);
                let line = &lines[index];
                // The exception may stand behind a break.
                let whole = unwrapped.iter().map(|hay| hay.line_with(index));
                let is_void = std::iter::once(line.text.as_str())
                    .chain(whole)
                    .any(|text| library.is_void(pattern.signal, text));
                if signal.counts_in(line.origin) && !is_void {
                    let quote = hay.quote(lines, start..end);
                    self.seen.insert(pattern.signal, Seen { quote });
                    break;
                }
                from = end.max(start + 1);
                if from > text.len() {
                    break;
                }
            }
        }
    }

    /// The signal of this name, where it was seen.
    pub fn get(&self, id: &str) -> Option<&Seen> {
        let index = LIBRARY.by_id.get(id);
        debug_assert!(index.is_some(), "no signal is called `{id}`");
        self.seen.get(index?)
    }

    /// Every signal that was seen.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Signal, &Seen)> {
        self.seen
            .iter()
            .map(|(index, seen)| (&LIBRARY.signals[*index], seen))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_files_hold_valid_signals_with_names_of_their_own() {
        let library = &*LIBRARY;
        assert_eq!(
            library.by_id.len(),
            library.signals.len(),
            "a name is used twice"
        );
        for signal in &library.signals {
            assert!(
                !signal.any.is_empty() && !signal.says.is_empty(),
                "{}",
                signal.id
            );
            for text in &signal.unless {
                assert!(
                    compile(&expression(text)).is_some(),
                    "{}: {text}",
                    signal.id
                );
            }
            // A gap within a group would cut the group in two; a test of the piece shows it.
            // Something that says nothing would match every line.
            for pattern in &signal.any {
                for piece in pattern.split('…') {
                    let regex = compile(&expression(piece.trim())).unwrap();
                    assert!(!regex.is_match(b""), "{}: {pattern}", signal.id);
                }
            }
        }
    }

    fn library(toml: &str) -> Library {
        Library::new(toml::from_str::<File>(toml).unwrap().signal).unwrap()
    }

    #[test]
    fn pieces_follow_each_other_on_a_line() {
        let library = library(
            "[[signal]]\nid = \"a\"\nsays = \"a\"\nany = ['driver … too old', 'no [x y] z']\n",
        );
        let find = |text: &str| library.find(&library.patterns[0], text.as_bytes(), 0);
        assert_eq!(find("Driver 3 is TOO  old"), Some((0, 20)));
        assert_eq!(find("driver is too\nold"), Some((0, 17)));
        assert_eq!(find("driver\nis too old"), None);
        assert_eq!(find(&format!("driver {}too old", "x ".repeat(100))), None);
        // An earlier first piece does not hide a later one.
        assert!(find(&format!("driver {}driver too old", "x ".repeat(100))).is_some());
        let class = library.find(&library.patterns[1], b"no  y z", 0);
        assert!(class.is_some());
        // Words within words say something else.
        assert_eq!(find("screwdriver is too old"), None);
        assert_eq!(find("driver is tattoo old"), None);
        assert_eq!(find("nvDriver: too old"), Some((2, 17)));
    }
}
