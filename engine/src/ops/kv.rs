//! Storage of keys or values: for each head, one row per cell, so that both scans of attention run
//! through memory in order.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// How cached keys and values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KvType {
    /// 32-bit floating point.
    F32,
    /// 16-bit floating point.
    #[default]
    F16,
    /// 8-bit numbers in blocks of 32 with a 16-bit scale. Heads must be a multiple of 32 long.
    #[serde(rename = "q8_0")]
    Q8_0,
}

/// Numbers per scale of [`KvType::Q8_0`].
const BLOCK: usize = 32;

impl KvType {
    /// Bytes of a row of `len` numbers.
    pub fn row_bytes(self, len: usize) -> usize {
        match self {
            KvType::F32 => len * 4,
            KvType::F16 => len * 2,
            KvType::Q8_0 => len + len.div_ceil(BLOCK) * 2,
        }
    }

    /// Whether rows of `len` numbers can be stored.
    pub fn takes(self, len: usize) -> bool {
        self != KvType::Q8_0 || len.is_multiple_of(BLOCK)
    }
}

/// The keys or the values of one layer.
#[derive(Debug)]
pub struct KvStore {
    cells: usize,
    head: usize,
    heads: usize,
    rows: Rows,
}

/// Half floats are kept as their bits: zeroed memory of a whole number type comes untouched from the
/// system, so a large cache takes memory only as it fills.
#[derive(Debug)]
enum Rows {
    F32(Vec<f32>),
    F16(Vec<u16>),
    Q8_0 { scales: Vec<u16>, quants: Vec<i8> },
}

impl KvStore {
    /// Room for `cells` rows of `heads` heads of `head` numbers.
    ///
    /// # Panics
    ///
    /// The type does not [take](KvType::takes) heads of this length.
    pub fn new(ty: KvType, cells: usize, heads: usize, head: usize) -> KvStore {
        assert!(ty.takes(head), "heads of {head} cannot be stored in blocks");
        let len = cells * heads * head;
        let rows = match ty {
            KvType::F32 => Rows::F32(vec![0.0; len]),
            KvType::F16 => Rows::F16(vec![0; len]),
            KvType::Q8_0 => Rows::Q8_0 {
                scales: vec![0; len / BLOCK],
                quants: vec![0; len],
            },
        };
        KvStore {
            cells,
            head,
            heads,
            rows,
        }
    }

    /// Length of a head.
    pub fn head(&self) -> usize {
        self.head
    }

    /// Number of heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Stores `row`, all heads one after the other, in `cell`.
    pub fn write(&mut self, cell: usize, row: &[f32]) {
        for (head, values) in row.chunks_exact(self.head).enumerate() {
            let at = (head * self.cells + cell) * self.head;
            match &mut self.rows {
                Rows::F32(rows) => rows[at..at + self.head].copy_from_slice(values),
                Rows::F16(rows) => {
                    for (bits, &value) in rows[at..at + self.head].iter_mut().zip(values) {
                        *bits = f16::from_f32(value).to_bits();
                    }
                }
                Rows::Q8_0 { scales, quants } => quantize(
                    values,
                    &mut scales[at / BLOCK..],
                    &mut quants[at..at + self.head],
                ),
            }
        }
    }

    /// Writes `head` of `cells` to `out`, one after the other.
    pub fn read(&self, head: usize, cells: &[u32], mut out: &mut [f32]) {
        // Cells of a sequence mostly lie side by side and are read as one.
        for run in cells.chunk_by(|a, b| a + 1 == *b) {
            let at = (head * self.cells + run[0] as usize) * self.head;
            let len = run.len() * self.head;
            let (now, rest) = out.split_at_mut(len);
            out = rest;
            match &self.rows {
                Rows::F32(rows) => now.copy_from_slice(&rows[at..at + len]),
                Rows::F16(rows) => {
                    use half::slice::HalfBitsSliceExt;
                    let halves: &[f16] = rows[at..at + len].reinterpret_cast();
                    halves.convert_to_f32_slice(now);
                }
                Rows::Q8_0 { scales, quants } => {
                    let blocks = quants[at..at + len].chunks_exact(BLOCK);
                    let scales = &scales[at / BLOCK..];
                    for ((block, out), &scale) in
                        blocks.zip(now.chunks_exact_mut(BLOCK)).zip(scales)
                    {
                        let scale = f16::from_bits(scale).to_f32();
                        for (&q, out) in block.iter().zip(out) {
                            *out = f32::from(q) * scale;
                        }
                    }
                }
            }
        }
    }

    /// All heads of one cell, one after the other.
    pub fn row(&self, cell: usize) -> Vec<f32> {
        let mut row = vec![0.0; self.heads * self.head];
        for (head, out) in row.chunks_exact_mut(self.head).enumerate() {
            self.read(head, &[cell as u32], out);
        }
        row
    }
}

fn quantize(values: &[f32], scales: &mut [u16], quants: &mut [i8]) {
    let blocks = values.chunks_exact(BLOCK);
    for ((values, quants), scale_bits) in blocks.zip(quants.chunks_exact_mut(BLOCK)).zip(scales) {
        let largest = values.iter().fold(0.0f32, |most, v| most.max(v.abs()));
        let scale = largest / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        *scale_bits = f16::from_f32(scale).to_bits();
        for (&value, quant) in values.iter().zip(quants) {
            *quant = (value * inverse).round() as i8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (ty, tolerance) in [
            (KvType::F32, 0.0),
            (KvType::F16, 5e-4),
            (KvType::Q8_0, 4.5e-3),
        ] {
            let mut store = KvStore::new(ty, 8, 2, 64);
            let row = |cell: usize| -> Vec<f32> {
                (0..128)
                    .map(|i| ((i * 7 + cell * 31) as f32 * 0.1).sin())
                    .collect()
            };
            for cell in [5, 2, 3, 0] {
                store.write(cell, &row(cell));
            }
            let near =
                |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tolerance);
            assert!(near(&store.row(5), &row(5)));
            let mut read = vec![0.0; 4 * 64];
            store.read(1, &[2, 3, 0, 5], &mut read);
            for (read, cell) in read.chunks_exact(64).zip([2, 3, 0, 5]) {
                assert!(near(read, &row(cell)[64..]), "{ty:?}");
            }
        }
    }

    #[test]
    fn blocks_need_whole_heads() {
        assert!(!KvType::Q8_0.takes(80));
        assert!(KvType::F16.takes(80));
        assert_eq!(KvType::Q8_0.row_bytes(64), 68);
    }
}
