//! What `aienv doctor` takes on this machine, without `--probe`: from starting the program to its
//! answer.
//!
//! `cargo bench --bench doctor` prints the median and the slowest of some runs, each in a home that
//! has nothing, so that nothing is remembered from the run before. Budget: 300 ms.

use std::{
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const RUNS: usize = 40;

fn main() -> ExitCode {
    let mut times = Vec::new();
    // Once more than is counted, to have the files in memory.
    for _ in 0..=RUNS {
        let home = tempfile::tempdir().expect("a temporary folder");
        let since = Instant::now();
        let status = Command::new(env!("CARGO_BIN_EXE_aienv"))
            .args(["doctor", "--json"])
            .env("AIENV_HOME", home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("a start");
        times.push(since.elapsed());
        if !matches!(status.code(), Some(0 | 1)) {
            eprintln!("doctor ended with {status}");
            return ExitCode::FAILURE;
        }
    }
    times.remove(0);
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{RUNS} runs: median {:.1} ms, slowest {:.1} ms",
        milliseconds(times[RUNS / 2]),
        milliseconds(times[RUNS - 1])
    );
    ExitCode::SUCCESS
}
