//! Many answers at once: each is what it is alone, whatever else is asked for and when.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aienv_engine::generate::{
    AnswerId, Answers, Error, Event, Finish, Happening, Limits, Overflow, Request, Timings,
};
use aienv_engine::gguf::File;
use aienv_engine::model::{Batch, Context, ContextOptions, Model};
use aienv_engine::ops::{KvType, Products};
use aienv_engine::sample::{Options, Sampler};
use aienv_engine::threads::Pool;
use proptest::prelude::*;

fn context(model: &Arc<Model>, threads: usize, tokens: usize, products: Products) -> Context {
    let options = ContextOptions {
        tokens,
        kv: KvType::F16,
        products,
        memory: None,
    };
    Context::new(Arc::clone(model), Arc::new(Pool::new(threads)), &options).unwrap()
}

fn model(name: &str) -> Arc<Model> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/architectures");
    let file = File::open(format!("{folder}/{name}.gguf")).unwrap();
    Arc::new(Model::load(file).unwrap())
}

fn answers(name: &str, tokens: usize, limits: Limits) -> Answers {
    Answers::new(
        context(&model(name), 2, tokens, Products::Exact),
        None,
        limits,
    )
}

const LIMITS: Limits = Limits {
    answers: 4,
    tokens: 64,
    stretch: 16,
    kept: 4,
};

/// A prompt: `shared` tokens that all have, and some of its own.
fn prompt(shared: u32, own: u32, len: u32) -> Vec<u32> {
    let first = (0..shared).map(|i| (i * 7 + 3) % 32);
    first
        .chain((0..len).map(|i| (i * 5 + own * 11 + 1) % 32))
        .collect()
}

fn request(max_tokens: usize) -> Request {
    Request {
        sampling: Options {
            temperature: 0.9,
            seed: 7,
            repeat_penalty: 1.1,
            ..Options::default()
        },
        max_tokens: Some(max_tokens),
        ..Request::default()
    }
}

/// How an answer ended: in an error, if it has no [`Finish`].
type Ended = (Vec<u32>, Option<Finish>);

/// What has come.
#[derive(Default)]
struct Seen {
    tokens: BTreeMap<AnswerId, Vec<u32>>,
    ended: BTreeMap<AnswerId, Option<Finish>>,
    timings: BTreeMap<AnswerId, Timings>,
    /// In the order in which they ended.
    order: Vec<AnswerId>,
}

impl Seen {
    fn push(&mut self, events: Vec<Event>) {
        for Event { answer, what } in events {
            assert!(!self.ended.contains_key(&answer), "after its end");
            match what {
                Happening::Piece(piece) => {
                    let tokens = self.tokens.entry(answer).or_default();
                    tokens.extend(piece.token);
                }
                Happening::Finished { finish, timings } => {
                    self.ended.insert(answer, Some(finish));
                    self.timings.insert(answer, timings);
                    self.order.push(answer);
                }
                Happening::Failed(_) => {
                    self.ended.insert(answer, None);
                    self.order.push(answer);
                }
            }
        }
    }

    fn count(&self, id: AnswerId) -> usize {
        self.tokens.get(&id).map_or(0, Vec::len)
    }

    fn of(&self, id: AnswerId) -> Ended {
        (
            self.tokens.get(&id).cloned().unwrap_or_default(),
            self.ended[&id],
        )
    }

    /// Until all have ended.
    fn run(&mut self, answers: &mut Answers) {
        let mut steps = 0;
        while !answers.is_empty() {
            self.push(answers.step().unwrap());
            steps += 1;
            assert!(steps < 10_000, "no end in sight");
        }
    }
}

/// The same with nothing but a context of its own: the whole prompt at once, then token by token.
fn alone(mut context: Context, prompt: &[u32], request: &Asked) -> Ended {
    let size = context.size();
    let mut sampler = Sampler::new(request.sampling());
    prompt.iter().for_each(|&token| sampler.accept(token));
    let mut rows = context.eval(&Batch::prompt(prompt, 0, 0)).unwrap();
    let mut tokens = Vec::new();
    while tokens.len() < request.max_tokens {
        if let Some(&last) = tokens.last() {
            if context.len(0) == size {
                match request.overflow {
                    Overflow::End => break,
                    Overflow::Refuse => return (tokens, None),
                    Overflow::Shift { keep } => {
                        let keep = keep.min(size - 1);
                        let count = (size - keep).div_ceil(2);
                        context.discard(0, keep as u32, count as u32).unwrap();
                    }
                }
            }
            let position = context.next_position(0);
            rows = context.eval(&Batch::prompt(&[last], 0, position)).unwrap();
        }
        let token = sampler.sample(rows.numbers(), None).unwrap();
        sampler.accept(token);
        tokens.push(token);
    }
    (tokens, Some(Finish::Length))
}

