//! Byte-level byte-pair encoding: start from single bytes (or characters), and as long as a listed
//! pair lies side by side, merge the pair that is listed first, leftmost first.
//!
//! Symbols are numbers: tokens have their id, and what only occurs in merges gets a number above
//! them. A linked list and a heap make a word of n symbols cost n log n steps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustc_hash::FxHashMap;

use super::Error;
use super::lexicon::Lexicon;
use super::split::{Options, Splitter};
use crate::gguf::Strings;

/// A byte-pair encoder.
#[derive(Clone)]
pub(super) struct Bpe {
    splitter: Splitter,
    symbols: Lexicon,
    /// Tokens have the symbols below this.
    tokens: u32,
    /// The pair, its place in the list, and what it becomes.
    merges: FxHashMap<(u32, u32), (u32, u32)>,
    /// For each byte the token that stands for it alone.
    bytes: [Option<u32>; 256],
}

/// Room that one call after another can use.
#[derive(Default)]
struct Scratch {
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(u32, u32, u32)>>,
}

#[derive(Clone, Copy)]
struct Node {
    symbol: u32,
    previous: u32,
    next: u32,
    /// Where its bytes are in the word.
    start: u32,
    end: u32,
}

/// No node, or a symbol that no merge knows.
const NONE: u32 = u32::MAX;

impl Bpe {
    /// `texts` are the tokens as the file writes them, `merges` pairs with a space between.
    pub fn new(texts: &Lexicon, merges: &Strings, splitter: Splitter) -> Result<Bpe, Error> {
        let raw = splitter.options.raw_bytes;
        let mut symbols = Lexicon::default();
        for id in 0..texts.len() as u32 {
            match to_bytes(texts.bytes(id), raw) {
                Some(bytes) => symbols.push(&bytes),
                None => symbols.push_hidden(&[]),
            };
        }
        let tokens = symbols.len() as u32;
        let bytes = std::array::from_fn(|byte| {
            if raw {
                texts.find(format!("<0x{byte:02X}>").as_bytes())
            } else {
                symbols.find(&[byte as u8])
            }
        });
        if !raw {
            for byte in 0..=u8::MAX {
                symbols.intern(&[byte]);
            }
        }
        let mut table = FxHashMap::default();
        table.reserve(merges.len());
        let mut merged = Vec::new();
        for (rank, pair) in merges.iter().enumerate() {
            // A pair whose first half is a space itself: look behind the first character.
            let cut = pair.char_indices().skip(1).find(|&(_, c)| c == ' ');
            let Some((at, _)) = cut else {
                return Err(Error::Merge {
                    index: rank,
                    text: pair.chars().take(64).collect(),
                });
            };
            let (Some(left), Some(right)) = (
                to_bytes(&pair.as_bytes()[..at], raw),
                to_bytes(&pair.as_bytes()[at + 1..], raw),
            ) else {
                // Letters that stand for no byte can never be met in a text.
                continue;
            };
            merged.clear();
            merged.extend_from_slice(&left);
            merged.extend_from_slice(&right);
            let pair = (symbols.intern(&left), symbols.intern(&right));
            let result = symbols.intern(&merged);
            table.entry(pair).or_insert((rank as u32, result));
        }
        Ok(Bpe {
            splitter,
            symbols,
            tokens,
            merges: table,
            bytes,
        })
    }

    /// The options of the vocabulary's kind.
    pub fn options(&self) -> Options {
        self.splitter.options
    }

    /// Appends the tokens of `text`.
    pub fn encode(&self, text: &str, out: &mut Vec<u32>) {
        let mut scratch = Scratch::default();
        self.splitter
            .each(text, |word| self.encode_word(word, &mut scratch, out));
    }

