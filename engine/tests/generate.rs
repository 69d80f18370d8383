//! Answers from small models: the cache is reused without a trace, and every way to end works.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aienv_engine::convert::{Conversion, ConvertError};
use aienv_engine::generate::{Error, Finish, Overflow, Request, Session, perplexity};
use aienv_engine::gguf::{File, TensorType};
use aienv_engine::model::{Context, ContextOptions, Model};
use aienv_engine::ops::{KvType, Products};
use aienv_engine::sample::Options;
use aienv_engine::threads::Pool;

fn file(name: &str) -> File {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/architectures");
    File::open(format!("{folder}/{name}.gguf")).unwrap()
}

fn context(name: &str, threads: usize, tokens: usize) -> Context {
    let options = ContextOptions {
        tokens,
        kv: KvType::F16,
        products: Products::Exact,
        memory: None,
    };
    let model = Arc::new(Model::load(file(name)).unwrap());
    Context::new(model, Arc::new(Pool::new(threads)), &options).unwrap()
}

fn session(name: &str, threads: usize, tokens: usize) -> Session {
    Session::new(context(name, threads, tokens), None)
}

fn request(temperature: f32, max_tokens: usize) -> Request {
    Request {
        sampling: Options {
            temperature,
            seed: 7,
            repeat_penalty: 1.1,
            ..Options::default()
        },
        max_tokens: Some(max_tokens),
        ..Request::default()
    }
}

/// The ids of an answer, and why it ended.
fn answer(session: &mut Session, prompt: &[u32], request: Request) -> (Vec<u32>, Finish) {
    let mut generation = session.start(prompt, request).unwrap();
    let ids = generation
        .by_ref()
        .filter_map(|piece| piece.unwrap().token)
        .collect();
    (ids, generation.finish().unwrap())
}

fn prompt(len: u32) -> Vec<u32> {
    (0..len).map(|i| (i * 7 + 3) % 32).collect()
}

#[test]
fn threads_make_no_difference() {
    for temperature in [0.0, 1.0] {
        let answers: Vec<_> = [1, 2, 3]
            .map(|threads| {
                let mut session = session("qwen3moe", threads, 64);
                answer(&mut session, &prompt(9), request(temperature, 20))
            })
            .to_vec();
        assert_eq!(answers[0].0.len(), 20);
        assert_eq!(answers[0], answers[1]);
        assert_eq!(answers[0], answers[2]);
    }
}

#[test]
fn what_is_cached_is_not_evaluated_again_and_changes_nothing() {
    let mut fresh = session("llama", 2, 64);
    let (wanted, _) = answer(&mut fresh, &prompt(20), request(0.0, 8));
    let mut used = session("llama", 2, 64);
    let mut other = prompt(20);
    other[12] = 1;
    answer(&mut used, &other, request(0.0, 8));
    let mut generation = used.start(&prompt(20), request(0.0, 8)).unwrap();
    assert_eq!(generation.timings().reused_tokens, 12);
    let got: Vec<u32> = generation
        .by_ref()
        .filter_map(|p| p.unwrap().token)
        .collect();
    assert_eq!(got, wanted);
    // The whole prompt again: its last token is evaluated, for the scores.
    let generation = used.start(&prompt(20), request(0.0, 8)).unwrap();
    assert_eq!(generation.timings().reused_tokens, 19);
}

#[test]
fn a_full_context_ends_refuses_or_shifts() {
    let start = |overflow| Request {
        overflow,
        ..request(0.0, 40)
    };
    let mut session = session("llama", 1, 24);
    let (ids, finish) = answer(&mut session, &prompt(20), start(Overflow::End));
    // The last token needs no room of its own.
    assert_eq!((ids.len(), finish), (5, Finish::Length));
    let refused = session
        .start(&prompt(20), start(Overflow::Refuse))
        .unwrap()
        .find_map(Result::err);
    assert!(matches!(refused, Some(Error::ContextFull { context: 24 })));
    let shift = Overflow::Shift { keep: 4 };
    let (shifted, finish) = answer(&mut session, &prompt(20), start(shift));
    assert_eq!((shifted.len(), finish), (40, Finish::Length));
    assert_eq!(shifted[..5], ids);
    // What was evaluated before the shift but for the kept tokens is not used again.
    let generation = session.start(&prompt(20), start(shift)).unwrap();
    assert_eq!(generation.timings().reused_tokens, 4);
    drop(generation);
    let (again, _) = answer(&mut session, &prompt(20), start(shift));
    assert_eq!(again, shifted);
}

