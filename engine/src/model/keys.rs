//! Access to the metadata of a model, by its architecture's keys.

use super::error::ModelError;
use super::family::Family;
use crate::gguf::{Array, Metadata, MetadataError, Value};

/// Bounds that no model comes near; they keep products of them within range.
pub(super) const MOST_LAYERS: u64 = 4096;
pub(super) const MOST_WIDTH: u64 = 1 << 22;
pub(super) const MOST_CONTEXT: u64 = 1 << 31;

/// A file's metadata and the architecture it is of.
pub(super) struct Reader<'a> {
    pub metadata: &'a Metadata,
    pub family: &'static Family,
}

impl Reader<'_> {
    pub fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.family.name)
    }

    /// A size up to `most`.
    pub fn size(&self, key: &str, most: u64) -> Result<Option<usize>, ModelError> {
        match self.metadata.count(&self.key(key))? {
            Some(n) if n > most => Err(self.value(key, n, &format!("at most {most}"))),
            Some(n) => Ok(Some(n.try_into().unwrap_or(usize::MAX))),
            None => Ok(None),
        }
    }

    /// A size from 1 to `most` that must be there.
    pub fn required(&self, key: &str, most: u64) -> Result<usize, ModelError> {
        match self.size(key, most)? {
            Some(0) => Err(self.value(key, 0, &format!("1 to {most}"))),
            Some(n) => Ok(n),
            None => Err(MetadataError::Missing(self.key(key)).into()),
        }
    }

    pub fn number(&self, key: &str) -> Result<Option<f32>, ModelError> {
        match self.metadata.number(&self.key(key))? {
            Some(n) if !n.is_finite() => Err(self.value(key, n, "finite")),
            number => Ok(number.map(|n| n as f32)),
        }
    }

    /// Whether the architecture knows a key that only some know.
    pub fn reads(&self, key: &str) -> bool {
        self.family.reads.contains(&key)
    }

    /// A size that only some architectures know, up to `most`.
    pub fn own_size(&self, key: &str, most: u64) -> Result<Option<usize>, ModelError> {
        match self.reads(key) {
            true => self.size(key, most),
            false => Ok(None),
        }
    }

    /// A number that only some architectures know.
    pub fn own_number(&self, key: &str) -> Result<Option<f32>, ModelError> {
        match self.reads(key) {
            true => self.number(key),
            false => Ok(None),
        }
    }

    /// A factor that only some architectures know; 0 stands for the default.
    pub fn own_factor(&self, key: &str, default: f32) -> Result<f32, ModelError> {
        let own = self.own_number(key)?.filter(|&n| n != 0.0);
        Ok(own.unwrap_or(default))
    }

    pub fn flag(&self, key: &str) -> Result<Option<bool>, ModelError> {
        Ok(self.metadata.flag(&self.key(key))?)
    }

    pub fn text(&self, key: &str) -> Result<Option<&str>, ModelError> {
        Ok(self.metadata.text(&self.key(key))?)
    }

    /// One size for all layers, or a list with one each.
    pub fn per_layer(&self, key: &str, count: usize) -> Result<Option<Vec<usize>>, ModelError> {
        let full = self.key(key);
        if let Some(Value::Array(list)) = self.metadata.get(&full) {
            let list = self.list(&full, list, count)?;
            if let Some(&large) = list.iter().find(|&&n| n > MOST_WIDTH) {
                return Err(self.value(key, large, &format!("at most {MOST_WIDTH}")));
            }
            return Ok(Some(list.iter().map(|&n| n as usize).collect()));
        }
        Ok(self.size(key, MOST_WIDTH)?.map(|n| vec![n; count]))
    }

    /// A list of whole numbers with one for each layer.
    pub fn list(&self, key: &str, list: &Array, count: usize) -> Result<Vec<u64>, ModelError> {
        let numbers: Option<Vec<u64>> = match list {
            Array::U8(v) => Some(v.iter().map(|&n| n.into()).collect()),
            Array::U16(v) => Some(v.iter().map(|&n| n.into()).collect()),
            Array::U32(v) => Some(v.iter().map(|&n| n.into()).collect()),
            Array::U64(v) => Some(v.clone()),
            Array::I8(v) => v.iter().map(|&n| n.try_into().ok()).collect(),
            Array::I16(v) => v.iter().map(|&n| n.try_into().ok()).collect(),
            Array::I32(v) => v.iter().map(|&n| n.try_into().ok()).collect(),
            Array::I64(v) => v.iter().map(|&n| n.try_into().ok()).collect(),
            Array::Bool(v) => Some(v.iter().map(|&n| n.into()).collect()),
            _ => None,
        };
        // Some converters pad such lists beyond the last layer.
        match numbers {
            Some(mut numbers) if numbers.len() >= count => {
                numbers.truncate(count);
                Ok(numbers)
            }
            _ => Err(MetadataError::Value {
                key: key.into(),
                value: format!("a list of {} {}", list.len(), list.element_type()),
                wanted: format!("whole numbers, one for each of the {count} layers"),
            }
            .into()),
        }
    }

    pub fn value(&self, key: &str, value: impl ToString, wanted: &str) -> ModelError {
        MetadataError::Value {
            key: self.key(key),
            value: value.to_string(),
            wanted: wanted.into(),
        }
        .into()
    }
}
