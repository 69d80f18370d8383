//! `aienv gguf`

mod check;
mod eval;
mod perplexity;
mod quantize;
mod show;
mod tokens;

use clap::Subcommand;

use super::{Context, Outcome};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what a model is and what it needs
    Show(show::Args),
    /// Check a model file: its form, every number, tokenizer, chat template, shapes of tensors
    Check(check::Args),
    /// Write a model anew with its matrices in another type
    #[command(after_help = quantize::AFTER_HELP)]
    Quantize(quantize::Args),
    /// Turn a text into token ids; a file with a vocabulary and no weights is enough
    Tokenize(tokens::TokenizeArgs),
    /// Turn token ids into text; a file with a vocabulary and no weights is enough
    Detokenize(tokens::DetokenizeArgs),
    /// Write a model's scores (logits) for given tokens to a file
    Eval(eval::Args),
    /// Measure how well a model foretells a text
    #[command(after_help = perplexity::AFTER_HELP)]
    Perplexity(perplexity::Args),
}

pub fn run(args: Args, context: &Context) -> Outcome {
    match args.command {
        Command::Show(args) => show::run(&args),
        Command::Check(args) => check::run(&args, context),
        Command::Quantize(args) => quantize::run(&args, context),
        Command::Tokenize(args) => tokens::tokenize(&args),
        Command::Detokenize(args) => tokens::detokenize(&args),
        Command::Eval(args) => eval::run(&args, context),
        Command::Perplexity(args) => perplexity::run(&args, context),
    }
}
