//! The strict reader: a TOML file becomes a [`Manifest`], or the list of everything wrong with it.
//!
//! Three steps, each of which collects rather than stops: the TOML itself; the keys and values
//! along [`super::schema`]; the rules between keys in [`super::rules`]. Only a file without any
//! finding is handed to serde. Values keep their byte ranges, so each finding points at its place.

use std::{collections::BTreeSet, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    finding::{Finding, Findings},
    manifest::Manifest,
    nearest::nearest,
    rules,
    schema::{self, MANIFEST, Shape, Table},
    text::{Text, placeholders},
};

/// Reads a manifest strictly.
///
/// # Errors
/// Every problem of the text, in the order of their places; never an empty list.
pub fn read(text: &str) -> Result<Manifest, Vec<Finding>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax_findings(text, &errors));
    }
    let mut reader = Reader {
        findings: Findings::of(text),
        has_tree: rules::has_tree(root.get_ref()),
    };
    reader.table(&MANIFEST, root.get_ref(), 0..0, "");
    let mut findings = reader.findings;
    rules::check(&mut findings, root.get_ref());
    let mut findings = findings.into_vec();
    if findings.is_empty() {
        match toml::from_str(text) {
            Ok(manifest) => return Ok(manifest),
            Err(error) => findings.push(Finding::new(
                text,
                error.span().unwrap_or(0..0),
                error.message().to_owned(),
            )),
        }
    }
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings.dedup();
    Err(findings)
}

/// What the TOML parser says, one thing for a line and each thing once: after an unclosed bracket it
/// says several things of the same place, and the same of every line that follows.
fn syntax_findings(text: &str, errors: &[toml::de::Error]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(text.len()..text.len());
            Finding::new(text, span, format!("not valid TOML: {}", error.message()))
        })
        .collect();
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings.dedup_by_key(|finding| finding.line);
    let mut said = BTreeSet::new();
    findings.retain(|finding| said.insert(finding.message.clone()));
    findings
}

/// Walks a file along the schema.
struct Reader<'a> {
    findings: Findings<'a>,
    /// The source is a tree, so `{tree}` has a meaning.
    has_tree: bool,
}

