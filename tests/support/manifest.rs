//! Manifests of tools that exist only in tests.

use super::Tree;

/// The manifest of a package with a command of its own name. `source` holds further keys of
/// `[source.index]`, `more` further tables.
pub fn index_tool(name: &str, source: &str, more: &str) -> String {
    format!(
        r#"schema = 1
name = "{name}"
title = "{name}"
summary = "A tool for a test"
homepage = "https://index.example/{name}"
licence = "MIT"
category = "development"

[source.index]
package = "{name}"
{source}

[accelerators.cpu]

[commands.{name}]
run = ["{{bin}}/{name}"]
{more}
"#
    )
}

/// The manifest of a source tree that serves HTTP on `port`.
pub fn tree_tool(name: &str, tree: &Tree, port: u16, more: &str) -> String {
    format!(
        r#"schema = 1
name = "{name}"
title = "{name}"
summary = "A source tree for a test"
homepage = "https://index.example/{name}"
licence = "MIT"
category = "image"
data = ["output"]

[source.tree]
repository = "{}"
commit = "{}"
version = "{}"
requirements = ["requirements.txt"]

[accelerators.cpu]
args = ["--cpu"]

[commands.{name}]
run = ["{{python}}", "{{tree}}/main.py", "--base-directory", "{{data}}"]

[commands.{name}.service]
port = {port}
health = "/system_stats"
args = ["--listen", "{{host}}", "--port", "{{port}}"]
{more}
"#,
        tree.repository, tree.commit, tree.version
    )
}
