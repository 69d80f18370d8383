//! What the commands that run models have in common: options, loading, ids.

mod choice;
mod dialogue;
mod errors;
pub mod interrupts;
mod sampling;
mod stream;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aienv_engine::{
    gguf::File,
    model::{Context, ContextOptions, Model, ModelError},
    ops::{KvType, Products},
    threads::Pool,
    tokenizer::{Error as TokenizerError, Tokenizer},
};
use clap::ValueEnum;

pub use choice::ModelArgs;
pub use dialogue::{Dialogue, Full, Hearing, Speech, Wish};
pub use sampling::{GrammarArgs, SamplingArgs, constraint};
pub use stream::{Stream, tell_timings};

use super::Failure;
use crate::{error::UserError, platform::available_memory, types::parse_bytes};

/// How a model is to be run.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "How the model is run")]
pub struct RunArgs {
    /// Threads that compute; by default one for each core
    #[arg(long, value_name = "N", value_parser = threads_parser())]
    threads: Option<u16>,
    /// Precision of the cache of keys and values
    #[arg(long, value_enum, value_name = "TYPE", default_value_t = CacheType::F16)]
    cache: CacheType,
    /// Memory that weights, cache and work may take together, such as `6GB`; by default what this
    /// machine has available
    #[arg(long, value_name = "SIZE", value_parser = parse_bytes)]
    memory: Option<u64>,
}

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CacheType {
    /// 32 bits
    F32,
    /// 16 bits
    F16,
    /// 8 bits in blocks
    #[value(name = "q8_0")]
    Q8_0,
}

/// How products with the weights are computed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ProductsArg {
    /// In single precision
    Exact,
    /// With vectors rounded to 8 bits, as other engines do: faster
    Quantised,
}

impl From<ProductsArg> for Products {
    fn from(products: ProductsArg) -> Self {
        match products {
            ProductsArg::Exact => Products::Exact,
            ProductsArg::Quantised => Products::Quantised,
        }
    }
}

impl RunArgs {
    /// The threads.
    pub fn pool(&self) -> Arc<Pool> {
        let threads = self.threads.map_or_else(cores, usize::from);
        Arc::new(Pool::new(threads))
    }

    /// A context for `tokens` tokens, if there is memory for it.
    pub fn context(
        &self,
        model: Arc<Model>,
        tokens: usize,
        products: ProductsArg,
    ) -> Result<Context, ModelError> {
        self.context_beside(model, tokens, products, 0)
    }

    /// The same, with `beside` bytes left for something else.
    pub fn context_beside(
        &self,
        model: Arc<Model>,
        tokens: usize,
        products: ProductsArg,
        beside: u64,
    ) -> Result<Context, ModelError> {
        let memory = self.memory.or_else(available_memory);
        let options = ContextOptions {
            tokens,
            kv: match self.cache {
                CacheType::F32 => KvType::F32,
                CacheType::F16 => KvType::F16,
                CacheType::Q8_0 => KvType::Q8_0,
            },
            products: products.into(),
            memory: memory.map(|memory| memory.saturating_sub(beside)),
        };
        Context::new(model, self.pool(), &options)
    }
}

/// Reads a number of threads. No machine has more cores than this, and each thread takes memory.
pub fn threads_parser() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=1024)
}

/// Cores that this process may use; hyper-threads of one core share what computes.
pub fn cores() -> usize {
    let usable = std::thread::available_parallelism().map_or(1, usize::from);
    num_cpus::get_physical().clamp(1, usable)
}

/// Opens a model and finds its weights.
pub fn load(path: &Path) -> Result<Arc<Model>, Failure> {
    let file = File::open(path)?;
    Ok(Arc::new(Model::load(file)?))
}

/// The tokenizer of a file.
pub fn tokenizer(file: &File) -> Result<Arc<Tokenizer>, TokenizerError> {
    Tokenizer::from_metadata(file.metadata()).map(Arc::new)
}

