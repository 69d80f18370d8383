//! `amd.rocm-builds`

use super::Check;
use crate::{
    compat::rocm::{OVERRIDE_VARIABLE, RocmFacts, Trust},
    doctor::{
        Cause,
        machine::{Machine, Verdict},
    },
    host::{Gpu, GpuVendor},
    types::Os,
};

pub(super) const CHECK: Check = Check {
    id: "amd.rocm-builds",
    looks_at: "the gfx target of each AMD GPU and the tables of ROCm builds",
    why: "A ROCm build runs on the gfx targets it was compiled for, and on no other. Some near \
          relatives run with an override.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    if machine.host.os.family != Os::Linux {
        return Vec::new();
    }
    let gpus: Vec<&Gpu> = machine.gpus(GpuVendor::Amd).collect();
    let has_card = gpus.iter().any(|gpu| !gpu.integrated);
    let mut verdicts: Vec<Verdict> = Vec::new();
    for gpu in gpus {
        // Built-in graphics beside a card are not what anybody computes on.
        let Some(gfx) = gpu.gfx.as_deref().filter(|_| !(has_card && gpu.integrated)) else {
            continue;
        };
        let verdict = one(gpu, gfx);
        if !verdicts.contains(&verdict) {
            verdicts.push(verdict);
        }
    }
    verdicts
}

fn one(gpu: &Gpu, gfx: &str) -> Verdict {
    let facts = RocmFacts::embedded();
    let name = &gpu.name;
    let builds: Vec<String> = facts
        .build
        .iter()
        .filter(|row| row.gfx.contains(gfx))
        .map(|row| row.build.to_string())
        .collect();
    if !builds.is_empty() {
        let newest: Vec<&str> = builds.iter().take(3).map(String::as_str).collect();
        return Verdict::works(format!("{} run on {name} ({gfx})", newest.join(", ")));
    }
    let found = facts
        .build
        .iter()
        .find_map(|row| Some((row.build, facts.override_for(gfx, row.build)?)));
    match found {
        Some((build, found)) => {
            let how = match found.trust {
                Trust::Practised => "Many people run it so.",
                Trust::Experimental => "Some have tried it; for others it fails.",
            };
            Verdict::note(format!("no ROCm build has code for {gfx} ({name})"))
                .cause(Cause::GfxNeedsOverride)
                .because(format!(
                    "It can be made to run the code of {}, its near relative. {how}",
                    found.target
                ))
                .advise_running(
                    format!("For a program of build {build} or near:"),
                    format!("{OVERRIDE_VARIABLE}={} PROGRAM", found.value),
                )
        }
        None => Verdict::note(format!("no ROCm build has code for {gfx} ({name})"))
            .cause(Cause::GfxNotInWheel)
            .because(
                "Programs compute on the processor, or on the GPU through Vulkan where they can.",
            ),
    }
}
