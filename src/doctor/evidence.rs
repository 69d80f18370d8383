//! What a person has when something failed: texts and a few facts, as one value.
//!
//! The JSON form is an object whose every field is optional:
//!
//! ```json
//! {
//!   "log": ["line", "line"],
//!   "nvidia_smi": {"driver": "570.86", "cuda": "12.8", "gpus": ["NVIDIA L4"]},
//!   "amd": {"gfx": "gfx1100", "rocm": "6.4", "gpus": ["Radeon RX 7900 XT"]},
//!   "packages": {"torch": "2.9.0+cu128"},
//!   "python": "3.12.3",
//!   "env": {"LD_LIBRARY_PATH": "/opt/lib"},
//!   "os": "linux",
//!   "facts": {"distro": "Fedora 43", "anything": "else"}
//! }
//! ```
//!
//! Fields nobody knows are kept as facts: what a stranger found worth writing down may matter. A
//! field of a wrong type is an error that names it.

use serde_json::{Map, Value};

use crate::error::UserError;

/// What is known of a failure. All of it came from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Lines of output, in order, as they came.
    pub log: Vec<String>,
    /// Version of the NVIDIA driver.
    pub nvidia_driver: Option<String>,
    /// CUDA version the driver supports, as `nvidia-smi` shows it.
    pub nvidia_cuda: Option<String>,
    /// Names of NVIDIA GPUs.
    pub nvidia_gpus: Vec<String>,
    /// `gfx` targets of AMD GPUs.
    pub amd_gfx: Option<String>,
    /// Version of ROCm.
    pub amd_rocm: Option<String>,
    /// Names of AMD GPUs.
    pub amd_gpus: Vec<String>,
    /// Installed packages: name and version.
    pub packages: Vec<(String, String)>,
    /// Version of Python.
    pub python: Option<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Operating system: `linux`, `windows`, `macos`, `wsl2`, `container`.
    pub os: Option<String>,
    /// Whatever else somebody found worth saying.
    pub facts: Vec<(String, String)>,
}

/// Why an evidence file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// Not JSON.
    #[error("the evidence is not JSON")]
    NotJson(#[source] serde_json::Error),
    /// JSON, but of another shape.
    #[error("`{field}` of the evidence is {found}, not {expected}")]
    WrongType {
        /// Path of the field: `nvidia_smi.gpus`.
        field: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: &'static str,
    },
}

impl UserError for EvidenceError {
    fn code(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "doctor.evidence-not-json",
            Self::WrongType { .. } => "doctor.evidence-type",
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotJson(_) => {
                "`--evidence` reads a JSON object; a plain log goes to `--log`".to_owned()
            }
            Self::WrongType { .. } => {
                "docs/doctor.md shows the form of an evidence file".to_owned()
            }
        })
    }

    fn is_usage(&self) -> bool {
        true
    }
}

impl Evidence {
    /// Reads the JSON form.
    ///
    /// # Errors
    /// The text is no JSON object, or a field has a type that says nothing.
    pub fn from_json(text: &str) -> Result<Self, EvidenceError> {
        // Editors of Windows put a byte order mark in front.
        let text = text.trim_start_matches('\u{feff}');
        let value: Value = serde_json::from_str(text).map_err(EvidenceError::NotJson)?;
        let mut evidence = Self::default();
        let mut object = into_object("the whole", value)?;
        // A collected case keeps its evidence one level down, beside the operating system.
        if let Some(inner) = object.remove("evidence") {
            let os = object.remove("os");
            object = into_object("evidence", inner)?;
            if let (false, Some(os)) = (object.contains_key("os"), os) {
                object.insert("os".to_owned(), os);
            }
        }
        for (name, value) in object {
            evidence.take(&name, value)?;
        }
        Ok(evidence)
    }

    /// Only a text, such as a log or a post.
    pub fn from_text(text: &str) -> Self {
        let log = text.split('\n').map(str::to_owned).collect();
        Self {
            log,
            ..Self::default()
        }
    }

