//! How long a diagnosis takes: `cargo bench --bench diagnosis`.
//!
//! - the first one of a process, which compiles what it looks for;
//! - the cases of `tests/doctor_cases`, one by one: a post, a traceback, a few facts;
//! - a log of 10 MB whose cause is on its last line, once of a program that repeats itself and once
//!   of lines that all differ. Budget: 1 s.
#![allow(clippy::unwrap_used)]

#[path = "../tests/doctor_cases/corpus.rs"]
#[allow(dead_code)]
mod corpus;

use std::time::{Duration, Instant};

use aienv::doctor::{Cause, Diagnosis, Evidence, decode, diagnose};
use fastrand::Rng;

const ROUNDS: usize = 5;
const LARGE: usize = 10 << 20;
const CAUSE: &str = "OSError: [Errno 28] No space left on device: '/torch_71_1022987_4'\n\
                     shm              64M   64M     0 100% /dev/shm\n";

fn main() {
    let cases = corpus::own();
    let first = timed(|| of_text(b"RuntimeError: operator torchvision::nms does not exist"));
    println!(
        "first diagnosis of a process: {:.1} ms",
        milliseconds(first.0)
    );
    let mut each: Vec<Duration> = cases
        .iter()
        .map(|case| timed(|| diagnose(&case.evidence, "https://index.example/")).0)
        .collect();
    each.sort_unstable();
    println!(
        "{} cases: median {:.2} ms, slowest {:.2} ms",
        each.len(),
        milliseconds(each[each.len() / 2]),
        milliseconds(each[each.len() - 1])
    );
    for (what, log) in [
        ("that repeats itself", training()),
        ("of lines that differ", varied()),
    ] {
        let mut times: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let (time, diagnosis) = timed(|| of_text(log.as_bytes()));
                assert_eq!(diagnosis.findings[0].cause, Cause::ShmTooSmall);
                time
            })
            .collect();
        times.sort_unstable();
        println!(
            "log of {:.1} MB {what}: {:.0} ms",
            log.len() as f64 / 1e6,
            milliseconds(times[ROUNDS / 2])
        );
    }
}

fn of_text(bytes: &[u8]) -> Diagnosis {
    diagnose(
        &Evidence::from_text(&decode(bytes)),
        "https://index.example/",
    )
}

fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let value = act();
    (start.elapsed(), value)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What a training run writes.
fn training() -> String {
    let mut rng = Rng::with_seed(1);
    let mut log = String::with_capacity(LARGE + 1000);
    let mut step = 0;
    while log.len() < LARGE {
        step += 1;
        log.push_str(&format!(
            "2026-03-04 10:{:02}:{:02},{:03} - INFO - step {step} loss {:.4} lr {:.2e} tokens/s {}\n",
            step / 60 % 60,
            step % 60,
            step % 1000,
            rng.f64(),
            rng.f64() / 1e4,
            rng.u32(6000..9000)
        ));
    }
    log + CAUSE
}

/// What a server writes that names something else on every line.
fn varied() -> String {
    const WORDS: [&str; 24] = [
        "request",
        "from",
        "worker",
        "cache",
        "model",
        "loaded",
        "weights",
        "layer",
        "attention",
        "prefill",
        "decode",
        "batch",
        "queue",
        "scheduler",
        "cuda",
        "torch",
        "device",
        "memory",
        "warning:",
        "value",
        "not",
        "set",
        "using",
        "default",
    ];
    let mut rng = Rng::with_seed(2);
    let mut log = String::with_capacity(LARGE + 1000);
    while log.len() < LARGE {
        for _ in 0..rng.usize(4..24) {
            log.push_str(WORDS[rng.usize(..WORDS.len())]);
            log.push(' ');
        }
        let name: String = (0..12).map(|_| rng.lowercase()).collect();
        log.push_str(&name);
        log.push('\n');
    }
    log + CAUSE
}
