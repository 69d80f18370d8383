//! From bytes to metadata and tensor descriptions. Nothing here allocates more than a small
//! multiple of what the bytes hold, whatever they announce.

use std::collections::HashSet;

use super::error::Flaw;
use super::value::{Array, Strings, Value};
use super::{Metadata, Tensor, TensorType};

/// Alignment of the data where the file names none.
pub(super) const DEFAULT_ALIGNMENT: u64 = 32;
/// Arrays inside arrays; no known file has any.
const MAX_NESTING: usize = 4;
/// Metadata entries; models have a few dozen.
const MAX_PAIRS: u64 = 1 << 16;
/// Tensors in one file; large models have a few thousand.
const MAX_TENSORS: u64 = 1 << 20;
/// Dimensions of a tensor.
const MAX_DIMS: u32 = 4;

/// Everything before the data.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) alignment: u64,
    pub(super) metadata: Metadata,
    pub(super) tensors: Vec<Tensor>,
    /// Where the data section begins in the file.
    pub(super) data: usize,
}

/// Reads and checks everything before the data, and that the data is where it is said to be.
pub(super) fn header(bytes: &[u8], shard: usize) -> Result<Header, Flaw> {
    let (version, tensors, pairs) = counts(bytes)?;
    let mut reader = Reader { bytes, at: 24 };
    // The shortest pair is an empty key with one byte; the shortest tensor has no name and no
    // dimension.
    reader.fits(pairs, 8 + 4 + 1, || "metadata entries".to_owned())?;
    reader.fits(tensors, 8 + 4 + 4 + 8, || "tensors".to_owned())?;

    few("metadata entries", pairs, MAX_PAIRS)?;
    few("tensors", tensors, MAX_TENSORS)?;

    let metadata = metadata(&mut reader, pairs)?;
    let alignment = alignment(&metadata)?;
    let tensors = (0..tensors)
        .map(|_| tensor(&mut reader, shard))
        .collect::<Result<Vec<_>, _>>()?;
    let data = (reader.at as u64)
        .checked_next_multiple_of(alignment)
        .unwrap_or(u64::MAX)
        .min(bytes.len() as u64);
    place(&tensors, alignment, bytes.len() as u64 - data)?;
    Ok(Header {
        version,
        alignment,
        metadata,
        tensors,
        data: data as usize,
    })
}

/// Version, number of tensors and number of metadata entries: the first 24 bytes.
fn counts(bytes: &[u8]) -> Result<(u32, u64, u64), Flaw> {
    let truncated = || Flaw::Truncated {
        what: "the header".to_owned(),
        len: bytes.len() as u64,
    };
    match bytes.first_chunk::<4>().ok_or_else(truncated)? {
        b"GGUF" => {}
        b"FUGG" => return Err(Flaw::BigEndian),
        b"lmgg" | b"fmgg" | b"tjgg" => {
            return Err(Flaw::Magic(
                "the mark of the formats before GGUF; get the model as GGUF".to_owned(),
            ));
        }
        other => return Err(Flaw::Magic(format!("`{}`", other.escape_ascii()))),
    }
    let header = bytes.first_chunk::<24>().ok_or_else(truncated)?;
    let [start, tensors, pairs] = [0, 8, 16].map(|at| {
        let word = header[at..].first_chunk().copied();
        u64::from_le_bytes(word.unwrap_or_default())
    });
    match (start >> 32) as u32 {
        version @ (2 | 3) => Ok((version, tensors, pairs)),
        // A small number in the other byte order.
        version if version != 0 && version & 0xffff == 0 => Err(Flaw::BigEndian),
        version => Err(Flaw::Version(version)),
    }
}

fn few(what: &'static str, count: u64, most: u64) -> Result<(), Flaw> {
    if count > most {
        return Err(Flaw::TooMany { what, count, most });
    }
    Ok(())
}

fn metadata(reader: &mut Reader, pairs: u64) -> Result<Metadata, Flaw> {
    let mut metadata = Metadata::default();
    for i in 0..pairs {
        let key = reader.string(|| format!("the key of metadata entry {}", i + 1))?;
        let key = key.to_owned();
        let id = reader.u32(&key)?;
        let value = value(reader, &key, id)?;
        if metadata.get(&key).is_some() {
            return Err(Flaw::DuplicateKey(key));
        }
        metadata.insert(key, value);
    }
    Ok(metadata)
}