    /// Joins what two sources know. Where both know one thing, the first is believed.
    pub fn join(&mut self, other: Self) {
        self.log.extend(other.log);
        let first = |mine: &mut Option<String>, theirs| {
            if mine.is_none() {
                *mine = theirs;
            }
        };
        first(&mut self.nvidia_driver, other.nvidia_driver);
        first(&mut self.nvidia_cuda, other.nvidia_cuda);
        first(&mut self.amd_gfx, other.amd_gfx);
        first(&mut self.amd_rocm, other.amd_rocm);
        first(&mut self.python, other.python);
        first(&mut self.os, other.os);
        self.nvidia_gpus.extend(other.nvidia_gpus);
        self.amd_gpus.extend(other.amd_gpus);
        self.packages.extend(other.packages);
        self.env.extend(other.env);
        self.facts.extend(other.facts);
    }

    fn take(&mut self, name: &str, value: Value) -> Result<(), EvidenceError> {
        match name {
            "log" => self.log.extend(lines(name, value)?),
            "nvidia_smi" => self.take_nvidia(value)?,
            "amd" => self.take_amd(value)?,
            "packages" => self.packages.extend(pairs(name, value)?),
            "env" => self.env.extend(pairs(name, value)?),
            "python" => self.python = scalar(name, value)?,
            "os" => self.os = scalar(name, value)?,
            "facts" => {
                for (key, value) in object_or_nothing(name, value)? {
                    flatten(&key, value, &mut self.facts);
                }
            }
            _ => flatten(name, value, &mut self.facts),
        }
        Ok(())
    }

    fn take_nvidia(&mut self, value: Value) -> Result<(), EvidenceError> {
        // The output itself, pasted.
        if let Value::String(text) = value {
            self.log.extend(text.split('\n').map(str::to_owned));
            return Ok(());
        }
        for (key, value) in object_or_nothing("nvidia_smi", value)? {
            let field = format!("nvidia_smi.{key}");
            match key.as_str() {
                "driver" => self.nvidia_driver = scalar(&field, value)?,
                "cuda" => self.nvidia_cuda = scalar(&field, value)?,
                "gpus" => self.nvidia_gpus = lines(&field, value)?,
                _ => flatten(&field, value, &mut self.facts),
            }
        }
        Ok(())
    }

    fn take_amd(&mut self, value: Value) -> Result<(), EvidenceError> {
        if let Value::String(text) = value {
            self.log.extend(text.split('\n').map(str::to_owned));
            return Ok(());
        }
        for (key, value) in object_or_nothing("amd", value)? {
            let field = format!("amd.{key}");
            match key.as_str() {
                "gfx" => self.amd_gfx = joined(&field, value)?,
                "rocm" => self.amd_rocm = scalar(&field, value)?,
                "gpus" => self.amd_gpus = lines(&field, value)?,
                _ => flatten(&field, value, &mut self.facts),
            }
        }
        Ok(())
    }
}

fn wrong(field: &str, value: &Value, expected: &'static str) -> EvidenceError {
    let found = match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let field = field.to_owned();
    EvidenceError::WrongType {
        field,
        expected,
        found,
    }
}

fn into_object(field: &str, value: Value) -> Result<Map<String, Value>, EvidenceError> {
    match value {
        Value::Object(object) => Ok(object),
        other => Err(wrong(field, &other, "an object")),
    }
}

fn object_or_nothing(field: &str, value: Value) -> Result<Map<String, Value>, EvidenceError> {
    match value {
        Value::Null => Ok(Map::new()),
        other => into_object(field, other),
    }
}

/// A text, a number or nothing.
fn scalar(field: &str, value: Value) -> Result<Option<String>, EvidenceError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(flag) => Ok(Some(flag.to_string())),
        other => Err(wrong(field, &other, "a text")),
    }
}

/// A text of several lines, or a list of texts.
fn lines(field: &str, value: Value) -> Result<Vec<String>, EvidenceError> {
    match value {
        Value::Array(items) => {
            let mut lines = Vec::new();
            for (index, item) in items.into_iter().enumerate() {
                let text = scalar(&format!("{field}[{index}]"), item)?;
                lines.extend(text.unwrap_or_default().split('\n').map(str::to_owned));
            }
            Ok(lines)
        }
        Value::Object(_) => Err(wrong(field, &value, "a list of texts")),
        other => Ok(scalar(field, other)?
            .map(|text| text.split('\n').map(str::to_owned).collect())
            .unwrap_or_default()),
    }
}

