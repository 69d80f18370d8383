//! WordPiece, BERT's kind: text is cleaned, cut at white space, punctuation and Han characters, and
//! each word is covered from the left by the longest tokens. A word that cannot be covered is one
//! unknown token. Tokens that begin a word are written with [`SPACE`] in front in GGUF files.

use unicode_normalization::char::decompose_canonical;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

use super::lexicon::Lexicon;
use super::spm::SPACE;
use super::trie::Trie;

/// An encoder.
#[derive(Clone, Debug)]
pub(super) struct WordPiece {
    trie: Trie,
    unknown: u32,
    lowercase: bool,
    strip_accents: bool,
}

impl WordPiece {
    /// An encoder for the vocabulary `texts`.
    pub fn new(texts: &Lexicon, unknown: u32, lowercase: bool, strip_accents: bool) -> WordPiece {
        WordPiece {
            trie: Trie::new((0..texts.len() as u32).map(|id| (texts.bytes(id), id))),
            unknown,
            lowercase,
            strip_accents,
        }
    }

    /// Appends the tokens of `text`.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let mut word = String::from(SPACE);
        for c in text.chars() {
            // Accents are dropped below, so the letter they sit on is all that counts.
            let c = if self.strip_accents { base(c) } else { c };
            if c.is_whitespace() {
                self.finish(&mut word, out);
                continue;
            }
            let category = c.general_category();
            let dropped = matches!(
                category,
                GeneralCategory::Control
                    | GeneralCategory::Format
                    | GeneralCategory::PrivateUse
                    | GeneralCategory::Surrogate
            ) || c == char::REPLACEMENT_CHARACTER;
            let group = c.general_category_group();
            if dropped || (self.strip_accents && group == GeneralCategoryGroup::Mark) {
                continue;
            }
            let alone =
                group == GeneralCategoryGroup::Punctuation || c.is_ascii_punctuation() || is_han(c);
            if alone {
                self.finish(&mut word, out);
            }
            // Like the reference: one letter becomes one letter.
            word.push(match self.lowercase {
                true => c.to_lowercase().next().unwrap_or(c),
                false => c,
            });
            if alone {
                self.finish(&mut word, out);
            }
        }
        self.finish(&mut word, out);
    }

    /// Appends the tokens of `word`, which begins with [`SPACE`], and empties it.
    fn finish(&self, word: &mut String, out: &mut Vec<u32>) {
        if word.len() > SPACE.len() {
            let before = out.len();
            let mut rest = word.as_bytes();
            while !rest.is_empty() {
                let Some((id, len)) = self.trie.longest(rest) else {
                    out.truncate(before);
                    out.push(self.unknown);
                    break;
                };
                out.push(id);
                rest = &rest[len..];
            }
            word.truncate(SPACE.len());
        }
    }
}

/// The first character of the canonical decomposition.
fn base(c: char) -> char {
    let mut first = None;
    decompose_canonical(c, |part| {
        first.get_or_insert(part);
    });
    first.unwrap_or(c)
}

/// The ranges that BERT takes for Chinese characters. One begins later than the Unicode block does,
/// as in the implementation that the vocabularies were made with.
fn is_han(c: char) -> bool {
    matches!(u32::from(c),
        0x3400..=0x4dbf
        | 0x4e00..=0x9fff
        | 0xf900..=0xfaff
        | 0x20000..=0x2a6df
        | 0x2a700..=0x2b81f
        | 0x2b920..=0x2ceaf
        | 0x2f800..=0x2fa1f)
}
