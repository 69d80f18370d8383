//! Which cell of the cache holds which position of which sequence.
//!
//! A cell holds the keys and values of one position, in all layers. Sequences may share cells: what
//! they have in common is stored once. Each sequence has a list of its cells by position, which is
//! what attention runs along, wherever in memory they lie.

use std::ops::Range;

use super::config::Config;
use crate::ops::{KvStore, KvType, RopeTable};

/// Number of sequences a context can hold at once.
pub const SEQUENCES: usize = 64;

/// Keys and values of one layer.
#[derive(Debug)]
pub(super) struct LayerCache {
    pub keys: KvStore,
    pub values: KvStore,
}

/// The cells of one sequence, by position.
#[derive(Debug, Clone, Default)]
pub(super) struct Sequence {
    pub cells: Vec<u32>,
    pub positions: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Cache {
    pub layers: Vec<LayerCache>,
    pub sequences: Vec<Sequence>,
    /// Number of sequences that use each cell.
    users: Vec<u8>,
    used: usize,
    /// Where the search for a free cell begins.
    hint: usize,
}

impl Sequence {
    fn range(&self, positions: &Range<u32>) -> Range<usize> {
        let start = self.positions.partition_point(|&p| p < positions.start);
        let end = self.positions.partition_point(|&p| p < positions.end);
        start..end.max(start)
    }

    fn insert(&mut self, position: u32, cell: u32) {
        let at = self.positions.partition_point(|&p| p < position);
        self.positions.insert(at, position);
        self.cells.insert(at, cell);
    }
}

impl Cache {
    /// An empty cache of `size` cells.
    pub fn new(config: &Config, size: usize, ty: KvType) -> Cache {
        let layers = config.layers.iter().map(|layer| LayerCache {
            keys: KvStore::new(ty, size, layer.kv_heads, config.key_length),
            values: KvStore::new(ty, size, layer.kv_heads, config.value_length),
        });
        Cache {
            layers: layers.collect(),
            sequences: vec![Sequence::default(); SEQUENCES],
            users: vec![0; size],
            used: 0,
            hint: 0,
        }
    }

    pub fn size(&self) -> usize {
        self.users.len()
    }

    pub fn free(&self) -> usize {
        self.size() - self.used
    }

    /// A cell for `position` of `sequence`; `None` if all are taken.
    pub fn take(&mut self, sequence: usize, position: u32) -> Option<u32> {
        let cell = self.free_cell()?;
        self.sequences[sequence].insert(position, cell as u32);
        Some(cell as u32)
    }

    fn free_cell(&mut self) -> Option<usize> {
        let size = self.size();
        let cell = (0..size)
            .map(|i| (self.hint + i) % size)
            .find(|&cell| self.users[cell] == 0)?;
        self.users[cell] = 1;
        self.used += 1;
        self.hint = cell + 1;
        Some(cell)
    }

    fn release(&mut self, cell: u32) {
        let users = &mut self.users[cell as usize];
        *users -= 1;
        if *users == 0 {
            self.used -= 1;
            self.hint = self.hint.min(cell as usize);
        }
    }

    /// Forgets positions of a sequence.
    pub fn remove(&mut self, sequence: usize, positions: Range<u32>) {
        let list = &mut self.sequences[sequence];
        let range = list.range(&positions);
        list.positions.drain(range.clone());
        let cells: Vec<u32> = list.cells.drain(range).collect();
        cells.into_iter().for_each(|cell| self.release(cell));
    }

    /// Lets a sequence share positions of another; those it has itself are forgotten.
    pub fn copy(&mut self, from: usize, to: usize, positions: Range<u32>) {
        if from == to {
            return;
        }
        self.remove(to, positions.clone());
        let source = &self.sequences[from];
        let range = source.range(&positions);
        let pairs: Vec<(u32, u32)> = source.positions[range.clone()]
            .iter()
            .copied()
            .zip(source.cells[range].iter().copied())
            .collect();
        for (position, cell) in pairs {
            self.sequences[to].insert(position, cell);
            self.users[cell as usize] += 1;
        }
    }

    /// Cells that sequences use together.
    pub fn stored(&self, sequences: impl IntoIterator<Item = usize>) -> usize {
        let mut seen = vec![false; self.size()];
        let lists = sequences.into_iter().filter_map(|i| self.sequences.get(i));
        lists
            .flat_map(|list| &list.cells)
            .filter(|&&cell| !std::mem::replace(&mut seen[cell as usize], true))
            .count()
    }

    /// Cells that [`shift`](Cache::shift) would have to copy, because others use them too.
    pub fn shared(&self, sequence: usize, positions: &Range<u32>) -> usize {
        let list = &self.sequences[sequence];
        let cells = &list.cells[list.range(positions)];
        cells
            .iter()
            .filter(|&&cell| self.users[cell as usize] > 1)
            .count()
    }

    /// Moves positions of a sequence by `delta`. Keys are turned on by the angle in `tables`, one
    /// table per layer where it has rotation. The caller has made sure that the order of positions
    /// stays and that there is room for copies of shared cells.
    pub fn shift(
        &mut self,
        sequence: usize,
        positions: Range<u32>,
        delta: i64,
        tables: &[Option<&RopeTable>],
    ) {
        let range = self.sequences[sequence].range(&positions);
        let steps: Vec<Option<Vec<(f32, f32)>>> = tables
            .iter()
            .map(|table| table.map(|table| table.step(delta)))
            .collect();
        for at in range {
            let cell = self.sequences[sequence].cells[at];
            let target = match self.users[cell as usize] {
                1 => cell,
                _ => match self.free_cell() {
                    Some(free) => free as u32,
                    None => return,
                },
            };
            for ((layer, table), step) in self.layers.iter_mut().zip(tables).zip(&steps) {
                if target != cell {
                    let values = layer.values.row(cell as usize);
                    layer.values.write(target as usize, &values);
                }
                let mut keys = layer.keys.row(cell as usize);
                if let (Some(table), Some(step)) = (table, step) {
                    table.turn(&mut keys, layer.keys.head(), step);
                }
                layer.keys.write(target as usize, &keys);
            }
            if target != cell {
                self.release(cell);
                self.sequences[sequence].cells[at] = target;
            }
            let position = &mut self.sequences[sequence].positions[at];
            *position = (i64::from(*position) + delta) as u32;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.sequences
            .iter_mut()
            .for_each(|s| *s = Sequence::default());
        self.users.fill(0);
        (self.used, self.hint) = (0, 0);
    }
}
