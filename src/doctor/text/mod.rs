//! The evidence as readable lines, each of which knows where it came from.

pub mod clean;
mod haystack;
mod thin;

use std::ops::Range;

pub use haystack::Haystack;
pub use thin::complains;

use super::evidence::Evidence;

/// Where a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Output that was pasted.
    Log,
    /// A fact somebody wrote down.
    Fact,
    /// What `nvidia-smi` said.
    Nvidia,
    /// What is known of AMD's stack.
    Amd,
    /// An installed package.
    Package,
    /// The interpreter.
    Python,
    /// An environment variable.
    Env,
}

impl Origin {
    fn told(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Fact => "fact",
            Self::Nvidia => "nvidia-smi",
            Self::Amd => "AMD",
            Self::Package => "package",
            Self::Python => "Python",
            Self::Env => "environment",
        }
    }
}

/// One readable line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it came from.
    pub origin: Origin,
    /// Its number in the log as it was given, from 1; for other origins its place.
    pub number: usize,
    /// Columns it took as it stood, with what loggers put in front.
    pub width: usize,
    /// What it says.
    pub text: String,
}

/// Longest excerpt of a line in characters.
const LONGEST_EXCERPT: usize = 140;

impl Line {
    /// The line for a person: where it is and what it says there, around a range of bytes.
    pub fn quote(&self, start: usize, end: usize) -> String {
        format!("{}: {}", self.place(), excerpt(&self.text, start..end))
    }

    /// The line for a person, around the first place where it says something.
    pub fn quote_of(&self, part: &str) -> String {
        let start = self.text.find(part).unwrap_or(0);
        self.quote(start, start + part.len())
    }

    /// Where it is, for a person.
    fn place(&self) -> String {
        match self.origin {
            Origin::Log => format!("log line {}", self.number),
            other => other.told().to_owned(),
        }
    }
}

/// What stands around a range of bytes, as much as is pleasant to read.
fn excerpt(text: &str, around: Range<usize>) -> String {
    let mut from = around.start.min(text.len());
    if text.len() <= LONGEST_EXCERPT {
        from = 0;
    } else {
        // Some words before the place.
        from = from.saturating_sub(LONGEST_EXCERPT.saturating_sub(around.len()) / 2);
    }
    while !text.is_char_boundary(from) {
        from -= 1;
    }
    let rest = &text[from..];
    let shown: String = rest.chars().take(LONGEST_EXCERPT).collect();
    let before = if from > 0 { "…" } else { "" };
    let after = if shown.len() < rest.len() { "…" } else { "" };
    format!("{before}{}{after}", shown.trim())
}

impl Evidence {
    /// Whether there is nothing in it to read.
    pub fn is_empty(&self) -> bool {
        lines_of(self).is_empty()
    }
}

/// All lines of the evidence.
pub fn lines_of(evidence: &Evidence) -> Vec<Line> {
    let mut lines = thin::log_lines(&evidence.log);
    let mut add = |origin, number, text: String| {
        for text in clean::plain_lines(&text) {
            lines.push(Line {
                origin,
                number,
                width: text.chars().count(),
                text,
            });
        }
    };
    for (place, (name, value)) in evidence.facts.iter().enumerate() {
        add(Origin::Fact, place + 1, format!("{name}: {value}"));
    }
    let named = [
        (Origin::Nvidia, "driver version", &evidence.nvidia_driver),
        (Origin::Nvidia, "CUDA Version", &evidence.nvidia_cuda),
        (Origin::Amd, "gfx", &evidence.amd_gfx),
        (Origin::Amd, "ROCm", &evidence.amd_rocm),
        (Origin::Python, "Python", &evidence.python),
        (Origin::Fact, "os", &evidence.os),
    ];
    for (origin, name, value) in named {
        if let Some(value) = value {
            add(origin, 1, format!("{name}: {value}"));
        }
    }
    for (origin, gpus) in [
        (Origin::Nvidia, &evidence.nvidia_gpus),
        (Origin::Amd, &evidence.amd_gpus),
    ] {
        for (place, gpu) in gpus.iter().enumerate() {
            add(origin, place + 1, format!("gpu: {gpu}"));
        }
    }
    for (place, (name, version)) in evidence.packages.iter().enumerate() {
        add(Origin::Package, place + 1, format!("{name} {version}"));
    }
    for (place, (name, value)) in evidence.env.iter().enumerate() {
        add(Origin::Env, place + 1, format!("{name}={value}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_know_their_origin() {
        let evidence = Evidence::from_json(
            r#"{"log": ["one", "", "two\nthree"], "python": "3.12", "facts": {"kernel": 6},
                "packages": {"torch": "2.9"}, "env": {"A": "b"}, "amd": {"gpus": ["x"]}}"#,
        )
        .unwrap();
        let lines = lines_of(&evidence);
        let told: Vec<String> = lines.iter().map(|line| line.quote(0, 3)).collect();
        assert_eq!(
            told,
            [
                "log line 1: one",
                "log line 3: two",
                "log line 4: three",
                "fact: kernel: 6",
                "Python: Python: 3.12",
                "AMD: gpu: x",
                "package: torch 2.9",
                "environment: A=b"
            ]
        );
    }

    #[test]
    fn excerpts_are_short_and_show_the_place() {
        let text = format!("{}needle{}", "ä".repeat(400), "b".repeat(400));
        let line = Line {
            origin: Origin::Log,
            number: 7,
            width: 806,
            text,
        };
        let quote = line.quote(800, 806);
        assert!(
            quote.contains("needle") && quote.chars().count() < 170,
            "{quote}"
        );
    }
}
