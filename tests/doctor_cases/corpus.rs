//! Where cases come from: the files beside this one, or a file of collected cases.
//!
//! Beside this file, each `*.toml` holds arrays of tables named by the cause's label, or `healthy`.
//! A table is the evidence in the form that `aienv doctor --evidence` reads, and an `id`; a `log`
//! may be one text.

use std::{fs, path::Path};

use aienv::doctor::{Cause, Evidence};
use serde_json::{Map, Value};

/// One failure whose cause is known, or a log of something that works.
#[derive(Clone)]
pub struct Case {
    pub id: String,
    /// None: nothing is wrong.
    pub cause: Option<Cause>,
    pub evidence: Evidence,
}

/// The cases of this repository.
pub fn own() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/doctor_cases");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    files.iter().flat_map(|path| of_toml(path)).collect()
}

fn of_toml(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap();
    let tables: Map<String, Value> =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut cases = Vec::new();
    for (label, list) in tables {
        let cause = (label != "healthy").then(|| label.parse().unwrap());
        for mut table in list.as_array().unwrap().iter().cloned() {
            let fields = table.as_object_mut().unwrap();
            let id = fields.remove("id").unwrap();
            let evidence = Evidence::from_json(&table.to_string()).unwrap();
            cases.push(Case {
                id: format!("{label}/{}", id.as_str().unwrap()),
                cause,
                evidence,
            });
        }
    }
    cases
}

/// The cases of a file with one a line: `{"id", "cause", "evidence": {…}}`.
pub fn of_lines(text: &str) -> Vec<Case> {
    let read = |line: &str| {
        let value: Value = serde_json::from_str(line).unwrap();
        // The evidence alone: what else a file says of a case is not for the diagnosis.
        let evidence = serde_json::to_string(&value["evidence"]).unwrap();
        Case {
            id: value["id"].as_str().unwrap_or_default().to_owned(),
            cause: Some(value["cause"].as_str().unwrap().parse().unwrap()),
            evidence: Evidence::from_json(&evidence).unwrap(),
        }
    };
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(read)
        .collect()
}