    fn encode_word(&self, word: &str, scratch: &mut Scratch, out: &mut Vec<u32>) {
        let options = self.splitter.options;
        let newlines = options.whole_newlines && word.bytes().all(|byte| byte == b'\n');
        let whole = (options.ignore_merges || newlines)
            .then(|| self.symbols.find(word.as_bytes()))
            .flatten()
            .filter(|&id| id < self.tokens);
        if let Some(id) = whole {
            out.push(id);
            return;
        }
        self.fill(word, scratch);
        let Scratch { nodes, queue } = scratch;
        queue.clear();
        for left in 1..nodes.len() {
            self.offer(nodes, left as u32 - 1, queue);
        }
        while let Some(Reverse((rank, left, merged))) = queue.pop() {
            let node = nodes[left as usize];
            // The entry is stale if either side has changed since, and then the pair's rank has.
            if node.start == node.end || node.next == NONE {
                continue;
            }
            let right = nodes[node.next as usize];
            if self.merges.get(&(node.symbol, right.symbol)) != Some(&(rank, merged)) {
                continue;
            }
            let gone = node.next as usize;
            nodes[gone].start = right.end;
            nodes[left as usize] = Node {
                symbol: merged,
                next: right.next,
                end: right.end,
                ..node
            };
            if right.next != NONE {
                nodes[right.next as usize].previous = left;
            }
            self.offer(nodes, node.previous, queue);
            self.offer(nodes, left, queue);
        }
        let mut at = 0;
        while let Some(node) = nodes.get(at as usize) {
            if node.symbol < self.tokens {
                out.push(node.symbol);
            } else {
                let bytes = &word.as_bytes()[node.start as usize..node.end as usize];
                out.extend(
                    bytes
                        .iter()
                        .filter_map(|&byte| self.bytes[usize::from(byte)]),
                );
            }
            at = node.next;
        }
    }

    /// Puts the symbols a word starts from into the list.
    fn fill(&self, word: &str, scratch: &mut Scratch) {
        let nodes = &mut scratch.nodes;
        nodes.clear();
        let mut push = |start: usize, len: usize| {
            let bytes = &word.as_bytes()[start..start + len];
            let at = nodes.len() as u32;
            nodes.push(Node {
                symbol: self.symbols.find(bytes).unwrap_or(NONE),
                previous: at.checked_sub(1).unwrap_or(NONE),
                next: at + 1,
                start: start as u32,
                end: (start + len) as u32,
            });
        };
        if self.splitter.options.raw_bytes {
            word.char_indices()
                .for_each(|(at, c)| push(at, c.len_utf8()));
        } else {
            (0..word.len()).for_each(|at| push(at, 1));
        }
        if let Some(last) = nodes.last_mut() {
            last.next = NONE;
        }
    }

    /// Queues the pair that begins with the node `left`, if it is one.
    fn offer(&self, nodes: &[Node], left: u32, queue: &mut BinaryHeap<Reverse<(u32, u32, u32)>>) {
        let Some(node) = nodes.get(left as usize) else {
            return;
        };
        let Some(right) = nodes.get(node.next as usize) else {
            return;
        };
        if let Some(&(rank, merged)) = self.merges.get(&(node.symbol, right.symbol)) {
            queue.push(Reverse((rank, left, merged)));
        }
    }
}

/// The bytes that a token's text in the file stands for; `None` if it stands for none.
pub(super) fn to_bytes(text: &[u8], raw: bool) -> Option<Vec<u8>> {
    if raw {
        return Some(text.to_vec());
    }
    let text = std::str::from_utf8(text).ok()?;
    text.chars().map(letter_to_byte).collect()
}

/// GPT-2 writes bytes as letters: printable ones of Latin-1 as themselves, the others, in their
/// order, as the letters from U+0100.
fn letter_to_byte(letter: char) -> Option<u8> {
    match u32::from(letter) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121) as u8 + 0x7f),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_letters_stand_for_all_bytes_once() {
        let mut seen = [false; 256];
        for letter in (0..0x200).filter_map(char::from_u32) {
            if let Some(byte) = letter_to_byte(letter) {
                assert!(!std::mem::replace(&mut seen[usize::from(byte)], true));
            }
        }
        assert!(seen.iter().all(|&seen| seen));
        assert_eq!(letter_to_byte('Ġ'), Some(b' '));
        assert_eq!(letter_to_byte('Ċ'), Some(b'\n'));
    }
}
