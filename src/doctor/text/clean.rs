//! From bytes that somebody pasted to lines that can be read.
//!
//! Removed: colours and other terminal control, progress bars drawn over themselves, marks of
//! quotation, and what loggers put before a message (times, levels, host and container names).
//! Unlike whitespace and quotation marks become like. Nothing here fails; what is not text becomes
//! replacement characters.

use std::{borrow::Cow, sync::LazyLock};

use regex::Regex;

/// Bytes of a longer line that are looked at together.
const PIECE: usize = 4096;
/// Bytes that neighbouring pieces share, so that no message is cut in two.
const OVERLAP: usize = 512;

/// Text from bytes: UTF-8, or UTF-16 with a byte order mark, as PowerShell writes it.
pub fn decode(bytes: &[u8]) -> Cow<'_, str> {
    let wide = |unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes[2..]
            .chunks_exact(2)
            .map(|pair| unit([pair[0], pair[1]]))
            .collect();
        Cow::Owned(String::from_utf16_lossy(&units))
    };
    match bytes {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        _ => String::from_utf8_lossy(bytes),
    }
}

/// The readable lines of output, none of them empty, without what loggers put in front. With each
/// goes its width in columns as it stood.
pub fn lines(text: &str) -> impl Iterator<Item = (String, usize)> + '_ {
    cleaned(text)
        .map(|line| {
            let width = line.trim_end().chars().count();
            (without_prefixes(line.trim()).trim().to_owned(), width)
        })
        .filter(|(line, _)| !line.is_empty())
}

/// The readable lines of a text, none of them empty.
pub fn plain_lines(text: &str) -> impl Iterator<Item = String> + '_ {
    cleaned(text)
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
}

fn cleaned(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
        .flat_map(pieces)
        .map(clean)
}

/// A line, or overlapping pieces of a very long one.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        if line.len() <= PIECE {
            rest = None;
            return Some(line);
        }
        let end = floor(line, PIECE);
        rest = Some(&line[floor(line, end - OVERLAP)..]);
        Some(&line[..end])
    })
}

fn floor(text: &str, mut index: usize) -> usize {
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// Without terminal control; odd spaces and quotation marks made plain.
fn clean(line: &str) -> Cow<'_, str> {
    let plain = |c: char| match c {
        ' '..='~' => true,
        '\u{a1}'.. => !matches!(
            c,
            '\u{2000}'..='\u{200f}' | '\u{2018}'..='\u{201f}' | '\u{3000}' | '\u{feff}'
                | '\u{2028}'..='\u{202f}' | '\u{2500}'..='\u{259f}' | '\u{b4}'
        ),
        _ => false,
    };
    if line.chars().all(plain) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            '\u{9b}' => skip_parameters(&mut chars),
            '\t' | '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{3000}' => out.push(' '),
            '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{b4}' => out.push('\''),
            '\u{201c}'..='\u{201f}' => out.push('"'),
            // Bars and boxes of progress and of traces.
            '\u{2500}'..='\u{259f}' => out.push(' '),
            '\u{8}' => {
                out.pop();
            }
            c if plain(c) => out.push(c),
            _ => {}
        }
    }
    Cow::Owned(out)
}

/// Past what follows an escape character (ECMA-48, and the titles of xterm).
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => skip_parameters(chars),
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                    break;
                }
            }
        }
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => {
            chars.next();
        }
        _ => {}
    }
}

fn skip_parameters(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next_if(|c| (' '..='~').contains(c)) {
        if ('@'..='~').contains(&c) {
            break;
        }
    }
}

/// A line without what loggers and quoting put before the message.
fn without_prefixes(line: &str) -> &str {
    let mut line = line;
    // Real lines carry two or three: container, time, level.
    for _ in 0..5 {
        let shorter = after_quote(line)
            .or_else(|| after_time(line))
            .or_else(|| after_level(line))
            .or_else(|| after_logger(line))
            .or_else(|| after_container(line));
        match shorter {
            Some(rest) if !rest.trim().is_empty() => line = rest.trim_start(),
            _ => break,
        }
    }
    line
}