/// Something asked for, and when.
#[derive(Debug, Clone)]
struct Asked {
    prompt: Vec<u32>,
    max_tokens: usize,
    overflow: Overflow,
    temperature: f32,
    seed: u64,
    /// The step before which it comes.
    at: usize,
    /// Cancelled when it has as many tokens.
    cancelled: Option<usize>,
}

impl Asked {
    fn sampling(&self) -> Options {
        Options {
            temperature: self.temperature,
            seed: self.seed,
            repeat_penalty: 1.2,
            ..Options::default()
        }
    }

    fn request(&self, flag: &Arc<AtomicBool>) -> Request {
        Request {
            sampling: self.sampling(),
            max_tokens: Some(self.max_tokens),
            overflow: self.overflow,
            cancel: Some(Arc::clone(flag)),
            ..Request::default()
        }
    }
}

/// Tokens of one answer with its prompt.
const ROOM: usize = 32;

fn asked() -> impl Strategy<Value = Asked> {
    let overflow = prop_oneof![
        2 => Just(Overflow::End),
        1 => Just(Overflow::Refuse),
        3 => (0usize..60).prop_map(|keep| Overflow::Shift { keep }),
    ];
    let shape = (0u32..22, 0u32..3, 1u32..11);
    let chosen = (prop_oneof![Just(0.0f32), Just(0.9)], 0u64..3);
    let cancelled = prop_oneof![3 => Just(None), 1 => (0usize..20).prop_map(Some)];
    (shape, 0usize..60, overflow, chosen, 0usize..40, cancelled).prop_map(
        |((shared, own, len), max_tokens, overflow, (temperature, seed), at, cancelled)| Asked {
            prompt: prompt(shared, own, len),
            max_tokens,
            overflow,
            temperature,
            seed,
            at,
            cancelled,
        },
    )
}

/// The context's size, limits and threads.
fn setting() -> impl Strategy<Value = (usize, Limits, usize)> {
    (ROOM..ROOM * 4, 1usize..6, 1usize..50, 0usize..6, 1usize..4).prop_map(
        |(size, answers, stretch, kept, threads)| {
            let limits = Limits {
                answers,
                tokens: ROOM,
                stretch,
                kept,
            };
            (size, limits, threads)
        },
    )
}

fn each_is_as_alone(name: &str, all: &[Asked], setting: (usize, Limits, usize), exact: bool) {
    let (size, limits, threads) = setting;
    let products = match exact {
        true => Products::Exact,
        false => Products::Quantised,
    };
    let model = model(name);
    let mut answers = Answers::new(context(&model, threads, size, products), None, limits);
    let flags: Vec<Arc<AtomicBool>> = all.iter().map(|_| Arc::default()).collect();
    let mut ids: Vec<Option<AnswerId>> = vec![None; all.len()];
    let mut seen = Seen::default();
    let mut step = 0;
    while ids.contains(&None) || !answers.is_empty() {
        for (i, asked) in all.iter().enumerate() {
            if ids[i].is_none() && asked.at <= step {
                let request = asked.request(&flags[i]);
                ids[i] = Some(answers.add(asked.prompt.clone(), request).unwrap());
            }
            let count = ids[i].map(|id| seen.count(id));
            if count.is_some() && count >= asked.cancelled && asked.cancelled.is_some() {
                flags[i].store(true, Ordering::Relaxed);
            }
        }
        seen.push(answers.step().unwrap());
        step += 1;
        assert!(step < 10_000, "no end in sight");
    }
    for (asked, id) in all.iter().zip(ids) {
        let wanted = alone(context(&model, 1, ROOM, products), &asked.prompt, asked);
        let got = seen.of(id.unwrap());
        match (asked.cancelled, got.1) {
            (Some(count), Some(Finish::Cancelled)) => {
                assert_eq!(got.0.len(), count);
                assert!(wanted.0.starts_with(&got.0), "{name}: {asked:?}");
            }
            _ => assert_eq!(got, wanted, "{name}: {asked:?}"),
        }
    }
    answers.clear();
    assert_eq!(answers.context().free(), size);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Full attention, windows, experts, windows with experts and sinks, and angles that depend on
    /// the length of a text.
    #[test]
    fn whatever_else_is_asked_for_an_answer_is_the_same(
        name in prop::sample::select(vec!["llama", "gemma3", "qwen3moe", "gpt-oss", "phi3"]),
        all in prop::collection::vec(asked(), 1..8),
        setting in setting(),
        exact: bool,
    ) {
        each_is_as_alone(name, &all, setting, exact);
    }
}

