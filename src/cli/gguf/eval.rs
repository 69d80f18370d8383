//! `aienv gguf eval`

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use aienv_engine::model::{self, Batch};

use super::super::{
    Context, Failure, Outcome,
    engine::{self, Ids, InputError, ProductsArg, RunArgs},
};
use crate::error::UserError;

/// Tokens whose scores are held at a time: with a vocabulary of 256 000 tokens, 16 MB.
const STRIDE: usize = 16;

#[derive(clap::Args)]
pub struct Args {
    /// A model file
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Token ids, such as `1,2,3`
    #[arg(long, value_name = "IDS")]
    tokens: Ids,
    /// Write the scores here: 32-bit floating point numbers, little-endian, one row of the
    /// vocabulary's size for each token
    #[arg(long, value_name = "FILE")]
    logits: PathBuf,
    /// How products with the weights are computed
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProductsArg::Exact)]
    products: ProductsArg,
    #[command(flatten)]
    run: RunArgs,
}

/// The scores cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`", path.display())]
struct WriteError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl UserError for WriteError {
    fn code(&self) -> &'static str {
        "model.write"
    }
}

pub fn run(args: &Args, context: &Context) -> Outcome {
    let model = engine::load(&args.model)?;
    let ids = &args.tokens.0;
    engine::check_ids(ids, model.config().vocabulary)?;
    if model.file().is_at(&args.logits) {
        return Err(InputError::OntoModel(args.logits.clone()).into());
    }
    let mut running = args.run.context(model, ids.len(), args.products)?;
    let failed = |source| WriteError {
        path: args.logits.clone(),
        source,
    };
    let out = fs::File::create(&args.logits).map_err(failed)?;
    let width = match write(&mut running, ids, out, failed) {
        Ok(width) => width,
        Err(failure) => {
            remove(&args.logits);
            return Err(failure);
        }
    };
    context.progress.done(&format!(
        "wrote {} rows of {width} scores to `{}`",
        ids.len(),
        args.logits.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Writes the scores and gives the number of those for one token.
fn write(
    running: &mut model::Context,
    ids: &[u32],
    out: fs::File,
    failed: impl Fn(io::Error) -> WriteError,
) -> Result<usize, Failure> {
    let mut out = io::BufWriter::new(out);
    let (mut at, mut width) = (0, 0);
    for stride in ids.chunks(STRIDE) {
        let rows = running.eval(&Batch::all(stride, 0, at))?;
        at += stride.len() as u32;
        width = rows.width();
        for number in rows.numbers() {
            out.write_all(&number.to_le_bytes()).map_err(&failed)?;
        }
    }
    out.flush().map_err(&failed)?;
    Ok(width)
}

/// Removes a file with a part of the scores, if it is a plain one.
fn remove(path: &Path) {
    if fs::metadata(path).is_ok_and(|about| about.is_file()) {
        // Nothing depends on it: an error is told already.
        let _ = fs::remove_file(path);
    }
}
