//! Any text as a chat template and as an answer: rendering must end, and an answer must come out the
//! same however it is cut.

#![no_main]

use aienv_engine::chat::{Chat, Format, Parser, Piece, Template};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|source: &str| {
    // The fuzzer's own hook would take a panic that the library catches for a crash.
    std::panic::set_hook(Box::new(|_| {}));
    let Ok(template) = Template::new(source, "<s>", "</s>") else {
        return;
    };
    let message = |role: &str| serde_json::json!({"role": role, "content": "Hi"});
    let chat = Chat {
        messages: vec![message("system"), message("user")],
        add_generation_prompt: true,
        ..Chat::default()
    };
    let prompt = template.render(&chat).unwrap_or_default();
    let format = Format::of(&template);
    let whole = Parser::parse(format, &prompt, source);
    let mut parser = Parser::new(format, &prompt);
    let mut pieces = Vec::new();
    for c in source.chars() {
        pieces.extend(parser.push(c.encode_utf8(&mut [0; 4])));
    }
    pieces.extend(parser.finish());
    let calls = pieces.iter().filter(|piece| matches!(piece, Piece::Call(_))).count();
    assert_eq!(calls, whole.calls.len());
});
