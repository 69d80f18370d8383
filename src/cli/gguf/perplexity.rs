//! `aienv gguf perplexity`

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use aienv_engine::{generate, tokenizer::Encode};

use super::super::{
    Context, Outcome,
    engine::{self, InputError, ProductsArg, RunArgs},
    output,
};

/// Time between two words on how far it is.
const INTERVAL: Duration = Duration::from_secs(5);

pub const AFTER_HELP: &str = "The text is cut into windows of N tokens. In each, the model foretells \
    the second half from what precedes it in the window, as llama.cpp's llama-perplexity does; a \
    rest shorter than a window is left out. A model that wants a begin-of-text token is given it in \
    place of each window's first token. The result is e to the power of the mean surprise: the lower \
    the better, and to be compared only for the same text, windows and vocabulary.";

#[derive(clap::Args)]
pub struct Args {
    /// A model file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The text; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Tokens of a window
    #[arg(long, value_name = "N", default_value_t = 512)]
    context: usize,
    /// How products with the weights are computed
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProductsArg::Exact)]
    products: ProductsArg,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    run: RunArgs,
}

pub fn run(args: &Args, context: &Context) -> Outcome {
    let model = engine::load(&args.model)?;
    let tokenizer = engine::tokenizer(model.file())?;
    let text = engine::read_text(Some(&args.file))?;
    let how = Encode {
        add_special: true,
        parse_special: false,
    };
    let tokens = tokenizer.encode(&text, how);
    let bos = tokenizer.special().bos.filter(|_| tokenizer.adds_bos());
    let mut running = args.run.context(model, args.context, args.products)?;
    let windows = tokens.len() / args.context.max(1);
    let mut told = Instant::now();
    let mut seen = |window: usize, so_far: &generate::Perplexity| {
        if told.elapsed() < INTERVAL {
            return;
        }
        told = Instant::now();
        let perplexity = so_far.perplexity;
        let step = format!("{window} of {windows} windows, perplexity {perplexity:.4}");
        context.progress.step(&step);
    };
    let result = generate::perplexity(&mut running, &tokens, args.context, bos, &mut seen)?;
    context.progress.clear();
    if !result.perplexity.is_finite() {
        return Err(InputError::NotNumbers.into());
    }
    if args.json {
        return output::json(&result);
    }
    let plural = if result.windows == 1 { "" } else { "s" };
    output::print(&format!(
        "perplexity {:.4} ± {:.4} ({} tokens in {} window{plural} of {})\n",
        result.perplexity, result.error, result.tokens, result.windows, args.context
    ))
}
