//! `aienv gguf check`

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aienv_engine::{
    chat::{Chat, Template},
    gguf::{File, Tensor},
    model::{Config, Model},
    quant::dequantize,
    threads::Pool,
    tokenizer::Tokenizer,
};
use serde::Serialize;
use serde_json::json;

use super::super::{Context, Outcome, engine, output};
use crate::error::UserError;

#[derive(clap::Args)]
pub struct Args {
    /// A model file; of a split model, any part
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Something that is wrong with a model.
#[derive(Serialize)]
struct Finding {
    /// `model`, `numbers`, `tokenizer` or `template`.
    about: &'static str,
    message: String,
}

/// The file is not sound.
#[derive(Debug, thiserror::Error)]
#[error("`{file}` is not sound: {count} finding{}", if *count == 1 { "" } else { "s" })]
struct Unsound {
    file: String,
    count: usize,
}

impl UserError for Unsound {
    fn code(&self) -> &'static str {
        "model.unsound"
    }

    fn hint(&self) -> Option<String> {
        Some("get the file again, or another one of the same model".to_owned())
    }
}

pub fn run(args: &Args, context: &Context) -> Outcome {
    let file = Arc::new(File::open(&args.file)?);
    let path = args.file.display().to_string();
    let vocabulary_only = file.tensors().is_empty();
    let mut findings: Vec<Finding> = model(&file).into_iter().collect();
    findings.extend(numbers(&file));
    findings.extend(text(&file));
    if args.json {
        output::json(&json!({
            "file": path,
            "sound": findings.is_empty(),
            "vocabulary_only": vocabulary_only,
            "findings": findings,
        }))?;
        return Ok(match findings.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        });
    }
    for finding in &findings {
        let message = output::shown(&finding.message);
        output::print(&format!("{}: {message}\n", finding.about))?;
    }
    if !findings.is_empty() {
        let count = findings.len();
        return Err(Unsound { file: path, count }.into());
    }
    let what = match vocabulary_only {
        true => "is sound: a vocabulary without weights",
        false => "is sound and can be run",
    };
    context.progress.done(&format!("`{path}` {what}"));
    Ok(ExitCode::SUCCESS)
}

fn finding(about: &'static str, message: impl ToString) -> Finding {
    let message = message.to_string();
    Finding { about, message }
}

/// Configuration and tensors; a vocabulary has none.
fn model(file: &Arc<File>) -> Option<Finding> {
    if file.tensors().is_empty() {
        return None;
    }
    let error = Model::load(Arc::clone(file)).err()?;
    Some(finding("model", error))
}

/// Tensors with numbers that are infinite or none, which nothing good can come of.
fn numbers(file: &File) -> Vec<Finding> {
    let pool = Pool::new(engine::cores());
    let bad = |tensor: &Tensor| {
        let data = file.data(tensor).unwrap_or_default();
        let rows = ((1 << 16) / tensor.row_len()).max(1);
        let chunks: Vec<&[u8]> = data.chunks(rows * tensor.row_bytes()).collect();
        let bad = AtomicU64::new(0);
        pool.run(chunks.len(), &|i| {
            let mut numbers = vec![0.0; chunks[i].len() / tensor.row_bytes() * tensor.row_len()];
            dequantize(tensor.ty, chunks[i], &mut numbers);
            let count = numbers.iter().filter(|number| !number.is_finite()).count();
            bad.fetch_add(count as u64, Ordering::Relaxed);
        });
        bad.into_inner()
    };
    let all = file.tensors().iter().map(|tensor| (tensor, bad(tensor)));
    all.filter(|&(_, bad)| bad > 0)
        .map(|(tensor, bad)| {
            let text = format!(
                "tensor `{}` has {bad} of {} numbers that are infinite or none",
                tensor.name,
                tensor.elements()
            );
            finding("numbers", text)
        })
        .collect()
}

/// Tokenizer and template.
fn text(file: &File) -> Option<Finding> {
    let metadata = file.metadata();
    let tokenizer = match Tokenizer::from_metadata(metadata) {
        Ok(tokenizer) => tokenizer,
        Err(error) => return Some(finding("tokenizer", error)),
    };
    if let Ok(config) = Config::from_metadata(metadata) {
        if tokenizer.len() > config.vocabulary {
            let text = format!(
                "the tokenizer has {} tokens, but the model scores {} only",
                tokenizer.len(),
                config.vocabulary
            );
            return Some(finding("tokenizer", text));
        }
        if config.encoder {
            return None;
        }
    }
    let template = Template::from_metadata(metadata, &tokenizer);
    let chat = Chat {
        messages: vec![json!({"role": "user", "content": "Hello"})],
        add_generation_prompt: true,
        ..Chat::default()
    };
    let rendered = template.and_then(|template| template.render(&chat));
    Some(finding("template", rendered.err()?))
}
