//! Memory, shared memory and disks.

use super::Case;
use crate::doctor::{cause::Cause, ledger::Ledger};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    if case.saw("disk-full") && case.saw_any(&["nccl", "shm-short"]) && !case.saw("installer") {
        ledger.add(Cause::ShmTooSmall, 2.2, case.quote("disk-full"));
        ledger.add(Cause::DiskFull, -1.6, "");
    }
    if case.saw("killed")
        && case.saw_any(&[
            "kernel-oom",
            "ram-short",
            "loading-weights",
            "building-extension",
        ])
    {
        ledger.add(Cause::RamOomKilled, 0.8, "");
    }
    if case.saw("cuda-out-of-memory") && case.saw("killed") {
        ledger.add(Cause::VramOutOfMemory, -1.0, "");
    }
    if case.saw("page-file") {
        // Its message speaks of memory as well.
        ledger.add(Cause::RamOomKilled, -2.0, "");
        ledger.add(Cause::VcRuntimeMissing, -2.0, "");
    }
    if case.saw("bus-error-in-worker") && case.saw("dataloader-killed") {
        ledger.add(Cause::RamOomKilled, -1.0, "");
    }
    if case.saw("no-nvidia-gpu-said") {
        ledger.add(Cause::CudaLibsMissing, -2.0, "");
    }
    if case.saw("illegal-instruction") {
        ledger.add(Cause::RamOomKilled, -1.0, "");
    }
}
