//! Results on standard output.

use std::io::{self, Write as _};

use serde::Serialize;

/// Writes a result. A reader that went away (`aienv list | head`) is no error.
pub fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a result as indented JSON.
pub fn print_json(value: &impl Serialize) {
    // The values of the command line have string keys and finite numbers, so this cannot fail;
    // an empty answer would be worse than a message.
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => eprintln!("cannot write JSON: {error}"),
    }
}
