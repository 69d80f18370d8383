//! The checks, from the ground up. Each file holds one: its id, what it looks at, why that matters,
//! and the judgement, which is a function of the [`Machine`].
//!
//! A check speaks only of what is there: on a machine without an NVIDIA GPU those of NVIDIA say
//! nothing. What is broken and can be mended is a problem; what is a limit of the hardware, a
//! choice somebody may have made, or merely odd is a note. Where several checks would tell of one
//! cause in other words, the one nearest to the cause speaks.

mod amd_access;
mod amd_driver;
mod amd_gfx;
mod amd_integrated;
mod apple_gpu;
mod container_engine;
mod container_gpu;
mod container_shared_memory;
mod gpu_bus;
mod gpu_present;
mod intel_driver;
mod nvidia_answers;
mod nvidia_cuda;
mod nvidia_device_files;
mod nvidia_fabric;
mod nvidia_flavour;
mod nvidia_libraries;
mod nvidia_module;
mod nvidia_peers;
mod nvidia_versions;
mod python_user_site;
mod system_cpu;
mod system_disk;
mod system_libc;
mod system_libstdcxx;
mod system_memory;
mod system_vc_runtime;
mod variables_gfx_override;
mod variables_library_path;
mod variables_nccl;
mod variables_network;
mod variables_python;
mod variables_toolkit;
mod variables_visible;
mod wsl_gpu;

use super::{Level, Machine, Verdict};
use crate::{
    doctor::{
        Cause, Fix, knowledge,
        remedy::{self, System},
    },
    host::{Gpu, GpuVendor, NvidiaDriver},
    types::Version,
};

/// One check.
pub struct Check {
    /// Its id, which stays: `nvidia.kernel-module`.
    pub id: &'static str,
    /// What it looks at.
    pub looks_at: &'static str,
    /// Why that matters.
    pub why: &'static str,
    judge: fn(&Machine) -> Vec<Verdict>,
}

impl Check {
    /// What it says of a machine; nothing where it does not apply.
    pub fn run(&self, machine: &Machine) -> Vec<Verdict> {
        let mut verdicts = (self.judge)(machine);
        for verdict in &mut verdicts {
            verdict.check = self.id;
        }
        verdicts
    }
}

/// Every check, in the order in which causes come before effects.
pub const ALL: &[Check] = &[
    gpu_present::CHECK,
    gpu_bus::CHECK,
    nvidia_module::CHECK,
    nvidia_flavour::CHECK,
    nvidia_device_files::CHECK,
    nvidia_libraries::CHECK,
    nvidia_versions::CHECK,
    nvidia_answers::CHECK,
    nvidia_cuda::CHECK,
    nvidia_fabric::CHECK,
    nvidia_peers::CHECK,
    amd_driver::CHECK,
    amd_access::CHECK,
    amd_gfx::CHECK,
    amd_integrated::CHECK,
    intel_driver::CHECK,
    apple_gpu::CHECK,
    container_gpu::CHECK,
    container_engine::CHECK,
    container_shared_memory::CHECK,
    wsl_gpu::CHECK,
    variables_visible::CHECK,
    variables_library_path::CHECK,
    variables_python::CHECK,
    variables_toolkit::CHECK,
    variables_gfx_override::CHECK,
    variables_network::CHECK,
    variables_nccl::CHECK,
    python_user_site::CHECK,
    system_cpu::CHECK,
    system_libc::CHECK,
    system_libstdcxx::CHECK,
    system_vc_runtime::CHECK,
    system_memory::CHECK,
    system_disk::CHECK,
];

/// What every check says of a machine.
pub fn run(machine: &Machine) -> Vec<Verdict> {
    ALL.iter().flat_map(|check| check.run(machine)).collect()
}

/// A remedy in the commands of the machine's system.
fn remedy(machine: &Machine, name: &str, values: &[(&str, &str)]) -> Fix {
    remedy::remedy(name, &System::of(&machine.host), values)
}

/// What helps against a cause in general, on the machine's system.
fn known(machine: &Machine, cause: Cause) -> Vec<Fix> {
    let system = System::of(&machine.host);
    knowledge::of(cause).repairs(|condition| system.holds(condition), |_| None)
}

/// Set aside for virtual machines.
fn is_passed_through(gpu: &Gpu) -> bool {
    gpu.kernel_driver.as_deref() == Some("vfio-pci")
}

/// NVIDIA GPUs on the bus that this system could use. Under WSL there are none on the bus.
fn nvidia_on_bus(machine: &Machine) -> Vec<&Gpu> {
    machine
        .gpus(GpuVendor::Nvidia)
        .filter(|gpu| gpu.pci_address.is_some() && !is_passed_through(gpu))
        .filter(|_| machine.host.os.family == crate::types::Os::Linux && !machine.in_wsl())
        .collect()
}

/// NVIDIA's kernel module is loaded.
fn has_nvidia_module(machine: &Machine) -> bool {
    machine.kernel.has("nvidia") || module_version(machine).is_some()
}

/// The version of NVIDIA's loaded kernel module.
fn module_version(machine: &Machine) -> Option<&Version> {
    machine.host.nvidia.as_ref()?.kernel_version.as_ref()
}

/// The driver's libraries were asked, and answered.
fn nvidia_answers(machine: &Machine) -> bool {
    machine
        .host
        .nvidia
        .as_ref()
        .is_some_and(|driver| driver.cuda.is_some())
}

/// The branch of a driver version: `580`.
fn branch(version: &Version) -> String {
    version
        .release()
        .first()
        .map(u64::to_string)
        .unwrap_or_default()
}

/// As NVIDIA writes it.
fn spelled(version: &Version) -> String {
    NvidiaDriver::spelled(version)
}

/// Whether a check finds a problem.
fn has_problem(check: &Check, machine: &Machine) -> bool {
    (check.judge)(machine)
        .iter()
        .any(|verdict| verdict.level == Level::Problem)
}

/// `a`, `b` and `c`.
fn listed<T: AsRef<str>>(items: &[T]) -> String {
    let quoted: Vec<String> = items
        .iter()
        .map(|item| format!("`{}`", item.as_ref()))
        .collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests;