#[test]
fn positions_that_cannot_move_are_told_of() {
    let mut session = session("bert", 1, 16);
    let refused = session.start(&prompt(4), request(0.0, 4)).err().unwrap();
    assert!(
        refused.to_string().contains("make vectors of texts"),
        "{refused}"
    );
}

#[test]
fn an_answer_can_be_cancelled() {
    let flag = Arc::new(AtomicBool::new(false));
    let mut session = session("llama", 1, 64);
    let mut generation = session
        .start(
            &prompt(6),
            Request {
                cancel: Some(Arc::clone(&flag)),
                ..request(0.0, 40)
            },
        )
        .unwrap();
    assert!(generation.next().is_some());
    flag.store(true, Ordering::Relaxed);
    assert!(generation.next().is_none());
    assert_eq!(generation.finish(), Some(Finish::Cancelled));
    assert_eq!(generation.timings().tokens, 1);
    drop(generation);
    // Before the prompt, too.
    let cancelled = Request {
        cancel: Some(Arc::clone(&flag)),
        ..request(0.0, 40)
    };
    let (ids, finish) = answer(&mut session, &[5; 9], cancelled);
    assert_eq!((ids.len(), finish), (0, Finish::Cancelled));
}

#[test]
fn impossible_prompts_are_refused() {
    let mut session = session("llama", 1, 8);
    let mut error = |prompt: &[u32]| session.start(prompt, request(0.0, 4)).err().unwrap();
    assert!(matches!(error(&[]), Error::EmptyPrompt));
    let long = error(&[1; 9]).to_string();
    assert!(
        long.contains("9 tokens") && long.contains("room for 8"),
        "{long}"
    );
    assert!(error(&[4_000_000]).to_string().contains("no token 4000000"));
    let forbidden = Request {
        sampling: Options {
            bias: (0..4096).map(|id| (id, f32::NEG_INFINITY)).collect(),
            ..Options::default()
        },
        ..request(0.0, 4)
    };
    let mut generation = session.start(&[1], forbidden).unwrap();
    assert!(matches!(generation.next(), Some(Err(Error::NoToken))));
    assert!(generation.next().is_none());
}

#[test]
fn perplexity_is_that_of_the_scores() {
    let tokens = prompt(70);
    let mut windows = 0;
    let mut context = context("llama", 2, 32);
    let got = perplexity(&mut context, &tokens, 32, Some(1), &mut |_, _| windows += 1).unwrap();
    assert_eq!((windows, got.windows, got.tokens), (2, 2, 30));
    // The same by hand, all scores of a window at once.
    let mut surprise = 0.0;
    for part in tokens.chunks_exact(32) {
        context.clear();
        let mut given = part.to_vec();
        given[0] = 1;
        let batch = aienv_engine::model::Batch::all(&given, 0, 0);
        let rows = context.eval(&batch).unwrap();
        for at in 16..31 {
            let row = rows.get(at).unwrap();
            let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
            surprise += sum.ln() - f64::from(row[part[at + 1] as usize]);
        }
    }
    let wanted = (surprise / 30.0).exp();
    assert!(
        (got.perplexity / wanted - 1.0).abs() < 1e-6,
        "{got:?}, not {wanted}"
    );
    let short = perplexity(&mut context, &tokens[..20], 32, None, &mut |_, _| ());
    assert!(matches!(short, Err(Error::TooShort { .. })));
}

#[test]
fn a_model_is_written_anew() {
    let file = file("llama");
    let conversion = Conversion::new(&file, TensorType::F16).unwrap();
    let (mut bytes, mut read) = (Vec::new(), 0);
    conversion
        .write(&Pool::new(2), &mut bytes, &mut |now| read = now)
        .unwrap();
    assert_eq!(read, file.tensors().iter().map(|t| t.bytes()).sum::<u64>());
    let new = File::from_bytes(bytes).unwrap();
    let type_of = |name: &str| new.tensor(name).unwrap().0.ty;
    assert_eq!(type_of("blk.0.attn_q.weight"), TensorType::F16);
    assert_eq!(type_of("blk.0.attn_norm.weight"), TensorType::F32);
    assert_eq!(type_of("rope_freqs.weight"), TensorType::F32);
    assert_eq!(new.metadata().count("general.file_type"), Ok(Some(1)));
    Model::load(new).unwrap();
    let error = Conversion::new(&file, TensorType::IQ2_XXS).unwrap_err();
    assert!(matches!(error, ConvertError::Type(_)));
}
