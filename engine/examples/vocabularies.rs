//! Compares token ids with expected ones, for every vocabulary of a folder.
//!
//! `cargo run -p aienv-engine --example vocabularies -- FOLDER` takes each `NAME.ids.json` (a list of
//! objects with `text`, `ids`, `ids_special`) and the vocabulary `NAME.gguf` or
//! `ggml-vocab-NAME.gguf` beside it. Decoding, whole and token by token, is checked on the way.

use std::path::Path;
use std::process::ExitCode;

use aienv_engine::gguf;
use aienv_engine::tokenizer::{Decode, Encode, Tokenizer};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    text: String,
    ids: Vec<u32>,
    ids_special: Vec<u32>,
    /// What the ids decode to with spaces closed up; `true` if that is the text.
    #[serde(default)]
    roundtrip: Decoded,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Decoded {
    #[default]
    Unknown,
    Same(bool),
    Text(String),
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("usage: vocabularies FOLDER");
        return ExitCode::from(2);
    };
    let mut names: Vec<String> = match std::fs::read_dir(&folder) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".ids.json").map(str::to_owned))
            .collect(),
        Err(error) => {
            eprintln!("{}: {error}", Path::new(&folder).display());
            return ExitCode::FAILURE;
        }
    };
    names.sort();
    let mut good = !names.is_empty();
    for name in names {
        match check(Path::new(&folder), &name) {
            Ok((rows, wrong)) if wrong.is_empty() => println!("{name}: {rows} texts, all equal"),
            Ok((rows, wrong)) => {
                good = false;
                println!("{name}: {rows} texts, {} different", wrong.len());
                wrong.iter().take(3).for_each(|line| println!("  {line}"));
            }
            Err(error) => {
                good = false;
                println!("{name}: {error}");
            }
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

type Outcome = Result<(usize, Vec<String>), Box<dyn std::error::Error>>;

fn check(folder: &Path, name: &str) -> Outcome {
    let rows: Vec<Row> =
        serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.ids.json")))?)?;
    let path = [format!("{name}.gguf"), format!("ggml-vocab-{name}.gguf")]
        .map(|file| folder.join(file))
        .into_iter()
        .find(|path| path.exists())
        .ok_or("there is no vocabulary of that name")?;
    let file = gguf::File::open(&path)?;
    let tokenizer = Tokenizer::from_metadata(file.metadata())?;
    let mut wrong = Vec::new();
    for row in &rows {
        compare(&tokenizer, row, &mut wrong);
    }
    Ok((rows.len(), wrong))
}

fn compare(tokenizer: &Tokenizer, row: &Row, wrong: &mut Vec<String>) {
    let text = &row.text;
    let ids = tokenizer.encode(text, Encode::TEXT);
    let special = tokenizer.encode(text, Encode::PROMPT);
    if ids != row.ids {
        wrong.push(format!("{text:?}: {ids:?} instead of {:?}", row.ids));
    } else if special != row.ids_special {
        wrong.push(format!(
            "{text:?}, special: {special:?} instead of {:?}",
            row.ids_special
        ));
    }
    let whole = tokenizer.decode(
        &ids,
        Decode {
            special: true,
            clean: false,
        },
    );
    let mut decoder = tokenizer.decoder(true);
    let mut streamed: String = ids.iter().map(|&id| decoder.push(id)).collect();
    streamed.push_str(&decoder.finish());
    if whole != streamed {
        wrong.push(format!(
            "{text:?}: decoded as {whole:?}, streamed as {streamed:?}"
        ));
    }
    let expected = match &row.roundtrip {
        Decoded::Text(decoded) => decoded,
        Decoded::Same(true) => text,
        Decoded::Same(false) | Decoded::Unknown => return,
    };
    let how = Decode {
        special: false,
        clean: true,
    };
    let decoded = tokenizer.decode(&ids, how);
    if decoded != *expected {
        wrong.push(format!(
            "{text:?}: decoded as {decoded:?} instead of {expected:?}"
        ));
    }
}
