//! `amd.integrated-beside-card`

use super::Check;
use crate::{
    doctor::{
        Cause,
        machine::{Machine, Verdict},
    },
    host::{Gpu, GpuVendor},
};

pub(super) const CHECK: Check = Check {
    id: "amd.integrated-beside-card",
    looks_at: "AMD graphics built into the processor beside an AMD card",
    why: "ROCm lists both. A program that takes the first, or all, may end up on the built-in one, \
          which few builds have code for.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let driven = |integrated: bool| -> Option<&Gpu> {
        machine.gpus(GpuVendor::Amd).find(|gpu| {
            gpu.integrated == integrated && gpu.kernel_driver.as_deref() == Some("amdgpu")
        })
    };
    let (Some(card), Some(built_in)) = (driven(false), driven(true)) else {
        return Vec::new();
    };
    let chosen = ["HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"]
        .iter()
        .any(|name| machine.variables.filled(name).is_some());
    if chosen {
        return Vec::new();
    }
    vec![
        Verdict::note(format!("{} is listed beside {}", built_in.name, card.name))
            .cause(Cause::IgpuSelected)
            .sure(0.5)
            .because(
                "If a program crashes at its first operation, or is far too slow, it may have \
                 taken the graphics built into the processor.",
            )
            .advise_running(
                "See which number each has",
                "rocminfo | grep -E 'Marketing|gfx'",
            )
            .advise_running(
                "Give programs the card alone, by its number",
                "export HIP_VISIBLE_DEVICES=NUMBER",
            ),
    ]
}
