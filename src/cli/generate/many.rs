//! Several prompts, worked on at once and told in their order.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use aienv_engine::{
    generate::{AnswerId, Answers, Finish, Happening, Limits, Overflow, Piece, Request},
    model::{Context as Machine, Model, ModelError, SEQUENCES},
    sample::{Constraints, Grammar, Options},
    tokenizer::Tokenizer,
};
use serde_json::{Value, json};

use super::{
    super::{
        Context, Failure, Outcome,
        engine::{Hearing, InputError, ProductsArg, Speech, Stream, interrupts},
    },
    args::Args,
    task::{Given, Output, Spoken, Task, as_json},
};
use crate::error::UserError;

/// Tokens of prompts evaluated in one step.
const STRETCH: usize = 256;

/// Bytes per answer and token of the vocabulary: a score, and a candidate while one is chosen.
const CHOICE: u64 = 16;

/// What the work is done with.
pub struct Work {
    pub model: Arc<Model>,
    pub tokenizer: Option<Arc<Tokenizer>>,
    /// How the model is spoken to, where prompts are messages.
    pub speech: Option<Speech>,
    pub sampling: Options,
    /// Tokens of one prompt and its answer.
    pub tokens: usize,
    pub products: ProductsArg,
}

/// A prompt ready to be asked.
struct Asked {
    prompt: Vec<u32>,
    /// Where prompts are messages: what to do when the context is full, and what takes the answer.
    spoken: Option<(Overflow, Hearing)>,
}

/// One of several prompts has no answer.
#[derive(Debug, thiserror::Error)]
#[error("prompt {number} has no answer: {why}")]
struct Unanswered {
    number: usize,
    why: String,
    hint: Option<String>,
}

impl UserError for Unanswered {
    fn code(&self) -> &'static str {
        "model.unanswered"
    }

    fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// What has come of an answer.
enum Heard {
    Plain(Vec<u32>, String),
    Spoken(Box<Hearing>),
}

/// How far a prompt is.
enum State {
    Waits(Result<Asked, Failure>),
    AtWork,
    Done(Box<Result<Output, Failure>>),
    Told,
}

/// Prompts on their way to answers.
struct Round<'r> {
    args: &'r Args,
    work: &'r Work,
    context: &'r Context,
    given: Vec<Given>,
    states: Vec<State>,
    answers: Answers,
    heard: BTreeMap<AnswerId, (usize, Heard)>,
    grammar: Option<(Constraints, Grammar)>,
    cancel: Arc<AtomicBool>,
    stream: Stream,
    /// The first prompt that was not told of.
    next: usize,
    failed: bool,
    tokens: usize,
}

/// Works on all prompts.
pub fn run(args: &Args, prompts: Vec<(Given, Task)>, work: &Work, context: &Context) -> Outcome {
    let (given, tasks): (Vec<Given>, Vec<Task>) = prompts.into_iter().unzip();
    let asked: Vec<_> = tasks
        .into_iter()
        .map(|task| ask(args, task, work))
        .collect();
    let parallel = usize::from(args.parallel).min(asked.len()).max(1);
    let limits = Limits {
        answers: parallel,
        tokens: work.tokens,
        stretch: STRETCH,
        kept: SEQUENCES,
    };
    let machine = machine(args, &asked, work, parallel)?;
    let mut round = Round {
        args,
        work,
        context,
        given,
        states: asked.into_iter().map(State::Waits).collect(),
        answers: Answers::new(machine, work.tokenizer.clone(), limits),
        heard: BTreeMap::new(),
        grammar: grammar(args, work)?,
        cancel: interrupts::watch(interrupts::Again::Ends).map_err(InputError::Interrupts)?,
        stream: Stream::new(false),
        next: 0,
        failed: false,
        tokens: 0,
    };
    let began = Instant::now();
    round.work(parallel)?;
    if context.global.verbose > 0 {
        let seconds = began.elapsed().as_secs_f64();
        let rate = round.tokens as f64 / seconds.max(f64::MIN_POSITIVE);
        context.progress.note(&format!(
            "{} tokens in {seconds:.1} s, {rate:.1}/s for all answers together",
            round.tokens
        ));
    }
    round.end()
}

