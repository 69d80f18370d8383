//! Side by side with `uv` on the same requirements: `cargo bench --bench install`.
//!
//! Four situations are measured, each in turns (A B, B A, A B …) so that a change of the machine's
//! or network's mood hits both:
//!
//! - cold resolve: nothing cached; requirements to lock file;
//! - warm resolve: the same again with full caches;
//! - cold install: nothing cached; requirements to an environment;
//! - warm install: caches full, the environment removed.
//!
//! Both ask the same index for the same requirements with the same interpreter, wheels only, on
//! the same file system, and neither starts what it installed. Printed are medians, their ratio
//! (below 1: aienv is faster), processor time and peak memory. The number of packages installed by each is printed too: only equal work
//! compares.
//!
//! ```text
//! cargo bench --bench install -- [--set small,torch,large] [--repeat 3] [--uv PATH] [--dir PATH]
//! ```

mod contestant;
#[path = "../common/measure.rs"]
mod measure;
#[path = "../common/programs.rs"]
mod programs;
mod sets;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use contestant::{Aienv, Contestant, Uv};
use measure::{Sample, median};
use programs::{configured_index, interpreter, provide_uv, version, without_credentials};
use sets::Set;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Situation {
    ColdResolve,
    WarmResolve,
    ColdInstall,
    WarmInstall,
}

impl Situation {
    const ALL: [Self; 4] = [
        Self::ColdResolve,
        Self::WarmResolve,
        Self::ColdInstall,
        Self::WarmInstall,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::ColdResolve => "cold resolve",
            Self::WarmResolve => "warm resolve",
            Self::ColdInstall => "cold install",
            Self::WarmInstall => "warm install",
        }
    }
}

struct Options {
    sets: Vec<&'static Set>,
    repeat: usize,
    uv: Option<PathBuf>,
    dir: Option<PathBuf>,
}

fn options() -> Result<Options> {
    let mut options = Options {
        sets: vec![sets::by_name("small")?],
        repeat: 3,
        uv: None,
        dir: None,
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
            "--set" => {
                let names = value()?;
                let sets = names.split(',').map(sets::by_name);
                options.sets = sets.collect::<Result<_>>()?;
            }
            "--repeat" => options.repeat = value()?.parse::<usize>()?.max(1),
            "--uv" => options.uv = Some(value()?.into()),
            "--dir" => options.dir = Some(value()?.into()),
            other => return Err(format!("`{other}` is not an option of this benchmark").into()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    match options().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("aienv-bench-");
    let folder = match &options.dir {
        Some(dir) => builder.tempdir_in(dir)?,
        None => builder.tempdir()?,
    };
    let python = interpreter()?;
    let uv = match &options.uv {
        Some(path) => path.clone(),
        None => provide_uv(folder.path(), &python)?,
    };
    let index = configured_index(&python);
    println!("aienv   {}", version(Path::new(programs::AIENV)));
    println!("uv      {}", version(&uv));
    println!("python  {}", version(&python));
    println!(
        "index   {}",
        index.as_deref().map_or("default", without_credentials)
    );
    println!("cores   {}", std::thread::available_parallelism()?);

    let torch_index = programs::empty_torch_index()?;
    for set in &options.sets {
        println!("\n{}: {}", set.name, set.requirements.join(" "));
        let room = folder.path().join(set.name);
        fs::create_dir_all(&room)?;
        let mut pair: [Box<dyn Contestant>; 2] = [
            Box::new(Aienv::new(
                &room,
                set,
                &python,
                index.as_deref(),
                &torch_index,
            )?),
            Box::new(Uv::new(&room, set, &python, index.as_deref(), &uv)?),
        ];
        compare(&mut pair, options.repeat)?;
        fs::remove_dir_all(&room)?;
    }
    Ok(())
}

fn compare(pair: &mut [Box<dyn Contestant>; 2], repeat: usize) -> Result<()> {
    println!(
        "{:<14}{:>10}{:>10}{:>8}{:>16}{:>22}",
        "", "aienv", "uv", "ratio", "processor", "peak memory"
    );
    for situation in Situation::ALL {
        let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
        for round in 0..repeat {
            for turn in 0..2 {
                let who = (round + turn) % 2;
                prepare(pair[who].as_mut(), situation, round)?;
                let command = match situation {
                    Situation::ColdResolve | Situation::WarmResolve => pair[who].resolve(),
                    Situation::ColdInstall | Situation::WarmInstall => pair[who].install(),
                };
                samples[who].push(succeed(command)?);
            }
        }
        report(situation, &samples);
    }
    println!(
        "packages installed: {} and {}",
        pair[0].installed()?,
        pair[1].installed()?
    );
    Ok(())
}

/// One line: medians of time and processor time, the largest peak of memory.
fn report(situation: Situation, samples: &[Vec<Sample>; 2]) {
    let times = [0, 1].map(|who| median(samples[who].iter().map(|s| s.seconds)));
    let processor = [0, 1].map(|who| median(samples[who].iter().filter_map(|s| s.processor)));
    let memory = [0, 1].map(|who| {
        let peaks = samples[who].iter().filter_map(|s| s.peak_bytes);
        peaks
            .max()
            .map_or("unknown".to_owned(), aienv::types::human_bytes)
    });
    println!(
        "{:<14}{:>8.2} s{:>8.2} s{:>8.2}{:>7.2} {:>6.2} s{:>12}{:>10}",
        situation.name(),
        times[0],
        times[1],
        times[0] / times[1],
        processor[0],
        processor[1],
        memory[0],
        memory[1]
    );
}

/// Runs a command that must not fail.
fn succeed(command: Command) -> Result<Sample> {
    let shown = format!("{command:?}");
    match measure::run(command)? {
        (sample, None) => Ok(sample),
        (_, Some(said)) => Err(format!("{shown} failed:\n{said}").into()),
    }
}

/// Brings a contestant into the state a situation starts from.
fn prepare(contestant: &mut dyn Contestant, situation: Situation, round: usize) -> Result<()> {
    match situation {
        Situation::ColdResolve | Situation::ColdInstall => contestant.forget_everything(),
        // The first warm round fills the caches, unmeasured.
        Situation::WarmResolve if round == 0 => succeed(contestant.resolve()).map(drop),
        Situation::WarmResolve => Ok(()),
        Situation::WarmInstall => contestant.remove_environment(),
    }
}