/// After `> ` of a quotation, `E   ` of pytest and `#12 3.456 ` of an image build.
fn after_quote(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("E   ") {
        return Some(rest);
    }
    if let Some(rest) = line.strip_prefix('>') {
        // A prompt of Python's shell is no quotation.
        return (!rest.starts_with(">>")).then_some(rest);
    }
    let (number, rest) = line.strip_prefix('#')?.split_once(' ')?;
    let (seconds, rest) = rest.split_once(' ')?;
    let digits =
        |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    (digits(number) && digits(seconds)).then_some(rest)
}

/// After a time: `[2024-05-01 12:00:00,123]`, `2024-05-01T12:00:00Z`, `[   12.345678]`,
/// `May  5 12:00:00 host kernel:`, `I0501 12:00:00.000000 123 file.cc:1]`, `12:00:00`.
fn after_time(line: &str) -> Option<&str> {
    static TIME: LazyLock<Regex> = LazyLock::new(|| {
        let date = r"[0-9]{2,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}[T ,]{1,2}";
        let clock = r"[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,:][0-9]+)?";
        let zone = r"Z|(?: ?UTC)?(?: ?[+-][0-9]{2}:?[0-9]{2}\b)?";
        // Or the seconds since the start of the kernel.
        let text = format!(r"^(?:\[? *(?:{date})?{clock}(?:{zone})|\[ *[0-9]+\.[0-9]{{3,}} *\])");
        Regex::new(&text).unwrap_or_else(|error| unreachable!("{error}"))
    });
    if let Some(found) = TIME.find(line) {
        // `]`, ` |`, ` -` and the like may follow.
        let rest = &line[found.end()..];
        return Some(rest.trim_start_matches([']', '|', ' ', '-', ':', ',']));
    }
    after_syslog(line).or_else(|| after_glog(line))
}

/// After `May  5 12:00:00 host kernel: `.
fn after_syslog(line: &str) -> Option<&str> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = line.get(..3)?;
    if !MONTHS.contains(&month) {
        return None;
    }
    let mut words = line.splitn(2, ": ");
    let head = words.next()?;
    let clock = head.split_whitespace().nth(2)?;
    (clock.matches(':').count() == 2 && head.split_whitespace().count() <= 6)
        .then(|| words.next())
        .flatten()
}

/// After `E0501 12:00:00.000000 123 file.cc:45] `.
fn after_glog(line: &str) -> Option<&str> {
    let mut chars = line.chars();
    if !matches!(chars.next(), Some('I' | 'W' | 'E' | 'F')) {
        return None;
    }
    if !line.get(1..5)?.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (head, rest) = line.split_once("] ")?;
    (head.len() < 120 && head.contains(':')).then_some(rest)
}

const LEVELS: [&str; 11] = [
    "DEBUG", "INFO", "WARNING", "WARN", "ERROR", "CRITICAL", "FATAL", "TRACE", "stderr", "stdout",
    "kernel",
];

/// After `package.module - INFO - ` of Python's loggers.
fn after_logger(line: &str) -> Option<&str> {
    let (name, rest) = line.split_once(" - ")?;
    let (level, rest) = rest.split_once(" - ")?;
    let is_name = !name.is_empty()
        && name.len() <= 60
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-[]".contains(c));
    (is_name && LEVELS.contains(&level.trim())).then_some(rest)
}

