//! SentencePiece's byte-pair kind: start from characters, and as long as two neighbours together are
//! a token, merge the pair whose token has the highest score, leftmost first. Characters that are
//! no token become their bytes.

use std::collections::BinaryHeap;

use super::Error;
use super::lexicon::Lexicon;

/// What stands for a space in the vocabulary.
pub(super) const SPACE: &str = "\u{2581}";

/// An encoder; the vocabulary is handed in.
#[derive(Clone, Debug)]
pub(super) struct Spm {
    /// For each byte the token that stands for it.
    bytes: Vec<Option<u32>>,
    unknown: Option<u32>,
}

#[derive(Clone, Copy)]
struct Node {
    start: usize,
    end: usize,
    previous: usize,
    next: usize,
}

const NONE: usize = usize::MAX;

/// A pair that could be merged. Ordered by what to do first.
#[derive(PartialEq)]
struct Pair {
    score: f32,
    left: usize,
    /// The length of both together, which tells whether it is still true.
    len: usize,
}

impl Eq for Pair {}

impl Ord for Pair {
    fn cmp(&self, other: &Pair) -> std::cmp::Ordering {
        self.score
            .total_cmp(&other.score)
            .then(other.left.cmp(&self.left))
    }
}

impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Pair) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Spm {
    /// Finds the tokens of bytes in `texts`.
    pub fn new(texts: &Lexicon, scores: &[f32], unknown: Option<u32>) -> Result<Spm, Error> {
        if let Some(index) = scores.iter().position(|score| score.is_nan()) {
            return Err(Error::Score { index });
        }
        let bytes = (0..=u8::MAX)
            .map(|byte| {
                texts
                    .find(format!("<0x{byte:02X}>").as_bytes())
                    .or_else(|| texts.find(&[byte]))
            })
            .collect();
        Ok(Spm { bytes, unknown })
    }

    /// Appends the tokens of `text`, in which spaces are already written as [`SPACE`].
    pub fn encode(&self, texts: &Lexicon, scores: &[f32], text: &str, out: &mut Vec<u32>) {
        let bytes = text.as_bytes();
        let mut nodes: Vec<Node> = text
            .char_indices()
            .enumerate()
            .map(|(index, (start, c))| Node {
                start,
                end: start + c.len_utf8(),
                previous: index.checked_sub(1).unwrap_or(NONE),
                next: index + 1,
            })
            .collect();
        let Some(last) = nodes.last_mut() else {
            return;
        };
        last.next = NONE;
        let mut queue = BinaryHeap::with_capacity(nodes.len());
        let offer = |nodes: &[Node], left: usize, queue: &mut BinaryHeap<Pair>| {
            let Some(node) = nodes.get(left) else { return };
            let Some(right) = nodes.get(node.next) else {
                return;
            };
            if let Some(id) = texts.find(&bytes[node.start..right.end]) {
                queue.push(Pair {
                    // Zero has one sign here, or else -0 would come after 0.
                    score: scores.get(id as usize).copied().unwrap_or(0.0) + 0.0,
                    left,
                    len: right.end - node.start,
                });
            }
        };
        for left in 0..nodes.len() {
            offer(&nodes, left, &mut queue);
        }
        while let Some(pair) = queue.pop() {
            let node = nodes[pair.left];
            if node.start == node.end || node.next == NONE {
                continue;
            }
            let right = nodes[node.next];
            if right.end - node.start != pair.len {
                continue;
            }
            nodes[node.next].start = right.end;
            nodes[pair.left].end = right.end;
            nodes[pair.left].next = right.next;
            if right.next != NONE {
                nodes[right.next].previous = pair.left;
            }
            offer(&nodes, node.previous, &mut queue);
            offer(&nodes, pair.left, &mut queue);
        }
        let mut at = 0;
        while let Some(node) = nodes.get(at) {
            let piece = &bytes[node.start..node.end];
            match texts.find(piece) {
                Some(id) => out.push(id),
                None => out.extend(piece.iter().filter_map(|&byte| {
                    self.bytes
                        .get(usize::from(byte))
                        .copied()
                        .flatten()
                        .or(self.unknown)
                })),
            }
            at = node.next;
        }
    }
}
