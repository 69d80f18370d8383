//! The tensors of a model's file, found by name and checked against its configuration.

use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use super::config::Config;
use super::error::ModelError;
use super::layers::{ExpertLinear, Linear};
use crate::gguf::{File, TensorType};
use crate::ops::{Matrix, Norm};
use crate::quant;

/// The bytes of one tensor, kept alive with their file.
struct TensorBytes {
    file: Arc<File>,
    name: String,
}

impl AsRef<[u8]> for TensorBytes {
    fn as_ref(&self) -> &[u8] {
        self.file.tensor(&self.name).map_or(&[], |(_, bytes)| bytes)
    }
}

/// Finds the tensors of a model and checks their shapes.
pub(super) struct Loader<'a> {
    pub file: Arc<File>,
    pub config: &'a Config,
    /// Tensors that have a place in the model.
    pub used: RefCell<HashSet<String>>,
}

impl Loader<'_> {
    pub fn has(&self, name: &str) -> bool {
        self.file.tensor(name).is_some()
    }

    pub fn rows(&self, name: &str) -> Option<usize> {
        self.file.tensor(name).map(|(tensor, _)| tensor.rows())
    }

    pub fn missing(&self, name: String) -> ModelError {
        ModelError::MissingTensor {
            name,
            architecture: self.config.architecture,
        }
    }

    /// The tensor `name`, whose shape must be `shape` but for dimensions of 1 at its end.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<(TensorType, Bytes), ModelError> {
        let (tensor, _) = self
            .file
            .tensor(name)
            .ok_or_else(|| self.missing(name.into()))?;
        let dimensions = tensor.shape.len().max(shape.len());
        let wanted = |i: usize| shape.get(i).map_or(1, |&n| n as u64);
        if (0..dimensions).any(|i| tensor.dim(i) != wanted(i)) {
            return Err(ModelError::Shape {
                name: name.into(),
                found: by(tensor.shape.iter()),
                wanted: by(shape.iter()),
            });
        }
        if is_whole_numbers(tensor.ty) {
            return Err(ModelError::Type {
                name: name.into(),
                ty: tensor.ty.name(),
            });
        }
        self.used.borrow_mut().insert(name.into());
        let bytes = Bytes::from_owner(TensorBytes {
            file: Arc::clone(&self.file),
            name: name.into(),
        });
        Ok((tensor.ty, bytes))
    }

    pub fn matrix(&self, name: &str, columns: usize, rows: usize) -> Result<Matrix, ModelError> {
        let (ty, bytes) = self.tensor(name, &[columns, rows])?;
        Matrix::new(ty, rows, columns, bytes).ok_or_else(|| self.missing(name.into()))
    }

    pub fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let (ty, bytes) = self.tensor(name, shape)?;
        let mut numbers = vec![0.0; shape.iter().product()];
        quant::dequantize(ty, &bytes, &mut numbers);
        Ok(numbers)
    }

    pub fn linear(&self, name: &str, columns: usize, rows: usize) -> Result<Linear, ModelError> {
        Ok(Linear {
            weight: self.matrix(&format!("{name}.weight"), columns, rows)?,
            bias: self.bias(name, &[rows])?,
        })
    }

    pub fn bias(&self, name: &str, shape: &[usize]) -> Result<Option<Vec<f32>>, ModelError> {
        let name = format!("{name}.bias");
        match self.has(&name) {
            true => self.vector(&name, shape).map(Some),
            false => Ok(None),
        }
    }

    pub fn expert_linear(
        &self,
        name: &str,
        columns: usize,
        rows: usize,
        count: usize,
    ) -> Result<ExpertLinear, ModelError> {
        let weight = format!("{name}_exps.weight");
        let alone = |i: usize| format!("{name}.{i}.weight");
        if !self.has(&weight) && self.has(&alone(0)) {
            // Files from before 2024-04 have a tensor for each expert.
            let weights = (0..count).map(|i| self.matrix(&alone(i), columns, rows));
            return Ok(ExpertLinear {
                weights: weights.collect::<Result<_, _>>()?,
                biases: None,
            });
        }
        Ok(ExpertLinear {
            weights: self.matrices(&weight, columns, rows, count)?,
            biases: self.bias(&format!("{name}_exps"), &[rows, count])?,
        })
    }

    /// Matrices that lie in one tensor, one after the other.
    pub fn matrices(
        &self,
        name: &str,
        columns: usize,
        rows: usize,
        count: usize,
    ) -> Result<Vec<Matrix>, ModelError> {
        let (ty, bytes) = self.tensor(name, &[columns, rows, count])?;
        let all = Matrix::new(ty, rows * count, columns, bytes)
            .ok_or_else(|| self.missing(name.into()))?;
        Ok((0..count)
            .map(|i| all.slice(i * rows..(i + 1) * rows))
            .collect())
    }

    pub fn norm(&self, name: &str, width: usize) -> Result<Norm, ModelError> {
        Ok(Norm {
            kind: self.config.norm,
            epsilon: self.config.norm_epsilon,
            group: width,
            weight: self.vector(&format!("{name}.weight"), &[width])?,
            bias: self.bias(name, &[width])?,
        })
    }

    /// Layers behind the last one that is used foretell a further token.
    fn is_of_unused_layer(&self, name: &str) -> bool {
        let rest = name.strip_prefix("blk.");
        let no = rest.and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        no.is_some_and(|no| no >= self.config.layers.len()) && self.config.has_unused_layers
    }

    /// A tensor without a place would be a part of the model that is left out.
    pub fn check_all_used(&self) -> Result<(), ModelError> {
        let used = self.used.borrow();
        // Classifier heads of encoders, and angles that some converters store, change no result.
        let harmless = |name: &str| {
            name.starts_with("cls.")
                || self.is_of_unused_layer(name)
                || name.starts_with("rope_freqs.")
                || name.ends_with(".attn_rot_embd")
                || name.ends_with(".rope_freqs.weight")
        };
        let unknown: Vec<&str> = self
            .file
            .tensors()
            .iter()
            .map(|tensor| tensor.name.as_str())
            .filter(|name| !used.contains(*name) && !harmless(name))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let shown: Vec<&str> = unknown.iter().take(4).copied().collect();
        let more = match unknown.len() - shown.len() {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        Err(ModelError::UnknownTensors {
            architecture: self.config.architecture,
            names: shown.join(", ") + &more,
        })
    }
}

fn is_whole_numbers(ty: TensorType) -> bool {
    use TensorType::{I8, I16, I32, I64};
    matches!(ty, I8 | I16 | I32 | I64)
}

fn by<T: ToString>(shape: impl Iterator<Item = T>) -> String {
    let lengths: Vec<String> = shape.map(|n| n.to_string()).collect();
    format!("[{}]", lengths.join(", "))
}
