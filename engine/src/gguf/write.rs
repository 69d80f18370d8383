//! Writing files, always in version 3.

use std::collections::HashSet;
use std::io::{self, Write};

use super::error::Flaw;
use super::read;
use super::value::{Array, Value};
use super::{Metadata, Tensor, TensorType};

/// A file to be written: metadata and declared tensors, to which the data comes afterwards, so
/// that a model larger than memory can be written.
///
/// ```
/// use aienv_engine::gguf::{File, TensorType, Writer};
///
/// let mut writer = Writer::default();
/// writer.metadata.insert("general.architecture", "llama");
/// writer.declare("norm", &[2], TensorType::F32)?;
/// let mut body = writer.begin(Vec::new())?;
/// body.append(&1.0f32.to_le_bytes())?;
/// body.append(&2.0f32.to_le_bytes())?;
/// let file = File::from_bytes(body.finish()?)?;
/// assert_eq!(file.tensor("norm").unwrap().1, [0, 0, 128, 63, 0, 0, 0, 64]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Writer {
    /// What the file says about itself. `general.alignment`, if set, is obeyed.
    pub metadata: Metadata,
    tensors: Vec<Tensor>,
    names: HashSet<String>,
}

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system refuses.
    #[error("cannot write the GGUF file: {0}")]
    Io(#[from] io::Error),
    /// The reader would not accept the file.
    #[error("such a GGUF file would not be sound: {0}")]
    Flaw(#[from] Flaw),
    /// Not as much data as the declared tensors need.
    #[error("tensor `{name}` needs {missing} bytes more")]
    Short {
        /// The tensor.
        name: String,
        /// Bytes that it lacks.
        missing: u64,
    },
    /// More data than the declared tensors need.
    #[error("{0} bytes too many were given for the tensors")]
    Long(u64),
}

impl Writer {
    /// A file without tensors.
    pub fn new(metadata: Metadata) -> Writer {
        Writer {
            metadata,
            ..Writer::default()
        }
    }

    /// Adds a tensor; `shape` is fastest first.
    ///
    /// # Errors
    /// The name is taken, or the shape is impossible or not whole blocks of `ty`.
    pub fn declare(&mut self, name: &str, shape: &[u64], ty: TensorType) -> Result<(), Flaw> {
        let tensor = read::sound(Tensor {
            name: name.to_owned(),
            shape: shape.to_owned(),
            ty,
            offset: 0,
            shard: 0,
        })?;
        if !self.names.insert(name.to_owned()) {
            return Err(Flaw::DuplicateTensor(name.to_owned()));
        }
        self.tensors.push(tensor);
        Ok(())
    }

    /// The declared tensors. Their offsets are not settled yet.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Divides the tensors among several files of at most `bytes` of data each (more if a single
    /// tensor has more). They must be called as [`part_name`] says. The first has the metadata.
    pub fn split(self, bytes: u64) -> Vec<Writer> {
        let total = self.tensors.len();
        let mut parts: Vec<Writer> = vec![Writer::new(self.metadata)];
        let mut size = 0;
        for tensor in self.tensors {
            if size > 0 && size + tensor.bytes() > bytes {
                parts.push(Writer::default());
                size = 0;
            }
            size += tensor.bytes();
            if let Some(part) = parts.last_mut() {
                part.names.insert(tensor.name.clone());
                part.tensors.push(tensor);
            }
        }
        let count = parts.len();
        for (no, part) in parts.iter_mut().enumerate() {
            // Widths as other programs expect them.
            part.metadata.insert("split.no", no as u16);
            part.metadata.insert("split.count", count as u16);
            part.metadata.insert("split.tensors.count", total as i32);
        }
        parts
    }

    /// Writes everything before the data to `out`.
    ///
    /// # Errors
    /// `out` cannot be written to, or `general.alignment` is unusable.
    pub fn begin<W: Write>(mut self, mut out: W) -> Result<Body<W>, WriteError> {
        let alignment = read::alignment(&self.metadata)?;
        let mut header = Vec::new();
        header.extend_from_slice(b"GGUF");
        header.extend_from_slice(&3u32.to_le_bytes());
        header.extend_from_slice(&(self.tensors.len() as u64).to_le_bytes());
        header.extend_from_slice(&(self.metadata.len() as u64).to_le_bytes());
        for (key, value) in self.metadata.iter() {
            put_string(&mut header, key);
            put_value(&mut header, value);
        }
        let mut offset = 0u64;
        for tensor in &mut self.tensors {
            tensor.offset = offset;
            offset = offset
                .checked_add(tensor.bytes())
                .and_then(|end| end.checked_next_multiple_of(alignment))
                .ok_or_else(|| Flaw::Shape {
                    name: tensor.name.clone(),
                    shape: tensor.shape.clone(),
                })?;
            put_string(&mut header, &tensor.name);
            header.extend_from_slice(&(tensor.shape.len() as u32).to_le_bytes());
            for n in &tensor.shape {
                header.extend_from_slice(&n.to_le_bytes());
            }
            header.extend_from_slice(&tensor.ty.id().to_le_bytes());
            header.extend_from_slice(&tensor.offset.to_le_bytes());
        }
        out.write_all(&header)?;
        pad(&mut out, header.len() as u64, alignment)?;
        Ok(Body {
            out,
            alignment,
            missing: self.tensors.first().map_or(0, Tensor::bytes),
            tensors: self.tensors,
            at: 0,
        })
    }
}

/// The name of part `no` (from 0) of `count` of the model called `prefix`.
pub fn part_name(prefix: &str, no: u64, count: u64) -> String {
    format!("{prefix}{}", part_suffix(no, count))
}

/// How the name of part `no` (from 0) of `count` ends.
pub(super) fn part_suffix(no: u64, count: u64) -> String {
    format!("-{:05}-of-{count:05}.gguf", no + 1)
}

/// The data section of a file that is being written.
#[derive(Debug)]
pub struct Body<W> {
    out: W,
    alignment: u64,
    tensors: Vec<Tensor>,
    /// The tensor whose data is being written.
    at: usize,
    /// Bytes that it lacks.
    missing: u64,
}

impl<W: Write> Body<W> {
    /// The tensor that the next bytes belong to.
    pub fn next(&self) -> Option<&Tensor> {
        self.tensors.get(self.at)
    }

    /// Writes the next bytes. They belong to the declared tensors in order, and may come in pieces
    /// that do not reach over the end of a tensor.
    ///
    /// # Errors
    /// `out` cannot be written to, or the bytes are more than the tensor lacks.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let len = bytes.len() as u64;
        if len > self.missing {
            return Err(WriteError::Long(len - self.missing));
        }
        self.out.write_all(bytes)?;
        self.missing -= len;
        if self.missing == 0 && self.at < self.tensors.len() {
            pad(&mut self.out, self.tensors[self.at].bytes(), self.alignment)?;
            self.at += 1;
            self.missing = self.next().map_or(0, Tensor::bytes);
        }
        Ok(())
    }

    /// Ends the file and gives back what it was written to, flushed.
    ///
    /// # Errors
    /// A tensor lacks data, or `out` cannot be flushed.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if let Some(tensor) = self.next() {
            return Err(WriteError::Short {
                name: tensor.name.clone(),
                missing: self.missing,
            });
        }
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Writes zeros after `len` bytes up to a multiple of `alignment`.
fn pad(out: &mut impl Write, len: u64, alignment: u64) -> io::Result<()> {
    let padding = len.next_multiple_of(alignment) - len;
    io::copy(&mut io::Read::take(io::repeat(0), padding), out).map(drop)
}

