//! What is known of each cause: its title, the mechanism, the repairs. Data, in
//! `manifests/doctor/causes.toml`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use super::{cause::Cause, finding::Fix};

/// What is known of a cause.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// One line.
    pub title: String,
    /// The mechanism.
    pub explanation: String,
    /// What to run when the cause is only suspected.
    pub ask: Option<String>,
    fix: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    #[serde(default)]
    when: Vec<String>,
    text: String,
    command: Option<String>,
}

static ENTRIES: LazyLock<BTreeMap<Cause, Entry>> = LazyLock::new(|| {
    // The file is part of the program and a test reads it.
    toml::from_str(include_str!("../../manifests/doctor/causes.toml"))
        .unwrap_or_else(|error| unreachable!("causes.toml: {error}"))
});

/// What is known of a cause.
pub fn of(cause: Cause) -> &'static Entry {
    &ENTRIES[&cause]
}

impl Entry {
    /// The repairs for some surroundings. `holds` says whether a condition of the file holds,
    /// `value` what fills a place.
    pub fn repairs(
        &self,
        holds: impl Fn(&str) -> bool,
        value: impl Fn(&str) -> Option<String>,
    ) -> Vec<Fix> {
        let mut repairs: Vec<Fix> = Vec::new();
        for step in &self.fix {
            let fits = step
                .when
                .iter()
                .all(|condition| match condition.strip_prefix("not-") {
                    Some(condition) => !holds(condition),
                    None => holds(condition),
                });
            if fits {
                repairs.push(Fix {
                    text: fill(&step.text, &value),
                    command: step.command.as_deref().map(|text| fill(text, &value)),
                });
            }
        }
        repairs
    }
}

/// Fills `{place|otherwise}`. What does not look like a place stays.
fn fill(text: &str, value: &impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        let inner = &rest[start + 1..];
        let filled = inner.find('}').and_then(|end| {
            let (place, otherwise) = match inner[..end].split_once('|') {
                Some((place, otherwise)) => (place, Some(otherwise)),
                None => (&inner[..end], None),
            };
            let is_place =
                !place.is_empty() && place.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
            let text = value(place).or_else(|| otherwise.map(str::to_owned));
            text.filter(|_| is_place).map(|text| (text, end))
        });
        match filled {
            Some((text, end)) => {
                out.push_str(&text);
                rest = &inner[end + 1..];
            }
            None => {
                out.push('{');
                rest = inner;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_an_entry_that_says_something() {
        for cause in Cause::ALL {
            let entry = of(*cause);
            assert!(
                !entry.title.is_empty() && entry.explanation.len() > 20,
                "{cause}"
            );
            let nothing_to_do = *cause == Cause::BenignWarning;
            assert_eq!(entry.fix.is_empty(), nothing_to_do, "{cause}");
            assert_eq!(entry.ask.is_none(), nothing_to_do, "{cause}");
        }
        assert_eq!(ENTRIES.len(), Cause::ALL.len());
    }

    #[test]
    fn something_always_helps_wherever_one_is() {
        for cause in Cause::ALL
            .iter()
            .filter(|cause| **cause != Cause::BenignWarning)
        {
            for os in ["linux", "windows", "macos"] {
                let repairs = of(*cause).repairs(|c| c == os, |_| None);
                assert!(!repairs.is_empty(), "{cause} on {os}");
            }
        }
    }

    #[test]
    fn places_are_filled() {
        let value = |place: &str| (place == "build").then(|| "cu126".to_owned());
        assert_eq!(fill("a {build|cu1} b", &value), "a cu126 b");
        assert_eq!(fill("{other|cu1}{none|}", &value), "cu1");
        assert_eq!(
            fill("{{json .X}} {unclosed", &value),
            "{{json .X}} {unclosed"
        );
        assert_eq!(fill("${HOME} {build}", &value), "${HOME} cu126");
    }
}
