//! Messages answered: from messages to a prompt, and from what the model makes of it to an answer.

use std::sync::{Arc, atomic::AtomicBool};

use aienv_engine::{
    chat::{Answer, Chat, Format, Parser, Piece, Template},
    generate::{self, Finish, Overflow, Request, Session, Timings},
    sample::{Constraint, Options},
    tokenizer::Tokenizer,
};
use serde_json::{Value, json};

use crate::cli::Failure;

/// A session, and what turns messages into prompts for it.
pub struct Dialogue {
    session: Session,
    speech: Speech,
}

/// How a model is spoken to.
pub struct Speech {
    tokenizer: Arc<Tokenizer>,
    template: Template,
}

/// Messages in the words of a model.
pub struct Asked {
    /// The prompt.
    pub prompt: Vec<u32>,
    /// What to do when the answer has filled the context.
    pub overflow: Overflow,
    /// What takes the answer.
    pub hearing: Hearing,
}

/// An answer taken apart while it comes.
pub struct Hearing {
    parser: Parser,
    answer: Answer,
    ids: Vec<u32>,
}

/// How to answer.
pub struct Wish {
    /// How tokens are chosen.
    pub sampling: Options,
    /// The most tokens.
    pub max_tokens: Option<usize>,
    /// What ends the answer.
    pub stops: Vec<String>,
    /// What the answer must follow.
    pub constraint: Option<Constraint>,
    /// What to do when the context is full.
    pub full: Full,
    /// Ends the answer when set.
    pub cancel: Option<Arc<AtomicBool>>,
}

/// What to do when an answer has filled the context.
#[derive(Clone, Copy, Debug)]
pub enum Full {
    /// End it.
    End,
    /// Fail.
    Refuse,
    /// Drop older tokens and go on.
    Shift,
}

/// An answer that has ended.
pub struct Answered {
    /// Its parts.
    pub answer: Answer,
    /// Its tokens.
    pub ids: Vec<u32>,
    /// Why it ended.
    pub finish: Option<Finish>,
    /// How long it took.
    pub timings: Timings,
}

impl Dialogue {
    /// A dialogue over a session.
    pub fn new(session: Session, speech: Speech) -> Self {
        Self { session, speech }
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.speech.tokenizer
    }

    /// Answers the last of the messages. `piece` gets the answer as it comes; false from it ends it.
    pub fn answer(
        &mut self,
        messages: &[Value],
        wish: Wish,
        piece: &mut dyn FnMut(&Piece) -> Result<bool, Failure>,
    ) -> Result<Answered, Failure> {
        let size = self.session.context().size();
        let asked = self.speech.ask(messages, wish.full, size)?;
        let mut hearing = asked.hearing;
        let request = wish.request(asked.overflow);
        let mut generation = self.session.start(&asked.prompt, request)?;
        let mut wanted = true;
        while wanted && let Some(part) = generation.next() {
            for found in hearing.push(&part?) {
                wanted &= piece(&found)?;
            }
        }
        let (rest, answer, ids) = hearing.finish();
        for found in rest {
            piece(&found)?;
        }
        Ok(Answered {
            answer,
            ids,
            finish: generation.finish(),
            timings: generation.timings(),
        })
    }
}

impl Wish {
    /// The wish as the engine wants it.
    pub fn request(self, overflow: Overflow) -> Request {
        Request {
            sampling: self.sampling,
            max_tokens: self.max_tokens,
            stops: self.stops,
            overflow,
            special: true,
            ignore_end: false,
            cancel: self.cancel,
            constraint: self.constraint,
        }
    }
}

impl Hearing {
    /// Takes what comes next, and gives what is certain now.
    pub fn push(&mut self, part: &generate::Piece) -> Vec<Piece> {
        self.ids.extend(part.token);
        let found = self.parser.push(&part.text);
        found.iter().for_each(|piece| add(&mut self.answer, piece));
        found
    }

    /// Ends the answer: what was held back, all of it, and its tokens.
    pub fn finish(mut self) -> (Vec<Piece>, Answer, Vec<u32>) {
        let rest = self.parser.finish();
        let mut answer = self.answer;
        rest.iter().for_each(|piece| add(&mut answer, piece));
        answer.text = answer.text.trim().to_owned();
        answer.reasoning = answer.reasoning.trim().to_owned();
        (rest, answer, self.ids)
    }
}

impl Speech {
    /// For a model's vocabulary and template.
    pub fn new(tokenizer: Arc<Tokenizer>, template: Template) -> Self {
        Self {
            tokenizer,
            template,
        }
    }

    /// The prompt for an answer to the last of the messages, in a context of `size` tokens.
    pub fn ask(&self, messages: &[Value], full: Full, size: usize) -> Result<Asked, Failure> {
        let (chat, prompt) = self.fitting(messages, size)?;
        let overflow = match full {
            Full::End => Overflow::End,
            Full::Refuse => Overflow::Refuse,
            Full::Shift => Overflow::Shift {
                keep: self.beginning(&chat, &prompt)?,
            },
        };
        let text = self.template.render(&chat)?;
        Ok(Asked {
            prompt,
            overflow,
            hearing: Hearing {
                parser: Parser::new(Format::of(&self.template), &text),
                answer: Answer::default(),
                ids: Vec::new(),
            },
        })
    }

    /// The prompt for the messages; the oldest but the system's are left out while it leaves less
    /// than a quarter of the context for the answer.
    fn fitting(&self, messages: &[Value], size: usize) -> Result<(Chat, Vec<u32>), Failure> {
        let mut chat = Chat {
            messages: messages.to_vec(),
            add_generation_prompt: true,
            ..Chat::default()
        };
        loop {
            let prompt = self.template.encode(&chat, &self.tokenizer)?;
            let first = chat.messages.iter().position(|m| m["role"] != "system");
            let first = first.unwrap_or(0);
            // A question goes with its answer.
            if prompt.len() + size / 4 <= size || chat.messages.len() < first + 3 {
                return Ok((chat, prompt));
            }
            chat.messages.drain(first..first + 2);
        }
    }

    /// How many of the prompt's first tokens do not depend on what the user said.
    fn beginning(&self, chat: &Chat, prompt: &[u32]) -> Result<usize, Failure> {
        let mut other = chat.clone();
        other.messages.retain(|message| message["role"] == "system");
        other.messages.push(json!({"role": "user", "content": "."}));
        let other = self.template.encode(&other, &self.tokenizer)?;
        let same = other.iter().zip(prompt).take_while(|(a, b)| a == b);
        Ok(same.count().min(prompt.len() / 2))
    }
}

fn add(answer: &mut Answer, piece: &Piece) {
    match piece {
        Piece::Text(text) => answer.text.push_str(text),
        Piece::Reasoning(text) => answer.reasoning.push_str(text),
        Piece::Call(call) => answer.calls.push(call.clone()),
    }
}
