//! What `aienv generate` is asked for.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use aienv_engine::{
    generate::{Overflow, Request},
    sample::Options,
};

use crate::cli::engine::{
    Full, GrammarArgs, Ids, ModelArgs, ProductsArg, RunArgs, SamplingArgs, Wish,
};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub model: ModelArgs,
    /// The text to continue or the message to answer; standard input if none is given (may be
    /// repeated)
    #[arg(long, short, value_name = "TEXT", group = "input")]
    pub prompt: Vec<String>,
    /// Take it from this file
    #[arg(long, value_name = "FILE", group = "input")]
    pub file: Option<PathBuf>,
    /// Continue these token ids, such as `1,2,3` (may be repeated)
    #[arg(long, value_name = "IDS", group = "input")]
    pub tokens: Vec<Ids>,
    /// Take each line of the file, or of standard input, for a prompt of its own; blank ones are
    /// left out
    #[arg(long, conflicts_with_all = ["prompt", "tokens"])]
    pub each_line: bool,
    /// Of several prompts, how many are worked on at once, up to 64. What comes out does not depend
    /// on it
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u8).range(1..=64)
    )]
    pub parallel: u8,
    /// Continue the text as it is
    #[arg(long, conflicts_with_all = ["chat", "system"])]
    pub raw: bool,
    /// Answer the text as a message; the default if the file has a chat template
    #[arg(long, conflicts_with = "tokens")]
    pub chat: bool,
    /// What the model is told before the message
    #[arg(long, value_name = "TEXT", conflicts_with = "tokens")]
    pub system: Option<String>,
    /// The most tokens to generate; by default until the model ends
    #[arg(long = "max-tokens", short = 'n', value_name = "N")]
    pub max_tokens: Option<usize>,
    /// A text that ends the output and is no part of it (may be repeated)
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub stop: Vec<String>,
    /// Go on where the model would end
    #[arg(long, conflicts_with_all = ["chat", "system"])]
    pub ignore_end: bool,
    /// Tokens the context has room for; by default what the model knows, at most 4096 unless more
    /// are needed
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,
    /// Fail when the context is full, instead of dropping older tokens
    #[arg(long)]
    pub no_shift: bool,
    /// How products with the weights are computed; by default `quantised`, and `exact` with
    /// `--tokens`, which is for comparing
    #[arg(long, value_enum, value_name = "HOW")]
    pub products: Option<ProductsArg>,
    /// Print text, ids and timings as JSON when it is done; of several prompts, one line for each
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub grammar: GrammarArgs,
    #[command(flatten)]
    pub run: RunArgs,
}

impl Args {
    /// How a prompt of `prompt` tokens is to be continued.
    pub fn continuing(&self, prompt: usize, sampling: Options, cancel: Arc<AtomicBool>) -> Request {
        Request {
            sampling,
            max_tokens: self.max_tokens,
            stops: self.stop.clone(),
            overflow: match (self.no_shift, self.max_tokens) {
                (true, _) => Overflow::Refuse,
                // Without an end of its own a text would go on for ever.
                (false, None) => Overflow::End,
                (false, Some(_)) => Overflow::Shift { keep: prompt / 2 },
            },
            special: false,
            ignore_end: self.ignore_end,
            cancel: Some(cancel),
            constraint: None,
        }
    }

    /// How messages are to be answered.
    pub fn answering(&self, sampling: Options, cancel: Arc<AtomicBool>) -> Wish {
        Wish {
            sampling,
            max_tokens: self.max_tokens,
            stops: self.stop.clone(),
            constraint: None,
            full: self.full(),
            cancel: Some(cancel),
        }
    }

    pub fn full(&self) -> Full {
        match (self.no_shift, self.max_tokens) {
            (true, _) => Full::Refuse,
            (false, None) => Full::End,
            (false, Some(_)) => Full::Shift,
        }
    }
}
