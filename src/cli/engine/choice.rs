//! Which model: a file, or the demonstration that is part of aienv.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use aienv_engine::{
    gguf::{self, File},
    model::Model,
};

use crate::cli::{Context, Failure, output};

/// The demonstration model; `demo/README.md` says what it is, and `demo/train.py` makes it.
const DEMO: &[u8] = include_bytes!("../../../demo/demo.gguf");

/// Which model is to be run.
#[derive(clap::Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct ModelArgs {
    /// A model file
    #[arg(value_name = "MODEL")]
    model: Option<PathBuf>,
    /// Instead of a file take the tiny model that is part of aienv: it answers questions about
    /// aienv, and knows nothing else
    #[arg(long)]
    pub demo: bool,
}

impl ModelArgs {
    /// Opens the model and finds its weights. Of the demonstration it says what it is.
    pub fn load(&self, context: &Context) -> Result<Arc<Model>, Failure> {
        let file = match &self.model {
            Some(path) => return super::load(path),
            None => File::from_bytes(DEMO.to_vec()).map_err(|cause| gguf::Error::Bad {
                path: PathBuf::from("demo.gguf"),
                cause,
            })?,
        };
        let parameters: u64 = file.tensors().iter().map(gguf::Tensor::elements).sum();
        let what = format!(
            "a tiny demonstration model with {:.1} million parameters, trained only on questions \
             about aienv; give a file for a real one, as in `aienv chat model.gguf`",
            parameters as f64 / 1e6
        );
        output::note(context, &what);
        Ok(Arc::new(Model::load(file)?))
    }

    /// The file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        self.model.as_deref()
    }
}
