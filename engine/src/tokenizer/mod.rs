//! Text to token ids and back, from what a model file says about its vocabulary.
//!
//! Four kinds of models: byte-level BPE (`gpt2`, `gemma4`), SentencePiece (`llama`), WordPiece
//! (`bert`) and Unigram (`t5`). All give the ids that ggml-org/llama.cpp gives for the same file.
//!
//! Encoding: the text is cut at special tokens ([`Encode::parse_special`]), the parts between are
//! encoded by the model, and begin and end tokens are added where the file wants them
//! ([`Encode::add_special`]).

mod bpe;
mod decode;
mod lexicon;
mod partition;
mod special;
mod split;
mod spm;
mod trie;
mod unigram;
mod vocabulary;
mod wordpiece;

use crate::gguf::{Array, Metadata, MetadataError, Strings};

pub use decode::{Decode, Decoder};
pub use special::Special;
pub use vocabulary::Kind;

use bpe::Bpe;
use lexicon::Lexicon;
use partition::{Part, Partition};
use split::Splitter;
use spm::Spm;
use unigram::{Charsmap, Normaliser, Unigram};
use vocabulary::Vocabulary;
use wordpiece::WordPiece;

/// A vocabulary and the way to use it. Cheap to share between threads, not cheap to clone.
#[derive(Clone)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    /// For each token the bytes it stands for in a text.
    pieces: Lexicon,
    special: Special,
    ends: Vec<u32>,
    partition: Partition,
    model: Model,
    adds: Adds,
    model_name: String,
    pre: String,
}

#[derive(Clone)]
enum Model {
    Bpe(Box<Bpe>),
    Spm(Spm),
    WordPiece(WordPiece),
    Unigram(Box<Unigram>),
}

/// What is put around and into a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
struct Adds {
    bos: bool,
    eos: bool,
    sep: bool,
    space_prefix: bool,
    spaces_marked: bool,
    clean_spaces: bool,
}

/// How to encode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encode {
    /// Add begin and end tokens where the model wants them.
    pub add_special: bool,
    /// Take control tokens in the text for what they mean. Without it a text that holds `<|eot|>`
    /// or the like is only text, which is right for what a stranger wrote.
    pub parse_special: bool,
}

impl Encode {
    /// A whole prompt, as a chat template writes it: control tokens count, begin and end are added.
    pub const PROMPT: Encode = Encode {
        add_special: true,
        parse_special: true,
    };
    /// Plain text, nothing added.
    pub const TEXT: Encode = Encode {
        add_special: false,
        parse_special: false,
    };
}

