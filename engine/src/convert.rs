//! A model written anew with its matrices in another type.
//!
//! What is made smaller, and what is not, follows common practice: matrices that vectors are
//! multiplied by and the table of embeddings are; vectors (norms, biases), routers of experts,
//! learned positions and token types, which are small and matter much, stay as they are. The matrix
//! that makes the scores gets at least 6 bits.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::gguf::{File, Metadata, Tensor, TensorType, WriteError, Writer};
use crate::quant::{QUANTIZABLE, QuantizeError, dequantize, quantize};
use crate::threads::Pool;

/// Numbers that are converted at a time: 32 MB of them.
const SLAB: usize = 8 << 20;
/// Numbers that a thread takes at a time.
const CHUNK: usize = 1 << 16;

/// Why a model cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The type can be read but not made.
    #[error(transparent)]
    Type(QuantizeError),
    /// There is nothing to convert.
    #[error("the file holds a vocabulary only, no weights, so there is nothing to convert")]
    NoWeights,
    /// A tensor has numbers that blocks cannot hold.
    #[error(
        "tensor `{tensor}` holds numbers that are infinite or none, which {ty} cannot store; the \
         file may be damaged or badly converted"
    )]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// The type that it was to get.
        ty: TensorType,
    },
    /// The result cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// What becomes of a model: each tensor with the type it will have.
#[derive(Debug)]
pub struct Conversion<'f> {
    file: &'f File,
    tensors: Vec<(&'f Tensor, TensorType)>,
    ty: TensorType,
}

