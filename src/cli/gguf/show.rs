//! `aienv gguf show`

use std::{fmt::Write as _, path::PathBuf};

use aienv_engine::{
    chat::{Origin, Template},
    gguf::{File, Tensor, TensorType},
    model::{Config, MemoryNeeds, memory_needs},
    ops::KvType,
    tokenizer::Tokenizer,
};
use serde::Serialize;

use super::super::{Outcome, output};
use crate::types::human_bytes;

#[derive(clap::Args)]
pub struct Args {
    /// A model file; of a split model, any part
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// What is shown.
#[derive(Serialize)]
struct About {
    file: String,
    version: u32,
    parts: usize,
    bytes: u64,
    architecture: Option<String>,
    name: Option<String>,
    tensors: usize,
    parameters: u64,
    bits_per_parameter: Option<f64>,
    types: Vec<TypeShare>,
    /// Longest context in tokens.
    context: Option<u64>,
    tokenizer: Option<TokenizerAbout>,
    template: Option<TemplateAbout>,
    memory: Option<MemoryAbout>,
    config: Option<Config>,
    /// Why the model cannot be run here, or parts of it not be used.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct TypeShare {
    #[serde(rename = "type")]
    ty: &'static str,
    tensors: usize,
    parameters: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct TokenizerAbout {
    model: String,
    pre: String,
    tokens: usize,
}

#[derive(Serialize)]
struct TemplateAbout {
    /// `file`, `known` or `guessed`.
    origin: &'static str,
    /// Which of the known ones.
    kind: Option<&'static str>,
}

#[derive(Serialize)]
struct MemoryAbout {
    context: usize,
    cache_type: KvType,
    #[serde(flatten)]
    needs: MemoryNeeds,
    total: u64,
}

pub fn run(args: &Args) -> Outcome {
    let file = File::open(&args.file)?;
    let about = about(args.file.display().to_string(), &file);
    match args.json {
        true => output::json(&about),
        false => output::print(&told(&about)),
    }
}

fn about(path: String, file: &File) -> About {
    let metadata = file.metadata();
    let text = |key| metadata.text(key).ok().flatten().map(str::to_owned);
    let architecture = text("general.architecture");
    let mut problems = Vec::new();
    let config = match Config::from_metadata(metadata) {
        Ok(config) => Some(config),
        // A vocabulary has no configuration to speak of.
        Err(_) if file.tensors().is_empty() => None,
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    let tokenizer = Tokenizer::from_metadata(metadata);
    let template = match &tokenizer {
        Err(error) => {
            problems.push(error.to_string());
            None
        }
        // Encoders do not answer.
        Ok(_) if config.as_ref().is_some_and(|config| config.encoder) => None,
        Ok(tokenizer) => match Template::from_metadata(metadata, tokenizer) {
            Ok(template) => Some(template_about(template.origin())),
            Err(error) => {
                problems.push(error.to_string());
                None
            }
        },
    };
    let weights: u64 = file.tensors().iter().map(Tensor::bytes).sum();
    let parameters: u64 = file.tensors().iter().map(Tensor::elements).sum();
    let memory = config.as_ref().filter(|_| weights > 0).map(|config| {
        // Encoders keep keys and values for a moment only, and unrounded.
        let cache_type = match config.encoder {
            true => KvType::F32,
            false => KvType::F16,
        };
        let needs = memory_needs(config, weights, config.context, cache_type);
        MemoryAbout {
            context: config.context,
            cache_type,
            needs,
            total: needs.total(),
        }
    });
    let context = architecture.as_deref().and_then(|architecture| {
        let key = format!("{architecture}.context_length");
        metadata.count(&key).ok().flatten()
    });
    About {
        file: path,
        version: file.version(),
        parts: file.parts(),
        bytes: file.size(),
        architecture,
        name: text("general.name"),
        tensors: file.tensors().len(),
        parameters,
        bits_per_parameter: (parameters > 0).then(|| weights as f64 * 8.0 / parameters as f64),
        types: types(file),
        context,
        tokenizer: tokenizer.ok().map(|tokenizer| TokenizerAbout {
            model: tokenizer.model().to_owned(),
            pre: tokenizer.pre().to_owned(),
            tokens: tokenizer.len(),
        }),
        template,
        memory,
        config,
        problems,
    }
}

fn template_about(origin: Origin) -> TemplateAbout {
    let (origin, kind) = match origin {
        Origin::File => ("file", None),
        Origin::Known(kind) => ("known", Some(kind)),
        Origin::Guessed => ("guessed", None),
    };
    TemplateAbout { origin, kind }
}

/// What each type has a share in, the largest first.
fn types(file: &File) -> Vec<TypeShare> {
    let share = |ty: TensorType| {
        let of_type = || file.tensors().iter().filter(move |tensor| tensor.ty == ty);
        TypeShare {
            ty: ty.name(),
            tensors: of_type().count(),
            parameters: of_type().map(Tensor::elements).sum(),
            bytes: of_type().map(Tensor::bytes).sum(),
        }
    };
    let all = TensorType::ALL.iter().map(|&ty| share(ty));
    let mut types: Vec<TypeShare> = all.filter(|share| share.tensors > 0).collect();
    types.sort_by_key(|share| std::cmp::Reverse(share.bytes));
    types
}

fn told(about: &About) -> String {
    let mut out = String::new();
    let mut line = |label: &str, value: String| {
        // Writing to a text cannot fail. Values come from the file.
        let value = output::shown_in_line(&value);
        let _ = writeln!(out, "{label:<13} {value}");
    };
    let unknown = || "unknown".to_owned();
    line("name", about.name.clone().unwrap_or_else(unknown));
    let architecture = about.architecture.clone().unwrap_or_else(unknown);
    line("architecture", architecture);
    let parts = match about.parts {
        1 => String::new(),
        parts => format!(", {parts} files"),
    };
    let size = human_bytes(about.bytes);
    line("size", format!("{size}, GGUF {}{parts}", about.version));
    match about.bits_per_parameter {
        Some(bits) => {
            let parameters = human_count(about.parameters);
            line("parameters", format!("{parameters}, {bits:.2} bits each"));
        }
        None => line("parameters", "none: a vocabulary only".to_owned()),
    }
    for (i, share) in about.types.iter().enumerate() {
        let label = if i == 0 { "types" } else { "" };
        let (bytes, tensors) = (human_bytes(share.bytes), share.tensors);
        let plural = if tensors == 1 { "" } else { "s" };
        line(
            label,
            format!("{:<8} {bytes:>10} in {tensors} tensor{plural}", share.ty),
        );
    }
    if let Some(config) = &about.config {
        let layers = config.layers.len();
        line("layers", format!("{layers} of width {}", config.embedding));
    }
    if let Some(context) = about.context {
        line("context", format!("{context} tokens"));
    }
    if let Some(tokenizer) = &about.tokenizer {
        let kind = match tokenizer.pre.as_str() {
            "" => tokenizer.model.clone(),
            pre => format!("{} ({pre})", tokenizer.model),
        };
        line("tokenizer", format!("{kind}, {} tokens", tokenizer.tokens));
    }
    if let Some(template) = &about.template {
        let text = match (template.origin, template.kind) {
            ("file", _) => "in the file".to_owned(),
            (_, Some(kind)) => format!("none in the file; its tokens or name suit `{kind}`"),
            _ => "none in the file; `chatml` is a guess".to_owned(),
        };
        line("template", text);
    }
    if let Some(memory) = &about.memory {
        let kind = match memory.cache_type {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
            KvType::Q8_0 => "q8_0",
        };
        let all = format!(
            "{} for {} tokens: {} weights, {} cache ({kind}), {} work",
            human_bytes(memory.total),
            memory.context,
            human_bytes(memory.needs.weights),
            human_bytes(memory.needs.cache),
            human_bytes(memory.needs.compute),
        );
        line("memory", all);
    }
    for problem in &about.problems {
        line("problem", problem.clone());
    }
    out
}

/// `8.03 billion`, `124 million`, `53248`.
fn human_count(count: u64) -> String {
    match count {
        0..1_000_000 => count.to_string(),
        1_000_000..1_000_000_000 => format!("{:.1} million", count as f64 / 1e6),
        _ => format!("{:.2} billion", count as f64 / 1e9),
    }
}
