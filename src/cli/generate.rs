//! `aienv generate`

mod args;
mod many;
mod task;

use std::{
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use aienv_engine::{
    generate::{Finish, Session},
    sample::Options,
};
use serde_json::Value;

pub use args::Args;

use super::{
    Context, Failure, Outcome,
    engine::{self, Dialogue, InputError, ProductsArg, Stream, interrupts, tell_timings},
    output,
};
use task::{Output, Task, as_json, given, speech, task};

/// The context, where none is asked for and the model knows more.
const CONTEXT: usize = 4096;

pub fn run(args: Args, context: &Context) -> Outcome {
    let model = args.model.load(context)?;
    let tokenizer = engine::tokenizer_if_any(model.file())?;
    if tokenizer.is_none() && args.tokens.is_empty() {
        return Err(InputError::NoTokenizer.into());
    }
    let given = given(&args)?;
    let speech = speech(&args, model.file(), tokenizer.as_ref())?;
    let tasks: Result<Vec<Task>, Failure> = given
        .iter()
        .map(|given| task(&args, given, tokenizer.as_ref(), speech.is_some()))
        .collect();
    let mut tasks = tasks?;
    args.sampling.check(model.config().vocabulary)?;
    let sampling = args.sampling.options(args.model.demo);
    let products = args.products.unwrap_or(match args.tokens.is_empty() {
        false => ProductsArg::Exact,
        true => ProductsArg::Quantised,
    });
    let mut longest = 0;
    for task in &tasks {
        if let Task::Continue(prompt) = task {
            engine::check_ids(prompt, model.config().vocabulary)?;
            longest = longest.max(prompt.len());
        }
    }
    let known = model.config().context;
    let tokens = args.context.unwrap_or_else(|| {
        let wanted = longest.saturating_add(args.max_tokens.unwrap_or(0));
        wanted.max(CONTEXT).min(known)
    });
    let single = match args.each_line || tasks.len() > 1 {
        true => None,
        false => tasks.pop(),
    };
    let Some(task) = single else {
        let prompts = given.into_iter().zip(tasks).collect();
        let work = many::Work {
            model,
            tokenizer,
            speech,
            sampling,
            tokens,
            products,
        };
        return many::run(&args, prompts, &work, context);
    };
    let running = args.run.context(model, tokens, products)?;
    let session = Session::new(running, tokenizer);
    let cancel = interrupts::watch(interrupts::Again::Ends).map_err(InputError::Interrupts)?;
    let seed = sampling.seed;
    let done = match (task, speech) {
        (Task::Answer(messages), Some(speech)) => {
            let dialogue = Dialogue::new(session, speech);
            answer(&args, dialogue, &messages, sampling, cancel, context)?
        }
        (Task::Answer(_), None) => return Err(InputError::NoTokenizer.into()),
        (Task::Continue(prompt), _) => proceed(&args, session, &prompt, sampling, cancel)?,
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

/// Continues tokens.
fn proceed(
    args: &Args,
    mut session: Session,
    prompt: &[u32],
    sampling: Options,
    cancel: Arc<AtomicBool>,
) -> Result<Output, Failure> {
    let grammar = args.grammar.grammar()?;
    let mut request = args.continuing(prompt.len(), sampling, cancel);
    request.constraint = match (&grammar, session.tokenizer()) {
        (Some(_), None) => return Err(InputError::NoTokenizer.into()),
        (_, None) => None,
        (grammar, Some(tokenizer)) => engine::constraint(grammar.as_ref(), tokenizer)?,
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
        spoken: None,
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
    cancel: Arc<AtomicBool>,
    context: &Context,
) -> Result<Output, Failure> {
    let grammar = args.grammar.grammar()?;
    let mut wish = args.answering(sampling, cancel);
    wish.constraint = engine::constraint(grammar.as_ref(), dialogue.tokenizer())?;
    let mut stream = Stream::new(!context.global.quiet);
    let answered = dialogue.answer(messages, wish, &mut |piece| match args.json {
        true => Ok(true),
        false => stream.piece(piece).map(|()| stream.is_read()),
    })?;
    if !args.json {
        stream.finish()?;
    }
    Ok(Output {
        ids: answered.ids,
        text: answered.answer.text,
        spoken: Some((answered.answer.reasoning, answered.answer.calls)),
        finish: answered.finish,
        timings: answered.timings,
    })
}
