//! The rules: what facts and signals say for and against each cause. One file per family.
//!
//! A rule states a mechanism. It asks for typed facts (`case.facts`) and for signals by name
//! (`case.saw`), and enters its reason in the ledger with a weight; [`super::ledger`] says what a
//! weight means. The plain weights of signals, which are data, are entered first.

mod amd;
mod apple;
mod architecture;
mod containers;
mod engines;
mod installing;
mod libraries;
mod multi_gpu;
mod nvidia;
mod packages;
mod resources;
pub(in crate::doctor) mod table;
mod torch;
mod weak;

use super::{
    evidence::Evidence,
    facts::{Distro, Facts},
    ledger::Ledger,
    signals::Signals,
    text::{Haystack, Line, Origin, complains, lines_of},
};
use crate::types::Os;

/// The evidence, understood.
pub struct Case<'a> {
    /// As it was given.
    pub(super) evidence: &'a Evidence,
    /// As readable lines.
    pub(super) lines: Vec<Line>,
    /// As typed facts.
    pub(super) facts: Facts,
    /// The wordings that were seen.
    pub(super) signals: Signals,
    /// The log with its possible line breaks taken out.
    unbroken: Vec<Haystack>,
}

impl<'a> Case<'a> {
    /// Reads the evidence.
    pub fn new(evidence: &'a Evidence) -> Self {
        let lines = lines_of(evidence);
        Self {
            evidence,
            facts: Facts::of(evidence, &lines),
            signals: Signals::of(&lines),
            unbroken: Haystack::unwrapped(&lines),
            lines,
        }
    }

    /// The lines, and the log's lines as they may have been before something broke them.
    fn passages(&self) -> impl Iterator<Item = &str> {
        let whole = self.unbroken.iter().flat_map(|hay| hay.text().lines());
        self.lines
            .iter()
            .map(|line| line.text.as_str())
            .chain(whole)
    }

    /// Whether a signal was seen.
    fn saw(&self, id: &str) -> bool {
        self.signals.get(id).is_some()
    }

    /// Whether any of these signals was seen.
    fn saw_any(&self, ids: &[&str]) -> bool {
        // No short cut: every name is checked in a debug build.
        ids.iter().filter(|id| self.saw(id)).count() > 0
    }

    /// The line a signal stands on; empty where it was not seen.
    fn quote(&self, id: &str) -> String {
        let seen = self.signals.get(id);
        seen.map_or_else(String::new, |seen| seen.quote.clone())
    }

    /// Whether anything in the evidence complains: a program's output, or the one who wrote the
    /// facts down.
    pub(super) fn complains(&self) -> bool {
        const FACTS: [&str; 8] = [
            "symptom",
            "problem",
            "trigger",
            "note",
            "issue",
            "error",
            "trouble",
            "complaint",
        ];
        self.lines.iter().any(|line| match line.origin {
            Origin::Log => complains(&line.text),
            Origin::Fact => {
                let name = line.text.split(':').next().unwrap_or_default();
                let name = name.to_lowercase();
                FACTS.iter().any(|word| name.contains(word)) || complains(&line.text)
            }
            _ => false,
        })
    }

    /// Whether there is a text, and it tells of nothing that fails: a question, a measurement.
    fn is_quiet_talk(&self) -> bool {
        let is_empty = self.evidence.log.iter().all(|line| line.trim().is_empty());
        !is_empty && !self.complains()
    }

    fn is_windows(&self) -> bool {
        self.facts.system.os == Some(Os::Windows)
    }

    fn is_macos(&self) -> bool {
        self.facts.system.os == Some(Os::Macos)
    }

    fn is_wsl(&self) -> bool {
        self.facts.system.wsl.is_some()
    }

    fn is_container(&self) -> bool {
        self.facts.system.container.is_some()
    }

    /// Whether a condition of a repair holds.
    pub(super) fn holds(&self, condition: &str) -> bool {
        let system = &self.facts.system;
        let is_distro = |distro| system.distro == Some(distro) && system.os != Some(Os::Windows);
        match condition {
            "linux" => system.os == Some(Os::Linux),
            "windows" => self.is_windows(),
            "macos" => self.is_macos(),
            "wsl" => self.is_wsl(),
            "container" => self.is_container(),
            "debian" => is_distro(Distro::Debian),
            "fedora" => is_distro(Distro::Fedora),
            "arch" => is_distro(Distro::Arch),
            "suse" => is_distro(Distro::Suse),
            "conda" => self.lines.iter().any(|line| line.text.contains("conda")),
            "sign:numpy-too-old" => packages::wants_newer_numpy(self),
            other => other.strip_prefix("sign:").is_some_and(|id| self.saw(id)),
        }
    }
}

/// Enters everything that speaks for or against any cause.
pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    for (signal, seen) in case.signals.iter() {
        for (cause, weight) in &signal.weighs {
            ledger.add(*cause, *weight, format!("{} — {}", seen.quote, signal.says));
        }
    }
    let families = [
        nvidia::weigh,
        architecture::weigh,
        torch::weigh,
        packages::weigh,
        engines::weigh,
        installing::weigh,
        libraries::weigh,
        containers::weigh,
        amd::weigh,
        apple::weigh,
        resources::weigh,
        multi_gpu::weigh,
        // Last: these look at what the others left open.
        weak::weigh,
    ];
    for family in families {
        family(case, ledger);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{collections::BTreeSet, fs, path::Path};

    use super::super::signals;

    /// Rules ask for signals by name; a slip would read as "not seen".
    #[test]
    fn every_signal_a_rule_asks_for_exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let known: BTreeSet<&str> = signals::names().collect();
        let call = regex::Regex::new(r#"(?s)(?:saw|saw_any|quote)\((.*?)\)"#).unwrap();
        let name = regex::Regex::new(r#""([a-z0-9-]+)""#).unwrap();
        let mut asked = 0;
        for entry in fs::read_dir(root.join("src/doctor/causes")).unwrap() {
            let source = fs::read_to_string(entry.unwrap().path()).unwrap();
            for arguments in call.captures_iter(&source) {
                for found in name.captures_iter(&arguments[1]) {
                    assert!(
                        known.contains(&found[1]),
                        "no signal is called {}",
                        &found[1]
                    );
                    asked += 1;
                }
            }
        }
        let repairs = fs::read_to_string(root.join("manifests/doctor/causes.toml")).unwrap();
        for condition in regex::Regex::new(r#""(?:not-)?sign:([a-z0-9-]+)""#)
            .unwrap()
            .captures_iter(&repairs)
        {
            let is_rule = &condition[1] == "numpy-too-old";
            assert!(
                is_rule || known.contains(&condition[1]),
                "{}",
                &condition[1]
            );
        }
        assert!(asked > 100, "{asked}");
    }
}