/// The tokenizer of a file, if it has one.
pub fn tokenizer_if_any(file: &File) -> Result<Option<Arc<Tokenizer>>, TokenizerError> {
    match tokenizer(file) {
        Ok(tokenizer) => Ok(Some(tokenizer)),
        Err(TokenizerError::Missing(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Ids of tokens as people type them: `1,2,3` or `1 2 3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids(pub Vec<u32>);

impl std::str::FromStr for Ids {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim().trim_start_matches('[').trim_end_matches(']');
        let words = text.split([',', ' ', '\n', '\t']);
        let ids: Result<Vec<u32>, String> = words
            .filter(|word| !word.is_empty())
            .map(|word| {
                let wrong = || format!("`{word}` is no token id; write ids as `1,2,3`");
                word.parse().map_err(|_| wrong())
            })
            .collect();
        match ids?.as_slice() {
            [] => Err("no token id is given; write ids as `1,2,3`".to_owned()),
            ids => Ok(Self(ids.to_vec())),
        }
    }
}

/// What a person gave to a command that runs models cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A text cannot be read.
    #[error("cannot read {what}")]
    Read {
        /// Where it was to come from.
        what: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file has no vocabulary, and text was given or asked for.
    #[error("the model file has no tokenizer, so it can be given token ids only, and no text")]
    NoTokenizer,
    /// A result was to be written over the model that it comes from.
    #[error("`{}` is the model itself, or a part of it, and would be destroyed", .0.display())]
    OntoModel(PathBuf),
    /// Numbers came out that are none.
    #[error("the model gives results that are not numbers, as a damaged file does")]
    NotNumbers,
    /// Ctrl-C cannot be watched for.
    #[error("cannot watch for Ctrl-C")]
    Interrupts(#[source] std::io::Error),
    /// An id is beyond the vocabulary.
    #[error("there is no token {id}: the vocabulary has {vocabulary}, the first is 0")]
    NoToken {
        /// The id.
        id: u32,
        /// Number of tokens.
        vocabulary: usize,
    },
    /// A file that is to be a JSON schema is none.
    #[error("`{path}` is no JSON schema")]
    Schema {
        /// The file.
        path: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

impl UserError for InputError {
    fn code(&self) -> &'static str {
        match self {
            Self::Read { .. } => "model.input",
            Self::NoTokenizer => "model.tokenizer",
            Self::OntoModel(_) => "model.onto-itself",
            Self::NotNumbers => "model.numbers",
            Self::Interrupts(_) => "model.interrupts",
            Self::NoToken { .. } => "model.token",
            Self::Schema { .. } => "model.schema",
        }
    }

    fn is_usage(&self) -> bool {
        matches!(self, Self::NoToken { .. } | Self::OntoModel(_))
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::OntoModel(_) => Some("name another file for the result".to_owned()),
            Self::NotNumbers => {
                Some("`aienv gguf check FILE` tells which tensors are at fault".to_owned())
            }
            _ => None,
        }
    }
}

/// Refuses ids that a vocabulary does not have.
pub fn check_ids(ids: &[u32], vocabulary: usize) -> Result<(), InputError> {
    match ids.iter().find(|&&id| id as usize >= vocabulary) {
        Some(&id) => Err(InputError::NoToken { id, vocabulary }),
        None => Ok(()),
    }
}

/// A text from a file, or from standard input where the file is not given or `-`.
pub fn read_text(file: Option<&Path>) -> Result<String, InputError> {
    let (what, bytes) = match file.filter(|path| *path != Path::new("-")) {
        Some(path) => (format!("`{}`", path.display()), std::fs::read(path)),
        None => {
            let mut bytes = Vec::new();
            let read = std::io::Read::read_to_end(&mut std::io::stdin(), &mut bytes);
            ("standard input".to_owned(), read.map(|_| bytes))
        }
    };
    let text = bytes.and_then(|bytes| {
        String::from_utf8(bytes).map_err(|error| {
            let problem = format!("it is not UTF-8: {}", error.utf8_error());
            std::io::Error::new(std::io::ErrorKind::InvalidData, problem)
        })
    });
    text.map_err(|source| InputError::Read { what, source })
}

#[cfg(test)]
mod tests {
    use super::Ids;

    #[test]
    fn ids_are_read_as_people_write_them() {
        let ids = |text: &str| text.parse::<Ids>().map(|ids| ids.0);
        assert_eq!(ids("1,2,3"), Ok(vec![1, 2, 3]));
        assert_eq!(ids("[1, 2 ,3]\n"), Ok(vec![1, 2, 3]));
        assert!(ids("").is_err() && ids("1;2").is_err() && ids("-1").is_err());
        assert!(ids("99999999999").is_err());
    }
}
