//! The same cases as other people would have pasted them: other paths, other cards of one
//! generation, colours, broken lines, what loggers put in front, other programs' lines between.
//!
//! Nothing that decides a cause is changed. All of it follows from a seed.

use std::sync::LazyLock;

use aienv::doctor::Evidence;
use fastrand::Rng;
use regex::{Captures, Regex};

use crate::corpus::Case;

/// A case changed at random; the same seed changes it alike.
pub fn changed(case: &Case, seed: u64) -> Case {
    let mut rng = Rng::with_seed(seed ^ hash(&case.id));
    let mut case = case.clone();
    if rng.bool() {
        other_cards(&mut case.evidence, &mut rng);
    }
    if rng.bool() {
        other_numbers(&mut case.evidence, &mut rng);
    }
    let log = &mut case.evidence.log;
    let had_log = log.iter().any(|line| !line.trim().is_empty());
    if !had_log {
        return case;
    }
    *log = log.join("\n").lines().map(str::to_owned).collect();
    if rng.bool() {
        other_paths(log, &mut rng);
    }
    if rng.bool() {
        quotation_marks(log);
    }
    if rng.bool() {
        strangers(log, &mut rng);
    }
    // Terminals break what a logger wrote; mail programs quote what was broken.
    let prefix_first = rng.bool();
    if prefix_first {
        prefixes(log, &mut rng);
    }
    if rng.bool() {
        *log = broken(log, &mut rng);
    }
    // Colours take no room on a line.
    if rng.bool() {
        colours(log, &mut rng);
    }
    if !prefix_first {
        prefixes(log, &mut rng);
    }
    if rng.bool() {
        log.iter_mut().for_each(|line| line.push('\r'));
    }
    case
}

/// FNV-1a, so that the changes do not depend on a release of the standard library.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Every text of the evidence that may name a card or a path.
fn texts(evidence: &mut Evidence) -> impl Iterator<Item = &mut String> {
    evidence
        .log
        .iter_mut()
        .chain(&mut evidence.nvidia_gpus)
        .chain(&mut evidence.amd_gpus)
        .chain(evidence.facts.iter_mut().map(|(_, value)| value))
}

/// Cards that have one instruction set and one role.
const ALIKE: [&[&str]; 9] = [
    &["RTX 5090", "RTX 5080", "RTX 5070 Ti", "RTX 5070"],
    &[
        "RTX 4090",
        "RTX 4080",
        "RTX 4070 Ti",
        "RTX 4070",
        "RTX 4060 Ti",
    ],
    &["RTX 3090", "RTX 3080", "RTX 3070", "RTX 3060"],
    &["RTX 2080 Ti", "RTX 2070", "RTX 2060"],
    &["GTX 1080 Ti", "GTX 1080", "GTX 1070", "GTX 1060"],
    &["RX 7900 XTX", "RX 7900 XT"],
    &["RX 6950 XT", "RX 6900 XT", "RX 6800 XT"],
    &["RX 6650 XT", "RX 6600 XT"],
    &["RX 6750 XT", "RX 6700 XT"],
];

fn other_cards(evidence: &mut Evidence, rng: &mut Rng) {
    for group in ALIKE {
        let other = group[rng.usize(..group.len())];
        for text in texts(evidence) {
            if let Some(name) = group.iter().find(|name| stands_alone(text, name)) {
                *text = text.replace(name, other);
            }
        }
    }
}

/// Whether a name is there and no longer name begins with it.
fn stands_alone(text: &str, name: &str) -> bool {
    text.match_indices(name).all(|(place, _)| {
        let rest = &text[place + name.len()..];
        !rest.starts_with(|c: char| c.is_ascii_alphanumeric())
            && ![" Ti", " SUPER", " Super", " XT", "/", " D"]
                .iter()
                .any(|more| rest.starts_with(more))
    }) && text.contains(name)
}

macro_rules! regex {
    ($name:ident, $text:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).unwrap());
    };
}

regex!(
    COUNTED,
    r"(\bline |\bpid[ =]|\.(?:cpp|cu|py|cc|h|go):|\[)([0-9]{2,6})\b([^.0-9]|$)"
);
regex!(
    PATCH,
    r"\b((?:[Pp]ython|CPython|pip|GCC|cmake version) v?[0-9]+\.[0-9]+)\.[0-9]+\b"
);
regex!(ADDRESS, r"\b0x[0-9a-f]{6,16}\b");

/// Numbers that mean nothing: places in files, process numbers, patch levels, addresses.
fn other_numbers(evidence: &mut Evidence, rng: &mut Rng) {
    for text in &mut evidence.log {
        *text = COUNTED
            .replace_all(text, |found: &Captures<'_>| {
                format!("{}{}{}", &found[1], rng.u32(20..9000), &found[3])
            })
            .into_owned();
        *text = PATCH
            .replace_all(text, |found: &Captures<'_>| {
                format!("{}.{}", &found[1], rng.u32(1..12))
            })
            .into_owned();
        *text = ADDRESS
            .replace_all(text, |_: &Captures<'_>| {
                format!("0x{:012x}", rng.u64(..1 << 47))
            })
            .into_owned();
    }
}

regex!(HOME, r"/(home|Users)/[A-Za-z0-9_.-]+");
regex!(USERS, r"(?i)C:\\Users\\[A-Za-z0-9_.-]+");
regex!(VENV, r"/(?:srv/|opt/)?(?:\.?venv|env)/lib/");
regex!(WINDOWS_PATH, r"\b[A-Z]:\\[^\s'\x22]+");

