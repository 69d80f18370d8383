//! `aienv generate`

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use aienv_engine::{
    chat::{Origin, Template},
    generate::{Finish, Overflow, Request, Session, Timings},
    gguf::File,
    sample::Options,
    tokenizer::{Encode, Tokenizer},
};
use serde_json::{Value, json};

use super::{
    Context, Failure, Outcome,
    engine::{
        self, Dialogue, Full, GrammarArgs, Ids, InputError, ModelArgs, ProductsArg, RunArgs,
        SamplingArgs, Stream, Wish, interrupts, tell_timings,
    },
    output,
};

/// The context, where none is asked for and the model knows more.
const CONTEXT: usize = 4096;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The text to continue or the message to answer; standard input if none is given
    #[arg(long, short, value_name = "TEXT", group = "input")]
    prompt: Option<String>,
    /// Take it from this file
    #[arg(long, value_name = "FILE", group = "input")]
    file: Option<PathBuf>,
    /// Continue these token ids, such as `1,2,3`
    #[arg(long, value_name = "IDS", group = "input")]
    tokens: Option<Ids>,
    /// Continue the text as it is
    #[arg(long, conflicts_with_all = ["chat", "system"])]
    raw: bool,
    /// Answer the text as a message; the default if the file has a chat template
    #[arg(long, conflicts_with = "tokens")]
    chat: bool,
    /// What the model is told before the message
    #[arg(long, value_name = "TEXT", conflicts_with = "tokens")]
    system: Option<String>,
    /// The most tokens to generate; by default until the model ends
    #[arg(long = "max-tokens", short = 'n', value_name = "N")]
    max_tokens: Option<usize>,
    /// A text that ends the output and is no part of it (may be repeated)
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    stop: Vec<String>,
    /// Go on where the model would end
    #[arg(long, conflicts_with_all = ["chat", "system"])]
    ignore_end: bool,
    /// Tokens the context has room for; by default what the model knows, at most 4096 unless more
    /// are needed
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// Fail when the context is full, instead of dropping older tokens
    #[arg(long)]
    no_shift: bool,
    /// How products with the weights are computed; by default `quantised`, and `exact` with
    /// `--tokens`, which is for comparing
    #[arg(long, value_enum, value_name = "HOW")]
    products: Option<ProductsArg>,
    /// Print text, ids and timings as JSON when it is done
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    grammar: GrammarArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// What there is to do.
enum Task {
    /// Tokens to continue.
    Continue(Vec<u32>),
    /// Messages to answer.
    Answer(Template, Vec<Value>),
}

/// What came out.
struct Output {
    ids: Vec<u32>,
    text: String,
    reasoning: Option<String>,
    calls: Value,
    finish: Option<Finish>,
    timings: Timings,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let model = args.model.load(context)?;
    let tokenizer = engine::tokenizer_if_any(model.file())?;
    let task = task(&args, model.file(), tokenizer.as_ref())?;
    let sampling = args.sampling.options(args.model.demo);
    let seed = sampling.seed;
    let products = args.products.unwrap_or(match args.tokens {
        Some(_) => ProductsArg::Exact,
        None => ProductsArg::Quantised,
    });
    let known = model.config().context;
    let tokens = args.context.unwrap_or_else(|| {
        let prompt = match &task {
            Task::Continue(prompt) => prompt.len(),
            Task::Answer(..) => 0,
        };
        let wanted = prompt.saturating_add(args.max_tokens.unwrap_or(0));
        wanted.max(CONTEXT).min(known)
    });
    if let Task::Continue(prompt) = &task {
        engine::check_ids(prompt, model.config().vocabulary)?;
    }
    let running = args.run.context(model, tokens, products)?;
    let session = Session::new(running, tokenizer.clone());
    // A prompt may take long, and is not left before its next stretch is through.
    let cancel = interrupts::watch(interrupts::Again::Ends).map_err(InputError::Interrupts)?;
    let done = match task {
        Task::Continue(prompt) => proceed(&args, session, &prompt, sampling, &cancel)?,
        Task::Answer(template, messages) => {
            let tokenizer = tokenizer.ok_or(InputError::NoTokenizer)?;
            let dialogue = Dialogue::new(session, tokenizer, template);
            answer(&args, dialogue, &messages, sampling, &cancel, context)?
        }
    };
    if context.global.verbose > 0 {
        tell_timings(context, &done.timings);
    }
    if args.json {
        output::json(&as_json(&done, seed))?;
    }
    Ok(match done.finish {
        Some(Finish::Cancelled) => ExitCode::from(interrupts::INTERRUPTED),
        _ => ExitCode::SUCCESS,
    })
}

