//! `aienv embed`

use std::path::PathBuf;

use aienv_engine::{model::Pooling, tokenizer::Encode};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::{
    Failure, Outcome,
    engine::{self, Ids, InputError, ProductsArg, RunArgs},
    output,
};
use crate::error::UserError;

/// Tokens there is room for at least, so that short texts are computed together.
const TOGETHER: usize = 512;

pub const AFTER_HELP: &str = "Prints one line of numbers for each text. Models made for it (bert, \
    nomic-bert) and others can be used; how the vectors of a text's tokens become one is said by the \
    file, or by --pooling.";

#[derive(clap::Args)]
pub struct Args {
    /// A model file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The texts; if none is given, each line of standard input is one
    #[arg(value_name = "TEXT", group = "input")]
    texts: Vec<String>,
    /// Take each line of this file for a text
    #[arg(long, value_name = "FILE", group = "input")]
    file: Option<PathBuf>,
    /// Token ids in place of a text, such as `1,2,3` (may be repeated)
    #[arg(long, value_name = "IDS", group = "input")]
    tokens: Vec<Ids>,
    /// How the vectors of a text's tokens become one; by default as the file says, else `mean` for
    /// encoders and `last` for others
    #[arg(long, value_enum, value_name = "HOW")]
    pooling: Option<PoolingArg>,
    /// Leave vectors as long as they come, instead of making their length 1
    #[arg(long, alias = "no-normalize")]
    no_normalise: bool,
    /// How products with the weights are computed
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProductsArg::Exact)]
    products: ProductsArg,
    /// Print the vectors as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    run: RunArgs,
}

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PoolingArg {
    /// Their mean
    Mean,
    /// The first one's
    Cls,
    /// The last one's
    Last,
}

impl From<PoolingArg> for Pooling {
    fn from(pooling: PoolingArg) -> Self {
        match pooling {
            PoolingArg::Mean => Pooling::Mean,
            PoolingArg::Cls => Pooling::Cls,
            PoolingArg::Last => Pooling::Last,
        }
    }
}

/// A text that has no vector.
#[derive(Debug, thiserror::Error)]
enum TextError {
    #[error("text {number} has {tokens} tokens, but the model knows texts of up to {known}")]
    TooLong {
        number: usize,
        tokens: usize,
        known: usize,
    },
    #[error("text {number} is empty")]
    Empty { number: usize },
}

impl UserError for TextError {
    fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "model.text-too-long",
            Self::Empty { .. } => "model.text-empty",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooLong { .. } => Some("divide it into shorter ones".to_owned()),
            Self::Empty { .. } => None,
        }
    }
}

pub fn run(args: &Args) -> Outcome {
    let model = engine::load(&args.model)?;
    let ids = match args.tokens.as_slice() {
        [] => {
            let tokenizer = engine::tokenizer_if_any(model.file())?;
            let tokenizer = tokenizer.ok_or(InputError::NoTokenizer)?;
            let how = Encode {
                add_special: true,
                parse_special: false,
            };
            let texts = texts(args)?;
            texts.iter().map(|t| tokenizer.encode(t, how)).collect()
        }
        given => given.iter().map(|ids| ids.0.clone()).collect::<Vec<_>>(),
    };
    let (known, vocabulary) = (model.config().context, model.config().vocabulary);
    for (number, ids) in (1..).zip(&ids) {
        engine::check_ids(ids, vocabulary)?;
        let tokens = ids.len();
        if tokens > known {
            let error = TextError::TooLong {
                number,
                tokens,
                known,
            };
            return Err(error.into());
        }
        if tokens == 0 {
            return Err(TextError::Empty { number }.into());
        }
    }
    let longest = ids.iter().map(Vec::len).max().unwrap_or(0);
    let room = longest.max(TOGETHER.min(known));
    let mut context = args.run.context(model, room, args.products)?;
    let lists: Vec<&[u32]> = ids.iter().map(Vec::as_slice).collect();
    let pooling = args.pooling.map(Pooling::from);
    let vectors = context.embed(&lists, pooling, !args.no_normalise)?;
    if vectors.iter().flatten().any(|number| !number.is_finite()) {
        return Err(InputError::NotNumbers.into());
    }
    match args.json {
        true => output::json(&as_json(&ids, &vectors)),
        false => output::print(&lines(&vectors)),
    }
}

fn texts(args: &Args) -> Result<Vec<String>, Failure> {
    if !args.texts.is_empty() {
        return Ok(args.texts.clone());
    }
    let all = engine::read_text(args.file.as_deref())?;
    Ok(all.lines().map(str::to_owned).collect())
}

fn as_json(ids: &[Vec<u32>], vectors: &[Vec<f32>]) -> Value {
    let each = ids.iter().zip(vectors);
    let each: Vec<Value> = each
        .map(|(ids, vector)| json!({"tokens": ids.len(), "embedding": vector}))
        .collect();
    json!({
        "dimensions": vectors.first().map_or(0, Vec::len),
        "embeddings": each,
    })
}

fn lines(vectors: &[Vec<f32>]) -> String {
    let line = |vector: &Vec<f32>| {
        let numbers: Vec<String> = vector.iter().map(f32::to_string).collect();
        numbers.join(" ") + "\n"
    };
    vectors.iter().map(line).collect()
}