impl Reader<'_> {
    fn table(&mut self, table: &'static Table, value: &DeTable<'_>, span: Range<usize>, at: &str) {
        // A key that is merely misspelled is not missing too.
        let mut present: Vec<&str> = Vec::new();
        for (key, value) in value {
            let name: &str = key.get_ref();
            match table.key(name) {
                Some(known) => {
                    present.push(known.name);
                    self.value(&known.shape, value, &join(at, name));
                }
                None => {
                    present.extend(nearest(name, table.names()));
                    self.findings
                        .report(key.span(), unknown_key(table, name, at));
                }
            }
        }
        for key in table.keys.iter().filter(|key| key.required) {
            if !present.contains(&key.name) {
                self.findings
                    .report(span.clone(), format!("missing key {}", named(key.name, at)));
            }
        }
        if table.only_one {
            let present = table.names().filter(|name| present.contains(name)).count();
            if present != 1 {
                let names: Vec<_> = table.names().map(|name| format!("`{name}`")).collect();
                self.findings.report(
                    span,
                    format!("`{at}` needs exactly one of {}", names.join(" and ")),
                );
            }
        }
    }

    fn value(&mut self, shape: &'static Shape, value: &Spanned<DeValue<'_>>, at: &str) {
        let span = value.span();
        match (shape, value.get_ref()) {
            (Shape::Text(kind), DeValue::String(text)) => self.check_text(*kind, text, span, at),
            (Shape::Integer { min, max }, DeValue::Integer(number)) => {
                let number = i64::from_str_radix(number.as_str(), number.radix()).ok();
                if !number.is_some_and(|number| (*min..=*max).contains(&number)) {
                    let range = match min == max {
                        true => format!("`{at}` must be {min}"),
                        false => format!("`{at}` must be between {min} and {max}"),
                    };
                    self.findings.report(span, range);
                }
            }
            (Shape::Number, DeValue::Integer(_) | DeValue::Float(_)) => {
                let written = self.findings.text().get(span.clone()).unwrap_or_default();
                let number = written.replace('_', "").parse::<f64>().ok();
                if !number.is_some_and(|number| number.is_finite() && number > 0.0) {
                    self.findings
                        .report(span, format!("`{at}` must be greater than 0"));
                }
            }
            (Shape::Flag, DeValue::Boolean(_)) => {}
            (Shape::List { of, min }, DeValue::Array(elements)) => {
                if elements.len() < *min {
                    self.findings
                        .report(span, format!("`{at}` may not be empty"));
                }
                for (index, element) in elements.iter().enumerate() {
                    self.value(of, element, &format!("{at}[{index}]"));
                }
            }
            (Shape::Map { keys, of, min, .. }, DeValue::Table(entries)) => {
                if entries.len() < *min {
                    self.findings
                        .report(span, format!("`{at}` may not be empty"));
                }
                for (key, value) in entries {
                    if let Err(why) = keys.check(key.get_ref()) {
                        self.findings
                            .report(key.span(), format!("a key of `{at}` {why}"));
                    }
                    self.value(of, value, &join(at, key.get_ref()));
                }
            }
            (Shape::Table(table), DeValue::Table(value)) => self.table(table, value, span, at),
            (shape, value) => {
                self.findings.report(
                    span,
                    format!(
                        "`{at}` must be {}, not {}",
                        described(shape),
                        found(value.type_str())
                    ),
                );
            }
        }
    }

    fn check_text(&mut self, kind: Text, text: &str, span: Range<usize>, at: &str) {
        if let Err(why) = kind.check(text) {
            self.findings.report(span, format!("`{at}` {why}"));
        } else if matches!(kind, Text::Template | Text::ServiceTemplate)
            && !self.has_tree
            && placeholders(text).any(|name| name == "tree")
        {
            self.findings.report(
                span,
                format!("`{at}` uses `{{tree}}`, but the source is not a tree (`source.tree`)"),
            );
        }
    }
}

/// A dotted path; a component that TOML would quote is quoted.
fn join(at: &str, name: &str) -> String {
    let bare = !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    match (at, bare) {
        ("", true) => name.to_owned(),
        ("", false) => format!("{name:?}"),
        (at, true) => format!("{at}.{name}"),
        (at, false) => format!("{at}.{name:?}"),
    }
}

fn named(key: &str, at: &str) -> String {
    match at {
        "" => format!("`{key}`"),
        at => format!("`{key}` in `{at}`"),
    }
}

fn unknown_key(table: &'static Table, name: &str, at: &str) -> String {
    let said = format!("unknown key {}", named(name, at));
    if let Some(near) = nearest(name, table.names()) {
        return format!("{said}; did you mean `{near}`?");
    }
    let dotted = format!(".{name}");
    let elsewhere: Vec<String> = schema::paths()
        .into_iter()
        .filter(|path| path == name || path.ends_with(&dotted))
        .map(|path| format!("`{path}`"))
        .collect();
    if !elsewhere.is_empty() {
        return format!("{said}; it belongs to {}", elsewhere.join(" or "));
    }
    let known: Vec<&str> = table.names().collect();
    format!("{said}; known here: `{}`", known.join("`, `"))
}

fn described(shape: &Shape) -> &'static str {
    match shape {
        Shape::Text(_) => "a string",
        Shape::Integer { .. } => "a whole number",
        Shape::Number => "a number",
        Shape::Flag => "`true` or `false`",
        Shape::List { .. } => "an array",
        Shape::Map { .. } | Shape::Table(_) => "a table",
    }
}

fn found(kind: &str) -> String {
    match kind {
        "integer" | "array" => format!("an {kind}"),
        kind => format!("a {kind}"),
    }
}
