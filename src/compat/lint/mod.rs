//! Whether the tables of facts agree with each other and with themselves.
//!
//! A wrong fact installs a torch that cannot compute, without any error. So whatever one table says
//! and another knows better is looked for here: a build without a driver, code for a GPU that no
//! driver runs, a release whose default build is not among its builds, a source nobody explains.
//! What the world says is another question: `aienv catalog facts` asks the package index.

mod cuda;
mod extensions;
mod gpus;
mod rocm;
mod support;
mod torch;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

use super::{
    apple::AppleFacts,
    cuda::CudaFacts,
    extensions::ExtensionFacts,
    gpus::GpuTable,
    python::PythonFacts,
    rocm::RocmFacts,
    source::{Legend, Sources},
    torch::TorchFacts,
};

/// The form of the tables this program reads.
const SCHEMA: u32 = 1;

/// The tables that are compared.
#[derive(Clone, Debug)]
pub struct Tables {
    /// `torch.toml`
    pub torch: TorchFacts,
    /// `cuda.toml`
    pub cuda: CudaFacts,
    /// `rocm.toml`
    pub rocm: RocmFacts,
    /// `gpus.toml`
    pub gpus: GpuTable,
    /// `python.toml`
    pub python: PythonFacts,
    /// `apple.toml`
    pub apple: AppleFacts,
    /// `extensions.toml`
    pub extensions: ExtensionFacts,
}

impl Tables {
    /// The embedded tables.
    pub fn embedded() -> Self {
        Self {
            torch: TorchFacts::embedded().clone(),
            cuda: CudaFacts::embedded().clone(),
            rocm: RocmFacts::embedded().clone(),
            gpus: GpuTable::embedded().clone(),
            python: PythonFacts::embedded().clone(),
            apple: AppleFacts::embedded().clone(),
            extensions: ExtensionFacts::embedded().clone(),
        }
    }
}

/// A fact that disagrees with another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The table: `torch.toml`.
    pub table: &'static str,
    /// What it is about: `2.14`, `sm 8.6`, `Tesla K80`.
    pub about: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.table, self.about, self.message)
    }
}

/// Everything in the embedded tables that disagrees.
pub fn lint() -> Vec<Finding> {
    check(&Tables::embedded())
}

/// Everything in these tables that disagrees, in order of table and subject.
pub fn check(tables: &Tables) -> Vec<Finding> {
    let mut findings = Findings::default();
    heads(tables, &mut findings);
    legends(tables, &mut findings);
    cuda::check(tables, &mut findings);
    torch::check(tables, &mut findings);
    rocm::check(tables, &mut findings);
    gpus::check(tables, &mut findings);
    support::check(tables, &mut findings);
    extensions::check(tables, &mut findings);
    let mut findings = findings.0;
    findings.sort();
    findings.dedup();
    findings
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding.
    fn add(&mut self, table: &'static str, about: impl fmt::Display, message: impl Into<String>) {
        self.0.push(Finding {
            table,
            about: about.to_string(),
            message: message.into(),
        });
    }

    /// Adds a finding unless something holds.
    fn require(
        &mut self,
        holds: bool,
        table: &'static str,
        about: impl fmt::Display,
        message: impl FnOnce() -> String,
    ) {
        if !holds {
            self.add(table, about, message());
        }
    }
}

/// The files' form.
fn heads(tables: &Tables, findings: &mut Findings) {
    let Tables {
        torch,
        cuda,
        rocm,
        gpus,
        python,
        apple,
        extensions,
    } = tables;
    for (table, schema) in [
        ("torch.toml", torch.schema),
        ("cuda.toml", cuda.schema),
        ("rocm.toml", rocm.schema),
        ("gpus.toml", gpus.schema),
        ("python.toml", python.schema),
        ("apple.toml", apple.schema),
        ("extensions.toml", extensions.schema),
    ] {
        findings.require(schema == SCHEMA, table, "schema", || {
            format!("{schema} is not the form this program reads ({SCHEMA})")
        });
    }
}

