//! What a probe's outcome means on this machine.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{Api, ApiReport, DeviceReport, Measured, Trouble};
use crate::{
    doctor::{
        Cause,
        machine::{Level, Machine, Verdict},
    },
    host::GpuVendor,
};

const DATA: &str = include_str!("../../../manifests/doctor/driver_errors.toml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(dead_code, reason = "`schema` and `as_of` are for readers of the file")]
struct File {
    schema: u32,
    as_of: String,
    error: Vec<Known>,
}

/// What is known of an error code.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    api: Api,
    code: i64,
    name: String,
    #[serde(default)]
    cause: Option<Cause>,
    means: String,
    #[serde(default)]
    advice: Option<String>,
    #[expect(dead_code, reason = "for readers of the file")]
    source: Vec<String>,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    // The file is part of the program and a test reads it; it cannot be wrong at run time.
    let file: File =
        toml::from_str(DATA).unwrap_or_else(|error| unreachable!("driver_errors.toml: {error}"));
    file.error
});

/// What a report says of this machine; nothing where the interface is not meant to be there.
pub fn judge(report: &ApiReport, machine: &Machine) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = report
        .devices
        .iter()
        .map(|device| one(report, device, machine))
        .collect();
    if let Some(trouble) = &report.trouble {
        verdicts.extend(whole(report, trouble, machine));
    }
    for verdict in &mut verdicts {
        verdict.check = id(report.api);
    }
    verdicts
}

/// The id that verdicts of an interface carry.
pub fn id(api: Api) -> &'static str {
    match api {
        Api::Cuda => "probe.cuda",
        Api::Hip => "probe.hip",
    }
}

/// Joins what the probe found with what the checks found: where both name one cause, the check's
/// words stay, which say why, and the probe becomes its evidence.
pub fn join(verdicts: &mut Vec<Verdict>, probed: Vec<Verdict>) {
    for mut verdict in probed {
        let same = verdicts.iter_mut().find(|known| {
            !known.check.starts_with("probe.")
                && known.level == Level::Problem
                && verdict.level == Level::Problem
                && known.cause.is_some()
                && known.cause == verdict.cause
        });
        match same {
            Some(known) => known.evidence.append(&mut verdict.evidence),
            None => verdicts.push(verdict),
        }
    }
}

fn one(report: &ApiReport, device: &DeviceReport, machine: &Machine) -> Verdict {
    let name = &device.facts.name;
    match (&device.trouble, &device.measured) {
        (None, Some(measured)) => Verdict::works(works(report, name, measured)),
        (Some(trouble), _) => explain(report, trouble, name, machine),
        (None, None) => explain(
            report,
            &Trouble::Crashed {
                call: "the end of the probe".to_owned(),
                how: "without a word".to_owned(),
                said: String::new(),
            },
            name,
            machine,
        ),
    }
}

fn works(report: &ApiReport, name: &str, measured: &Measured) -> String {
    let what = match measured.kernel {
        true => "a kernel ran and its result is right",
        false => "memory was filled and copied rightly (no compiler for a kernel is installed)",
    };
    format!(
        "{name} computes: {what}; {} to the GPU, {} within it ({})",
        rate(measured.upload),
        rate(measured.copy),
        told(report)
    )
}

/// `CUDA 13.0`.
fn told(report: &ApiReport) -> String {
    match &report.version {
        Some(version) => format!("{} {version}", report.api),
        None => report.api.to_string(),
    }
}

fn rate(bytes_per_second: f64) -> String {
    format!("{:.1} GB/s", bytes_per_second / 1e9)
}

/// What ended the probe before any, or a further, device.
fn whole(report: &ApiReport, trouble: &Trouble, machine: &Machine) -> Option<Verdict> {
    let vendor = match report.api {
        Api::Cuda => GpuVendor::Nvidia,
        Api::Hip => GpuVendor::Amd,
    };
    let expected = machine.host.gpus.iter().any(|gpu| gpu.vendor == vendor);
    match trouble {
        Trouble::Library { missing: true, .. } if !expected => None,
        // Wheels for ROCm bring a runtime of their own.
        Trouble::Library { missing: true, why } if report.api == Api::Hip => Some(
            Verdict::note("the AMD GPU was not probed: there is no HIP runtime on this system")
                .because(
                    "PyTorch for ROCm brings one of its own, so this says nothing about whether \
                     the GPU works.",
                )
                .seen(why.clone()),
        ),
        Trouble::NoDevice | Trouble::Call { code: 100, .. } if !expected => None,
        _ => Some(explain(report, trouble, "the GPU", machine)),
    }
}

