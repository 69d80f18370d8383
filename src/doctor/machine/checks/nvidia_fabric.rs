//! `nvidia.fabric-manager`

use super::{Check, branch, has_nvidia_module, module_version, nvidia_on_bus, remedy, spelled};
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "nvidia.fabric-manager",
    looks_at: "NVSwitches on the bus and the process of the fabric manager",
    why: "On machines whose GPUs are joined by NVSwitches, CUDA waits for the fabric manager to \
          set these up, and ends with error 802 when it does not run.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let used = nvidia_on_bus(machine)
        .iter()
        .any(|gpu| gpu.kernel_driver.as_deref() == Some("nvidia"));
    if !used || !has_nvidia_module(machine) {
        return Vec::new();
    }
    match machine.around.fabric_manager {
        None => Vec::new(),
        Some(true) => vec![Verdict::works("NVIDIA fabric manager runs")],
        Some(false) => {
            let version = module_version(machine);
            let (exact, branch) = (
                version
                    .map(|version| format!(" ({})", spelled(version)))
                    .unwrap_or_default(),
                version.map(branch).unwrap_or_default(),
            );
            let switches = machine.pci.iter().filter(|device| !device.is_gpu).count();
            vec![
                Verdict::problem("the fabric manager is not running")
                    .cause(Cause::FabricManagerNotRunning)
                    .because(
                        "The GPUs of this machine are joined by NVSwitches. Until the fabric \
                         manager has set these up, CUDA answers error 802 (system not yet \
                         initialized).",
                    )
                    .fix(remedy(
                        machine,
                        "start-fabric-manager",
                        &[("exact", &exact), ("driver_branch", &branch)],
                    ))
                    .seen(format!(
                        "{switches} NVSwitches, and no process `nv-fabricmanager`"
                    )),
            ]
        }
    }
}
