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
    build_legends(tables, &mut findings);
    machine_legends(tables, &mut findings);
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

/// A row and the sources it names.
type Row<'t> = (String, &'t Sources);

fn row(about: impl fmt::Display, source: &Sources) -> Row<'_> {
    (about.to_string(), source)
}

/// The legends of the tables about builds, and the rows that name their sources.
fn build_legends(tables: &Tables, findings: &mut Findings) {
    let torch = &tables.torch;
    let releases = torch.torch.iter().map(|r| row(&r.release, &r.source));
    let companions = torch.companion.iter().map(|c| row(&c.package, &c.source));
    let source_only = torch.source_only.iter().map(|c| row(&c.package, &c.source));
    let rows = releases.chain(companions).chain(source_only);
    sources("torch.toml", &torch.sources, rows, findings);

    let cuda = &tables.cuda;
    let toolkits = cuda.toolkit.iter().map(|t| row(&t.version, &t.source));
    let majors = cuda.minor_compatibility.iter();
    let majors = majors.map(|m| row(m.major, &m.source));
    let generations = cuda.architecture.iter().map(|a| row(&a.name, &a.source));
    let forward = row("forward-compatibility", &cuda.forward_compatibility.source);
    let rows = toolkits.chain(majors).chain(generations).chain([forward]);
    sources("cuda.toml", &cuda.sources, rows, findings);

    let rocm = &tables.rocm;
    let builds = rocm.build.iter().map(|b| row(b.build, &b.source));
    let overrides = rocm.overrides.iter().map(|o| row(&o.value, &o.source));
    let needs = row("needs", &rocm.needs.source);
    let rows = builds.chain(overrides).chain([needs]);
    sources("rocm.toml", &rocm.sources, rows, findings);

    let extensions = &tables.extensions;
    let agreements = extensions.agreement.iter().map(|a| row(&a.id, &a.source));
    let needs = extensions.host_need.iter();
    let needs = needs.map(|n| row(&n.package, &n.source));
    let undeclared = extensions.undeclared.iter();
    let undeclared = undeclared.map(|u| row(&u.package, &u.source));
    let provided = extensions.provided.iter();
    let provided = provided.map(|p| row(&p.package, &p.source));
    let rows = agreements.chain(needs).chain(undeclared).chain(provided);
    sources("extensions.toml", &extensions.sources, rows, findings);
}

/// The legends of the tables about machines, and the rows that name their sources.
fn machine_legends(tables: &Tables, findings: &mut Findings) {
    let gpus = &tables.gpus;
    let families = gpus.family.iter().map(|f| row(&f.name, &f.source));
    let others = [
        row("chips", &gpus.chips.source),
        row("npus", &gpus.npus.source),
    ];
    sources("gpus.toml", &gpus.sources, families.chain(others), findings);

    let python = &tables.python;
    let releases = python.python.iter().map(|p| row(p.release, &p.source));
    sources("python.toml", &python.sources, releases, findings);

    let apple = &tables.apple;
    let mps = apple.mps.iter().map(|m| row(&m.torch, &m.source));
    let chips = apple.chip.iter().map(|c| row(&c.name, &c.source));
    let rows = mps.chain(chips).chain([row("intel", &apple.intel.source)]);
    sources("apple.toml", &apple.sources, rows, findings);
}

/// Every source that is named is explained, and every one that is explained is named.
fn sources<'t>(
    table: &'static str,
    legend: &Legend,
    rows: impl Iterator<Item = Row<'t>>,
    findings: &mut Findings,
) {
    let mut named: BTreeSet<&str> = BTreeSet::new();
    for (about, sources) in rows {
        findings.require(sources.keys().next().is_some(), table, &about, || {
            "names no source".to_owned()
        });
        for key in sources.keys() {
            named.insert(key);
            findings.require(legend.contains_key(key), table, &about, || {
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
