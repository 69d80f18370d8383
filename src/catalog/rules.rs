//! Rules between the keys of a manifest, which no single value can break.
//!
//! They look at the parsed TOML rather than at a [`super::Manifest`], so that they can speak of a
//! file that has other problems too. What is of the wrong type is left alone: the reader has
//! reported it.

use std::{collections::BTreeMap, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    finding::Findings,
    text::{PLACEHOLDERS, SERVICE_PLACEHOLDERS, placeholders},
};

type Value<'a> = Spanned<DeValue<'a>>;

fn table<'v, 'a>(of: &'v DeTable<'a>, key: &str) -> Option<&'v DeTable<'a>> {
    of.get(key)?.get_ref().as_table()
}

fn entries<'v, 'a>(
    of: &'v DeTable<'a>,
    key: &str,
) -> impl Iterator<Item = (&'v str, Range<usize>, &'v DeTable<'a>)> {
    table(of, key)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| {
            let below = value.get_ref().as_table()?;
            Some((key.get_ref().as_ref(), key.span(), below))
        })
}

fn is_true(value: Option<&Value<'_>>) -> bool {
    value.and_then(|value| value.get_ref().as_bool()) == Some(true)
}

/// Whether the source is a tree.
pub(super) fn has_tree(root: &DeTable<'_>) -> bool {
    table(root, "source").is_some_and(|source| source.contains_key("tree"))
}

/// Applies every rule.
pub(super) fn check(findings: &mut Findings<'_>, root: &DeTable<'_>) {
    default_command(findings, root);
    command_names(findings, root);
    programs_of_commands(findings, root);
    services(findings, root);
    accelerators(findings, root);
    environments(findings, root);
}

/// Exactly one command is the default; a single command is it without saying so.
fn default_command(findings: &mut Findings<'_>, root: &DeTable<'_>) {
    let commands: Vec<_> = entries(root, "commands").collect();
    let mut marked = commands
        .iter()
        .filter(|(_, _, command)| is_true(command.get("default")));
    let first = marked.next();
    for (name, span, _) in marked {
        findings.report(
            span.clone(),
            format!(
                "`commands.{name}` is the default, but `commands.{}` is already; only one can be",
                first.map_or("", |(name, ..)| name)
            ),
        );
    }
    if let (None, [(_, span, _), _, ..]) = (first, commands.as_slice()) {
        findings.report(
            span.clone(),
            "one of the commands must be the default; add `default = true` to it",
        );
    }
    // `aienv run NAME` and the shim NAME would otherwise do different things.
    let tool = root.get("name").and_then(|name| name.get_ref().as_str());
    for (name, span, command) in &commands {
        if Some(*name) == tool && commands.len() > 1 && !is_true(command.get("default")) {
            findings.report(
                span.clone(),
                format!("`commands.{name}` has the tool's name, so it must be the default"),
            );
        }
    }
}

/// Two commands or programs whose names differ in case only are one file on many file systems.
fn command_names(findings: &mut Findings<'_>, root: &DeTable<'_>) {
    for section in ["commands", "programs"] {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for (name, span, _) in entries(root, section) {
            if let Some(other) = seen.insert(name.to_lowercase(), name) {
                findings.report(
                    span,
                    format!("`{section}.{name}` and `{section}.{other}` differ in case only"),
                );
            }
        }
    }
}

/// The first element of a command line is a program of the tool's own environment: what it runs
/// may not depend on what else is on a machine.
fn programs_of_commands(findings: &mut Findings<'_>, root: &DeTable<'_>) {
    let commands = entries(root, "commands")
        .filter_map(|(name, _, command)| Some((format!("commands.{name}"), command.get("run")?)));
    let checks = root
        .get("checks")
        .and_then(|checks| checks.get_ref().as_array())
        .into_iter()
        .flat_map(|checks| checks.iter().enumerate())
        .filter_map(|(index, check)| {
            let run = check.get_ref().as_table()?.get("run")?;
            Some((format!("checks[{index}]"), run))
        });
    for (at, run) in commands.chain(checks) {
        let Some(first) = run.get_ref().as_array().and_then(|run| run.iter().next()) else {
            continue;
        };
        let Some(program) = first.get_ref().as_str() else {
            continue;
        };
        let own = program == "{python}"
            || ["{bin}/", "{tree}/", "{prefix}/"]
                .iter()
                .any(|start| program.starts_with(start));
        if !own {
            findings.report(
                first.span(),
                format!(
                    "`{at}.run` must start with `{{python}}` or a path below `{{bin}}/`, \
                     `{{tree}}/` or `{{prefix}}/`, not `{program}`"
                ),
            );
        }
    }
}

/// A service that is never told its port cannot move to a free one.
fn services(findings: &mut Findings<'_>, root: &DeTable<'_>) {
    for (name, _, command) in entries(root, "commands") {
        let Some(service) = command.get("service") else {
            continue;
        };
        let Some(keys) = service.get_ref().as_table() else {
            continue;
        };
        let args = keys
            .get("args")
            .and_then(|args| args.get_ref().as_array())
            .into_iter()
            .flat_map(|args| args.iter());
        let env = table(keys, "env").into_iter().flatten().map(|(_, v)| v);
        let used: Vec<&str> = args
            .chain(env)
            .filter_map(|value| value.get_ref().as_str())
            .flat_map(placeholders)
            .collect();
        // A misspelled placeholder is reported where it stands.
        let known =
            |name: &&str| PLACEHOLDERS.contains(name) || SERVICE_PLACEHOLDERS.contains(name);
        if !used.contains(&"port") && used.iter().all(known) {
            findings.report(
                service.span(),
                format!(
                    "`commands.{name}.service` never uses `{{port}}`; say in `args` or `env` how \
                     the port is set"
                ),
            );
        }
    }
}

/// Keys that mean something on one kind of accelerator only.
fn accelerators(findings: &mut Findings<'_>, root: &DeTable<'_>) {
    const ONLY: &[(&str, &[&str])] = &[
        ("version", &["cuda", "rocm"]),
        ("min-compute-capability", &["cuda"]),
        ("gfx", &["rocm"]),
        ("min-memory-gb", &["cuda", "rocm", "xpu", "mps"]),
    ];
    for (kind, _, needs) in entries(root, "accelerators") {
        for (key, _) in needs {
            let name: &str = key.get_ref();
            let allowed = ONLY.iter().find(|(only, _)| *only == name);
            if let Some((_, kinds)) = allowed
                && !kinds.contains(&kind)
            {
                findings.report(
                    key.span(),
                    format!(
                        "`{name}` means nothing in `accelerators.{kind}`; it is for `{}`",
                        kinds.join("`, `")
                    ),
                );
            }
        }
        let of_tree = has_tree(root);
        for name in ["package", "extras"] {
            if let (true, Some((key, _))) = (of_tree, needs.get_key_value(name)) {
                findings.report(
                    key.span(),
                    format!(
                        "`{name}` means nothing in `accelerators.{kind}` without `source.index`"
                    ),
                );
            }
        }
    }
}

/// A variable is either forced or a default.
fn environments(findings: &mut Findings<'_>, root: &DeTable<'_>) {
    let (Some(forced), Some(defaults)) = (table(root, "env"), table(root, "env-default")) else {
        return;
    };
    for (key, _) in defaults {
        let name: &str = key.get_ref();
        if forced.contains_key(name) {
            findings.report(
                key.span(),
                format!("`{name}` is in `env` too, which always wins; keep one of them"),
            );
        }
    }
}
