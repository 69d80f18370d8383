//! The models, and what their files say about their results.

use std::path::PathBuf;
use std::sync::Arc;

use aienv_engine::gguf::{Array, File, Value};
use aienv_engine::model::{Batch, Context, ContextOptions, Model};
use aienv_engine::ops::{KvType, Products};
use aienv_engine::threads::Pool;

/// A model of the folder and what its file says about its results.
pub struct Case {
    pub name: String,
    pub model: Arc<Model>,
    pub context: usize,
    pub tokens: Vec<u32>,
    pub expected: Vec<f32>,
}

impl Case {
    pub fn all() -> Vec<Case> {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        paths.into_iter().map(Case::read).collect()
    }

    pub fn named(name: &str) -> Case {
        Case::read(folder().join(format!("{name}.gguf")))
    }

    fn read(path: PathBuf) -> Case {
        let file = File::open(&path).unwrap();
        let metadata = file.metadata();
        let context = metadata.count("test.context").unwrap().unwrap() as usize;
        let tokens = match metadata.get("test.tokens") {
            Some(Value::Array(Array::I32(ids))) => ids.iter().map(|&id| id as u32).collect(),
            other => panic!("{other:?}"),
        };
        let Some(Value::Array(Array::F32(expected))) = metadata.get("test.expected").cloned()
        else {
            panic!("no expected results");
        };
        Case {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            model: Arc::new(Model::load(file).unwrap()),
            context,
            tokens,
            expected,
        }
    }

    pub fn context(&self, threads: usize, kv: KvType) -> Context {
        self.context_with(threads, kv, Products::Exact)
    }

    pub fn context_with(&self, threads: usize, kv: KvType, products: Products) -> Context {
        let options = ContextOptions {
            tokens: self.context,
            kv,
            products,
            memory: None,
        };
        Context::new(
            Arc::clone(&self.model),
            Arc::new(Pool::new(threads)),
            &options,
        )
        .unwrap()
    }

    pub fn encoder(&self) -> bool {
        self.model.config().encoder
    }

    /// Results of all tokens in one batch.
    pub fn run(&self, context: &mut Context) -> Vec<f32> {
        let batch = Batch::all(&self.tokens, 0, 0);
        let rows = match self.encoder() {
            true => context.hidden(&batch).unwrap(),
            false => context.eval(&batch).unwrap(),
        };
        rows.numbers().to_vec()
    }
}

/// Where the models are.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/architectures")
}