#[test]
fn what_prompts_have_in_common_is_evaluated_and_stored_once() {
    let mut answers = answers("llama", 256, LIMITS);
    let ids: Vec<AnswerId> = (0..3)
        .map(|own| answers.add(prompt(40, own, 6), request(8)).unwrap())
        .collect();
    let mut seen = Seen::default();
    while ids.iter().any(|id| seen.count(*id) < 2) {
        seen.push(answers.step().unwrap());
    }
    assert_eq!(answers.at_work(), 3);
    let stored = answers.context().size() - answers.context().free();
    let own: usize = ids.iter().map(|id| 5 + seen.count(*id)).sum();
    assert_eq!(stored, 40 + own);
    seen.run(&mut answers);
    let reused: Vec<usize> = ids
        .iter()
        .map(|id| seen.timings[id].reused_tokens)
        .collect();
    assert_eq!(reused, [0, 40, 40]);
    // And from what answers have left.
    let again = answers.add(prompt(40, 1, 6), request(8)).unwrap();
    seen.run(&mut answers);
    assert_eq!(seen.timings[&again].reused_tokens, 45);
    assert_eq!(seen.of(again), seen.of(ids[1]));
}

#[test]
fn answers_go_on_while_a_long_prompt_is_evaluated() {
    let limits = Limits {
        stretch: 5,
        ..LIMITS
    };
    let mut answers = answers("qwen3", 128, limits);
    let first = answers.add(prompt(0, 0, 4), request(40)).unwrap();
    let mut seen = Seen::default();
    seen.push(answers.step().unwrap());
    assert_eq!(seen.count(first), 1);
    let long = answers.add(prompt(0, 1, 50), request(4)).unwrap();
    for step in 1..=10 {
        assert_eq!((seen.count(first), seen.count(long)), (step, 0));
        seen.push(answers.step().unwrap());
    }
    assert_eq!((seen.count(first), seen.count(long)), (11, 1));
}

#[test]
fn an_error_or_a_wish_of_one_is_no_end_of_the_others() {
    let mut answers = answers("llama", 256, LIMITS);
    let error = |answers: &mut Answers, prompt| answers.add(prompt, request(4)).unwrap_err();
    let long = error(&mut answers, vec![1; 65]);
    assert!(
        matches!(
            long,
            Error::PromptTooLong {
                prompt: 65,
                context: 64
            }
        ),
        "{long}"
    );
    assert!(matches!(error(&mut answers, vec![]), Error::EmptyPrompt));
    let unknown = error(&mut answers, vec![4_000_000]).to_string();
    assert!(unknown.contains("no token 4000000"), "{unknown}");
    assert!(answers.is_empty());

    let fine = answers.add(prompt(9, 0, 3), request(20)).unwrap();
    let forbidden = Request {
        sampling: Options {
            bias: (0..4096).map(|id| (id, f32::NEG_INFINITY)).collect(),
            ..Options::default()
        },
        ..request(20)
    };
    let failing = answers.add(prompt(9, 1, 3), forbidden).unwrap();
    let given_up = answers.add(prompt(9, 2, 3), request(20)).unwrap();
    let mut seen = Seen::default();
    while seen.count(given_up) < 3 {
        seen.push(answers.step().unwrap());
    }
    assert!(answers.give_up(given_up) && !answers.give_up(given_up));
    seen.run(&mut answers);
    assert_eq!(seen.of(failing), (vec![], None));
    assert_eq!(seen.of(fine).1, Some(Finish::Length));
    assert_eq!((seen.count(fine), seen.count(given_up)), (20, 3));
    assert!(!seen.ended.contains_key(&given_up));
}

/// There is room for one answer at its full length and a little more.
#[test]
fn first_come_first_served_in_a_full_cache() {
    let limits = Limits {
        tokens: 40,
        ..LIMITS
    };
    let mut tight = answers("llama", 44, limits);
    let mut seen = Seen::default();
    let ids: Vec<AnswerId> = (0..4)
        .map(|own| tight.add(prompt(0, own, 12), request(25)).unwrap())
        .collect();
    seen.push(tight.step().unwrap());
    // There is no room for the prompt of the last.
    assert_eq!((tight.len(), tight.at_work()), (4, 3));
    while tight.at_work() == 3 {
        seen.push(tight.step().unwrap());
    }
    // One was put back, since those before it needed the room.
    assert!(seen.ended.is_empty() && seen.count(ids[2]) > 0);
    seen.run(&mut tight);
    assert_eq!(seen.order, ids);
    let mut wide = answers("llama", 256, limits);
    let mut wanted = Seen::default();
    let same: Vec<AnswerId> = (0..4)
        .map(|own| wide.add(prompt(0, own, 12), request(25)).unwrap())
        .collect();
    wanted.run(&mut wide);
    for (a, b) in ids.iter().zip(same) {
        assert_eq!(seen.of(*a), wanted.of(b));
    }
}

/// A server runs them on a thread of its own.
#[test]
fn they_can_be_sent_to_a_thread() {
    let mut answers = answers("llama", 128, LIMITS);
    let thread = std::thread::spawn(move || {
        let id = answers.add(prompt(3, 0, 3), request(5)).unwrap();
        let mut seen = Seen::default();
        seen.run(&mut answers);
        seen.of(id).0.len()
    });
    assert_eq!(thread.join().unwrap(), 5);
}
