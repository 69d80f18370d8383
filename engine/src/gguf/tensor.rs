//! The description of one tensor.

use super::TensorType;

/// One tensor of a file: what it is called, its shape and type, and where its data lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Lengths of its dimensions, fastest first: `shape[0]` is the length of a row. At most four,
    /// none of them 0; a scalar has none.
    pub shape: Vec<u64>,
    /// How its numbers are stored.
    pub ty: TensorType,
    /// Where its data begins, in bytes from the start of the data section of its file.
    pub offset: u64,
    /// Which file of a split model holds it, from 0.
    pub shard: usize,
}

impl Tensor {
    /// Numbers in a row, and so the length of the vectors that the tensor can be multiplied by.
    pub fn row_len(&self) -> usize {
        self.shape.first().map_or(1, |&n| n as usize)
    }

    /// Rows, over all further dimensions.
    pub fn rows(&self) -> usize {
        self.shape.iter().skip(1).product::<u64>() as usize
    }

    /// Bytes of a row; row `i` of the data begins at `i` times as many.
    pub fn row_bytes(&self) -> usize {
        self.ty.row_bytes(self.row_len())
    }

    /// Numbers in all.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.elements() / self.ty.block_len() as u64 * self.ty.block_bytes() as u64
    }

    /// The length of dimension `i`; dimensions past the last have length 1.
    pub fn dim(&self, i: usize) -> u64 {
        self.shape.get(i).copied().unwrap_or(1)
    }
}
