//! GPUs and NPUs, each vendor by its own means, and what they have in common.
//!
//! The kernel's view (PCI devices and their bound drivers) says what is in the machine; the
//! vendor's driver says what it can do. Both are merged by PCI address, so that a card whose
//! driver is missing or broken is still listed.

#[cfg(any(test, not(any(target_os = "macos", windows))))]
mod amd;
#[cfg(target_os = "macos")]
mod apple;
#[cfg(any(test, not(any(target_os = "macos", windows))))]
mod intel;
#[cfg(any(test, not(any(target_os = "macos", windows))))]
mod npu;
#[cfg(any(test, not(target_os = "macos")))]
mod nvidia;
#[cfg(not(target_os = "macos"))]
mod nvml;
#[cfg(any(test, not(target_os = "macos")))]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
mod pci;
#[cfg(any(test, windows))]
mod windows;

use super::{AmdDriver, Gpu, Npu, NvidiaDriver, Unread, root::Root};

/// Where the CUDA driver library may be, best first; nothing where there is none.
pub(super) fn cuda_libraries() -> Vec<std::path::PathBuf> {
    #[cfg(not(target_os = "macos"))]
    return nvml::cuda_candidates();
    #[cfg(target_os = "macos")]
    return Vec::new();
}

/// All that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) gpus: Vec<Gpu>,
    pub(super) npus: Vec<Npu>,
    pub(super) nvidia: Option<NvidiaDriver>,
    pub(super) amd: Option<AmdDriver>,
    pub(super) unread: Vec<Unread>,
}

/// GPUs, NPUs and their drivers.
#[cfg(not(any(target_os = "macos", windows)))]
pub(super) fn detect(root: &Root) -> Found {
    let devices = pci::scan(root);
    let mut found = Found::default();
    let kernel = nvidia::Kernel::read(root);
    let answer = nvidia::is_likely(root, &devices)
        .then(|| ask_libraries(&kernel, &mut found.unread))
        .flatten();
    let nvidia = nvidia::combine(root, &devices, kernel, answer, &mut found.unread);
    let amd = amd::detect(root, &devices, &mut found.unread);
    found.gpus.extend(nvidia.gpus);
    found.gpus.extend(amd.gpus);
    found.gpus.extend(intel::detect(root, &devices));
    // Devices without an address, such as those of WSL, come first.
    found.gpus.sort_by(|a, b| a.pci_address.cmp(&b.pci_address));
    found.nvidia = nvidia.driver;
    found.amd = amd.driver;
    found.npus = npu::detect(root);
    found
}

/// GPUs, NPUs and their drivers.
#[cfg(target_os = "macos")]
pub(super) fn detect(_root: &Root) -> Found {
    let mut found = Found::default();
    found.gpus.extend(apple::detect(&mut found.unread));
    found
}

/// GPUs, NPUs and their drivers.
#[cfg(windows)]
pub(super) fn detect(root: &Root) -> Found {
    use super::GpuVendor;

    let mut found = Found::default();
    let (adapters, driver_version) = windows::read_registry(&mut found.unread);
    let is_nvidia = |gpu: &Gpu| gpu.vendor == GpuVendor::Nvidia;
    let kernel = nvidia::Kernel {
        version: driver_version,
        ..nvidia::Kernel::default()
    };
    let answer = adapters
        .iter()
        .any(is_nvidia)
        .then(|| ask_libraries(&kernel, &mut found.unread))
        .flatten();
    // The registry remembers cards that were taken out; the library knows those that are there.
    let answered = answer
        .as_ref()
        .is_some_and(|answer| !answer.gpus.is_empty());
    let nvidia = nvidia::combine(root, &[], kernel, answer, &mut found.unread);
    found.gpus.extend(nvidia.gpus);
    found.gpus.extend(
        adapters
            .into_iter()
            .filter(|gpu| !(answered && is_nvidia(gpu))),
    );
    found.nvidia = nvidia.driver;
    found
}

/// What NVIDIA's libraries say. That they are missing is only worth telling where NVIDIA's kernel
/// module is: without it nobody expects them.
#[cfg(not(target_os = "macos"))]
fn ask_libraries(kernel: &nvidia::Kernel, unread: &mut Vec<Unread>) -> Option<nvidia::Answer> {
    let (answer, problems) = nvml::ask();
    unread.extend(
        problems
            .into_iter()
            .filter(|problem| kernel.version.is_some() || !problem.library_missing)
            .map(|problem| problem.unread),
    );
    answer
}