fn value(reader: &mut Reader, key: &str, id: u32) -> Result<Value, Flaw> {
    Ok(match id {
        0 => Value::U8(reader.array(key).map(u8::from_le_bytes)?),
        1 => Value::I8(reader.array(key).map(i8::from_le_bytes)?),
        2 => Value::U16(reader.array(key).map(u16::from_le_bytes)?),
        3 => Value::I16(reader.array(key).map(i16::from_le_bytes)?),
        4 => Value::U32(reader.array(key).map(u32::from_le_bytes)?),
        5 => Value::I32(reader.array(key).map(i32::from_le_bytes)?),
        6 => Value::F32(reader.array(key).map(f32::from_le_bytes)?),
        7 => Value::Bool(truth(key, reader.array::<1>(key)?[0])?),
        8 => Value::String(reader.string(|| format!("metadata `{key}`"))?.to_owned()),
        9 => Value::Array(array(reader, key, 1)?),
        10 => Value::U64(reader.array(key).map(u64::from_le_bytes)?),
        11 => Value::I64(reader.array(key).map(i64::from_le_bytes)?),
        12 => Value::F64(reader.array(key).map(f64::from_le_bytes)?),
        id => {
            return Err(Flaw::ValueType {
                key: key.to_owned(),
                id,
            });
        }
    })
}

fn array(reader: &mut Reader, key: &str, depth: usize) -> Result<Array, Flaw> {
    let id = reader.u32(key)?;
    let count = reader.u64(key)?;
    let elements = || format!("elements in `{key}`");
    Ok(match id {
        0 => Array::U8(reader.numbers(count, elements, u8::from_le_bytes)?),
        1 => Array::I8(reader.numbers(count, elements, i8::from_le_bytes)?),
        2 => Array::U16(reader.numbers(count, elements, u16::from_le_bytes)?),
        3 => Array::I16(reader.numbers(count, elements, i16::from_le_bytes)?),
        4 => Array::U32(reader.numbers(count, elements, u32::from_le_bytes)?),
        5 => Array::I32(reader.numbers(count, elements, i32::from_le_bytes)?),
        6 => Array::F32(reader.numbers(count, elements, f32::from_le_bytes)?),
        7 => {
            let bytes = reader.numbers(count, elements, u8::from_le_bytes)?;
            let flags: Result<_, _> = bytes.into_iter().map(|byte| truth(key, byte)).collect();
            Array::Bool(flags?)
        }
        8 => {
            reader.fits(count, 8, elements)?;
            let mut strings = Strings::default();
            for i in 0..count {
                strings.push(reader.string(|| format!("element {i} of `{key}`"))?);
            }
            Array::String(strings)
        }
        9 => {
            if depth == MAX_NESTING {
                return Err(Flaw::Nesting(key.to_owned()));
            }
            reader.fits(count, 4 + 8, elements)?;
            let arrays: Result<_, _> = (0..count).map(|_| array(reader, key, depth + 1)).collect();
            Array::Array(arrays?)
        }
        10 => Array::U64(reader.numbers(count, elements, u64::from_le_bytes)?),
        11 => Array::I64(reader.numbers(count, elements, i64::from_le_bytes)?),
        12 => Array::F64(reader.numbers(count, elements, f64::from_le_bytes)?),
        id => {
            return Err(Flaw::ValueType {
                key: key.to_owned(),
                id,
            });
        }
    })
}

fn truth(key: &str, byte: u8) -> Result<bool, Flaw> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        byte => Err(Flaw::Bool {
            key: key.to_owned(),
            byte,
        }),
    }
}

/// Where tensors' data may begin.
pub(super) fn alignment(metadata: &Metadata) -> Result<u64, Flaw> {
    match metadata.count("general.alignment") {
        Ok(None) => Ok(DEFAULT_ALIGNMENT),
        Ok(Some(n)) if n.is_power_of_two() => Ok(n),
        Ok(Some(n)) => Err(Flaw::Alignment(n.to_string())),
        Err(_) => Err(Flaw::Alignment("not a whole number".to_owned())),
    }
}

fn tensor(reader: &mut Reader, shard: usize) -> Result<Tensor, Flaw> {
    let name = reader
        .string(|| "the name of a tensor".to_owned())?
        .to_owned();
    let dims = reader.u32(&name)?;
    if dims > MAX_DIMS {
        return Err(Flaw::Dimensions { name, dims });
    }
    let shape: Vec<u64> = (0..dims)
        .map(|_| reader.u64(&name))
        .collect::<Result<_, _>>()?;
    let id = reader.u32(&name)?;
    let offset = reader.u64(&name)?;
    let Some(ty) = TensorType::from_id(id) else {
        return Err(Flaw::TensorType { name, id });
    };
    sound(Tensor {
        name,
        shape,
        ty,
        offset,
        shard,
    })
}

