//! The tokens of a file: their texts, kinds and scores, and which of them have a special meaning.

use super::Error;
use super::lexicon::Lexicon;
use crate::gguf::{Array, Metadata};

/// What a token is for. The numbers of the file are in the order of the variants, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Not said.
    Undefined,
    /// Ordinary text.
    Normal,
    /// Stands for what the vocabulary cannot write.
    Unknown,
    /// Has a meaning and no text: begin, end, roles.
    Control,
    /// Text that is always taken whole.
    UserDefined,
    /// Reserved.
    Unused,
    /// A single byte.
    Byte,
}

impl Kind {
    fn from_number(number: i64) -> Kind {
        match number {
            1 => Kind::Normal,
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            5 => Kind::Unused,
            6 => Kind::Byte,
            _ => Kind::Undefined,
        }
    }
}

/// Longest text of a token in bytes. Real ones are below a thousand; the limit keeps the time for a
/// text in proportion to its length.
const LONGEST: usize = 8192;

/// Texts, kinds and scores by id.
#[derive(Clone)]
pub(super) struct Vocabulary {
    pub texts: Lexicon,
    pub kinds: Vec<Kind>,
    pub scores: Vec<f32>,
}

impl Vocabulary {
    /// Reads `tokenizer.ggml.tokens`, `.token_type` and `.scores`.
    pub fn read(metadata: &Metadata) -> Result<Vocabulary, Error> {
        const TOKENS: &str = "tokenizer.ggml.tokens";
        let tokens = metadata.strings(TOKENS)?.ok_or(Error::Missing(TOKENS))?;
        if tokens.is_empty() {
            return Err(Error::Empty);
        }
        if u32::try_from(tokens.len()).is_err() {
            return Err(Error::TooMany(tokens.len()));
        }
        let mut texts = Lexicon::default();
        for (index, token) in tokens.iter().enumerate() {
            match token.len() {
                0 => texts.push(format!("[EMPTY_{index}]").as_bytes()),
                1..=LONGEST => texts.push(token.as_bytes()),
                len => {
                    return Err(Error::Long {
                        index,
                        len,
                        most: LONGEST,
                    });
                }
            };
        }
        let kinds = match numbers(metadata, "tokenizer.ggml.token_type", texts.len())? {
            Some(numbers) => numbers
                .map(|number| Kind::from_number(number as i64))
                .collect(),
            None => vec![Kind::Normal; texts.len()],
        };
        let scores = match numbers(metadata, "tokenizer.ggml.scores", texts.len())? {
            Some(numbers) => numbers.map(|number| number as f32).collect(),
            None => vec![0.0; texts.len()],
        };
        Ok(Vocabulary {
            texts,
            kinds,
            scores,
        })
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }
}

/// The list of numbers under `key`, one for each of `count` tokens at least.
fn numbers<'a>(
    metadata: &'a Metadata,
    key: &'static str,
    count: usize,
) -> Result<Option<Box<dyn Iterator<Item = f64> + 'a>>, Error> {
    let Some(array) = metadata.array(key)? else {
        return Ok(None);
    };
    if array.len() < count {
        return Err(Error::Short {
            key,
            len: array.len(),
            count,
        });
    }
    let numbers: Box<dyn Iterator<Item = f64> + 'a> = match array {
        Array::U8(v) => Box::new(v.iter().map(|&n| n.into())),
        Array::I8(v) => Box::new(v.iter().map(|&n| n.into())),
        Array::U16(v) => Box::new(v.iter().map(|&n| n.into())),
        Array::I16(v) => Box::new(v.iter().map(|&n| n.into())),
        Array::U32(v) => Box::new(v.iter().map(|&n| n.into())),
        Array::I32(v) => Box::new(v.iter().map(|&n| n.into())),
        Array::F32(v) => Box::new(v.iter().map(|&n| n.into())),
        Array::F64(v) => Box::new(v.iter().copied()),
        other => {
            return Err(Error::NotNumbers {
                key,
                found: other.element_type(),
            });
        }
    };
    Ok(Some(Box::new(numbers.take(count))))
}
