//! Reading the machine, as far as [`crate::host`] does not: one file per part of it.
//!
//! Every probe reads files through a [`Root`] and returns plain values. None of them fails, none
//! starts a program, and none asks the network.

mod kernel;
pub(in crate::doctor) mod libraries;
mod nodes;
mod pci;
mod resources;
mod surroundings;
mod user;
mod variables;

use std::path::Path;

pub use kernel::{Kernel, ModuleFiles};
pub use libraries::{Library, Place};
pub use nodes::Node;
pub use pci::PciDevice;
pub use resources::{Disk, DiskUse, Resources};
pub use surroundings::{Around, Engine};
pub use user::User;
pub use variables::{Folder, Variables};

use self::{libraries::Loader, user::Groups, variables::Env};
use super::{Machine, SCHEMA};
use crate::host::{GpuVendor, Host, root::Root};

/// Libraries whose place in the loader's search is worth knowing, by the GPU they are for.
const NVIDIA: &[&str] = &[
    "libcuda.so.1",
    "libnvidia-ml.so.1",
    "libnvidia-ptxjitcompiler.so.1",
];
const INTEL: &[&str] = &["libze_loader.so.1", "libze_intel_gpu.so.1"];
const ALWAYS: &[&str] = &["libstdc++.so.6"];

/// Looks at everything around what `host` knows. `home` is aienv's home.
pub(in crate::doctor) fn observe(host: Host, root: &Root, env: Env<'_>, home: &Path) -> Machine {
    let has = |vendor| host.gpus.iter().any(|gpu| gpu.vendor == vendor);
    let in_container = host.surroundings.container.is_some();
    let pci = pci::read(root);
    // Under WSL and on Jetson boards there is a driver without a PCI device.
    let nvidia = has(GpuVendor::Nvidia) || host.nvidia.is_some() || root.exists("/dev/dxg");
    let wanted: Vec<&str> = [
        (has(GpuVendor::Nvidia), "nvidia"),
        (has(GpuVendor::Amd), "amdgpu"),
    ]
    .into_iter()
    .filter_map(|(there, driver)| there.then_some(driver))
    .collect();
    let groups = Groups::read(root);
    let variables = Variables::read(root, env);
    let library_path = variables.get("LD_LIBRARY_PATH").unwrap_or_default();
    let loader = Loader::read(root, host.cpu.arch, library_path);
    let names = ALWAYS
        .iter()
        .chain(nvidia.then_some(NVIDIA).into_iter().flatten())
        .chain(has(GpuVendor::Intel).then_some(INTEL).into_iter().flatten());
    let is_linux = host.os.family == crate::types::Os::Linux;
    Machine {
        schema: SCHEMA,
        kernel: Kernel::read(root, host.os.kernel.as_deref(), &wanted),
        nodes: nodes::read(root, &groups, in_container),
        user: User::read(root, &groups),
        libraries: names
            .filter(|_| is_linux)
            .map(|name| loader.find(name))
            .collect(),
        around: Around::read(root, in_container, pci.iter().any(|device| !device.is_gpu)),
        resources: Resources::read(root, home, &std::env::temp_dir()),
        pci,
        variables,
        host,
    }
}

#[cfg(all(test, unix))]
mod tests;
