//! Unigram, T5's kind: of all ways to write a text as tokens, the one whose scores add up to most.
//! Before that the text is normalised by a table that SentencePiece compiled into the model.

use super::Error;
use super::lexicon::Lexicon;
use super::spm::SPACE;
use super::trie::Trie;
use super::vocabulary::Kind;

/// An encoder.
#[derive(Clone, Debug)]
pub(super) struct Unigram {
    tokens: Trie,
    user_defined: Trie,
    scores: Vec<f64>,
    unknown: u32,
    unknown_score: f64,
    normal: Normaliser,
}

/// How text is changed first.
#[derive(Clone, Debug, Default)]
pub(super) struct Normaliser {
    /// The table of the file, if it has one.
    pub charsmap: Option<Charsmap>,
    /// Put a space before the first word.
    pub add_space_prefix: bool,
    /// Make one space of several.
    pub remove_extra_whitespaces: bool,
}

/// What an unknown character costs more than the worst token.
const UNKNOWN_PENALTY: f64 = 10.0;

impl Unigram {
    /// An encoder for the vocabulary `texts`.
    pub fn new(
        texts: &Lexicon,
        kinds: &[Kind],
        scores: &[f32],
        unknown: u32,
        normal: Normaliser,
    ) -> Result<Unigram, Error> {
        if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
            return Err(Error::Score { index });
        }
        let of = |wanted: &'static [Kind]| {
            let ids = (0..texts.len() as u32).filter(|&id| wanted.contains(&kinds[id as usize]));
            Trie::new(ids.map(|id| (texts.bytes(id), id)))
        };
        let lowest = (kinds.iter().zip(scores))
            .filter(|(kind, _)| **kind == Kind::Normal)
            .map(|(_, &score)| score)
            .fold(f32::MAX, f32::min);
        Ok(Unigram {
            tokens: of(&[Kind::Normal, Kind::UserDefined, Kind::Unused]),
            user_defined: of(&[Kind::UserDefined]),
            scores: (kinds.iter().zip(scores))
                .map(|(kind, &score)| match kind {
                    Kind::UserDefined => 0.0,
                    _ => f64::from(score),
                })
                .collect(),
            unknown,
            unknown_score: f64::from(lowest) - UNKNOWN_PENALTY,
            normal,
        })
    }

    /// Appends the tokens of `text`.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let text = self.normalise(text);
        // For each offset: the best score up to it, and the token that ends there and its start.
        let mut best = vec![(f64::NEG_INFINITY, self.unknown, 0); text.len() + 1];
        best[0].0 = 0.0;
        for (start, c) in text.char_indices() {
            let score = best[start].0;
            let mut improve = |end: usize, id: u32, with: f64| {
                if score + with > best[end].0 {
                    best[end] = (score + with, id, start);
                }
            };
            let mut covered = false;
            let mut node = Trie::ROOT;
            for (offset, &byte) in text.as_bytes()[start..].iter().enumerate() {
                let Some(next) = self.tokens.step(node, byte) else {
                    break;
                };
                node = next;
                if let Some(id) = self.tokens.value(node) {
                    covered |= offset + 1 == c.len_utf8();
                    improve(start + offset + 1, id, self.scores[id as usize]);
                }
            }
            if !covered {
                improve(start + c.len_utf8(), self.unknown, self.unknown_score);
            }
        }
        let first = out.len();
        let mut end = text.len();
        while end > 0 {
            let (_, id, start) = best[end];
            // Unknown characters beside each other are one unknown token.
            if id != self.unknown || out.len() == first || out.last() != Some(&id) {
                out.push(id);
            }
            end = start;
        }
        out[first..].reverse();
    }

    fn normalise(&self, text: &str) -> String {
        let normal = &self.normal;
        let mut out = String::with_capacity(text.len() + text.len() / 4 + SPACE.len());
        let mut in_word = false;
        let mut prefixed = false;
        let mut push = |c: char| {
            if c == ' ' {
                in_word = false;
                if !normal.remove_extra_whitespaces {
                    out.push_str(SPACE);
                }
                return;
            }
            if !in_word {
                in_word = true;
                if (normal.add_space_prefix && !prefixed) || normal.remove_extra_whitespaces {
                    out.push_str(SPACE);
                    prefixed = true;
                }
            }
            out.push(c);
        };
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let taken = if let Some((_, len)) = self.user_defined.longest(rest.as_bytes()) {
                rest[..len].chars().for_each(&mut push);
                len
            } else if let Some((replacement, len)) =
                (normal.charsmap.as_ref()).and_then(|map| map.longest(rest))
            {
                replacement.chars().for_each(&mut push);
                len
            } else {
                push(c);
                c.len_utf8()
            };
            rest = &rest[taken..];
        }
        out
    }
}

/// SentencePiece's compiled normalisation: a double array (each unit 32 bits: a byte to check
/// against, a leaf mark, an offset to XOR with) whose leaves point into replacement texts, each
/// ended by a zero byte.
///
/// Source: SentencePiece `normalizer.cc`, and darts-clone's unit layout.
#[derive(Clone, Debug)]
pub(super) struct Charsmap {
    units: Vec<u32>,
    replacements: String,
}

impl Charsmap {
    /// Reads the metadata's bytes: the array's size in bytes, the array, the replacements.
    pub fn read(bytes: &[u8]) -> Result<Charsmap, Error> {
        let broken = |why| Err(Error::Charsmap(why));
        let Some((size, rest)) = bytes.split_first_chunk::<4>() else {
            return broken("it is shorter than its own size field");
        };
        let size = u32::from_le_bytes(*size) as usize;
        if !size.is_multiple_of(4) || size >= rest.len() {
            return broken("its array does not fit in it");
        }
        let (array, replacements) = rest.split_at(size);
        let units = array
            .chunks_exact(4)
            .map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]))
            .collect();
        if replacements.last() != Some(&0) {
            return broken("its last replacement has no end");
        }
        match String::from_utf8(replacements.to_vec()) {
            Ok(replacements) => Ok(Charsmap {
                units,
                replacements,
            }),
            Err(_) => broken("its replacements are not UTF-8"),
        }
    }

    /// The longest key that `text` begins with: what stands for it, and its length in bytes.
    fn longest(&self, text: &str) -> Option<(&str, usize)> {
        let unit = |at: u32| self.units.get(at as usize).copied();
        let offset = |unit: u32| (unit >> 10) << ((unit & (1 << 9)) >> 6);
        let mut best = None;
        let mut at = offset(unit(0)?);
        for (index, byte) in text.bytes().enumerate() {
            if byte == 0 {
                break;
            }
            at ^= u32::from(byte);
            let Some(found) = unit(at) else { break };
            if found & (1 << 31 | 0xff) != u32::from(byte) {
                break;
            }
            at ^= offset(found);
            if found >> 8 & 1 == 1 {
                let value = unit(at)? & !(1 << 31);
                best = Some((value as usize, index + 1));
            }
        }
        let (start, len) = best?;
        // A key that ends within a character cannot be meant.
        let replacement = self.replacements.get(start..)?;
        let end = replacement.find('\0')?;
        text.is_char_boundary(len)
            .then(|| (&replacement[..end], len))
    }
}
