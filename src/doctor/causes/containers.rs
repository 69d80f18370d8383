//! Containers and WSL: the driver is that of another system, and has to be passed in.

use super::{Case, table::table};
use crate::doctor::{cause::Cause, ledger::Ledger};

pub(super) fn weigh(case: &Case<'_>, ledger: &mut Ledger) {
    container(case, ledger);
    wsl(case, ledger);
}

/// Signals that no driver or device is in reach.
const UNREACHABLE: [&str; 6] = [
    "found-no-driver",
    "libcuda-missing",
    "no-cuda-device-100",
    "smi-not-found",
    "no-gpus-are-available",
    "driver-insufficient",
];

fn container(case: &Case<'_>, ledger: &mut Ledger) {
    let unreachable = case.saw_any(&UNREACHABLE);
    if !case.is_container() {
        if !case.saw("container-without-gpus") {
            ledger.add(Cause::ContainerNoGpuFlag, -1.0, "");
        }
        return;
    }
    let container = case.facts.system.container.as_ref();
    let quote = container
        .map(|known| known.quote.clone())
        .unwrap_or_default();
    if unreachable {
        // A driver version that was seen inside means the driver is there.
        let driver_seen = case.facts.cuda.driver_cuda.is_some() || case.saw("driver-found-version");
        if !driver_seen {
            let why =
                format!("{quote} — in a container the driver is there only if it is passed in");
            ledger.add(Cause::ContainerNoGpuFlag, 1.8, why);
        }
        ledger.add(Cause::NoNvidiaGpu, -0.8, "");
    }
    if case.saw("nvml-unknown-error") {
        ledger.add(Cause::ContainerCgroupLostGpu, 1.2, quote.clone());
    }
    if case.saw("cuda-unknown-error") && case.saw("daemon-reload") {
        ledger.add(Cause::ContainerCgroupLostGpu, 1.0, quote.clone());
        ledger.add(Cause::UvmNotUsable, -1.0, "");
    }
    if case.saw("forward-compat-804") && case.saw("toolkit-version") {
        let why = format!(
            "{} — releases of the toolkit decide whether the image's own libcuda wins",
            case.quote("toolkit-version")
        );
        ledger.add(Cause::ContainerToolkit, 4.6, why);
        ledger.add(Cause::DriverTooOld, -1.0, "");
    }
    if case.saw("could-not-select-driver") {
        ledger.add(Cause::ContainerNoGpuFlag, -2.0, "");
    }
    if case.saw_any(&["shm-short", "nccl-system-error"]) {
        ledger.add(Cause::ShmTooSmall, 0.8, quote);
    }
}

fn wsl(case: &Case<'_>, ledger: &mut Ledger) {
    let Some(wsl) = &case.facts.system.wsl else {
        for cause in [
            Cause::WslLibcudaNotOnPath,
            Cause::WslTooOld,
            Cause::RocmWslMismatch,
        ] {
            // Without a word about WSL there is little to say for it.
            ledger.add(cause, -1.2, "");
        }
        if case.saw("library-without-version") {
            // The libraries of the system, not those of WSL, came before the wheel's.
            ledger.add(Cause::RocmWslMismatch, -2.5, "");
        }
        return;
    };
    if case.saw("wsl-linux-driver") {
        // It takes the place of Windows' driver, which then looks as if it were not there.
        ledger.add(Cause::WslTooOld, -1.5, "");
    }
    let amd = case.saw("amd-machine") || case.facts.gpus.has_amd();
    if let Some(build) = &case.facts.system.windows_build
        && build.value < table().first_wsl_build()
        && build.value >= 10_000
    {
        let why = format!(
            "{} is older than {}, the first with GPUs in WSL",
            build.quote,
            table().first_wsl_build()
        );
        ledger.add(Cause::WslTooOld, 4.4, why);
    }
    let preview = case.facts.system.windows_build.as_ref();
    let preview = preview.filter(|build| table().is_windows_preview(build.value));
    if let Some(build) = preview {
        let why = format!(
            "{} is a preview of Windows; WSL's GPU support came and went in these",
            build.quote
        );
        ledger.add(Cause::WslTooOld, 3.8, why);
    }
    let unreachable = case.saw_any(&UNREACHABLE)
        || case.saw_any(&[
            "cuda-not-available",
            "cuda-drivers-not-found",
            "nvml-driver-not-loaded",
            "smi-cannot-communicate",
            "cuda-unknown-error",
        ]);
    if unreachable && !amd {
        let why = format!(
            "{} — in WSL the driver is Windows' own, in /usr/lib/wsl/lib",
            wsl.quote
        );
        ledger.add(Cause::WslLibcudaNotOnPath, 2.0, why);
    }
    if case.saw("smi-cannot-communicate") {
        ledger.add(Cause::WslTooOld, 1.2, wsl.quote.clone());
    }
    if amd {
        ledger.add(
            Cause::RocmWslMismatch,
            2.4,
            format!("{} with an AMD GPU", wsl.quote),
        );
        ledger.add(Cause::KfdMissing, -1.0, "");
        ledger.add(Cause::NotInRenderGroup, -1.0, "");
        ledger.add(Cause::WslLibcudaNotOnPath, -2.0, "");
    }
}
