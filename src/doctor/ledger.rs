//! Weighing evidence: entries for and against causes, and what they add up to.
//!
//! The arithmetic is that of odds. Each entry is a weight in nats (natural logarithm of odds):
//! 1 is a hint, 2.5 suggests, 4 is strong, 6 names the cause. The weights of a cause are added to
//! its score `s`. "Something else, or nothing" competes with a score of its own ([`UNKNOWN`]). The
//! confidence of a cause is its share:
//!
//! ```text
//! exp(s) / (exp(unknown) + Σ exp(s of every cause that has evidence))
//! ```
//!
//! so that one strong reason is nearly certain, two equal ones are even, and a hint stays a hint.

use std::collections::BTreeMap;

use super::cause::Cause;

/// Score of "something that is not on the list, or nothing at all".
pub const UNKNOWN: f64 = 2.0;
/// The same where nothing in the evidence complains: then most likely nothing is wrong.
pub const UNKNOWN_IN_QUIET: f64 = 3.6;
/// A first cause below this confidence is no more than a guess, and not told.
pub const LOWEST_FIRST: f64 = 0.2;
/// Nobody is surer than this from afar.
pub const HIGHEST: f64 = 0.97;
/// Causes below this confidence are not worth a person's time.
pub const LOWEST: f64 = 0.05;
/// At most this many causes are told.
pub const MOST: usize = 5;

/// One reason.
#[derive(Clone, Debug)]
struct Entry {
    weight: f64,
    why: String,
}

/// Reasons for and against causes.
#[derive(Default)]
pub struct Ledger {
    entries: BTreeMap<Cause, Vec<Entry>>,
    values: BTreeMap<&'static str, String>,
}

/// A cause with what it came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The cause.
    pub cause: Cause,
    /// Between 0 and [`HIGHEST`].
    pub confidence: f64,
    /// Reasons for it, strongest first.
    pub reasons: Vec<String>,
}

impl Ledger {
    /// Adds a reason; a negative weight speaks against the cause and is not shown.
    pub fn add(&mut self, cause: Cause, weight: f64, why: impl Into<String>) {
        let why = why.into();
        self.entries
            .entry(cause)
            .or_default()
            .push(Entry { weight, why });
    }

    /// Fills in a place of the repairs, unless something filled it before.
    pub fn fill(&mut self, place: &'static str, value: impl Into<String>) {
        self.values.entry(place).or_insert_with(|| value.into());
    }

    /// What fills a place.
    pub fn value(&self, place: &str) -> Option<&str> {
        self.values.get(place).map(String::as_str)
    }

    /// The sum of a cause's weights.
    pub fn score(&self, cause: Cause) -> f64 {
        let entries = self.entries.get(&cause);
        entries.map_or(0.0, |entries| entries.iter().map(|e| e.weight).sum())
    }

    /// The causes that have something for them, most likely first.
    pub fn ranked(&self, unknown: f64) -> Vec<Ranked> {
        let scored: Vec<(Cause, f64)> = self
            .entries
            .keys()
            .map(|cause| (*cause, self.score(*cause)))
            .filter(|(_, score)| *score > 0.0)
            .collect();
        let highest = scored.iter().map(|(_, s)| *s).fold(unknown, f64::max);
        // Scores relative to the highest, so that no exponential overflows.
        let share = |score: f64| (score - highest).exp();
        let total: f64 = share(unknown) + scored.iter().map(|(_, s)| share(*s)).sum::<f64>();
        let mut ranked: Vec<Ranked> = scored
            .into_iter()
            .map(|(cause, score)| Ranked {
                cause,
                confidence: (share(score) / total).min(HIGHEST),
                reasons: self.reasons(cause),
            })
            .filter(|ranked| ranked.confidence >= LOWEST)
            .collect();
        ranked.sort_by(|a, b| {
            let by_confidence = b.confidence.total_cmp(&a.confidence);
            by_confidence.then(self.score(b.cause).total_cmp(&self.score(a.cause)))
        });
        ranked.truncate(MOST);
        if ranked
            .first()
            .is_some_and(|first| first.confidence < LOWEST_FIRST)
        {
            ranked.clear();
        }
        if let Some(Cause::BenignWarning) = ranked.first().map(|first| first.cause) {
            // Where all is well, guesses are no news.
            ranked.retain(|ranked| ranked.confidence >= LOWEST_FIRST);
        }
        ranked
    }

    fn reasons(&self, cause: Cause) -> Vec<String> {
        let mut entries: Vec<&Entry> = self.entries.get(&cause).into_iter().flatten().collect();
        entries.retain(|entry| entry.weight > 0.0 && !entry.why.is_empty());
        entries.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let mut reasons: Vec<String> = Vec::new();
        for entry in entries {
            if !reasons.contains(&entry.why) {
                reasons.push(entry.why.clone());
            }
        }
        // A line that is quoted with what it means need not be quoted bare.
        let explained: Vec<String> = reasons
            .iter()
            .filter_map(|reason| reason.split_once(" — "))
            .map(|(quote, _)| quote.to_owned())
            .collect();
        reasons.retain(|reason| !explained.contains(reason));
        reasons.truncate(6);
        reasons
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn confidence(ledger: &Ledger, cause: Cause) -> f64 {
        let ranked = ledger.ranked(UNKNOWN);
        let found = ranked.iter().find(|ranked| ranked.cause == cause);
        found.map_or(0.0, |ranked| ranked.confidence)
    }

    #[test]
    fn reasons_add_up_and_compete() {
        let mut ledger = Ledger::default();
        ledger.add(Cause::DiskFull, 2.0, "hint");
        assert!((confidence(&ledger, Cause::DiskFull) - 0.5).abs() < 1e-9);
        ledger.add(Cause::DiskFull, 4.0, "strong");
        assert!(confidence(&ledger, Cause::DiskFull) > HIGHEST - 0.01);
        ledger.add(Cause::ShmTooSmall, 6.0, "as strong");
        assert!((confidence(&ledger, Cause::DiskFull) - 0.495).abs() < 0.01);
        ledger.add(Cause::ShmTooSmall, -6.5, "excluded");
        assert!(confidence(&ledger, Cause::DiskFull) > 0.9);
        ledger.add(Cause::DiskFull, 0.0001, "hint — what it means");
        let reasons = &ledger.ranked(UNKNOWN)[0].reasons;
        assert_eq!(reasons, &["strong", "hint — what it means"]);
        assert_eq!(ledger.ranked(UNKNOWN).len(), 1);
    }

    #[test]
    fn nothing_comes_from_nothing() {
        assert!(Ledger::default().ranked(UNKNOWN).is_empty());
        let mut ledger = Ledger::default();
        ledger.add(Cause::DiskFull, -1.0, "");
        assert!(ledger.ranked(UNKNOWN).is_empty());
        ledger.add(Cause::DiskFull, 1_000_000.0, "");
        assert!(confidence(&ledger, Cause::DiskFull) <= HIGHEST);
    }
}
