//! The metadata of a file: keys in their order, and typed ways to ask for one.

use std::collections::HashMap;

use super::value::{Array, Strings, Value};

/// Key and value pairs in the order of the file, found by key.
///
/// Writers differ in the width and sign they choose for a number, so the questions ask for a kind
/// (a count, a number, a text) and take every width that holds it without loss.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    by_key: HashMap<String, usize>,
}

/// A key that is missing or holds something else than was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The key is not in the file.
    #[error(
        "the model file has no `{0}`, which is needed to run it; it may be of an unusual kind or \
         badly converted"
    )]
    Missing(String),
    /// The key's value has another type.
    #[error("`{key}` in the model file is of type {found}, but must be {wanted}")]
    Type {
        /// The key.
        key: String,
        /// What was asked for, in words.
        wanted: &'static str,
        /// The type in the file.
        found: String,
    },
    /// The value is of the right type but cannot be meant.
    #[error("`{key}` in the model file is {value}, but must be {wanted}")]
    Value {
        /// The key.
        key: String,
        /// The value, in words.
        value: String,
        /// What it must be.
        wanted: String,
    },
}

impl Metadata {
    /// Sets `key`; a key that is there keeps its place.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        match self.by_key.get(&key) {
            Some(&at) => self.entries[at].1 = value,
            None => {
                self.by_key.insert(key.clone(), self.entries.len());
                self.entries.push((key, value));
            }
        }
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.by_key.get(key).map(|&at| &self.entries[at].1)
    }

    /// All pairs, in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + '_ {
        self.entries
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A whole number that is not negative, of any width.
    pub fn count(&self, key: &str) -> Result<Option<u64>, MetadataError> {
        self.ask(key, "a whole number, 0 or more", |value| match *value {
            Value::U8(n) => Some(n.into()),
            Value::U16(n) => Some(n.into()),
            Value::U32(n) => Some(n.into()),
            Value::U64(n) => Some(n),
            Value::I8(n) => n.try_into().ok(),
            Value::I16(n) => n.try_into().ok(),
            Value::I32(n) => n.try_into().ok(),
            Value::I64(n) => n.try_into().ok(),
            _ => None,
        })
    }

    /// A number of any kind.
    pub fn number(&self, key: &str) -> Result<Option<f64>, MetadataError> {
        self.ask(key, "a number", |value| match *value {
            Value::F32(n) => Some(n.into()),
            Value::F64(n) => Some(n),
            Value::U8(n) => Some(n.into()),
            Value::U16(n) => Some(n.into()),
            Value::U32(n) => Some(n.into()),
            Value::I8(n) => Some(n.into()),
            Value::I16(n) => Some(n.into()),
            Value::I32(n) => Some(n.into()),
            _ => None,
        })
    }

    /// Yes or no.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, MetadataError> {
        self.ask(key, "true or false", |value| match *value {
            Value::Bool(flag) => Some(flag),
            _ => None,
        })
    }

    /// A text.
    pub fn text(&self, key: &str) -> Result<Option<&str>, MetadataError> {
        self.ask(key, "a text", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A list of any kind.
    pub fn array(&self, key: &str) -> Result<Option<&Array>, MetadataError> {
        self.ask(key, "a list", |value| match value {
            Value::Array(array) => Some(array),
            _ => None,
        })
    }

    /// A list of texts.
    pub fn strings(&self, key: &str) -> Result<Option<&Strings>, MetadataError> {
        self.ask(key, "a list of texts", |value| match value {
            Value::Array(Array::String(strings)) => Some(strings),
            _ => None,
        })
    }

    fn ask<'a, T>(
        &'a self,
        key: &str,
        wanted: &'static str,
        take: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, MetadataError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match take(value) {
            Some(taken) => Ok(Some(taken)),
            None => Err(MetadataError::Type {
                key: key.to_owned(),
                wanted,
                found: match value {
                    Value::Array(array) => format!("array of {}", array.element_type()),
                    other => other.type_name().to_owned(),
                },
            }),
        }
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Metadata {
        let mut metadata = Metadata::default();
        for (key, value) in pairs {
            metadata.insert(key, value);
        }
        metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_take_every_width_that_loses_nothing() {
        let metadata: Metadata = [
            ("u8", Value::from(7u8)),
            ("i64", 7i64.into()),
            ("negative", (-7i32).into()),
            ("u64", u64::MAX.into()),
            ("f32", 0.5f32.into()),
            ("flag", true.into()),
            ("text", "seven".into()),
            ("list", vec![7u32].into()),
        ]
        .into_iter()
        .collect();
        assert_eq!(metadata.count("u8"), Ok(Some(7)));
        assert_eq!(metadata.count("i64"), Ok(Some(7)));
        assert_eq!(metadata.count("u64"), Ok(Some(u64::MAX)));
        assert_eq!(metadata.count("none"), Ok(None));
        assert!(metadata.count("negative").is_err() && metadata.count("f32").is_err());
        assert_eq!(metadata.number("negative"), Ok(Some(-7.0)));
        assert_eq!(metadata.number("f32"), Ok(Some(0.5)));
        // Not every 64-bit number is one in floating point.
        assert!(metadata.number("u64").is_err());
        assert_eq!(metadata.flag("flag"), Ok(Some(true)));
        assert_eq!(metadata.text("text"), Ok(Some("seven")));
        let error = metadata.text("list").unwrap_err().to_string();
        assert_eq!(
            error,
            "`list` in the model file is of type array of u32, but must be a text"
        );
    }

    #[test]
    fn a_key_keeps_its_place_when_it_is_set_anew() {
        let mut metadata: Metadata = [("a", 1u8), ("b", 2)].into_iter().collect();
        metadata.insert("a", "new");
        let keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
        assert_eq!((keys, metadata.len()), (vec!["a", "b"], 2));
        assert_eq!(metadata.text("a"), Ok(Some("new")));
    }
}
