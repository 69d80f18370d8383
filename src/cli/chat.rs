//! `aienv chat`

mod input;
mod said;

use std::{
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aienv_engine::{
    chat::Template,
    generate::{Finish, Session, Timings},
};
use serde_json::{Value, json};

use super::{
    Context, Failure, Outcome,
    engine::{
        self, Dialogue, Full, InputError, ModelArgs, ProductsArg, RunArgs, SamplingArgs, Speech,
        Stream, Wish, interrupts, tell_timings,
    },
    output,
};
use crate::error::UserError;
use input::{Input, Line};
use said::{Reader, Said};

/// The context, where none is asked for and the model knows more.
const CONTEXT: usize = 4096;

const HELP: &str = "\
/system TEXT   tell the model what it is to be; without TEXT, nothing any more
/reset         forget the conversation, keep the system prompt
/save FILE     write the conversation to a new file, as JSON
/speed         tell how fast the last answer was; with -v each answer tells it
/help          show this
/exit          end; Ctrl-D does it too
A line that ends with \\ goes on in the next one; a text of many lines stands between two \"\"\".
Ctrl-C stops an answer.
";

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// What the model is told before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The most tokens of an answer; by default until the model ends
    #[arg(long = "max-tokens", short = 'n', value_name = "N")]
    max_tokens: Option<usize>,
    /// Tokens the context has room for; by default what the model knows, at most 4096
    #[arg(long, value_name = "N")]
    context: Option<usize>,
    /// How products with the weights are computed
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProductsArg::Quantised)]
    products: ProductsArg,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// The conversation cannot be kept, or the terminal not be used.
#[derive(Debug, thiserror::Error)]
enum ChatError {
    #[error("cannot write `{}`", path.display())]
    Save {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot read what is typed")]
    Input(#[source] io::Error),
    #[error("{0}")]
    Command(String),
}

impl UserError for ChatError {
    fn code(&self) -> &'static str {
        match self {
            Self::Save { .. } => "chat.save",
            Self::Input(_) => "chat.input",
            Self::Command(_) => "chat.command",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Command(_) => Some("`/help` lists the commands".to_owned()),
            Self::Save { source, .. } if source.kind() == io::ErrorKind::AlreadyExists => {
                Some("name a file that is not there yet".to_owned())
            }
            Self::Save { .. } | Self::Input(_) => None,
        }
    }
}

/// A conversation with a person or a script.
struct Conversation<'c> {
    args: &'c Args,
    context: &'c Context,
    dialogue: Dialogue,
    system: Option<String>,
    /// Questions and answers, without the system prompt.
    messages: Vec<Value>,
    interactive: bool,
    /// Set by Ctrl-C.
    cancel: Arc<AtomicBool>,
    /// How long the last answer took.
    last: Option<Timings>,
}

pub fn run(args: Args, context: &Context) -> Outcome {
    let model = args.model.load(context)?;
    let tokenizer = engine::tokenizer(model.file())?;
    let template = Template::from_metadata(model.file().metadata(), &tokenizer)?;
    args.sampling.check(model.config().vocabulary)?;
    let known = model.config().context;
    let name = model.config().name.clone();
    let tokens = args.context.unwrap_or(CONTEXT.min(known));
    let running = args.run.context(model, tokens, args.products)?;
    let session = Session::new(running, Some(Arc::clone(&tokenizer)));
    let interactive = io::stdin().is_terminal() && io::stdout().is_terminal();
    let cancel = match interactive {
        true => interrupts::watch(interrupts::Again::Waits).map_err(InputError::Interrupts)?,
        // Ctrl-C ends a script.
        false => Arc::default(),
    };
    let mut conversation = Conversation {
        dialogue: Dialogue::new(session, Speech::new(tokenizer, template)),
        system: args.system.clone(),
        messages: Vec::new(),
        interactive,
        cancel,
        last: None,
        args: &args,
        context,
    };
    let mut input = match interactive {
        true => {
            let path = args.model.path().unwrap_or(Path::new("the model"));
            let name = name.unwrap_or_else(|| path.display().to_string());
            context.progress.note(&format!(
                "{}; /help lists commands",
                output::shown_in_line(&name)
            ));
            Input::terminal(&context.home).map_err(ChatError::Input)?
        }
        false => Input::lines(),
    };
    conversation.talk(&mut input)?;
    Ok(ExitCode::SUCCESS)
}

