//! A model that answers messages: template, generation and the answer taken apart, in one.

use std::sync::{Arc, atomic::AtomicBool};

use aienv_engine::{
    chat::{Answer, Chat, Format, Parser, Piece, Template},
    generate::{Finish, Overflow, Request, Session, Timings},
    sample::{Constraint, Options},
    tokenizer::Tokenizer,
};
use serde_json::{Value, json};

use crate::cli::Failure;

/// A session, and what turns messages into prompts for it.
pub struct Dialogue {
    session: Session,
    tokenizer: Arc<Tokenizer>,
    template: Template,
}

/// How to answer.
pub struct Wish<'w> {
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
    pub cancel: Option<&'w AtomicBool>,
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
    pub fn new(session: Session, tokenizer: Arc<Tokenizer>, template: Template) -> Self {
        Self {
            session,
            tokenizer,
            template,
        }
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// Answers the last of the messages. `piece` gets the answer as it comes; false from it ends it.
    pub fn answer(
        &mut self,
        messages: &[Value],
        wish: Wish<'_>,
        piece: &mut dyn FnMut(&Piece) -> Result<bool, Failure>,
    ) -> Result<Answered, Failure> {
        let (chat, prompt) = self.fitting(messages)?;
        let overflow = match wish.full {
            Full::End => Overflow::End,
            Full::Refuse => Overflow::Refuse,
            Full::Shift => Overflow::Shift {
                keep: self.beginning(&chat, &prompt)?,
            },
        };
        let text = self.template.render(&chat)?;
        let mut parser = Parser::new(Format::of(&self.template), &text);
        let request = Request {
            sampling: wish.sampling,
            max_tokens: wish.max_tokens,
            stops: wish.stops,
            overflow,
            special: true,
            ignore_end: false,
            cancel: wish.cancel,
            constraint: wish.constraint,
        };
        let mut generation = self.session.start(&prompt, request)?;
        let (mut answer, mut ids) = (Answer::default(), Vec::new());
        let mut wanted = true;
        while wanted && let Some(part) = generation.next() {
            let part = part?;
            ids.extend(part.token);
            for found in parser.push(&part.text) {
                wanted &= piece(&found)?;
                add(&mut answer, found);
            }
        }
        for found in parser.finish() {
            piece(&found)?;
            add(&mut answer, found);
        }
        answer.text = answer.text.trim().to_owned();
        answer.reasoning = answer.reasoning.trim().to_owned();
        Ok(Answered {
            answer,
            ids,
            finish: generation.finish(),
            timings: generation.timings(),
        })
    }

    /// The prompt for the messages; the oldest but the system's are left out while it leaves less
    /// than a quarter of the context for the answer.
    fn fitting(&self, messages: &[Value]) -> Result<(Chat, Vec<u32>), Failure> {
        let mut chat = Chat {
            messages: messages.to_vec(),
            add_generation_prompt: true,
            ..Chat::default()
        };
        let size = self.session.context().size();
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

fn add(answer: &mut Answer, piece: Piece) {
    match piece {
        Piece::Text(text) => answer.text.push_str(&text),
        Piece::Reasoning(text) => answer.reasoning.push_str(&text),
        Piece::Call(call) => answer.calls.push(call),
    }
}
