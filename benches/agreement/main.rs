//! Agreement with `uv pip compile` on requirement sets of real tools:
//! `cargo bench --bench agreement`.
//!
//! For each set of `sets.toml` both resolve with empty caches, one after the other (who begins
//! changes from set to set): same index, same interpreter, wheels only. The answers must be the
//! same, or the set declares the difference with its reason; each answer is checked by the other
//! resolver (`verdict`). Printed are the packages that differ, times, their ratio (below 1: aienv
//! is faster) and peak memory. Exit status 1: some difference is not declared.
//!
//! ```text
//! cargo bench --bench agreement -- [--set NAME,…] [--repeat N] [--dir PATH] [--uv PATH]
//!     [--aienv PATH]
//! ```

#[path = "../common/measure.rs"]
mod measure;
#[path = "../common/programs.rs"]
mod programs;
mod resolvers;
mod sets;
mod verdict;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use aienv::types::{Version, human_bytes};
use measure::{Sample, median};
use programs::{configured_index, interpreter, provide_uv, version, without_credentials};
use resolvers::{Aienv, Answer, Place, Resolver, Uv};
use sets::{Set, Sets};
use verdict::{Verdict, judge};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Default)]
struct Options {
    only: Vec<String>,
    repeat: usize,
    dir: Option<PathBuf>,
    uv: Option<PathBuf>,
    /// Another build of aienv than the one that cargo made for this.
    aienv: PathBuf,
}

