//! Many answers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::answer::{Answer, Chosen, Finish, Piece, Timings};
use super::error::Error;
use super::pace::Pace;
use super::request::{Overflow, Request};
use super::slots::{Slots, common};
use crate::model::{Batch, BatchToken, Context, Rows, SEQUENCES};
use crate::tokenizer::Tokenizer;

/// What answers may take. Values that make no sense are taken for the nearest that do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many are on their way at once, at most [`SEQUENCES`]; the others wait.
    pub answers: usize,
    /// Tokens of one prompt and its answer together: what the context of a
    /// [`Session`](super::Session) is to its only answer. At most the context's size; less than
    /// `answers` times as many in the context is sound, since few answers take all that they may.
    pub tokens: usize,
    /// Tokens of prompts that are evaluated in a step. While answers are on their way it may be
    /// fewer, so that these do not stall.
    pub stretch: usize,
    /// How many answers that have ended are kept in the cache, as long as nobody wants their room,
    /// for prompts that begin in the same way.
    pub kept: usize,
}

/// Which answer, of those of one [`Answers`]; they rise in the order in which they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerId(u64);

/// Something that happened to an answer.
#[derive(Debug)]
pub struct Event {
    /// Which.
    pub answer: AnswerId,
    /// What.
    pub what: Happening,
}

/// What can happen to an answer. After anything but a piece nothing more does.
#[derive(Debug)]
pub enum Happening {
    /// It goes on.
    Piece(Piece),
    /// It has ended.
    Finished {
        /// Why.
        finish: Finish,
        /// How long it took, without the time it waited for its turn.
        timings: Timings,
    },
    /// It cannot go on. The others do.
    Failed(Error),
}

/// Many answers at once, in one context.
///
/// Prompts are added at any time. Each [`step`](Answers::step) evaluates one batch: the last token
/// of every answer that is on its way, and a stretch of the prompts that are not through yet. What
/// prompts have in common with each other, or with answers that have ended, is evaluated and stored
/// once.
///
/// First come, first served: where the cache is full, what nobody uses goes first, and then the
/// answer that came last is put back into the queue, to be evaluated again later. The first one
/// always goes on.
///
/// An answer depends on its prompt, its request, `Limits::tokens` and the context's options only,
/// to the last bit: not on the number of threads, on what else is asked for and when, or on how
/// prompts are cut.
pub struct Answers {
    context: Context,
    tokenizer: Option<Arc<Tokenizer>>,
    limits: Limits,
    slots: Slots,
    /// In the order in which they came; those with a sequence before those that wait.
    tasks: Vec<Task>,
    pace: Pace,
    /// What nobody was told yet.
    events: Vec<Event>,
    next: u64,
}

/// An answer that has not ended.
struct Task {
    id: AnswerId,
    answer: Answer,
    /// The prompt and the answer so far, whether the cache has room for all of it or not.
    tokens: Vec<u32>,
    /// How many of them were evaluated. All but the last, once the prompt is through.
    passed: usize,
    /// Its sequence in the context, while it is at work.
    sequence: Option<usize>,
}

impl Task {
    fn left(&self) -> usize {
        self.tokens.len() - self.passed
    }
}

/// What a step evaluates for one answer.
struct Part {
    /// Which of the tasks.
    task: usize,
    sequence: usize,
    /// Tokens.
    count: usize,
}

/// Whether a full answer has room again.
enum Room {
    Made,
    /// Others that came before have to end first.
    Later,
    /// The answer ends.
    None,
}

impl Answers {
    /// No answers yet. What the context holds is forgotten. Without a tokenizer, answers are ids.
    pub fn new(mut context: Context, tokenizer: Option<Arc<Tokenizer>>, limits: Limits) -> Answers {
        let answers = limits.answers.clamp(1, SEQUENCES);
        let limits = Limits {
            answers,
            tokens: limits.tokens.clamp(1, context.size()),
            stretch: limits.stretch.max(1),
            kept: limits.kept.min(SEQUENCES - answers),
        };
        context.clear_for(limits.tokens);
        Answers {
            context,
            tokenizer,
            slots: Slots::new(answers + limits.kept),
            tasks: Vec::new(),
            pace: Pace::new(limits.stretch),
            events: Vec::new(),
            next: 0,
            limits,
        }
    }

