//! `wsl.gpu`

use super::{Check, remedy};
use crate::doctor::{
    Cause,
    machine::{Machine, Verdict},
};

pub(super) const CHECK: Check = Check {
    id: "wsl.gpu",
    looks_at: "the version of WSL, `/dev/dxg`, and the libraries that Windows provides",
    why: "WSL 2 passes the GPUs of Windows on through one device file and the libraries of the \
          Windows driver. WSL 1 has no such thing.",
    judge,
};

fn judge(machine: &Machine) -> Vec<Verdict> {
    let libraries = &machine.around.wsl_libraries;
    let has = |stem: &str| libraries.iter().any(|name| name.starts_with(stem));
    match machine.host.surroundings.wsl {
        None => Vec::new(),
        Some(1) => vec![
            Verdict::note("WSL 1 cannot use a GPU")
                .cause(Cause::WslTooOld)
                .because("It translates the calls of Linux programs and has no Linux kernel.")
                .fix(remedy(machine, "convert-to-wsl2", &[])),
        ],
        Some(_) if machine.node("/dev/dxg").is_some() => {
            let through: Vec<&str> = [("libcuda.so", "NVIDIA"), ("libdxcore.so", "DirectX")]
                .into_iter()
                .filter_map(|(stem, what)| has(stem).then_some(what))
                .collect();
            match through.is_empty() {
                true => vec![
                    Verdict::note("Windows passes a GPU on without libraries for it").because(
                        "`/dev/dxg` is there and `/usr/lib/wsl/lib` is empty: the Windows driver \
                         brings nothing for Linux, or the folder is not mounted.",
                    ),
                ],
                false => vec![Verdict::works(format!(
                    "WSL 2 passes the GPU of Windows on ({})",
                    through.join(", ")
                ))],
            }
        }
        Some(_) => {
            let driver = has("libcuda.so");
            vec![
                Verdict::problem_if(driver, "WSL passes no GPU on")
                    .cause(Cause::WslTooOld)
                    .sure(if driver { 0.85 } else { 0.5 })
                    .because(match driver {
                        true => {
                            "Windows provides its driver's libraries, and the device file \
                             `/dev/dxg` is missing: the kernel of this WSL is too old, or is one \
                             of your own without GPU support."
                        }
                        false => {
                            "There is no `/dev/dxg`. Windows has no GPU with a driver for WSL, or \
                             Windows or WSL is too old."
                        }
                    })
                    .fix(remedy(machine, "update-wsl", &[]))
                    .seen("`/dev/dxg` is not there"),
            ]
        }
    }
}