fn explain(report: &ApiReport, trouble: &Trouble, name: &str, machine: &Machine) -> Verdict {
    let api = report.api;
    match trouble {
        Trouble::Library { missing, why } => {
            let title = match missing {
                true => format!("{api} cannot be used: the driver's library is not found"),
                false => format!("{api} cannot be used: the driver's library does not load"),
            };
            let verdict = Verdict::problem(title).because(match missing {
                true => "Programs look for it in the same way and will not find it either.",
                false => {
                    "It is there and broken, or needs another library that is not there. The \
                     driver is only half installed."
                }
            });
            let verdict = match api {
                Api::Cuda => verdict.cause(Cause::CudaLibsMissing),
                Api::Hip => verdict,
            };
            verdict.seen(why.clone())
        }
        Trouble::Symbol { name: symbol } => Verdict::problem(format!(
            "the driver's library for {api} is not what it should be"
        ))
        .because(
            "It lacks a function that every version of the last ten years has: it is damaged, \
             made by somebody else, or very old.",
        )
        .seen(format!(
            "`{symbol}` is not in {}",
            report.library.as_deref().unwrap_or("it")
        )),
        Trouble::Call {
            call,
            code,
            name: error,
            text,
        } => call_failed(
            report,
            name,
            call,
            *code,
            error.as_deref(),
            text.as_deref(),
            machine,
        ),
        Trouble::NoDevice => no_device(report, machine, "it offers none".to_owned()),
        Trouble::WrongResult {
            index,
            expected,
            found,
        } => Verdict::problem(format!("{name} computes wrongly"))
            .cause(Cause::HardwareOrFirmware)
            .because(
                "A small kernel ran without an error, and its result is not what it must be. \
                 Overclocking, too little power, a faulty card, or an override that makes it run \
                 another GPU's code does this.",
            )
            .advise("Take back overclocking and overrides; then test the card in another machine")
            .seen(format!(
                "word {index} is {found:#010x} instead of {expected:#010x}"
            )),
        Trouble::Hung {
            call,
            seconds,
            stuck,
        } => hung(api, name, call, *seconds, *stuck),
        Trouble::Crashed { call, how, said } => {
            let verdict = Verdict::problem(format!("the driver of {name} ends its program"))
                .sure(0.7)
                .because(format!(
                    "The process that probed {api} died in {call} ({how}). Every program that \
                     makes this call will."
                ))
                .advise(
                    "Install the driver anew, all its parts of one version; restart the machine",
                )
                .seen(format!("{call}: {how}"));
            match said.is_empty() {
                true => verdict,
                false => verdict.seen(format!("it said: {said}")),
            }
        }
        Trouble::NotStarted { why } => Verdict::note(format!(
            "{api} was not probed: the process could not be started"
        ))
        .seen(why.clone()),
    }
}

fn hung(api: Api, name: &str, call: &str, seconds: u64, stuck: bool) -> Verdict {
    let stuck = match stuck {
        true => " Its process cannot even be ended by force: it hangs inside the kernel.",
        false => "",
    };
    Verdict::problem(format!("the driver of {name} hangs"))
        .cause(Cause::HardwareOrFirmware)
        .sure(0.7)
        .because(format!(
            "The call {call} of {api} did not come back within {seconds} s.{stuck} A GPU that \
             crashed or fell off the bus does this, and a driver left in a bad state by a program \
             that was killed."
        ))
        .advise_running(
            "Look into the kernel's log for what happened",
            "sudo dmesg | grep -E 'NVRM|Xid|amdgpu' | tail",
        )
        .advise("Restart the machine")
        .seen(format!("{call} did not come back within {seconds} s"))
}