    /// The context.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The tokenizer, if the model file has one.
    pub fn tokenizer(&self) -> Option<&Arc<Tokenizer>> {
        self.tokenizer.as_ref()
    }

    /// Answers that have not ended.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether all answers have ended.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// How many of them are on their way; the others wait for their turn.
    pub fn at_work(&self) -> usize {
        let seated = |task: &&Task| task.sequence.is_some();
        self.tasks.iter().take_while(seated).count()
    }

    /// How long an answer took so far; nothing if it has ended.
    pub fn timings(&self, id: AnswerId) -> Option<Timings> {
        let task = self.tasks.iter().find(|task| task.id == id);
        task.map(|task| task.answer.timings)
    }

    /// Asks for an answer. It is begun when its turn comes, by [`step`](Answers::step).
    ///
    /// # Errors
    ///
    /// The prompt is empty, has more tokens than one answer may take, or other tokens than the
    /// model; or the model gives vectors only.
    pub fn add(&mut self, prompt: Vec<u32>, request: Request) -> Result<AnswerId, Error> {
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if prompt.len() > self.limits.tokens {
            return Err(Error::PromptTooLong {
                prompt: prompt.len(),
                context: self.limits.tokens,
            });
        }
        self.context.check_prompt(&prompt)?;
        let id = AnswerId(self.next);
        self.next += 1;
        self.tasks.push(Task {
            id,
            answer: Answer::new(&prompt, request, self.tokenizer.as_ref()),
            tokens: prompt,
            passed: 0,
            sequence: None,
        });
        Ok(id)
    }

    /// Lets go of an answer, without another word of it. False if it has ended before.
    pub fn give_up(&mut self, id: AnswerId) -> bool {
        let Some(at) = self.tasks.iter().position(|task| task.id == id) else {
            return false;
        };
        self.remove(at);
        true
    }

    /// Lets go of all answers.
    pub fn give_up_all(&mut self) {
        while !self.tasks.is_empty() {
            self.remove(self.tasks.len() - 1);
        }
    }

    /// Lets go of all answers, and forgets everything that was evaluated.
    pub fn clear(&mut self) {
        self.tasks.clear();
        self.events.clear();
        self.slots.clear(&mut self.context);
    }

    /// Gives answers their turn without evaluating anything; how long this one took so far.
    pub(super) fn begin(&mut self, id: AnswerId) -> Timings {
        self.seat();
        self.timings(id).unwrap_or_default()
    }

    /// One batch, and what came of it, in the order in which answers were asked for. A step without
    /// events is no end: prompts are long. When all answers have ended, nothing happens.
    ///
    /// # Errors
    ///
    /// The model cannot evaluate the batch, which is not the fault of one answer. All are as before.
    pub fn step(&mut self) -> Result<Vec<Event>, Error> {
        self.end_due();
        self.seat();
        let parts = self.plan();
        if !parts.is_empty() {
            let began = Instant::now();
            let rows = self.evaluate(&parts)?;
            self.took(&parts, began.elapsed());
            if let Some(rows) = rows {
                self.advance(&parts, &rows);
            }
        }
        Ok(std::mem::take(&mut self.events))
    }

    /// Ends answers that were cancelled, or are not to have another token.
    fn end_due(&mut self) {
        let mut at = 0;
        while let Some(task) = self.tasks.get(at) {
            match task.answer.due() {
                Some(finish) => self.end(at, finish),
                None => at += 1,
            }
        }
    }

    /// Gives sequences to those who wait, first come, first served.
    fn seat(&mut self) {
        loop {
            let at = self.at_work();
            if at >= self.tasks.len() || at >= self.limits.answers || !self.may_begin(at) {
                return;
            }
            let tokens = &self.tasks[at].tokens;
            // What is dropped when an answer is longer than it may be comes after this.
            let first = &tokens[..tokens.len().min(self.limits.tokens + 1)];
            let Some(opened) = self.slots.open(&mut self.context, first) else {
                return;
            };
            let task = &mut self.tasks[at];
            task.sequence = Some(opened.sequence);
            task.passed = opened.reused;
            if task.answer.timings.tokens == 0 {
                task.answer.timings.reused_tokens = opened.reused;
            }
        }
    }

