//! Which sequences of a context are in use, and what the others still hold.
//!
//! What an answer leaves behind stays until its room is wanted, and serves prompts that begin in the
//! same way. What is to serve must have been evaluated with all before it in its place: what came
//! after tokens that were dropped is never kept.

use super::error::Error;
use crate::model::{Context, SEQUENCES};

/// One sequence.
#[derive(Debug, Default)]
struct Slot {
    /// Its first tokens: those that were evaluated with all before them in their places.
    tokens: Vec<u32>,
    /// An answer is at work on it.
    busy: bool,
    /// When it was left, counted in answers.
    left: u64,
}

/// The sequences of a context.
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    clock: u64,
}

/// A sequence that a prompt was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    pub sequence: usize,
    /// Tokens of the prompt that it holds already.
    pub reused: usize,
}

/// What is stored of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub sequence: usize,
    /// How many of its first tokens.
    pub tokens: usize,
    /// An answer is at work on the sequence.
    pub busy: bool,
}

/// Length of the common beginning of two texts.
pub(super) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl Slots {
    /// Empty ones: as many as a context has, or fewer.
    pub fn new(count: usize) -> Slots {
        let count = count.clamp(1, SEQUENCES);
        Slots {
            slots: (0..count).map(|_| Slot::default()).collect(),
            clock: 0,
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self, context: &mut Context) {
        context.clear();
        *self = Slots::new(self.slots.len());
    }

    /// The sequence that holds most of a prompt's beginning. The last token of the prompt does not
    /// count: it has to be evaluated, for its scores.
    pub fn find(&self, prompt: &[u32]) -> Option<Found> {
        let wanted = &prompt[..prompt.len().saturating_sub(1)];
        let found = self.slots.iter().enumerate().map(|(sequence, slot)| Found {
            sequence,
            tokens: common(&slot.tokens, wanted),
            busy: slot.busy,
        });
        // Of equal ones the one that nobody uses: it may be taken over.
        found
            .filter(|found| found.tokens > 0)
            .max_by_key(|found| (found.tokens, !found.busy))
    }

    /// A sequence that holds of a prompt what was stored anywhere. `None` if all are in use.
    pub fn open(&mut self, context: &mut Context, prompt: &[u32]) -> Option<Opened> {
        let found = self.find(prompt);
        // All of it is wanted, so that it can go on where it is.
        let whole = |found: &Found| !found.busy && self.holds(found.sequence) == found.tokens;
        let sequence = match found.filter(whole) {
            Some(found) => found.sequence,
            None => self.free()?,
        };
        let reused = found.map_or(0, |found| found.tokens);
        match found {
            Some(found) if found.sequence != sequence => {
                context.remove(sequence, 0..u32::MAX);
                context.copy(found.sequence, sequence, 0..reused as u32);
            }
            _ => context.remove(sequence, reused as u32..u32::MAX),
        }
        let slot = &mut self.slots[sequence];
        slot.tokens = prompt[..reused].to_vec();
        slot.busy = true;
        Some(Opened { sequence, reused })
    }

    /// An empty sequence, else the one that was left first.
    fn free(&self) -> Option<usize> {
        let idle = self.slots.iter().enumerate().filter(|(_, slot)| !slot.busy);
        let first = idle.min_by_key(|(_, slot)| (!slot.tokens.is_empty(), slot.left));
        first.map(|(sequence, _)| sequence)
    }

    fn holds(&self, sequence: usize) -> usize {
        self.slots[sequence].tokens.len()
    }

    /// Takes note of tokens that were evaluated.
    pub fn push(&mut self, context: &Context, sequence: usize, tokens: &[u32]) {
        let slot = &mut self.slots[sequence];
        if slot.tokens.len() + tokens.len() == context.len(sequence) {
            slot.tokens.extend_from_slice(tokens);
        }
    }

    /// Drops `count` tokens after the first `keep`.
    pub fn discard(
        &mut self,
        context: &mut Context,
        sequence: usize,
        keep: usize,
        count: usize,
    ) -> Result<(), Error> {
        let kept = &mut self.slots[sequence].tokens;
        kept.truncate(keep);
        // Fits: a context has fewer tokens than positions.
        Ok(context.discard(sequence, keep as u32, count as u32)?)
    }

    /// Ends the use of a sequence. What others may use stays.
    pub fn close(&mut self, context: &mut Context, sequence: usize) {
        self.clock += 1;
        let slot = &mut self.slots[sequence];
        slot.busy = false;
        slot.left = self.clock;
        context.remove(sequence, slot.tokens.len() as u32..u32::MAX);
    }

    /// Drops what nobody uses, oldest first and from its end, until there is room for `wanted`
    /// tokens. False if that is not enough.
    pub fn evict(&mut self, context: &mut Context, wanted: usize) -> bool {
        while context.free() < wanted {
            let idle = self.slots.iter_mut().enumerate();
            let idle = idle.filter(|(_, slot)| !slot.busy && !slot.tokens.is_empty());
            let Some((sequence, slot)) = idle.min_by_key(|(_, slot)| slot.left) else {
                return false;
            };
            // Where others store the same tokens too, this frees none, and it takes more turns.
            let rest = slot.tokens.len().saturating_sub(wanted - context.free());
            slot.tokens.truncate(rest);
            context.remove(sequence, rest as u32..u32::MAX);
        }
        true
    }

    /// Tokens stored for the sequences in use.
    pub fn in_use(&self, context: &Context) -> usize {
        let busy = self.slots.iter().enumerate().filter(|(_, slot)| slot.busy);
        context.stored(busy.map(|(sequence, _)| sequence))
    }
}
