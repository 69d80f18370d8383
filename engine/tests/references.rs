//! Our logits beside stored ones of a reference implementation, for every model of a folder.
//!
//! The folder is named by `AIENV_ENGINE_REFS`; without it there is nothing to compare. For a model
//! `NAME.gguf` it holds `NAME.exact.json` (`fixed_tokens`; `greedy` with `tokens`, `greedy_ids` and
//! `top1_margin` of each prompt), `NAME.exact.logits.f32` (logits of the fixed tokens, computed in
//! single precision) and `NAME.summary.json` (`nmse_llamacpp_vs_exact`, the reference's own error
//! with quantised vectors).

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use aienv_engine::gguf::File;
use aienv_engine::model::{Batch, Context, ContextOptions, Model, Rows};
use aienv_engine::ops::{KvType, Products};
use aienv_engine::threads::Pool;
use serde_json::Value;

/// How much of the reference's own error ours may be, and what is noise whatever it is.
const TIMES: f64 = 1.1;
const NOISE: f64 = 1e-9;

#[test]
fn as_near_to_exact_as_the_reference() {
    let Some(folder) = std::env::var_os("AIENV_ENGINE_REFS") else {
        eprintln!("skipped: AIENV_ENGINE_REFS names no folder of reference results");
        return;
    };
    let mut models: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "gguf"))
        .collect();
    models.sort();
    assert!(!models.is_empty(), "no model in {}", folder.display());
    println!(
        "normalised mean squared error of logits: with an f16 cache, with an f32 cache, with \
         quantised products and an f16 cache, of llama.cpp"
    );
    println!(
        "{:28} {:>10} {:>10} {:>10} {:>10}  greedy",
        "model", "f16", "f32", "quantised", "llama.cpp"
    );
    let failures: Vec<String> = models
        .iter()
        .filter_map(|path| compare(path).err())
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn compare(path: &Path) -> Result<(), String> {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let json = |end: &str| -> Value {
        let text = std::fs::read(path.with_file_name(format!("{name}.{end}"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let (exact, summary) = (json("exact.json"), json("summary.json"));
    let wanted: Vec<f32> = std::fs::read(path.with_file_name(format!("{name}.exact.logits.f32")))
        .unwrap()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect();
    let model = Arc::new(Model::load(File::open(path).unwrap()).unwrap());
    let pool = Arc::new(Pool::new(2));
    let context = |kv, products| {
        let options = ContextOptions {
            tokens: 256,
            kv,
            products,
            memory: None,
        };
        Context::new(Arc::clone(&model), Arc::clone(&pool), &options).unwrap()
    };
    let fixed = Batch::all(&ids(&exact["fixed_tokens"]), 0, 0);
    let error = |context: &mut Context| nmse(context.eval(&fixed).unwrap().numbers(), &wanted);
    let unrounded = error(&mut context(KvType::F32, Products::Exact));
    let rounded = error(&mut context(KvType::F16, Products::Quantised));
    let mut context = context(KvType::F16, Products::Exact);
    let ours = error(&mut context);
    let reference = summary["nmse_llamacpp_vs_exact"].as_f64().unwrap();
    let greedy: Result<Vec<()>, String> = exact["greedy"]
        .as_array()
        .unwrap()
        .iter()
        .map(|prompt| greedy(&mut context, prompt))
        .collect();
    println!(
        "{name:28} {ours:10.2e} {unrounded:10.2e} {rounded:10.2e} {reference:10.2e}  {}",
        greedy.as_ref().err().map_or("equal", |text| text)
    );
    for (error, how) in [(ours, "exact"), (rounded, "quantised")] {
        if error > TIMES * reference + NOISE {
            return Err(format!(
                "{name}: error {error:.2e} with {how} products, of the reference {reference:.2e}"
            ));
        }
    }
    greedy.map(drop).map_err(|text| format!("{name}: {text}"))
}

/// Continues a prompt with the likeliest token each time.
fn greedy(context: &mut Context, prompt: &Value) -> Result<(), String> {
    context.clear();
    let mut batch = Batch::prompt(&ids(&prompt["tokens"]), 0, 0);
    for (i, &wanted) in ids(&prompt["greedy_ids"]).iter().enumerate() {
        let rows = context.eval(&batch).unwrap();
        let id = likeliest(&rows);
        if id != wanted {
            let margin = &prompt["top1_margin"][i];
            return Err(format!(
                "{id} for {wanted} at {i}, where the margin is {margin}"
            ));
        }
        batch = Batch::prompt(&[id], 0, context.next_position(0));
    }
    Ok(())
}

fn likeliest(rows: &Rows) -> u32 {
    let row = rows.get(0).unwrap();
    (0..row.len())
        .max_by(|&a, &b| row[a].total_cmp(&row[b]))
        .unwrap() as u32
}

fn ids(list: &Value) -> Vec<u32> {
    serde_json::from_value(list.clone()).unwrap()
}

/// Mean squared error over the mean square of what was wanted.
fn nmse(got: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(got.len(), wanted.len());
    let square = |v: f64| v * v;
    let error: f64 = got
        .iter()
        .zip(wanted)
        .map(|(&a, &b)| square(f64::from(a) - f64::from(b)))
        .sum();
    error / wanted.iter().map(|&b| square(b.into())).sum::<f64>()
}
