//! A template's source with limits written into it: filters that look at what passes through them.

use super::{KEPT, MARKED, TagTooLong, WEIGHED};

/// The most tokens within one tag. The parser and what follows it call themselves for each operator
/// of a chain, and ten thousand would overflow the stack; the longest real tags have some hundred.
const LONGEST_TAG: usize = 1500;

/// The template with filters
///
/// * behind each operand of `~`, `+` and `*`: it must not be too long;
/// * before each filter, which takes time and memory after the length of what it is given;
/// * behind lists and maps that the template makes, and before filters and comparisons that look into
///   them: together they must not be too large, nor nested too deeply;
/// * behind what is set.
///
/// # Errors
///
/// A tag is longer than any that is meant.
pub(in super::super) fn bound(source: &str) -> Result<String, TagTooLong> {
    let mut out = String::with_capacity(source.len() * 2);
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        let (text, tag) = rest.split_at(at);
        out.push_str(text);
        let length = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map_or(tag.len(), |end| end + 2),
            Some(b'%' | b'{') => expression(tag, &mut out)?,
            _ => 1,
        };
        // What an expression wrote itself is not written again.
        if !matches!(tag.as_bytes().get(1), Some(b'%' | b'{')) {
            out.push_str(&tag[..length]);
        }
        rest = &tag[length..];
    }
    out.push_str(rest);
    Ok(out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Number,
    Text,
    Open,
    Close,
    Other(u8),
}

#[derive(Clone, Copy)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

/// What is to be written into a tag, and where.
type Places = Vec<(usize, String)>;

/// Writes a tag with its filters; gives its length.
fn expression(tag: &str, out: &mut String) -> Result<usize, TagTooLong> {
    let (tokens, length) = tokens(tag);
    let tag_tokens = Tokens { tag, all: &tokens };
    if tag_tokens.word(0) == "raw" {
        // As it stands, up to its end.
        let length = raw_end(tag);
        out.push_str(&tag[..length]);
        return Ok(length);
    }
    if tokens.len() > LONGEST_TAG {
        return Err(TagTooLong(LONGEST_TAG));
    }
    let mut places = Places::new();
    tag_tokens.operands(&mut places);
    tag_tokens.filters(&mut places);
    tag_tokens.literals(&mut places);
    tag_tokens.comparisons(&mut places);
    tag_tokens.set(&mut places);
    // Stable: what was put first at a place stands first.
    places.sort_by_key(|(place, _)| *place);
    places.dedup();
    let mut from = 0;
    for (place, text) in places {
        out.push_str(&tag[from..place]);
        out.push_str(&text);
        from = place;
    }
    out.push_str(&tag[from..length]);
    Ok(length)
}

/// Where the tag begins that ends a stretch of raw text.
fn raw_end(tag: &str) -> usize {
    let mut ends = tag.match_indices("endraw").map(|(at, _)| at);
    let closes = |&at: &usize| {
        let before = tag[..at].trim_end();
        let before = before.strip_suffix(['-', '+']).unwrap_or(before);
        before.ends_with("{%")
    };
    ends.find(closes).unwrap_or(tag.len())
}

/// The tokens of a tag.
struct Tokens<'t> {
    tag: &'t str,
    all: &'t [Token],
}