/// Makes a prompt of a task.
fn ask(args: &Args, task: Task, work: &Work) -> Result<Asked, Failure> {
    match (task, &work.speech) {
        (Task::Continue(prompt), _) => Ok(Asked {
            prompt,
            spoken: None,
        }),
        (Task::Answer(messages), Some(speech)) => {
            let asked = speech.ask(&messages, args.full(), work.tokens)?;
            Ok(Asked {
                prompt: asked.prompt,
                spoken: Some((asked.overflow, asked.hearing)),
            })
        }
        (Task::Answer(_), None) => Err(InputError::NoTokenizer.into()),
    }
}

/// A context for the longest of the prompts at once; for fewer, if memory does not suffice. More
/// are worked on all the same, as far as there is room.
fn machine(
    args: &Args,
    asked: &[Result<Asked, Failure>],
    work: &Work,
    parallel: usize,
) -> Result<Machine, Failure> {
    let most = args.max_tokens.unwrap_or(work.tokens);
    let prompts = asked.iter().flatten();
    let mut needs: Vec<usize> = prompts
        .map(|asked| asked.prompt.len().saturating_add(most).min(work.tokens))
        .collect();
    needs.sort_unstable_by_key(|need| std::cmp::Reverse(*need));
    let beside = work.model.config().vocabulary as u64 * CHOICE * parallel as u64;
    let mut count = parallel;
    loop {
        let together: usize = needs.iter().take(count).sum();
        // One answer may have all that it would have alone.
        let tokens = together.max(work.tokens);
        let model = Arc::clone(&work.model);
        match args
            .run
            .context_beside(model, tokens, work.products, beside)
        {
            Err(ModelError::Memory { .. }) if tokens > work.tokens => count -= 1,
            made => return Ok(made?),
        }
    }
}

/// Makes what answers must follow ready for the vocabulary, once for all.
fn grammar(args: &Args, work: &Work) -> Result<Option<(Constraints, Grammar)>, Failure> {
    let Some(grammar) = args.grammar.grammar()? else {
        return Ok(None);
    };
    let tokenizer = work.tokenizer.clone().ok_or(InputError::NoTokenizer)?;
    Ok(Some((Constraints::new(tokenizer)?, grammar)))
}

