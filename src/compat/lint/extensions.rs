//! Agreements, host needs and forgotten requirements.

use std::collections::BTreeSet;

use super::{Findings, Tables, repeated};
use crate::{
    compat::extensions::Member,
    types::{Accelerator, parse_requirement},
};

const TABLE: &str = "extensions.toml";

/// Checks `extensions.toml`.
pub(super) fn check(tables: &Tables, findings: &mut Findings) {
    let facts = &tables.extensions;
    for id in repeated(facts.agreement.iter().map(|a| a.id.as_str())) {
        findings.add(TABLE, id, "stands twice");
    }
    for agreement in &facts.agreement {
        let values: BTreeSet<&str> = agreement.member.iter().flat_map(Member::values).collect();
        let several = values.len() > 1 || agreement.built_with_torch.is_some();
        findings.require(several, TABLE, &agreement.id, || {
            "has members with one value only, which excludes nothing".to_owned()
        });
        findings.require(
            !agreement.rule.ends_with('.') && !agreement.rule.is_empty(),
            TABLE,
            &agreement.id,
            || "its rule is empty or ends with a full stop".to_owned(),
        );
    }
    for need in &facts.host_need {
        let known = tables
            .cuda
            .toolkit
            .iter()
            .any(|toolkit| toolkit.version == need.cuda);
        findings.require(known, TABLE, &need.package, || {
            format!("CUDA {} is not in cuda.toml", need.cuda)
        });
    }
    for row in &facts.undeclared {
        for text in &row.requires {
            let read = parse_requirement(text).err();
            findings.require(read.is_none(), TABLE, &row.package, || {
                format!("`{text}` is not a requirement")
            });
        }
    }
    let kinds = [
        Accelerator::Cpu,
        Accelerator::Cuda(12, 0),
        Accelerator::Rocm(6, 0),
        Accelerator::Xpu,
        Accelerator::Mps,
    ]
    .map(Accelerator::kind);
    for (package, kind) in facts.kinds() {
        findings.require(kinds.contains(&kind), TABLE, package, || {
            format!("`{kind}` is not a kind of accelerator")
        });
    }
}
