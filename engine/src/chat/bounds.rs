//! Limits to what a template may put together.
//!
//! `minijinja` counts a template's steps, not the size of its texts: `x ~ x` in a loop of forty steps
//! would take all memory there is. So the operands of `~` and `+` are passed through a filter that
//! refuses those that have become too long.

use minijinja::{Error, ErrorKind, Value};

/// How long a text may become within a template and as its result, in bytes. The longest contexts
/// hold some 5 MB of text; a tag with thirty joins lets each operand have a share of 8 MB.
pub(super) const LONGEST: usize = 256 << 20;
/// How many items a list may get by joining lists.
const MOST: usize = 1 << 20;

/// The name of the filter, which no template has.
pub(super) const FILTER: &str = "aienv_bounded";

/// The filter: the value itself, if it is no longer than its share of [`LONGEST`].
pub(super) fn bounded(value: &Value, share: usize) -> Result<Value, Error> {
    let fits = match value.as_str() {
        Some(text) => text.len() <= LONGEST / share,
        None => value.len().is_none_or(|len| len <= MOST / share.min(MOST)),
    };
    match fits {
        true => Ok(value.clone()),
        false => Err(TooLong.into()),
    }
}

/// Something became longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("a text or a list became too long")]
pub(super) struct TooLong;

impl From<TooLong> for Error {
    fn from(cause: TooLong) -> Error {
        Error::new(ErrorKind::InvalidOperation, cause.to_string()).with_source(cause)
    }
}

/// The template with the filter behind each operand of `~` and `+`.
pub(super) fn bound(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('{') {
        let (text, tag) = rest.split_at(at);
        out.push_str(text);
        let length = match tag.as_bytes().get(1) {
            Some(b'#') => tag.find("#}").map_or(tag.len(), |end| end + 2),
            Some(b'%' | b'{') => expression(tag, &mut out),
            _ => 1,
        };
        // What an expression wrote itself is not written again.
        if !matches!(tag.as_bytes().get(1), Some(b'%' | b'{')) {
            out.push_str(&tag[..length]);
        }
        rest = &tag[length..];
    }
    out.push_str(rest);
    out
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

/// Writes a tag with its filters; gives its length.
fn expression(tag: &str, out: &mut String) -> usize {
    let (tokens, length) = tokens(tag);
    let word = |i: usize| tokens.get(i).map_or("", |t| &tag[t.start..t.end]);
    if word(0) == "raw" {
        // As it stands, up to its end.
        let length = tag.find("endraw").unwrap_or(tag.len());
        out.push_str(&tag[..length]);
        return length;
    }
    let mut places = Vec::new();
    let mut joins = 0;
    for (i, token) in tokens.iter().enumerate() {
        if !matches!(token.kind, Kind::Other(b'~' | b'+')) || i == 0 {
            continue;
        }
        let before = tokens[i - 1];
        let operand = match before.kind {
            Kind::Word => !is_keyword(word(i - 1)) && (i < 2 || word(i - 2) != "is"),
            Kind::Text | Kind::Close => true,
            _ => false,
        };
        joins += 1;
        places.extend(operand.then_some(before.end));
        places.extend(operand_end(&tokens, &word, i + 1));
    }
    places.sort_unstable();
    places.dedup();
    let mut from = 0;
    for place in places {
        out.push_str(&tag[from..place]);
        out.push_str(&format!("|{FILTER}({})", joins + 1));
        from = place;
    }
    out.push_str(&tag[from..length]);
    length
}

fn is_keyword(word: &str) -> bool {
    matches!(word, "in" | "not" | "and" | "or" | "if" | "else" | "is")
}

/// Where the operand that begins with token `i` ends, with its attributes, indices, calls and
/// filters. Numbers need no limit.
fn operand_end<'t>(
    tokens: &[Token],
    word: &dyn Fn(usize) -> &'t str,
    mut i: usize,
) -> Option<usize> {
    let kind = |i: usize| tokens.get(i).map(|token| token.kind);
    let mut end = match kind(i)? {
        Kind::Word if !is_keyword(word(i)) => i,
        Kind::Text => i,
        Kind::Open => closing(tokens, i)?,
        _ => return None,
    };
    loop {
        i = end + 1;
        end = match kind(i) {
            Some(Kind::Other(b'.' | b'|')) if kind(i + 1) == Some(Kind::Word) => i + 1,
            Some(Kind::Open) if word(i) != "{" => closing(tokens, i)?,
            _ => return Some(tokens[end].end),
        };
    }
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
        bound(source).replace(FILTER, "b")
    }

    #[test]
    fn operands_are_bounded() {
        for (source, expected) in [
            ("{{ a ~ b }}", "{{ a|b(2) ~ b|b(2) }}"),
            (
                "{%- set x = m['a'].b(1)[2]|f(3) + \"+\" -%}",
                "{%- set x = m['a'].b(1)[2]|f(3)|b(2) + \"+\"|b(2) -%}",
            ),
            ("{%+ if x + 1 > 2 +%}", "{%+ if x|b(2) + 1 > 2 +%}"),
            (
                "{{ (a ~ {'k': 'é'}) ~ 'é' }} ~ {# a ~ b #}{",
                "{{ (a|b(3) ~ {'k': 'é'}|b(3))|b(3) ~ 'é'|b(3) }} ~ {# a ~ b #}{",
            ),
            (
                "{% raw %}{{ a ~ b }}{% endraw %}",
                "{% raw %}{{ a ~ b }}{% endraw %}",
            ),
            (
                "{{ {'a': {'b': 1}} }}{{ 'a\\'~",
                "{{ {'a': {'b': 1}} }}{{ 'a\\'~",
            ),
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
        ] {
            assert_eq!(bounded(source).replace("|b(2)", ""), source);
        }
    }
}
