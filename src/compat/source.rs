//! Where a fact was read: every table names its sources in a legend, every row points to it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The sources of a table: a short key, and what it stands for.
pub type Legend = BTreeMap<String, String>;

/// The keys of the sources one fact was read from. In a file `"wheel"` or `["wheel", "matrix"]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Sources(Vec<String>);

impl Sources {
    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Sources {
    fn from(sources: OneOrMany) -> Self {
        Self(match sources {
            OneOrMany::One(key) => vec![key],
            OneOrMany::Many(keys) => keys,
        })
    }
}
