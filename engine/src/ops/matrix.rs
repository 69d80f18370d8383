//! Weights in the layout of their file.

use std::ops::Range;

use bytes::Bytes;

use crate::gguf::TensorType;
use crate::quant;

/// A matrix whose rows are blocks of a tensor type, most often a part of a mapped file. Cloning it
/// and taking rows out of it copies no weights.
#[derive(Debug, Clone)]
pub struct Matrix {
    ty: TensorType,
    rows: usize,
    columns: usize,
    row_bytes: usize,
    data: Bytes,
}

impl Matrix {
    /// `rows` rows of `columns` numbers stored as `ty`. `None` if `data` has not exactly that many
    /// bytes or a row is not a whole number of blocks.
    pub fn new(ty: TensorType, rows: usize, columns: usize, data: Bytes) -> Option<Matrix> {
        if !columns.is_multiple_of(ty.block_len()) {
            return None;
        }
        let row_bytes = ty.row_bytes(columns);
        (rows.checked_mul(row_bytes) == Some(data.len())).then_some(Matrix {
            ty,
            rows,
            columns,
            row_bytes,
            data,
        })
    }

    /// How the numbers are stored.
    pub fn ty(&self) -> TensorType {
        self.ty
    }

    /// Number of rows: the length of a product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Length of a row: the length of the vectors it is multiplied by.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The bytes of `rows`, one row after the other.
    pub fn bytes(&self, rows: Range<usize>) -> &[u8] {
        &self.data[rows.start * self.row_bytes..rows.end * self.row_bytes]
    }

    /// A matrix of some of the rows.
    pub fn slice(&self, rows: Range<usize>) -> Matrix {
        Matrix {
            rows: rows.len(),
            data: self
                .data
                .slice(rows.start * self.row_bytes..rows.end * self.row_bytes),
            ..*self
        }
    }

    /// Writes `rows`, as numbers, to `out`.
    pub fn dequantize(&self, rows: Range<usize>, out: &mut [f32]) {
        quant::dequantize(self.ty, self.bytes(rows), out);
    }
}
