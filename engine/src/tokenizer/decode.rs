//! Token ids to text: whole, or as they come.

use std::borrow::{Borrow, Cow};

use super::lexicon::Lexicon;
use super::spm::SPACE;
use super::vocabulary::{Kind, Vocabulary};
use super::{Model, Tokenizer, bpe};

/// How to decode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decode {
    /// Write control and unknown tokens out instead of leaving them away.
    pub special: bool,
    /// Close up spaces before punctuation, where the vocabulary's makers did (most WordPiece and
    /// some BPE ones). The text is then for reading: it may not encode to the same ids.
    pub clean: bool,
}

/// The bytes that each token stands for.
pub(super) fn pieces(vocabulary: &Vocabulary, model: &Model, spaces_marked: bool) -> Lexicon {
    let mut pieces = Lexicon::default();
    for id in 0..vocabulary.len() as u32 {
        let text = vocabulary.texts.bytes(id);
        let piece: Cow<[u8]> = match vocabulary.kinds[id as usize] {
            Kind::Unknown | Kind::Control | Kind::UserDefined => text.into(),
            Kind::Normal => match model {
                Model::Bpe(bpe) if !spaces_marked => {
                    bpe::to_bytes(text, bpe.options().raw_bytes).map_or(text.into(), Cow::Owned)
                }
                _ => String::from_utf8_lossy(text)
                    .replace(SPACE, " ")
                    .into_bytes()
                    .into(),
            },
            Kind::Byte => byte(text).map_or(text.into(), |byte| vec![byte].into()),
            Kind::Unused | Kind::Undefined => [].as_slice().into(),
        };
        pieces.push_hidden(&piece);
    }
    pieces
}

/// The byte that a text like `<0x0A>` stands for.
fn byte(text: &[u8]) -> Option<u8> {
    let digits = text.strip_prefix(b"<0x")?.strip_suffix(b">")?;
    let digits = std::str::from_utf8(digits)
        .ok()
        .filter(|digits| digits.len() == 2)?;
    u8::from_str_radix(digits, 16).ok()
}

impl Tokenizer {
    /// The bytes that one token stands for, alone. Empty for control and unknown tokens without
    /// `special`, and for ids that do not exist.
    pub fn piece(&self, id: u32, special: bool) -> &[u8] {
        match self.kind(id) {
            Some(Kind::Control | Kind::Unknown) if !special => &[],
            _ => self.pieces.bytes(id),
        }
    }

    /// The bytes that `ids` stand for: what was encoded, if nothing was lost in encoding. They are
    /// not always UTF-8, since a token may be a part of a character.
    pub fn decode_bytes(&self, ids: &[u32], how: Decode) -> Vec<u8> {
        let mut out = Vec::with_capacity(ids.len() * 4);
        let mut start = Start::new(self);
        for &id in ids {
            out.extend_from_slice(start.strip(self.piece(id, how.special)));
        }
        if how.clean && self.adds.clean_spaces {
            clean(&mut out);
        }
        out
    }

    /// Like [`Tokenizer::decode_bytes`]; what is not UTF-8 is replaced by U+FFFD.
    pub fn decode(&self, ids: &[u32], how: Decode) -> String {
        match String::from_utf8(self.decode_bytes(ids, how)) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// A decoder for ids that come one by one.
    pub fn decoder(&self, special: bool) -> Decoder<&Tokenizer> {
        Decoder {
            start: Start::new(self),
            ..Decoder::within(self, special)
        }
    }
}

/// Takes away the space that encoding put before the first word: the first token loses it, whatever
/// that token is.
#[derive(Clone, Copy, Debug)]
struct Start {
    strips: bool,
}

impl Start {
    fn new(tokenizer: &Tokenizer) -> Start {
        Start {
            strips: tokenizer.adds.space_prefix,
        }
    }

    fn strip<'p>(&mut self, piece: &'p [u8]) -> &'p [u8] {
        match std::mem::take(&mut self.strips) {
            true => piece.strip_prefix(b" ").unwrap_or(piece),
            false => piece,
        }
    }
}

/// Turns ids into text as they come. A character whose bytes are not all there yet is held back.
#[derive(Clone, Debug)]
pub struct Decoder<T> {
    tokenizer: T,
    special: bool,
    start: Start,
    pending: Vec<u8>,
}

impl<T: Borrow<Tokenizer>> Decoder<T> {
    /// Like [`Tokenizer::decoder`], for ids that go on after other text: a space that begins the
    /// first token is kept.
    pub fn within(tokenizer: T, special: bool) -> Decoder<T> {
        Decoder {
            tokenizer,
            special,
            start: Start { strips: false },
            pending: Vec::new(),
        }
    }

    /// Takes the next id and returns the text that is certain now. Bytes that can never become a
    /// character are U+FFFD, as in [`Tokenizer::decode`]; all texts and [`Decoder::finish`] together
    /// are what that returns.
    pub fn push(&mut self, id: u32) -> String {
        let piece = self.tokenizer.borrow().piece(id, self.special);
        let piece = self.start.strip(piece);
        self.pending.extend_from_slice(piece);
        let mut text = String::new();
        let mut used = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            used += chunk.valid().len();
            let invalid = chunk.invalid();
            if invalid.is_empty()
                || (used + invalid.len() == self.pending.len() && partial(invalid))
            {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            used += invalid.len();
        }
        self.pending.drain(..used);
        text
    }

    /// What is still held back: nothing, or U+FFFD for a character that was never completed.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Whether `bytes`, which are no character, can become one with more bytes.
fn partial(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// Takes out spaces before `?`, `!`, `.`, `,`, around a lone apostrophe, and before `'s`, `'m`, `'re`
/// and `'ve`.
fn clean(text: &mut Vec<u8>) {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    for &byte in &*text {
        if matches!(byte, b'?' | b'!' | b'.' | b',') && out.last() == Some(&b' ') {
            out.pop();
        }
        out.push(byte);
    }
    let source = std::mem::take(&mut out);
    let mut at = 0;
    // A space that one apostrophe took counts for no other.
    let mut free = 1;
    while at < source.len() {
        let lone = at >= free && source[at - 1] == b' ' && source[at..].starts_with(b"' ");
        if lone {
            out.pop();
            out.push(b'\'');
            at += 2;
            free = at + 1;
            continue;
        }
        out.push(source[at]);
        at += 1;
    }
    let source = std::mem::take(&mut out);
    for (at, &byte) in source.iter().enumerate() {
        let rest = &source[at..];
        let contracted = [&b"'s"[..], b"'m", b"'re", b"'ve"]
            .iter()
            .any(|end| rest.starts_with(end));
        if contracted && out.last() == Some(&b' ') {
            out.pop();
        }
        out.push(byte);
    }
    *text = out;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_closes_up_spaces() {
        let cleaned = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            clean(&mut bytes);
            String::from_utf8(bytes).unwrap()
        };
        assert_eq!(cleaned("it 's fine , is n't it ?"), "it's fine, is n't it?");
        assert_eq!(cleaned("a ' b we 've"), "a'b we've");
        assert_eq!(cleaned(""), "");
    }

    #[test]
    fn bytes_are_written_as_hexadecimal() {
        assert_eq!(byte(b"<0x0A>"), Some(10));
        assert_eq!(byte(b"<0x+1>"), Some(1));
        assert_eq!(byte(b"<0xA>"), None);
        assert_eq!(byte(b"<0x0A"), None);
    }
}
