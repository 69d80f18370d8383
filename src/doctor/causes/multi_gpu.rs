//! Several GPUs or machines.

use super::Case;
use crate::doctor::{cause::Cause, ledger::Ledger};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    if !case.saw_any(&["nccl", "p2p", "nccl-hang"]) {
        // Interfaces and addresses mean nothing by themselves.
        ledger.add(Cause::NcclEnv, -2.4, "");
        if !case.saw("iommu") {
            ledger.add(Cause::NcclP2p, -1.0, "");
        }
    }
    let interface = case.evidence.env.iter().find(|(name, _)| {
        [
            "NCCL_SOCKET_IFNAME",
            "GLOO_SOCKET_IFNAME",
            "NCCL_IB_HCA",
            "NCCL_NET",
            "NCCL_ALGO",
            "NCCL_PROTO",
        ]
        .contains(&name.to_uppercase().as_str())
    });
    if let Some((name, value)) = interface {
        ledger.add(Cause::NcclEnv, 1.2, format!("{name}={value} is set"));
    }
    let disabled = case.evidence.env.iter().find(|(name, value)| {
        name.eq_ignore_ascii_case("NCCL_P2P_DISABLE") && value.trim_start().starts_with('1')
    });
    if let Some((name, value)) = disabled {
        ledger.add(Cause::NcclP2p, 1.0, format!("{name}={value}"));
    }
    if case.saw("nccl-hang") && case.saw("one-machine") && !case.saw("socket-interface") {
        // No network is between them.
        ledger.add(Cause::NcclP2p, 1.6, case.quote("one-machine"));
        ledger.add(Cause::NcclEnv, -0.6, "");
    }
    if case.facts.gpus.nvidia.len() > 1 && case.saw_any(&["nccl-hang", "p2p"]) {
        ledger.add(Cause::NcclP2p, 0.5, "");
    }
}