impl Round<'_> {
    /// Until all is told, nobody reads any more, or Ctrl-C.
    fn work(&mut self, parallel: usize) -> Result<(), Failure> {
        let mut first = 0;
        while self.next < self.states.len() && !self.cancelled() && self.stream.is_read() {
            // One that waits for each that is at work, so that none of these is missing.
            while first < self.states.len() && self.answers.len() < 2 * parallel {
                self.begin(first);
                first += 1;
            }
            for event in self.answers.step()? {
                self.hear(event.answer, event.what);
            }
            self.tell(false)?;
        }
        Ok(())
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Adds a prompt to the answers.
    fn begin(&mut self, at: usize) {
        let State::Waits(asked) = std::mem::replace(&mut self.states[at], State::AtWork) else {
            return;
        };
        let begun = asked.and_then(|asked| {
            let (request, heard) = self.request(asked.prompt.len(), asked.spoken)?;
            Ok((self.answers.add(asked.prompt, request)?, heard))
        });
        match begun {
            Ok((id, heard)) => {
                self.heard.insert(id, (at, heard));
            }
            Err(failure) => self.states[at] = State::Done(Box::new(Err(failure))),
        }
    }

    fn request(
        &self,
        prompt: usize,
        spoken: Option<(Overflow, Hearing)>,
    ) -> Result<(Request, Heard), Failure> {
        let (sampling, cancel) = (self.work.sampling.clone(), Arc::clone(&self.cancel));
        let (mut request, heard) = match spoken {
            Some((overflow, hearing)) => {
                let wish = self.args.answering(sampling, cancel);
                (wish.request(overflow), Heard::Spoken(Box::new(hearing)))
            }
            None => {
                let request = self.args.continuing(prompt, sampling, cancel);
                (request, Heard::Plain(Vec::new(), String::new()))
            }
        };
        if let Some((constraints, grammar)) = &self.grammar {
            request.constraint = Some(constraints.start(grammar)?);
        }
        Ok((request, heard))
    }

    fn hear(&mut self, id: AnswerId, what: Happening) {
        if let Happening::Piece(piece) = what {
            if let Some((_, heard)) = self.heard.get_mut(&id) {
                self.tokens += usize::from(piece.token.is_some());
                heard.push(&piece);
            }
            return;
        }
        let Some((at, heard)) = self.heard.remove(&id) else {
            return;
        };
        self.states[at] = match what {
            // What is not complete is not told.
            Happening::Piece(_)
            | Happening::Finished {
                finish: Finish::Cancelled,
                ..
            } => State::AtWork,
            Happening::Finished { finish, timings } => {
                let (ids, text, spoken) = heard.finish();
                State::Done(Box::new(Ok(Output {
                    ids,
                    text,
                    spoken,
                    finish: Some(finish),
                    timings,
                })))
            }
            Happening::Failed(error) => State::Done(Box::new(Err(error.into()))),
        };
    }

    /// Tells of the prompts that are done, in their order: up to the first that is not, or `all`.
    fn tell(&mut self, all: bool) -> Result<(), Failure> {
        while self.next < self.states.len() {
            let at = self.next;
            match std::mem::replace(&mut self.states[at], State::Told) {
                State::Done(done) => self.tell_one(at, *done)?,
                other if !all => {
                    self.states[at] = other;
                    return Ok(());
                }
                _ => {}
            }
            self.next += 1;
        }
        Ok(())
    }

    fn tell_one(&mut self, at: usize, done: Result<Output, Failure>) -> Result<(), Failure> {
        let given = &self.given[at];
        if let Err(failure) = &done {
            self.failed = true;
            let unanswered = Unanswered {
                number: at + 1,
                why: failure.told(),
                hint: failure.hint(),
            };
            Failure::from(unanswered).report(self.context.global.verbose > 0, false);
        }
        if self.args.json {
            let mut line = json!({ "prompt": given.as_json() });
            let about = match &done {
                Ok(done) => as_json(done, self.work.sampling.seed),
                Err(failure) => json!({ "error": failure.json() }),
            };
            if let (Value::Object(line), Value::Object(about)) = (&mut line, about) {
                line.extend(about);
            }
            return self.stream.raw(&format!("{line}\n"));
        }
        let Ok(done) = done else {
            return Ok(());
        };
        let gap = if at == 0 { "" } else { "\n" };
        self.stream
            .raw(&format!("{gap}==> {} <==\n", given.shown()))?;
        match &self.work.tokenizer {
            Some(_) => self.stream.raw(done.text.trim_start())?,
            None => {
                let ids: Vec<String> = done.ids.iter().map(u32::to_string).collect();
                self.stream.raw(&ids.join(" "))?;
            }
        }
        self.stream.finish()?;
        for call in done.spoken.iter().flat_map(|(_, calls)| calls) {
            let arguments = Value::Object(call.arguments.clone());
            self.stream.raw(&format!("{}({arguments})\n", call.name))?;
        }
        Ok(())
    }

    /// Tells of what is complete, and how it ended.
    fn end(mut self) -> Outcome {
        let interrupted = self.cancelled() && self.next < self.states.len();
        if interrupted {
            let (total, done) = (self.states.len(), |state: &&State| {
                matches!(state, State::Done(_) | State::Told)
            });
            let complete = self.states.iter().filter(done).count();
            self.tell(true)?;
            let note = format!("interrupted: {complete} of {total} prompts were through");
            self.context.progress.note(&note);
        }
        Ok(match (interrupted, self.failed) {
            (true, _) => ExitCode::from(interrupts::INTERRUPTED),
            (false, true) => ExitCode::FAILURE,
            (false, false) => ExitCode::SUCCESS,
        })
    }
}

impl Heard {
    fn push(&mut self, piece: &Piece) {
        match self {
            Heard::Plain(ids, text) => {
                ids.extend(piece.token);
                text.push_str(&piece.text);
            }
            Heard::Spoken(hearing) => {
                hearing.push(piece);
            }
        }
    }

    fn finish(self) -> (Vec<u32>, String, Option<Spoken>) {
        match self {
            Heard::Plain(ids, text) => (ids, text, None),
            Heard::Spoken(hearing) => {
                let (_, answer, ids) = hearing.finish();
                (ids, answer.text, Some((answer.reasoning, answer.calls)))
            }
        }
    }
}