fn joined(field: &str, value: Value) -> Result<Option<String>, EvidenceError> {
    let lines = lines(field, value)?;
    Ok((!lines.is_empty()).then(|| lines.join(" ")))
}

/// An object of texts, or a list of `name==version` or `NAME=value`.
fn pairs(field: &str, value: Value) -> Result<Vec<(String, String)>, EvidenceError> {
    if let Value::Array(_) = value {
        let lines = lines(field, value)?;
        return Ok(lines
            .iter()
            .map(|line| {
                let (name, version) = line.split_once('=').unwrap_or((line, ""));
                let version = version.trim_start_matches('=').trim();
                (name.trim().to_owned(), version.to_owned())
            })
            .collect());
    }
    object_or_nothing(field, value)?
        .into_iter()
        .map(|(name, value)| {
            let path = format!("{field}.{name}");
            Ok((name, joined(&path, value)?.unwrap_or_default()))
        })
        .collect()
}

/// Any value as lines of `key: value`; keys of inner objects are joined by dots.
fn flatten(key: &str, value: Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Object(inner) => {
            for (name, value) in inner {
                flatten(&format!("{key}.{name}"), value, into);
            }
        }
        Value::Array(items) => {
            let (simple, deep): (Vec<_>, Vec<_>) = items
                .into_iter()
                .partition(|item| !item.is_object() && !item.is_array());
            let texts: Vec<String> = simple.iter().map(plain).collect();
            if !texts.is_empty() {
                into.push((key.to_owned(), texts.join(", ")));
            }
            for item in deep {
                flatten(key, item, into);
            }
        }
        other => into.push((key.to_owned(), plain(&other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_field_is_optional_and_strange_ones_are_facts() {
        assert_eq!(Evidence::from_json("{}").unwrap(), Evidence::default());
        let evidence = Evidence::from_json(
            r#"{"log": "one\ntwo", "nvidia_smi": {"driver": 570, "fan": "20 %"}, "amd": null,
                "packages": ["torch==2.9.0", "numpy"], "python": 3.12, "mood": ["bad", 7],
                "facts": {"disk": {"free_gb": 3}, "nothing": null}}"#,
        )
        .unwrap();
        assert_eq!(evidence.log, ["one", "two"]);
        assert_eq!(evidence.nvidia_driver.as_deref(), Some("570"));
        assert_eq!(evidence.python.as_deref(), Some("3.12"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            evidence.packages,
            [pair("torch", "2.9.0"), pair("numpy", "")]
        );
        for expected in [
            pair("nvidia_smi.fan", "20 %"),
            pair("mood", "bad, 7"),
            pair("disk.free_gb", "3"),
        ] {
            assert!(evidence.facts.contains(&expected), "{:?}", evidence.facts);
        }
    }

    #[test]
    fn a_collected_case_is_opened() {
        let text = r#"{"id": "x", "os": "wsl2", "evidence": {"log": ["a"]}}"#;
        let evidence = Evidence::from_json(text).unwrap();
        assert_eq!(evidence.os.as_deref(), Some("wsl2"));
        assert_eq!(evidence.log, ["a"]);
    }

    #[test]
    fn wrong_types_are_named() {
        for (text, said) in [
            ("[]", "`the whole` of the evidence is a list, not an object"),
            (r#"{"log": {}}"#, "`log` of the evidence is an object"),
            (r#"{"log": [["x"]]}"#, "`log[0]` of the evidence is a list"),
            (
                r#"{"nvidia_smi": 5}"#,
                "`nvidia_smi` of the evidence is a number",
            ),
            (
                r#"{"packages": {"torch": {}}}"#,
                "`packages.torch` of the evidence is an object",
            ),
            (r#"{"python": []}"#, "`python` of the evidence is a list"),
        ] {
            let error = Evidence::from_json(text).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
            assert!(error.is_usage() && error.hint().is_some());
        }
        assert!(Evidence::from_json("{").is_err());
    }

    #[test]
    fn the_first_source_is_believed_and_lists_grow() {
        let mut one = Evidence::from_json(r#"{"python": "3.11", "log": ["a"]}"#).unwrap();
        one.join(Evidence::from_json(r#"{"python": "3.12", "log": ["b"]}"#).unwrap());
        assert_eq!(one.python.as_deref(), Some("3.11"));
        assert_eq!(one.log, ["a", "b"]);
    }
}
