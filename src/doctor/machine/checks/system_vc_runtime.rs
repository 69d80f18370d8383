//! `system.visual-cpp-runtime`

use super::{Check, listed, remedy};
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "system.visual-cpp-runtime",
    looks_at: "the libraries of the Visual C++ runtime in Windows' system folder",
    why: "Compiled Python packages need it and few bring it. Without it PyTorch fails to load with \
          “the specified module could not be found”.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let missing = &machine.around.missing_vc_runtime;
    if missing.is_empty() {
        return Vec::new();
    }
    vec![
        Verdict::problem("the Visual C++ runtime is not installed")
            .cause(Cause::VcRuntimeMissing)
            .because("Compiled packages need it: PyTorch, onnxruntime and many others.")
            .fix(remedy(machine, "install-vc-runtime", &[]))
            .seen(format!("{} not in the system folder", listed(missing))),
    ]
}