    /// Whether it makes sense to begin with an answer now, those before it being at work.
    fn may_begin(&self, at: usize) -> bool {
        if at == 0 {
            return true;
        }
        let tokens = &self.tasks[at].tokens;
        let found = self.slots.find(tokens);
        let stored = found.map_or(0, |found| found.tokens);
        // What is being evaluated for another one will be here soon.
        let evaluating = self.tasks[..at]
            .iter()
            .filter(|task| task.left() > 1 && task.tokens.len() <= self.limits.tokens);
        let soon = evaluating.map(|task| common(&task.tokens, &tokens[..tokens.len() - 1]));
        if soon.max().is_some_and(|soon| soon > stored) {
            return false;
        }
        let shared = found.filter(|found| found.busy);
        let wanted = tokens.len().min(self.limits.tokens) - shared.map_or(0, |f| f.tokens);
        // Of each of the others what is to come next, lest this one be put back at once.
        let next: usize = self.tasks[..at].iter().map(Task::left).sum();
        self.slots.in_use(&self.context) + next + wanted <= self.context.size()
    }

    /// What to evaluate next. Answers that have no room left end here.
    fn plan(&mut self) -> Vec<Part> {
        let (mut parts, mut planned, mut at) = (Vec::new(), 0, 0);
        let answering = self
            .tasks
            .iter()
            .any(|t| t.sequence.is_some() && t.left() == 1);
        let mut stretch = self.pace.tokens(answering);
        while let Some(task) = self.tasks.get(at)
            && let Some(sequence) = task.sequence
        {
            if self.context.len(sequence) >= self.limits.tokens {
                match self.make_room(at, sequence, planned) {
                    Ok(Room::Made) => {}
                    Ok(Room::Later) => {
                        at += 1;
                        continue;
                    }
                    Ok(Room::None) => {
                        self.end(at, Finish::Length);
                        continue;
                    }
                    Err(error) => {
                        self.fail(at, error);
                        continue;
                    }
                }
            }
            let left = self.tasks[at].left();
            let most = match left {
                1 => 1,
                _ => stretch.min(self.limits.tokens - self.context.len(sequence)),
            };
            let count = left.min(most);
            let count = count.min(self.free_for(at, planned + count) - planned);
            if left > 1 {
                stretch -= count;
            }
            planned += count;
            if count > 0 {
                parts.push(Part {
                    task: at,
                    sequence,
                    count,
                });
            }
            at += 1;
        }
        parts
    }

    /// Room in the cache for `wanted` tokens, on behalf of an answer: what nobody uses goes, then
    /// answers that came later are put back. Gives the room there is.
    fn free_for(&mut self, at: usize, wanted: usize) -> usize {
        while !self.slots.evict(&mut self.context, wanted) {
            let last = self.at_work() - 1;
            if last <= at {
                break;
            }
            let task = &mut self.tasks[last];
            task.passed = 0;
            if let Some(sequence) = task.sequence.take() {
                self.slots.close(&mut self.context, sequence);
            }
        }
        self.context.free()
    }

    /// Does with an answer that has all the tokens it may have what it asked for.
    fn make_room(&mut self, at: usize, sequence: usize, planned: usize) -> Result<Room, Error> {
        let size = self.limits.tokens;
        let keep = match self.tasks[at].answer.overflow {
            Overflow::End => return Ok(Room::None),
            Overflow::Refuse => return Err(Error::ContextFull { context: size }),
            Overflow::Shift { keep } => keep,
        };
        // At least one token has to go, whatever is to be kept.
        let keep = keep.min(size - 1);
        let count = (size - keep).div_ceil(2);
        // What moves and is stored for others too needs places of its own.
        let moved = (keep + count) as u32..u32::MAX;
        let copies = self.context.shared(sequence, moved.clone());
        self.free_for(at, planned + copies);
        if self.context.free() < planned + self.context.shared(sequence, moved) {
            return Ok(Room::Later);
        }
        self.slots
            .discard(&mut self.context, sequence, keep, count)?;
        Ok(Room::Made)
    }