impl Conversation<'_> {
    /// Takes what is said until the end of it.
    fn talk(&mut self, input: &mut Input) -> Result<(), Failure> {
        let mut reader = Reader::default();
        loop {
            let said = match input.line(reader.within()).map_err(ChatError::Input)? {
                Line::Text(line) => reader.push(&line),
                Line::Interrupted => {
                    reader = Reader::default();
                    self.context.progress.note("Ctrl-D or /exit ends");
                    continue;
                }
                Line::End => reader.end(),
            };
            let done = match said {
                Said::More => continue,
                Said::Exit => return Ok(()),
                Said::Message(text) => self.answer(&text),
                Said::Command(command, rest) => self.command(&command, &rest),
            };
            match done {
                Err(failure) if self.interactive => {
                    failure.report(false, false);
                }
                done => done?,
            }
        }
    }

    fn answer(&mut self, text: &str) -> Result<(), Failure> {
        self.cancel.store(false, Ordering::Relaxed);
        let system = self.system.iter();
        let mut messages: Vec<Value> = system
            .map(|text| json!({"role": "system", "content": text}))
            .collect();
        messages.extend(self.messages.iter().cloned());
        let question = json!({"role": "user", "content": text});
        messages.push(question.clone());
        let wish = Wish {
            sampling: self.args.sampling.options(self.args.model.demo),
            max_tokens: self.args.max_tokens,
            stops: Vec::new(),
            constraint: None,
            full: match self.interactive {
                true => Full::Shift,
                // Nobody is there to stop it.
                false => Full::End,
            },
            cancel: Some(Arc::clone(&self.cancel)),
        };
        let mut stream = Stream::new(!self.context.global.quiet);
        let answered = self.dialogue.answer(&messages, wish, &mut |piece| {
            stream.piece(piece).map(|()| stream.is_read())
        });
        stream.finish()?;
        let answered = answered?;
        if answered.finish == Some(Finish::Length) {
            output::note(self.context, "the answer was cut off: no more tokens");
        }
        // A question that was stopped before anything came is as good as not asked.
        let text = answered.answer.text;
        if answered.finish != Some(Finish::Cancelled) || !text.is_empty() {
            let reply = json!({"role": "assistant", "content": text});
            self.messages.extend([question, reply]);
        }
        self.last = Some(answered.timings);
        if self.context.global.verbose > 0 {
            tell_timings(self.context, &answered.timings);
        }
        Ok(())
    }

    fn command(&mut self, command: &str, rest: &str) -> Result<(), Failure> {
        match (command, rest) {
            ("help", "") => {
                self.context.progress.note(HELP.trim_end());
                Ok(())
            }
            ("reset", "") => {
                self.messages.clear();
                self.confirm("the next message begins a new conversation");
                Ok(())
            }
            ("speed", "") => match &self.last {
                Some(timings) => {
                    tell_timings(self.context, timings);
                    Ok(())
                }
                None => Err(ChatError::Command("there is no answer yet".to_owned()).into()),
            },
            ("system", text) => {
                self.system = Some(text.to_owned()).filter(|text| !text.is_empty());
                self.confirm(match &self.system {
                    Some(_) => "this holds from the next answer on",
                    None => "there is no system prompt any more",
                });
                Ok(())
            }
            ("save", "") => Err(ChatError::Command("/save needs a file".to_owned()).into()),
            ("save", path) => Ok(self.save(Path::new(path))?),
            ("help" | "reset" | "speed", more) => {
                let text = format!("/{command} takes nothing behind it, but `{more}` is there");
                Err(ChatError::Command(text).into())
            }
            _ => Err(ChatError::Command(format!("there is no command `/{command}`")).into()),
        }
    }

    /// Tells a person that what they said was done; a script need not be told.
    fn confirm(&self, what: &str) {
        if self.interactive {
            self.context.progress.note(what);
        }
    }

    /// Writes the conversation to a file that must not exist yet.
    fn save(&self, path: &Path) -> Result<(), ChatError> {
        let system = self.system.iter();
        let system = system.map(|text| json!({"role": "system", "content": text}));
        let messages: Vec<Value> = system.chain(self.messages.iter().cloned()).collect();
        let failed = |source| ChatError::Save {
            path: path.to_owned(),
            source,
        };
        let file = std::fs::File::create_new(path).map_err(failed)?;
        serde_json::to_writer_pretty(&file, &json!({ "messages": messages }))
            .map_err(|error| failed(error.into()))?;
        self.context
            .progress
            .done(&format!("wrote `{}`", path.display()));
        Ok(())
    }
}
