//! The GPU of Apple silicon: part of the chip, with all of the machine's memory.

use crate::{
    host::{Gpu, GpuVendor, Unread, cpu},
    platform::sysctl,
    types::Arch,
};

/// The chip's GPU; none on an Intel Mac, whose GPUs no AI runtime supports any more.
pub(super) fn detect(unread: &mut Vec<Unread>) -> Option<Gpu> {
    if cpu::arch() != Arch::Aarch64 {
        return None;
    }
    let name = sysctl::text("machdep.cpu.brand_string")
        .map_err(|error| unread.push(Unread::new("machdep.cpu.brand_string", error)))
        .ok();
    Some(Gpu {
        vendor: GpuVendor::Apple,
        name: name
            // Under Rosetta the name may be that of the processor it plays.
            .filter(|name| name.starts_with("Apple"))
            .unwrap_or_else(|| "Apple silicon".to_owned()),
        pci_id: None,
        pci_address: None,
        compute_capability: None,
        gfx: None,
        memory_bytes: sysctl::number("hw.memsize").ok(),
        integrated: true,
        kernel_driver: None,
    })
}