impl Tokens<'_> {
    fn word(&self, i: usize) -> &str {
        self.all.get(i).map_or("", |t| &self.tag[t.start..t.end])
    }

    fn kind(&self, i: usize) -> Option<Kind> {
        self.all.get(i).map(|token| token.kind)
    }

    /// Whether token `i` can end a value, so that what follows it belongs to it.
    fn is_value(&self, i: usize) -> bool {
        match self.kind(i) {
            Some(Kind::Word) => !is_keyword(self.word(i)) && (i == 0 || self.word(i - 1) != "is"),
            Some(Kind::Text | Kind::Close) => true,
            _ => false,
        }
    }

    fn joins(&self, i: usize) -> bool {
        i > 0 && matches!(self.kind(i), Some(Kind::Other(b'~' | b'+' | b'*')))
    }

    /// The operands of `~`, `+` and `*`, each with its share of the longest text.
    fn operands(&self, places: &mut Places) {
        let count = (0..self.all.len()).filter(|&i| self.joins(i)).count();
        let filter = format!("|{MARKED}({})", count + 1);
        for i in (0..self.all.len()).filter(|&i| self.joins(i)) {
            if self.is_value(i - 1) {
                places.push((self.all[i - 1].end, filter.clone()));
            }
            if let Some(end) = self.operand_end(i + 1) {
                places.push((end, filter.clone()));
            }
        }
    }

    /// What filters are given.
    fn filters(&self, places: &mut Places) {
        for i in 1..self.all.len() {
            let filtered = self.kind(i) == Some(Kind::Other(b'|'));
            if !filtered || !self.is_value(i - 1) || self.kind(i + 1) != Some(Kind::Word) {
                continue;
            }
            let filter = match self.word(i + 1) {
                name if looks_inside(name) => format!("|{WEIGHED}"),
                _ => format!("|{MARKED}(1)"),
            };
            places.push((self.all[i - 1].end, filter));
        }
    }

    /// Lists and maps that are not the same each time, and what calls make that nests.
    fn literals(&self, places: &mut Places) {
        for i in 0..self.all.len() {
            if self.kind(i) != Some(Kind::Open) {
                continue;
            }
            let made = match self.word(i) {
                "(" => i > 0 && matches!(self.word(i - 1), "namespace" | "dict"),
                _ => i == 0 || !self.is_value(i - 1),
            };
            let Some(end) = closing(self.all, i).filter(|_| made) else {
                continue;
            };
            let fixed = |i: usize| match self.kind(i) {
                Some(Kind::Other(sign)) => matches!(sign, b',' | b':'),
                Some(Kind::Word) => matches!(
                    self.word(i),
                    "true" | "false" | "none" | "True" | "False" | "None"
                ),
                _ => true,
            };
            if !(i..end).all(fixed) {
                places.push((self.all[end].end, format!("|{WEIGHED}(true)")));
            }
        }
    }

    /// The left sides of comparisons; they take no longer than one side is large.
    fn comparisons(&self, places: &mut Places) {
        let mut loops = self.word(0) == "for";
        for i in 1..self.all.len() {
            let compares = match self.kind(i) {
                Some(Kind::Other(b'<' | b'>')) => true,
                Some(Kind::Other(b'=' | b'!')) => self.word(i + 1) == "=",
                Some(Kind::Word) if self.word(i) == "in" => !std::mem::take(&mut loops),
                _ => false,
            };
            // `a not in b`
            let left = match self.word(i - 1) {
                "not" if i > 1 => i - 2,
                _ => i - 1,
            };
            if compares && self.is_value(left) {
                places.push((self.all[left].end, format!("|{WEIGHED}")));
            }
        }
    }

    /// The value of `{% set name = value %}`.
    fn set(&self, places: &mut Places) {
        let Some(last) = self.all.last().filter(|_| self.word(0) == "set") else {
            return;
        };
        let sign = (1..self.all.len()).find(|&i| self.kind(i) == Some(Kind::Other(b'=')));
        if let Some(i) = sign.filter(|&i| i + 1 < self.all.len()) {
            places.push((self.all[i].end, "(".to_owned()));
            places.push((last.end, format!(")|{KEPT}")));
        }
    }

    /// Where the operand that begins with token `i` ends, with its attributes, indices, calls and
    /// filters. Numbers need no limit.
    fn operand_end(&self, mut i: usize) -> Option<usize> {
        let mut end = match self.kind(i)? {
            Kind::Word if !is_keyword(self.word(i)) => i,
            Kind::Text => i,
            Kind::Open => closing(self.all, i)?,
            _ => return None,
        };
        loop {
            i = end + 1;
            end = match self.kind(i) {
                Some(Kind::Other(b'.' | b'|')) if self.kind(i + 1) == Some(Kind::Word) => i + 1,
                Some(Kind::Open) if self.word(i) != "{" => closing(self.all, i)?,
                _ => return Some(self.all[end].end),
            };
        }
    }
}

/// Filters that go through all that a list holds, or put lists into lists.
fn looks_inside(filter: &str) -> bool {
    matches!(
        filter,
        "batch"
            | "dictsort"
            | "groupby"
            | "items"
            | "list"
            | "map"
            | "max"
            | "min"
            | "reject"
            | "rejectattr"
            | "reverse"
            | "select"
            | "selectattr"
            | "slice"
            | "sort"
            | "sum"
            | "unique"
            | "zip"
            | "chain"
    )
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "in" | "not" | "and" | "or" | "if" | "else" | "is")
}

/// The bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(i);
        }
    }
    None
}

