//! Perplexity of token ids in each way of computing, as JSON.
//!
//! `cargo run --release -p aienv-engine --example perplexity -- MODEL.gguf IDS.json WINDOW THREADS WAY...`
//! is called by `engine/checks/perplexity_reference.py`, which compares with llama.cpp. IDS.json is a
//! list of ids; they are given as they are, with no begin-of-text token put in. A WAY is `exact-f32`,
//! `exact-f16` or `quantised-f16`: how products are computed, and what the cache holds.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;

use aienv_engine::generate::perplexity;
use aienv_engine::gguf::File;
use aienv_engine::model::{Context, ContextOptions, Model};
use aienv_engine::ops::{KvType, Products};
use aienv_engine::threads::Pool;

/// What a way is called, and what it is.
const WAYS: [(&str, KvType, Products); 3] = [
    ("exact-f32", KvType::F32, Products::Exact),
    ("exact-f16", KvType::F16, Products::Exact),
    ("quantised-f16", KvType::F16, Products::Quantised),
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, ids, window, threads, ways @ ..] = args.as_slice() else {
        eprintln!("usage: perplexity MODEL.gguf IDS.json WINDOW THREADS WAY...");
        return ExitCode::from(2);
    };
    match measure(model, ids, window, threads, ways) {
        Ok(found) => {
            println!("{}", serde_json::Value::Object(found));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{model}: {error}");
            ExitCode::FAILURE
        }
    }
}

type Found = serde_json::Map<String, serde_json::Value>;

fn measure(
    model: &str,
    ids: &str,
    window: &str,
    threads: &str,
    ways: &[String],
) -> Result<Found, Box<dyn Error>> {
    let ids: Vec<u32> = serde_json::from_slice(&std::fs::read(ids)?)?;
    let window: usize = window.parse()?;
    let model = Arc::new(Model::load(File::open(std::path::Path::new(model))?)?);
    let pool = Arc::new(Pool::new(threads.parse()?));
    let mut found = Found::new();
    for way in ways {
        let &(name, kv, products) = WAYS
            .iter()
            .find(|(name, ..)| name == way)
            .ok_or_else(|| format!("there is no way `{way}` of computing"))?;
        let options = ContextOptions {
            tokens: window,
            kv,
            products,
            memory: None,
        };
        let mut context = Context::new(Arc::clone(&model), Arc::clone(&pool), &options)?;
        let result = perplexity(&mut context, &ids, window, None, &mut |_, _| {})?;
        found.insert(name.to_owned(), result.perplexity.into());
    }
    Ok(found)
}