/// Why a file's tokenizer cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A key has the wrong type or value.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// A key that is needed is not there.
    #[error("the model file has no `{0}`, so text cannot be turned into tokens with it")]
    Missing(&'static str),
    /// `tokenizer.ggml.model` is not known.
    #[error(
        "the model file has a tokenizer of the kind `{0}`; supported are `gpt2` and `gemma4` \
         (byte-pair encoding), `llama` (SentencePiece), `bert` (WordPiece) and `t5` (Unigram)"
    )]
    Model(String),
    /// `tokenizer.ggml.pre` is not known.
    #[error(
        "the model file cuts text into words in a way called `{0}`, which is not known here; \
         known are {known}", known = known_kinds()
    )]
    Pre(String),
    /// The vocabulary has no token.
    #[error("the model file's vocabulary is empty")]
    Empty,
    /// More tokens than ids.
    #[error("the model file's vocabulary has {0} tokens, more than ids can count")]
    TooMany(usize),
    /// A token's text is absurdly long.
    #[error("token {index} of the model file has {len} bytes; at most {most} can be meant")]
    Long {
        /// The token.
        index: usize,
        /// Its bytes.
        len: usize,
        /// The limit.
        most: usize,
    },
    /// A list has fewer entries than there are tokens.
    #[error("`{key}` in the model file has {len} entries for {count} tokens")]
    Short {
        /// The key.
        key: &'static str,
        /// Entries.
        len: usize,
        /// Tokens.
        count: usize,
    },
    /// A list holds something else than numbers.
    #[error("`{key}` in the model file is an array of {found}, but must be one of numbers")]
    NotNumbers {
        /// The key.
        key: &'static str,
        /// The type in the file.
        found: &'static str,
    },
    /// A merge is not a pair.
    #[error("merge {index} of the model file's tokenizer, `{text}`, is not a pair of texts")]
    Merge {
        /// Its place in the list.
        index: usize,
        /// Its text, shortened.
        text: String,
    },
    /// A score is not a number.
    #[error("the score of token {index} in the model file is not a number")]
    Score {
        /// The token.
        index: usize,
    },
    /// A token has to be added that does not exist.
    #[error("the model file wants a {0} token around each text, but has none")]
    NoToken(&'static str),
    /// The normalisation table is damaged.
    #[error("`tokenizer.ggml.precompiled_charsmap` in the model file is damaged: {0}")]
    Charsmap(&'static str),
    /// The special tokens are too many to search for.
    #[error("the model file's special tokens are too many or too long to search for")]
    Special,
}

fn known_kinds() -> String {
    let names: Vec<&str> = split::names().filter(|name| !name.is_empty()).collect();
    names.join(", ")
}

impl Tokenizer {
    /// Builds the tokenizer that the file's `tokenizer.ggml.*` keys describe.
    pub fn from_metadata(metadata: &Metadata) -> Result<Tokenizer, Error> {
        const MODEL: &str = "tokenizer.ggml.model";
        let name = metadata.text(MODEL)?.ok_or(Error::Missing(MODEL))?;
        let mut vocabulary = Vocabulary::read(metadata)?;
        let (model, mut special, mut adds) = match name {
            "gpt2" | "gemma4" => bpe(metadata, &vocabulary, name)?,
            "llama" => spm(&vocabulary)?,
            "bert" => wordpiece(metadata, &vocabulary)?,
            "t5" => unigram(metadata, &vocabulary)?,
            other => return Err(Error::Model(other.chars().take(64).collect())),
        };
        let flag = |key: &str, default| {
            let value = metadata.flag(&format!("tokenizer.ggml.{key}"))?;
            Ok::<bool, MetadataError>(value.unwrap_or(default))
        };
        let force_bos = matches!(&model, Model::Bpe(bpe) if bpe.options().force_bos);
        adds.space_prefix = flag("add_space_prefix", adds.space_prefix)?;
        adds.bos = flag("add_bos_token", adds.bos)? || force_bos;
        adds.eos = flag("add_eos_token", adds.eos)?;
        adds.sep = flag("add_sep_token", adds.sep)?;
        let ends = special.read(metadata, &mut vocabulary)?;
        let missing = [
            (adds.bos && special.bos.is_none(), "begin-of-text"),
            (adds.eos && special.eos.is_none(), "end-of-text"),
        ];
        if let Some((_, which)) = missing.into_iter().find(|&(missing, _)| missing) {
            return Err(Error::NoToken(which));
        }
        let model = match model {
            // Which token is the unknown one is known only now.
            Model::Spm(_) => Model::Spm(Spm::new(
                &vocabulary.texts,
                &vocabulary.scores,
                special.unknown,
            )?),
            Model::WordPiece(_) => {
                if special.bos.is_none() || special.separator.is_none() {
                    return Err(Error::NoToken("class or separator"));
                }
                Model::WordPiece(new_wordpiece(metadata, &vocabulary, special.unknown)?)
            }
            other => other,
        };
        Ok(Tokenizer {
            pieces: decode::pieces(&vocabulary, &model, adds.spaces_marked),
            partition: Partition::new(&vocabulary, metadata)?,
            pre: metadata
                .text("tokenizer.ggml.pre")?
                .unwrap_or_default()
                .to_owned(),
            model_name: name.to_owned(),
            vocabulary,
            special,
            ends,
            model,
            adds,
        })
    }

    /// The ids of `text`.
    pub fn encode(&self, text: &str, how: Encode) -> Vec<u32> {
        let mut out = Vec::with_capacity(text.len() / 3 + 2);
        let always = matches!(self.model, Model::WordPiece(_));
        if how.add_special && (self.adds.bos || always) {
            out.extend(self.special.bos);
        }
        let mut after_special = true;
        for part in self.partition.cut(text, how.parse_special) {
            match part {
                Part::Text(text) => {
                    self.encode_part(text, after_special, &mut out);
                    after_special = false;
                }
                Part::Token(id) => {
                    out.push(id);
                    after_special = true;
                }
            }
        }
        if how.add_special {
            out.extend(match always {
                true => self.special.separator,
                false => self.special.eos.filter(|_| self.adds.eos),
            });
        }
        out
    }

    fn encode_part(&self, text: &str, after_special: bool, out: &mut Vec<u32>) {
        match &self.model {
            Model::Bpe(bpe) if self.adds.spaces_marked => {
                bpe.encode(&text.replace(' ', spm::SPACE), out);
            }
            Model::Bpe(bpe) => bpe.encode(text, out),
            Model::Spm(spm) => {
                let prefix = match self.adds.space_prefix && after_special {
                    true => spm::SPACE,
                    false => "",
                };
                let text = format!("{prefix}{}", text.replace(' ', spm::SPACE));
                spm.encode(&self.vocabulary.texts, &self.vocabulary.scores, &text, out);
            }
            Model::WordPiece(wordpiece) => wordpiece.encode(text, out),
            Model::Unigram(unigram) => unigram.encode(text, out),
        }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.vocabulary.len()
    }

    /// Whether there is no token. Never true, since such a file is refused.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens with a meaning.
    pub fn special(&self) -> &Special {
        &self.special
    }

    /// Whether the token ends a generation.
    pub fn is_end(&self, id: u32) -> bool {
        self.ends.binary_search(&id).is_ok()
    }

    /// The tokens that end a generation, in ascending order.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Whether [`Encode::add_special`] puts the begin-of-text token before a text.
    pub fn adds_bos(&self) -> bool {
        self.adds.bos || matches!(self.model, Model::WordPiece(_))
    }

    /// Whether two texts given together have a separator between them.
    pub fn adds_separator(&self) -> bool {
        self.adds.sep
    }

    /// What the token is for; `None` for an id that does not exist.
    pub fn kind(&self, id: u32) -> Option<Kind> {
        self.vocabulary.kinds.get(id as usize).copied()
    }

    /// The token's text as the file writes it, escapes and all.
    pub fn text(&self, id: u32) -> Option<&str> {
        ((id as usize) < self.len())
            .then(|| std::str::from_utf8(self.vocabulary.texts.bytes(id)).unwrap_or_default())
    }

    /// The token whose text in the file is exactly this.
    pub fn id(&self, text: &str) -> Option<u32> {
        self.vocabulary.texts.find(text.as_bytes())
    }

    /// `tokenizer.ggml.model`.
    pub fn model(&self) -> &str {
        &self.model_name
    }

    /// `tokenizer.ggml.pre`; empty if the file names none.
    pub fn pre(&self) -> &str {
        &self.pre
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("model", &self.model_name)
            .field("pre", &self.pre)
            .field("tokens", &self.len())
            .field("special", &self.special)
            .finish_non_exhaustive()
    }
}

type Parts = (Model, Special, Adds);

fn bpe(metadata: &Metadata, vocabulary: &Vocabulary, model: &str) -> Result<Parts, Error> {
    const MERGES: &str = "tokenizer.ggml.merges";
    let pre = match model {
        "gemma4" => "gemma4",
        _ => metadata.text("tokenizer.ggml.pre")?.unwrap_or_default(),
    };
    let splitter =
        Splitter::named(pre).ok_or_else(|| Error::Pre(pre.chars().take(64).collect()))?;
    let options = splitter.options;
    let none = Strings::default();
    let merges = match metadata.strings(MERGES)? {
        Some(merges) => merges,
        // Made from a list of tokens by rank, which is its own list of merges.
        None if pre == "kimi-k2" => &none,
        None => return Err(Error::Missing(MERGES)),
    };
    let bpe = Bpe::new(&vocabulary.texts, merges, splitter)?;
    let default = (model == "gpt2").then_some(11);
    let special = Special {
        bos: default.filter(|_| !options.no_bos),
        eos: default,
        ..Special::default()
    };
    let adds = Adds {
        bos: options.add_bos,
        sep: options.add_sep,
        spaces_marked: options.spaces_marked,
        clean_spaces: options.clean_spaces,
        ..Adds::default()
    };
    Ok((Model::Bpe(Box::new(bpe)), special, adds))
}

fn spm(vocabulary: &Vocabulary) -> Result<Parts, Error> {
    let special = Special {
        bos: Some(1),
        eos: Some(2),
        unknown: Some(0),
        ..Special::default()
    };
    let adds = Adds {
        bos: true,
        space_prefix: true,
        spaces_marked: true,
        ..Adds::default()
    };
    let model = Spm::new(&vocabulary.texts, &vocabulary.scores, None)?;
    Ok((Model::Spm(model), special, adds))
}

fn wordpiece(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Parts, Error> {
    let special = Special {
        bos: Some(101),
        unknown: Some(100),
        separator: Some(102),
        padding: Some(0),
        mask: Some(103),
        ..Special::default()
    };
    let adds = Adds {
        bos: true,
        sep: true,
        spaces_marked: true,
        clean_spaces: true,
        ..Adds::default()
    };
    let model = new_wordpiece(metadata, vocabulary, special.unknown)?;
    Ok((Model::WordPiece(model), special, adds))
}

fn new_wordpiece(
    metadata: &Metadata,
    vocabulary: &Vocabulary,
    unknown: Option<u32>,
) -> Result<WordPiece, Error> {
    let lowercase = metadata
        .flag("tokenizer.ggml.normalizer.lowercase")?
        .unwrap_or(true);
    let accents = metadata.flag("tokenizer.ggml.normalizer.strip_accents")?;
    let unknown = unknown.ok_or(Error::NoToken("unknown"))?;
    let accents = accents.unwrap_or(lowercase);
    Ok(WordPiece::new(
        &vocabulary.texts,
        unknown,
        lowercase,
        accents,
    ))
}

fn unigram(metadata: &Metadata, vocabulary: &Vocabulary) -> Result<Parts, Error> {
    const CHARSMAP: &str = "tokenizer.ggml.precompiled_charsmap";
    let special = Special {
        eos: Some(1),
        unknown: Some(2),
        padding: Some(0),
        ..Special::default()
    };
    let adds = Adds {
        eos: true,
        spaces_marked: true,
        ..Adds::default()
    };
    let charsmap = match metadata.array(CHARSMAP)? {
        None => None,
        Some(Array::U8(bytes)) => Some(Charsmap::read(bytes)?),
        Some(Array::I8(bytes)) => {
            let bytes: Vec<u8> = bytes.iter().map(|&byte| byte as u8).collect();
            Some(Charsmap::read(&bytes)?)
        }
        Some(other) => {
            return Err(Error::NotNumbers {
                key: CHARSMAP,
                found: other.element_type(),
            });
        }
    };
    let flag = |key: &str| metadata.flag(key).map(Option::unwrap_or_default);
    let normal = Normaliser {
        charsmap,
        add_space_prefix: flag("tokenizer.ggml.add_space_prefix")?,
        remove_extra_whitespaces: flag("tokenizer.ggml.remove_extra_whitespaces")?,
    };
    let known = |&id: &u64| id < vocabulary.len() as u64;
    let unknown = metadata
        .count("tokenizer.ggml.unknown_token_id")?
        .filter(known);
    let unknown = unknown.map(|id| id as u32).or(special.unknown);
    let model = Unigram::new(
        &vocabulary.texts,
        &vocabulary.kinds,
        &vocabulary.scores,
        unknown
            .filter(|&id| known(&id.into()))
            .ok_or(Error::NoToken("unknown"))?,
        normal,
    )?;
    Ok((Model::Unigram(Box::new(model)), special, adds))
}
