//! `nvidia.peer-access`

use super::{Check, nvidia_on_bus};
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "nvidia.peer-access",
    looks_at: "how the IOMMU treats the GPUs of a machine with several",
    why: "GPUs that read each other's memory directly do so past the IOMMU. Where that translates \
          addresses, such transfers hang or bring wrong data.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let gpus = nvidia_on_bus(machine);
    let translated: Vec<&str> = machine
        .pci
        .iter()
        .filter(|device| {
            gpus.iter()
                .any(|gpu| gpu.pci_address.as_ref() == Some(&device.address))
        })
        .filter(|device| {
            device
                .iommu
                .as_deref()
                .is_some_and(|kind| kind.starts_with("DMA"))
        })
        .map(|device| device.address.as_str())
        .collect();
    if translated.len() < 2 {
        return Vec::new();
    }
    vec![
        Verdict::note("the IOMMU translates the addresses of several NVIDIA GPUs")
            .cause(Cause::NcclP2p)
            .sure(0.5)
            .because(
                "Programs on one GPU do not notice. If programs on several hang at the start, or \
                 compute nonsense, this is the first suspect.",
            )
            .advise_running(
                "To find out: start the program with transfers between GPUs switched off",
                "NCCL_P2P_DISABLE=1 PROGRAM",
            )
            .advise(
                "If that helps: start the kernel with `iommu=pt`, or switch off the IOMMU or \
                     ACS in the firmware's setup",
            )
            .seen(format!("translated: {}", translated.join(", "))),
    ]
}
