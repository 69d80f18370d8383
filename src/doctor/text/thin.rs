//! Long logs, made short: what repeats itself goes, and of the middle what complains stays.
//!
//! A failure shows where a program ends, what it ran on where it begins. Between these a server
//! may have written for days.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::LazyLock,
};

use aho_corasick::AhoCorasick;
use rayon::prelude::*;

use super::{Line, Origin, clean};

/// A log with more lines than this loses lines that differ in numbers only.
const MANY_LINES: usize = 2_000;
/// Bytes that are read of the beginning and of the end of what is left.
const HEAD: usize = 192 << 10;
const TAIL: usize = 320 << 10;
/// Most bytes of complaints between the two.
const MIDDLE: usize = 256 << 10;
/// Lines that are kept before and after a complaint.
const AROUND: usize = 2;

/// Words of programs that something is wrong.
const COMPLAINTS: [&str; 34] = [
    "error",
    "fail",
    "cannot",
    "can't",
    "could not",
    "couldn't",
    "unable",
    "traceback",
    "exception",
    "fatal",
    "not found",
    "no such",
    "missing",
    "killed",
    "abort",
    "illegal",
    "segmentation",
    "core dumped",
    "denied",
    "refused",
    "invalid",
    "unknown",
    "unsupported",
    "not supported",
    "incompatib",
    "mismatch",
    "too old",
    "false",
    "undefined",
    "hang",
    "timeout",
    "no module",
    "none",
    "conflict",
];

/// Words that are worth a look in the middle of a long log, though things that work say them too.
const HINTS: [&str; 16] = [
    "warn",
    "fallen",
    "lost",
    "busy",
    "insufficient",
    "ignor",
    "out of memory",
    "space left",
    "xid",
    "too small",
    "exceed",
    "corrupt",
    "stuck",
    "not compatible",
    "no longer",
    "does not",
];

/// Whether a line has a word of complaint.
pub fn complains(text: &str) -> bool {
    static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| any_of(&COMPLAINTS));
    WORDS.find_iter(text).any(|found| {
        // The `none` of a wheel's name, `py3-none-any`, is part of every installation.
        let before = text[..found.start()].chars().next_back();
        !(text[found.range()].eq_ignore_ascii_case("none") && before == Some('-'))
    })
}

/// Whether a line of a long log is worth reading.
fn tells(text: &str) -> bool {
    static WORDS: LazyLock<AhoCorasick> = LazyLock::new(|| any_of(&HINTS));
    complains(text) || WORDS.is_match(text)
}

fn any_of(words: &[&str]) -> AhoCorasick {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(words)
        .unwrap_or_else(|error| unreachable!("{error}"))
}

/// Lines of a long log that are cleaned at a time.
const AT_A_TIME: usize = 16 << 10;

/// The readable lines of a log, as many as are worth reading.
pub(super) fn log_lines(log: &[String]) -> Vec<Line> {
    let bytes: usize = log.iter().map(String::len).sum();
    let is_long = log.len() > MANY_LINES || bytes > HEAD + MIDDLE + TAIL;
    if !is_long {
        let lines = log.iter().enumerate().flat_map(|(p, text)| read(p, text));
        return lines.collect();
    }
    let mut lines = Vec::new();
    let mut seen = HashMap::new();
    for (portion, texts) in log.chunks(AT_A_TIME).enumerate() {
        let read: Vec<Vec<(Line, u64)>> = texts
            .par_iter()
            .enumerate()
            .map(|(place, text)| {
                let lines = read(portion * AT_A_TIME + place, text);
                lines
                    .map(|line| {
                        let shape = shape(&line.text);
                        (line, shape)
                    })
                    .collect()
            })
            .collect();
        let new = read.into_iter().flatten();
        lines.extend(new.filter_map(|(line, shape)| {
            let count = seen.entry(shape).or_insert(0_u8);
            *count = count.saturating_add(1);
            (*count <= 2).then_some(line)
        }));
    }
    shortened(lines)
}

/// The readable lines of one line of a log; progress bars have several.
fn read(place: usize, text: &str) -> impl Iterator<Item = Line> + '_ {
    clean::lines(text).map(move |(text, width)| Line {
        origin: Origin::Log,
        number: place + 1,
        width,
        text,
    })
}

/// The same for lines that differ in their numbers only: those that come a third time are left out.
fn shape(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let shape: Vec<u8> = text
        .bytes()
        .filter(|b| !b.is_ascii_digit() && *b != b'.' && *b != b' ')
        .collect();
    shape.hash(&mut hasher);
    hasher.finish()
}

/// The beginning, the end, and the complaints between them, the later ones first.
fn shortened(mut lines: Vec<Line>) -> Vec<Line> {
    let total: usize = lines.iter().map(|line| line.text.len()).sum();
    if total <= HEAD + MIDDLE + TAIL {
        return lines;
    }
    let head = reach(lines.iter(), HEAD);
    let tail = lines.len() - reach(lines.iter().rev(), TAIL);
    let mut kept = vec![false; lines.len()];
    kept[..head].fill(true);
    kept[tail..].fill(true);
    let mut left = MIDDLE;
    for index in (head..tail).rev() {
        if !tells(&lines[index].text) {
            continue;
        }
        for near in index.saturating_sub(AROUND)..(index + AROUND + 1).min(lines.len()) {
            if !std::mem::replace(&mut kept[near], true) {
                left = left.saturating_sub(lines[near].text.len());
            }
        }
        if left == 0 {
            break;
        }
    }
    let mut kept = kept.into_iter();
    lines.retain(|_| kept.next().unwrap_or(false));
    lines
}

/// How many lines come to a number of bytes.
fn reach<'a>(lines: impl Iterator<Item = &'a Line>, bytes: usize) -> usize {
    let mut sum = 0;
    lines
        .take_while(|line| {
            sum += line.text.len();
            sum <= bytes
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_log_is_thinned_but_keeps_what_is_rare() {
        let mut log: Vec<String> = (0..5000).map(|i| format!("step {i} of 5000")).collect();
        log.push("the end".to_owned());
        let lines = log_lines(&log);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2].number, 5001);
    }

    #[test]
    fn of_the_middle_complaints_stay() {
        // Lines that all differ in letters.
        let word = |mut number: usize| {
            let mut letters = String::new();
            while number > 0 {
                letters.push(char::from(b'a' + (number % 26) as u8));
                number /= 26;
            }
            letters
        };
        let mut log: Vec<String> = (1..100_000)
            .map(|i| format!("request of {} was answered", word(i)))
            .collect();
        log[50_000] = "RuntimeError: the GPU is lost".to_owned();
        log[0] = "the beginning".to_owned();
        log.push("the end".to_owned());
        let lines = log_lines(&log);
        let has = |text: &str| lines.iter().any(|line| line.text.contains(text));
        assert!(has("the beginning") && has("GPU is lost") && has("the end"));
        let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
        assert!(bytes <= HEAD + MIDDLE + TAIL, "{bytes}");
        assert!(lines.iter().any(|line| line.number == 50_002));
    }
}
