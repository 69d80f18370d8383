//! `system.cpp-runtime`

use super::{Check, remedy};
use crate::{
    doctor::{
        Cause,
        machine::{Machine, Verdict},
    },
    types::{Libc, Os},
};

pub(super) const CHECK: Check = Check {
    id: "system.cpp-runtime",
    looks_at: "whether the loader finds `libstdc++.so.6`",
    why: "Wheels bring most of what they need, and not the C++ runtime: without it hardly any \
          compiled package imports. Slim container images leave it out.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let host = &machine.host;
    let is_glibc = matches!(host.os.libc, Some(Libc::Glibc { .. }));
    // On these every program names its libraries by whole paths.
    let has_no_folders = matches!(host.os.id.as_str(), "nixos" | "guix");
    if host.os.family != Os::Linux || !is_glibc || has_no_folders {
        return Vec::new();
    }
    let Some(library) = machine.library("libstdc++.so.6") else {
        return Vec::new();
    };
    if library.file.is_some() {
        return Vec::new();
    }
    vec![
        Verdict::problem("the C++ runtime is not installed")
            .cause(Cause::LibstdcxxTooOld)
            .because(
                "`libstdc++.so.6` is nowhere the loader looks. PyTorch, NumPy and most compiled \
                 packages need it and do not bring it.",
            )
            .fix(remedy(machine, "install-libstdcxx", &[]))
            .seen("`libstdc++.so.6` is not found"),
    ]
}
