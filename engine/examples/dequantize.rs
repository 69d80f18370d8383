//! Dequantises a file of blocks: `dequantize TYPE BLOCKS VALUES`. Used by `tests/vectors.py`.

use std::process::ExitCode;
use std::{env, fs};

use aienv_engine::gguf::TensorType;
use aienv_engine::quant::dequantize;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [ty, from, to] = arguments.as_slice() else {
        eprintln!("usage: dequantize TYPE BLOCKS VALUES");
        return ExitCode::from(2);
    };
    match run(ty, from, to) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(ty: &str, from: &str, to: &str) -> Result<(), Box<dyn std::error::Error>> {
    let ty = TensorType::from_name(ty).ok_or("no such type")?;
    let blocks = fs::read(from)?;
    if !blocks.len().is_multiple_of(ty.block_bytes()) {
        return Err("not whole blocks".into());
    }
    let mut values = vec![0.0; blocks.len() / ty.block_bytes() * ty.block_len()];
    dequantize(ty, &blocks, &mut values);
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Ok(fs::write(to, bytes)?)
}
