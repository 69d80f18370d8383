//! `aienv gguf tokenize` and `aienv gguf detokenize`

use std::{
    io::{self, Write as _},
    path::PathBuf,
};

use aienv_engine::{
    gguf::File,
    tokenizer::{Decode, Encode},
};
use serde_json::json;

use super::super::{
    Outcome,
    engine::{self, Ids},
    output,
};

#[derive(clap::Args)]
pub struct TokenizeArgs {
    /// A model file, or one with a vocabulary only
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// The text; standard input if neither it nor a file is given
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Take the text from this file
    #[arg(long, value_name = "FILE", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// Add no begin and end tokens, and take control tokens in the text for plain text
    #[arg(long)]
    no_special: bool,
    /// Print an object with the list `ids`
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct DetokenizeArgs {
    /// A model file, or one with a vocabulary only
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Token ids, such as `1,2,3`
    #[arg(value_name = "IDS")]
    ids: Ids,
    /// Leave control tokens out
    #[arg(long)]
    no_special: bool,
    /// Print an object with the text
    #[arg(long)]
    json: bool,
}

pub fn tokenize(args: &TokenizeArgs) -> Outcome {
    let file = File::open(&args.model)?;
    let tokenizer = engine::tokenizer(&file)?;
    let text = match &args.text {
        Some(text) => text.clone(),
        None => engine::read_text(args.file.as_deref())?,
    };
    let how = match args.no_special {
        true => Encode::TEXT,
        false => Encode::PROMPT,
    };
    let ids = tokenizer.encode(&text, how);
    if args.json {
        return output::json(&json!({ "ids": ids }));
    }
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    output::print(&format!("{}\n", ids.join(",")))
}

pub fn detokenize(args: &DetokenizeArgs) -> Outcome {
    let file = File::open(&args.model)?;
    let tokenizer = engine::tokenizer(&file)?;
    engine::check_ids(&args.ids.0, tokenizer.len())?;
    let how = Decode {
        special: !args.no_special,
        clean: true,
    };
    if args.json {
        let text = tokenizer.decode(&args.ids.0, how);
        return output::json(&json!({ "text": text }));
    }
    // Ids may end within a character; the bytes come as they are, and no line end after them.
    let bytes = tokenizer.decode_bytes(&args.ids.0, how);
    output::finish(io::stdout().write_all(&bytes))
}
