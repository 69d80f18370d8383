//! What is known of each cause: its title, the mechanism, the repairs. Data, in
//! `manifests/doctor/causes.toml`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::Deserialize;

use super::{
    cause::Cause,
    finding::Fix,
    remedy::{self, System},
    template::fill,
};

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

/// A text with its command, or the name of a remedy whose commands depend on the system.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Step {
    Written {
        #[serde(default)]
        when: Vec<String>,
        text: String,
        command: Option<String>,
    },
    Remedy {
        #[serde(default)]
        when: Vec<String>,
        remedy: String,
    },
}

impl Step {
    fn when(&self) -> &[String] {
        match self {
            Self::Written { when, .. } | Self::Remedy { when, .. } => when,
        }
    }
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
        let system = System::holding(&holds);
        let fits = |step: &&Step| {
            let mut conditions = step.when().iter();
            conditions.all(|condition| match condition.strip_prefix("not-") {
                Some(condition) => !holds(condition),
                None => holds(condition),
            })
        };
        self.fix
            .iter()
            .filter(fits)
            .map(|step| match step {
                Step::Written { text, command, .. } => Fix {
                    text: fill(text, &value).text,
                    command: command.as_deref().map(|text| fill(text, &value).text),
                },
                Step::Remedy { remedy, .. } => remedy::filled(remedy, &system, &value),
            })
            .collect()
    }
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
}