fn call_failed(
    report: &ApiReport,
    name: &str,
    call: &str,
    code: i64,
    error: Option<&str>,
    text: Option<&str>,
    machine: &Machine,
) -> Verdict {
    let api = report.api;
    let known = KNOWN
        .iter()
        .find(|known| known.api == api && known.code == code);
    let error = error
        .or(known.map(|known| known.name.as_str()))
        .unwrap_or("without a name");
    let mut seen = format!("{call} failed with error {code} ({error})");
    if let Some(text) = text {
        seen.push_str(&format!(": {text}"));
    }
    if code == 100 {
        return no_device(report, machine, seen);
    }
    let verdict = Verdict::problem(format!(
        "{api} does not work on {name}: error {code} ({error})"
    ));
    let verdict = match known {
        Some(known) => {
            let verdict = verdict.because(known.means.clone());
            let verdict = match known.cause {
                Some(cause) => verdict.cause(cause).sure(0.85),
                None => verdict.sure(0.6),
            };
            match &known.advice {
                Some(advice) => verdict.advise(advice.clone()),
                None => verdict,
            }
        }
        None => verdict
            .sure(0.6)
            .because(format!(
                "The call {call} failed. Programs that use {api} will fail there."
            ))
            .advise("Restart the machine; if it fails again, install the driver anew"),
    };
    verdict.seen(seen)
}

/// The driver offers no device: by a variable, by the container, or truly.
fn no_device(report: &ApiReport, machine: &Machine, seen: String) -> Verdict {
    let api = report.api;
    let variables: &[&str] = match api {
        Api::Cuda => &["CUDA_VISIBLE_DEVICES"],
        Api::Hip => &[
            "HIP_VISIBLE_DEVICES",
            "ROCR_VISIBLE_DEVICES",
            "CUDA_VISIBLE_DEVICES",
        ],
    };
    let set = variables
        .iter()
        .find_map(|name| Some((*name, machine.variables.get(name)?)));
    let verdict = Verdict::problem(format!("{api} offers no GPU"));
    let verdict = match set {
        Some((variable, value)) => verdict
            .cause(Cause::VisibleDevicesHideGpu)
            .sure(0.85)
            .because(format!(
                "{variable} is set to `{value}`, and hides what there is."
            ))
            .advise_running("Unset it", format!("unset {variable}")),
        None if machine.host.surroundings.container.is_some() => verdict
            .cause(Cause::ContainerNoGpuFlag)
            .sure(0.7)
            .because("The library of the driver is in this container, and no GPU.")
            .advise("Start the container with the GPU, as the check of containers says"),
        None => verdict.sure(0.6).because(
            "The library of the driver works and finds no GPU that computes: the driver's module \
             is not loaded, does not drive this card, or its device files may not be opened.",
        ),
    };
    verdict.seen(seen)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_known_code_is_sound() {
        let legend: BTreeSet<&str> = DATA
            .lines()
            .skip_while(|line| !line.starts_with("# Sources:"))
            .skip(1)
            .take_while(|line| line.starts_with("#   "))
            .filter_map(|line| line[4..].split_whitespace().next())
            .collect();
        let file: toml::Table = toml::from_str(DATA).unwrap();
        for row in file["error"].as_array().unwrap() {
            for source in row["source"].as_array().unwrap() {
                assert!(legend.contains(source.as_str().unwrap()), "{source}");
            }
        }
        let mut seen = BTreeSet::new();
        for known in KNOWN.iter() {
            assert!(seen.insert((known.api, known.code)), "{} twice", known.name);
            let prefix = match known.api {
                Api::Cuda => "CUDA_ERROR_",
                Api::Hip => "hipError",
            };
            assert!(known.name.starts_with(prefix), "{}", known.name);
            assert!(known.means.ends_with('.'), "{}", known.name);
        }
    }

    #[test]
    fn rates() {
        assert_eq!(rate(24.26e9), "24.3 GB/s");
        assert_eq!(rate(0.05e9), "0.1 GB/s");
    }
}