/// Reads what is given and decides how it is meant.
fn task(args: &Args, file: &File, tokenizer: Option<&Arc<Tokenizer>>) -> Result<Task, Failure> {
    if let Some(ids) = &args.tokens {
        return Ok(Task::Continue(ids.0.clone()));
    }
    let Some(tokenizer) = tokenizer else {
        return Err(InputError::NoTokenizer.into());
    };
    let text = match &args.prompt {
        Some(text) => text.clone(),
        None => engine::read_text(args.file.as_deref())?,
    };
    if !args.raw {
        let template = Template::from_metadata(file.metadata(), tokenizer)?;
        if args.chat || args.system.is_some() || template.origin() == Origin::File {
            let system = args.system.iter();
            let mut messages: Vec<Value> = system
                .map(|text| json!({"role": "system", "content": text}))
                .collect();
            messages.push(json!({"role": "user", "content": text}));
            return Ok(Task::Answer(template, messages));
        }
    }
    let mut ids = tokenizer.encode(&text, Encode::PROMPT);
    // What closes a text does not belong at the end of one that is to be continued.
    if ids.len() > 1 && ids.last() == tokenizer.special().eos.as_ref() && !text.is_empty() {
        ids.pop();
    }
    Ok(Task::Continue(ids))
}

/// Continues tokens.
fn proceed(
    args: &Args,
    mut session: Session,
    prompt: &[u32],
    sampling: Options,
    cancel: &AtomicBool,
) -> Result<Output, Failure> {
    let grammar = args.grammar.grammar()?;
    let constraint = match (&grammar, session.tokenizer()) {
        (Some(_), None) => return Err(InputError::NoTokenizer.into()),
        (_, None) => None,
        (grammar, Some(tokenizer)) => engine::constraint(grammar.as_ref(), tokenizer)?,
    };
    let request = Request {
        sampling,
        max_tokens: args.max_tokens,
        stops: args.stop.clone(),
        overflow: match (args.no_shift, args.max_tokens) {
            (true, _) => Overflow::Refuse,
            // Without an end of its own a text would go on for ever.
            (false, None) => Overflow::End,
            (false, Some(_)) => Overflow::Shift {
                keep: prompt.len() / 2,
            },
        },
        special: false,
        ignore_end: args.ignore_end,
        cancel: Some(cancel),
        constraint,
    };
    let without_text = session.tokenizer().is_none();
    let mut generation = session.start(prompt, request)?;
    let mut stream = Stream::new(false);
    let (mut ids, mut text) = (Vec::new(), String::new());
    while stream.is_read()
        && let Some(piece) = generation.next()
    {
        let piece = piece?;
        ids.extend(piece.token);
        text.push_str(&piece.text);
        if !args.json {
            match (without_text, piece.token) {
                (true, Some(id)) => stream.raw(&format!("{id} "))?,
                _ => stream.raw(&piece.text)?,
            }
        }
    }
    if !args.json {
        stream.finish()?;
    }
    Ok(Output {
        ids,
        text,
        reasoning: None,
        calls: Value::Null,
        finish: generation.finish(),
        timings: generation.timings(),
    })
}

/// Answers messages.
fn answer(
    args: &Args,
    mut dialogue: Dialogue,
    messages: &[Value],
    sampling: Options,
    cancel: &AtomicBool,
    context: &Context,
) -> Result<Output, Failure> {
    let grammar = args.grammar.grammar()?;
    let wish = Wish {
        sampling,
        max_tokens: args.max_tokens,
        stops: args.stop.clone(),
        constraint: engine::constraint(grammar.as_ref(), dialogue.tokenizer())?,
        full: match (args.no_shift, args.max_tokens) {
            (true, _) => Full::Refuse,
            (false, None) => Full::End,
            (false, Some(_)) => Full::Shift,
        },
        cancel: Some(cancel),
    };
    let mut stream = Stream::new(!context.global.quiet);
    let answered = dialogue.answer(messages, wish, &mut |piece| match args.json {
        true => Ok(true),
        false => stream.piece(piece).map(|()| stream.is_read()),
    })?;
    if !args.json {
        stream.finish()?;
    }
    let calls = answered.answer.calls.iter();
    Ok(Output {
        ids: answered.ids,
        text: answered.answer.text,
        reasoning: Some(answered.answer.reasoning),
        calls: calls
            .map(|call| json!({"name": call.name, "arguments": call.arguments}))
            .collect(),
        finish: answered.finish,
        timings: answered.timings,
    })
}

fn as_json(done: &Output, seed: u64) -> Value {
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
    if let Some(reasoning) = &done.reasoning {
        out["reasoning"] = reasoning.as_str().into();
        out["calls"] = done.calls.clone();
    }
    out
}
