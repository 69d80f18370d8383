//! ROCm builds, their targets and overrides.

use std::collections::BTreeSet;

use super::{Findings, Tables, newest_first, repeated};
use crate::{
    compat::rocm::{OverrideRow, RocmBuild},
    types::Accelerator,
};

const TABLE: &str = "rocm.toml";

/// Checks `rocm.toml` against itself, `torch.toml` and `gpus.toml`.
pub(super) fn check(tables: &Tables, findings: &mut Findings) {
    let rocm = &tables.rocm;
    newest_first(TABLE, rocm.build.iter().map(|b| b.build), findings);
    let known: BTreeSet<&str> = tables
        .gpus
        .models()
        .filter_map(|(_, gpu)| gpu.gfx.as_deref())
        .chain(
            tables
                .gpus
                .chips
                .list
                .iter()
                .filter_map(|chip| chip.gfx.as_deref()),
        )
        .collect();
    for row in &rocm.build {
        build(tables, row, &known, findings);
    }
    for release in &tables.torch.torch {
        for build in &release.rocm {
            findings.require(
                rocm.build(*build).is_some(),
                "torch.toml",
                &release.release,
                || format!("has a {build} build that rocm.toml does not know"),
            );
        }
        let newest_first = release.rocm.is_sorted_by(|a, b| a > b);
        findings.require(newest_first, "torch.toml", &release.release, || {
            "its ROCm builds are not newest first".to_owned()
        });
    }
    for row in &rocm.overrides {
        override_row(tables, row, &known, findings);
    }
    let relatives = rocm
        .overrides
        .iter()
        .flat_map(|row| row.practised.iter().chain(&row.tried).map(String::as_str));
    for gfx in repeated(relatives) {
        findings.add(TABLE, gfx, "has two overrides");
    }
    let needs = &rocm.needs;
    findings.require(
        !needs.devices.is_empty() && !needs.groups.is_empty(),
        TABLE,
        "needs",
        || "names no device or no group".to_owned(),
    );
}

/// A build: its targets exist, and releases of torch have it.
fn build(tables: &Tables, build: &RocmBuild, known: &BTreeSet<&str>, findings: &mut Findings) {
    let about = build.build;
    let is_rocm = matches!(about, Accelerator::Rocm(..));
    findings.require(is_rocm, TABLE, about, || "is no ROCm build".to_owned());
    findings.require(!build.gfx.is_empty(), TABLE, about, || {
        "holds no code".to_owned()
    });
    for gfx in &build.gfx {
        findings.require(known.contains(gfx.as_str()), TABLE, about, || {
            format!("holds code for {gfx}, which no GPU of gpus.toml has")
        });
    }
    for gfx in build.official.difference(&build.gfx) {
        findings.add(
            TABLE,
            about,
            format!("{gfx} is supported and not compiled in"),
        );
    }
    let with_it: Vec<_> = tables
        .torch
        .torch
        .iter()
        .filter(|release| release.rocm.contains(&about))
        .collect();
    findings.require(!with_it.is_empty(), TABLE, about, || {
        "no release of torch has this build".to_owned()
    });
    for (gfx, since) in &build.since {
        findings.require(build.gfx.contains(gfx), TABLE, about, || {
            format!("says since when it holds {gfx}, and does not hold it")
        });
        let splits = with_it.iter().any(|release| release.release >= *since)
            && with_it.iter().any(|release| release.release < *since);
        findings.require(splits, TABLE, about, || {
            format!("holds {gfx} since torch {since}: all of its releases or none")
        });
    }
}

fn override_row(
    tables: &Tables,
    row: &OverrideRow,
    known: &BTreeSet<&str>,
    findings: &mut Findings,
) {
    let about = &row.value;
    findings.require(
        target(about).as_ref() == Some(&row.target),
        TABLE,
        about,
        || format!("does not name {}", row.target),
    );
    let compiled = tables
        .rocm
        .build
        .iter()
        .any(|b| b.gfx.contains(&row.target));
    findings.require(compiled, TABLE, about, || {
        format!("no build holds code for {}", row.target)
    });
    for gfx in row.practised.iter().chain(&row.tried) {
        findings.require(known.contains(gfx.as_str()), TABLE, about, || {
            format!("is for {gfx}, which no GPU of gpus.toml has")
        });
        findings.require(*gfx != row.target, TABLE, about, || {
            format!("is for {gfx} itself")
        });
    }
}

/// The target that a value of the variable names: `10.3.0` is `gfx1030`. The last two numbers are
/// hexadecimal digits of the target's name.
fn target(value: &str) -> Option<String> {
    let mut parts = value.split('.').map(|part| part.parse::<u32>().ok());
    let (Some(Some(major)), Some(Some(minor)), Some(Some(step)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    (minor < 16 && step < 16).then(|| format!("gfx{major}{minor:x}{step:x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_name_targets() {
        for (value, gfx) in [
            ("10.3.0", Some("gfx1030")),
            ("9.0.10", Some("gfx90a")),
            ("11.0.0", Some("gfx1100")),
            ("11.0", None),
            ("11.0.16", None),
            ("a.b.c", None),
        ] {
            assert_eq!(target(value).as_deref(), gfx, "{value}");
        }
    }
}