fn options() -> Result<Options> {
    let mut options = Options {
        repeat: 1,
        aienv: programs::AIENV.into(),
        ..Options::default()
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let missing = format!("`{argument}` needs a value");
            arguments.next().ok_or(missing)
        };
        match argument.as_str() {
            // What `cargo bench` adds.
            "--bench" => {}
            "--set" => options.only.extend(value()?.split(',').map(str::to_owned)),
            "--repeat" => options.repeat = value()?.parse::<usize>()?.max(1),
            "--dir" => options.dir = Some(value()?.into()),
            "--uv" => options.uv = Some(value()?.into()),
            "--aienv" => options.aienv = value()?.into(),
            other => return Err(format!("`{other}` is not an option of this benchmark").into()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    let Sets { reasons, sets } = sets::read()?;
    let mut builder = tempfile::Builder::new();
    builder.prefix("aienv-agreement-");
    let folder = match &options.dir {
        Some(dir) => builder.tempdir_in(dir)?,
        None => builder.tempdir()?,
    };
    let python = interpreter()?;
    let place = Place {
        aienv: options.aienv.clone(),
        uv: match &options.uv {
            Some(path) => path.clone(),
            None => provide_uv(folder.path(), &python)?,
        },
        index: configured_index(&python),
        torch_index: programs::empty_torch_index()?,
        folder: folder.path().to_owned(),
    };
    println!("aienv   {}", version(&place.aienv));
    println!("uv      {}", version(&place.uv));
    println!(
        "index   {}",
        place
            .index
            .as_deref()
            .map_or("default", without_credentials)
    );
    println!("cores   {}", std::thread::available_parallelism()?);

    let wanted = |set: &&Set| options.only.is_empty() || options.only.contains(&set.name);
    let sets: Vec<&Set> = sets.iter().filter(wanted).collect();
    let pythons = interpreters(&place.aienv)?;
    let mut totals = Totals::default();
    println!(
        "\n{:<42}{:>9}  {:<20}{:>18}{:>7}{:>20}",
        "set", "packages", "verdict", "aienv / uv", "ratio", "peak memory"
    );
    for (number, set) in sets.iter().enumerate() {
        let Some((_, python)) = pythons.iter().find(|(short, _)| *short == set.python) else {
            println!("{:<42}  skipped: no Python {} here", set.name, set.python);
            totals.skipped += 1;
            continue;
        };
        let pair: [&dyn Resolver; 2] = [&Aienv::new(&place, python), &Uv::new(&place, python)];
        let (answers, samples) = both(set, pair, options.repeat, number)?;
        let verdict = judge(set, pair[0], pair[1], &answers[0], &answers[1])?;
        report(set, &answers, &samples, &verdict, &mut totals);
    }
    totals.print(&reasons);
    Ok(totals.failed == 0)
}

/// Both answers, and the samples of each.
fn both(
    set: &Set,
    pair: [&dyn Resolver; 2],
    repeat: usize,
    number: usize,
) -> Result<([Answer; 2], [Vec<Sample>; 2])> {
    let mut answers = [None, None];
    let mut samples = [Vec::new(), Vec::new()];
    for round in 0..repeat {
        for turn in 0..2 {
            let who = (number + round + turn) % 2;
            pair[who].forget()?;
            let (answer, sample) = pair[who]
                .resolve(set, &[])
                .map_err(|error| format!("{}, {}: {error}", set.name, pair[who].name()))?;
            answers[who] = Some(answer);
            samples[who].push(sample);
        }
    }
    match answers {
        [Some(ours), Some(theirs)] => Ok(([ours, theirs], samples)),
        _ => Err("nothing was resolved".into()),
    }
}

#[derive(Default)]
struct Totals {
    same: usize,
    declared: usize,
    failed: usize,
    skipped: usize,
    ratios: Vec<f64>,
    peak: [u64; 2],
    processor: [f64; 2],
    reasons: BTreeMap<String, usize>,
}

fn report(
    set: &Set,
    answers: &[Answer; 2],
    samples: &[Vec<Sample>; 2],
    verdict: &Verdict,
    totals: &mut Totals,
) {
    let times = [0, 1].map(|who| median(samples[who].iter().map(|s| s.seconds)));
    let peaks = [0, 1].map(|who| samples[who].iter().filter_map(|s| s.peak_bytes).max());
    let ratio = times[0] / times[1];
    // After a refusal aienv goes on and looks for what would help; that does not compare.
    if answers[0].solution().is_some() {
        totals.ratios.push(ratio);
    }
    for who in 0..2 {
        totals.peak[who] = totals.peak[who].max(peaks[who].unwrap_or(0));
        totals.processor[who] += samples[who].iter().filter_map(|s| s.processor).sum::<f64>();
    }
    let word = if verdict.fails() {
        totals.failed += 1;
        "DIFFERS"
    } else if !verdict.differences.is_empty() {
        totals.declared += 1;
        "differs as declared"
    } else {
        totals.same += 1;
        match &answers[0] {
            Answer::Solved(_) => "same",
            Answer::Refused(_) => "both find none",
        }
    };
    let packages = answers[0].solution().map_or(0, |solution| solution.len());
    let memory = peaks.map(|peak| peak.map_or("unknown".to_owned(), human_bytes));
    println!(
        "{:<42}{packages:>9}  {word:<20}{:>7.2} / {:>6.2} s{ratio:>7.2}{:>20}",
        set.name,
        times[0],
        times[1],
        memory.join(" / "),
    );
    let shown = |version: &Option<Version>| {
        version
            .as_ref()
            .map_or("absent".to_owned(), ToString::to_string)
    };
    for one in &verdict.differences {
        let newer = match (&one.ours, &one.theirs) {
            (Some(ours), Some(theirs)) if ours > theirs => "aienv newer",
            (Some(_), Some(_)) => "uv newer",
            _ => "",
        };
        if let Some(because) = &one.because {
            *totals.reasons.entry(because.clone()).or_default() += 1;
        }
        println!(
            "    {:<36} aienv {:<14} uv {:<14} {newer:<12} {}",
            one.package,
            shown(&one.ours),
            shown(&one.theirs),
            one.because.as_deref().unwrap_or("NOT DECLARED"),
        );
    }
    for line in verdict.wrong.iter().map(|w| format!("WRONG: {w}")) {
        println!("    {line}");
    }
    for line in &verdict.remarks {
        println!("    {line}");
    }
}

impl Totals {
    fn print(&self, reasons: &BTreeMap<String, String>) {
        println!(
            "\n{} sets the same, {} differ as declared, {} differ otherwise, {} skipped",
            self.same, self.declared, self.failed, self.skipped
        );
        for (key, packages) in &self.reasons {
            println!("  {key} ({packages} packages): {}", reasons[key]);
        }
        let slower = self.ratios.iter().filter(|ratio| **ratio > 1.0).count();
        let worst = self.ratios.iter().copied().fold(0.0, f64::max);
        println!(
            "cold resolve, aienv's time by uv's: median {:.2}, largest {worst:.2}, above 1 in {slower} sets",
            median(self.ratios.iter().copied()),
        );
        println!(
            "processor time in all: aienv {:.1} s, uv {:.1} s",
            self.processor[0], self.processor[1]
        );
        println!(
            "largest peak memory: aienv {}, uv {}",
            human_bytes(self.peak[0]),
            human_bytes(self.peak[1])
        );
    }
}

/// The interpreters that aienv sees here, by minor version; of each the one it takes.
fn interpreters(aienv: &Path) -> Result<Vec<(String, PathBuf)>> {
    #[derive(serde::Deserialize)]
    struct Host {
        pythons: Vec<Python>,
    }
    #[derive(serde::Deserialize)]
    struct Python {
        path: PathBuf,
        version: Version,
        freethreaded: bool,
    }
    let output = Command::new(aienv).args(["host", "--json"]).output()?;
    let host: Host = serde_json::from_slice(&output.stdout)?;
    let mut pythons = host.pythons;
    pythons.retain(|python| !python.freethreaded);
    pythons.sort_by(|a, b| b.version.cmp(&a.version));
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for python in pythons {
        let release = python.version.release();
        let short = format!("{}.{}", release[0], release.get(1).unwrap_or(&0));
        if found.iter().all(|(known, _)| *known != short) {
            found.push((short, python.path));
        }
    }
    Ok(found)
}
