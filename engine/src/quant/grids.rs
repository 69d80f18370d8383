//! The grids of the IQ types: which groups of values the indices in a block stand for.
//!
//! A grid is a fact of the format, chosen once by its authors so that its points lie well. The
//! files in `grids/` hold them packed, each value as an index into a short list of levels: four
//! values to a byte where there are three levels, two where there are eight, lowest bits first.
//! Source: the `gguf` package of the Python package index, `quants.py`; `tests/vectors.py --grids`
//! writes the files anew.

/// Unpacks `POINTS` points of `DIMS` values, `PER_BYTE` to a byte.
const fn grid<const DIMS: usize, const POINTS: usize, const BYTES: usize>(
    packed: &[u8; BYTES],
    levels: &[i8],
) -> [[i8; DIMS]; POINTS] {
    let per_byte = POINTS * DIMS / BYTES;
    let bits = 8 / per_byte;
    let mut points = [[0; DIMS]; POINTS];
    let mut i = 0;
    while i < POINTS * DIMS {
        let level = packed[i / per_byte] >> (i % per_byte * bits) & ((1 << bits) - 1);
        points[i / DIMS][i % DIMS] = levels[level as usize];
        i += 1;
    }
    points
}

const TWO_BITS: &[i8] = &[0x08, 0x19, 0x2b];
const TERNARY: &[i8] = &[-1, 0, 1];
const IQ3_XXS_LEVELS: &[i8] = &[0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3e];
const IQ3_S_LEVELS: &[i8] = &[1, 3, 5, 7, 9, 11, 13, 15];

pub(crate) static IQ2_XXS: [[i8; 8]; 256] = grid(include_bytes!("grids/iq2_xxs.bin"), TWO_BITS);
pub(crate) static IQ2_XS: [[i8; 8]; 512] = grid(include_bytes!("grids/iq2_xs.bin"), TWO_BITS);
pub(crate) static IQ2_S: [[i8; 8]; 1024] = grid(include_bytes!("grids/iq2_s.bin"), TWO_BITS);
pub(crate) static IQ3_XXS: [[i8; 4]; 256] =
    grid(include_bytes!("grids/iq3_xxs.bin"), IQ3_XXS_LEVELS);
pub(crate) static IQ3_S: [[i8; 4]; 512] = grid(include_bytes!("grids/iq3_s.bin"), IQ3_S_LEVELS);
pub(crate) static IQ1: [[i8; 8]; 2048] = grid(include_bytes!("grids/iq1_s.bin"), TERNARY);
