//! What plans and refusals say of a machine, held against the machine.

use aienv::{
    host::{GpuVendor, Host, NvidiaDriver},
    prefix::pythons,
    types::{Libc, PythonVersion},
};
use regex::{Captures, Regex};

use crate::hosts::Machine;

/// A form of sentence, and whether what it says is true of a machine.
pub struct Statement {
    pub pattern: Regex,
    holds: fn(&Captures<'_>, &Machine) -> bool,
}

impl Statement {
    /// What this form of sentence says wrongly in a text; and how often it is found there.
    pub fn judge(&self, text: &str, machine: &Machine) -> (Vec<String>, usize) {
        let found: Vec<_> = self.pattern.captures_iter(text).collect();
        let wrong = found.iter().filter(|found| !(self.holds)(found, machine));
        (
            wrong.map(|found| found[0].to_owned()).collect(),
            found.len(),
        )
    }
}

/// Every form of sentence that states a fact of the machine.
pub fn statements() -> Vec<Statement> {
    let statement = |pattern: &str, holds| Statement {
        pattern: Regex::new(pattern).unwrap(),
        holds,
    };
    vec![
        statement(r"this one is ([0-9.]+[0-9])", |found, machine| {
            driver(&machine.host, &found[1])
        }),
        statement(
            r"driver ([0-9.]+) does not know the (.+?) \(",
            |found, machine| driver(&machine.host, &found[1]) && has_gpu(&machine.host, &found[2]),
        ),
        statement(
            r"driver ([0-9.]+) no longer drives the (.+?) \(",
            |found, machine| driver(&machine.host, &found[1]) && has_gpu(&machine.host, &found[2]),
        ),
        statement(
            r"needs compute capability [0-9.]+, the (.+?) has (\d+)\.(\d+)",
            |found, machine| {
                let wanted = (found[2].parse().unwrap(), found[3].parse().unwrap());
                let mut gpus = machine.host.gpus.iter();
                gpus.any(|gpu| gpu.name == found[1] && gpu.compute_capability == Some(wanted))
            },
        ),
        statement(
            r"the ([^;,]+?) has no working NVIDIA driver",
            |found, machine| has_gpu(&machine.host, &found[1]) && machine.host.nvidia.is_none(),
        ),
        statement(r"the kernel's `(\S+)` holds it", |found, machine| {
            let mut gpus = machine.host.gpus.iter();
            gpus.any(|gpu| gpu.kernel_driver.as_deref() == Some(&found[1]))
        }),
        statement(r"no (NVIDIA|AMD|Intel) GPU was found", |found, machine| {
            let vendor = match &found[1] {
                "NVIDIA" => GpuVendor::Nvidia,
                "AMD" => GpuVendor::Amd,
                _ => GpuVendor::Intel,
            };
            !machine.host.gpus.iter().any(|gpu| gpu.vendor == vendor)
        }),
        statement(
            r"needs NVIDIA driver [^;]+; this machine has ([0-9.]+[0-9])",
            |found, machine| driver(&machine.host, &found[1]),
        ),
        statement(
            r"this machine has (\d+)\.(\d+)(?:[^0-9.]|$)",
            |found, machine| {
                let wanted: (u16, u16) = (found[1].parse().unwrap(), found[2].parse().unwrap());
                let host = &machine.host;
                match host.os.libc {
                    Some(Libc::Glibc { major, minor }) => (major, minor) == wanted,
                    _ => host
                        .os
                        .version
                        .starts_with(&format!("{}.{}", wanted.0, wanted.1)),
                }
            },
        ),
        statement(r"the ([^;,]+?) is left out", |found, machine| {
            has_gpu(&machine.host, &found[1])
        }),
        statement(
            r"no wheel for ([a-z0-9_-]+)(?: \((\w+) ([0-9.]+)\))?",
            |found, machine| {
                let target = machine.host.target();
                let said = found[0].trim_start_matches("no wheel for ");
                target.to_string() == said
            },
        ),
        statement(r"Python ([<>=0-9., ]+), and there is none", |_, machine| {
            let host = &machine.host;
            pythons::available(&host.target()).is_empty() && host.pythons.is_empty()
        }),
        statement(
            r"with Python ((?:[0-9.]+ or )*[0-9.]+[0-9])",
            |found, machine| {
                let offered = pythons::available(&machine.host.target());
                found[1].split(" or ").all(|said| {
                    let own = machine.host.pythons.iter().map(|python| &python.version);
                    let short = said.parse::<PythonVersion>().ok();
                    offered
                        .iter()
                        .map(|python| &python.version)
                        .chain(own)
                        .any(|version| {
                            version.to_string() == said || PythonVersion::of(version) == short
                        })
                })
            },
        ),
        statement(
            r"the torch wheel index \S+ does not answer",
            |_, machine| !machine.torch_index,
        ),
    ]
}

fn driver(host: &Host, said: &str) -> bool {
    let version = host
        .nvidia
        .as_ref()
        .and_then(|nvidia| nvidia.version.as_ref());
    version.is_some_and(|version| NvidiaDriver::spelled(version) == said)
}

fn has_gpu(host: &Host, said: &str) -> bool {
    host.gpus.iter().any(|gpu| gpu.name == said)
}
