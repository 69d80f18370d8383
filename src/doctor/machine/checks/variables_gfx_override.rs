//! `variables.gfx-override`

use super::Check;
use crate::{
    compat::rocm::{OVERRIDE_VARIABLE, RocmFacts},
    doctor::{
        Cause,
        machine::{Machine, Verdict},
    },
    host::GpuVendor,
};

pub(super) const CHECK: Check = Check {
    id: "variables.gfx-override",
    looks_at: "HSA_OVERRIDE_GFX_VERSION and the gfx targets of the AMD GPUs",
    why: "It makes ROCm run another target's code. For a near relative that helps; for another \
          generation it crashes the program or the GPU.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let Some(value) = machine.variables.filled(OVERRIDE_VARIABLE) else {
        return Vec::new();
    };
    // The card, or where there is none the built-in graphics.
    let gpu = machine
        .gpus(GpuVendor::Amd)
        .filter(|gpu| gpu.gfx.is_some())
        .min_by_key(|gpu| gpu.integrated);
    let Some((gpu, gfx)) = gpu.and_then(|gpu| Some((gpu, gpu.gfx.as_deref()?))) else {
        return Vec::new();
    };
    let verdict = match target(value) {
        None => Verdict::problem(format!("{OVERRIDE_VARIABLE} is no version: `{value}`"))
            .because("It wants three numbers, such as `10.3.0` for gfx1030."),
        Some(target) if target == gfx => return Vec::new(),
        Some(target) if generation(&target) != generation(gfx) => Verdict::problem(format!(
            "{OVERRIDE_VARIABLE} names another generation than the GPU"
        ))
        .because(format!(
            "`{value}` runs code of {target}; {} is {gfx}, which has other instructions.",
            gpu.name
        )),
        Some(target) if is_built_for(gfx) => {
            Verdict::note(format!("{OVERRIDE_VARIABLE} is not needed")).because(format!(
                "{} is {gfx}, for which there are ROCm builds. With `{value}` it runs code \
                     of {target} instead, which may be slower or fail.",
                gpu.name
            ))
        }
        Some(_) => return Vec::new(),
    };
    vec![
        verdict
            .cause(Cause::GfxNeedsOverride)
            .advise_running(
                "Unset it, and take it out of your shell's start files",
                format!("unset {OVERRIDE_VARIABLE}"),
            )
            .seen(format!("{OVERRIDE_VARIABLE} is `{value}`")),
    ]
}

/// `10.3.0` is gfx1030, `9.0.10` gfx90a: minor and stepping are written in hexadecimal.
fn target(value: &str) -> Option<String> {
    let mut numbers = value.trim().split('.').map(str::parse::<u8>);
    let (major, minor, stepping) = (numbers.next()?, numbers.next()?, numbers.next()?);
    if numbers.next().is_some() {
        return None;
    }
    Some(format!(
        "gfx{}{:x}{:x}",
        major.ok()?,
        minor.ok()?,
        stepping.ok()?
    ))
}

/// What is left of a target without minor and stepping: `gfx10`.
fn generation(gfx: &str) -> &str {
    gfx.get(..gfx.len().saturating_sub(2)).unwrap_or(gfx)
}

fn is_built_for(gfx: &str) -> bool {
    let facts = RocmFacts::embedded();
    // The newest builds are what is installed today.
    facts.build.first().is_some_and(|row| row.gfx.contains(gfx))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_generations() {
        assert_eq!(target("10.3.0").as_deref(), Some("gfx1030"));
        assert_eq!(target("9.0.10").as_deref(), Some("gfx90a"));
        assert_eq!(target("11.0.0").as_deref(), Some("gfx1100"));
        for bad in ["", "10.3", "gfx1030", "10.3.0.1", "10.x.0"] {
            assert_eq!(target(bad), None, "{bad}");
        }
        assert_eq!(generation("gfx1030"), "gfx10");
        assert_eq!(generation("gfx906"), "gfx9");
        assert_eq!(generation("gfx1201"), "gfx12");
    }
}
