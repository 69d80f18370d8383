//! What a model makes of token ids, unrounded, for `engine/checks/logits_reference.py`.
//!
//! `cargo run --release -p aienv-engine --example logits -- MODEL.gguf IDS.json CONTEXT MORE OUT.f32`
//! evaluates the ids with exact products and an f32 cache, in a context of up to CONTEXT tokens. OUT gets
//! one row of little-endian numbers per id: scores, or the last vectors of an encoder. On stdout is JSON:
//! the MORE ids that follow when the likeliest is taken each time, or the text's vector by each pooling.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use aienv_engine::gguf::File;
use aienv_engine::model::{Batch, Context, ContextOptions, Model, Pooling, Rows};
use aienv_engine::ops::{KvType, Products};
use aienv_engine::threads::Pool;
use serde_json::{Value, json};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, ids, context, more, out] = args.as_slice() else {
        eprintln!("usage: logits MODEL.gguf IDS.json CONTEXT MORE OUT.f32");
        return ExitCode::from(2);
    };
    match evaluate(model, ids, context, more, out) {
        Ok(found) => {
            println!("{found}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{model}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn evaluate(
    model: &str,
    ids: &str,
    context: &str,
    more: &str,
    out: &str,
) -> Result<Value, Box<dyn Error>> {
    let ids: Vec<u32> = serde_json::from_slice(&std::fs::read(ids)?)?;
    let model = Arc::new(Model::load(File::open(Path::new(model))?)?);
    let config = model.config();
    let mut tokens: usize = context.parse()?;
    if config.learned_positions {
        tokens = tokens.min(config.context);
    }
    let options = ContextOptions {
        tokens,
        kv: KvType::F32,
        products: Products::Exact,
        memory: None,
    };
    let mut context = Context::new(Arc::clone(&model), Arc::new(Pool::new(2)), &options)?;
    let batch = Batch::all(&ids, 0, 0);
    if config.encoder {
        write(out, &context.hidden(&batch)?)?;
        let mut pooled = |pooling| context.embed(&[&ids], Some(pooling), false);
        return Ok(json!({
            "mean": pooled(Pooling::Mean)?[0],
            "cls": pooled(Pooling::Cls)?[0],
            "last": pooled(Pooling::Last)?[0],
        }));
    }
    let mut rows = context.eval(&batch)?;
    write(out, &rows)?;
    let mut greedy = Vec::new();
    for _ in 0..more.parse()? {
        let id = likeliest(&rows).ok_or("there are no ids")?;
        greedy.push(id);
        rows = context.eval(&Batch::prompt(&[id], 0, context.next_position(0)))?;
    }
    Ok(json!({ "greedy": greedy }))
}

fn write(path: &str, rows: &Rows) -> Result<(), std::io::Error> {
    let bytes: Vec<u8> = rows
        .numbers()
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    std::fs::write(path, bytes)
}

/// The greatest of the last row, of equal ones the first.
fn likeliest(rows: &Rows) -> Option<u32> {
    let row = rows.iter().last()?;
    let first = (0..row.len())
        .rev()
        .max_by(|&a, &b| row[a].total_cmp(&row[b]))?;
    u32::try_from(first).ok()
}
