//! What is given, what is to be done with it, and what comes out.

use std::sync::Arc;

use aienv_engine::{
    chat::{Origin, Template, ToolCall},
    generate::{Finish, Timings},
    gguf::File,
    tokenizer::{Encode, Tokenizer},
};
use serde_json::{Value, json};

use super::args::Args;
use crate::cli::{
    Failure,
    engine::{self, InputError, Speech},
};

/// Letters of a prompt that are repeated above its answer.
const SHOWN: usize = 60;

/// What was given as a prompt.
pub enum Given {
    Text(String),
    Ids(Vec<u32>),
}

/// What there is to do.
pub enum Task {
    /// Tokens to continue.
    Continue(Vec<u32>),
    /// Messages to answer.
    Answer(Vec<Value>),
}

/// What the model thought, and the tools it wants to be called.
pub type Spoken = (String, Vec<ToolCall>);

/// What came out.
pub struct Output {
    pub ids: Vec<u32>,
    pub text: String,
    /// What there is beside the text of an answer to messages.
    pub spoken: Option<Spoken>,
    pub finish: Option<Finish>,
    pub timings: Timings,
}

/// Reads what is given.
pub fn given(args: &Args) -> Result<Vec<Given>, Failure> {
    if !args.tokens.is_empty() {
        let ids = args.tokens.iter();
        return Ok(ids.map(|ids| Given::Ids(ids.0.clone())).collect());
    }
    if !args.prompt.is_empty() {
        return Ok(args.prompt.iter().cloned().map(Given::Text).collect());
    }
    let text = engine::read_text(args.file.as_deref())?;
    if !args.each_line {
        return Ok(vec![Given::Text(text)]);
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    Ok(lines.map(|line| Given::Text(line.to_owned())).collect())
}

/// How the model is spoken to, where texts are messages.
pub fn speech(
    args: &Args,
    file: &File,
    tokenizer: Option<&Arc<Tokenizer>>,
) -> Result<Option<Speech>, Failure> {
    let Some(tokenizer) = tokenizer.filter(|_| !args.raw && args.tokens.is_empty()) else {
        return Ok(None);
    };
    let template = Template::from_metadata(file.metadata(), tokenizer)?;
    let messages = args.chat || args.system.is_some() || template.origin() == Origin::File;
    Ok(messages.then(|| Speech::new(Arc::clone(tokenizer), template)))
}

/// Decides how what is given is meant. `answer`: texts are messages.
pub fn task(
    args: &Args,
    given: &Given,
    tokenizer: Option<&Arc<Tokenizer>>,
    answer: bool,
) -> Result<Task, Failure> {
    let text = match given {
        Given::Ids(ids) => return Ok(Task::Continue(ids.clone())),
        Given::Text(text) => text,
    };
    let tokenizer = tokenizer.ok_or(InputError::NoTokenizer)?;
    if answer {
        let system = args.system.iter();
        let mut messages: Vec<Value> = system
            .map(|text| json!({"role": "system", "content": text}))
            .collect();
        messages.push(json!({"role": "user", "content": text}));
        return Ok(Task::Answer(messages));
    }
    let mut ids = tokenizer.encode(text, Encode::PROMPT);
    // What closes a text does not belong at the end of one that is to be continued.
    if ids.len() > 1 && ids.last() == tokenizer.special().eos.as_ref() && !text.is_empty() {
        ids.pop();
    }
    Ok(Task::Continue(ids))
}

impl Given {
    /// The text or the ids.
    pub fn as_json(&self) -> Value {
        match self {
            Given::Text(text) => text.as_str().into(),
            Given::Ids(ids) => json!(ids),
        }
    }

    /// Its beginning in one line.
    pub fn shown(&self) -> String {
        let text = match self {
            Given::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            Given::Ids(ids) => {
                let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
                ids.join(",")
            }
        };
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// What came out, as JSON.
pub fn as_json(done: &Output, seed: u64) -> Value {
    let timings = &done.timings;
    let mut out = json!({
        "ids": done.ids,
        "text": done.text,
        "finish": done.finish,
        "seed": seed,
        "prompt_tokens": timings.prompt_tokens,
        "timings": {
            "prompt_seconds": timings.prompt.as_secs_f64(),
            "prompt_tokens_per_second": timings.prompt_rate(),
            "seconds": timings.generation.as_secs_f64(),
            "tokens_per_second": timings.rate(),
        },
    });
    if let Some((reasoning, calls)) = &done.spoken {
        let call = |call: &ToolCall| json!({"name": call.name, "arguments": call.arguments});
        out["reasoning"] = reasoning.as_str().into();
        out["calls"] = calls.iter().map(call).collect();
    }
    out
}
