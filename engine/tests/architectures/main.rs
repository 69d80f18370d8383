//! Every architecture beside an implementation that is not ours.
//!
//! `make.py` made the models in `tests/data/architectures`, with tokens and wanted results in their
//! metadata. Both sides compute in single precision.

#![allow(clippy::unwrap_used)]

mod case;
mod contexts;
mod refused;

use std::collections::BTreeSet;

use aienv_engine::model;
use aienv_engine::ops::KvType;
use case::Case;

/// Mean squared error over the mean square of what was wanted.
fn nmse(got: &[f32], wanted: &[f32]) -> f64 {
    assert_eq!(got.len(), wanted.len());
    let square = |v: f64| v * v;
    let pairs = got.iter().zip(wanted);
    let error: f64 = pairs
        .map(|(&a, &b)| square(f64::from(a) - f64::from(b)))
        .sum();
    error / wanted.iter().map(|&b| square(b.into())).sum::<f64>()
}

#[test]
fn every_architecture_computes_what_others_compute() {
    println!("{:14} {:>10} {:>10}", "model", "f32 cache", "f16 cache");
    let mut tried = BTreeSet::new();
    for case in Case::all() {
        let exact = nmse(&case.run(&mut case.context(2, KvType::F32)), &case.expected);
        let rounded = nmse(&case.run(&mut case.context(2, KvType::F16)), &case.expected);
        println!("{:14} {exact:10.2e} {rounded:10.2e}", case.name);
        let (most_exact, most_rounded) = match &*case.name {
            // PyTorch's latent attention is itself that far off.
            "deepseek2-lite" | "deepseek3" | "deepseek3-old" => (1e-10, 1e-6),
            "smollm3" => (1e-11, 2e-6),
            _ => (1e-11, 1e-6),
        };
        assert!(exact < most_exact, "{}: {exact:e}", case.name);
        assert!(rounded < most_rounded, "{}: {rounded:e}", case.name);
        tried.insert(case.model.config().architecture);
    }
    assert_eq!(tried, model::architectures().collect());
}