fn other_paths(log: &mut [String], rng: &mut Rng) {
    let name = ["lena", "ubuntu", "j.doe", "MLuser", "ec2-user"][rng.usize(..5)];
    let env = [
        "/data/envs/sdxl/lib/",
        "/workspace/venv/lib/",
        "/mnt/ssd/.venv/lib/",
    ][rng.usize(..3)];
    let lower = rng.bool();
    for line in log {
        *line = HOME.replace_all(line, format!("/$1/{name}")).into_owned();
        *line = USERS
            .replace_all(line, format!(r"C:\Users\{name}"))
            .into_owned();
        *line = VENV.replace_all(line, env).into_owned();
        // Windows does not care, so programs print either.
        if lower {
            *line = WINDOWS_PATH
                .replace_all(line, |found: &Captures<'_>| found[0].to_lowercase())
                .into_owned();
        }
    }
}

/// Those of word processors and forums.
fn quotation_marks(log: &mut [String]) {
    for line in log {
        let mut open = true;
        *line = line
            .chars()
            .map(|c| match c {
                '\'' | '`' => '\u{2019}',
                '"' => {
                    open = !open;
                    if open { '\u{201d}' } else { '\u{201c}' }
                }
                other => other,
            })
            .collect();
    }
}

/// Lines of programs and people that have nothing to do with it.
const STRANGERS: [&str; 26] = [
    "Hi everybody, I have been at this since yesterday and hope somebody can help.",
    "Thanks in advance!",
    "Here is the whole output:",
    "```",
    "$ cd ~/projects/demo && ls",
    "README.md  app.py  requirements.txt",
    "Collecting tqdm",
    "  Downloading tqdm-4.67.1-py3-none-any.whl (78 kB)",
    "Requirement already satisfied: pyyaml in ./lib (6.0.2)",
    "Installing collected packages: tqdm, regex, filelock",
    "remote: Enumerating objects: 1203, done.",
    "Receiving objects: 100% (1203/1203), 4.11 MiB | 9.80 MiB/s, done.",
    "Loading checkpoint shards:  50%|#####     | 2/4 [00:03<00:03,  1.6s/it]",
    "Fetching 12 files: 100%|##########| 12/12 [00:00<00:00, 81.2it/s]",
    "127.0.0.1 - - \"GET /static/app.js HTTP/1.1\" 200 -",
    "Started server process",
    "Waiting for application startup.",
    "Using default tokenizer.",
    "Reading configuration from config.yaml",
    "Seed set to 42",
    "Total parameters: 7,241,732,096",
    "[2/5] RUN apt-get update && apt-get install -y git",
    "-- Configuring done (0.4s)",
    "usb 1-4: new high-speed USB device number 9 using xhci_hcd",
    "The prompt was: a cat that plays chess",
    "I am on the newest commit of the main branch.",
];

fn strangers(log: &mut Vec<String>, rng: &mut Rng) {
    let mut with = Vec::new();
    let stranger = |with: &mut Vec<String>, rng: &mut Rng| {
        with.push(STRANGERS[rng.usize(..STRANGERS.len())].to_owned());
    };
    for _ in 0..rng.usize(..5) {
        stranger(&mut with, rng);
    }
    for line in log.drain(..) {
        // Nothing comes between a command and its answer.
        let asks = line.starts_with(">>>") || line.starts_with("$ ") || line.ends_with(':');
        with.push(line);
        if rng.u8(..4) == 0 && !asks {
            stranger(&mut with, rng);
        }
    }
    for _ in 0..rng.usize(..5) {
        stranger(&mut with, rng);
    }
    *log = with;
}

fn colours(log: &mut [String], rng: &mut Rng) {
    for line in log {
        match rng.u8(..3) {
            0 => *line = format!("\u{1b}[1;31m{line}\u{1b}[0m"),
            1 => {
                let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
                let place = rng.usize(..words.len());
                words[place] = format!("\u{1b}[38;5;208m{}\u{1b}[0m", words[place]);
                *line = words.join(" ");
            }
            _ => {}
        }
    }
}

/// Lines broken at a width: within words, as terminals do, or between, as mail programs do.
fn broken(log: &[String], rng: &mut Rng) -> Vec<String> {
    let width = [80, 100, 120][rng.usize(..3)];
    let within_words = rng.bool();
    log.iter()
        .flat_map(|line| {
            if within_words {
                cut(line, width)
            } else {
                folded(line, width)
            }
        })
        .collect()
}

fn cut(line: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = line.chars().collect();
    if chars.is_empty() {
        return vec![String::new()];
    }
    chars
        .chunks(width)
        .map(|part| part.iter().collect())
        .collect()
}

fn folded(line: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.split(' ') {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// What loggers, engines and quoting put before every line.
fn prefixes(log: &mut [String], rng: &mut Rng) {
    let kind = rng.u8(..14);
    let mut seconds = rng.u32(..30);
    for line in log {
        seconds += rng.u32(..2);
        let clock = format!(
            "{:02}:{:02}:{:02}",
            9 + seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        );
        let prefix = match kind {
            0 => format!("2026-03-04T{clock}.{:06}Z ", rng.u32(..999_999)),
            1 => format!("[2026-03-04 {clock},{:03}] ", rng.u32(..999)),
            2 => "webui-1  | ".to_owned(),
            3 => "[INFO] ".to_owned(),
            4 => "E   ".to_owned(),
            5 => "> ".to_owned(),
            6 => "        ".to_owned(),
            7 => format!("Mar 04 {clock} box python3[{}]: ", 2000 + seconds),
            8 => format!("#14 {}.{:03} ", seconds, rng.u32(..999)),
            9 => format!("2026-03-04 {clock} - root - INFO - "),
            10 => format!("(EngineCore_DP0 pid={}) ", 4000 + seconds / 9),
            11 => format!("{clock} "),
            _ => return,
        };
        line.insert_str(0, &prefix);
    }
}