/// The legends of the sources, and the rows that name them.
fn legends(tables: &Tables, findings: &mut Findings) {
    let Tables {
        torch,
        cuda,
        rocm,
        gpus,
        python,
        apple,
        extensions,
    } = tables;
    let mut legend = |table, legend: &Legend, used: Vec<(String, &Sources)>| {
        sources(table, legend, &used, findings);
    };
    let named = |name: &dyn fmt::Display| name.to_string();
    let mut used: Vec<_> = torch
        .torch
        .iter()
        .map(|r| (named(&r.release), &r.source))
        .collect();
    used.extend(
        torch
            .companion
            .iter()
            .map(|c| (named(&c.package), &c.source)),
    );
    used.extend(
        torch
            .source_only
            .iter()
            .map(|c| (named(&c.package), &c.source)),
    );
    legend("torch.toml", &torch.sources, used);
    let mut used: Vec<_> = cuda
        .toolkit
        .iter()
        .map(|t| (named(&t.version), &t.source))
        .collect();
    let rows = &cuda.minor_compatibility;
    used.extend(rows.iter().map(|row| (named(&row.major), &row.source)));
    used.extend(
        cuda.architecture
            .iter()
            .map(|a| (a.name.clone(), &a.source)),
    );
    used.push((
        "forward-compatibility".to_owned(),
        &cuda.forward_compatibility.source,
    ));
    legend("cuda.toml", &cuda.sources, used);
    let mut used: Vec<_> = rocm
        .build
        .iter()
        .map(|b| (named(&b.build), &b.source))
        .collect();
    used.extend(rocm.overrides.iter().map(|o| (o.value.clone(), &o.source)));
    used.push(("needs".to_owned(), &rocm.needs.source));
    legend("rocm.toml", &rocm.sources, used);
    let mut used: Vec<_> = gpus
        .family
        .iter()
        .map(|f| (f.name.clone(), &f.source))
        .collect();
    used.push(("chips".to_owned(), &gpus.chips.source));
    used.push(("npus".to_owned(), &gpus.npus.source));
    legend("gpus.toml", &gpus.sources, used);
    let used = python.python.iter().map(|p| (named(&p.release), &p.source));
    legend("python.toml", &python.sources, used.collect());
    let mut used: Vec<_> = apple
        .mps
        .iter()
        .map(|m| (named(&m.torch), &m.source))
        .collect();
    used.extend(apple.chip.iter().map(|c| (c.name.clone(), &c.source)));
    used.push(("intel".to_owned(), &apple.intel.source));
    legend("apple.toml", &apple.sources, used);
    let mut used: Vec<_> = extensions
        .agreement
        .iter()
        .map(|a| (a.id.clone(), &a.source))
        .collect();
    let needs = extensions.host_need.iter();
    used.extend(needs.map(|n| (named(&n.package), &n.source)));
    let undeclared = extensions.undeclared.iter();
    used.extend(undeclared.map(|u| (named(&u.package), &u.source)));
    let provided = extensions.provided.iter();
    used.extend(provided.map(|p| (named(&p.package), &p.source)));
    legend("extensions.toml", &extensions.sources, used);
}

/// Every source that is named is explained, and every one that is explained is named.
fn sources(
    table: &'static str,
    legend: &Legend,
    used: &[(String, &Sources)],
    findings: &mut Findings,
) {
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for (about, sources) in used {
        findings.require(sources.keys().next().is_some(), table, about, || {
            "names no source".to_owned()
        });
        for key in sources.keys() {
            named.insert(key);
            findings.require(legend.contains_key(key), table, about, || {
                format!("source `{key}` is not explained under [sources]")
            });
        }
    }
    for (key, meaning) in legend {
        findings.require(named.contains(key.as_str()), table, "sources", || {
            format!("`{key}` is explained and no fact names it")
        });
        findings.require(!meaning.trim().is_empty(), table, "sources", || {
            format!("`{key}` has no explanation")
        });
    }
}

/// Rows that should stand newest first, without a double.
fn newest_first<T: PartialOrd + fmt::Display>(
    table: &'static str,
    rows: impl IntoIterator<Item = T>,
    findings: &mut Findings,
) {
    let rows: Vec<T> = rows.into_iter().collect();
    for pair in rows.windows(2) {
        let (newer, older) = (&pair[0], &pair[1]);
        findings.require(newer > older, table, older, || {
            if newer == older {
                "stands twice".to_owned()
            } else {
                format!("stands after {newer}; rows are newest first")
            }
        });
    }
}

/// What stands more than once.
fn repeated<T: Ord + Copy>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut count: BTreeMap<T, usize> = BTreeMap::new();
    for item in items {
        *count.entry(item).or_default() += 1;
    }
    count.retain(|_, count| *count > 1);
    count.into_keys().collect()
}

#[cfg(test)]
mod tests;
