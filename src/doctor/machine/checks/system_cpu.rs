//! `system.processor`

use super::Check;
use crate::{
    doctor::{
        Cause,
        machine::{Machine, Verdict},
    },
    types::Arch,
};

pub(super) const CHECK: Check = Check {
    id: "system.processor",
    looks_at: "the instruction sets of an x86-64 processor",
    why: "Many builds use AVX or AVX2 without asking, and end with “illegal instruction” where \
          they are missing. Virtual machines often hide them from a processor that has them.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let cpu = &machine.host.cpu;
    if cpu.arch != Arch::X86_64 {
        return Vec::new();
    }
    let has = |name: &str| cpu.features.iter().any(|feature| feature == name);
    let verdict = match (has("avx"), has("avx2")) {
        (true, true) => return Vec::new(),
        (true, false) => Verdict::note("the processor has no AVX2").because(
            "Builds that ask for it (some of llama.cpp, for one) end with “illegal instruction”. \
             PyTorch runs, more slowly.",
        ),
        (false, _) => Verdict::problem("the processor has no AVX").because(
            "Many builds use it without asking (TensorFlow, llama.cpp, parts of PyTorch) and end \
             with “illegal instruction”.",
        ),
    };
    vec![
        verdict
            .cause(Cause::CpuLacksAvx)
            .advise(
                "In a virtual machine, give it the processor's own type (`host`, \
                 `host-passthrough`). On an old processor, look for builds without AVX, or \
                 compile",
            )
            .seen(match &cpu.model {
                Some(model) => format!("{model} tells of: {}", told(&cpu.features)),
                None => format!("the processor tells of: {}", told(&cpu.features)),
            }),
    ]
}

fn told(features: &[String]) -> String {
    match features.is_empty() {
        true => "none of the extensions looked for".to_owned(),
        false => features.join(" "),
    }
}
