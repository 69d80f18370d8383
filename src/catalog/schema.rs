//! The keys of a manifest as data: what each is called, what it holds, whether it must be there.
//!
//! The strict reader walks a file along this table, so that it can report every problem at once,
//! say where an unknown key belongs, and point at the line. The reference in `docs/manifest.md` is
//! tested against it. The shapes mirror the structs in [`super::manifest`]; a test keeps them
//! equal.

use super::text::Text;

/// What a value looks like.
#[derive(Debug)]
pub(super) enum Shape {
    /// A string of some kind.
    Text(Text),
    /// A whole number in a range, both ends included.
    Integer { min: i64, max: i64 },
    /// A number greater than zero.
    Number,
    /// `true` or `false`.
    Flag,
    /// An array of at least `min` elements.
    List { of: &'static Shape, min: usize },
    /// A table whose keys are the author's, `label` standing for them in the documentation.
    Map {
        keys: Text,
        label: &'static str,
        of: &'static Shape,
        min: usize,
    },
    /// A table with known keys.
    Table(&'static Table),
}

/// A table with known keys.
#[derive(Debug)]
pub(super) struct Table {
    pub keys: &'static [Key],
    /// Exactly one of the keys must be there.
    pub only_one: bool,
}

/// A key of a table.
#[derive(Debug)]
pub(super) struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
}

const fn must(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        shape,
        required: true,
    }
}

const fn may(name: &'static str, shape: Shape) -> Key {
    Key {
        name,
        shape,
        required: false,
    }
}

const fn table(keys: &'static [Key]) -> Table {
    Table {
        keys,
        only_one: false,
    }
}

const fn one_of(keys: &'static [Key]) -> Table {
    Table {
        keys,
        only_one: true,
    }
}

const fn text(kind: Text) -> Shape {
    Shape::Text(kind)
}

const fn list(of: &'static Shape) -> Shape {
    Shape::List { of, min: 0 }
}

const fn some(of: &'static Shape) -> Shape {
    Shape::List { of, min: 1 }
}

const fn environment(of: &'static Shape) -> Shape {
    Shape::Map {
        keys: Text::Variable,
        label: "<variable>",
        of,
        min: 0,
    }
}

const LINE: Shape = text(Text::Line);
const PACKAGE: Shape = text(Text::Package);
const EXTRA: Shape = text(Text::Extra);
const REQUIREMENT: Shape = text(Text::Requirement);
const TEMPLATE: Shape = text(Text::Template);
const SERVICE_TEMPLATE: Shape = text(Text::ServiceTemplate);
const RELATIVE_PATH: Shape = text(Text::RelativePath);
const MODULE: Shape = text(Text::Module);

/// The categories, as a manifest spells them.
pub(super) const CATEGORIES: &[&str] = &[
    "image",
    "llm-serving",
    "chat",
    "audio",
    "vision",
    "training",
    "library",
    "development",
];

/// The kinds of accelerator, as a manifest spells them.
pub(super) const ACCELERATORS: &[&str] = &["cpu", "cuda", "rocm", "xpu", "mps"];

/// A whole manifest.
pub(super) static MANIFEST: Table = table(&[
    must("schema", Shape::Integer { min: 1, max: 1 }),
    must("name", text(Text::ToolName)),
    must("title", LINE),
    must("summary", LINE),
    must("homepage", text(Text::Url)),
    must("licence", text(Text::Licence)),
    must("category", text(Text::Choice("category", CATEGORIES))),
    may("tags", list(&LINE)),
    must("source", Shape::Table(&SOURCE)),
    may("python", Shape::Table(&PYTHON)),
    may("packages", Shape::Table(&PACKAGES)),
    must(
        "accelerators",
        Shape::Map {
            keys: Text::Choice("accelerator", ACCELERATORS),
            label: "<accelerator>",
            of: &Shape::Table(&ACCELERATOR),
            min: 1,
        },
    ),
    must(
        "commands",
        Shape::Map {
            keys: Text::CommandName,
            label: "<command>",
            of: &Shape::Table(&COMMAND),
            min: 1,
        },
    ),
    may(
        "programs",
        Shape::Map {
            keys: Text::CommandName,
            label: "<program>",
            of: &Shape::Table(&PROGRAM),
            min: 0,
        },
    ),
    may("env", environment(&TEMPLATE)),
    may("env-default", environment(&TEMPLATE)),
    may("data", list(&RELATIVE_PATH)),
    may(
        "models",
        Shape::Map {
            keys: Text::Line,
            label: "<kind>",
            of: &RELATIVE_PATH,
            min: 0,
        },
    ),
    may("checks", list(&Shape::Table(&CHECK))),
    may("notes", list(&LINE)),
]);

