//! Any bytes as a file's vocabulary, and a text after it: building the tokenizer must end in an
//! error or in one whose ids exist and whose two ways of decoding agree.
//!
//! The first line of the input is the text; the rest is a GGUF file. Start from the files in
//! `engine/tests/vocabularies`, each with a line put before it.

#![no_main]

use aienv_engine::gguf::File;
use aienv_engine::tokenizer::{Decode, Encode, Tokenizer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
        return;
    };
    let text = String::from_utf8_lossy(&bytes[..end]);
    let Ok(file) = File::from_bytes(bytes[end + 1..].to_vec()) else {
        return;
    };
    let Ok(tokenizer) = Tokenizer::from_metadata(file.metadata()) else {
        return;
    };
    for how in [Encode::TEXT, Encode::PROMPT] {
        let ids = tokenizer.encode(&text, how);
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.len()));
        for special in [false, true] {
            let mut decoder = tokenizer.decoder(special);
            let mut streamed: String = ids.iter().map(|&id| decoder.push(id)).collect();
            streamed.push_str(&decoder.finish());
            let clean = false;
            assert_eq!(streamed, tokenizer.decode(&ids, Decode { special, clean }));
        }
    }
});
