//! Options that say how tokens are chosen, and what the output must follow.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aienv_engine::{
    sample::{Constraints, Grammar, Options},
    tokenizer::Tokenizer,
};

use super::{InputError, check_ids, read_text};
use crate::cli::Failure;

/// How tokens are chosen. Defaults are those of llama.cpp.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "How tokens are chosen")]
pub struct SamplingArgs {
    /// Below 1 likelier tokens, above 1 more variety; 0 always the likeliest one. By default 0.8, and
    /// 0 with --demo
    #[arg(long, value_name = "X", value_parser = not_negative, allow_negative_numbers = true)]
    temp: Option<f32>,
    /// Choose among this many of the likeliest tokens; 0 for all
    #[arg(
        long,
        value_name = "N",
        default_value_t = 40,
        allow_negative_numbers = true
    )]
    top_k: usize,
    /// Choose among the likeliest tokens that together have this probability; 1 for all
    #[arg(long, value_name = "P", default_value_t = 0.95, value_parser = share, allow_negative_numbers = true)]
    top_p: f32,
    /// Choose among tokens with at least this share of the likeliest one's probability; 0 for all
    #[arg(long, value_name = "P", default_value_t = 0.05, value_parser = share, allow_negative_numbers = true)]
    min_p: f32,
    /// Choose among the most typical tokens that together have this probability; 1 for all
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = share, allow_negative_numbers = true)]
    typical: f32,
    /// Where random numbers start; the same seed gives the same output. By default another each time
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Above 1 against tokens that occurred already
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = positive, allow_negative_numbers = true)]
    repeat_penalty: f32,
    /// How many of the last tokens the penalties look at
    #[arg(
        long,
        value_name = "N",
        default_value_t = 64,
        allow_negative_numbers = true
    )]
    repeat_last: usize,
    /// Above 0 against tokens that occurred already, however often
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = finite, allow_negative_numbers = true)]
    presence_penalty: f32,
    /// Above 0 against tokens that occurred already, for each time
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = finite, allow_negative_numbers = true)]
    frequency_penalty: f32,
    /// Above 0 against repeating stretches of text (DRY)
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = not_negative, allow_negative_numbers = true)]
    dry: f32,
    /// Add this to the score of a token, such as `15=-2.5`; `15=-inf` forbids it (may be repeated)
    #[arg(long, value_name = "ID=X", value_parser = bias)]
    logit_bias: Vec<(u32, f32)>,
}

fn number(text: &str, wanted: &str, fits: impl Fn(f32) -> bool) -> Result<f32, String> {
    let number = text.parse().ok().filter(|&number| fits(number));
    number.ok_or_else(|| format!("it must be {wanted}"))
}

fn finite(text: &str) -> Result<f32, String> {
    number(text, "a number", f32::is_finite)
}

fn not_negative(text: &str) -> Result<f32, String> {
    let fits = |number: f32| number.is_finite() && number >= 0.0;
    number(text, "a number, 0 or more", fits)
}

fn positive(text: &str) -> Result<f32, String> {
    let fits = |number: f32| number.is_finite() && number > 0.0;
    number(text, "a number above 0", fits)
}

fn share(text: &str) -> Result<f32, String> {
    number(text, "a number from 0 to 1", |number| {
        (0.0..=1.0).contains(&number)
    })
}

fn bias(text: &str) -> Result<(u32, f32), String> {
    let parsed = text.split_once('=').and_then(|(id, number)| {
        let number: f32 = number.trim().parse().ok()?;
        let possible = number.is_finite() || number == f32::NEG_INFINITY;
        Some((id.trim().parse().ok()?, number)).filter(|_| possible)
    });
    parsed.ok_or_else(|| "it must be a token's id, `=` and a number or -inf".to_owned())
}

/// The temperature, where none is asked for.
const TEMPERATURE: f32 = 0.8;

impl SamplingArgs {
    /// Whether they can be for a model with a vocabulary of this size.
    pub fn check(&self, vocabulary: usize) -> Result<(), InputError> {
        let ids: Vec<u32> = self.logit_bias.iter().map(|&(id, _)| id).collect();
        check_ids(&ids, vocabulary)
    }

    /// The options; where no seed is given, a new one. `demo`: they are for the demonstration model,
    /// which knows one answer to a question.
    pub fn options(&self, demo: bool) -> Options {
        let mut options = Options {
            temperature: self.temp.unwrap_or(if demo { 0.0 } else { TEMPERATURE }),
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            typical: self.typical,
            penalty_last: self.repeat_last,
            repeat_penalty: self.repeat_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            // Seeds of 53 bits survive every JSON reader.
            bias: self.logit_bias.iter().copied().collect(),
            seed: self.seed.unwrap_or_else(|| fastrand::u64(..1 << 53)),
            ..Options::default()
        };
        options.dry.multiplier = self.dry;
        options
    }
}

/// What the output must follow.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "What the output must follow")]
#[group(multiple = false)]
pub struct GrammarArgs {
    /// A file with a JSON schema
    #[arg(long, value_name = "FILE")]
    json_schema: Option<PathBuf>,
    /// A file with a grammar in the Lark notation of llguidance
    #[arg(long, value_name = "FILE")]
    grammar: Option<PathBuf>,
    /// A regular expression for the whole output
    #[arg(long, value_name = "PATTERN")]
    regex: Option<String>,
}

impl GrammarArgs {
    /// The grammar, if one is given.
    pub fn grammar(&self) -> Result<Option<Grammar>, InputError> {
        if let Some(path) = &self.json_schema {
            let schema = read_text(Some(path))?;
            return match serde_json::from_str(&schema) {
                Ok(schema) => Ok(Some(Grammar::JsonSchema(schema))),
                Err(source) => Err(schema_error(path, source)),
            };
        }
        if let Some(path) = &self.grammar {
            return Ok(Some(Grammar::Lark(read_text(Some(path))?)));
        }
        Ok(self.regex.clone().map(Grammar::Regex))
    }
}

fn schema_error(path: &Path, source: serde_json::Error) -> InputError {
    InputError::Schema {
        path: path.display().to_string(),
        source,
    }
}

/// Makes a grammar ready for a vocabulary.
pub fn constraint(
    grammar: Option<&Grammar>,
    tokenizer: &Arc<Tokenizer>,
) -> Result<Option<aienv_engine::sample::Constraint>, Failure> {
    match grammar {
        Some(grammar) => {
            let constraints = Constraints::new(Arc::clone(tokenizer))?;
            Ok(Some(constraints.start(grammar)?))
        }
        None => Ok(None),
    }
}