static SOURCE: Table = one_of(&[
    may("index", Shape::Table(&INDEX_SOURCE)),
    may("tree", Shape::Table(&TREE_SOURCE)),
]);

static INDEX_SOURCE: Table = table(&[
    must("package", PACKAGE),
    may("version", text(Text::Specifiers)),
    may("extras", list(&EXTRA)),
]);

static TREE_SOURCE: Table = table(&[
    must("repository", text(Text::Repository)),
    must("commit", text(Text::Commit)),
    must("version", text(Text::Version)),
    may("tree-hash", text(Text::Sha256)),
    may("requirements", list(&RELATIVE_PATH)),
]);

static PYTHON: Table = table(&[
    may("requires", text(Text::Specifiers)),
    may("prefer", list(&text(Text::Python))),
]);

static PACKAGES: Table = table(&[
    may("requires", list(&REQUIREMENT)),
    may("constraints", list(&REQUIREMENT)),
    may("overrides", list(&REQUIREMENT)),
    may("build", list(&PACKAGE)),
    may("prereleases", list(&PACKAGE)),
]);

static ACCELERATOR: Table = table(&[
    may("version", text(Text::Specifiers)),
    may("min-compute-capability", text(Text::ComputeCapability)),
    may("gfx", list(&text(Text::Gfx))),
    may("min-memory-gb", Shape::Number),
    may("package", PACKAGE),
    may("extras", list(&EXTRA)),
    may("requires", list(&REQUIREMENT)),
    may("args", list(&TEMPLATE)),
    may("env", environment(&TEMPLATE)),
]);

static COMMAND: Table = table(&[
    must("run", some(&TEMPLATE)),
    may("summary", LINE),
    may("default", Shape::Flag),
    may("cwd", TEMPLATE),
    may("env", environment(&TEMPLATE)),
    may("accelerator-args", Shape::Flag),
    may("service", Shape::Table(&SERVICE)),
]);

static SERVICE: Table = table(&[
    must(
        "port",
        Shape::Integer {
            min: 1,
            max: u16::MAX as i64,
        },
    ),
    must("health", text(Text::HttpPath)),
    may("page", text(Text::HttpPath)),
    may("args", list(&SERVICE_TEMPLATE)),
    may("env", environment(&SERVICE_TEMPLATE)),
    may(
        "start-seconds",
        Shape::Integer {
            min: 1,
            max: 24 * 60 * 60,
        },
    ),
]);

static PROGRAM: Table = table(&[
    must("package", PACKAGE),
    must("path", text(Text::PathPattern)),
]);

static CHECK: Table = one_of(&[may("import", some(&MODULE)), may("run", some(&TEMPLATE))]);

impl Table {
    /// The key with exactly this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The names of all keys.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.keys.iter().map(|key| key.name)
    }
}

/// Every key with its dotted path, such as `commands.<command>.service.port`, outermost first.
/// Author-chosen names stand as their label, and a table of an array as its own keys.
pub(super) fn paths() -> Vec<String> {
    fn visit(shape: &'static Shape, path: &str, paths: &mut Vec<String>) {
        match shape {
            Shape::Table(table) => visit_table(table, path, paths),
            Shape::List { of, .. } => visit(of, path, paths),
            Shape::Map { label, of, .. } => {
                let below = format!("{path}.{label}");
                paths.push(below.clone());
                visit(of, &below, paths);
            }
            Shape::Text(_) | Shape::Integer { .. } | Shape::Number | Shape::Flag => {}
        }
    }
    fn visit_table(table: &'static Table, path: &str, paths: &mut Vec<String>) {
        for key in table.keys {
            let path = match path {
                "" => key.name.to_owned(),
                path => format!("{path}.{}", key.name),
            };
            paths.push(path.clone());
            visit(&key.shape, &path, paths);
        }
    }
    let mut paths = Vec::new();
    visit_table(&MANIFEST, "", &mut paths);
    paths
}
