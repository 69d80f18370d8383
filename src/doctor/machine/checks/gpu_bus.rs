//! `gpu.bus`

use super::{Check, nvidia_answers};
use crate::{
    doctor::{
        Cause,
        machine::{Machine, Verdict},
    },
    host::Gpu,
};

pub(super) const CHECK: Check = Check {
    id: "gpu.bus",
    looks_at: "the configuration and the memory regions of each GPU on the PCI bus",
    why: "A GPU that has fallen off the bus, or that the firmware gave no addresses, is listed \
          and works with no driver. No package can mend that.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    machine
        .pci
        .iter()
        .filter(|device| device.is_gpu)
        .filter_map(|device| {
            let gpu = machine
                .host
                .gpus
                .iter()
                .find(|gpu| gpu.pci_address.as_deref() == Some(&device.address));
            let name = gpu.map_or("a GPU", |gpu: &Gpu| gpu.name.as_str());
            let address = &device.address;
            if device.silent {
                return Some(
                    Verdict::problem(format!("{name} at {address} has fallen off the bus"))
                        .cause(Cause::HardwareOrFirmware)
                        .because(
                            "The card is listed, and every byte read from it is 255, as from an \
                             empty slot: it lost power, overheated, crashed, or sleeps and does \
                             not wake.",
                        )
                        .advise(
                            "Switch the machine off (not only restart it) and on again. If it \
                             happens again: check the power cables, the seat of the card or its \
                             riser, and temperatures; in the firmware, fix the slot's PCIe \
                             generation one lower",
                        )
                        .seen(format!("the configuration of {address} reads as all ones")),
                );
            }
            let region = device.unmapped_region?;
            // A driver that works needs no diagnosis of what it works without.
            if nvidia_answers(machine) {
                return None;
            }
            Some(
                Verdict::problem(format!("the firmware gave {name} no addresses"))
                    .cause(Cause::HardwareOrFirmware)
                    .because(format!(
                        "Memory region {region} of {address} is not mapped, so that no driver \
                         can reach the card. Cards with much memory need addresses beyond 4 GiB.",
                    ))
                    .advise(
                        "In the firmware's setup, switch on “Above 4G Decoding” (and “Re-Size \
                         BAR”), switch off CSM, and update the firmware",
                    )
                    .seen(format!("region {region} of {address} has no address")),
            )
        })
        .collect()
}
