//! `variables.visible-devices`

use super::Check;
use crate::{
    doctor::{
        Cause,
        machine::{Machine, Verdict},
    },
    host::{Gpu, GpuVendor},
};

pub(super) const CHECK: Check = Check {
    id: "variables.visible-devices",
    looks_at: "CUDA_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES",
    why: "These variables hide GPUs from programs. A list ends at its first entry that names no \
          GPU, so a wrong one can hide all.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    [
        ("CUDA_VISIBLE_DEVICES", GpuVendor::Nvidia),
        ("HIP_VISIBLE_DEVICES", GpuVendor::Amd),
        ("ROCR_VISIBLE_DEVICES", GpuVendor::Amd),
    ]
    .into_iter()
    .filter_map(|(name, vendor)| {
        let value = machine.variables.get(name)?;
        let gpus: Vec<&Gpu> = machine.gpus(vendor).collect();
        (!gpus.is_empty()).then(|| one(name, value, gpus.len()))?
    })
    .collect()
}

fn one(name: &str, value: &str, count: usize) -> Option<Verdict> {
    let shown = value.trim();
    let visible = visible(shown, count);
    let what = match shown {
        "" => format!("{name} is set and empty"),
        _ => format!("{name} is `{shown}`"),
    };
    match visible {
        0 => Some(
            Verdict::problem(format!("{what}, which hides every GPU"))
                .cause(Cause::VisibleDevicesHideGpu)
                .because(match shown {
                    "" => "An empty list is a list of no GPU, unlike no list at all.".to_owned(),
                    _ => format!(
                        "GPUs are counted from 0, and the list ends at the first entry that \
                         names none. This machine has {count}."
                    ),
                })
                .advise_running(
                    "Unset it, or name a GPU that there is",
                    format!("unset {name}"),
                )
                .seen(what.clone()),
        ),
        some if some < count => Some(
            Verdict::note(format!("{what}: {some} of {count} GPUs are visible"))
                .cause(Cause::VisibleDevicesHideGpu)
                .because("Programs started from this shell see no other."),
        ),
        _ => None,
    }
}

/// How many GPUs a list leaves visible. Names (`GPU-…`, `MIG-…`) cannot be checked here and are
/// believed.
fn visible(list: &str, count: usize) -> usize {
    let mut seen = Vec::new();
    for entry in list.split(',').map(str::trim) {
        let is_name = entry.starts_with("GPU-") || entry.starts_with("MIG-");
        let is_number = entry.parse::<usize>().is_ok_and(|number| number < count);
        if !(is_name || is_number) {
            break;
        }
        if !seen.contains(&entry) {
            seen.push(entry);
        }
    }
    seen.len().min(count)
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn lists_end_at_their_first_mistake() {
        for (list, count, expected) in [
            ("0", 1, 1),
            ("0,1", 2, 2),
            ("1", 2, 1),
            ("", 2, 0),
            ("-1", 2, 0),
            ("0,-1,1", 2, 1),
            ("1", 1, 0),
            ("NoDevFiles", 1, 0),
            ("GPU-4a1b", 2, 1),
            ("MIG-0f/1/0", 1, 1),
            ("0,0", 2, 1),
            (" 0 , 1 ", 2, 2),
        ] {
            assert_eq!(visible(list, count), expected, "`{list}` of {count}");
        }
    }
}