/// After `INFO:`, `[ERROR]`, `WARNING 05-01 12:00:00 [file.py:12] ` and the like.
fn after_level(line: &str) -> Option<&str> {
    let inner = line.strip_prefix('[').unwrap_or(line);
    let level = LEVELS.iter().find(|level| inner.starts_with(**level))?;
    let rest = &inner[level.len()..];
    let bare = rest.trim_start_matches([']', ':', '|', '-']);
    if bare.len() < rest.len() {
        // The message of `ERROR: …` keeps its word: some patterns are about it.
        return (!matches!(*level, "ERROR" | "WARNING" | "FATAL") || rest.starts_with(']'))
            .then_some(bare);
    }
    // vLLM: `ERROR 05-01 12:00:00 [engine.py:366] message`.
    let mut words = rest.trim_start().splitn(2, ' ');
    let date = words.next()?;
    let is_date = date.len() == 5 && date.as_bytes()[2] == b'-';
    let rest = words.next().filter(|_| is_date)?;
    rest.split_once("] ").map(|(_, message)| message)
}

/// After `service-1  | ` of compose and `(EngineCore_0 pid=123) ` of workers.
fn after_container(line: &str) -> Option<&str> {
    if let Some((head, rest)) = line.strip_prefix('(').and_then(|l| l.split_once(')')) {
        return (head.contains("pid=") || head.contains("pid ")).then_some(rest);
    }
    let (name, rest) = line.split_once(" | ")?;
    let name = name.trim_end();
    let is_name = !name.is_empty()
        && name.len() <= 40
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    is_name.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        lines(text).map(|(line, _)| line).collect()
    }

    #[test]
    fn control_and_odd_characters_go() {
        assert_eq!(
            all("\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}x"),
            ["red x"]
        );
        assert_eq!(all("10%\r 20%\r\nlast\r\n\n"), ["10%", "20%", "last"]);
        assert_eq!(all("a\u{a0}b\u{2019}s \u{201c}c\u{201d}"), ["a b's \"c\""]);
        assert_eq!(all("ab\u{8}c\0d"), ["acd"]);
        assert_eq!(all("找不到指定的模块"), ["找不到指定的模块"]);
    }

    #[test]
    fn prefixes_go() {
        for line in [
            "> > lost",
            "[2024-05-01 12:00:00,123] lost",
            "2024-05-01T12:00:00.123456Z lost",
            "2024/05/01 12:00:00 lost",
            "[   12.345678] lost",
            "May  5 12:00:00 box kernel: lost",
            "E0501 12:00:00.000000 123 file.cc:45] lost",
            "app-1  | lost",
            "app-1  | 2024-05-01 12:00:00 INFO: lost",
            "ERROR 05-01 12:00:00 [engine.py:366] lost",
            "(EngineCore_0 pid=12) lost",
            "#12 3.456 lost",
            "[INFO] lost",
            "E   lost",
            "2024-05-01 12:00:00+02:00 lost",
            "[12:00:00] lost",
            "2024-05-01 12:00:00,123 - root - INFO - lost",
        ] {
            assert_eq!(all(line), ["lost"], "{line}");
        }
        // These are messages, not prefixes.
        for line in [
            "ERROR: No matching",
            "12.3",
            "1.5.0+cpu",
            "4 GPUs",
            ">>> import torch",
            "a | b | c d | e",
        ] {
            assert!(line.ends_with(all(line)[0].as_str()), "{line}");
        }
        assert_eq!(all("ERROR: No matching"), ["ERROR: No matching"]);
        assert_eq!(all("12:00:00 2.8.0+cpu None"), ["2.8.0+cpu None"]);
    }

    #[test]
    fn long_lines_are_read_in_pieces_that_overlap() {
        let text = format!("{}needle{}", "x".repeat(PIECE - 3), "ü".repeat(5000));
        assert!(all(&text).iter().any(|piece| piece.contains("needle")));
    }

    #[test]
    fn wide_text_is_read() {
        let mut bytes = vec![0xff, 0xfe];
        bytes.extend("Ünd\r\n".encode_utf16().flat_map(u16::to_le_bytes));
        assert_eq!(decode(&bytes), "Ünd\r\n");
        assert_eq!(decode(b"a\xffb"), "a\u{fffd}b");
    }
}