impl<'f> Conversion<'f> {
    /// Settles the types for a model whose matrices are to be of type `ty`.
    ///
    /// # Errors
    ///
    /// The type cannot be made, or the file has no tensors.
    pub fn new(file: &'f File, ty: TensorType) -> Result<Conversion<'f>, ConvertError> {
        if !QUANTIZABLE.contains(&ty) {
            return Err(ConvertError::Type(QuantizeError::Type(ty)));
        }
        if file.tensors().is_empty() {
            return Err(ConvertError::NoWeights);
        }
        let tied = file.tensor("output.weight").is_none();
        let tensors = file
            .tensors()
            .iter()
            .map(|tensor| (tensor, new_type(tensor, ty, tied)))
            .collect();
        Ok(Conversion { file, tensors, ty })
    }

    /// Each tensor with its new type, in the order of the file.
    pub fn tensors(&self) -> &[(&'f Tensor, TensorType)] {
        &self.tensors
    }

    /// Tensors that lose a second time, since they are in blocks already.
    pub fn twice(&self) -> usize {
        let lossy = |ty: TensorType| ty.block_len() > 1;
        let twice = self
            .tensors
            .iter()
            .filter(|(tensor, ty)| lossy(tensor.ty) && lossy(*ty) && tensor.ty != *ty);
        twice.count()
    }

    /// Writes the model, in one file. `done` is called with the bytes read so far, after each
    /// stretch.
    ///
    /// # Errors
    ///
    /// `out` cannot be written to, or a number cannot be converted.
    pub fn write(
        &self,
        pool: &Pool,
        out: impl Write,
        done: &mut dyn FnMut(u64),
    ) -> Result<(), ConvertError> {
        let mut writer = Writer::new(self.metadata());
        for (tensor, ty) in &self.tensors {
            writer
                .declare(&tensor.name, &tensor.shape, *ty)
                .map_err(WriteError::Flaw)?;
        }
        let mut body = writer.begin(out)?;
        let mut read = 0;
        let mut blocks = Vec::new();
        for &(tensor, ty) in &self.tensors {
            // The reader made sure that it is there.
            let data = self.file.data(tensor).unwrap_or_default();
            let rows = (SLAB / tensor.row_len()).max(1);
            for slab in data.chunks(rows * tensor.row_bytes()) {
                if ty == tensor.ty {
                    body.append(slab)?;
                } else {
                    convert(pool, tensor, slab, ty, &mut blocks)?;
                    body.append(&blocks)?;
                }
                read += slab.len() as u64;
                done(read);
            }
        }
        body.finish()?;
        Ok(())
    }

    /// The metadata of the whole, in one file, with the number by which other programs know its
    /// type (`llama_ftype` of llama.cpp).
    fn metadata(&self) -> Metadata {
        let mut metadata = Metadata::default();
        for (key, value) in self.file.metadata().iter() {
            if !key.starts_with("split.") {
                metadata.insert(key, value.clone());
            }
        }
        let file_type = match self.ty {
            TensorType::F32 => Some(0u32),
            TensorType::F16 => Some(1),
            TensorType::Q4_0 => Some(2),
            TensorType::Q8_0 => Some(7),
            TensorType::Q4_K => Some(14),
            TensorType::Q5_K => Some(16),
            TensorType::Q6_K => Some(18),
            TensorType::BF16 => Some(32),
            _ => None,
        };
        if let Some(file_type) = file_type {
            metadata.insert("general.file_type", file_type);
        }
        metadata.insert("general.quantization_version", 2u32);
        metadata
    }
}

/// The type that a tensor gets.
fn new_type(tensor: &Tensor, ty: TensorType, tied: bool) -> TensorType {
    const KEPT: [&str; 5] = [
        "_norm.weight",
        "ffn_gate_inp.weight",
        "ffn_gate_inp_shexp.weight",
        "position_embd.weight",
        "token_types.weight",
    ];
    let name = tensor.name.as_str();
    let matrix = tensor.shape.len() >= 2 && name.ends_with(".weight");
    let whole_numbers = matches!(
        tensor.ty,
        TensorType::I8 | TensorType::I16 | TensorType::I32 | TensorType::I64
    );
    if !matrix || whole_numbers || KEPT.iter().any(|end| name.ends_with(end)) {
        return tensor.ty;
    }
    let makes_scores = name == "output.weight" || (tied && name == "token_embd.weight");
    let wanted = match makes_scores && ty.bits_per_weight() < TensorType::Q6_K.bits_per_weight() {
        true => TensorType::Q6_K,
        false => ty,
    };
    // Rows that are not whole blocks.
    let row = tensor.row_len();
    let fits = |ty: &TensorType| row.is_multiple_of(ty.block_len());
    let new = [wanted, TensorType::Q8_0, TensorType::F16]
        .into_iter()
        .find(fits)
        .unwrap_or(tensor.ty);
    // More bits than a number in blocks has would make it larger and no better.
    match tensor.ty.block_len() > 1 && new.bits_per_weight() >= tensor.ty.bits_per_weight() {
        true if new.block_len() > 1 => tensor.ty,
        _ => new,
    }
}

/// Converts whole rows.
fn convert(
    pool: &Pool,
    tensor: &Tensor,
    from: &[u8],
    ty: TensorType,
    to: &mut Vec<u8>,
) -> Result<(), ConvertError> {
    let row = tensor.row_len();
    let rows = from.len() / tensor.row_bytes();
    to.clear();
    to.resize(rows * ty.row_bytes(row), 0);
    let at_once = (CHUNK / row).max(1);
    let chunks: Vec<Mutex<(&[u8], &mut [u8])>> = from
        .chunks(at_once * tensor.row_bytes())
        .zip(to.chunks_mut(at_once * ty.row_bytes(row)))
        .map(Mutex::new)
        .collect();
    let failed = AtomicBool::new(false);
    pool.run(chunks.len(), &|i| {
        // Each is taken once.
        let mut chunk = chunks[i].lock().unwrap_or_else(PoisonError::into_inner);
        let (from, to) = &mut *chunk;
        let mut numbers = vec![0.0; from.len() / tensor.row_bytes() * row];
        dequantize(tensor.ty, from, &mut numbers);
        if quantize(ty, &numbers, to).is_err() {
            failed.store(true, Ordering::Relaxed);
        }
    });
    match failed.into_inner() {
        true => Err(ConvertError::NotFinite {
            tensor: tensor.name.clone(),
            ty,
        }),
        false => Ok(()),
    }
}
