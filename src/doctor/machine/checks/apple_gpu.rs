//! `apple.gpu`

use super::Check;
use crate::{
    compat::apple::AppleFacts,
    doctor::{
        Cause,
        machine::{Machine, Verdict},
    },
    types::{Arch, Os, Version},
};

pub(super) const CHECK: Check = Check {
    id: "apple.gpu",
    looks_at: "the version of macOS, the chip, and whether aienv runs translated",
    why: "PyTorch uses the GPU of a Mac through MPS, which asks for a newer macOS with each few \
          releases, and for programs made for Apple silicon.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let host = &machine.host;
    if host.os.family != Os::Macos {
        return Vec::new();
    }
    if host.cpu.arch != Arch::Aarch64 {
        let last = &AppleFacts::embedded().intel.last_torch;
        return vec![
            Verdict::note("this Mac has an Intel processor").because(format!(
                "PyTorch {last} was the last with wheels for it; tools that need a newer one \
                 cannot be installed."
            )),
        ];
    }
    let mut verdicts = Vec::new();
    if host.os.rosetta {
        verdicts.push(
            Verdict::note("aienv runs translated by Rosetta")
                .cause(Cause::PythonWrongArchitecture)
                .because(
                    "This aienv was made for Intel processors. What it installs is for Apple \
                     silicon all the same; Pythons started from a translated terminal are not.",
                )
                .advise(
                    "Install the aienv for Apple silicon, and use a terminal that does not \
                         “open using Rosetta”",
                ),
        );
    }
    verdicts.extend(mps(&host.os.version));
    verdicts
}

/// What the version of macOS allows.
fn mps(version: &str) -> Option<Verdict> {
    let version: Version = version.parse().ok()?;
    let floors = &AppleFacts::embedded().mps;
    let newest = floors.first()?;
    let oldest = floors.last()?;
    if version >= newest.macos {
        return Some(Verdict::works(format!(
            "macOS {version} lets PyTorch use the GPU (MPS)"
        )));
    }
    let verdict = if version < oldest.macos {
        Verdict::problem(format!(
            "macOS {version} is too old for PyTorch to use the GPU"
        ))
        .because(format!("MPS needs macOS {} or newer.", oldest.macos))
    } else {
        Verdict::note(format!(
            "macOS {version} is too old for the GPU in newer PyTorch"
        ))
        .because(format!(
            "PyTorch {} and later use the GPU on macOS {} or newer.",
            newest.torch, newest.macos
        ))
    };
    Some(
        verdict
            .cause(Cause::MacosTooOld)
            .advise("Update macOS (System Settings > General > Software Update)"),
    )
}