fn put_string(to: &mut Vec<u8>, text: &str) {
    to.extend_from_slice(&(text.len() as u64).to_le_bytes());
    to.extend_from_slice(text.as_bytes());
}

fn put_value(to: &mut Vec<u8>, value: &Value) {
    to.extend_from_slice(&value.type_id().to_le_bytes());
    match value {
        Value::U8(n) => to.extend_from_slice(&n.to_le_bytes()),
        Value::I8(n) => to.extend_from_slice(&n.to_le_bytes()),
        Value::U16(n) => to.extend_from_slice(&n.to_le_bytes()),
        Value::I16(n) => to.extend_from_slice(&n.to_le_bytes()),
        Value::U32(n) => to.extend_from_slice(&n.to_le_bytes()),
        Value::I32(n) => to.extend_from_slice(&n.to_le_bytes()),
        Value::F32(n) => to.extend_from_slice(&n.to_le_bytes()),
        Value::Bool(flag) => to.push((*flag).into()),
        Value::String(text) => put_string(to, text),
        Value::Array(array) => put_array(to, array),
        Value::U64(n) => to.extend_from_slice(&n.to_le_bytes()),
        Value::I64(n) => to.extend_from_slice(&n.to_le_bytes()),
        Value::F64(n) => to.extend_from_slice(&n.to_le_bytes()),
    }
}

fn put_array(to: &mut Vec<u8>, array: &Array) {
    to.extend_from_slice(&array.element_id().to_le_bytes());
    to.extend_from_slice(&(array.len() as u64).to_le_bytes());
    match array {
        Array::U8(all) => to.extend_from_slice(all),
        Array::I8(all) => to.extend(all.iter().flat_map(|n| n.to_le_bytes())),
        Array::U16(all) => to.extend(all.iter().flat_map(|n| n.to_le_bytes())),
        Array::I16(all) => to.extend(all.iter().flat_map(|n| n.to_le_bytes())),
        Array::U32(all) => to.extend(all.iter().flat_map(|n| n.to_le_bytes())),
        Array::I32(all) => to.extend(all.iter().flat_map(|n| n.to_le_bytes())),
        Array::F32(all) => to.extend(all.iter().flat_map(|n| n.to_le_bytes())),
        Array::Bool(all) => to.extend(all.iter().map(|&flag| u8::from(flag))),
        Array::String(all) => all.iter().for_each(|text| put_string(to, text)),
        Array::Array(all) => all.iter().for_each(|array| put_array(to, array)),
        Array::U64(all) => to.extend(all.iter().flat_map(|n| n.to_le_bytes())),
        Array::I64(all) => to.extend(all.iter().flat_map(|n| n.to_le_bytes())),
        Array::F64(all) => to.extend(all.iter().flat_map(|n| n.to_le_bytes())),
    }
}
