//! Copies a model through the reader and the writer: `copy FROM TO`. Used by `tests/vectors.py`.

use std::process::ExitCode;
use std::{env, fs};

use aienv_engine::gguf::{File, Writer};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [from, to] = arguments.as_slice() else {
        eprintln!("usage: copy FROM TO");
        return ExitCode::from(2);
    };
    match run(from, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(from: &str, to: &str) -> Result<(), Box<dyn std::error::Error>> {
    let file = File::open(from)?;
    let mut writer = Writer::new(file.metadata().clone());
    for tensor in file.tensors() {
        writer.declare(&tensor.name, &tensor.shape, tensor.ty)?;
    }
    let mut body = writer.begin(fs::File::create(to)?)?;
    for tensor in file.tensors() {
        body.append(file.data(tensor).ok_or("a tensor without data")?)?;
    }
    body.finish()?;
    Ok(())
}
