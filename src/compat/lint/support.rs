//! Python's support windows, Apple's chips and MPS.

use super::{Findings, Tables, newest_first, repeated};

/// Checks `python.toml` and `apple.toml`.
pub(super) fn check(tables: &Tables, findings: &mut Findings) {
    let python = &tables.python.python;
    newest_first(
        "python.toml",
        python.iter().map(|row| row.release),
        findings,
    );
    newest_first("python.toml", python.iter().map(|row| row.first), findings);
    newest_first("python.toml", python.iter().map(|row| row.end), findings);
    for row in python {
        findings.require(row.first < row.end, "python.toml", row.release, || {
            "its support ends before it begins".to_owned()
        });
    }
    let apple = &tables.apple;
    newest_first(
        "apple.toml",
        apple.mps.iter().map(|row| &row.torch),
        findings,
    );
    newest_first(
        "apple.toml",
        apple.mps.iter().map(|row| &row.macos),
        findings,
    );
    for name in repeated(apple.chip.iter().map(|chip| chip.name.as_str())) {
        findings.add("apple.toml", name, "stands twice");
    }
    for chip in &apple.chip {
        findings.require(
            chip.memory_gib > 0 && chip.bandwidth > 0,
            "apple.toml",
            &chip.name,
            || "has no memory or no bandwidth".to_owned(),
        );
    }
}