/// The tokens within a tag, and its length with the marks.
fn tokens(tag: &str) -> (Vec<Token>, usize) {
    let bytes = tag.as_bytes();
    let last = if bytes[1] == b'%' { b'%' } else { b'}' };
    let mut tokens: Vec<Token> = Vec::new();
    let (mut at, mut depth) = (2, 0usize);
    // A sign beside a mark belongs to the mark.
    at += usize::from(matches!(bytes.get(2), Some(b'-' | b'+')));
    while let Some(&byte) = bytes.get(at) {
        let closes = |at: usize| bytes.get(at) == Some(&last) && bytes.get(at + 1) == Some(&b'}');
        if depth == 0 && closes(at) {
            return (tokens, at + 2);
        }
        if depth == 0 && matches!(byte, b'-' | b'+') && closes(at + 1) {
            return (tokens, at + 3);
        }
        let start = at;
        let kind = match byte {
            _ if byte.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            b'"' | b'\'' => {
                at += 1;
                while at < bytes.len() && bytes[at] != byte {
                    at += 1 + usize::from(bytes[at] == b'\\');
                }
                Kind::Text
            }
            b'(' | b'[' | b'{' => Kind::Open,
            b')' | b']' | b'}' => Kind::Close,
            b'0'..=b'9' => Kind::Number,
            _ if is_letter(byte) => Kind::Word,
            _ => Kind::Other(byte),
        };
        at += 1;
        if matches!(kind, Kind::Word | Kind::Number) {
            at += bytes[at..].iter().take_while(|&&b| is_letter(b)).count();
        }
        at = at.min(bytes.len());
        match kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        let end = at;
        tokens.push(Token { kind, start, end });
    }
    (tokens, bytes.len())
}

/// Letters beyond ASCII are taken together, so that no token ends within one.
fn is_letter(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded(source: &str) -> String {
        let out = bound(source).unwrap();
        out.replace(MARKED, "m")
            .replace(WEIGHED, "w")
            .replace(KEPT, "k")
    }

    #[test]
    fn operands_are_bounded() {
        for (source, expected) in [
            ("{{ a ~ b }}", "{{ a|m(2) ~ b|m(2) }}"),
            ("{{ 3 * a[0] }}", "{{ 3 * a[0]|m(2) }}"),
            ("{%+ if x + 1 > 2 +%}", "{%+ if x|m(2) + 1 > 2 +%}"),
            (
                "{{ (a ~ 'é') ~ 'é' }} ~ {# a ~ b #}{",
                "{{ (a|m(3) ~ 'é'|m(3))|m(3) ~ 'é'|m(3) }} ~ {# a ~ b #}{",
            ),
            (
                "{% raw %}endraw {{ a ~ b }}{%- endraw %}{{ a ~ b }}",
                "{% raw %}endraw {{ a ~ b }}{%- endraw %}{{ a|m(2) ~ b|m(2) }}",
            ),
        ] {
            assert_eq!(bounded(source), expected);
        }
    }

    #[test]
    fn what_is_made_filtered_compared_and_set_is_weighed() {
        for (source, expected) in [
            ("{{ a|f(1)|list }}", "{{ a|m(1)|f(1)|w|list }}"),
            (
                "{{ [[1 * 2], [1]] }}",
                "{{ [[1 * 2]|w(true), [1]]|w(true) }}",
            ),
            ("{{ [a, [1, 'x']][0] }}", "{{ [a, [1, 'x']]|w(true)[0] }}"),
            (
                "{{ {'a': {'b': c}} }}",
                "{{ {'a': {'b': c}|w(true)}|w(true) }}",
            ),
            (
                "{% set ns = namespace(x=y) %}",
                "{% set ns =( namespace(x=y)|w(true))|k %}",
            ),
            (
                "{%- set ns.x = a if b == 'c' else d -%}",
                "{%- set ns.x =( a if b|w == 'c' else d)|k -%}",
            ),
            (
                "{% for a in b if a.c not in d %}",
                "{% for a in b if a.c|w not in d %}",
            ),
            ("{% set x %}a{% endset %}", "{% set x %}a{% endset %}"),
        ] {
            assert_eq!(bounded(source), expected);
        }
    }

    #[test]
    fn all_characters_stay() {
        for source in [
            "{",
            "{{",
            "{%",
            "{#",
            "{{é",
            "{%-",
            "{{ '\\",
            "{% raw",
            "a{{+}}b",
            "{{ ( ~ }}",
            "{% set",
            "{% set =",
        ] {
            assert_eq!(bounded(source).replace("|m(2)", ""), source);
        }
    }

    #[test]
    fn a_tag_without_end_is_refused() {
        for part in [
            "not ", "-", ".a", "|upper", "+1", "[0]", "()", " or 1", "~a",
        ] {
            let tag = format!("{{{{ a{} }}}}", part.repeat(100_000));
            assert!(matches!(bound(&tag), Err(TagTooLong(_))), "{part}");
        }
    }
}
