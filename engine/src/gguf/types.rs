//! Tensor types and the sizes of their blocks.

use std::fmt;

macro_rules! types {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $len:literal, $bytes:expr;)*) => {
        /// How the numbers of a tensor are stored: a row is a sequence of blocks, and each block
        /// holds [`block_len`](TensorType::block_len) numbers in
        /// [`block_bytes`](TensorType::block_bytes) bytes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(non_camel_case_types)]
        #[repr(u32)]
        pub enum TensorType { $($(#[$doc])* $variant = $id,)* }

        impl TensorType {
            /// Every type, by id.
            pub const ALL: &[TensorType] = &[$(TensorType::$variant,)*];

            /// The type with this id in a file, if it is one that is still in use.
            pub fn from_id(id: u32) -> Option<TensorType> {
                match id {
                    $($id => Some(TensorType::$variant),)*
                    _ => None,
                }
            }

            /// The name by which people know the type.
            pub const fn name(self) -> &'static str {
                match self { $(TensorType::$variant => $name,)* }
            }

            /// Numbers per block.
            pub const fn block_len(self) -> usize {
                match self { $(TensorType::$variant => $len,)* }
            }

            /// Bytes per block.
            pub const fn block_bytes(self) -> usize {
                match self { $(TensorType::$variant => $bytes,)* }
            }
        }
    };
}

types! {
    /// 32-bit floating point.
    F32 = 0, "F32", 1, 4;
    /// 16-bit floating point (IEEE half).
    F16 = 1, "F16", 1, 2;
    /// 4 bits and a scale.
    Q4_0 = 2, "Q4_0", 32, 2 + 16;
    /// 4 bits, a scale and a minimum.
    Q4_1 = 3, "Q4_1", 32, 2 + 2 + 16;
    /// 5 bits and a scale.
    Q5_0 = 6, "Q5_0", 32, 2 + 4 + 16;
    /// 5 bits, a scale and a minimum.
    Q5_1 = 7, "Q5_1", 32, 2 + 2 + 4 + 16;
    /// 8 bits and a scale.
    Q8_0 = 8, "Q8_0", 32, 2 + 32;
    /// 2 bits; 16 sub-blocks with 4-bit scales and minimums.
    Q2_K = 10, "Q2_K", 256, 16 + 64 + 2 + 2;
    /// 3 bits; 16 sub-blocks with 6-bit scales.
    Q3_K = 11, "Q3_K", 256, 32 + 64 + 12 + 2;
    /// 4 bits; 8 sub-blocks with 6-bit scales and minimums.
    Q4_K = 12, "Q4_K", 256, 2 + 2 + 12 + 128;
    /// 5 bits; 8 sub-blocks with 6-bit scales and minimums.
    Q5_K = 13, "Q5_K", 256, 2 + 2 + 12 + 32 + 128;
    /// 6 bits; 16 sub-blocks with 8-bit scales.
    Q6_K = 14, "Q6_K", 256, 128 + 64 + 16 + 2;
    /// Groups of 8 from a grid of 256; 2.06 bits a number.
    IQ2_XXS = 16, "IQ2_XXS", 256, 2 + 64;
    /// Groups of 8 from a grid of 512; 2.31 bits a number.
    IQ2_XS = 17, "IQ2_XS", 256, 2 + 64 + 8;
    /// Groups of 4 from a grid of 256; 3.06 bits a number.
    IQ3_XXS = 18, "IQ3_XXS", 256, 2 + 64 + 32;
    /// Groups of 8 from a ternary grid of 2048; 1.56 bits a number.
    IQ1_S = 19, "IQ1_S", 256, 2 + 32 + 16;
    /// 4 bits into a table of 16 uneven steps.
    IQ4_NL = 20, "IQ4_NL", 32, 2 + 16;
    /// Groups of 4 from a grid of 512; 3.44 bits a number.
    IQ3_S = 21, "IQ3_S", 256, 2 + 64 + 8 + 32 + 4;
    /// Groups of 8 from a grid of 1024; 2.56 bits a number.
    IQ2_S = 22, "IQ2_S", 256, 2 + 32 + 32 + 8 + 8;
    /// 4 bits into the table of IQ4_NL; 8 sub-blocks with 6-bit scales.
    IQ4_XS = 23, "IQ4_XS", 256, 2 + 2 + 4 + 128;
    /// 8-bit whole numbers.
    I8 = 24, "I8", 1, 1;
    /// 16-bit whole numbers.
    I16 = 25, "I16", 1, 2;
    /// 32-bit whole numbers.
    I32 = 26, "I32", 1, 4;
    /// 64-bit whole numbers.
    I64 = 27, "I64", 1, 8;
    /// 64-bit floating point.
    F64 = 28, "F64", 1, 8;
    /// As IQ1_S with more scales; 1.75 bits a number.
    IQ1_M = 29, "IQ1_M", 256, 32 + 16 + 8;
    /// 16-bit floating point with the exponent range of 32 bits.
    BF16 = 30, "BF16", 1, 2;
    /// Ternary, five to a byte; 1.69 bits a number.
    TQ1_0 = 34, "TQ1_0", 256, 48 + 4 + 2;
    /// Ternary, four to a byte; 2.06 bits a number.
    TQ2_0 = 35, "TQ2_0", 256, 64 + 2;
    /// 4-bit floating point with a power of two as scale (OCP microscaling).
    MXFP4 = 39, "MXFP4", 32, 1 + 16;
}

impl TensorType {
    /// The id in a file.
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// Bytes of a row of `len` numbers. A row is whole blocks: `len` must be a multiple of
    /// [`block_len`](TensorType::block_len), which the reader makes sure of for every tensor.
    pub const fn row_bytes(self, len: usize) -> usize {
        debug_assert!(len.is_multiple_of(self.block_len()));
        len / self.block_len() * self.block_bytes()
    }

    /// Bits per number, scales included.
    pub fn bits_per_weight(self) -> f64 {
        (self.block_bytes() * 8) as f64 / self.block_len() as f64
    }

    /// The type with this name, in any case.
    pub fn from_name(name: &str) -> Option<TensorType> {
        TensorType::ALL
            .iter()
            .copied()
            .find(|ty| ty.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known of an id that [`TensorType::from_id`] does not know, in words for a message.
pub(super) fn unsupported(id: u32) -> &'static str {
    match id {
        4 | 5 => "Q4_2 and Q4_3 were taken out of the format in 2023",
        9 | 15 => "Q8_1 and Q8_K are for intermediate results, not for files",
        31..=33 | 36..=38 => {
            "the repacked Q4_0 and IQ4_NL types were taken out of the format; get the plain Q4_0 \
             or IQ4_NL file"
        }
        40 => "NVFP4 cannot be read yet",
        41 => "Q1_0 cannot be read yet",
        _ => "no such type is known; the file may be damaged or newer than this program",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_lead_back_to_the_type() {
        for &ty in TensorType::ALL {
            assert_eq!(TensorType::from_id(ty.id()), Some(ty));
            assert_eq!(TensorType::from_name(&ty.name().to_lowercase()), Some(ty));
        }
        assert_eq!(TensorType::from_id(31), None);
    }

    #[test]
    fn rows_are_whole_blocks() {
        assert_eq!(TensorType::Q4_K.row_bytes(4096), 2304);
        assert_eq!(TensorType::Q8_0.row_bytes(4096), 4352);
        assert_eq!(TensorType::Q4_K.bits_per_weight(), 4.5);
    }
}