/// Checks that the shape is possible for the type.
pub(super) fn sound(tensor: Tensor) -> Result<Tensor, Flaw> {
    let Tensor { name, shape, .. } = &tensor;
    let dims = u32::try_from(shape.len()).unwrap_or(u32::MAX);
    if dims > MAX_DIMS {
        return Err(Flaw::Dimensions {
            name: name.clone(),
            dims,
        });
    }
    // Sizes in bytes and in numbers must fit in 63 bits, so that later sums cannot overflow. No
    // type takes more than eight bytes a number.
    let elements = shape
        .iter()
        .try_fold(1u64, |product, &n| product.checked_mul(n));
    if elements.is_none_or(|n| n == 0 || n > i64::MAX as u64 / 8) {
        return Err(Flaw::Shape {
            name: name.clone(),
            shape: shape.clone(),
        });
    }
    let (row, block) = (tensor.dim(0), tensor.ty.block_len());
    if !row.is_multiple_of(block as u64) {
        return Err(Flaw::Row {
            row,
            name: tensor.name,
            ty: tensor.ty,
            block,
        });
    }
    Ok(tensor)
}

/// Checks that tensors have names of their own, begin where they may, end inside the data and do
/// not overlap.
fn place(tensors: &[Tensor], alignment: u64, data: u64) -> Result<(), Flaw> {
    let mut names = HashSet::with_capacity(tensors.len());
    for tensor in tensors {
        if !names.insert(tensor.name.as_str()) {
            return Err(Flaw::DuplicateTensor(tensor.name.clone()));
        }
        if !tensor.offset.is_multiple_of(alignment) {
            return Err(Flaw::Misaligned {
                name: tensor.name.clone(),
                offset: tensor.offset,
                alignment,
            });
        }
        let end = tensor.offset.checked_add(tensor.bytes());
        if end.is_none_or(|end| end > data) {
            return Err(Flaw::PastEnd {
                name: tensor.name.clone(),
                offset: tensor.offset,
                size: tensor.bytes(),
                data,
            });
        }
    }
    let mut order: Vec<&Tensor> = tensors.iter().collect();
    order.sort_by_key(|tensor| tensor.offset);
    for pair in order.windows(2) {
        if pair[0].offset + pair[0].bytes() > pair[1].offset {
            return Err(Flaw::Overlap {
                first: pair[0].name.clone(),
                second: pair[1].name.clone(),
            });
        }
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn left(&self) -> u64 {
        (self.bytes.len() - self.at) as u64
    }

    fn truncated(&self, what: &str) -> Flaw {
        Flaw::Truncated {
            what: what.to_owned(),
            len: self.bytes.len() as u64,
        }
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..)?.get(..len)?;
        self.at += len;
        Some(taken)
    }

    /// The next `N` bytes of the metadata entry or tensor called `name`.
    fn array<const N: usize>(&mut self, name: &str) -> Result<[u8; N], Flaw> {
        match self.take(N).and_then(|bytes| bytes.try_into().ok()) {
            Some(array) => Ok(array),
            None => Err(self.truncated(&format!("the entry `{name}`"))),
        }
    }

    fn u32(&mut self, name: &str) -> Result<u32, Flaw> {
        self.array(name).map(u32::from_le_bytes)
    }

    fn u64(&mut self, name: &str) -> Result<u64, Flaw> {
        self.array(name).map(u64::from_le_bytes)
    }

    /// Whether `count` things of at least `size` bytes each can follow.
    fn fits(&self, count: u64, size: u64, what: impl Fn() -> String) -> Result<(), Flaw> {
        if count <= self.left() / size {
            return Ok(());
        }
        Err(Flaw::Count {
            what: what(),
            count,
            left: self.left(),
        })
    }

    fn numbers<const N: usize, T>(
        &mut self,
        count: u64,
        what: impl Fn() -> String,
        convert: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, Flaw> {
        self.fits(count, N as u64, &what)?;
        let bytes = self
            .take(count as usize * N)
            .ok_or_else(|| self.truncated(&what()))?;
        let (chunks, _) = bytes.as_chunks::<N>();
        Ok(chunks.iter().map(|&chunk| convert(chunk)).collect())
    }

    fn string(&mut self, what: impl Fn() -> String) -> Result<&'a str, Flaw> {
        let len = match self.take(8).and_then(|bytes| bytes.try_into().ok()) {
            Some(len) => u64::from_le_bytes(len),
            None => return Err(self.truncated(&what())),
        };
        self.fits(len, 1, || format!("bytes for {}", what()))?;
        let bytes = self
            .take(len as usize)
            .ok_or_else(|| self.truncated(&what()))?;
        std::str::from_utf8(bytes).map_err(|_| Flaw::Utf8(what()))
    }
}
