//! Finding special tokens in a text: it is cut at them before anything else is done.
//!
//! Longer tokens come first, wherever they stand; among occurrences of one token the leftmost. What
//! is between is ordinary text.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, MatchKind};

use super::Error;
use super::vocabulary::{Kind, Vocabulary};
use crate::gguf::Metadata;

/// A part of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Text(&'t str),
    Token(u32),
}

/// Finds the special tokens of a vocabulary.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    automaton: AhoCorasick,
    /// In the automaton's order: longest first.
    tokens: Vec<Special>,
}

#[derive(Clone, Debug)]
struct Special {
    id: u32,
    text: String,
    /// Found even in text that must not hold control tokens.
    always: bool,
    /// White space before it belongs to it.
    strip_left: bool,
    /// White space behind it belongs to it.
    strip_right: bool,
}

impl Partition {
    /// For the control, unknown and user-defined tokens of `vocabulary`.
    pub fn new(vocabulary: &Vocabulary, metadata: &Metadata) -> Result<Partition, Error> {
        let mut tokens: Vec<Special> = (0..vocabulary.len() as u32)
            .filter_map(|id| {
                let kind = vocabulary.kinds[id as usize];
                let special = [Kind::Control, Kind::UserDefined, Kind::Unknown].contains(&kind);
                let text = std::str::from_utf8(vocabulary.texts.bytes(id)).ok()?;
                special.then(|| Special {
                    id,
                    text: text.to_owned(),
                    always: kind == Kind::UserDefined,
                    strip_left: false,
                    strip_right: false,
                })
            })
            .collect();
        set_stripping(&mut tokens, vocabulary, metadata)?;
        tokens.sort_by_key(|token| std::cmp::Reverse(token.text.len()));
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(tokens.iter().map(|token| &token.text))
            .map_err(|_| Error::Special)?;
        Ok(Partition { automaton, tokens })
    }

    /// Cuts `text`; `control` says whether control tokens count, or only user-defined ones.
    pub fn cut<'t>(&self, text: &'t str, control: bool) -> Vec<Part<'t>> {
        let mut present = vec![false; self.tokens.len()];
        for found in self.automaton.find_overlapping_iter(text) {
            present[found.pattern().as_usize()] = true;
        }
        // Taken stretches of the text by where they begin: their end, and the token or nothing.
        let mut taken: BTreeMap<usize, (usize, Option<u32>)> = BTreeMap::new();
        for (token, _) in self
            .tokens
            .iter()
            .zip(present)
            .filter(|&(_, present)| present)
        {
            if !control && !token.always {
                continue;
            }
            let mut start = 0;
            while start < text.len() {
                let end = taken
                    .range(start..)
                    .next()
                    .map_or(text.len(), |(&next, _)| next);
                token.take(text, start, end, &mut taken);
                match taken.range(end..).next() {
                    Some((_, &(behind, _))) => start = behind,
                    None => break,
                }
            }
        }
        let mut parts = Vec::with_capacity(taken.len() * 2 + 1);
        let mut at = 0;
        for (start, (end, id)) in taken {
            if at < start {
                parts.push(Part::Text(&text[at..start]));
            }
            parts.extend(id.map(Part::Token));
            at = end;
        }
        if at < text.len() {
            parts.push(Part::Text(&text[at..]));
        }
        parts
    }
}

impl Special {
    /// Takes all occurrences in the free stretch from `start` to `end`.
    fn take(
        &self,
        text: &str,
        mut start: usize,
        end: usize,
        taken: &mut BTreeMap<usize, (usize, Option<u32>)>,
    ) {
        let finder = memchr::memmem::Finder::new(&self.text);
        while let Some(at) = finder.find(&text.as_bytes()[start..end]) {
            let at = start + at;
            let behind = at + self.text.len();
            let before = match self.strip_left {
                true => start + text[start..at].trim_end_matches(is_space).len(),
                false => at,
            };
            let after = match self.strip_right {
                true => end - text[behind..end].trim_start_matches(is_space).len(),
                false => behind,
            };
            if before < at {
                taken.insert(before, (at, None));
            }
            taken.insert(at, (behind, Some(self.id)));
            if behind < after {
                taken.insert(behind, (after, None));
            }
            start = after;
        }
    }
}

/// C's `isspace`.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t'..='\r')
}

/// Files do not say which special tokens take the white space beside them. The models that need it
/// are known by name (from their `tokenizer.json`; the same ones as in ggml-org/llama.cpp).
fn set_stripping(
    tokens: &mut [Special],
    vocabulary: &Vocabulary,
    metadata: &Metadata,
) -> Result<(), Error> {
    let pre = metadata.text("tokenizer.ggml.pre")?.unwrap_or_default();
    let architecture = metadata.text("general.architecture")?.unwrap_or_default();
    let name = metadata
        .text("general.name")?
        .unwrap_or_default()
        .to_lowercase();
    let any = |text: &str, parts: &[&str]| parts.iter().any(|part| text.contains(part));
    let id = |text: &str| vocabulary.texts.find(text.as_bytes());
    if any(pre, &["jina-v2-de", "jina-v2-es", "jina-v2-code"])
        || any(architecture, &["nomic-bert-moe", "jina-bert-v3"])
    {
        let mask = id("<mask>");
        tokens
            .iter_mut()
            .for_each(|token| token.strip_left = Some(token.id) == mask);
    } else if any(&name, &["phi-3", "phi3"]) {
        let kept = ["<unk>", "<s>", "<|endoftext|>"].map(id);
        tokens
            .iter_mut()
            .for_each(|token| token.strip_right = !kept.contains(&Some(token.id)));
    } else if any(&name, &["modern-bert"]) {
        let mask = id("[MASK]");
        tokens
            .iter_mut()
            .for_each(|token| token.strip_left = Some(token.id) == mask);
    }
    Ok(())
}
