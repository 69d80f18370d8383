//! Which GPUs a plan uses, which it leaves out, and how the tool is kept from those.
//!
//! A build serves some of a machine's GPUs. One that it has no code for, left visible, is what
//! programs then try first or crash on; so it is hidden by the variable its maker's runtime reads.
//! These are defaults: what the user has set wins.

use std::collections::BTreeMap;

use super::{
    AcceleratorOption, cards,
    cuda::{self, Nvidia},
    release_of, rocm,
};
use crate::{
    catalog::manifest::Manifest,
    compat::{rocm::RocmFacts, torch::TorchFacts},
    host::{Gpu, GpuVendor, Host},
    types::{Accelerator, Version},
};

/// What a plan sets, and what it leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Visibility {
    /// Variables by name.
    pub environment: BTreeMap<String, String>,
    /// Which GPUs are left out, and why: sentences.
    pub notes: Vec<String>,
}

/// What a plan with this build and this torch does about the GPUs of a host.
pub fn visibility(
    host: &Host,
    manifest: &Manifest,
    option: &AcceleratorOption,
    accelerator: Accelerator,
    torch: Option<&Version>,
    facts: &TorchFacts,
) -> Visibility {
    let set = option.environment.iter();
    let mut visibility = Visibility {
        environment: set
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        notes: Vec::new(),
    };
    let Some(chosen) = option.gpu.map(|at| &host.gpus[at]) else {
        return visibility;
    };
    match accelerator {
        Accelerator::Cuda(..) => {
            let release = torch.and_then(|torch| release_of(facts, torch));
            let needs = manifest.accelerators.get(&option.kind);
            let serves = |gpu: &Gpu| -> Result<(), String> {
                let nvidia = Nvidia::of(host, gpu);
                if let (Some(needs), Ok(nvidia)) = (needs, &nvidia)
                    && let Some(least) = cuda::least_capability(needs)
                    && nvidia.capability < least
                {
                    return Err(cuda::too_old(&manifest.title, least, nvidia));
                }
                // Without torch nothing is known of what the tool has code for.
                let Some(release) = release else {
                    return Ok(());
                };
                let nvidia = nvidia?;
                if nvidia.is_served(release, accelerator) {
                    return Ok(());
                }
                Err(format!(
                    "torch {} for {accelerator} has no code for compute capability {}",
                    release.release, nvidia.capability
                ))
            };
            let counted = |gpu: &Gpu| cuda::is_counted(host, gpu);
            let names = ["CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"];
            visibility.hide(host, GpuVendor::Nvidia, counted, serves, names);
        }
        Accelerator::Rocm(..) => {
            let build = RocmFacts::embedded().build(accelerator);
            let overridden = !option.environment.is_empty();
            let serves = |gpu: &Gpu| -> Result<(), String> {
                let gfx = rocm::target(host, gpu)?;
                let has_code = build.is_some_and(|build| match torch {
                    Some(torch) => build.has_code(gfx, torch),
                    None => build.gfx.contains(gfx),
                });
                if gpu.gfx == chosen.gfx || (has_code && !overridden) {
                    return Ok(());
                }
                Err(if has_code {
                    "the override that the plan sets holds for all of them".to_owned()
                } else {
                    format!("{accelerator} has no code for {gfx}")
                })
            };
            let counted = rocm::is_counted;
            let names = ["HIP_VISIBLE_DEVICES", ""];
            visibility.hide(host, GpuVendor::Amd, counted, serves, names);
        }
        Accelerator::Cpu | Accelerator::Xpu | Accelerator::Mps => {}
    }
    visibility.other_makers(host, chosen);
    visibility
}

impl Visibility {
    /// Hides the GPUs of one maker that the build does not serve. `names`: the variable that lists
    /// the visible ones, and the one that says by which order they are counted, if there is one.
    fn hide(
        &mut self,
        host: &Host,
        vendor: GpuVendor,
        counted: impl Fn(&Gpu) -> bool,
        serves: impl Fn(&Gpu) -> Result<(), String>,
        [visible, order]: [&str; 2],
    ) {
        // Runtimes count the GPUs of their maker that the driver holds, in the order of PCI
        // addresses, as the host does.
        let own: Vec<usize> = (0..host.gpus.len())
            .filter(|at| host.gpus[*at].vendor == vendor && counted(&host.gpus[*at]))
            .collect();
        let mut shown = Vec::new();
        for at in cards::ranked(host) {
            let gpu = &host.gpus[at];
            if gpu.vendor != vendor {
                continue;
            }
            let number = own.iter().position(|own| *own == at);
            match serves(gpu) {
                Ok(()) => shown.extend(number.map(|number| number.to_string())),
                Err(why) => {
                    let note = format!("the {} is left out: {why}", gpu.name);
                    if !self.notes.contains(&note) {
                        self.notes.push(note);
                    }
                }
            }
        }
        if shown.len() == own.len() || shown.is_empty() {
            return;
        }
        self.environment.insert(visible.to_owned(), shown.join(","));
        if !order.is_empty() {
            self.environment
                .insert(order.to_owned(), "PCI_BUS_ID".to_owned());
        }
    }

    /// Cards of other makers cannot take part.
    fn other_makers(&mut self, host: &Host, chosen: &Gpu) {
        let others = host
            .gpus
            .iter()
            .filter(|gpu| gpu.vendor != chosen.vendor && !gpu.integrated);
        for gpu in others {
            self.notes.push(format!(
                "the {} is left out: one build serves the GPUs of one maker, and the {} is the \
                 better card",
                gpu.name, chosen.name
            ));
        }
    }
}