    /// Evaluates what was planned; nothing if all whom it was for were cancelled meanwhile.
    fn evaluate(&mut self, parts: &[Part]) -> Result<Option<Rows>, Error> {
        let mut batch = Batch::default();
        for part in parts {
            let task = &self.tasks[part.task];
            let first = self.context.next_position(part.sequence);
            let now = task.passed..task.passed + part.count;
            for (position, at) in (first..).zip(now) {
                batch.push(BatchToken {
                    token: task.tokens[at],
                    position,
                    sequence: part.sequence,
                    output: at + 1 == task.tokens.len(),
                });
            }
        }
        let flags = parts.iter().map(|part| self.tasks[part.task].answer.flag());
        let flags: Vec<Option<&AtomicBool>> = flags.collect();
        let cancelled = || {
            let set = |flag: &Option<&AtomicBool>| flag.is_some_and(|f| f.load(Ordering::Relaxed));
            flags.iter().all(set)
        };
        Ok(self.context.eval_unless(&batch, &cancelled)?)
    }

    /// Takes note of the time of a step.
    fn took(&mut self, parts: &[Part], time: Duration) {
        let at_work = self.at_work();
        let tasks = &mut self.tasks[..at_work];
        tasks.iter_mut().for_each(|task| task.answer.took(time));
        let answers = parts.iter().filter(|part| tasks[part.task].left() == 1);
        let answers = answers.count();
        let prompts: usize = parts.iter().map(|part| part.count).sum::<usize>() - answers;
        if answers > 0 && prompts > 0 {
            self.pace.learn(prompts, time);
        }
    }

    /// Takes note of what was evaluated, and chooses tokens where there are scores.
    fn advance(&mut self, parts: &[Part], rows: &Rows) {
        let mut rows = rows.iter();
        let mut gone = 0;
        for part in parts {
            let at = part.task - gone;
            let task = &mut self.tasks[at];
            let now = &task.tokens[task.passed..][..part.count];
            self.slots.push(&self.context, part.sequence, now);
            task.passed += part.count;
            if task.left() > 0 {
                continue;
            }
            let Some(row) = rows.next() else {
                return;
            };
            let before = self.tasks.len();
            self.choose(at, row);
            gone += before - self.tasks.len();
        }
    }

    fn choose(&mut self, at: usize, logits: &[f32]) {
        let task = &mut self.tasks[at];
        match task.answer.next(logits) {
            Ok(Chosen::Token(token, text, stopped)) => {
                task.tokens.push(token);
                let piece = Piece {
                    token: Some(token),
                    text,
                };
                self.events.push(Event {
                    answer: task.id,
                    what: Happening::Piece(piece),
                });
                let full = task.answer.due().filter(|finish| *finish == Finish::Length);
                match (stopped, full) {
                    (true, _) => self.end(at, Finish::Stop),
                    (false, Some(finish)) => self.end(at, finish),
                    (false, None) => {}
                }
            }
            Ok(Chosen::End) => self.end(at, Finish::Stop),
            Err(error) => self.fail(at, error),
        }
    }

    /// Ends an answer with the text that was held back.
    fn end(&mut self, at: usize, finish: Finish) {
        let mut task = self.remove(at);
        let text = task.answer.rest();
        if !text.is_empty() {
            self.events.push(Event {
                answer: task.id,
                what: Happening::Piece(Piece { token: None, text }),
            });
        }
        self.events.push(Event {
            answer: task.id,
            what: Happening::Finished {
                finish,
                timings: task.answer.timings,
            },
        });
    }

    fn fail(&mut self, at: usize, error: Error) {
        let answer = self.remove(at).id;
        self.events.push(Event {
            answer,
            what: Happening::Failed(error),
        });
    }

    fn remove(&mut self, at: usize) -> Task {
        let task = self.tasks.remove(at);
        if let Some(sequence) = task.sequence {
            self.slots.close(&mut self.context, sequence);
        }
        task
    }
}
